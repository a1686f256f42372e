//! One storage node: object, container and account services, their store and databases, every background loop.

pub mod account;
mod batches;
pub mod config;
pub mod container;
pub mod db;
pub mod neighbours;
pub mod node;
pub mod object;
pub mod peer;
pub mod reply;
pub mod server;
pub mod store;
