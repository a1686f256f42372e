//! The packed store of one device: log, memory table and index together.
//!
//! # Invariants
//!
//! - A version is in the memory table or in the index only after all of it is durable: its record, and for a large one its file.
//! - A checkpoint covers the log up to a position: no large object is between its record and its name while it starts.
//! - A stock file is unlinked only when neither table nor index names it and no write is about to.

use super::entry::{At, Change, Entry, Held, Key, Place};
use super::hot::Hot;
use super::index::{Index, Removal, Step, Usage};
use super::info::Counts;
use super::log::{Append, Effect, Log};
use super::memory::{Memory, Table};
use super::pace::{Foreground, Pace};
use super::reader::Whole;
use super::recover;
use crate::config::Config;
use crate::node::Device;
use crate::store::busy::Directories;
use base::hash_path::NameHash;
use base::io::{self, fs};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Directory of volumes and index below the device's.
pub(super) const DIRECTORY: &str = "martlet-store";
/// Changes after which a checkpoint starts: some megabytes of memory, and half a second of replay after a crash.
const CHECKPOINT_CHANGES: usize = 32 * 1024;
/// Changes that wait behind a checkpoint up to which it gives way to the foreground: with more it would not keep up with them.
const GENTLE_CHANGES_MAX: usize = CHECKPOINT_CHANGES / 4;
/// Changes at which writers wait for the checkpoint to end.
const CHANGES_MAX: usize = 4 * CHECKPOINT_CHANGES;
/// Stock files unlinked in one go.
const REMOVALS_AT_ONCE: usize = 256;
/// Pause of a loop that waits for others on the same core.
const TURN: Duration = Duration::from_millis(1);

/// Volumes and index of one device. One per device, on the core that owns it.
pub struct Store {
    /// Directory of the device.
    pub(crate) root: PathBuf,
    pub(super) log: Rc<Log>,
    pub(super) index: Index,
    pub(super) memory: Rc<RefCell<Memory>>,
    /// Records that are read again and again.
    pub(super) hot: RefCell<Hot<Rc<Whole>>>,
    /// Objects up to this size go into volumes.
    pub(super) pack_limit: u64,
    /// Stock files may be there that the index does not know yet: look-ups ask the directory too.
    pub(super) is_adopting: Cell<bool>,
    is_checkpointing: Cell<bool>,
    /// Somebody waits for the checkpoint who may not wait for the foreground.
    is_hurried: Cell<bool>,
    /// Bits of the partition in which the last stock file was found.
    partition_power: Cell<u32>,
    /// Large objects between their record and their place in the memory table.
    publishing: RefCell<BTreeSet<(Key, String)>>,
    /// The stock file that is being unlinked.
    unlinking: RefCell<Option<(Key, String)>>,
    /// Damaged versions on their way out.
    pub(super) quarantining: RefCell<BTreeSet<(Key, String)>>,
    /// Directories that writes of large objects use; the device's.
    pub(crate) busy: Directories,
    /// No further large object may start to publish.
    is_closed: Cell<bool>,
    /// The last checkpoint found no space.
    is_index_full: Cell<bool>,
    foreground: Cell<Foreground>,
    counts: Cell<Counts>,
}

impl Store {
    /// Opens or creates the store of a device and replays what the index does not have yet.
    pub async fn open(root: &Path, config: &Config) -> std::io::Result<Rc<Store>> {
        let directory = root.join(DIRECTORY);
        let recovered = recover::open(root, &directory, config).await?;
        let store = Store {
            root: root.to_owned(),
            log: recovered.log,
            index: recovered.index,
            memory: recovered.memory,
            hot: RefCell::default(),
            pack_limit: config.pack_limit,
            is_adopting: Cell::new(recovered.is_adopting),
            is_checkpointing: Cell::new(false),
            is_hurried: Cell::new(false),
            publishing: RefCell::default(),
            unlinking: RefCell::default(),
            quarantining: RefCell::default(),
            busy: Directories::default(),
            partition_power: Cell::new(0),
            is_closed: Cell::new(false),
            is_index_full: Cell::new(false),
            foreground: Cell::default(),
            counts: Cell::default(),
        };
        if let Err(error) = store.log.spare().lay_reserve_aside().await {
            tracing::warn!(root = %root.display(), %error, "no space for the reserve: compaction may stop when the disk is full");
        }
        Ok(Rc::new(store))
    }

    /// What is known of an object: index and memory table.
    pub(crate) async fn lookup(&self, key: Key) -> std::io::Result<Entry> {
        // A checkpoint that ended while the index was read took changes out of the table that the index did not give yet. Ends: checkpoints
        // are far apart.
        loop {
            let checkpoints = self.memory.borrow().checkpoints();
            let mut entry = self.index.lookup(key).await?;
            let memory = self.memory.borrow();
            if memory.checkpoints() == checkpoints {
                memory.overlay(&key, &mut entry);
                return Ok(entry);
            }
        }
    }

    /// The same of several objects, in their order.
    pub(super) async fn lookup_all(&self, keys: Vec<Key>) -> std::io::Result<Vec<Entry>> {
        // Ends: as in `lookup`.
        loop {
            let checkpoints = self.memory.borrow().checkpoints();
            let mut entries = self.index.lookup_all(keys.clone()).await?;
            let memory = self.memory.borrow();
            if memory.checkpoints() == checkpoints {
                keys.iter().zip(&mut entries).for_each(|(key, entry)| memory.overlay(key, entry));
                return Ok(entries);
            }
        }
    }

    /// Writes a record; in the memory table when it answers `Ok` (unless its effect comes later).
    pub(super) async fn append(self: &Rc<Self>, append: Append) -> std::io::Result<At> {
        let begun = io::monotonic();
        let at = self.append_behind(append).await?;
        let now = io::monotonic();
        self.observe(|foreground| foreground.append(nanos(now.since(begun)), now.as_nanos()));
        Ok(at)
    }

    /// The same for background work, which is not what it looks at to go slower.
    pub(super) async fn append_behind(self: &Rc<Self>, append: Append) -> std::io::Result<At> {
        // Ends: a checkpoint that fails ends the log, or finds the disk full.
        while self.memory.borrow().waiting() > CHANGES_MAX {
            if self.is_index_full.get() {
                return Err(ErrorKind::StorageFull.into());
            }
            self.start_checkpoint();
            io::sleep(TURN).await;
            if let Some(error) = self.log.failed() {
                return Err(error);
            }
        }
        let at = self.log.append(append).await?;
        if self.memory.borrow().waiting() >= CHECKPOINT_CHANGES {
            self.start_checkpoint();
        }
        Ok(at)
    }

    /// What the foreground feels.
    pub(super) fn foreground(&self) -> Foreground {
        self.foreground.get()
    }

    /// A read for the foreground began then.
    pub(super) fn has_read(&self, begun: io::Instant) {
        let now = io::monotonic();
        self.observe(|foreground| foreground.read(nanos(now.since(begun)), now.as_nanos()));
    }

    fn observe(&self, tell: impl FnOnce(&mut Foreground)) {
        let mut foreground = self.foreground.get();
        tell(&mut foreground);
        self.foreground.set(foreground);
    }

    /// The record of a large object, then its file's name by `publish`, then its place in the memory table. A caller that goes away does
    /// not stop it: a file without its place would be found by nobody.
    pub(super) async fn append_large(
        self: &Rc<Self>,
        append: Append,
        publish: impl Future<Output = std::io::Result<()>> + 'static,
    ) -> std::io::Result<()> {
        let store = self.clone();
        let task = io::spawn(async move { store.append_large_to_the_end(append, publish).await });
        task.await.unwrap_or_else(|| Err(Error::other("the write of a large object panicked")))
    }

    async fn append_large_to_the_end(
        self: &Rc<Self>,
        append: Append,
        publish: impl Future<Output = std::io::Result<()>>,
    ) -> std::io::Result<()> {
        let key = Key::new(append.head.identity.policy, append.head.identity.hash);
        let version = append.head.version;
        // Ends: the gate is closed while large objects under way are published, and unlinking is one operation.
        let name = (key, version.file_name());
        while self.is_closed.get() || self.unlinking.borrow().as_ref() == Some(&name) {
            io::sleep(TURN).await;
        }
        self.publishing.borrow_mut().insert(name.clone());
        let _publishing = Publishing { store: self, name };
        let at = self.append(append).await?;
        if let Err(error) = publish.await {
            self.memory.borrow_mut().add(key, Change::Dead);
            return Err(error);
        }
        self.memory.borrow_mut().add(key, Change::Insert(Held { version, place: Place::Large(at) }));
        Ok(())
    }

    /// The version at its place is damaged: it counts no more, and keeps out what is older.
    pub(super) async fn lose(self: &Rc<Self>, head: super::record::Head, held: Held) -> std::io::Result<()> {
        let effect = Effect::Lose(held);
        let append = Append { head, body: Vec::new(), effect, may_use_reserve: true, is_cold: true };
        self.append(append).await.map(drop)
    }

    fn start_checkpoint(self: &Rc<Self>) {
        if !self.is_checkpointing.get() {
            let store = self.clone();
            io::spawn(async move {
                if let Err(error) = store.checkpoint().await {
                    tracing::error!(root = %store.root.display(), %error, "the index could not be brought up to date");
                }
            });
        }
    }

    /// Brings the memory table into the index and unlinks what is out of use. Durable when it answers `Ok`. One runs at a time; a
    /// second caller waits for its own.
    pub async fn checkpoint(self: &Rc<Self>) -> std::io::Result<()> {
        // Ends: the one that runs ends, with success or an error.
        while self.is_checkpointing.replace(true) {
            io::sleep(TURN).await;
        }
        let _running = Reset(&self.is_checkpointing);
        let table = {
            self.is_closed.set(true);
            let _closed = Reset(&self.is_closed);
            // Ends: each publication is a bounded number of disk operations.
            while !self.publishing.borrow().is_empty() {
                io::sleep(TURN).await;
            }
            self.memory.borrow_mut().freeze()
        };
        if let Some(table) = table {
            match self.bring_into_index(&table).await {
                Ok(()) => {
                    self.memory.borrow_mut().thaw();
                    self.is_index_full.set(false);
                }
                // The table stays and is tried again when there is space.
                Err(error) if error.kind() == ErrorKind::StorageFull => {
                    self.is_index_full.set(true);
                    return Err(error);
                }
                Err(error) => {
                    self.log.fail(&error);
                    return Err(error);
                }
            }
        }
        self.unlink_removed().await
    }

    /// In small steps with rests beside a foreground, as long as few changes wait behind these; else as fast as it goes.
    async fn bring_into_index(&self, table: &Arc<Table>) -> std::io::Result<()> {
        let mut pace = Pace::gentle();
        // Ends: every turn takes objects out of the table, or was the last.
        loop {
            let begun = io::monotonic();
            let is_urgent = self.is_hurried.get() || self.memory.borrow().waiting() > GENTLE_CHANGES_MAX;
            let step = self.step(is_urgent);
            if self.index.checkpoint_some(table, step).await? {
                return Ok(());
            }
            if step == Step::Gentle {
                let now = io::monotonic();
                io::sleep(pace.rest(&self.foreground(), now.as_nanos(), now.since(begun), false)).await;
            }
        }
    }

    /// How much of the index background work may change at once now.
    pub(super) fn step(&self, is_urgent: bool) -> Step {
        match is_urgent || !self.foreground().is_present(io::monotonic().as_nanos()) {
            true => Step::Full,
            false => Step::Gentle,
        }
    }

    /// The same without rests, whoever reads meanwhile; so goes the one under way, too.
    pub(super) async fn checkpoint_at_once(self: &Rc<Self>) -> std::io::Result<()> {
        self.is_hurried.set(true);
        let _hurried = Reset(&self.is_hurried);
        self.checkpoint().await
    }

    async fn unlink_removed(self: &Rc<Self>) -> std::io::Result<()> {
        // Ends: every turn takes rows out of a table that only checkpoints fill.
        loop {
            let removals = self.index.removals(REMOVALS_AT_ONCE).await?;
            if removals.is_empty() {
                return Ok(());
            }
            for removal in &removals {
                self.unlink(removal).await?;
            }
            self.index.removed(removals).await?;
        }
    }

    async fn unlink(&self, removal: &Removal) -> std::io::Result<()> {
        let name = (removal.key, removal.file_name.clone());
        if self.publishing.borrow().contains(&name) {
            return Ok(());
        }
        *self.unlinking.borrow_mut() = Some(name);
        let result = self.unlink_unnamed(removal).await;
        *self.unlinking.borrow_mut() = None;
        result
    }

    async fn unlink_unnamed(&self, removal: &Removal) -> std::io::Result<()> {
        let entry = self.lookup(removal.key).await?;
        let names = |held: &Held| held.place.has_file() && held.version.file_name() == removal.file_name;
        if entry.held.iter().any(names) {
            return Ok(());
        }
        let (policy, hash, guess) = (removal.key.policy(), removal.key.hash(), self.partition_power.get());
        let Some((directory, power)) = stock_directory(&self.root, policy, hash, guess).await? else { return Ok(()) };
        self.partition_power.set(power);
        match fs::remove_file(&directory.join(&removal.file_name)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.busy.remove_empty(&directory).await;
        Ok(())
    }

    /// What is alive in each volume, by the last checkpoint.
    pub(super) async fn usages(&self) -> std::io::Result<BTreeMap<u32, Usage>> {
        self.index.usages().await
    }

    /// What background work did since the start.
    pub(super) fn counts(&self) -> Counts {
        self.counts.get()
    }

    pub(super) fn count(&self, add: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        add(&mut counts);
        self.counts.set(counts);
    }

    /// Whether a large object is between its record and its place in the memory table.
    pub(super) fn is_publishing(&self, key: Key, file_name: &str) -> bool {
        self.publishing.borrow().contains(&(key, file_name.to_owned()))
    }

    /// Bits of the partition in which the last stock file was found: those of the next one, mostly.
    pub(super) fn partition_power(&self) -> u32 {
        self.partition_power.get()
    }

    /// A stock file was found by this one.
    pub(super) fn remember_partition_power(&self, power: u32) {
        self.partition_power.set(power);
    }

    /// Why the store can be used no more, if so.
    pub fn failed(&self) -> Option<Error> {
        self.log.failed().or_else(|| self.index.failed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The directory of an object's stock files, and the bits of its partition. The partition is the top of the hash, of as many bits as
/// the ring had when the object was written: usually as many as last time, which is the guess.
pub(super) async fn stock_directory(
    root: &Path,
    policy: u32,
    hash: NameHash,
    guess: u32,
) -> std::io::Result<Option<(PathBuf, u32)>> {
    let objects = root.join(Config::policy_directory("objects", policy));
    let (hex, suffix) = (hash.hex(), hash.suffix());
    for power in [guess].into_iter().chain(0..=32) {
        let directory = objects.join(partition(hash, power).to_string()).join(&suffix).join(&hex);
        match fs::metadata(&directory).await {
            Ok(_) => return Ok(Some((directory, power))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The partition of an object by a ring of this part power, at most 32.
pub(super) fn partition(hash: NameHash, power: u32) -> u32 {
    let [first, second, third, fourth, ..] = hash.0;
    let top = u64::from(u32::from_be_bytes([first, second, third, fourth]));
    u32::try_from(top >> (32 - power)).expect("at most 32 bits")
}

/// Whether the partition is an object's, by whatever ring.
pub(super) fn is_partition_of(number: u32, hash: NameHash) -> bool {
    (0..=32).any(|power| partition(hash, power) == number)
}

/// Takes a large object off the list of those being published.
struct Publishing<'a> {
    store: &'a Store,
    name: (Key, String),
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        self.store.publishing.borrow_mut().remove(&self.name);
    }
}

/// Sets a mark back when dropped.
struct Reset<'a>(&'a Cell<bool>);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// The device that a store belongs to answers 507 from the first failed write on.
pub(super) fn judge(device: &Device, store: &Store, error: Error) -> Error {
    if let Some(failed) = store.failed() {
        device.poison("the packed store", &failed);
    }
    error
}

#[cfg(test)]
mod tests;
