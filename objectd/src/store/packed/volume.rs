//! Core: the first block of a volume, and its name. No I/O, no clock, no async.
//!
//! ```text
//!   0  magic u32 | crc32c u32 of bytes 8 to 4096
//!   8  format u32 | volume u32
//!  16  store u64 | first sequence u64 | previous end u64 | acknowledged u64
//!  48  zeros to 4096
//! ```
//!
//! Little-endian. Batches follow from 4096 on. The crash cases are argued in docs/formats/volume.md.

use super::record::{BATCH_ALIGNMENT, Damage, Input};
use base::checksum::crc32c;

/// Bytes of the header; the first batch begins behind it.
pub const HEADER_BYTES: u64 = BLOCK as u64;
const BLOCK: usize = 4096;

const _: () = assert!(HEADER_BYTES.is_multiple_of(BATCH_ALIGNMENT), "the first batch is aligned");

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
    /// Batches with numbers below this were acknowledged when this volume was begun. It is `first_sequence`, except when the volume before
    /// was given up because its last batch was torn and some records of that batch were kept: then it is the number of that batch.
    pub acknowledged: u64,
}

impl Header {
    /// The block.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK);
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.volume.to_le_bytes());
        for word in [self.store, self.first_sequence, self.previous_end, self.acknowledged] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.resize(BLOCK, 0);
        let checksum = crc32c(bytes.get(8..).unwrap_or_default());
        bytes.get_mut(4..8).expect("a block").copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads it; any byte that could not have been written is refused.
    pub fn decode(block: &[u8]) -> Result<Header, Damage> {
        let damage = |message: &str| Damage { message: format!("the header of a volume: {message}") };
        let block: &[u8; BLOCK] = block.first_chunk().ok_or_else(|| damage("it ends early"))?;
        let mut input = Input(block);
        let (magic, checksum) = (input.u32()?, input.u32()?);
        if magic != MAGIC {
            return Err(damage("this is no volume"));
        }
        if checksum != crc32c(input.0) {
            return Err(damage("its checksum does not fit"));
        }
        if input.u32()? != FORMAT {
            return Err(damage("a format this release does not know"));
        }
        let header = Header {
            volume: input.u32()?,
            store: input.u64()?,
            first_sequence: input.u64()?,
            previous_end: input.u64()?,
            acknowledged: input.u64()?,
        };
        if input.0.iter().any(|byte| *byte != 0) {
            return Err(damage("something where nothing belongs"));
        }
        if header.acknowledged > header.first_sequence || !header.previous_end.is_multiple_of(BATCH_ALIGNMENT) {
            return Err(damage("an end of the log that cannot be"));
        }
        Ok(header)
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
        let header = Header {
            volume: 7,
            store: 0x1234_5678_9abc_def0,
            first_sequence: 99,
            previous_end: 8192,
            acknowledged: 98,
        };
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
    fn what_could_not_have_been_written_is_refused_even_with_a_good_checksum() {
        let good = Header { volume: 7, store: 1, first_sequence: 99, previous_end: 8192, acknowledged: 99 };
        assert!(Header::decode(&Header { acknowledged: 100, ..good }.encode()).is_err());
        assert!(Header::decode(&Header { previous_end: 8193, ..good }.encode()).is_err());
        let mut padded = good.encode();
        padded[4095] = 1;
        let checksum = crc32c(&padded[8..]);
        padded[4..8].copy_from_slice(&checksum.to_le_bytes());
        assert!(Header::decode(&padded).is_err());
        for length in 0..4096 {
            assert!(Header::decode(&good.encode()[..length]).is_err());
        }
    }

    #[test]
    fn names_sort_as_numbers() {
        assert_eq!(file_name(0xab), "000000ab.volume");
        assert_eq!(parse_file_name(&file_name(0xdead_beef)), Some(0xdead_beef));
        assert_eq!(parse_file_name("reserve"), None);
    }
}
