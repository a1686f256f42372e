//! Checks a whole device: every volume, every entry of the index, every stock file, and that they tell the same.
//!
//! It runs on a device that is served, or on one that was opened for it. Memory is bounded: the index is read in the order of its keys, the
//! volumes in the order of the log, and what both must agree on is compared as sums. What is found while others write is looked at once
//! more before it is told; sums are only compared when nothing was written meanwhile.
//!
//! # What is compared
//!
//! - Every byte of a volume up to the end of the log: heads, bodies, padding (`scan`). Behind it zeros.
//! - Every record that the index names is at its place, and is that version of that object. Each volume has as many as the index says.
//! - Records that count no more are as many as the entries say: sums over keys, in 4,096 classes.
//! - Large objects by the checksums of their blocks and their attributes; adopted files by size, MD5 and attributes.
//! - Every stock file is named by an entry.
//!
//! With `repair`, versions that are damaged are quarantined, files that nothing names are moved to where the operator finds them, and
//! sums of volumes are set right; the replicas heal what is missing then. A damaged index is rebuilt by `rebuild`.

mod file;
mod report;
mod volume;

pub use report::{Finding, Report, What};

use super::entry::{At, Entry, Held, Key, Place};
use super::index::Usage;
use super::memory::Position;
use super::quarantine;
use super::record::Identity;
use super::store::{self, Store};
use super::sweep::Progress;
use super::tree::{self, Tree};
use crate::config::Config;
use crate::node;
use base::checksum::crc32c;
use base::hash_path::HashPath;
use base::io::fs;
use base::io::maintenance::Reader;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Entries of the index looked at in one transaction.
const ENTRIES_AT_ONCE: usize = 2048;
/// Classes of keys whose dead records are compared: by the first bits of their hash.
const CLASSES: usize = 4096;
/// Files that seem to be nobody's, looked at together once more.
const SUSPECTS_AT_ONCE: usize = 1024;
/// Places that were told of, so that they are told once.
const TOLD_MAX: usize = 100_000;

/// Checks the device in the directory `root`, which nobody serves: locks it, opens it, replays its log, checks it.
pub async fn run(root: &Path, config: &Config, repair: bool, progress: Progress<'_>) -> std::io::Result<Report> {
    let _lock = node::lock(root).await?;
    let directory = root.join(store::DIRECTORY);
    if fs::metadata(&directory).await.is_err() {
        let message = format!("there is no packed store: no {}", directory.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let store = Store::open(root, config).await?;
    check(&store, &config.hash_path, &Reader::new("check"), repair, progress).await
}

/// Checks the device of this store, which may be served meanwhile. `hash_path` is the cluster's secret, by which names are compared with hashes.
pub async fn check(
    store: &Rc<Store>,
    hash_path: &HashPath,
    reader: &Reader,
    repair: bool,
    progress: Progress<'_>,
) -> std::io::Result<Report> {
    store.checkpoint().await?;
    let (end, checkpoints) = (store.memory.borrow().end(), store.memory.borrow().checkpoints());
    let mut check = Check {
        store,
        hash_path,
        reader,
        repair,
        end,
        checkpoints,
        report: Report::default(),
        counted: BTreeMap::new(),
        suspects: BTreeSet::new(),
        dead: vec![0; CLASSES],
        dead_is_known: true,
        told: BTreeSet::new(),
        done: 0,
        total: 0,
        progress,
    };
    check.volumes_ahead().await?;
    check.entries().await?;
    check.volumes().await?;
    check.suspects().await?;
    check.sums().await?;
    check.state().await?;
    check.orphans().await?;
    if check.report.repaired > 0 {
        store.checkpoint().await?;
    }
    Ok(check.report)
}

struct Check<'a> {
    store: &'a Rc<Store>,
    hash_path: &'a HashPath,
    reader: &'a Reader,
    repair: bool,
    /// Where the log ended when the check began. What is written later is not looked at.
    end: Position,
    checkpoints: u64,
    report: Report,
    /// What lives in each volume by the entries.
    counted: BTreeMap<u32, Usage>,
    /// Volumes in which not all was found that the entries name.
    suspects: BTreeSet<u32>,
    /// Sums over the keys of dead records: those of the entries less those found.
    dead: Vec<u64>,
    /// All dead records could be counted.
    dead_is_known: bool,
    told: BTreeSet<At>,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl Check<'_> {
    /// Nothing was written since the check began.
    fn is_quiet(&self) -> bool {
        let memory = self.store.memory.borrow();
        memory.end() == self.end && memory.checkpoints() == self.checkpoints && memory.waiting() == 0
    }

    /// Every entry: readable, and its adopted files good.
    async fn entries(&mut self) -> std::io::Result<()> {
        let mut from = None;
        // Ends: the keys ascend.
        loop {
            let (entries, next) = self.store.index.entries_unjudged(from, ENTRIES_AT_ONCE).await?;
            for (name, entry) in entries {
                match entry {
                    Ok((key, entry)) => self.entry(key, &entry).await?,
                    Err(why) => {
                        let place = format!("index, key {}", base::checksum::hex(&name));
                        self.report.tell(What::Entry, None, place, format!("{why}; run rebuild-index"));
                    }
                }
            }
            if next.is_none() {
                return Ok(());
            }
            from = next;
        }
    }

    async fn entry(&mut self, key: Key, entry: &Entry) -> std::io::Result<()> {
        self.report.entries += 1;
        self.count_dead(key, u64::from(entry.dead));
        for held in &entry.held {
            if let Some(at) = held.place.at() {
                let usage = self.counted.entry(at.volume).or_default();
                usage.live_bytes += u64::from(at.length);
                usage.live_records += 1;
            }
            if held.place == Place::Stock {
                self.report.stock_versions += 1;
                if let Some(why) = self.stock_file(key, *held).await? {
                    self.damaged(key, *held, What::File, why, None).await?;
                }
            }
        }
        Ok(())
    }

    fn count_dead(&mut self, key: Key, many: u64) {
        let [first, second, ..] = key.hash().0;
        let class = (usize::from(first) << 4 | usize::from(second) >> 4) % CLASSES;
        // Spread, so that no two sums of few keys are alike.
        let spread = u64::from(crc32c(key.bytes())).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        if let Some(sum) = self.dead.get_mut(class) {
            *sum = sum.wrapping_add(spread.wrapping_mul(many));
        }
    }

    /// Entries that name records which the scan did not find.
    async fn suspects(&mut self) -> std::io::Result<()> {
        let mut from = None;
        // Ends: the keys ascend.
        while !self.suspects.is_empty() {
            let (entries, next) = self.store.index.entries_unjudged(from, ENTRIES_AT_ONCE).await?;
            for (key, entry) in entries.into_iter().filter_map(|(_, entry)| entry.ok()) {
                for held in entry.held.iter().copied() {
                    let Some(at) = held.place.at().filter(|at| self.suspects.contains(&at.volume)) else { continue };
                    if !self.told.contains(&at)
                        && let Some(why) = self.record_at(key, held, at).await?
                    {
                        self.damaged(key, held, What::Missing, why, None).await?;
                    }
                }
            }
            if next.is_none() {
                break;
            }
            from = next;
        }
        Ok(())
    }

    /// What volumes and entries must agree on.
    async fn sums(&mut self) -> std::io::Result<()> {
        let usages = self.store.usages().await?;
        if !self.is_quiet() {
            self.report.sums_compared = false;
            return Ok(());
        }
        self.report.sums_compared = true;
        let volumes: BTreeSet<u32> = usages.keys().chain(self.counted.keys()).copied().collect();
        let mut wrong = BTreeMap::new();
        for volume in volumes {
            let said = usages.get(&volume).copied().unwrap_or_default();
            let counted = self.counted.get(&volume).copied().unwrap_or_default();
            if said != counted {
                let why = format!("the index says that {said:?} is alive; counted are {counted:?}");
                self.report.tell(What::Usage, None, format!("volume {volume:08x}"), why);
                wrong.insert(volume, counted);
            }
        }
        if self.repair && !wrong.is_empty() {
            self.report.repaired += wrong.len() as u64;
            self.store.index.correct_usages(wrong).await?;
        }
        if self.dead_is_known {
            for (class, sum) in self.dead.iter().enumerate().filter(|(_, sum)| **sum != 0) {
                let _ = sum;
                let why =
                    "the records that count no more are not as many as the index says; run rebuild-index".to_owned();
                self.report.tell(What::Dead, None, format!("hashes {class:03x}…"), why);
            }
        }
        Ok(())
    }

    /// What the index says of itself and of files to be unlinked.
    async fn state(&mut self) -> std::io::Result<()> {
        for name in self.store.index.judge_state().await? {
            let why = "its value was not written so; run rebuild-index".to_owned();
            self.report.tell(What::Entry, None, format!("index, state {name}"), why);
        }
        match self.store.index.removals(1).await {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                self.report.tell(What::Entry, None, "index, removals".to_owned(), error.to_string());
                Ok(())
            }
            result => result.map(drop),
        }
    }

    /// Stock files that no entry names.
    async fn orphans(&mut self) -> std::io::Result<()> {
        if self.store.is_adopting.get() {
            return Ok(());
        }
        let mut suspects = Vec::new();
        let mut tree = Tree::new(&self.store.root, self.reader, tree::Place::default()).await;
        while let Some(directory) = tree.next().await {
            let key = Key::new(directory.policy, directory.hash);
            let mut names: Vec<&String> = directory.names.iter().filter(|name| tree::version(name).is_some()).collect();
            if names.is_empty() {
                continue;
            }
            let entry = match self.store.lookup(key).await {
                Err(error) if error.kind() == ErrorKind::InvalidData => continue,
                entry => entry?,
            };
            let is_named = |name: &String| {
                entry.held.iter().any(|held| held.place.has_file() && held.version.file_name() == **name)
            };
            names.retain(|name| !is_named(name) && !self.store.is_publishing(key, name));
            suspects.extend(names.into_iter().map(|name| (key, name.clone(), directory.path.join(name))));
            if suspects.len() >= SUSPECTS_AT_ONCE {
                self.judge_orphans(std::mem::take(&mut suspects)).await?;
            }
        }
        self.judge_orphans(suspects).await
    }

    /// Asked again, after what was put out of use meanwhile has been unlinked.
    async fn judge_orphans(&mut self, suspects: Vec<(Key, String, PathBuf)>) -> std::io::Result<()> {
        if !suspects.is_empty() {
            self.store.checkpoint().await?;
        }
        for (key, name, path) in suspects {
            if self.is_orphan(key, &name).await? && fs::metadata(&path).await.is_ok() {
                let why = "no entry of the index names this file".to_owned();
                self.report.tell(What::Orphan, Some(key), path.display().to_string(), why);
                if self.repair {
                    self.move_away(key, &name, &path).await?;
                }
            }
        }
        Ok(())
    }

    async fn is_orphan(&self, key: Key, name: &str) -> std::io::Result<bool> {
        let entry = self.store.lookup(key).await?;
        let names = |held: &Held| held.place.has_file() && held.version.file_name() == name;
        Ok(!entry.held.iter().any(names) && !self.store.is_publishing(key, name))
    }

    /// Tells of a version that is damaged, if it still counts, and takes it out of use when asked to.
    async fn damaged(
        &mut self,
        key: Key,
        held: Held,
        what: What,
        why: String,
        identity: Option<Identity>,
    ) -> std::io::Result<()> {
        match self.store.lookup(key).await {
            Ok(entry) if !entry.held.contains(&held) => return Ok(()),
            Err(error) if error.kind() != ErrorKind::InvalidData => return Err(error),
            Ok(_) | Err(_) => {}
        }
        if let Some(at) = held.place.at()
            && self.told.len() < TOLD_MAX
        {
            self.told.insert(at);
        }
        let place = match held.place {
            Place::Volume(at) => place_of(at),
            Place::Large(at) | Place::Lost(at) => format!("{}, {}", held.version.file_name(), place_of(at)),
            Place::Stock => held.version.file_name(),
        };
        self.report.lost += 1;
        self.report.tell(what, Some(key), place, why);
        if self.repair {
            let unnamed = Identity { policy: key.policy(), hash: key.hash(), name: String::new() };
            let head = quarantine::encode(identity.unwrap_or(unnamed), held);
            self.store.lose(head, held).await?;
            self.report.repaired += 1;
            if held.place.has_file() {
                self.move_file_away(key, held).await?;
            }
        }
        Ok(())
    }
}

fn place_of(at: At) -> String {
    format!("volume {:08x} at {}", at.volume, at.offset)
}

#[cfg(test)]
mod tests;
