//! Core: MD5 (ETags, hash paths) and crc32c (bytes at rest).

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
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|d| DIGITS.get(usize::from(d)).copied().map_or('0', char::from))
        .collect()
}
/// Goes on from the crc32c of the bytes before.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}
/// crc32c of some bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}
