//! Turns a packed device back into a stock one: every object in a volume becomes the files that Swift's servers keep, with its names,
//! times and attributes. Large and adopted objects are such files already.
//!
//! Offline: it holds the lock of the device. Volume by volume: the living records of a volume are written as files (synced, named,
//! directory synced), the index then says that they are files, and the volume goes. So free space is needed for one volume at a time, and
//! cut off anywhere it goes on with the next run; a device half exported can also be served packed again.
//!
//! # Order at the end
//!
//! No version is in a volume any more → `hashes.pkl` and `hashes.invalid` of all partitions removed and synced, so that the replicators
//! hash afresh → the store renamed and removed. A server of the stock layout must not be started before.

use super::entry::{At, Change, Entry, Held, Key, Place};
use super::record::{Head, Kind, Spot, verify_blocks};
use super::scan::Found;
use super::store::{self, Store};
use super::sweep::{self, Progress, Source, Sweep};
use super::tree;
use super::volume::{self, HEADER_BYTES};
use crate::config::Config;
use crate::node;
use base::hash_path::NameHash;
use base::io::{self, fs};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Files written at a time: their syncs share the journal of the file system.
const FILES_AT_ONCE: usize = 32;
/// Exported versions after which the index is brought up to date.
const CHECKPOINT_CHANGES: usize = 32 * 1024;
/// Entries of the index looked at in one transaction.
const ENTRIES_AT_ONCE: usize = 4096;
/// The store that is being removed.
const REMOVED: &str = "martlet-store.exported";
/// Lost versions that are named in the report.
const NAMED_MAX: usize = 1000;

/// What an export did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Versions written as files by this run.
    pub versions: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Large objects, which had their file already.
    pub large: u64,
    /// Versions whose records are damaged; replicas have them. Their volumes are kept in `quarantined/martlet-volumes`.
    pub lost: u64,
    /// The first of these: name or hash of the object, and what is wrong.
    pub lost_names: Vec<String>,
}

/// Exports the device in the directory `root`, whose ring has partitions of `part_power` bits. There is nothing left of the store when it
/// answers `Ok`.
pub async fn run(root: &Path, config: &Config, part_power: u32, progress: Progress<'_>) -> std::io::Result<Exported> {
    let _lock = node::lock(root).await?;
    remove_store(&root.join(REMOVED)).await?;
    if fs::metadata(&root.join(store::DIRECTORY)).await.is_err() {
        return Ok(Exported::default());
    }
    let store = Store::open(root, config).await?;
    store.checkpoint().await?;
    let volumes = root.join(store::DIRECTORY).join("volumes");
    // What they are kept for does not come any more, and their space is needed.
    for spare in ["reserve", "reserve.new", "next"] {
        remove_file(&volumes.join(spare)).await?;
    }
    let mut numbers = BTreeMap::new();
    for entry in fs::read_dir(&volumes).await? {
        if let Some(number) = volume::parse_file_name(&entry.name) {
            numbers.insert(number, fs::metadata(&volumes.join(&entry.name)).await?.len);
        }
    }
    let total = numbers.values().sum();
    let mut export = Export { store, part_power, exported: Exported::default(), done: 0, total, progress };
    for number in numbers.keys() {
        export.volume(*number).await?;
    }
    export.finish().await
}

struct Export<'a> {
    store: Rc<Store>,
    part_power: u32,
    exported: Exported,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl Export<'_> {
    async fn volume(&mut self, number: u32) -> std::io::Result<()> {
        let opened = self.store.log.volume(number).await?;
        let (length, lost_before) = (opened.len(), self.exported.lost);
        let limit = sweep::log_end(&self.store.log, number).await?;
        let mut sweep = Sweep::new(Source::Volume(opened), self.store.log.store(), number, HEADER_BYTES, limit);
        let mut heads = BTreeMap::new();
        while let Some(found) = sweep.next().await? {
            self.take(number, found, &mut heads).await?;
            (self.progress)(self.done + sweep.offset().min(length), self.total);
        }
        self.done += length;
        self.store.checkpoint().await?;
        self.forget_strays(number).await?;
        self.store.index.drop_volume(number, Arc::new(heads)).await?;
        if self.exported.lost > lost_before {
            self.keep(number).await?;
        }
        match self.store.log.unlink(number).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => result?,
        }
        self.store.index.dropped(number).await
    }

    /// Writes what lives of what a scan found. `heads` counts the records of each object.
    async fn take(&mut self, number: u32, found: Vec<Found>, heads: &mut BTreeMap<Key, u32>) -> std::io::Result<()> {
        let mut jobs = Vec::new();
        for item in found {
            let (key, version, kind, at) = match item {
                Found::Record { offset, lengths, head } => {
                    let key = Key::new(head.identity.policy, head.identity.hash);
                    let at = At { volume: number, offset, length: lengths.head + lengths.body };
                    (key, head.version, head.kind, at)
                }
                Found::Damaged { offset, fixed: Some(fixed), .. } => {
                    let at = At { volume: number, offset, length: fixed.lengths.head + fixed.lengths.body };
                    (Key::new(fixed.policy, fixed.hash), fixed.version, fixed.kind, at)
                }
                Found::Damaged { .. } | Found::Brief { .. } => continue,
            };
            let place = match kind {
                Kind::Packed => Place::Volume(at),
                Kind::Large => Place::Large(at),
                Kind::Quarantine => Place::Lost(at),
            };
            *heads.entry(key).or_default() += 1;
            let held = Held { version, place };
            if self.store.lookup(key).await?.held.contains(&held) {
                match place.is_lost() {
                    // Nothing of it is on the device, and what it kept out has no file.
                    true => self.store.memory.borrow_mut().add(key, Change::Remove(held)),
                    false => jobs.push((key, held)),
                }
            }
            if jobs.len() >= FILES_AT_ONCE {
                self.write_all(std::mem::take(&mut jobs)).await?;
            }
        }
        self.write_all(jobs).await
    }

    async fn write_all(&mut self, jobs: Vec<(Key, Held)>) -> std::io::Result<()> {
        let tasks: Vec<_> = jobs
            .into_iter()
            .map(|(key, held)| {
                let (store, part_power) = (self.store.clone(), self.part_power);
                (key, held, io::spawn(async move { write(&store, part_power, key, held).await }))
            })
            .collect();
        let mut results = Vec::with_capacity(tasks.len());
        for (key, held, task) in tasks {
            let result = task.await.unwrap_or_else(|| Err(Error::other("an export panicked").into()));
            results.push((key, held, result));
        }
        for (key, held, result) in results {
            match result {
                Ok(Wrote::File(bytes)) => {
                    self.exported.versions += 1;
                    self.exported.bytes += bytes;
                }
                Ok(Wrote::Large) => self.exported.large += 1,
                Err(Failed::Damaged(why)) => {
                    self.lose(key, held, &why);
                    continue;
                }
                Err(Failed::Device(error)) => return Err(error),
            }
            let mut memory = self.store.memory.borrow_mut();
            memory.add(key, Change::Remove(held));
            memory.add(key, Change::Insert(Held { place: Place::Stock, ..held }));
        }
        if self.store.memory.borrow().waiting() >= CHECKPOINT_CHANGES {
            self.store.checkpoint().await?;
        }
        Ok(())
    }

    fn lose(&mut self, key: Key, held: Held, why: &str) {
        let name = format!("{} {}: {why}", key.hash().hex(), held.version.file_name());
        tracing::error!(root = %self.store.root.display(), policy = key.policy(), "not exported: {name}");
        self.exported.lost += 1;
        if self.exported.lost_names.len() < NAMED_MAX {
            self.exported.lost_names.push(name);
        }
        self.store.memory.borrow_mut().add(key, Change::Remove(held));
    }

    /// Versions whose records are so damaged that the scan did not see whose they are.
    async fn forget_strays(&mut self, number: u32) -> std::io::Result<()> {
        if self.store.usages().await?.get(&number).is_none_or(|usage| usage.live_records == 0) {
            return Ok(());
        }
        for (key, entry) in self.entries_in(Some(number)).await? {
            for held in entry.held.iter().copied().filter(|held| held.place.at().is_some_and(|at| at.volume == number))
            {
                self.lose(key, held, "its record is damaged");
            }
        }
        self.store.checkpoint().await
    }

    /// Entries with a version in this volume, or the first with one in any.
    async fn entries_in(&self, number: Option<u32>) -> std::io::Result<Vec<(Key, Entry)>> {
        let mut found = Vec::new();
        let mut from = None;
        // Ends: the keys ascend.
        loop {
            let (entries, next) = self.store.index.entries(from, ENTRIES_AT_ONCE).await?;
            let is_there =
                |held: &Held| held.place.at().is_some_and(|at| number.is_none_or(|number| at.volume == number));
            found.extend(entries.into_iter().filter(|(_, entry)| entry.held.iter().any(is_there)));
            if next.is_none() || (number.is_none() && !found.is_empty()) {
                return Ok(found);
            }
            from = next;
        }
    }

    /// Keeps a damaged volume for whoever wants to look at it.
    async fn keep(&self, number: u32) -> std::io::Result<()> {
        let directory = self.store.root.join("quarantined").join("martlet-volumes");
        fs::create_dir_all(&directory).await?;
        let target = directory.join(volume::file_name(number));
        fs::rename(&self.store.log.path(number), &target).await?;
        fs::sync_dir(&directory).await
    }

    async fn finish(self) -> std::io::Result<Exported> {
        self.store.checkpoint().await?;
        if let Some((key, _)) = self.entries_in(None).await?.first() {
            let hash = key.hash().hex();
            return Err(Error::other(format!("{hash} is said to be in a volume that is not there; run rebuild-index")));
        }
        let root = self.store.root.clone();
        for partition in tree::partitions(&root).await? {
            for name in ["hashes.pkl", "hashes.invalid"] {
                remove_file(&partition.join(name)).await?;
            }
            fs::sync_dir(&partition).await?;
        }
        drop(self.store);
        fs::rename(&root.join(store::DIRECTORY), &root.join(REMOVED)).await?;
        fs::sync_dir(&root).await?;
        remove_store(&root.join(REMOVED)).await?;
        Ok(self.exported)
    }
}

enum Wrote {
    File(u64),
    Large,
}

enum Failed {
    Damaged(String),
    Device(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Device(error)
    }
}

/// Makes the stock file of one version; durable when it answers `Ok`.
async fn write(store: &Store, part_power: u32, key: Key, held: Held) -> Result<Wrote, Failed> {
    let directory = object_directory(&store.root, part_power, key.policy(), key.hash());
    let target = directory.join(held.version.file_name());
    let at = match held.place {
        Place::Volume(at) => at,
        Place::Lost(_) => return Err(Failed::Damaged("it was damaged before".to_owned())),
        Place::Large(_) | Place::Stock => {
            return match fs::metadata(&target).await {
                Ok(_) => Ok(Wrote::Large),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Err(Failed::Damaged(format!("there is no {}", target.display())))
                }
                Err(error) => Err(error.into()),
            };
        }
    };
    let (head, body) = read(store, at).await?;
    fs::create_dir_all(&directory).await?;
    let mut file = fs::TempFile::create(&directory).await?;
    let length = body.len() as u64;
    if !body.is_empty() {
        file.append(body).await?;
    }
    let mut metadata = head.metadata;
    metadata.set("name", head.identity.name.into_bytes());
    file.publish(&target, metadata.attributes()).await?;
    Ok(Wrote::File(length))
}

/// A record and its body, verified.
async fn read(store: &Store, at: At) -> Result<(Head, Bytes), Failed> {
    let volume = store.log.volume(at.volume).await?;
    let length = usize::try_from(at.length).map_err(|_| Error::from(ErrorKind::InvalidData))?;
    let bytes = Source::Volume(volume).read(at.offset, length).await?;
    let spot = Spot { store: store.log.store(), volume: at.volume, offset: at.offset };
    let (head, lengths) = Head::decode(&bytes, spot).map_err(|damage| Failed::Damaged(damage.message))?;
    let body = bytes.slice(usize::try_from(lengths.head).unwrap_or(length).min(length)..);
    verify_blocks(&head.checksums, 0, &body).map_err(|damage| Failed::Damaged(damage.message))?;
    if body.len() as u64 != head.body_bytes {
        return Err(Failed::Damaged("it ends early".to_owned()));
    }
    Ok((head, body))
}

fn object_directory(root: &Path, part_power: u32, policy: u32, hash: NameHash) -> PathBuf {
    let partition = store::partition(hash, part_power).to_string();
    root.join(Config::policy_directory("objects", policy)).join(partition).join(hash.suffix()).join(hash.hex())
}

async fn remove_file(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes a store that is out of use: two levels of files.
async fn remove_store(path: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(path).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let below = path.join(&entry.name);
        if !entry.is_dir {
            remove_file(&below).await?;
            continue;
        }
        for file in fs::read_dir(&below).await? {
            remove_file(&below.join(file.name)).await?;
        }
        fs::remove_dir(&below).await?;
    }
    fs::remove_dir(path).await
}

#[cfg(test)]
mod tests;
