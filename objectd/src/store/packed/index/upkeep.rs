//! The transactions of compaction and reclaiming.
//!
//! # How a volume leaves
//!
//! A row of `state` says that the volume is being dropped and how far: `"drop" ++ volume → stage u8 [++ key]`. First its row in `volumes` goes,
//! then the counters of dead records are lowered in the order of the keys, some at a time, each transaction with the key it came to; then the
//! file is unlinked, and at last the row goes. A crash in between leaves the row, and the drop is finished from there: what was lowered
//! is not lowered again.
//!
//! While a counter may be lower than what lies in the volumes, nothing may be forgotten: `forget` refuses as long as there is such a row.

use super::{
    Editor, Index, KEY_BYTES, REMOVALS, STATE, Step, VOLUMES, add_usages, buckets, count, damaged, decode_usage,
    removal_key, seal, sealed, unseal,
};
use crate::store::packed::entry::{Change, Entry, Key};
use crate::store::packed::reclaim::is_forgettable;
use base::io::kv::{Read, WriteTxn};
use base::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::io::Error;
use std::ops::Bound;
use std::sync::Arc;

/// Begins the keys of volumes that are being dropped.
const DROP: &[u8] = b"drop";

/// How far the drop of a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The counters of objects up to this one are lowered.
    Lowering(Option<Key>),
    /// All are; the file may go.
    Lowered,
}

impl Stage {
    fn encode(self) -> Vec<u8> {
        match self {
            Stage::Lowering(None) => vec![0],
            Stage::Lowering(Some(key)) => [&[0], key.bytes()].concat(),
            Stage::Lowered => vec![1],
        }
    }

    fn decode(value: &[u8]) -> std::io::Result<Stage> {
        match value {
            [0] => Ok(Stage::Lowering(None)),
            [1] => Ok(Stage::Lowered),
            [0, key @ ..] => {
                Key::from_bytes(key).map(|key| Stage::Lowering(Some(key))).ok_or_else(|| damaged("a drop"))
            }
            _ => Err(damaged("a drop")),
        }
    }
}

/// A volume on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::packed) struct Dropping {
    /// Its number.
    pub volume: u32,
    /// Nothing is left to be done but to unlink it.
    pub is_lowered: bool,
}

impl Index {
    /// What the index says of several objects, in their order.
    pub(in crate::store::packed) async fn lookup_all(&self, keys: Vec<Key>) -> std::io::Result<Vec<Entry>> {
        self.kv.read(move |txn| keys.iter().map(|key| buckets::find(txn, key)).collect()).await
    }

    /// Forgets a volume whose records are all dead; `dead` says how many of each object. Durable when it answers `Ok`, and only then
    /// may the file go. Called again for the same volume it goes on where it was.
    pub(in crate::store::packed) async fn drop_volume(
        &self,
        volume: u32,
        dead: Arc<BTreeMap<Key, u32>>,
    ) -> std::io::Result<()> {
        // Ends: every turn takes objects out of `dead`, or was the last.
        while !self.lower_some(volume, dead.clone(), Step::Full).await? {}
        Ok(())
    }

    /// A step of it; whether it was the last.
    pub(in crate::store::packed) async fn lower_some(
        &self,
        volume: u32,
        dead: Arc<BTreeMap<Key, u32>>,
        step: Step,
    ) -> std::io::Result<bool> {
        let many = self.objects_in(step);
        Ok(self.kv.write(move |txn| lower_some(txn, volume, &dead, many)).await? == Stage::Lowered)
    }

    /// Volumes that are being dropped.
    pub(in crate::store::packed) async fn drops(&self) -> std::io::Result<Vec<Dropping>> {
        self.kv
            .read(|txn| {
                let mut drops = Vec::new();
                txn.scan(
                    STATE,
                    Bound::Included(DROP),
                    Bound::Excluded(b"drop\xff\xff\xff\xff\xff"),
                    false,
                    &mut |(key, value)| {
                        let number = key.strip_prefix(DROP).and_then(|number| number.try_into().ok());
                        let volume = u32::from_be_bytes(number.ok_or_else(|| damaged("a drop"))?);
                        drops.push(Dropping {
                            volume,
                            is_lowered: Stage::decode(unseal(key, value)?)? == Stage::Lowered,
                        });
                        Ok(true)
                    },
                )?;
                Ok(drops)
            })
            .await
    }

    /// The file of the volume is gone.
    pub(in crate::store::packed) async fn dropped(&self, volume: u32) -> std::io::Result<()> {
        self.kv.write(move |txn| txn.delete(STATE, &drop_key(volume))).await.map(drop)
    }

    /// Forgets deletions and lone POSTs older than `before` of those `keys` that have nothing else; the number of objects forgotten.
    /// Their records count as dead from then on. The caller asks only for objects that the memory table does not know.
    pub(in crate::store::packed) async fn forget(
        &self,
        keys: Arc<Vec<Key>>,
        before: Timestamp,
    ) -> std::io::Result<u64> {
        self.kv
            .write(move |txn| {
                if is_dropping(txn)? {
                    return Ok(0);
                }
                let mut usages = BTreeMap::new();
                let mut forgotten = 0;
                let mut editor = Editor::new();
                for key in keys.iter() {
                    let mut entry = editor.get(txn, key)?;
                    if !is_forgettable(&entry, before) || has_removal(txn, key)? {
                        continue;
                    }
                    count(&mut usages, &entry.held, -1);
                    let mut displaced = Vec::new();
                    for held in entry.held.clone().iter().copied() {
                        entry.apply(Change::Remove(held), &mut displaced);
                    }
                    for held in displaced.iter().filter(|held| held.place.has_file()) {
                        txn.put(REMOVALS, &removal_key(key, &held.version.file_name()), b"")?;
                    }
                    editor.put(txn, key, entry)?;
                    forgotten += 1;
                }
                editor.finish(txn)?;
                add_usages(txn, &usages)?;
                Ok(forgotten)
            })
            .await
    }
}

/// Begins a drop or takes it further.
fn lower_some(txn: &mut WriteTxn<'_>, volume: u32, dead: &BTreeMap<Key, u32>, many: usize) -> std::io::Result<Stage> {
    let stage = sealed(txn, &drop_key(volume))?.map(Stage::decode).transpose()?;
    let done = match stage {
        Some(Stage::Lowered) => return Ok(Stage::Lowered),
        Some(Stage::Lowering(done)) => done,
        None => {
            if let Some(value) = txn.get(VOLUMES, &volume.to_be_bytes())?
                && decode_usage(value)?.live_records > 0
            {
                return Err(Error::other(format!("volume {volume} still has living records")));
            }
            txn.delete(VOLUMES, &volume.to_be_bytes())?;
            None
        }
    };
    let from = done.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = dead.range((from, Bound::Unbounded));
    let mut last = None;
    let mut editor = Editor::new();
    for (key, count) in rest.by_ref().take(many) {
        let mut entry = editor.get(txn, key)?;
        if entry.dead < *count {
            tracing::error!(volume, dead = entry.dead, count, "more dead records in a volume than the index knows of");
        }
        entry.dead = entry.dead.saturating_sub(*count);
        editor.put(txn, key, entry)?;
        last = Some(*key);
    }
    editor.finish(txn)?;
    let stage = if rest.next().is_some() { Stage::Lowering(last) } else { Stage::Lowered };
    seal(txn, &drop_key(volume), &stage.encode())?;
    Ok(stage)
}

fn is_dropping(txn: &impl Read) -> std::io::Result<bool> {
    let mut is_dropping = false;
    txn.scan(STATE, Bound::Included(DROP), Bound::Excluded(b"drop\xff\xff\xff\xff\xff"), false, &mut |_| {
        is_dropping = true;
        Ok(false)
    })?;
    Ok(is_dropping)
}

/// Whether a stock file of the object has still to be unlinked.
fn has_removal(txn: &impl Read, key: &Key) -> std::io::Result<bool> {
    let mut found = false;
    txn.scan(REMOVALS, Bound::Included(key.bytes()), Bound::Unbounded, false, &mut |(name, _)| {
        found = name.get(..KEY_BYTES) == Some(key.bytes());
        Ok(false)
    })?;
    Ok(found)
}

fn drop_key(volume: u32) -> Vec<u8> {
    [DROP, &volume.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests;
