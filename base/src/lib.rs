//! What every Martlet server stands on. A file enters here when two crates use it and it has a noun
//! for a name; `io` is the exception: it is the only door to the outside.

pub mod body_check;
pub mod checksum;
pub mod conditional;
pub mod config;
pub mod digits;
pub mod hash_path;
pub mod http;
pub mod io;
pub mod json;
pub mod limits;
pub mod marks;
pub mod memcache;
pub mod names;
pub mod pieces;
pub mod quote;
pub mod range;
pub mod recon;
pub mod scratch;
pub mod sync_realms;
pub mod timestamp;

/// The Swift release whose behaviour is offered; clients and operators compare it.
pub const SWIFT_VERSION: &str = "2.38.3";
