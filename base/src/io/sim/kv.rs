//! An ordered key-value environment of a node: maps in memory, kept over crashes once committed.
//!
//! # Invariants
//!
//! - What `write` answered `Ok` for survives every crash; what it did not answer for is there as a whole or not at all.
//! - Readers see the last commit, never a part of one.

use super::clock::sleep;
use super::disk::{take_time, with_disk};
use super::step::{Kind, clean_step};
use super::task::spawn;
use super::world::current;
use crate::io::kv::{self, Pair, Table};
use crate::io::real::kv::not_the_greatest;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The committed tables of one environment.
#[derive(Debug, Default)]
pub(in crate::io) struct Environment {
    tables: Vec<Map>,
    /// Bytes of the pairs.
    used: u64,
    /// Bytes taken from the disk; never given back.
    taken: u64,
    /// How much of it `taken` should be more than what a commit needs.
    reserve: u64,
}

/// A handle; clones share the environment.
#[derive(Clone)]
pub(in crate::io) struct Kv {
    environment: Rc<RefCell<Environment>>,
}

impl Kv {
    pub(in crate::io) async fn open(path: &Path, tables: &'static [&'static str], reserve: u64) -> io::Result<Kv> {
        super::disk::create_dir_all(path).await?;
        let world = current();
        let mut nodes = world.nodes.borrow_mut();
        let node = nodes.get_mut(world.node().0).ok_or(io::ErrorKind::NotConnected)?;
        let environment = Rc::clone(node.environments.entry(path.to_owned()).or_default());
        drop(nodes);
        let mut state = environment.borrow_mut();
        state.tables.resize_with(tables.len(), Map::new);
        state.reserve = reserve;
        state.top_up();
        drop(state);
        Ok(Kv { environment })
    }

    pub(in crate::io) async fn read<T>(&self, body: impl FnOnce(&kv::ReadTxn<'_>) -> io::Result<T>) -> io::Result<T> {
        take_time().await;
        let environment = self.environment.borrow();
        body(&kv::ReadTxn::from_sim(ReadTxn { tables: &environment.tables }))
    }

    /// Runs to its end even if the caller is dropped; commits after a delay, all or nothing.
    pub(in crate::io) async fn write<T: 'static>(
        &self,
        mut body: impl FnMut(&mut kv::WriteTxn<'_>) -> io::Result<T> + 'static,
    ) -> io::Result<T> {
        let environment = Rc::clone(&self.environment);
        let write = spawn(async move {
            let result = clean_step(Kind::Commit, || environment.borrow_mut().commit(&mut body)).await;
            // The answer comes later than the commit: a crash in between leaves a write nobody heard of.
            let world = current();
            world.note("commit", 0, u64::from(result.is_ok()));
            sleep(Duration::from_nanos(world.with_random(|random| random.between(0, 100_000)))).await;
            result
        });
        write.await.unwrap_or_else(|| Err(io::Error::other("the writer of the environment is gone")))
    }
}

impl Environment {
    fn commit<T>(&mut self, body: &mut dyn FnMut(&mut kv::WriteTxn<'_>) -> io::Result<T>) -> io::Result<T> {
        let mut changes: Vec<Changes> = self.tables.iter().map(|_| Changes::new()).collect();
        let transaction = WriteTxn { tables: &self.tables, changes: &mut changes };
        let value = body(&mut kv::WriteTxn::from_sim(transaction))?;
        self.take_for(&changes)?;
        for (table, changes) in self.tables.iter_mut().zip(changes) {
            for (key, value) in changes {
                self.used += value.as_ref().map_or(0, |value| pair_bytes(&key, value));
                let old = match value {
                    Some(value) => table.insert(key.clone(), value),
                    None => table.remove(&key),
                };
                self.used = self.used.saturating_sub(old.map_or(0, |old| pair_bytes(&key, &old)));
            }
        }
        self.top_up();
        Ok(value)
    }

    /// Space for these changes, or nothing is done: pages are written anew, so for a moment old and new are both there.
    fn take_for(&mut self, changes: &[Changes]) -> io::Result<()> {
        let pairs = changes.iter().flatten();
        let new: u64 = pairs.map(|(key, value)| pair_bytes(key, value.as_deref().unwrap_or_default())).sum();
        self.take_to(self.used + new + COMMIT_BYTES)
    }

    fn take_to(&mut self, bytes: u64) -> io::Result<()> {
        let more = bytes.next_multiple_of(COMMIT_BYTES).saturating_sub(self.taken);
        with_disk(&current(), |disk| disk.take_outside(more))?;
        self.taken += more;
        Ok(())
    }

    fn top_up(&mut self) {
        if self.reserve > 0 {
            // On a full disk there is no reserve to be had.
            let _ = self.take_to(self.used + COMMIT_BYTES + self.reserve);
        }
    }
}

/// What a commit takes besides its pairs, and the unit in which space is taken.
const COMMIT_BYTES: u64 = 16 * 1024;

fn pair_bytes(key: &[u8], value: &[u8]) -> u64 {
    u64::try_from(key.len() + value.len() + 16).unwrap_or(u64::MAX)
}

type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A consistent view.
pub(in crate::io) struct ReadTxn<'a> {
    tables: &'a [Map],
}

/// Changes that are committed together.
pub(in crate::io) struct WriteTxn<'a> {
    tables: &'a [Map],
    changes: &'a mut Vec<Changes>,
}

impl ReadTxn<'_> {
    pub(in crate::io) fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<&[u8]>> {
        Ok(map(self.tables, table)?.get(key).map(Vec::as_slice))
    }
    pub(in crate::io) fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        if is_empty(from, to) {
            return Ok(());
        }
        let range = map(self.tables, table)?.range::<[u8], _>((from, to));
        let pairs = range.map(|(key, value)| (key.as_slice(), value.as_slice()));
        walk(pairs, reverse, visit)
    }
}

impl WriteTxn<'_> {
    pub(in crate::io) fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<&[u8]>> {
        match self.changes.get(table.0).and_then(|changes| changes.get(key)) {
            Some(changed) => Ok(changed.as_deref()),
            None => Ok(map(self.tables, table)?.get(key).map(Vec::as_slice)),
        }
    }
    pub(in crate::io) fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        if is_empty(from, to) {
            return Ok(());
        }
        let committed = map(self.tables, table)?.range::<[u8], _>((from, to));
        let mut merged: BTreeMap<&[u8], &[u8]> = committed.map(|(k, v)| (k.as_slice(), v.as_slice())).collect();
        for (key, value) in self.changes.get(table.0).ok_or_else(no_table)?.range::<[u8], _>((from, to)) {
            match value {
                Some(value) => merged.insert(key, value),
                None => merged.remove(key.as_slice()),
            };
        }
        walk(merged.into_iter(), reverse, visit)
    }
    pub(in crate::io) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let changes = self.changes.get_mut(table.0).ok_or_else(no_table)?;
        changes.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }
    pub(in crate::io) fn append(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        let mut is_greatest = true;
        self.scan(table, Bound::Unbounded, Bound::Unbounded, true, &mut |(last, _)| {
            is_greatest = last < key;
            Ok(false)
        })?;
        if is_greatest { self.put(table, key, value) } else { Err(not_the_greatest()) }
    }
    pub(in crate::io) fn delete(&mut self, table: Table, key: &[u8]) -> io::Result<bool> {
        let was_there = self.get(table, key)?.is_some();
        if was_there {
            self.changes.get_mut(table.0).ok_or_else(no_table)?.insert(key.to_vec(), None);
        }
        Ok(was_there)
    }
}

/// As the real environment: LMDB's pages bound a key.
const KEY_BYTES_MAX: usize = 1900;

fn walk<'t>(
    mut pairs: impl DoubleEndedIterator<Item = Pair<'t>>,
    reverse: bool,
    visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
) -> io::Result<()> {
    // Ends: one pair a turn.
    while let Some(pair) = if reverse { pairs.next_back() } else { pairs.next() } {
        if !visit(pair)? {
            break;
        }
    }
    Ok(())
}

/// `BTreeMap::range` panics at bounds that cross; an environment finds nothing between them.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
        | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

fn map(tables: &[Map], table: Table) -> io::Result<&Map> {
    tables.get(table.0).ok_or_else(no_table)
}

fn no_table() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no such table was opened")
}
