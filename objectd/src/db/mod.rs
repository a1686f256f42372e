//! Rows of accounts and containers in one key-value environment per device (design §6).
//!
//! A *database* is what Swift keeps in one SQLite file: an account with its rows of containers, or a container with its
//! rows of objects. Ours is an info record and ranges of row keys that begin with the database's name hash. Everything
//! about them is decided in the cores of this folder, over the `Read` and `Write` traits, so that the same code runs on
//! LMDB, on the simulator's map and on a plain map in tests; `container/` and `account/` only speak HTTP.
//!
//! Read in this order: `key`, `codec` (bytes), `info`, `object_row`, `container_row` (values), `merge`, `lifecycle`
//! (changes), `listing`, `render`, `page` (reading), `reclaim` (forgetting), `service` (what the two services share).

pub mod chexor;
pub mod codec;
pub mod container_row;
pub mod content_type;
pub mod info;
mod kept;
pub mod key;
pub mod lifecycle;
pub mod listing;
pub mod merge;
pub mod object_row;
pub mod page;
mod pen;
pub mod policies;
pub mod reclaim;
pub mod render;
pub mod service;

#[cfg(test)]
mod listing_tests;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
pub(crate) mod replay;

use base::io::kv::{Read, Table, WriteTxn};
use std::io;

/// Tables of a device's environment, in the order of the constants below.
pub const TABLES: &[&str] = &["info", "rows", "pending", "order", "graves", "journal"];

/// Database → info record.
pub const INFO: Table = Table(0);
/// (database, live or tombstone, policy, name) → row.
pub const ROWS: Table = Table(1);
/// Containers whose statistics differ from what their account was told.
pub const PENDING: Table = Table(2);
/// (database, row id) → the row's key: the order of replication.
pub const ORDER: Table = Table(3);
/// (time, tombstone or deleted database): what `reclaim` forgets next.
pub const GRAVES: Table = Table(4);
/// What of the journal of rows is in the tables above (`container::journal`).
pub const JOURNAL: Table = Table(5);

/// A transaction that changes. `kv::WriteTxn` on a device; a map in tests of cores.
pub trait Write: Read {
    /// Sets.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()>;
    /// Removes; answers whether it was there.
    fn delete(&mut self, table: Table, key: &[u8]) -> io::Result<bool>;
}

impl Write for WriteTxn<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        WriteTxn::put(self, table, key, value)
    }
    fn delete(&mut self, table: Table, key: &[u8]) -> io::Result<bool> {
        WriteTxn::delete(self, table, key)
    }
}

#[cfg(test)]
mod tests;
