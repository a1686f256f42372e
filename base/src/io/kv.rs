//! An ordered key-value environment: LMDB through heed on a device, or a map in the simulator.
//!
//! Durability: `write` answers after the commit that holds it is on stable storage. One writer thread per environment; all
//! writes that wait while a commit runs share the next one (group commit, no timer). Reads run on a reader thread and see the
//! last commit. Closures must be short: a read bounds its own range. The map grows by itself when it is full.
//! Keys are 1 to 1,900 bytes.
//!
//! When the disk cannot give a part of the environment any more, all of it is out of use until a restart (`failed`); what was answered
//! before was read from the disk.
//!
//! When the file system is full, a write that needs more of it answers `StorageFull` and leaves nothing; others, and later ones,
//! go on. An environment opened with a reserve keeps that much of the disk set aside beyond what it uses, so that small
//! transactions succeed on a disk that is full.

use super::{real, sim, simulated};
use std::io;
use std::ops::Bound;
use std::path::Path;

/// A handle to one environment; clones share it. Belongs to the core that opened it.
#[derive(Clone)]
pub struct Kv(KvInner);

#[derive(Clone)]
enum KvInner {
    Real(real::kv::Kv),
    Sim(sim::kv::Kv),
}

/// A named table of the environment: index into the names given to `open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table(pub usize);

impl Kv {
    /// Opens or creates the environment in the directory `path` with these tables (a fixed, ordered list).
    pub async fn open(path: &Path, tables: &'static [&'static str]) -> io::Result<Kv> {
        Kv::open_with_reserve(path, tables, 0).await
    }

    /// The same, and from now on tries to keep `reserve` bytes of the disk set aside for growth. A transaction takes a page
    /// (4 KiB) for every page it changes, a random key mostly one of its own, and gives them back after the next commits: choose
    /// it for the largest transaction that must succeed on a full disk. That the reserve cannot be had is only told in the log.
    pub async fn open_with_reserve(path: &Path, tables: &'static [&'static str], reserve: u64) -> io::Result<Kv> {
        Ok(Kv(if simulated() {
            KvInner::Sim(sim::kv::Kv::open(path, tables, reserve).await?)
        } else {
            KvInner::Real(real::kv::Kv::open(path, tables, reserve).await?)
        }))
    }

    /// Runs `body` in a read transaction.
    pub async fn read<T, F>(&self, body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        match &self.0 {
            KvInner::Real(kv) => kv.read(body).await,
            KvInner::Sim(kv) => kv.read(body).await,
        }
    }

    /// As `read`, for a body that takes some ten microseconds: it may run on the core itself, when it seems that nothing waits for the disk.
    pub async fn look_up<T, F>(&self, body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        match &self.0 {
            KvInner::Real(kv) => kv.look_up(body).await,
            KvInner::Sim(kv) => Box::pin(kv.read(body)).await,
        }
    }

    /// Runs `body` in a write transaction; `Err` from it undoes only its own changes. Durable when it answers `Ok`. Runs to its
    /// end even if the future is dropped. `body` may run more than once (after a map growth), so it is `FnMut`.
    pub async fn write<T, F>(&self, body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut WriteTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        match &self.0 {
            KvInner::Real(kv) => kv.write(body).await,
            KvInner::Sim(kv) => kv.write(body).await,
        }
    }

    /// Why nothing can be read or written any more, if so.
    pub fn failed(&self) -> Option<io::Error> {
        match &self.0 {
            KvInner::Real(kv) => kv.failed(),
            KvInner::Sim(_) => None,
        }
    }
}

/// A consistent view.
pub struct ReadTxn<'a>(ReadInner<'a>);

enum ReadInner<'a> {
    Real(real::kv::ReadTxn<'a>),
    Sim(sim::kv::ReadTxn<'a>),
}

impl<'a> ReadTxn<'a> {
    pub(in crate::io) fn from_real(txn: real::kv::ReadTxn<'a>) -> Self {
        ReadTxn(ReadInner::Real(txn))
    }
    pub(in crate::io) fn from_sim(txn: sim::kv::ReadTxn<'a>) -> Self {
        ReadTxn(ReadInner::Sim(txn))
    }
}

/// Changes that become durable together; its reads see them.
pub struct WriteTxn<'a>(WriteInner<'a>);

enum WriteInner<'a> {
    Real(real::kv::WriteTxn<'a>),
    Sim(sim::kv::WriteTxn<'a>),
}

impl<'a> WriteTxn<'a> {
    pub(in crate::io) fn from_real(txn: real::kv::WriteTxn<'a>) -> Self {
        WriteTxn(WriteInner::Real(txn))
    }
    pub(in crate::io) fn real(&mut self) -> &mut real::kv::WriteTxn<'a> {
        match &mut self.0 {
            WriteInner::Real(txn) => txn,
            WriteInner::Sim(_) => unreachable!("the real writer made this transaction"),
        }
    }
    pub(in crate::io) fn into_real(self) -> real::kv::WriteTxn<'a> {
        match self.0 {
            WriteInner::Real(txn) => txn,
            WriteInner::Sim(_) => unreachable!("the real writer made this transaction"),
        }
    }
    pub(in crate::io) fn from_sim(txn: sim::kv::WriteTxn<'a>) -> Self {
        WriteTxn(WriteInner::Sim(txn))
    }
}

/// Key and value, borrowed from the environment.
pub type Pair<'t> = (&'t [u8], &'t [u8]);

/// What can be read, from either kind of transaction.
pub trait Read {
    /// The value of `key`.
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<&[u8]>>;
    /// Walks keys within the bounds in ascending order (descending if `reverse`) while `visit` answers true.
    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()>;
}

impl Read for ReadTxn<'_> {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<&[u8]>> {
        match &self.0 {
            ReadInner::Real(txn) => txn.get(table, key),
            ReadInner::Sim(txn) => txn.get(table, key),
        }
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        let from = from_the_start(from);
        match &self.0 {
            ReadInner::Real(txn) => txn.scan(table, from, to, reverse, visit),
            ReadInner::Sim(txn) => txn.scan(table, from, to, reverse, visit),
        }
    }
}

impl Read for WriteTxn<'_> {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<&[u8]>> {
        match &self.0 {
            WriteInner::Real(txn) => txn.get(table, key),
            WriteInner::Sim(txn) => txn.get(table, key),
        }
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        let from = from_the_start(from);
        match &self.0 {
            WriteInner::Real(txn) => txn.scan(table, from, to, reverse, visit),
            WriteInner::Sim(txn) => txn.scan(table, from, to, reverse, visit),
        }
    }
}

/// No key is empty, and LMDB refuses to look for one.
fn from_the_start(from: Bound<&[u8]>) -> Bound<&[u8]> {
    match from {
        Bound::Included([]) | Bound::Excluded([]) => Bound::Unbounded,
        from => from,
    }
}

impl WriteTxn<'_> {
    /// Sets.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            WriteInner::Real(txn) => txn.put(table, key, value),
            WriteInner::Sim(txn) => txn.put(table, key, value),
        }
    }

    /// Sets a key that is greater than all in the table: pages are filled to the brim and none is looked for. `InvalidInput` for any other.
    pub fn append(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            WriteInner::Real(txn) => txn.append(table, key, value),
            WriteInner::Sim(txn) => txn.append(table, key, value),
        }
    }

    /// Removes; answers whether it was there.
    pub fn delete(&mut self, table: Table, key: &[u8]) -> io::Result<bool> {
        match &mut self.0 {
            WriteInner::Real(txn) => txn.delete(table, key),
            WriteInner::Sim(txn) => txn.delete(table, key),
        }
    }
}
