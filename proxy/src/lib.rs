//! The proxy: one client request, many backend exchanges.

pub mod account;
pub mod app;
pub mod backend;
pub mod config;
pub mod constraints;
pub mod container;
pub mod core;
pub mod expirer;
pub mod facts;
pub mod flights;
pub mod metrics;
pub mod middleware;
pub mod object;
pub mod pipeline;
pub mod recent;
pub mod request;
pub mod respond;
pub mod server;
#[cfg(test)]
mod testing;
