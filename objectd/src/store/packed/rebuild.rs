//! Makes the index of a packed device anew, from its volumes and its stock files alone.
//!
//! Offline: it holds the lock of the device. The new index is made beside the old one and takes its place when it is whole: cut off anywhere,
//! the device is as it was, and the next run starts afresh. Memory is bounded by twice `CHANGES_AT_ONCE` changes: some are sorted and
//! written into the index while the next come from the log.
//!
//! First the stock files are walked over, then the log is read from its first volume on: what the log says of a file comes later and counts
//! more. The last volume is left to the next opening of the device, which replays it like after any stop: where the log ends is
//! decided in one place.
//!
//! # What is not as it was
//!
//! Versions that were lost with damaged records are found again by reading them, as after a restart. Records that a torn batch
//! left in a volume whose successor is gone count as never acknowledged.

use super::entry::{Change, Held, Key, Place};
use super::index::Index;
use super::memory::{ChangeList, Position, Table};
use super::record::BATCH_ALIGNMENT;
use super::recover::{self, Opened, Replay};
use super::scan::Found;
use super::store;
use super::sweep::{Progress, Source, Sweep};
use super::tree::{self, Tree};
use super::verdict::Judge;
use super::volume::{self, HEADER_BYTES, Header};
use crate::node;
use base::io::maintenance::Reader;
use base::io::{self, JoinHandle, fs};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// Changes that are sorted at once: some 200 MB of memory, half as much again while they are, beside the next list. The more, the more of them go into one page of the index.
const CHANGES_AT_ONCE: usize = 4 * 1024 * 1024;
/// The index while it is made.
const NEW: &str = "index.rebuilding";
/// The index whose place was taken.
const OLD: &str = "index.old";

/// What a rebuild found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Volumes; the last of them is replayed when the device is opened next.
    pub volumes: u64,
    /// Records in all but the last.
    pub records: u64,
    /// Places in them that are no records.
    pub damaged: u64,
    /// Stock files that are versions.
    pub stock_versions: u64,
}

/// Rebuilds the index of the device in the directory `root`.
pub async fn run(root: &Path, progress: Progress<'_>) -> std::io::Result<Rebuilt> {
    let _lock = node::lock(root).await?;
    let directory = root.join(store::DIRECTORY);
    let volumes_directory = directory.join("volumes");
    let number = match store_number(&volumes_directory).await? {
        Some(number) => number,
        None => io::random_u64(),
    };
    let volumes = {
        let numbers = recover::volume_numbers(&volumes_directory).await?;
        recover::open_volumes(&volumes_directory, number, numbers.range(0..)).await?
    };
    let new = directory.join(NEW);
    remove_directory(&new).await?;
    fs::create_dir_all(&new).await?;
    let index = Rc::new(Index::open_to_fill(&new).await?);
    index.state(number).await?;
    let mut rebuild = Rebuild {
        root,
        reader: Reader::hasty("rebuild"),
        store: number,
        index: index.clone(),
        writing: None,
        changes: ChangeList::default(),
        rebuilt: Rebuilt { volumes: volumes.len() as u64, ..Rebuilt::default() },
        done: 0,
        total: volumes.values().map(|opened| opened.volume.len()).sum(),
        progress,
    };
    rebuild.stock_files().await?;
    let end = rebuild.log(&volumes).await?;
    rebuild.finish(end).await?;
    let rebuilt = rebuild.rebuilt;
    drop((rebuild, index));
    take_place(&directory).await?;
    Ok(rebuilt)
}

struct Rebuild<'a> {
    root: &'a Path,
    reader: Reader,
    store: u64,
    index: Rc<Index>,
    /// Puts the changes before these into the index.
    writing: Option<JoinHandle<std::io::Result<()>>>,
    changes: ChangeList,
    rebuilt: Rebuilt,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl Rebuild<'_> {
    async fn stock_files(&mut self) -> std::io::Result<()> {
        let mut tree = Tree::new(self.root, &self.reader, tree::Place::default()).await;
        while let Some(directory) = tree.next().await {
            let key = Key::new(directory.policy, directory.hash);
            for version in directory.names.iter().filter_map(|name| tree::version(name)) {
                self.rebuilt.stock_versions += 1;
                self.changes.push(key, Change::Insert(Held { version, place: Place::Stock }));
            }
            if self.changes.len() >= CHANGES_AT_ONCE {
                self.flush().await?;
            }
        }
        // Otherwise look-ups go on asking the directories.
        if tree.unreadable() == 0 { self.index.adopted().await } else { Ok(()) }
    }

    /// Reads all volumes but the last; answers where that begins.
    async fn log(&mut self, volumes: &BTreeMap<u32, Opened>) -> std::io::Result<Position> {
        let first_sequence = volumes.values().next().map_or(0, |opened| opened.header.first_sequence);
        let index = self.index.clone();
        let mut replay = Replay {
            root: self.root,
            store: self.store,
            index: &index,
            memory: Rc::default(),
            list: Some(std::mem::take(&mut self.changes)),
            judge: Judge::new(first_sequence),
            partial: None,
            partition_power: 0,
        };
        let mut following = volumes.iter().peekable();
        while let Some((number, opened)) = following.next() {
            let header = &opened.header;
            replay.judge.volume(header, HEADER_BYTES);
            let judged = replay.judge.judged();
            replay.damage(judged).await?;
            let Some((next, after)) = following.peek() else {
                self.done += opened.volume.len();
                (self.progress)(self.done, self.total);
                self.changes = replay.list.take().unwrap_or_default();
                return Ok(Position { volume: *number, offset: HEADER_BYTES, sequence: header.first_sequence });
            };
            // Where the log ends in a volume only its very successor tells.
            let is_next = **next == number.saturating_add(1);
            let limit = if is_next { after.previous_end().unwrap_or(opened.volume.len()) } else { opened.volume.len() };
            self.volume(&mut replay, opened, limit).await?;
            if !is_next {
                let judge = std::mem::replace(&mut replay.judge, Judge::new(after.header.first_sequence));
                replay.damage(judge.finish().0).await?;
            }
        }
        self.changes = replay.list.take().unwrap_or_default();
        Ok(Position::default())
    }

    async fn volume(&mut self, replay: &mut Replay<'_>, opened: &Opened, limit: u64) -> std::io::Result<()> {
        let number = opened.header.volume;
        let path = self.root.join(store::DIRECTORY).join("volumes").join(volume::file_name(number));
        let source = Source::File(self.reader.clone(), path);
        let mut sweep = Sweep::brief(source, self.store, number, HEADER_BYTES, limit);
        while let Some(found) = sweep.next().await? {
            let records = found.iter().filter(|found| !matches!(found, Found::Damaged { .. })).count();
            self.rebuilt.records += records as u64;
            self.rebuilt.damaged += (found.len() - records) as u64;
            replay.take(number, found).await?;
            if let Some(list) = replay.list.as_mut().filter(|list| list.len() >= CHANGES_AT_ONCE) {
                self.changes = std::mem::take(list);
                self.flush().await?;
            }
            (self.progress)(self.done + sweep.offset(), self.total);
        }
        self.done += opened.volume.len();
        Ok(())
    }

    /// Starts to bring the changes into the index, once those before them are in it.
    async fn flush(&mut self) -> std::io::Result<()> {
        self.written().await?;
        let (changes, index) = (std::mem::take(&mut self.changes), self.index.clone());
        self.writing = Some(io::spawn(async move {
            let table = io::compute(move || Table::sorted(changes, Position::default())).await?;
            index.checkpoint(Arc::new(table)).await
        }));
        Ok(())
    }

    /// Waits for what is being written.
    async fn written(&mut self) -> std::io::Result<()> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        writing.await.unwrap_or_else(|| Err(Error::other("writing the index panicked")))
    }

    async fn finish(&mut self, end: Position) -> std::io::Result<()> {
        self.flush().await?;
        self.written().await?;
        self.index.checkpoint(Arc::new(Table::until(end))).await
    }
}

/// The number of the store, by the headers of its volumes. A damaged one has no say; `open_volumes` judges it.
async fn store_number(directory: &Path) -> std::io::Result<Option<u64>> {
    let entries = fs::read_dir(directory).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Error::new(error.kind(), format!("there is no packed store: no {}", directory.display()))
        }
        _ => error,
    })?;
    for entry in entries.iter().filter(|entry| volume::parse_file_name(&entry.name).is_some()) {
        let file = fs::File::open(&directory.join(&entry.name)).await?;
        let block = file.read_at(0, usize::try_from(BATCH_ALIGNMENT).unwrap_or_default()).await?;
        if let Ok(header) = Header::decode(&block) {
            return Ok(Some(header.store));
        }
    }
    Ok(None)
}

/// The new index becomes the index. A crash in between leaves a device without an index, which is refused until the next run.
async fn take_place(directory: &Path) -> std::io::Result<()> {
    let (index, old, new) = (directory.join("index"), directory.join(OLD), directory.join(NEW));
    remove_directory(&old).await?;
    match fs::rename(&index, &old).await {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(&new, &index).await?;
    fs::sync_dir(directory).await?;
    remove_directory(&old).await
}

/// Removes a directory of files, if it is there.
async fn remove_directory(path: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(path).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        fs::remove_file(&path.join(entry.name)).await?;
    }
    fs::remove_dir(path).await
}

#[cfg(test)]
mod tests;
