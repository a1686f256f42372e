//! Opening a packed device: the index says up to where it has the log, the rest is replayed into the memory table.
//!
//! # Crash cases
//!
//! - Before a batch was whole: its records are cut off, nobody was told of them. The next batch goes to a new volume, whose header says where
//!   the log ended in this one, so that the torn end is never looked at again.
//! - After a batch, before a checkpoint: the batch is replayed.
//! - A large object whose record is there and whose file has no name was not acknowledged: it counts as a dead one.
//! - A new volume without a header was created and not used: it is removed. One whose header is damaged serves what is
//!   in it all the same: only where the volume before it ended is not known then.
//!
//! Damage that was acknowledged once (`verdict`) is entered in the memory table when its record is known: reading it finds the damage and
//! quarantines the object. Left out, an older version would come back.

use super::entry::{At, Change, Held, Key, Place};
use super::index::{Index, Partial};
use super::log::{Log, Tail};
use super::memory::{ChangeList, Memory, Position, Table};
use super::record::{Fixed, Head, Identity, Kind, Lengths};
use super::scan::Found;
use super::sweep::{Source, Sweep};
use super::verdict::{Judge, Judged, Verdict};
use super::volume::{self, HEADER_BYTES, Header};
use crate::config::Config;
use crate::store::diskfile::Version;
use base::hash_path::NameHash;
use base::io::{self, fs};
use std::cell::RefCell;
use std::collections::btree_set::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Zeros behind which no batch of the log can begin: batches follow one another, and none is larger.
const ZEROS_MAX: u64 = 2 * super::log::BATCH_BYTES_MAX;

/// The header of a volume and the first block of its first batch.
const HEADER_AND_MORE: usize = 2 * HEADER_BYTES as usize;

/// What was found on the device.
pub(super) struct Recovered {
    /// Ready for appends.
    pub log: Rc<Log>,
    /// As the last checkpoint left it.
    pub index: Index,
    /// What the log has beyond it.
    pub memory: Rc<RefCell<Memory>>,
    /// Stock files may be there that are not indexed.
    pub is_adopting: bool,
}

/// Opens or creates the store in `directory` of the device `root`.
pub(super) async fn open(root: &Path, directory: &Path, config: &Config) -> std::io::Result<Recovered> {
    let volumes_directory = directory.join("volumes");
    fs::create_dir_all(&volumes_directory).await?;
    fs::create_dir_all(&directory.join("index")).await?;
    let index = Index::open(&directory.join("index")).await?;
    let (store, end) = index.state(io::random_u64()).await?;
    let numbers = volume_numbers(&volumes_directory).await?;
    let volumes = open_volumes(&volumes_directory, store, numbers.range(end.volume..)).await?;
    let memory = Rc::new(RefCell::new(Memory::new(end)));
    let judge = Judge::new(end.sequence);
    let partial = index.partial();
    let mut replay =
        Replay { root, store, index: &index, memory: memory.clone(), list: None, judge, partial, partition_power: 0 };
    let mut following = volumes.iter().peekable();
    while let Some((number, opened)) = following.next() {
        // A later volume says where the log went on from this one.
        let previous_end = following.peek().and_then(|(_, next)| next.previous_end());
        let limit = previous_end.unwrap_or(opened.volume.len());
        let start = if *number == end.volume { end.offset } else { HEADER_BYTES };
        replay.volume(*number, opened, start, limit).await?;
    }
    let tail = replay.finish(end, &volumes).await?;
    memory.borrow_mut().covers(tail.end);
    let volume_bytes = config.volume_bytes;
    let log = Log::new(volumes_directory, store, volume_bytes, memory.clone(), tail);
    let is_adopting = index.is_adopting().await?;
    Ok(Recovered { log, index, memory, is_adopting })
}

/// A volume and its header.
pub(super) struct Opened {
    pub(super) volume: Rc<fs::Volume>,
    /// What it says of numbers and ends is zero when it is damaged.
    pub(super) header: Header,
}

impl Opened {
    /// Where the log ended in the volume before; `None` when nobody knows.
    pub(super) fn previous_end(&self) -> Option<u64> {
        Some(self.header.previous_end).filter(|end| *end > 0)
    }
}

/// The volumes that are there.
pub(super) async fn volume_numbers(directory: &Path) -> std::io::Result<BTreeSet<u32>> {
    let entries = fs::read_dir(directory).await?;
    Ok(entries.iter().filter_map(|entry| volume::parse_file_name(&entry.name)).collect())
}

/// Volumes with their headers. One of another store is refused: two disks were mixed up.
pub(super) async fn open_volumes(
    directory: &Path,
    store: u64,
    numbers: Range<'_, u32>,
) -> std::io::Result<BTreeMap<u32, Opened>> {
    let mut volumes = BTreeMap::new();
    let newest = numbers.clone().next_back();
    for number in numbers {
        let path: PathBuf = directory.join(volume::file_name(*number));
        let volume = fs::Volume::open(&path).await?;
        let block = volume.read(0, HEADER_AND_MORE).await?;
        let is_unused = block.get(HEADER_AND_MORE / 2..).unwrap_or_default().iter().all(|byte| *byte == 0);
        let refuse =
            |message: String| Err(Error::new(ErrorKind::InvalidData, format!("{}: {message}", path.display())));
        match Header::decode(&block) {
            Ok(header) if header.store != store => {
                return refuse("a volume of another store; put it back where it came from".to_owned());
            }
            Ok(header) if header.volume != *number => return refuse(format!("its header says {}", header.volume)),
            Ok(header) => {
                volumes.insert(*number, Opened { volume: Rc::new(volume), header });
            }
            // Only the newest can have been created without being used: no batch is written before the header is synced.
            Err(_) if Some(number) == newest && is_unused => {
                drop(volume);
                fs::remove_file(&path).await?;
            }
            Err(damage) => {
                tracing::error!(path = %path.display(), "{}; what is in the volume is served", damage.message);
                let unknown = Header { volume: *number, store, first_sequence: 0, previous_end: 0, acknowledged: 0 };
                volumes.insert(*number, Opened { volume: Rc::new(volume), header: unknown });
            }
        }
    }
    Ok(volumes)
}

/// Takes what the log says into the memory table, or into a list of changes.
pub(super) struct Replay<'a> {
    pub(super) root: &'a Path,
    pub(super) store: u64,
    pub(super) index: &'a Index,
    pub(super) memory: Rc<RefCell<Memory>>,
    /// Takes the changes instead of the table, where nobody looks anything up.
    pub(super) list: Option<ChangeList>,
    pub(super) judge: Judge,
    /// The checkpoint that the process before had begun.
    pub(super) partial: Option<Partial>,
    /// Bits of the partition in which the last stock file was found.
    pub(super) partition_power: u32,
}

impl Replay<'_> {
    /// Replays one volume from `start` to `limit`.
    async fn volume(&mut self, number: u32, opened: &Opened, start: u64, limit: u64) -> std::io::Result<()> {
        self.judge.volume(&opened.header, start);
        let mut sweep = Sweep::brief(Source::Volume(opened.volume.clone()), self.store, number, start, limit);
        while let Some(found) = sweep.next().await? {
            self.take(number, found).await?;
            if sweep.zeros() >= ZEROS_MAX {
                sweep.stop();
            }
        }
        Ok(())
    }

    /// Says where the log goes on; `covered` is where the index ends.
    async fn finish(mut self, covered: Position, volumes: &BTreeMap<u32, Opened>) -> std::io::Result<Tail> {
        let judge = std::mem::replace(&mut self.judge, Judge::new(0));
        let (judged, end) = judge.finish();
        self.damage(judged).await?;
        self.finish_checkpoint().await?;
        // The volume of `covered` may be gone; its number is not given again, or the next replay would not look at it.
        let last_volume = volumes.keys().next_back().copied().unwrap_or_default().max(covered.volume);
        // Before the first volume there is nothing behind what the index covers.
        if end.volume == 0 {
            return Ok(Tail { end: covered, acknowledged: covered.sequence, volume: None, last_volume });
        }
        let volume = volumes.get(&end.volume).filter(|_| end.is_whole).map(|opened| opened.volume.clone());
        let position = Position { volume: end.volume, offset: end.offset, sequence: end.sequence };
        Ok(Tail { end: position, acknowledged: end.acknowledged, volume, last_volume })
    }

    /// Takes what a scan found into the memory table.
    pub(super) async fn take(&mut self, number: u32, found: Vec<Found>) -> std::io::Result<()> {
        for item in found {
            self.judge.see(&item);
            match item {
                Found::Brief { offset, fixed } => {
                    let place = place(number, offset, fixed.lengths);
                    self.record(fixed, None, place).await?;
                }
                Found::Record { offset, lengths, head } => {
                    let Identity { policy, hash, .. } = head.identity;
                    let fixed = Fixed { kind: head.kind, policy, hash, version: head.version, lengths };
                    self.record(fixed, Some(&head), place(number, offset, lengths)).await?;
                }
                Found::Damaged { .. } => {}
            }
        }
        let judged = self.judge.judged();
        self.damage(judged).await
    }

    /// Tells of damage, and enters what was acknowledged.
    pub(super) async fn damage(&mut self, judged: Vec<Judged>) -> std::io::Result<()> {
        for Judged { volume, offset, bytes, fixed, verdict } in judged {
            if verdict == Verdict::Lost {
                tracing::error!(root = %self.root.display(), volume, offset, bytes, "acknowledged bytes of the log are lost");
            } else {
                tracing::warn!(root = %self.root.display(), volume, offset, bytes, ?verdict, "bytes of the log that are no records");
            }
            let Some(fixed) = fixed else { continue };
            let at = place(volume, offset, fixed.lengths);
            match verdict {
                Verdict::Lost => self.lost(fixed, at).await?,
                Verdict::Unacknowledged => {
                    self.enter(Key::new(fixed.policy, fixed.hash), at, Change::Dead).await?;
                }
                Verdict::CutOff | Verdict::Padding => {}
            }
        }
        Ok(())
    }

    async fn lost(&mut self, fixed: Fixed, at: At) -> std::io::Result<()> {
        let key = Key::new(fixed.policy, fixed.hash);
        let place = match fixed.kind {
            Kind::Packed => Place::Volume(at),
            Kind::Large if self.has_file(fixed.policy, fixed.hash, fixed.version).await? => Place::Large(at),
            Kind::Large => return self.enter(key, at, Change::Dead).await,
            // Where the version was is not known any more: whatever is there of it by now.
            Kind::Quarantine => Place::Lost(at),
        };
        self.enter(key, at, Change::Insert(Held { version: fixed.version, place })).await
    }

    /// Enters a good record; the head of a quarantine says more than its fixed part.
    async fn record(&mut self, fixed: Fixed, head: Option<&Head>, at: At) -> std::io::Result<()> {
        let Fixed { kind, policy, hash, version, .. } = fixed;
        let change = match kind {
            Kind::Packed => Change::Insert(Held { version, place: Place::Volume(at) }),
            Kind::Large => match self.has_file(policy, hash, version).await? {
                true => Change::Insert(Held { version, place: Place::Large(at) }),
                false => Change::Dead,
            },
            Kind::Quarantine => match head.and_then(super::quarantine::decode) {
                Some(gone) => Change::Lose { gone, by: at },
                None => Change::Dead,
            },
        };
        self.enter(Key::new(policy, hash), at, change).await
    }

    /// Adds what the record at `at` says, unless the index has it.
    async fn enter(&mut self, key: Key, at: At, change: Change) -> std::io::Result<()> {
        if let Some(partial) = self.partial {
            if (at.volume, at.offset) >= (partial.end.volume, partial.end.offset) {
                self.finish_checkpoint().await?;
            } else if key <= partial.key {
                return Ok(());
            }
        }
        match &mut self.list {
            Some(list) => list.push(key, change),
            None => self.memory.borrow_mut().add(key, change),
        }
        Ok(())
    }

    /// Takes the rest of a stretch that was begun into the index, so that nothing of it is ever applied twice.
    async fn finish_checkpoint(&mut self) -> std::io::Result<()> {
        let Some(partial) = self.partial.take() else { return Ok(()) };
        let table = {
            let mut memory = self.memory.borrow_mut();
            memory.covers(partial.end);
            memory.freeze().unwrap_or_else(|| Arc::new(Table::until(partial.end)))
        };
        self.index.checkpoint(table).await?;
        self.memory.borrow_mut().thaw();
        Ok(())
    }

    async fn has_file(&mut self, policy: u32, hash: NameHash, version: Version) -> std::io::Result<bool> {
        let name = version.file_name();
        let directory = super::store::stock_directory(self.root, policy, hash, self.partition_power).await?;
        if let Some((_, power)) = &directory {
            self.partition_power = *power;
        }
        match directory {
            Some((directory, _)) => Ok(fs::metadata(&directory.join(name)).await.is_ok()),
            None => Ok(false),
        }
    }
}

fn place(volume: u32, offset: u64, lengths: Lengths) -> At {
    At { volume, offset, length: lengths.head + lengths.body }
}
