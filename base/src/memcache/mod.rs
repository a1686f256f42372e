//! Memcached, the optional level that proxies share: as Swift's Python client speaks to it, in slices that never move.
//!
//! Cores, from what is written to what decides:
//!
//! - `key` and `value`: what a key and a value are on the wire; `command` and `reply`: the text protocol, replies as hostile input;
//! - `ring`: which servers a key is asked of; `error_limit`: which of them are left out for a while;
//! - `slots`: how many connections there are, and who waits for one; `settings`: what an operator says.
//!
//! Drivers: `connection` moves the bytes of one connection (`tls` encrypts them), `exchange` gives it a deadline and its slot back, `client` is what a
//! core of the proxy holds.
//!
//! # Invariants
//!
//! - A core never has more sockets to a server than its slice, and all slices together are `max_memcache_connections`. Cores neither
//!   share nor lend.
//! - A command that was sent has its reply read to the end, whoever stopped waiting for it; a connection on which that failed, or
//!   on which more came than was asked for, is closed.
//! - When a write returns, the server has said that it is done.

pub mod client;
pub mod command;
mod connection;
pub mod error_limit;
mod exchange;
pub mod key;
pub mod reply;
pub mod ring;
pub mod settings;
pub mod slots;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod value;

pub use client::{Lookup, Memcache, Report, Settled, Witness};
pub use exchange::Counts;
pub use settings::Settings;
pub use value::Value;
