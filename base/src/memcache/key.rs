//! Core: what stands on the wire for a key: the lower-case hex of its MD5, as Swift writes it.

use crate::checksum::md5;

/// Bytes of a key on the wire.
pub const LENGTH: usize = 32;

/// A hashed key. Ordered as Swift orders the points of its ring: by the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WireKey([u8; LENGTH]);

impl WireKey {
    /// Of a clear-text key such as `container/AUTH_test/c1`.
    pub fn of(clear: &str) -> WireKey {
        let mut text = [b'0'; LENGTH];
        for (pair, byte) in text.chunks_exact_mut(2).zip(md5(clear.as_bytes())) {
            for (digit, half) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = if half < 10 { b'0' + half } else { b'a' + (half - 10) };
            }
        }
        WireKey(text)
    }

    /// The bytes sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
