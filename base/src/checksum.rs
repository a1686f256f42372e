//! Core: MD5 (ETags, hash paths) and crc32c (bytes at rest).

#[cfg(target_arch = "x86_64")]
mod crc32c_folds;
pub mod md5_lanes;

use md5::{Digest, Md5};

/// A running MD5.
#[derive(Clone, Default)]
pub struct Md5Hasher(Md5);

impl Md5Hasher {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    /// The digest.
    pub fn finish(self) -> [u8; 16] {
        self.0.finalize().into()
    }
    /// The digest as 32 lower-case hex digits.
    pub fn finish_hex(self) -> String {
        hex(&self.finish())
    }
}

/// MD5 of some bytes.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}
/// MD5 as hex.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex(&md5(bytes))
}
/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0')));
        }
    }
    text
}
/// From here on wide registers are worth their start (those of `crc-fast` with AVX-512); below, the CRC instruction alone is quicker.
const LONG: usize = 1024;

/// Goes on from the crc32c of the bytes before.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    if bytes.len() < LONG {
        return crc32c::crc32c_append(crc, bytes);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = crc32c_folds::append(crc, bytes) {
        return sum;
    }
    let mut digest = crc_fast::Digest::new_with_init_state(crc_fast::CrcAlgorithm::Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    u32::try_from(digest.finalize()).expect("a CRC of 32 bits")
}
/// crc32c of some bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways_to_crc32c_are_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..5000), cut in any::<prop::sample::Index>()) {
            let expected = crc32c::crc32c(&bytes);
            prop_assert_eq!(crc32c(&bytes), expected);
            let (front, back) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(crc32c_append(crc32c(front), back), expected);
        }
    }

    #[test]
    fn hex_is_lower_case() {
        assert_eq!(hex(&[0, 0x9f, 0xff]), "009fff");
    }
}
