//! Core: the gzip around a ring, read within a bound, written to the byte as Python does for Swift.
//!
//! Swift starts a new deflate stream wherever the level changes and flushes fully in between, so that the magic stands
//! uncompressed near the beginning of the file and a reader can start at every section.

use crate::ring::RingError;
use flate2::read::GzDecoder;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::io::Read;

/// Unpacks one gzip member, checksum verified.
pub(super) fn decompress(bytes: &[u8]) -> Result<Vec<u8>, RingError> {
    let mut plain = Vec::new();
    // Grows with what is really there, never with what a header claims.
    let read = GzDecoder::new(bytes).take(PLAIN_BYTES_MAX + 1).read_to_end(&mut plain);
    read.map_err(|error| RingError::new(format!("the ring is no gzip file or damaged: {error}")))?;
    if plain.len() as u64 > PLAIN_BYTES_MAX {
        return Err(RingError::new(format!("the ring is larger than {PLAIN_BYTES_MAX} bytes")));
    }
    Ok(plain)
}

/// The first six bytes.
pub(super) fn beginning(bytes: &[u8]) -> Option<[u8; 6]> {
    let mut magic = [0; 6];
    GzDecoder::new(bytes).read_exact(&mut magic).ok()?;
    Some(magic)
}

/// A gzip file in the making.
pub(super) struct Writer {
    out: Vec<u8>,
    deflate: Compress,
    crc: Crc,
    flushed: bool,
}

impl Writer {
    pub(super) fn new(file_name: &str) -> Self {
        let base = file_name.rsplit('/').next().unwrap_or(file_name);
        let base = base.strip_suffix(".gz").unwrap_or(base);
        // FNAME is Latin-1; Python leaves a name out that does not fit.
        let name: Option<Vec<u8>> = base.chars().map(|c| u8::try_from(u32::from(c)).ok().filter(|b| *b != 0)).collect();
        let name = name.filter(|name| !name.is_empty());
        let mut out = vec![0x1f, 0x8b, 8, if name.is_some() { FNAME } else { 0 }];
        out.extend(MTIME.to_le_bytes());
        out.extend([XFL_BEST, OS_UNKNOWN]);
        if let Some(name) = name {
            out.extend(name);
            out.push(0);
        }
        Writer { out, deflate: new_deflate(BEST), crc: Crc::new(), flushed: true }
    }
    /// Everything so far is flushed, the rest is a new stream of this level.
    pub(super) fn set_level(&mut self, level: u32) {
        self.flush();
        self.deflate = new_deflate(level);
    }
    /// Adds bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.crc.update(bytes);
            self.pump(bytes, FlushCompress::None);
            self.flushed = false;
        }
    }
    /// A full flush: a reader can start behind it.
    pub(super) fn flush(&mut self) {
        if !self.flushed {
            self.pump(&[], FlushCompress::Full);
            self.flushed = true;
        }
    }
    /// Offset in the file, flushed.
    pub(super) fn compressed_position(&mut self) -> u64 {
        self.flush();
        self.out.len() as u64
    }
    /// Offset in the plain data.
    pub(super) fn plain_position(&self) -> u64 {
        u64::from(self.crc.amount())
    }
    /// The file.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.pump(&[], FlushCompress::Finish);
        self.out.extend(self.crc.sum().to_le_bytes());
        self.out.extend(self.crc.amount().to_le_bytes());
        self.out
    }

    fn pump(&mut self, mut bytes: &[u8], flush: FlushCompress) {
        // Ends: each turn makes room, and zlib says Ok with room to spare, or StreamEnd, when it has nothing more.
        loop {
            self.out.reserve(ROOM);
            let (before_in, before_out) = (self.deflate.total_in(), self.deflate.total_out());
            let status = self.deflate.compress_vec(bytes, &mut self.out, flush).expect("the stream is in order");
            let taken = (self.deflate.total_in() - before_in) as usize;
            let written = (self.deflate.total_out() - before_out) as usize;
            bytes = bytes.get(taken..).unwrap_or_default();
            let room_left = self.out.len() < self.out.capacity();
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => bytes.is_empty() && room_left,
            };
            if done || (taken == 0 && written == 0) {
                return;
            }
        }
    }
}

fn new_deflate(level: u32) -> Compress {
    Compress::new(Compression::new(level), false)
}

/// zlib's level 9 for everything but the words a reader must find uncompressed.
pub(super) const BEST: u32 = 9;
/// Stored blocks.
pub(super) const STORED: u32 = 0;
const ROOM: usize = 64 * 1024;
const FNAME: u8 = 8;
/// Swift's constant: the same ring gives the same bytes whenever it is written.
const MTIME: u32 = 1_300_507_380;
const XFL_BEST: u8 = 2;
const OS_UNKNOWN: u8 = 255;
/// 8 replicas of part power 26 with 2-byte ids; deflate packs up to 1,032 to 1, so a bound is needed.
const PLAIN_BYTES_MAX: u64 = 1 << 30;
