//! Core: the bytes of one record of a volume. No I/O, no clock, no async.
//!
//! ```text
//!   0  magic u32 | crc32c u32 of bytes 8 to 96, begun with the salt | crc32c u32 of bytes 96 to the end of the head
//!  12  kind u8 | version u8 | has content type u8 | zero u8
//!  16  sequence u64                  number of the batch
//!  24  timestamp u64, u64            of the version, its offset
//!  40  content type u64, u64         when it was set, its offset; zero when there is none
//!  56  hash 16
//!  72  policy u16 | name bytes u16 | metadata items u16 | zero u16
//!  80  metadata bytes u32 | head bytes u32
//!  88  body bytes u64                of the object
//!  96  name | items: name bytes u16, value bytes u32, name, value … | crc32c u32 of each 64 KiB block of the body
//!      body (only of kind packed) | zeros to the next multiple of 64
//! ```
//!
//! Little-endian. A head tells where it is: its checksum begins with a salt made of store, volume and offset. A record that the disk
//! wrote elsewhere does not verify, nor do bytes of a client's object that look like one.

use crate::store::diskfile::Version;
use crate::store::metadata::Metadata;
use base::checksum::{crc32c, crc32c_append};
use base::hash_path::NameHash;
use base::timestamp::Timestamp;
use bytes::Bytes;

/// Records begin at multiples of this.
pub const RECORD_ALIGNMENT: u64 = 64;
/// Batches begin at multiples of this, so that no write touches a block that was acknowledged.
pub const BATCH_ALIGNMENT: u64 = 4096;
/// Body bytes under one checksum.
pub const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of a head: the checksums of the largest object (5 GiB: 320 KiB), metadata far beyond Swift's limits and a name.
pub const HEAD_BYTES_MAX: u32 = 1024 * 1024;

/// `MLR1`
const MAGIC: u32 = u32::from_le_bytes(*b"MLR1");

const _: () = assert!(BATCH_ALIGNMENT.is_multiple_of(RECORD_ALIGNMENT), "a batch begins with a record");

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
    /// Bytes of the object.
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

/// Where a record is, as its checksum knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Number of the store.
    pub store: u64,
    /// Number of the volume.
    pub volume: u32,
    /// Byte of the volume.
    pub offset: u64,
}

impl Spot {
    fn salt(self) -> u32 {
        let store = crc32c(&self.store.to_le_bytes());
        crc32c_append(crc32c_append(store, &self.volume.to_le_bytes()), &self.offset.to_le_bytes())
    }
}

/// A head ready to be written; the batch gives it its number and place at the last moment.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    bytes: Vec<u8>,
}

impl Encoded {
    /// Bytes of the head.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True for the default, which is no record.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The head with number and place, its own checksum made last.
    pub fn finish(mut self, sequence: u64, spot: Spot) -> Vec<u8> {
        write_at(&mut self.bytes, 16, &sequence.to_le_bytes());
        let checksum = crc32c_append(spot.salt(), self.bytes.get(8..Lengths::FIXED).unwrap_or_default());
        write_at(&mut self.bytes, 4, &checksum.to_le_bytes());
        self.bytes
    }
}

fn write_at(bytes: &mut [u8], at: usize, value: &[u8]) {
    let target = bytes.get_mut(at..at + value.len()).expect("inside the fixed part");
    target.copy_from_slice(value);
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
    /// The bytes of the head without number and place.
    pub fn encode(&self) -> Encoded {
        let name = self.identity.name.as_bytes();
        let metadata = encode_metadata(&self.metadata);
        let head = Lengths::FIXED + name.len() + metadata.len() + self.checksums.len() * 4;
        let (version, timestamp, content_type) = match self.version {
            Version::Data(timestamp) => (0, timestamp, None),
            Version::Meta { timestamp, content_type } => (1, timestamp, content_type),
            Version::Tombstone(timestamp) => (2, timestamp, None),
        };
        let kind = match self.kind {
            Kind::Packed => 0,
            Kind::Large => 1,
            Kind::Quarantine => 2,
        };
        let short = |length: usize| {
            u16::try_from(length).expect("names and items are bounded by the constraints").to_le_bytes()
        };
        let long = |length: usize| u32::try_from(length).expect("heads are bounded by the constraints").to_le_bytes();
        let mut bytes = Vec::with_capacity(head);
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[kind, version, u8::from(content_type.is_some()), 0]);
        bytes.extend_from_slice(&[0; 8]);
        for time in [timestamp, content_type.unwrap_or(Timestamp::ZERO)] {
            bytes.extend_from_slice(&time.raw().to_le_bytes());
            bytes.extend_from_slice(&time.offset().to_le_bytes());
        }
        bytes.extend_from_slice(&self.identity.hash.0);
        bytes.extend_from_slice(&short(usize::try_from(self.identity.policy).unwrap_or(usize::MAX)));
        bytes.extend_from_slice(&short(name.len()));
        bytes.extend_from_slice(&short(self.metadata.iter().count()));
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&long(metadata.len()));
        bytes.extend_from_slice(&long(head));
        bytes.extend_from_slice(&self.body_bytes.to_le_bytes());
        debug_assert_eq!(bytes.len(), Lengths::FIXED);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&metadata);
        for checksum in &self.checksums {
            bytes.extend_from_slice(&checksum.to_le_bytes());
        }
        let rest = crc32c(bytes.get(Lengths::FIXED..).unwrap_or_default());
        write_at(&mut bytes, 8, &rest.to_le_bytes());
        Encoded { bytes }
    }

    /// Reads a whole head (`Lengths::head` bytes or more): every byte that could not have been written is damage.
    pub fn decode(bytes: &[u8], spot: Spot) -> Result<(Head, Lengths), Damage> {
        let fixed = bytes.first_chunk().ok_or_else(|| damage("it ends early"))?;
        let Some(lengths) = Lengths::decode(fixed, spot)? else { return Err(damage("there is none")) };
        let length = usize::try_from(lengths.head).unwrap_or(usize::MAX);
        let rest = bytes.get(Lengths::FIXED..length).ok_or_else(|| damage("it ends early"))?;
        let fields = Fields::read(fixed)?;
        if crc32c(rest) != fields.rest_checksum {
            return Err(damage("the checksum of name and metadata does not fit"));
        }
        let (name, rest) = rest.split_at_checked(fields.name_bytes).ok_or_else(|| damage("no room for the name"))?;
        let (items, checksums) =
            rest.split_at_checked(fields.metadata_bytes).ok_or_else(|| damage("no room for the metadata"))?;
        let name = std::str::from_utf8(name).map_err(|_| damage("a name that is not UTF-8"))?.to_owned();
        let metadata = decode_metadata(items, fields.items)?;
        if checksums.len() as u64 != fields.blocks() * 4 {
            return Err(damage("not one checksum for each block"));
        }
        let (quads, _) = checksums.as_chunks::<4>();
        let checksums = quads.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let identity = Identity { policy: fields.policy, hash: fields.hash, name };
        let (kind, version, body_bytes) = (fields.kind, fields.version, fields.body_bytes);
        Ok((Head { kind, identity, version, metadata, body_bytes, checksums }, lengths))
    }
}

impl Lengths {
    /// Bytes of the fixed part.
    pub const FIXED: usize = 96;

    /// Reads the fixed part. `Ok(None)` for zeros: nothing was written here.
    pub fn decode(fixed: &[u8; Lengths::FIXED], spot: Spot) -> Result<Option<Lengths>, Damage> {
        if fixed.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let fields = Fields::read(fixed)?;
        if crc32c_append(spot.salt(), fixed.get(8..).unwrap_or_default()) != fields.fixed_checksum {
            return Err(damage("the checksum of the head does not fit"));
        }
        fields.check()?;
        let body = if fields.kind == Kind::Packed { fields.body_bytes } else { 0 };
        let body = u32::try_from(body).map_err(|_| damage("a body too large for a volume"))?;
        Ok(Some(Lengths { sequence: fields.sequence, head: fields.head_bytes, body }))
    }

    /// Head and body.
    pub fn total(&self) -> u64 {
        u64::from(self.head) + u64::from(self.body)
    }
}

/// The fixed part, taken apart.
struct Fields {
    fixed_checksum: u32,
    rest_checksum: u32,
    kind: Kind,
    version: Version,
    sequence: u64,
    hash: NameHash,
    policy: u32,
    name_bytes: usize,
    items: usize,
    metadata_bytes: usize,
    head_bytes: u32,
    body_bytes: u64,
}

impl Fields {
    fn read(fixed: &[u8; Lengths::FIXED]) -> Result<Fields, Damage> {
        let mut input = Input(fixed);
        if input.u32()? != MAGIC {
            return Err(damage("no record begins here"));
        }
        let (fixed_checksum, rest_checksum) = (input.u32()?, input.u32()?);
        let [kind, version, has_content_type, zero] = input.take::<4>()?;
        let sequence = input.u64()?;
        let timestamp = Timestamp::from_raw(input.u64()?, input.u64()?);
        let content_type = Timestamp::from_raw(input.u64()?, input.u64()?);
        let hash = NameHash(input.take()?);
        let policy = u32::from(input.u16()?);
        let (name_bytes, items) = (usize::from(input.u16()?), usize::from(input.u16()?));
        let more_zero = input.u16()?;
        let (metadata_bytes, head_bytes, body_bytes) = (input.u32()?, input.u32()?, input.u64()?);
        let kind = match kind {
            0 => Kind::Packed,
            1 => Kind::Large,
            2 => Kind::Quarantine,
            _ => return Err(damage("no kind of record")),
        };
        let version = match (version, has_content_type) {
            (0, 0) => Version::Data(timestamp),
            (1, 0) => Version::Meta { timestamp, content_type: None },
            (1, 1) => Version::Meta { timestamp, content_type: Some(content_type) },
            (2, 0) => Version::Tombstone(timestamp),
            _ => return Err(damage("no kind of version")),
        };
        if zero != 0 || more_zero != 0 || (has_content_type == 0 && content_type != Timestamp::ZERO) {
            return Err(damage("something where nothing belongs"));
        }
        let metadata_bytes = usize::try_from(metadata_bytes).unwrap_or(usize::MAX);
        Ok(Fields {
            fixed_checksum,
            rest_checksum,
            kind,
            version,
            sequence,
            hash,
            policy,
            name_bytes,
            items,
            metadata_bytes,
            head_bytes,
            body_bytes,
        })
    }

    fn blocks(&self) -> u64 {
        match self.kind {
            Kind::Packed | Kind::Large => self.body_bytes.div_ceil(BLOCK_BYTES as u64),
            Kind::Quarantine => 0,
        }
    }

    fn check(&self) -> Result<(), Damage> {
        let variable = self.name_bytes as u64 + self.metadata_bytes as u64 + self.blocks().saturating_mul(4);
        if u64::from(self.head_bytes) != variable.saturating_add(Lengths::FIXED as u64) {
            return Err(damage("lengths that do not add up"));
        }
        if self.head_bytes > HEAD_BYTES_MAX {
            return Err(damage("a head larger than any"));
        }
        Ok(())
    }
}

fn encode_metadata(metadata: &Metadata) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in metadata.iter() {
        bytes.extend_from_slice(&u16::try_from(name.len()).expect("headers are bounded").to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(value.len()).expect("headers are bounded").to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
    }
    bytes
}

fn decode_metadata(bytes: &[u8], items: usize) -> Result<Metadata, Damage> {
    let mut input = Input(bytes);
    let mut list = Vec::with_capacity(items.min(bytes.len()));
    for _ in 0..items {
        let name_bytes = usize::from(input.u16()?);
        let value_bytes = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
        let name = Bytes::copy_from_slice(input.slice(name_bytes)?);
        list.push((name, Bytes::copy_from_slice(input.slice(value_bytes)?)));
    }
    if !input.0.is_empty() {
        return Err(damage("bytes behind the last item"));
    }
    Ok(Metadata::from_items(list))
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| damage("it ends early"))?;
        self.0 = rest;
        Ok(*taken)
    }
    fn slice(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| damage("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }
    fn u16(&mut self) -> Result<u16, Damage> {
        self.take().map(u16::from_le_bytes)
    }
    fn u32(&mut self) -> Result<u32, Damage> {
        self.take().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Result<u64, Damage> {
        self.take().map(u64::from_le_bytes)
    }
}

fn damage(message: &str) -> Damage {
    Damage { message: format!("a record of a volume: {message}") }
}

/// The checksums of a body that comes in pieces.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    done: Vec<u32>,
    current: u32,
    filled: usize,
}

impl Blocks {
    /// The next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
            self.current = crc32c_append(self.current, now);
            self.filled += now.len();
            if self.filled == BLOCK_BYTES {
                self.done.push(std::mem::take(&mut self.current));
                self.filled = 0;
            }
            bytes = later;
        }
    }

    /// One for each block.
    pub fn finish(mut self) -> Vec<u32> {
        if self.filled > 0 {
            self.done.push(self.current);
        }
        self.done
    }
}

/// crc32c of each block.
pub fn checksums(body: &[Bytes]) -> Vec<u32> {
    let mut blocks = Blocks::default();
    for bytes in body {
        blocks.update(bytes);
    }
    blocks.finish()
}

/// Compares whole blocks (the last may be short) with their checksums; `first` is the number of the first one.
pub fn verify_blocks(checksums: &[u32], first: usize, bytes: &[u8]) -> Result<(), Damage> {
    for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
        if checksums.get(first + number) != Some(&crc32c(block)) {
            return Err(Damage { message: format!("block {} does not fit its checksum", first + number) });
        }
    }
    Ok(())
}
