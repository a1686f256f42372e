//! Core: the bytes of one record of a volume. No I/O, no clock, no async.
//!
//! ```text
//!   0  magic u32 | crc32c u32 of bytes 8 to 96, begun with the salt | crc32c u32 of bytes 96 to the end of the head
//!  12  kind u8 | version u8 | has content type u8 | is last of its batch u8
//!  16  sequence u64                  number of the batch
//!  24  timestamp u64, u64            of the version, its offset
//!  40  content type u64, u64         when it was set, its offset; zero when there is none
//!  56  hash 16
//!  72  policy u16 | name bytes u16 | metadata items u16 | zero u16
//!  80  metadata bytes u32 | head bytes u32
//!  88  body bytes u64                of the object
//!  96  name | items: name bytes u16, value bytes u32, name, value … | crc32c u32 of each 64 KiB block of the body
//!      body (only of kind packed) | zeros to the next multiple of 64, behind the last record of a batch to the next of 4096
//! ```
//!
//! Little-endian. A head tells where it is: its checksum begins with a salt made of store, volume and offset. A record that the disk
//! wrote elsewhere does not verify, nor do bytes of a client's object that look like one. The crash cases are argued in
//! docs/formats/volume.md.
//!
//! Parts: `fixed` (the first 96 bytes), `blocks` (checksums of bodies), `input` (reading numbers).

mod blocks;
mod fixed;
mod input;

use crate::store::diskfile::Version;
use crate::store::metadata::Metadata;
use base::checksum::crc32c;
use base::hash_path::NameHash;
use bytes::Bytes;
use fixed::Fields;
pub(super) use input::Input;

pub use blocks::{Blocks, checksums, verify_blocks};
pub use fixed::{Encoded, Fixed, Lengths, Spot};

/// Records begin at multiples of this.
pub const RECORD_ALIGNMENT: u64 = 64;
/// Batches begin at multiples of this, so that no write touches a block that was acknowledged.
pub const BATCH_ALIGNMENT: u64 = 4096;
/// Body bytes under one checksum.
pub const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of a body in a volume: four times the largest `pack_limit`, so that a smaller limit later leaves no record unreadable.
pub const BODY_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of an object in a stock file: above Swift's 5 GiB, and its checksums (512 KiB) still fit a head that is held in memory.
pub const OBJECT_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Bytes of all metadata items: far beyond what the headers of a request can hold.
pub const METADATA_BYTES_MAX: u32 = 448 * 1024 - Lengths::FIXED as u32;
/// Bytes of a head: fixed part, the longest name its length allows, metadata and checksums. A scan holds one in memory.
pub const HEAD_BYTES_MAX: u32 = 1024 * 1024;

const _: () = assert!(BATCH_ALIGNMENT.is_multiple_of(RECORD_ALIGNMENT), "a batch begins with a record");
const _: () = assert!(
    Lengths::FIXED as u64 + u16::MAX as u64 + METADATA_BYTES_MAX as u64 + OBJECT_BYTES_MAX / BLOCK_BYTES as u64 * 4
        <= HEAD_BYTES_MAX as u64,
    "a head is no longer than its parts"
);

/// What a record says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A version of an object with all its bytes (none for POST and DELETE).
    Packed,
    /// Data whose bytes are in a stock file: metadata and block checksums are here.
    Large,
    /// The version at a place that the metadata name is damaged and counts no more.
    Quarantine,
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Index of the storage policy, below 65,536.
    pub policy: u32,
    /// Of the name.
    pub hash: NameHash,
    /// `/account/container/object`; empty in a quarantine record whose version had lost its head.
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
    /// Bytes of the object; none of a quarantine record.
    pub body_bytes: u64,
    /// crc32c of each block of the body.
    pub checksums: Vec<u32>,
}

/// Why bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub message: String,
}

/// Why a head cannot be written: it is beyond a limit of the format, and what is written must be readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversize {
    /// What is too large.
    pub message: String,
}

impl From<Oversize> for std::io::Error {
    fn from(oversize: Oversize) -> Self {
        std::io::Error::new(std::io::ErrorKind::FileTooLarge, oversize.message)
    }
}

impl Head {
    /// The bytes of the head without number and place.
    pub fn encode(&self) -> Result<Encoded, Oversize> {
        let too_large = |what: &str| Oversize { message: format!("a record of a volume cannot hold {what}") };
        let name = self.identity.name.as_bytes();
        let metadata = encode_metadata(&self.metadata).ok_or_else(|| too_large("such metadata"))?;
        let head = Lengths::FIXED + name.len() + metadata.len() + self.checksums.len() * 4;
        let fields = Fields {
            rest_checksum: 0,
            kind: self.kind,
            version: self.version,
            is_last: false,
            sequence: 0,
            hash: self.identity.hash,
            policy: u16::try_from(self.identity.policy).map_err(|_| too_large("such a policy"))?,
            name_bytes: u16::try_from(name.len()).map_err(|_| too_large("such a name"))?,
            items: u16::try_from(self.metadata.iter().count()).map_err(|_| too_large("so many items"))?,
            metadata_bytes: u32::try_from(metadata.len()).map_err(|_| too_large("such metadata"))?,
            head_bytes: u32::try_from(head).map_err(|_| too_large("such a head"))?,
            body_bytes: self.body_bytes,
        };
        assert!(self.checksums.len() as u64 == fields.blocks(), "one checksum for each block of the body");
        fields.check().map_err(|damage| Oversize { message: damage.message })?;
        let mut bytes = Vec::with_capacity(head);
        fields.encode(&mut bytes);
        debug_assert_eq!(bytes.len(), Lengths::FIXED);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&metadata);
        for checksum in &self.checksums {
            bytes.extend_from_slice(&checksum.to_le_bytes());
        }
        let rest = crc32c(bytes.get(Lengths::FIXED..).unwrap_or_default());
        fixed::write_at(&mut bytes, 8, &rest.to_le_bytes());
        Ok(Encoded { bytes })
    }

    /// Reads a whole head (`Lengths::head` bytes or more): every byte that could not have been written is damage.
    pub fn decode(bytes: &[u8], spot: Spot) -> Result<(Head, Lengths), Damage> {
        Head::decode_with(bytes, spot, Bytes::copy_from_slice)
    }

    /// The same for who lets go of the head before the bytes: its items are slices of these.
    pub fn decode_slices(bytes: &Bytes, spot: Spot) -> Result<(Head, Lengths), Damage> {
        Head::decode_with(bytes, spot, |item| bytes.slice_ref(item))
    }

    fn decode_with(bytes: &[u8], spot: Spot, item: impl Fn(&[u8]) -> Bytes) -> Result<(Head, Lengths), Damage> {
        let fixed = bytes.first_chunk().ok_or_else(|| damage("it ends early"))?;
        let fields = Fields::decode(fixed, spot)?;
        let length = usize::try_from(fields.head_bytes).unwrap_or(usize::MAX);
        let rest = bytes.get(Lengths::FIXED..length).ok_or_else(|| damage("it ends early"))?;
        if crc32c(rest) != fields.rest_checksum {
            return Err(damage("the checksum of name and metadata does not fit"));
        }
        let mut input = Input(rest);
        let name = input.slice(usize::from(fields.name_bytes))?;
        let name = std::str::from_utf8(name).map_err(|_| damage("a name that is not UTF-8"))?.to_owned();
        let items = input.slice(usize::try_from(fields.metadata_bytes).unwrap_or(usize::MAX))?;
        let metadata = decode_metadata(items, usize::from(fields.items), item)?;
        // The lengths add up: what is left are the checksums, one for each block.
        let (quads, _) = input.0.as_chunks::<4>();
        let checksums = quads.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let identity = Identity { policy: u32::from(fields.policy), hash: fields.hash, name };
        let lengths = fields.lengths();
        let Fields { kind, version, body_bytes, .. } = fields;
        Ok((Head { kind, identity, version, metadata, body_bytes, checksums }, lengths))
    }
}

/// Whether these bytes are one record and all that was written of it, by its checksums. What they cover is not taken apart.
pub fn verify(bytes: &[u8], spot: Spot) -> Result<(), Damage> {
    let fixed = bytes.first_chunk().ok_or_else(|| damage("it ends early"))?;
    let fields = Fields::decode(fixed, spot)?;
    let length = usize::try_from(fields.head_bytes).unwrap_or(usize::MAX);
    let (head, body) = bytes.split_at_checked(length).ok_or_else(|| damage("it ends early"))?;
    let rest = head.get(Lengths::FIXED..).unwrap_or_default();
    if crc32c(rest) != fields.rest_checksum {
        return Err(damage("the checksum of name and metadata does not fit"));
    }
    if body.len() != usize::try_from(fields.lengths().body).unwrap_or(usize::MAX) {
        return Err(damage("another length than it says"));
    }
    let sums = usize::try_from(fields.blocks() * 4).ok().and_then(|sums| rest.len().checked_sub(sums));
    let (sums, _) = rest.get(sums.unwrap_or_default()..).unwrap_or_default().as_chunks::<4>();
    let mut blocks = body.chunks(BLOCK_BYTES).zip(sums);
    match blocks.all(|(block, sum)| crc32c(block) == u32::from_le_bytes(*sum)) {
        true => Ok(()),
        false => Err(damage("a block does not fit its checksum")),
    }
}

/// `None` when an item is longer than its length can say.
fn encode_metadata(metadata: &Metadata) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for (name, value) in metadata.iter() {
        bytes.extend_from_slice(&u16::try_from(name.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(value.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
    }
    Some(bytes)
}

fn decode_metadata(bytes: &[u8], items: usize, item: impl Fn(&[u8]) -> Bytes) -> Result<Metadata, Damage> {
    const ITEM_BYTES_MIN: usize = 6;
    let mut input = Input(bytes);
    let mut list = Vec::with_capacity(items.min(bytes.len() / ITEM_BYTES_MIN));
    for _ in 0..items {
        let name_bytes = usize::from(input.u16()?);
        let value_bytes = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
        let name = item(input.slice(name_bytes)?);
        list.push((name, item(input.slice(value_bytes)?)));
    }
    if !input.0.is_empty() {
        return Err(damage("bytes behind the last item"));
    }
    if has_twins(&list) {
        return Err(damage("two items of one name"));
    }
    Ok(Metadata::from_items(list))
}

/// Whether two items have one name.
fn has_twins(items: &[(Bytes, Bytes)]) -> bool {
    /// So few, as nearly all objects have, are compared without a list of their own.
    const FEW: usize = 16;
    if items.len() <= FEW {
        let is_known =
            |(at, (name, _)): (usize, &(Bytes, Bytes))| items.iter().take(at).any(|(other, _)| other == name);
        return items.iter().enumerate().any(is_known);
    }
    let mut names: Vec<&Bytes> = items.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
}

fn damage(message: &str) -> Damage {
    Damage { message: format!("a record of a volume: {message}") }
}

#[cfg(test)]
pub(super) mod tests;
