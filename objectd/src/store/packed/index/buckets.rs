//! Objects in the buckets of the table `entries`: finding one, walking over them, changing them.

use super::{ENTRIES, damaged};
use crate::store::packed::bucket::{self, BYTES_MAX, Packer, Pieces};
use crate::store::packed::entry::{Entry, Key};
use crate::store::packed::record::Damage;
use base::io::kv::{Pair, Read, WriteTxn};
use std::io::Error;
use std::ops::Bound;

/// Buckets behind a full one that are divided anew together with it, as long as it makes pages fuller. Alone it would leave two halves, and pages
/// would be 69 % full (Yao's ln 2); with two neighbours they are 87 %.
const NEIGHBOURS_MAX: usize = 2;
/// So full that no neighbour is asked, in hundredths.
const WELL_FILLED: usize = 90;
/// A bucket that shrank below this goes into the one before it if that has room.
const SPARSE_BYTES: usize = BYTES_MAX / 4;

/// Hands the bucket in which the object is, if it is in any, to `visit`.
fn with_bucket(
    txn: &impl Read,
    key: &Key,
    visit: &mut dyn FnMut(Pair<'_>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let first = bucket::policy_of(key.bytes());
    let (from, to) = (Bound::Included(first), Bound::Included(key.bytes()));
    txn.scan(ENTRIES, from, to, true, &mut |pair| visit(pair).map(|()| false))
}

/// What the index says of an object; nothing of one that is not in it.
pub(super) fn find(txn: &impl Read, key: &Key) -> std::io::Result<Entry> {
    let mut found = Entry::default();
    with_bucket(txn, key, &mut |(name, value)| {
        if let Some(entry) = bucket::find(name, value, key).map_err(refused)? {
            found = entry;
        }
        Ok(())
    })?;
    Ok(found)
}

/// Hands buckets in the order of their keys to `visit`, from the one in which an object of the key `from` is or would be, as long as it
/// answers true.
pub(super) fn walk(
    txn: &impl Read,
    from: Option<&[u8]>,
    visit: &mut dyn FnMut(Pair<'_>) -> std::io::Result<bool>,
) -> std::io::Result<()> {
    let mut start = None;
    if let Some(from) = from {
        txn.scan(ENTRIES, Bound::Unbounded, Bound::Included(from), true, &mut |(name, _)| {
            start = Some(name.to_vec());
            Ok(false)
        })?;
    }
    let from = start.as_deref().map_or(Bound::Unbounded, Bound::Included);
    txn.scan(ENTRIES, from, Bound::Unbounded, false, visit)
}

/// Changes entries, bucket by bucket as long as they come in the order of their keys. `finish` writes the last one.
pub(super) struct Editor {
    open: Option<Open>,
    /// Nothing is in the index but what came through here or before `after`: keys only ascend, and nothing is looked for.
    filling: Option<Filling>,
}

/// A bucket that is being changed.
struct Open {
    name: Vec<u8>,
    /// The index has a bucket of this key.
    is_stored: bool,
    is_changed: bool,
    /// The key of the next one.
    end: Option<Vec<u8>>,
    objects: Pieces,
}

/// The end of an index that is made from nothing.
struct Filling {
    last: Option<Key>,
    packer: Option<Packer>,
    /// Of the entry that is added.
    bytes: Vec<u8>,
}

impl Editor {
    /// Of any index.
    pub(super) fn new() -> Self {
        Editor { open: None, filling: None }
    }

    /// Of an index that ends with the object `last`: only what comes behind may be changed, each object once.
    pub(super) fn filling(last: Option<Key>) -> Self {
        Editor { open: None, filling: Some(Filling { last, packer: None, bytes: Vec::new() }) }
    }

    /// What is known of an object.
    pub(super) fn get(&mut self, txn: &mut WriteTxn<'_>, key: &Key) -> std::io::Result<Entry> {
        if self.filling.is_some() {
            return Ok(Entry::default());
        }
        self.open(txn, key)?.objects.get(key).map_err(refused)
    }

    /// What is to be known of it; an entry without anything to say leaves the index.
    pub(super) fn put(&mut self, txn: &mut WriteTxn<'_>, key: &Key, entry: Entry) -> std::io::Result<()> {
        if let Some(filling) = &mut self.filling {
            return if entry.is_empty() { Ok(()) } else { filling.append(txn, *key, &entry) };
        }
        let open = self.open(txn, key)?;
        open.is_changed = true;
        open.objects.put(*key, &entry);
        Ok(())
    }

    /// Everything is written.
    pub(super) fn finish(mut self, txn: &mut WriteTxn<'_>) -> std::io::Result<()> {
        if let Some(packer) = self.filling.take().and_then(|filling| filling.packer) {
            let (name, value) = packer.finish();
            txn.append(ENTRIES, &name, &value)?;
        }
        self.close(txn)
    }

    fn open(&mut self, txn: &mut WriteTxn<'_>, key: &Key) -> std::io::Result<&mut Open> {
        if !self.open.as_ref().is_some_and(|open| open.holds(key)) {
            self.close(txn)?;
        }
        match &mut self.open {
            Some(open) => Ok(open),
            closed => Ok(closed.insert(Open::of(txn, key)?)),
        }
    }

    fn close(&mut self, txn: &mut WriteTxn<'_>) -> std::io::Result<()> {
        let Some(mut open) = self.open.take().filter(|open| open.is_changed) else { return Ok(()) };
        open.join_behind(txn)?;
        open.join_before(txn)?;
        if open.objects.is_empty() && open.is_stored {
            txn.delete(ENTRIES, &open.name)?;
        }
        for (name, value) in open.objects.divide(open.name) {
            txn.put(ENTRIES, &name, &value)?;
        }
        Ok(())
    }
}

impl Open {
    /// The bucket in which the object is or belongs.
    fn of(txn: &impl Read, key: &Key) -> std::io::Result<Open> {
        let name = bucket::first_name(key);
        let mut open = Open { name, is_stored: false, is_changed: false, end: None, objects: Pieces::default() };
        with_bucket(txn, key, &mut |(name, value)| {
            open.objects.read(name, value).map_err(refused)?;
            (open.name, open.is_stored) = (name.to_vec(), true);
            Ok(())
        })?;
        open.end = name_behind(txn, &open.name)?;
        Ok(open)
    }

    /// Takes buckets behind it in that are to be divided anew with it.
    fn join_behind(&mut self, txn: &mut WriteTxn<'_>) -> std::io::Result<()> {
        for _ in 0..NEIGHBOURS_MAX {
            let bytes = self.objects.bytes();
            if bytes <= BYTES_MAX || bytes * 100 > bucket::divided_count(bytes) * BYTES_MAX * WELL_FILLED {
                break;
            }
            let policy = bucket::policy_of(&self.name);
            let Some(next) = self.end.take_if(|end| bucket::policy_of(end) == policy) else { break };
            let value = txn.get(ENTRIES, &next)?.ok_or_else(|| damaged("a bucket that was there a moment ago"))?;
            let mut joined = Pieces::default();
            // What is damaged stays as it is: only its own objects suffer.
            if joined.read(&next, value).is_err() {
                break;
            }
            self.objects.append(&joined);
            txn.delete(ENTRIES, &next)?;
            self.end = name_behind(txn, &next)?;
        }
        Ok(())
    }

    /// Goes into the bucket before it, if little is left of it and that has room.
    fn join_before(&mut self, txn: &mut WriteTxn<'_>) -> std::io::Result<()> {
        let bytes = self.objects.bytes();
        if bytes >= SPARSE_BYTES || self.objects.is_empty() {
            return Ok(());
        }
        let (from, to) = (Bound::Included(bucket::policy_of(&self.name)), Bound::Excluded(self.name.as_slice()));
        let mut joined = None;
        txn.scan(ENTRIES, from, to, true, &mut |(name, value)| {
            if bytes + value.len() <= BYTES_MAX - SPARSE_BYTES {
                let mut objects = Pieces::default();
                joined = objects.read(name, value).is_ok().then(|| (name.to_vec(), objects));
            }
            Ok(false)
        })?;
        if let Some((name, mut objects)) = joined {
            if self.is_stored {
                txn.delete(ENTRIES, &self.name)?;
            }
            objects.append(&self.objects);
            (self.name, self.objects, self.is_stored) = (name, objects, true);
        }
        Ok(())
    }

    fn holds(&self, key: &Key) -> bool {
        let is_behind = |end: &Vec<u8>| key.bytes() >= end.as_slice();
        key.bytes() >= self.name.as_slice()
            && bucket::policy_of(key.bytes()) == bucket::policy_of(&self.name)
            && !self.end.as_ref().is_some_and(is_behind)
    }
}

/// The key of the bucket behind the one of this key.
fn name_behind(txn: &impl Read, name: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    let mut behind = None;
    txn.scan(ENTRIES, Bound::Excluded(name), Bound::Unbounded, false, &mut |(name, _)| {
        behind = Some(name.to_vec());
        Ok(false)
    })?;
    Ok(behind)
}

fn refused(damage: Damage) -> Error {
    damaged(&damage.message)
}

impl Filling {
    fn append(&mut self, txn: &mut WriteTxn<'_>, key: Key, entry: &Entry) -> std::io::Result<()> {
        self.bytes.clear();
        entry.encode(&mut self.bytes);
        let is_of_policy = self.last.is_some_and(|last| last.policy() == key.policy());
        if let Some(packer) = self.packer.take_if(|packer| !is_of_policy || !packer.has_room(key, self.bytes.len())) {
            let (name, value) = packer.finish();
            txn.append(ENTRIES, &name, &value)?;
        }
        let packer = self.packer.get_or_insert_with(|| {
            Packer::new(match self.last.filter(|_| is_of_policy) {
                Some(last) => bucket::name_between(&last, &key),
                None => bucket::first_name(&key),
            })
        });
        packer.add(key, &self.bytes);
        self.last = Some(key);
        Ok(())
    }
}
