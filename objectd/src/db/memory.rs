//! Tables in memory: what the cores run on in tests.

use super::{TABLES, Write};
use base::io::kv::{Pair, Read, Table};
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;

/// One map per table.
#[derive(Clone)]
pub(crate) struct Memory(pub(crate) Vec<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(vec![BTreeMap::new(); TABLES.len()])
    }
}

impl Read for Memory {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<&[u8]>> {
        Ok(self.0[table.0].get(key).map(Vec::as_slice))
    }
    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        let range = self.0[table.0].range::<[u8], _>((from, to));
        let pairs: Vec<_> = if reverse { range.rev().collect() } else { range.collect() };
        for (key, value) in pairs {
            if !visit((key, value))? {
                break;
            }
        }
        Ok(())
    }
}

impl Write for Memory {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert!((1..=1_900).contains(&key.len()), "keys have bounds");
        self.0[table.0].insert(key.to_vec(), value.to_vec());
        Ok(())
    }
    fn delete(&mut self, table: Table, key: &[u8]) -> io::Result<bool> {
        Ok(self.0[table.0].remove(key).is_some())
    }
}
