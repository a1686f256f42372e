//! Core: the bytes of one record of a volume. No I/O, no clock, no async.

use crate::store::diskfile::Version;
use crate::store::metadata::Metadata;
use base::hash_path::NameHash;
use bytes::Bytes;

/// Records begin at multiples of this.
pub const RECORD_ALIGNMENT: u64 = 64;
/// Batches begin at multiples of this, so that no write touches a block that was acknowledged.
pub const BATCH_ALIGNMENT: u64 = 4096;
/// Body bytes under one checksum.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// What a record says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A version of an object with all its bytes (body empty for POST and DELETE).
    Packed,
    /// Data whose bytes are in a stock file: metadata and block checksums are here.
    Large,
    /// The version at this place is damaged and counts no more.
    Quarantine,
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Index of the storage policy.
    pub policy: u32,
    /// Of the name.
    pub hash: NameHash,
    /// `/account/container/object`.
    pub name: String,
}

/// Everything before the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// Whose.
    pub identity: Identity,
    /// PUT, POST or DELETE and its times.
    pub version: Version,
    /// Its items, in order.
    pub metadata: Metadata,
    /// Bytes of the object.
    pub body_bytes: u64,
    /// crc32c of each block of the body.
    pub checksums: Vec<u32>,
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub message: String,
}

/// A head ready to be written; the batch gives it its sequence number at the last moment.
#[derive(Clone, Debug)]
pub struct Encoded {
    bytes: Vec<u8>,
}

impl Encoded {
    /// The head with the number of its batch, its own checksum made last.
    pub fn finish(self, sequence: u64) -> Vec<u8> {
        todo!("{sequence} {:?}", self.bytes)
    }
}

/// What the fixed part of a record says, verified by its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Number of the batch.
    pub sequence: u64,
    /// Fixed part, name, metadata and checksums.
    pub head: u32,
    /// The body that follows in the volume (zero for `Large`).
    pub body: u32,
}

impl Head {
    /// The bytes of the head without sequence number.
    pub fn encode(&self) -> Encoded {
        todo!()
    }
    /// Reads a whole head (`Lengths::head` bytes or more): every byte that could not have been written is damage.
    pub fn decode(bytes: &[u8]) -> Result<(Head, Lengths), Damage> {
        todo!("{}", bytes.len())
    }
}

impl Lengths {
    /// Bytes of the fixed part.
    pub const FIXED: usize = 96;
    /// Reads the fixed part. `Ok(None)` for zeros: nothing was written here.
    pub fn decode(fixed: &[u8]) -> Result<Option<Lengths>, Damage> {
        todo!("{}", fixed.len())
    }
}

/// crc32c of each block.
pub fn checksums(body: &[Bytes]) -> Vec<u32> {
    todo!("{}", body.len())
}
