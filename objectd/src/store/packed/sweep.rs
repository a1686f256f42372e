//! Streams one volume through the scanner: large reads, the next one under way while the last one is looked at.
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
use base::io::{self, JoinHandle, fs};
use bytes::Bytes;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::rc::Rc;

/// What a long work tells of its way: bytes done, bytes in all as far as known.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Bytes read at a time: a disk is at its full rate, and a few heads and pieces are all that is in memory.
const READ_BYTES: usize = 2 * 1024 * 1024;
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
    pub(super) async fn read(&self, offset: u64, wanted: usize) -> std::io::Result<Vec<u8>> {
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
                Ok(mut piece) => bytes.append(&mut piece),
                Err(error) if diskfile::is_unreadable(&error) => bytes.resize(bytes.len() + length, UNREADABLE),
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    async fn read_plainly(&self, offset: u64, wanted: usize) -> std::io::Result<Vec<u8>> {
        match self {
            Source::Volume(volume) => volume.read(offset, wanted).await.map(Vec::from),
            Source::File(reader, path) => reader.read(path, offset, wanted).await,
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
    scanner: Option<Scanner>,
    window: Window,
    /// Of the next read.
    offset: u64,
    limit: u64,
    ahead: Option<JoinHandle<std::io::Result<Vec<u8>>>>,
}

impl Sweep {
    /// Of a store's volume from `start`, where a batch begins, to `limit`.
    pub(super) fn new(source: Source, store: u64, volume: u32, start: u64, limit: u64) -> Sweep {
        let scanner = Some(Scanner::new(store, volume, start));
        let mut sweep = Sweep { source, scanner, window: Window::new(start), offset: start, limit, ahead: None };
        sweep.read_ahead();
        sweep
    }

    /// What the next piece holds; `None` behind the end.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Vec<Found>>> {
        let bytes = match self.ahead.take() {
            Some(ahead) => ahead.await.unwrap_or_else(|| Err(Error::other("the read of a volume panicked")))?,
            None => Vec::new(),
        };
        let mut found = Vec::new();
        if bytes.is_empty() {
            let Some(scanner) = self.scanner.take() else { return Ok(None) };
            scanner.finish(&mut |item| found.push(item));
            return Ok(Some(found));
        }
        let bytes = Bytes::from(bytes);
        self.offset += bytes.len() as u64;
        self.window.push(bytes.clone());
        self.read_ahead();
        if let Some(scanner) = &mut self.scanner {
            scanner.feed(&bytes, &mut |item| found.push(item));
        }
        Ok(Some(found))
    }

    /// Bytes of a record that was found in the last piece.
    pub(super) fn cut(&self, offset: u64, length: u64) -> Option<Vec<Bytes>> {
        self.window.cut(offset, length)
    }

    /// Byte of the volume up to which it was looked at.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Zeros since the last byte that was something else.
    pub(super) fn zeros(&self) -> u64 {
        self.scanner.as_ref().map_or(0, Scanner::zeros)
    }

    /// Nothing more will be read; the next piece is the last.
    pub(super) fn stop(&mut self) {
        self.limit = self.offset;
        self.ahead = None;
    }

    fn read_ahead(&mut self) {
        let wanted = usize::try_from(self.limit.saturating_sub(self.offset)).unwrap_or(READ_BYTES).min(READ_BYTES);
        if wanted > 0 {
            let (source, offset) = (self.source.clone(), self.offset);
            self.ahead = Some(io::spawn(async move { source.read(offset, wanted).await }));
        }
    }
}
