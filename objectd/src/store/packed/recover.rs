//! Opening a packed device: the index says up to where it has the log, the rest is replayed into the memory table.
//!
//! # Crash cases
//!
//! - Before a batch was whole: its records are cut off, nobody was told of them. The next batch goes to a new volume, whose header says where
//!   the log ended in this one, so that the torn end is never looked at again.
//! - After a batch, before a checkpoint: the batch is replayed.
//! - A large object whose record is there and whose file has no name was not acknowledged: it is passed over.
//! - A new volume without a header was created and not used: it is removed.

use super::entry::{At, Change, Held, Key, Place};
use super::index::Index;
use super::log::{Log, Tail};
use super::memory::{Memory, Position};
use super::record::{Head, Kind};
use super::scan::{Found, Scanner};
use super::volume::{self, HEADER_BYTES, Header};
use crate::config::Config;
use base::io::{self, fs};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bytes read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// Zeros behind which no batch of the log can begin: batches follow one another, and none is larger.
const ZEROS_MAX: u64 = 2 * super::log::BATCH_BYTES_MAX;

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
    let volumes = open_volumes(&volumes_directory, store).await?;
    let memory = Rc::new(RefCell::new(Memory::new(end)));
    let mut replay = Replay { root, store, memory: memory.clone(), end, partition_power: 0 };
    let mut tail = Tail { end, volume: None, last_volume: volumes.keys().next_back().copied().unwrap_or_default() };
    let mut following = volumes.range(end.volume..).peekable();
    while let Some((number, opened)) = following.next() {
        // A later volume says where the log went on from this one.
        let limit = following.peek().map_or(opened.volume.len(), |(_, next)| next.header.previous_end);
        let start = if *number == end.volume { end.offset } else { HEADER_BYTES };
        let is_whole = replay.volume(*number, &opened.volume, start, limit, opened.header.first_sequence).await?;
        let goes_on = is_whole && following.peek().is_none();
        tail = Tail { end: replay.end, volume: goes_on.then(|| opened.volume.clone()), last_volume: tail.last_volume };
    }
    memory.borrow_mut().covers(replay.end);
    let volume_bytes = config.volume_bytes;
    let log = Log::new(volumes_directory, store, volume_bytes, memory.clone(), tail);
    let is_adopting = index.is_adopting().await?;
    Ok(Recovered { log, index, memory, is_adopting })
}

struct Opened {
    volume: Rc<fs::Volume>,
    header: Header,
}

/// All volumes of the store. One of another store is refused: two disks were mixed up.
async fn open_volumes(directory: &Path, store: u64) -> std::io::Result<BTreeMap<u32, Opened>> {
    let mut volumes = BTreeMap::new();
    let entries = fs::read_dir(directory).await?;
    let numbers: Vec<u32> = entries.iter().filter_map(|entry| volume::parse_file_name(&entry.name)).collect();
    for number in &numbers {
        let path: PathBuf = directory.join(volume::file_name(*number));
        let volume = fs::Volume::open(&path).await?;
        let block = volume.read(0, usize::try_from(HEADER_BYTES).unwrap_or_default()).await?;
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
            // Only the newest can have been created without being used.
            Err(_) if Some(number) == numbers.iter().max() => {
                drop(volume);
                fs::remove_file(&path).await?;
            }
            Err(damage) => {
                return refuse(format!("its header is damaged ({}); see martlet store check", damage.message));
            }
        }
    }
    Ok(volumes)
}

struct Replay<'a> {
    root: &'a Path,
    store: u64,
    memory: Rc<RefCell<Memory>>,
    end: Position,
    partition_power: u32,
}

impl Replay<'_> {
    /// Replays one volume from `start` to `limit`; answers whether the log can go on behind what was found.
    async fn volume(
        &mut self,
        number: u32,
        volume: &fs::Volume,
        start: u64,
        limit: u64,
        first_sequence: u64,
    ) -> std::io::Result<bool> {
        self.end = Position { volume: number, offset: start, sequence: self.end.sequence.max(first_sequence) };
        let mut scanner = Scanner::new(self.store, number, start);
        let mut offset = start;
        let mut is_whole = true;
        // Ends: every turn reads on, up to the end of the volume.
        while offset < limit && scanner.zeros() < ZEROS_MAX {
            let wanted = usize::try_from(limit - offset).unwrap_or(READ_BYTES).min(READ_BYTES);
            let bytes = volume.read(offset, wanted).await?;
            if bytes.is_empty() {
                break;
            }
            offset += bytes.len() as u64;
            let mut found = Vec::new();
            scanner.feed(&bytes, &mut |item| found.push(item));
            is_whole &= self.take(number, found).await?;
        }
        self.end.offset = self.end.offset.max(scanner.end());
        let mut found = Vec::new();
        scanner.finish(&mut |item| found.push(item));
        is_whole &= self.take(number, found).await?;
        Ok(is_whole)
    }

    /// Takes what a scan found into the memory table; answers whether nothing was damaged.
    async fn take(&mut self, number: u32, found: Vec<Found>) -> std::io::Result<bool> {
        let mut is_whole = true;
        for item in found {
            match item {
                Found::Record { offset, lengths, head } => {
                    self.end.sequence = self.end.sequence.max(lengths.sequence + 1);
                    let at = At { volume: number, offset, length: lengths.head + lengths.body };
                    self.record(*head, at).await?;
                }
                Found::Damaged { offset, bytes, .. } => {
                    tracing::warn!(root = %self.root.display(), volume = number, offset, bytes, "bytes of the log that are no records");
                    is_whole = false;
                }
            }
        }
        Ok(is_whole)
    }

    async fn record(&mut self, head: Head, at: At) -> std::io::Result<()> {
        let key = Key::new(head.identity.policy, head.identity.hash);
        let change = match head.kind {
            Kind::Packed => Change::Insert(Held { version: head.version, place: Place::Volume(at) }),
            Kind::Large => {
                if !self.has_file(&head).await? {
                    return Ok(());
                }
                Change::Insert(Held { version: head.version, place: Place::Large(at) })
            }
            Kind::Quarantine => match super::quarantine::decode(&head) {
                Some(held) => Change::Remove(held),
                None => return Ok(()),
            },
        };
        self.memory.borrow_mut().add(key, change);
        Ok(())
    }

    async fn has_file(&mut self, head: &Head) -> std::io::Result<bool> {
        let name = head.version.file_name();
        let (policy, hash) = (head.identity.policy, head.identity.hash);
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
