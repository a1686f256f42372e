//! Core: the 96 bytes every record begins with. No I/O, no clock, no async.
//!
//! They are written last, when the batch knows its number and the place of each record, and they are all that a scan has to trust to
//! find the next record: lengths and the place are under a checksum of their own.

use super::{
    BLOCK_BYTES, BODY_BYTES_MAX, Damage, HEAD_BYTES_MAX, Kind, METADATA_BYTES_MAX, OBJECT_BYTES_MAX, damage,
    input::Input,
};
use crate::store::diskfile::Version;
use base::checksum::{crc32c, crc32c_append};
use base::hash_path::NameHash;
use base::timestamp::Timestamp;

/// `MLR1`
const MAGIC: u32 = u32::from_le_bytes(*b"MLR1");
/// Times lie below 10^10 seconds: names of stock files have ten digits for them.
const TIME_END: u64 = 1_000_000_000_000_000;

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
    pub(super) bytes: Vec<u8>,
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

    /// The head with number and place, its own checksum made last. The last record of a batch says so: without that a scan
    /// could not tell the lost end of a batch from the padding behind it.
    pub fn finish(mut self, sequence: u64, spot: Spot, is_last: bool) -> Vec<u8> {
        write_at(&mut self.bytes, 15, &[u8::from(is_last)]);
        write_at(&mut self.bytes, 16, &sequence.to_le_bytes());
        let checksum = crc32c_append(spot.salt(), self.bytes.get(8..Lengths::FIXED).unwrap_or_default());
        write_at(&mut self.bytes, 4, &checksum.to_le_bytes());
        self.bytes
    }
}

pub(super) fn write_at(bytes: &mut [u8], at: usize, value: &[u8]) {
    let target = bytes.get_mut(at..at + value.len()).expect("inside the fixed part");
    target.copy_from_slice(value);
}

/// What the fixed part of a record says of its bytes, verified by its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Number of the batch.
    pub sequence: u64,
    /// Fixed part, name, metadata and checksums.
    pub head: u32,
    /// The body that follows in the volume (zero for `Large`).
    pub body: u32,
    /// No other record of the batch follows.
    pub is_last: bool,
}

impl Lengths {
    /// Bytes of the fixed part.
    pub const FIXED: usize = 96;

    /// Reads the fixed part. `Ok(None)` for zeros: nothing was written here.
    pub fn decode(fixed: &[u8; Lengths::FIXED], spot: Spot) -> Result<Option<Lengths>, Damage> {
        Ok(Fixed::decode(fixed, spot)?.map(|fixed| fixed.lengths))
    }

    /// Head and body.
    pub fn total(&self) -> u64 {
        u64::from(self.head) + u64::from(self.body)
    }
}

/// What the fixed part of a record says, verified by its checksum: all but name, metadata and block checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// What it is.
    pub kind: Kind,
    /// Index of the storage policy.
    pub policy: u32,
    /// Of the name.
    pub hash: NameHash,
    /// PUT, POST or DELETE and its times.
    pub version: Version,
    /// Its lengths and batch.
    pub lengths: Lengths,
}

impl Fixed {
    /// Reads the fixed part. `Ok(None)` for zeros: nothing was written here.
    pub fn decode(fixed: &[u8; Lengths::FIXED], spot: Spot) -> Result<Option<Fixed>, Damage> {
        if fixed.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        Fields::decode(fixed, spot).map(|fields| Some(fields.fixed()))
    }
}

/// The fixed part, taken apart.
pub(super) struct Fields {
    pub(super) rest_checksum: u32,
    pub(super) kind: Kind,
    pub(super) version: Version,
    pub(super) is_last: bool,
    pub(super) sequence: u64,
    pub(super) hash: NameHash,
    pub(super) policy: u16,
    pub(super) name_bytes: u16,
    pub(super) items: u16,
    pub(super) metadata_bytes: u32,
    pub(super) head_bytes: u32,
    pub(super) body_bytes: u64,
}

impl Fields {
    /// Adds the bytes; both checksums, number, place and `is_last` come later.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
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
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[kind, version, u8::from(content_type.is_some()), 0]);
        bytes.extend_from_slice(&[0; 8]);
        for time in [timestamp, content_type.unwrap_or(Timestamp::ZERO)] {
            bytes.extend_from_slice(&time.raw().to_le_bytes());
            bytes.extend_from_slice(&time.offset().to_le_bytes());
        }
        bytes.extend_from_slice(&self.hash.0);
        for short in [self.policy, self.name_bytes, self.items, 0] {
            bytes.extend_from_slice(&short.to_le_bytes());
        }
        bytes.extend_from_slice(&self.metadata_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.head_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.body_bytes.to_le_bytes());
    }

    /// Reads and verifies them.
    pub(super) fn decode(fixed: &[u8; Lengths::FIXED], spot: Spot) -> Result<Fields, Damage> {
        let mut input = Input(fixed);
        if input.u32()? != MAGIC {
            return Err(damage("no record begins here"));
        }
        let checksum = input.u32()?;
        if crc32c_append(spot.salt(), fixed.get(8..).unwrap_or_default()) != checksum {
            return Err(damage("the checksum of the head does not fit"));
        }
        let rest_checksum = input.u32()?;
        let [kind, version, has_content_type, is_last] = input.take::<4>()?;
        let sequence = input.u64()?;
        let timestamp = time(&mut input)?;
        let content_type = time(&mut input)?;
        let hash = NameHash(input.take()?);
        let (policy, name_bytes, items, zero) = (input.u16()?, input.u16()?, input.u16()?, input.u16()?);
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
        if zero != 0 || is_last > 1 || (has_content_type == 0 && content_type != Timestamp::ZERO) {
            return Err(damage("something where nothing belongs"));
        }
        let is_last = is_last == 1;
        let fields = Fields {
            rest_checksum,
            kind,
            version,
            is_last,
            sequence,
            hash,
            policy,
            name_bytes,
            items,
            metadata_bytes,
            head_bytes,
            body_bytes,
        };
        fields.check().map(|()| fields)
    }

    /// What must hold of every record, asked before it is written and after it was read.
    pub(super) fn check(&self) -> Result<(), Damage> {
        let (timestamp, content_type) = match self.version {
            Version::Data(timestamp) | Version::Tombstone(timestamp) => (timestamp, None),
            Version::Meta { timestamp, content_type } => (timestamp, content_type),
        };
        if timestamp.max(content_type.unwrap_or(timestamp)).raw() >= TIME_END {
            return Err(damage("a time that no timestamp has"));
        }
        let body_bytes_max = match (self.kind, self.version) {
            (Kind::Packed, Version::Data(_)) => BODY_BYTES_MAX,
            (Kind::Packed, _) | (Kind::Quarantine, _) => 0,
            (Kind::Large, Version::Data(_)) => OBJECT_BYTES_MAX,
            (Kind::Large, _) => return Err(damage("a large body of something that has none")),
        };
        if self.body_bytes > body_bytes_max {
            return Err(damage("a body larger than any"));
        }
        if self.metadata_bytes > METADATA_BYTES_MAX {
            return Err(damage("more metadata than any"));
        }
        if self.name_bytes == 0 && self.kind != Kind::Quarantine {
            return Err(damage("no name"));
        }
        let variable = u64::from(self.name_bytes) + u64::from(self.metadata_bytes) + self.blocks() * 4;
        if u64::from(self.head_bytes) != variable + Lengths::FIXED as u64 {
            return Err(damage("lengths that do not add up"));
        }
        debug_assert!(self.head_bytes <= HEAD_BYTES_MAX, "the sum of its limits");
        Ok(())
    }

    /// Checksums of the body.
    pub(super) fn blocks(&self) -> u64 {
        self.body_bytes.div_ceil(BLOCK_BYTES as u64)
    }

    pub(super) fn fixed(&self) -> Fixed {
        let Fields { kind, hash, version, .. } = *self;
        Fixed { kind, policy: u32::from(self.policy), hash, version, lengths: self.lengths() }
    }

    pub(super) fn lengths(&self) -> Lengths {
        let body = if self.kind == Kind::Packed { self.body_bytes } else { 0 };
        let body = u32::try_from(body).expect("checked against the limit of packed bodies");
        Lengths { sequence: self.sequence, head: self.head_bytes, body, is_last: self.is_last }
    }
}

fn time(input: &mut Input) -> Result<Timestamp, Damage> {
    Ok(Timestamp::from_raw(input.u64()?, input.u64()?))
}
