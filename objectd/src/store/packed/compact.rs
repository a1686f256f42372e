//! Compaction: the living records of a volume are written anew at the end of the log, and the volume goes.
//!
//! One volume at a time, read once from its beginning in pieces, with a rest after each (`pace`). A record lives when the index names it at
//! this very place; it goes through the same log as every other write, as the same version, and where two records of a version are known the later
//! one counts. What a client writes meanwhile is newer and wins as always.
//!
//! # What holds at every moment
//!
//! - A volume leaves the index after a checkpoint brought all moves into it, and its file goes after that.
//! - The counters of dead records go down by what the volume holds in the transactions that take it out of the index.
//! - A record that takes a damaged version out of use lives like any other as long as its object's entry names it, and is moved. An index
//!   made from the volumes would serve what the version had replaced, if only the record went.
//! - A crash anywhere leaves at worst some records twice, or a drop half done that `finish_drops` takes to its end.
//! - What was in memory is so afterwards, under its new place, and what was not does not get there: readers notice nothing of a move.
//! - A record that lives and cannot be read is read once more by itself, and quarantined if it is damaged: the replicas have it.

use super::entry::{At, Entry, Held, Key};
use super::log::{Append, Effect};
use super::pace::Pace;
use super::quarantine;
use super::record::{self, Head, Identity, Kind, Spot};
use super::scan::Found;
use super::store::Store;
use super::sweep::{Source, Sweep, told_end};
use super::volume::HEADER_BYTES;
use base::io::fs::Volume;
use base::io::maintenance::Reader;
use base::io::{self, Instant};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Bytes that wait for one flush: a foreground write that comes behind them waits for no more than these, and a read for the core to hand
/// over so many small records, some 0.1 ms.
const GROUP_BYTES: u64 = 128 * 1024;
/// The part of a scan's time that counts as work of the core, as a divisor: with the least rest of gentle work it is a quarter again.
const BEHIND_COUNTS: u32 = 12;
/// Entries looked at in one transaction.
const ENTRIES_AT_ONCE: usize = 1024;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Records moved.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that lived and were damaged.
    pub quarantined: u64,
}

/// The turns that background work takes, with rests between them.
pub struct Turns<'a> {
    store: &'a Rc<Store>,
    pace: Pace,
    is_urgent: bool,
    is_ending: &'a dyn Fn() -> bool,
    /// What counts of this turn before `begun`.
    counted: Duration,
    begun: Instant,
}

impl<'a> Turns<'a> {
    /// Work on this store that ends early when `is_ending` says so.
    pub fn new(store: &'a Rc<Store>, is_urgent: bool, is_ending: &'a dyn Fn() -> bool) -> Self {
        Turns { store, pace: Pace::gentle(), is_urgent, is_ending, counted: Duration::ZERO, begun: io::monotonic() }
    }

    /// The end of a turn: rests as long as the foreground needs. `Interrupted` when the work should end.
    pub async fn next(&mut self) -> std::io::Result<()> {
        if (self.is_ending)() {
            return Err(ErrorKind::Interrupted.into());
        }
        let now = io::monotonic();
        let foreground = self.store.foreground();
        let work = self.counted + now.since(self.begun);
        let rest = self.pace.rest(&foreground, now.as_nanos(), work, self.is_urgent);
        if !rest.is_zero() {
            io::sleep(rest).await;
        }
        self.begun = io::monotonic();
        self.counted = Duration::ZERO;
        Ok(())
    }

    /// Brings all moves so far into the index.
    async fn checkpoint(&self) -> std::io::Result<()> {
        match self.is_urgent {
            true => self.store.checkpoint_at_once().await,
            false => self.store.checkpoint().await,
        }
    }

    /// What this turn did so far was to wait for threads that give way by themselves: most of the time they stood still.
    fn was_behind(&mut self) {
        let now = io::monotonic();
        self.counted += now.since(self.begun) / BEHIND_COUNTS;
        self.begun = now;
    }
}

/// Moves what lives in a volume and takes it out of the store. `InvalidInput` for one that may still be written or replayed.
pub async fn compact(
    store: &Rc<Store>,
    reader: &Reader,
    volume: u32,
    turns: &mut Turns<'_>,
) -> std::io::Result<Compacted> {
    turns.checkpoint().await?;
    if volume >= store.memory.borrow().end().volume {
        return Err(Error::new(ErrorKind::InvalidInput, "the volume is still in use"));
    }
    let mut compacted = Compacted::default();
    let has_living = usage(store, volume).await? > 0;
    let dead = sweep(store, reader, volume, has_living.then_some(&mut compacted), turns).await?;
    if has_living {
        turns.checkpoint().await?;
        turns.next().await?;
        if usage(store, volume).await? > 0 {
            rescue(store, volume, &mut compacted).await?;
            turns.checkpoint().await?;
        }
    }
    drop_volume(store, volume, dead, turns).await?;
    store.count(|counts| {
        counts.compactions += 1;
        counts.moved_records += compacted.records;
        counts.moved_bytes += compacted.bytes;
    });
    Ok(compacted)
}

/// Takes drops to their end that a crash cut off.
pub async fn finish_drops(store: &Rc<Store>, reader: &Reader, turns: &mut Turns<'_>) -> std::io::Result<()> {
    for dropping in store.index.drops().await? {
        let dead = match dropping.is_lowered {
            true => BTreeMap::new(),
            false => match sweep(store, reader, dropping.volume, None, turns).await {
                Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
                dead => dead?,
            },
        };
        drop_volume(store, dropping.volume, dead, turns).await?;
    }
    Ok(())
}

async fn usage(store: &Store, volume: u32) -> std::io::Result<u64> {
    Ok(store.usages().await?.get(&volume).map_or(0, |usage| usage.live_records))
}

async fn drop_volume(
    store: &Store,
    volume: u32,
    dead: BTreeMap<Key, u32>,
    turns: &mut Turns<'_>,
) -> std::io::Result<()> {
    let dead = Arc::new(dead);
    // Ends: every turn takes objects out of `dead`, or was the last.
    while !store.index.lower_some(volume, dead.clone(), turns.store.step(turns.is_urgent)).await? {
        turns.next().await?;
    }
    match store.log.unlink(volume).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        result => result?,
    }
    store.index.dropped(volume).await
}

/// Reads a volume from its beginning, moves what lives if asked to, and counts its records by object.
async fn sweep(
    store: &Rc<Store>,
    reader: &Reader,
    volume: u32,
    mut compacted: Option<&mut Compacted>,
    turns: &mut Turns<'_>,
) -> std::io::Result<BTreeMap<Key, u32>> {
    let victim = store.log.volume(volume).await?;
    let length = victim.len();
    let end = told_end(&store.log, volume).await?;
    // Beside a busy core the reader's threads may come to next to nothing.
    let source = match turns.is_urgent {
        true => Source::Volume(victim.clone()),
        false => Source::File(reader.clone(), store.log.path(volume)),
    };
    let limit = end.unwrap_or(length).min(length);
    let mut sweep = Sweep::new(source, store.log.store(), volume, HEADER_BYTES, limit);
    let mut tally = Tally::default();
    // Ends: every turn reads on, up to the end of the volume.
    while let Some(found) = sweep.next().await? {
        turns.was_behind();
        let mut records = Vec::new();
        for item in found {
            tally.see(&item);
            if let Found::Record { offset, lengths, head } = item
                && compacted.is_some()
            {
                records.push((At { volume, offset, length: lengths.head + lengths.body }, head));
            }
        }
        if let Some(compacted) = &mut compacted {
            move_living(store, &victim, &sweep, records, compacted, turns).await?;
        }
        turns.next().await?;
    }
    Ok(tally.finish(end.is_some()))
}

/// Records of a volume by object: what its counters go down by. Damage behind the last good record may have been cut off after a crash
/// and was not counted then; where it is not known where the log ended it is left out, which errs to the side that forgets nothing.
#[derive(Debug, Default)]
pub(super) struct Tally {
    records: BTreeMap<Key, u32>,
    damaged: Vec<Key>,
}

impl Tally {
    pub(super) fn see(&mut self, found: &Found) {
        match found {
            Found::Record { head, .. } => {
                self.add_damaged();
                *self.records.entry(key(head)).or_default() += 1;
            }
            Found::Damaged { fixed: Some(fixed), .. } => {
                self.damaged.push(Key::new(fixed.policy, fixed.hash));
            }
            Found::Damaged { fixed: None, .. } | Found::Brief { .. } => {}
        }
    }

    fn add_damaged(&mut self) {
        for key in self.damaged.drain(..) {
            *self.records.entry(key).or_default() += 1;
        }
    }

    pub(super) fn finish(mut self, knows_end: bool) -> BTreeMap<Key, u32> {
        if knows_end {
            self.add_damaged();
        }
        self.records
    }
}

fn key(head: &Head) -> Key {
    Key::new(head.identity.policy, head.identity.hash)
}

/// A record once more; `is_cold` when its bytes were not in memory.
fn again(head: Head, body: Vec<Bytes>, is_cold: bool) -> Append {
    // One that says nothing never got into an entry, so it does not live.
    let lost = if head.kind == Kind::Quarantine { quarantine::decode(&head) } else { None };
    Append { head, body, effect: lost.map_or(Effect::Insert, Effect::Lose), may_use_reserve: true, is_cold }
}

fn lives(entry: &Entry, at: At, head: &Head) -> bool {
    entry.held.iter().any(|held| held.place.at() == Some(at) && held.version == head.version)
}

async fn move_living(
    store: &Rc<Store>,
    victim: &Volume,
    sweep: &Sweep,
    records: Vec<(At, Box<Head>)>,
    compacted: &mut Compacted,
    turns: &mut Turns<'_>,
) -> std::io::Result<()> {
    let keys = records.iter().map(|(_, head)| key(head)).collect();
    let entries = store.lookup_all(keys).await?;
    let (mut warm, mut cold) = (Group::default(), Group::default());
    for ((at, head), entry) in records.into_iter().zip(entries) {
        if !lives(&entry, at, &head) {
            continue;
        }
        let body_bytes = if head.kind == Kind::Packed { head.body_bytes } else { 0 };
        let start = at.offset + u64::from(at.length) - body_bytes;
        let body = sweep.cut(start, body_bytes).ok_or_else(|| Error::other("a record longer than any"))?;
        let is_cold = !victim.is_cached(at.offset, at.length);
        let group = if is_cold { &mut cold } else { &mut warm };
        group.appends.push(again(*head, body, is_cold));
        group.bytes += u64::from(at.length);
        compacted.records += 1;
        compacted.bytes += u64::from(at.length);
        if group.bytes >= GROUP_BYTES {
            append_all(store, std::mem::take(group).appends).await?;
            turns.next().await?;
        }
    }
    append_all(store, warm.appends).await?;
    append_all(store, cold.appends).await
}

/// Records that share a flush: all of them were in memory, or none was.
#[derive(Default)]
struct Group {
    appends: Vec<Append>,
    bytes: u64,
}

/// Appends several records at once, so that they share a flush.
async fn append_all(store: &Rc<Store>, group: Vec<Append>) -> std::io::Result<()> {
    type Appending<'a> = Pin<Box<dyn Future<Output = std::io::Result<At>> + 'a>>;
    let mut appending: Vec<Appending> =
        group.into_iter().map(|append| Box::pin(store.append_behind(append)) as Appending).collect();
    poll_fn(|context| {
        let mut failed = None;
        appending.retain_mut(|one| match one.as_mut().poll(context) {
            Poll::Ready(Ok(_)) => false,
            Poll::Ready(Err(error)) => {
                failed = Some(error);
                false
            }
            Poll::Pending => true,
        });
        match failed {
            // The others are written all the same: they count, and the next run finds them moved.
            Some(error) => Poll::Ready(Err(error)),
            None if appending.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

/// The index still names records of the volume that the scan did not find whole.
async fn rescue(store: &Rc<Store>, volume: u32, compacted: &mut Compacted) -> std::io::Result<()> {
    let mut from = None;
    // Ends: every turn goes on behind the last key, to the end of the index.
    loop {
        let (entries, last) = store.index.entries(from, ENTRIES_AT_ONCE).await?;
        for (key, entry) in &entries {
            for held in &entry.held {
                if let Some(at) = held.place.at().filter(|at| at.volume == volume) {
                    rescue_one(store, key, *held, at, compacted).await?;
                }
            }
        }
        from = last;
        if from.is_none() {
            return Ok(());
        }
    }
}

async fn rescue_one(
    store: &Rc<Store>,
    key: &Key,
    held: Held,
    at: At,
    compacted: &mut Compacted,
) -> std::io::Result<()> {
    let identity = match read_again(store, key, held, at).await? {
        Ok(append) => {
            compacted.records += 1;
            compacted.bytes += u64::from(at.length);
            return store.append_behind(append).await.map(drop);
        }
        Err(identity) => identity,
    };
    let (root, name) = (store.root.display(), &identity.name);
    tracing::error!(%root, name, hash = %key.hash().hex(), place = ?held.place, "quarantined: damaged when its volume was compacted");
    compacted.quarantined += 1;
    store.lose(quarantine::encode(identity, held), held).await
}

/// The record, read by itself; whose it was when it is damaged.
async fn read_again(store: &Store, key: &Key, held: Held, at: At) -> std::io::Result<Result<Append, Identity>> {
    let unknown = Identity { policy: key.policy(), hash: key.hash(), name: String::new() };
    let length = usize::try_from(at.length).unwrap_or(usize::MAX);
    let volume = store.log.volume(at.volume).await?;
    let is_cold = !volume.is_cached(at.offset, at.length);
    let bytes = match volume.read(at.offset, length).await {
        Ok(bytes) => bytes,
        Err(error) if crate::store::diskfile::is_unreadable(&error) => return Ok(Err(unknown)),
        Err(error) => return Err(error),
    };
    let spot = Spot { store: store.log.store(), volume: at.volume, offset: at.offset };
    let Ok((head, lengths)) = Head::decode(&bytes, spot) else { return Ok(Err(unknown)) };
    let body = bytes.slice(usize::try_from(lengths.head).unwrap_or(usize::MAX).min(bytes.len())..);
    let is_whole = lengths.total() == u64::from(at.length)
        && body.len() as u64 == u64::from(lengths.body)
        && self::key(&head) == *key
        && head.version == held.version
        && (lengths.body == 0 || record::verify_blocks(&head.checksums, 0, &body).is_ok());
    Ok(match is_whole {
        true => Ok(again(head, vec![body], is_cold)),
        false => Err(head.identity),
    })
}

#[cfg(test)]
mod tests;
