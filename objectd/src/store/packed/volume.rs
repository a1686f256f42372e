//! Core: the first block of a volume, and its name. No I/O, no clock, no async.
//!
//! ```text
//!   0  magic u32 | crc32c u32 of bytes 8 to 4096
//!   8  format u32 | volume u32
//!  16  store u64 | first sequence u64 | previous end u64
//!  40  zeros to 4096
//! ```
//!
//! Little-endian. Batches follow from 4096 on.

use super::record::Damage;
use base::checksum::crc32c;

/// Bytes of the header; the first batch begins behind it.
pub const HEADER_BYTES: u64 = 4096;

const MAGIC: u32 = u32::from_le_bytes(*b"MLV1");
const FORMAT: u32 = 1;

/// The first block of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its number; higher ones are written later.
    pub volume: u32,
    /// Random number of the store, the same in all its volumes: a file of another disk is refused.
    pub store: u64,
    /// Sequence number of its first batch.
    pub first_sequence: u64,
    /// Where the log ends in the volume before: what is behind it was a write that was cut off.
    pub previous_end: u64,
}

impl Header {
    /// The block.
    pub fn encode(&self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(4096);
        rest.extend_from_slice(&FORMAT.to_le_bytes());
        rest.extend_from_slice(&self.volume.to_le_bytes());
        rest.extend_from_slice(&self.store.to_le_bytes());
        rest.extend_from_slice(&self.first_sequence.to_le_bytes());
        rest.extend_from_slice(&self.previous_end.to_le_bytes());
        rest.resize(4096 - 8, 0);
        [MAGIC.to_le_bytes().as_slice(), crc32c(&rest).to_le_bytes().as_slice(), &rest].concat()
    }

    /// Reads it.
    pub fn decode(block: &[u8]) -> Result<Header, Damage> {
        let damage = |message: &str| Damage { message: format!("the header of a volume: {message}") };
        let block: &[u8; 4096] = block.first_chunk().ok_or_else(|| damage("it ends early"))?;
        let (magic, rest) = block.split_first_chunk::<4>().ok_or_else(|| damage("it ends early"))?;
        let (checksum, rest) = rest.split_first_chunk::<4>().ok_or_else(|| damage("it ends early"))?;
        if u32::from_le_bytes(*magic) != MAGIC {
            return Err(damage("this is no volume"));
        }
        if u32::from_le_bytes(*checksum) != crc32c(rest) {
            return Err(damage("its checksum does not fit"));
        }
        let (words, _) = rest.as_chunks::<8>();
        let [versions, store, first_sequence, previous_end, ..] = words else { return Err(damage("it ends early")) };
        let [f0, f1, f2, f3, v0, v1, v2, v3] = *versions;
        if u32::from_le_bytes([f0, f1, f2, f3]) != FORMAT {
            return Err(damage("a format this release does not know"));
        }
        Ok(Header {
            volume: u32::from_le_bytes([v0, v1, v2, v3]),
            store: u64::from_le_bytes(*store),
            first_sequence: u64::from_le_bytes(*first_sequence),
            previous_end: u64::from_le_bytes(*previous_end),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_a_flipped_bit_is_noticed() {
        let header = Header { volume: 7, store: 0x1234_5678_9abc_def0, first_sequence: 99, previous_end: 8192 };
        let block = header.encode();
        assert_eq!(block.len() as u64, HEADER_BYTES);
        assert_eq!(Header::decode(&block), Ok(header));
        for bit in 0..block.len() * 8 {
            let mut damaged = block.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn names_sort_as_numbers() {
        assert_eq!(file_name(0xab), "000000ab.volume");
        assert_eq!(parse_file_name(&file_name(0xdead_beef)), Some(0xdead_beef));
        assert_eq!(parse_file_name("reserve"), None);
    }
}
