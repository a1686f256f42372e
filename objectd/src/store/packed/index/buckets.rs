//! Objects in the buckets of the table `entries`: finding one, walking over them, changing them.

use super::{ENTRIES, damaged};
use crate::store::packed::bucket::{self, Object, Packer};
use crate::store::packed::entry::{Entry, Key};
use base::io::kv::{Pair, Read, WriteTxn};
use std::ops::Bound;

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
        if let Some(entry) = bucket::find(name, value, key).map_err(|damage| damaged(&damage.message))? {
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
    objects: Vec<Object>,
}

/// The end of an index that is made from nothing.
struct Filling {
    last: Option<Key>,
    packer: Option<Packer>,
}

impl Editor {
    /// Of any index.
    pub(super) fn new() -> Self {
        Editor { open: None, filling: None }
    }

    /// Of an index that ends with the object `last`: only what comes behind may be changed, each object once.
    pub(super) fn filling(last: Option<Key>) -> Self {
        Editor { open: None, filling: Some(Filling { last, packer: None }) }
    }

    /// What is known of an object.
    pub(super) fn get(&mut self, txn: &mut WriteTxn<'_>, key: &Key) -> std::io::Result<Entry> {
        if self.filling.is_some() {
            return Ok(Entry::default());
        }
        let open = self.open(txn, key)?;
        let known = open.objects.binary_search_by_key(key, |(key, _)| *key).ok();
        Ok(known.and_then(|position| open.objects.get(position)).map(|(_, entry)| entry.clone()).unwrap_or_default())
    }

    /// What is to be known of it; an entry without anything to say leaves the index.
    pub(super) fn put(&mut self, txn: &mut WriteTxn<'_>, key: &Key, entry: Entry) -> std::io::Result<()> {
        if let Some(filling) = &mut self.filling {
            return if entry.is_empty() { Ok(()) } else { filling.append(txn, *key, &entry) };
        }
        let open = self.open(txn, key)?;
        open.is_changed = true;
        match open.objects.binary_search_by_key(key, |(key, _)| *key) {
            Ok(position) if entry.is_empty() => drop(open.objects.remove(position)),
            Ok(position) => {
                if let Some((_, known)) = open.objects.get_mut(position) {
                    *known = entry;
                }
            }
            Err(_) if entry.is_empty() => {}
            Err(position) => open.objects.insert(position, (*key, entry)),
        }
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
        let Some(open) = self.open.take().filter(|open| open.is_changed) else { return Ok(()) };
        if open.objects.is_empty() && open.is_stored {
            txn.delete(ENTRIES, &open.name)?;
        }
        for (name, value) in bucket::divide(open.name, &open.objects) {
            txn.put(ENTRIES, &name, &value)?;
        }
        Ok(())
    }
}

impl Open {
    /// The bucket in which the object is or belongs.
    fn of(txn: &impl Read, key: &Key) -> std::io::Result<Open> {
        let name = bucket::first_name(key);
        let mut open = Open { name, is_stored: false, is_changed: false, end: None, objects: Vec::new() };
        with_bucket(txn, key, &mut |(name, value)| {
            open.objects = bucket::decode(name, value).map_err(|damage| damaged(&damage.message))?;
            (open.name, open.is_stored) = (name.to_vec(), true);
            Ok(())
        })?;
        txn.scan(ENTRIES, Bound::Excluded(&open.name), Bound::Unbounded, false, &mut |(name, _)| {
            open.end = Some(name.to_vec());
            Ok(false)
        })?;
        Ok(open)
    }

    fn holds(&self, key: &Key) -> bool {
        let is_behind = |end: &Vec<u8>| key.bytes() >= end.as_slice();
        key.bytes() >= self.name.as_slice()
            && bucket::policy_of(key.bytes()) == bucket::policy_of(&self.name)
            && !self.end.as_ref().is_some_and(is_behind)
    }
}

impl Filling {
    fn append(&mut self, txn: &mut WriteTxn<'_>, key: Key, entry: &Entry) -> std::io::Result<()> {
        let is_of_policy = self.last.is_some_and(|last| last.policy() == key.policy());
        if let Some(packer) = self.packer.take_if(|packer| !is_of_policy || !packer.has_room(key, entry)) {
            let (name, value) = packer.finish();
            txn.append(ENTRIES, &name, &value)?;
        }
        let packer = self.packer.get_or_insert_with(|| {
            Packer::new(match self.last.filter(|_| is_of_policy) {
                Some(last) => bucket::name_between(&last, &key),
                None => bucket::first_name(&key),
            })
        });
        packer.add(key, entry);
        self.last = Some(key);
        Ok(())
    }
}
