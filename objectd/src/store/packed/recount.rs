//! Whether what the index counts is what the volumes hold: every record is named by its object's entry, or counted there as dead.
//!
//! For tests: an independent and simpler look than `check`. Nothing may be written meanwhile.

use super::compact::Tally;
use super::entry::{Entry, Key};
use super::store::Store;
use super::sweep::{Source, Sweep, told_end};
use super::volume::HEADER_BYTES;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Entries looked at in one transaction.
const ENTRIES_AT_ONCE: usize = 4096;

/// What was counted, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recount {
    /// Objects of the index.
    pub objects: u64,
    /// Records of volumes.
    pub records: u64,
    /// Those that count no more.
    pub dead: u64,
    /// Objects whose counter is too low: an index made anew could bring older bytes back.
    pub too_low: Vec<String>,
    /// Objects whose counter is too high: they are never forgotten. Damage does that.
    pub too_high: Vec<String>,
    /// Volumes whose living bytes or records are counted wrongly.
    pub usages: Vec<String>,
}

impl Recount {
    /// Nothing is wrong.
    pub(super) fn is_right(&self) -> bool {
        self.too_low.is_empty() && self.too_high.is_empty() && self.usages.is_empty()
    }
}

/// Scans all volumes and compares.
pub(super) async fn recount(store: &Rc<Store>) -> std::io::Result<Recount> {
    store.checkpoint().await?;
    let mut records: BTreeMap<Key, u64> = BTreeMap::new();
    for volume in store.log.numbers().await? {
        for (key, count) in scan(store, volume).await? {
            *records.entry(key).or_default() += u64::from(count);
        }
    }
    let mut recount = Recount { records: records.values().sum(), ..Recount::default() };
    let mut usages: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut from = None;
    // Ends: every turn goes on behind the last key, to the end of the index.
    loop {
        let (entries, last) = store.index.entries(from, ENTRIES_AT_ONCE).await?;
        for (key, entry) in &entries {
            for at in entry.held.iter().filter_map(|held| held.place.at()) {
                let usage = usages.entry(at.volume).or_default();
                usage.0 += u64::from(at.length);
                usage.1 += 1;
            }
            recount.compare(key, entry, records.remove(key).unwrap_or_default());
        }
        from = last;
        if from.is_none() {
            break;
        }
    }
    for (key, count) in &records {
        recount.compare(key, &Entry::default(), *count);
    }
    for (volume, usage) in store.usages().await? {
        let counted = usages.remove(&volume).unwrap_or_default();
        if (usage.live_bytes, usage.live_records) != counted {
            recount.usages.push(format!("volume {volume}: {usage:?}, counted {counted:?}"));
        }
    }
    recount.usages.extend(usages.iter().map(|(volume, counted)| format!("volume {volume}: none, counted {counted:?}")));
    Ok(recount)
}

impl Recount {
    fn compare(&mut self, key: &Key, entry: &Entry, records: u64) {
        let held = entry.held.iter().filter(|held| held.place.at().is_some()).count() as u64;
        let dead = u64::from(entry.dead);
        self.objects += 1;
        self.dead += records.saturating_sub(held);
        let tell = || format!("{}/{}: {dead} dead, {held} held, {records} found", key.policy(), key.hash().hex());
        match (held + dead).cmp(&records) {
            std::cmp::Ordering::Less => self.too_low.push(tell()),
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => self.too_high.push(tell()),
        }
    }
}

async fn scan(store: &Rc<Store>, volume: u32) -> std::io::Result<BTreeMap<Key, u32>> {
    let opened = store.log.volume(volume).await?;
    let length = opened.len();
    let log_end = store.memory.borrow().end();
    let end = match log_end.volume == volume {
        true => Some(log_end.offset),
        false => told_end(&store.log, volume).await?,
    };
    let limit = end.unwrap_or(length).min(length);
    let mut sweep = Sweep::new(Source::Volume(opened), store.log.store(), volume, HEADER_BYTES, limit);
    let mut tally = Tally::default();
    // Ends: every turn reads on, up to the end of the volume.
    while let Some(found) = sweep.next().await? {
        found.iter().for_each(|item| tally.see(item));
    }
    Ok(tally.finish(end.is_some()))
}
