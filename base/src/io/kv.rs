//! An ordered key-value environment: LMDB through heed on a device, or a map in the simulator.
//!
//! Durability: `write` answers after the commit that holds it is on stable storage. One writer thread per environment; all
//! writes that wait while a commit runs share the next one (group commit, no timer). Reads run on a reader thread and see the
//! last commit. Closures must be short: a read bounds its own range. The map grows by itself when it is full.
//! Keys are 1 to 1,900 bytes.

use std::io;
use std::ops::Bound;
use std::path::Path;

/// A handle to one environment; clones share it. Belongs to the core that opened it.
#[derive(Clone)]
pub struct Kv {}

/// A named table of the environment: index into the names given to `open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table(pub usize);

impl Kv {
    /// Opens or creates the environment in the directory `path` with these tables (a fixed, ordered list).
    pub async fn open(_path: &Path, _tables: &'static [&'static str]) -> io::Result<Kv> {
        todo!()
    }
    /// Runs `body` in a read transaction.
    pub async fn read<T, F>(&self, _body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        todo!()
    }
    /// Runs `body` in a write transaction; `Err` from it undoes only its own changes. Durable when it answers `Ok`. Runs to its
    /// end even if the future is dropped. `body` may run more than once (after a map growth), so it is `FnMut`.
    pub async fn write<T, F>(&self, _body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut WriteTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        todo!()
    }
}

/// A consistent view.
pub struct ReadTxn<'a> {
    _backend: std::marker::PhantomData<&'a ()>,
}

/// Changes that become durable together; its reads see them.
pub struct WriteTxn<'a> {
    _backend: std::marker::PhantomData<&'a ()>,
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
    fn get(&self, _table: Table, _key: &[u8]) -> io::Result<Option<&[u8]>> {
        todo!()
    }
    fn scan(
        &self,
        _table: Table,
        _from: Bound<&[u8]>,
        _to: Bound<&[u8]>,
        _reverse: bool,
        _visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        todo!()
    }
}
impl Read for WriteTxn<'_> {
    fn get(&self, _table: Table, _key: &[u8]) -> io::Result<Option<&[u8]>> {
        todo!()
    }
    fn scan(
        &self,
        _table: Table,
        _from: Bound<&[u8]>,
        _to: Bound<&[u8]>,
        _reverse: bool,
        _visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        todo!()
    }
}
impl WriteTxn<'_> {
    /// Sets.
    pub fn put(&mut self, _table: Table, _key: &[u8], _value: &[u8]) -> io::Result<()> {
        todo!()
    }
    /// Removes; answers whether it was there.
    pub fn delete(&mut self, _table: Table, _key: &[u8]) -> io::Result<bool> {
        todo!()
    }
}
