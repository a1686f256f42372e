//! The index of a packed device: an LMDB environment that says for each object which versions count and where they are.
//!
//! ```text
//!  entries   policy, front of a hash →  some objects (see `bucket`)
//!  volumes   volume u32 BE           →  living bytes u64 | living records u64
//!  removals  policy, hash, file name →  (a stock file that counts no more and has still to be unlinked)
//!  state     "store" → format u32 | random u64, "end" → position of the log, "partial" → position and key of a checkpoint under way,
//!            "adopted" → stock files were walked over to the end,
//!            "adopting" → policy, partition up to which they were, "drop" and a volume → how far it is out (see `upkeep`)
//! ```
//!
//! Values of `state` have a crc32c of name and value behind them, those of `entries` one within; `volumes` can be counted again.
//! An index of another format is refused, by this release and by those that knew one format only (their "store" had eight bytes): it is made
//! anew by `martlet store rebuild-index`.
//!
//! # What is durable when
//!
//! `checkpoint` writes a stretch of the log in the order of keys, each transaction with the key it came to, the last with the position behind
//! the stretch: after a crash it is known exactly which changes the index has. Recovery finishes the stretch before it goes on. What a checkpoint put out of use is in `removals` by the same transaction, so a file is unlinked after
//! the index stopped naming it and is never forgotten.
//!
//! `upkeep` has the transactions of compaction and reclaiming.

mod audit;
mod buckets;
mod upkeep;

use super::bucket;
use super::entry::{Entry, Held, Key};
use super::memory::{Position, Table as Changes};
use super::tree;
use base::checksum::{crc32c, crc32c_append};
use base::io::kv::{Kv, Read, Table, WriteTxn};
use buckets::Editor;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

const TABLES: &[&str] = &["entries", "volumes", "removals", "state"];
const ENTRIES: Table = Table(0);
const VOLUMES: Table = Table(1);
const REMOVALS: Table = Table(2);
const STATE: Table = Table(3);
/// 1 had one pair for each object, 2 buckets of an eighth of a page, so that readers of it refuse larger ones.
const FORMAT: u32 = 4;

/// Objects in one transaction: its changed pages are held in memory, some four KiB each. An object changes its bucket, at times its neighbours, and
/// what leads there.
const OBJECTS_AT_ONCE: usize = 512;
/// The same beside a foreground: all pages of a transaction go to the disk at once, and whoever reads meanwhile waits for processors and disk.
const OBJECTS_AT_ONCE_GENTLY: usize = 32;
/// The same while nobody else waits for disk or memory.
const OBJECTS_AT_ONCE_FILLING: usize = 64 * 1024;
/// Kept free for the largest transaction, so that deletions go on when the disk is full.
const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

const _: () =
    assert!(OBJECTS_AT_ONCE * 6 * 4096 <= RESERVE_BYTES as usize, "a step of a checkpoint fits into the reserve");

/// Length of a key of `entries`.
const KEY_BYTES: usize = 18;

/// The index of one device. Belongs to the core that owns the device; its transactions run on the environment's threads.
pub(super) struct Index {
    kv: Kv,
    partial: Cell<Option<Partial>>,
    objects_at_once: usize,
    /// Nothing was ever written into it: what comes first in the order of keys is appended.
    is_empty: Cell<bool>,
}

/// How many objects a transaction takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So few that others notice little of it; the caller rests between two.
    Gentle,
    /// As many as memory and the reserve of the disk allow.
    Full,
}

/// A checkpoint that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partial {
    /// The stretch of the log it will cover.
    pub end: Position,
    /// Objects up to this one are done.
    pub key: Key,
}

/// What is alive in a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of records that count.
    pub live_bytes: u64,
    /// Records that count.
    pub live_records: u64,
}

/// A stock file to be unlinked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Removal {
    /// Whose.
    pub key: Key,
    /// Its name in the object's directory.
    pub file_name: String,
}

impl Index {
    /// Opens or creates the environment.
    pub(super) async fn open(path: &Path) -> std::io::Result<Index> {
        let kv = Kv::open_with_reserve(path, TABLES, RESERVE_BYTES).await?;
        Ok(Index { kv, partial: Cell::new(None), objects_at_once: OBJECTS_AT_ONCE, is_empty: Cell::new(false) })
    }

    /// Creates an environment that is filled before anyone uses it: larger transactions, so fewer of them write one page again.
    pub(super) async fn open_to_fill(path: &Path) -> std::io::Result<Index> {
        let kv = Kv::open(path, TABLES).await?;
        let (partial, objects_at_once) = (Cell::new(None), OBJECTS_AT_ONCE_FILLING);
        Ok(Index { kv, partial, objects_at_once, is_empty: Cell::new(true) })
    }

    /// Why it can be used no more, if so.
    pub(super) fn failed(&self) -> Option<Error> {
        self.kv.failed()
    }

    /// The number of the store, made from `fresh` when there is none, and the position up to which the log is in the index.
    pub(super) async fn state(&self, fresh: u64) -> std::io::Result<(u64, Position)> {
        let (store, end, partial) = self
            .kv
            .write(move |txn| {
                let end = sealed(txn, b"end")?.map(decode_position).transpose()?.unwrap_or_default();
                let partial = sealed(txn, b"partial")?.map(decode_partial).transpose()?;
                if let Some(store) = sealed(txn, b"store")? {
                    return Ok((decode_store(store)?, end, partial));
                }
                seal(txn, b"store", &encode_store(fresh))?;
                Ok((fresh, end, partial))
            })
            .await?;
        self.partial.set(partial);
        Ok((store, end))
    }

    /// Whether stock files may be on the device that were never walked over. A new store has yet to look.
    pub(super) async fn is_adopting(&self) -> std::io::Result<bool> {
        self.kv.read(|txn| Ok(txn.get(STATE, b"adopted")?.is_none())).await
    }

    /// Every stock file is known now.
    pub(super) async fn adopted(&self) -> std::io::Result<()> {
        self.kv.write(|txn| seal(txn, b"adopted", b"1")).await
    }

    /// Up to where a walk over the stock files is covered by checkpoints.
    pub(super) async fn adoption_mark(&self) -> std::io::Result<tree::Place> {
        self.kv
            .read(|txn| match sealed(txn, b"adopting")? {
                Some(value) => {
                    let (policy, partition) =
                        value.split_first_chunk().ok_or_else(|| damaged("the adoption's mark"))?;
                    let partition = partition.try_into().map_err(|_| damaged("the adoption's mark"))?;
                    Ok(tree::Place { policy: u32::from_le_bytes(*policy), partition: u32::from_le_bytes(partition) })
                }
                None => Ok(tree::Place::default()),
            })
            .await
    }

    /// Every stock file before this place was found and is covered by a checkpoint.
    pub(super) async fn mark_adoption(&self, place: tree::Place) -> std::io::Result<()> {
        let value = [place.policy.to_le_bytes(), place.partition.to_le_bytes()].concat();
        self.kv.write(move |txn| seal(txn, b"adopting", &value)).await
    }

    /// What the index says of an object.
    pub(super) async fn lookup(&self, key: Key) -> std::io::Result<Entry> {
        self.kv.look_up(move |txn| buckets::find(txn, &key)).await
    }

    /// Brings a stretch of the log into the index; durable when it answers `Ok`.
    pub(super) async fn checkpoint(&self, changes: Arc<Changes>) -> std::io::Result<()> {
        // Ends: every turn takes objects, or was the last.
        while !self.checkpoint_some(&changes, Step::Full).await? {}
        Ok(())
    }

    /// A step of it; whether it was the last. Object by object in the order of their keys, so many to a transaction that its pages stay few; after
    /// a failure or a crash it goes on where it was.
    pub(super) async fn checkpoint_some(&self, changes: &Arc<Changes>, step: Step) -> std::io::Result<bool> {
        let done = self.partial.get().filter(|partial| partial.end == changes.end).map(|partial| partial.key);
        let (list, many, is_empty) = (changes.clone(), self.objects_in(step), self.is_empty.get());
        let done = self.kv.write(move |txn| checkpoint_some(txn, &list, done, many, is_empty)).await?;
        self.partial.set(done.map(|key| Partial { end: changes.end, key }));
        if done.is_none() {
            self.is_empty.set(false);
        }
        Ok(done.is_none())
    }

    fn objects_in(&self, step: Step) -> usize {
        match step {
            Step::Gentle => OBJECTS_AT_ONCE_GENTLY,
            Step::Full => self.objects_at_once,
        }
    }

    /// The checkpoint that was under way when the process ended: what is up to its end and its key is in the index.
    pub(super) fn partial(&self) -> Option<Partial> {
        self.partial.get()
    }

    /// Stock files that wait to be unlinked, at most `limit`.
    pub(super) async fn removals(&self, limit: usize) -> std::io::Result<Vec<Removal>> {
        self.kv
            .read(move |txn| {
                let mut found = Vec::new();
                txn.scan(REMOVALS, Bound::Unbounded, Bound::Unbounded, false, &mut |(name, _)| {
                    found.push(decode_removal(name)?);
                    Ok(found.len() < limit)
                })?;
                Ok(found)
            })
            .await
    }

    /// They are unlinked.
    pub(super) async fn removed(&self, removals: Vec<Removal>) -> std::io::Result<()> {
        self.kv
            .write(move |txn| {
                for removal in &removals {
                    txn.delete(REMOVALS, &removal_key(&removal.key, &removal.file_name))?;
                }
                Ok(())
            })
            .await
    }

    /// What is alive in each volume that has something alive.
    pub(super) async fn usages(&self) -> std::io::Result<BTreeMap<u32, Usage>> {
        self.kv
            .read(|txn| {
                let mut usages = BTreeMap::new();
                txn.scan(VOLUMES, Bound::Unbounded, Bound::Unbounded, false, &mut |(key, value)| {
                    let volume = u32::from_be_bytes(key.try_into().map_err(|_| damaged("a volume's number"))?);
                    usages.insert(volume, decode_usage(value)?);
                    Ok(true)
                })?;
                Ok(usages)
            })
            .await
    }

    /// Entries from `from` on, at most `limit`; the key behind the last one looked at, `None` at the end.
    pub(super) async fn entries(
        &self,
        from: Option<Key>,
        limit: usize,
    ) -> std::io::Result<(Vec<(Key, Entry)>, Option<Key>)> {
        self.kv
            .read(move |txn| {
                let mut found = Vec::new();
                let mut last = None;
                buckets::walk(txn, from.as_ref().map(Key::bytes), &mut |(name, value)| {
                    let objects = bucket::decode(name, value).map_err(|damage| damaged(&damage.message))?;
                    for (key, entry) in objects.into_iter().filter(|(key, _)| Some(*key) > from) {
                        found.push((key, entry));
                        if found.len() >= limit {
                            last = Some(key);
                            return Ok(false);
                        }
                    }
                    Ok(true)
                })?;
                Ok((found, last))
            })
            .await
    }
}

/// Takes the changes of at most `many` objects behind `done` into the index, which `is_empty` but for those up to `done`; the last key,
/// `None` when it was the last of all.
fn checkpoint_some(
    txn: &mut WriteTxn<'_>,
    changes: &Changes,
    done: Option<Key>,
    many: usize,
    is_empty: bool,
) -> std::io::Result<Option<Key>> {
    let mut usages = BTreeMap::new();
    let mut displaced = Vec::new();
    let mut list = changes.behind(done).peekable();
    let mut editor = if is_empty { Editor::filling(done) } else { Editor::new() };
    let mut last = None;
    let mut taken = 0;
    // Ends: every turn takes the changes of one object.
    while let Some(key) = list.peek().map(|(key, _)| *key) {
        let key = &key;
        if taken >= many {
            editor.finish(txn)?;
            seal(txn, b"partial", &encode_partial(changes.end, last.unwrap_or(*key)))?;
            add_usages(txn, &usages)?;
            return Ok(last);
        }
        let mut entry = editor.get(txn, key)?;
        let before = entry.held.clone();
        displaced.clear();
        while let Some((_, change)) = list.next_if(|(next, _)| next == key) {
            entry.apply(change, &mut displaced);
        }
        count(&mut usages, &before, -1);
        count(&mut usages, &entry.held, 1);
        for held in displaced.iter().filter(|held| held.place.has_file()) {
            txn.put(REMOVALS, &removal_key(key, &held.version.file_name()), b"")?;
        }
        // A version that came back, healed by a replica, must not lose its new file.
        for held in entry.held.iter().filter(|held| held.place.has_file()) {
            txn.delete(REMOVALS, &removal_key(key, &held.version.file_name()))?;
        }
        editor.put(txn, key, entry)?;
        last = Some(*key);
        taken += 1;
    }
    editor.finish(txn)?;
    add_usages(txn, &usages)?;
    txn.delete(STATE, b"partial")?;
    seal(txn, b"end", &encode_position(changes.end))?;
    Ok(None)
}

/// Writes a value of `state`, with its checksum.
fn seal(txn: &mut WriteTxn<'_>, name: &[u8], value: &[u8]) -> std::io::Result<()> {
    let checksum = crc32c_append(crc32c(name), value).to_le_bytes();
    txn.put(STATE, name, &[value, checksum.as_slice()].concat())
}

/// A value of `state` that is what was written.
fn sealed<'t>(txn: &'t impl Read, name: &[u8]) -> std::io::Result<Option<&'t [u8]>> {
    txn.get(STATE, name)?.map(|value| unseal(name, value)).transpose()
}

fn unseal<'t>(name: &[u8], value: &'t [u8]) -> std::io::Result<&'t [u8]> {
    let (value, checksum) = value.split_last_chunk().ok_or_else(|| damaged("its state"))?;
    match u32::from_le_bytes(*checksum) == crc32c_append(crc32c(name), value) {
        true => Ok(value),
        false => Err(damaged("its state")),
    }
}

fn encode_store(store: u64) -> Vec<u8> {
    [FORMAT.to_le_bytes().as_slice(), store.to_le_bytes().as_slice()].concat()
}

fn decode_store(value: &[u8]) -> std::io::Result<u64> {
    let refuse = |format: u32| {
        let message =
            format!("the index is of format {format} and this release reads {FORMAT}; run martlet store rebuild-index");
        Err(Error::new(ErrorKind::InvalidData, message))
    };
    match value.split_first_chunk() {
        _ if value.len() == 8 => refuse(1),
        Some((format, store)) if u32::from_le_bytes(*format) == FORMAT => {
            Ok(u64::from_le_bytes(store.try_into().map_err(|_| damaged("state"))?))
        }
        Some((format, _)) => refuse(u32::from_le_bytes(*format)),
        None => Err(damaged("state")),
    }
}

fn encode_partial(end: Position, key: Key) -> Vec<u8> {
    [encode_position(end).as_slice(), key.bytes()].concat()
}

fn decode_partial(value: &[u8]) -> std::io::Result<Partial> {
    let wrong = || damaged("the mark of a checkpoint");
    let (end, key) = value.split_at_checked(value.len().saturating_sub(KEY_BYTES)).ok_or_else(wrong)?;
    Ok(Partial { end: decode_position(end)?, key: Key::from_bytes(key).ok_or_else(wrong)? })
}

/// Bytes and records that volumes won or lost.
type Usages = BTreeMap<u32, (i64, i64)>;

fn count(usages: &mut Usages, held: &[Held], sign: i64) {
    for at in held.iter().filter_map(|held| held.place.at()) {
        let usage = usages.entry(at.volume).or_default();
        usage.0 += sign * i64::from(at.length);
        usage.1 += sign;
    }
}

fn add_usages(txn: &mut WriteTxn<'_>, usages: &Usages) -> std::io::Result<()> {
    for (volume, (bytes, records)) in usages {
        let known = match txn.get(VOLUMES, &volume.to_be_bytes())? {
            Some(value) => decode_usage(value)?,
            None => Usage::default(),
        };
        let value = [
            known.live_bytes.saturating_add_signed(*bytes).to_le_bytes(),
            known.live_records.saturating_add_signed(*records).to_le_bytes(),
        ];
        txn.put(VOLUMES, &volume.to_be_bytes(), &value.concat())?;
    }
    Ok(())
}

fn decode_usage(value: &[u8]) -> std::io::Result<Usage> {
    let (bytes, records) = value.split_first_chunk::<8>().ok_or_else(|| damaged("a volume's usage"))?;
    let records = records.try_into().map_err(|_| damaged("a volume's usage"))?;
    Ok(Usage { live_bytes: u64::from_le_bytes(*bytes), live_records: u64::from_le_bytes(records) })
}

fn encode_position(position: Position) -> Vec<u8> {
    [
        position.volume.to_le_bytes().as_slice(),
        position.offset.to_le_bytes().as_slice(),
        position.sequence.to_le_bytes().as_slice(),
    ]
    .concat()
}

fn decode_position(value: &[u8]) -> std::io::Result<Position> {
    let wrong = || damaged("the position of the log");
    let (volume, rest) = value.split_first_chunk::<4>().ok_or_else(wrong)?;
    let (offset, sequence) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
    Ok(Position {
        volume: u32::from_le_bytes(*volume),
        offset: u64::from_le_bytes(*offset),
        sequence: u64::from_le_bytes(sequence.try_into().map_err(|_| wrong())?),
    })
}

fn removal_key(key: &Key, file_name: &str) -> Vec<u8> {
    [key.bytes(), file_name.as_bytes()].concat()
}

fn decode_removal(name: &[u8]) -> std::io::Result<Removal> {
    let (key, file_name) = name.split_at_checked(KEY_BYTES).ok_or_else(|| damaged("a removal"))?;
    let key = Key::from_bytes(key).ok_or_else(|| damaged("a removal"))?;
    let file_name = String::from_utf8(file_name.to_vec()).map_err(|_| damaged("a removal"))?;
    Ok(Removal { key, file_name })
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the index is damaged ({what}); run martlet store rebuild-index"))
}

#[cfg(test)]
mod tests;
