//! Core: the first block of a volume, its name, and what a scan of its bytes finds. No I/O, no clock, no async.

use super::record::{Damage, Head, Lengths};

/// Bytes of the header; the first batch begins behind it.
pub const HEADER_BYTES: u64 = 4096;

/// The first block of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its number; higher ones are written later.
    pub volume: u32,
    /// Random number of the store, the same in all its volumes: a file of another disk is refused.
    pub store: u64,
    /// Sequence number of its first batch.
    pub first_sequence: u64,
}

impl Header {
    /// The block.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// Reads it.
    pub fn decode(block: &[u8]) -> Result<Header, Damage> {
        todo!("{}", block.len())
    }
}

/// `00000001.volume`
pub fn file_name(volume: u32) -> String {
    format!("{volume:08x}.volume")
}

/// The number in a file name.
pub fn parse_file_name(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".volume").filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok()
}

/// What a scan meets, in the order of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A record whose head and body are what was written.
    Record {
        /// Where it begins.
        offset: u64,
        /// Its lengths and batch.
        lengths: Lengths,
        /// Its head, boxed: damage is small.
        head: Box<Head>,
    },
    /// Bytes that are no record. When a later batch exists anywhere in the log they were acknowledged and are lost here; in the
    /// last batch of all they are a write that was cut off.
    Damaged {
        /// From here.
        offset: u64,
        /// That many bytes.
        bytes: u64,
        /// The batch, when the head could be read.
        sequence: Option<u64>,
        /// The head, when only the body is damaged.
        head: Option<Box<Head>>,
    },
}

/// Takes the bytes of a volume piece by piece and says what is in them. Memory is bounded by one record.
pub struct Scanner {}

impl Scanner {
    /// A scan that starts at `offset`, which is a batch's start.
    pub fn new(offset: u64) -> Self {
        todo!("{offset}")
    }
    /// Feeds the next bytes and hands out what is complete.
    pub fn feed(&mut self, bytes: &[u8], found: &mut dyn FnMut(Found)) {
        todo!("{} {}", bytes.len(), std::mem::size_of_val(found))
    }
    /// No more bytes will come.
    pub fn finish(self, found: &mut dyn FnMut(Found)) {
        todo!("{}", std::mem::size_of_val(found))
    }
    /// Where the next batch would go: behind the last record seen, at the alignment of batches.
    pub fn end(&self) -> u64 {
        todo!()
    }
}
