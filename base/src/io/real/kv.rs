//! Ordered key-value environments of the real backend.

use crate::io::kv::{self, Pair, Table};
use std::io;
use std::marker::PhantomData;
use std::ops::Bound;
use std::path::Path;

#[derive(Clone)]
pub(in crate::io) struct Kv;

impl Kv {
    pub(in crate::io) async fn open(_path: &Path, _tables: &'static [&'static str]) -> io::Result<Kv> {
        todo!()
    }
    /// Wraps its transaction with `kv::ReadTxn::from_real` and hands it to `body`.
    pub(in crate::io) async fn read<T, F>(&self, _body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&kv::ReadTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        todo!()
    }
    /// Wraps its transaction with `kv::WriteTxn::from_real` and hands it to `body`.
    pub(in crate::io) async fn write<T, F>(&self, _body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut kv::WriteTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        todo!()
    }
}

pub(in crate::io) struct ReadTxn<'a>(PhantomData<&'a ()>);

pub(in crate::io) struct WriteTxn<'a>(PhantomData<&'a ()>);

impl ReadTxn<'_> {
    pub(in crate::io) fn get(&self, _table: Table, _key: &[u8]) -> io::Result<Option<&[u8]>> {
        todo!()
    }
    pub(in crate::io) fn scan(
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
    pub(in crate::io) fn get(&self, _table: Table, _key: &[u8]) -> io::Result<Option<&[u8]>> {
        todo!()
    }
    pub(in crate::io) fn scan(
        &self,
        _table: Table,
        _from: Bound<&[u8]>,
        _to: Bound<&[u8]>,
        _reverse: bool,
        _visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        todo!()
    }
    pub(in crate::io) fn put(&mut self, _table: Table, _key: &[u8], _value: &[u8]) -> io::Result<()> {
        todo!()
    }
    pub(in crate::io) fn delete(&mut self, _table: Table, _key: &[u8]) -> io::Result<bool> {
        todo!()
    }
}
