//! Core: the bytes of a `.ring.gz`, both versions.
//!
//! ```text
//! version 1:  "R1NG" 00 01 | be32 n | n bytes of JSON | rows of 2-byte ids, in the byte order the JSON names
//! version 2:  "R1NG" 00 02 | sections, each be64 length + data | index: be64 length + JSON | be64 where the index is,
//!             in the plain and in the compressed data
//! ```
//!
//! Both inside one gzip member. Every device list, number and length is doubted: a ring that is damaged, or made to
//! harm, is an error and costs no more memory than a bound.

mod gzip;
mod v1;
mod v2;

use crate::ring::{Contents, RingError, Rows};
use serde_json::{Map, Value};

/// The two versions of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatVersion {
    /// What Swift writes by default; ids up to 65,534.
    V1,
    /// Since 2.36: sections with checksums, ids of two or four bytes.
    V2,
}

pub(crate) fn read(bytes: &[u8]) -> Result<Contents, RingError> {
    let plain = gzip::decompress(bytes)?;
    let Some((magic, rest)) = plain.split_first_chunk::<6>() else {
        return Err(RingError::new("the ring is shorter than its magic"));
    };
    match magic {
        b"R1NG\x00\x01" => v1::read(rest),
        b"R1NG\x00\x02" => v2::read(&plain),
        [b'R', b'1', b'N', b'G', high, low] => {
            let version = u16::from_be_bytes([*high, *low]);
            Err(RingError::new(format!("ring version {version} is unknown; write the ring with version 1 or 2")))
        }
        _ => Err(RingError::new("this is no ring: it does not begin with R1NG")),
    }
}

impl FormatVersion {
    /// The version of a ring's bytes, if they are a ring's; reads no more than the magic.
    pub fn of(bytes: &[u8]) -> Option<FormatVersion> {
        match gzip::beginning(bytes)? {
            [b'R', b'1', b'N', b'G', 0, 1] => Some(FormatVersion::V1),
            [b'R', b'1', b'N', b'G', 0, 2] => Some(FormatVersion::V2),
            _ => None,
        }
    }
}

pub(crate) fn write(contents: &Contents, file_name: &str, version: FormatVersion) -> Result<Vec<u8>, RingError> {
    match version {
        FormatVersion::V1 => v1::write(contents, file_name),
        FormatVersion::V2 => v2::write(contents, file_name),
    }
}

/// What both versions say about a ring besides devices and rows.
struct Metadata {
    part_shift: u32,
    version: Option<i64>,
    next_part_power: Option<u32>,
}

impl Metadata {
    fn from_json(fields: &Map<String, Value>) -> Result<Metadata, RingError> {
        let shift = fields.get("part_shift").and_then(Value::as_u64).and_then(|shift| u32::try_from(shift).ok());
        // 2^31 partitions: more would not fit into the bound of a ring's bytes.
        let part_shift = shift
            .filter(|shift| (1..=32).contains(shift))
            .ok_or_else(|| RingError::new("the ring's part_shift is not a number from 1 to 32"))?;
        let version = fields.get("version").and_then(Value::as_i64);
        let power = fields.get("next_part_power").and_then(Value::as_u64);
        let next_part_power = power.and_then(|power| u32::try_from(power).ok()).filter(|power| *power <= 32);
        Ok(Metadata { part_shift, version, next_part_power })
    }

    fn partitions(&self) -> usize {
        1 << (32 - self.part_shift)
    }

    fn with(self, devices: Vec<Value>, rows: Rows) -> Contents {
        let Metadata { part_shift, version, next_part_power } = self;
        Contents { devices, rows, part_shift, version, next_part_power }
    }
}

fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, RingError> {
    serde_json::from_slice(bytes).map_err(|error| RingError::new(format!("the ring's JSON is damaged: {error}")))
}

fn device_list(value: Option<Value>) -> Result<Vec<Value>, RingError> {
    match value {
        Some(Value::Array(devices)) => Ok(devices),
        _ => Err(RingError::new("the ring has no list of devices")),
    }
}

/// Cuts `bytes` into rows of `partitions` ids of `N` bytes; the last may be shorter.
fn cut_rows<const N: usize, T>(
    bytes: &[u8],
    partitions: usize,
    id: impl Fn([u8; N]) -> T,
) -> Result<Vec<Vec<T>>, RingError> {
    let (ids, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(RingError::new("the ring's rows end within an id"));
    }
    if ids.len().div_ceil(partitions) > ROWS_MAX {
        return Err(RingError::new(format!("the ring has more than {ROWS_MAX} replicas")));
    }
    Ok(ids.chunks(partitions).map(|row| row.iter().copied().map(&id).collect()).collect())
}

/// Far more replicas than any policy (the widest erasure code, duplicated, has 128): a ring of part power 0 could
/// otherwise claim a row per two bytes, and every look-up visits all rows.
const ROWS_MAX: usize = 256;

#[cfg(test)]
mod tests;
