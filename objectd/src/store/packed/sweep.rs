//! Streams one volume through the scanner: while what was found in one piece is used, the next one is scanned on a thread beside the core, and
//! those behind that are read. A core that serves never scans itself: a piece is a millisecond of its time.
//!
//! The last bytes are kept (`window`), so that a record that was found can be cut out of them.
//! Bytes that the disk cannot read are given to the scanner as damage, block by block, so that one bad sector costs one record.

use super::log::Log;
use super::record::BATCH_ALIGNMENT;
use super::scan::{Found, Scanner};
use super::volume::{HEADER_BYTES, Header};
use super::window::Window;
use crate::store::diskfile;
use base::io::maintenance::Reader;
use base::io::{self, Computing, JoinHandle, fs};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::rc::Rc;

/// What a long work tells of its way: bytes done, bytes in all as far as known.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Bytes read at a time: a disk is at its full rate, and a few heads and pieces are all that is in memory.
const READ_BYTES: usize = 2 * 1024 * 1024;
/// Reads beyond the piece being scanned: one under way, one that has arrived.
const READS_AHEAD: usize = 2;
/// What stands for a byte that cannot be read: no head, and no zero.
const UNREADABLE: u8 = 0xa5;

/// Where bytes come from.
#[derive(Clone)]
pub(super) enum Source {
    /// A volume, through the page cache.
    Volume(Rc<fs::Volume>),
    /// A file, as background scans read.
    File(Reader, PathBuf),
}

impl Source {
    /// Bytes from `offset`, fewer only at the end; a block that the disk cannot read is neither zeros nor a record.
    pub(super) async fn read(&self, offset: u64, wanted: usize) -> std::io::Result<Bytes> {
        match self.read_plainly(offset, wanted).await {
            Err(error) if diskfile::is_unreadable(&error) => {}
            result => return result,
        }
        let block = usize::try_from(BATCH_ALIGNMENT).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(wanted);
        // Ends: every turn adds bytes or is the last.
        while bytes.len() < wanted {
            let length = block.min(wanted - bytes.len());
            match self.read_plainly(offset + bytes.len() as u64, length).await {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) if diskfile::is_unreadable(&error) => bytes.resize(bytes.len() + length, UNREADABLE),
                Err(error) => return Err(error),
            }
        }
        Ok(bytes.into())
    }

    async fn read_plainly(&self, offset: u64, wanted: usize) -> std::io::Result<Bytes> {
        match self {
            Source::Volume(volume) => volume.read(offset, wanted).await,
            Source::File(reader, path) => reader.read(path, offset, wanted).await.map(Bytes::from),
        }
    }
}

/// Where the log ends in a volume, by the header of the next one; without it where the volume ends. What lies behind was cut off in a
/// crash.
pub(super) async fn log_end(log: &Log, number: u32) -> std::io::Result<u64> {
    let length = log.volume(number).await?.len();
    Ok(told_end(log, number).await?.map_or(length, |end| end.min(length)))
}

/// The same, `None` where nothing tells it: compaction leaves gaps between the volumes.
pub(super) async fn told_end(log: &Log, number: u32) -> std::io::Result<Option<u64>> {
    let next = match log.volume(number.saturating_add(1)).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        next => Source::Volume(next?).read(0, usize::try_from(HEADER_BYTES).unwrap_or_default()).await?,
    };
    Ok(Header::decode(&next).ok().map(|header| header.previous_end))
}

/// A volume on its way through the scanner.
pub(super) struct Sweep {
    source: Source,
    window: Window,
    /// What was found before is handed out.
    offset: u64,
    /// What is before is read or being read.
    asked: u64,
    limit: u64,
    zeros: u64,
    reading: VecDeque<JoinHandle<std::io::Result<Bytes>>>,
    scanning: Option<std::io::Result<Computing<Scanned>>>,
    /// While nothing is being scanned.
    scanner: Option<Scanner>,
}

/// A piece and what is in it.
struct Scanned {
    scanner: Scanner,
    bytes: Bytes,
    found: Vec<Found>,
}

impl Sweep {
    /// Of a store's volume from `start`, where a batch begins, to `limit`.
    pub(super) fn new(source: Source, store: u64, volume: u32, start: u64, limit: u64) -> Sweep {
        Sweep::with(source, Scanner::new(store, volume, start), start, limit)
    }

    /// The same with a brief scanner.
    pub(super) fn brief(source: Source, store: u64, volume: u32, start: u64, limit: u64) -> Sweep {
        Sweep::with(source, Scanner::brief(store, volume, start), start, limit)
    }

    fn with(source: Source, scanner: Scanner, start: u64, limit: u64) -> Sweep {
        let mut sweep = Sweep {
            source,
            window: Window::new(start),
            offset: start,
            asked: start,
            limit,
            zeros: 0,
            reading: VecDeque::new(),
            scanning: None,
            scanner: Some(scanner),
        };
        sweep.read_ahead();
        sweep
    }

    /// What the next piece holds; `None` behind the end.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Vec<Found>>> {
        if self.scanning.is_none() {
            self.scan_ahead().await;
        }
        if let Some(scanning) = self.scanning.take() {
            let Scanned { scanner, bytes, found } = scanning?.await?;
            self.zeros = scanner.zeros();
            self.scanner = Some(scanner);
            if bytes.is_empty() {
                // The file is shorter than it was said to be.
                self.stop();
            }
            self.offset += bytes.len() as u64;
            self.window.push(bytes);
            // Under way before the caller uses what was found.
            self.scan_ahead().await;
            return Ok(Some(found));
        }
        let Some(scanner) = self.scanner.take() else { return Ok(None) };
        let mut found = Vec::new();
        scanner.finish(&mut |item| found.push(item));
        Ok(Some(found))
    }

    /// Bytes of a record that was found in the last piece.
    pub(super) fn cut(&self, offset: u64, length: u64) -> Option<Vec<Bytes>> {
        self.window.cut(offset, length)
    }

    /// Byte of the volume up to which what was found is handed out.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Zeros since the last byte that was something else.
    pub(super) fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Nothing more will be read; what is on its way is the last.
    pub(super) fn stop(&mut self) {
        self.limit = self.asked;
        self.reading.clear();
    }

    /// Starts to scan the piece that was read, if there is one, and has others read.
    async fn scan_ahead(&mut self) {
        let Some(reading) = self.reading.pop_front() else { return };
        let Some(mut scanner) = self.scanner.take() else { return };
        let read = reading.await.unwrap_or_else(|| Err(Error::other("the read of a volume panicked")));
        self.read_ahead();
        self.scanning = Some(read.map(|bytes| {
            let scan = move || {
                let mut found = Vec::new();
                scanner.feed(&bytes, &mut |item| found.push(item));
                Scanned { scanner, bytes, found }
            };
            match &self.source {
                Source::Volume(_) => io::compute(scan),
                Source::File(reader, _) => reader.compute(scan),
            }
        }));
    }

    fn read_ahead(&mut self) {
        // Ends: every turn adds a read or is the last.
        while self.reading.len() < READS_AHEAD {
            let wanted = usize::try_from(self.limit.saturating_sub(self.asked)).unwrap_or(READ_BYTES).min(READ_BYTES);
            if wanted == 0 {
                return;
            }
            let (source, offset) = (self.source.clone(), self.asked);
            self.reading.push_back(io::spawn(async move { source.read(offset, wanted).await }));
            self.asked += wanted as u64;
        }
    }
}
