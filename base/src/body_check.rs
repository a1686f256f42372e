//! Core: what our proxy and our object service agree on for the body of a PUT, so that its MD5 is taken once and not by every replica.
//!
//! ```text
//! proxy     PUT …   X-Backend-Body-Check: crc32c                  "I could"
//! objectd   100     X-Backend-Body-Check: crc32c                  "so could I"
//! proxy     body in chunks, and behind it
//!                   X-Backend-Body-Etag: <MD5>
//!                   X-Backend-Body-Crc32c: <eight digits>
//! ```
//!
//! A Python object server knows no such field and does not answer it: it gets Swift's own protocol, with a length. Since trailers need chunks and
//! the framing is in the head, the proxy sends chunks only to a node that answered the field before, and trailers only when it does so again.
//! The length that was announced is in the field that Swift's own proxy uses beside chunks.
//!
//! # Invariants
//!
//! - The object service believes the MD5 only of bytes whose crc32c it has taken itself: what arrives is what was hashed.

use crate::checksum::crc32c_append;
use crate::digits::are_lower_hex;
use crate::http::Headers;

/// Offers it, and accepts it.
pub const FIELD: &str = "X-Backend-Body-Check";
/// The one way there is.
pub const SCHEME: &str = "crc32c";
/// Bytes of a body that is sent in chunks, where they are known.
pub const LENGTH: &str = "X-Backend-Obj-Content-Length";

const ETAG: &str = "X-Backend-Body-Etag";
const CRC32C: &str = "X-Backend-Body-Crc32c";

/// Whether a head offers or accepts it.
pub fn is_said(headers: &Headers) -> bool {
    headers.get(FIELD).is_some_and(|value| value == SCHEME)
}

/// A running crc32c.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u32);

impl Sum {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = crc32c_append(self.0, bytes);
    }
}

/// What stands behind a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The MD5, 32 lower-case hex digits.
    pub etag: String,
    /// Of the same bytes.
    pub sum: Sum,
}

impl Verdict {
    /// As trailers.
    pub fn encode(&self) -> Headers {
        let mut headers = Headers::with_capacity(2);
        headers.append(ETAG, self.etag.clone());
        headers.append(CRC32C, format!("{:08x}", self.sum.0));
        headers
    }

    /// Reads it back; anything `encode` could not have written is refused.
    pub fn decode(trailers: &Headers) -> Option<Verdict> {
        let digits = |text: &str, count| text.len() == count && are_lower_hex(text.as_bytes());
        let etag = trailers.get_str(ETAG).filter(|text| digits(text, 32))?;
        let crc32c = trailers.get_str(CRC32C).filter(|text| digits(text, 8))?;
        Some(Verdict { etag: etag.to_owned(), sum: Sum(u32::from_str_radix(crc32c, 16).ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::md5_hex;

    #[test]
    fn what_is_said_behind_a_body_is_read_back_and_nothing_else() {
        let mut sum = Sum::default();
        sum.update(b"some ");
        sum.update(b"bytes");
        let verdict = Verdict { etag: md5_hex(b"some bytes"), sum };
        let trailers = verdict.encode();
        assert_eq!(Verdict::decode(&trailers), Some(verdict));
        for (name, wrong) in [
            (ETAG, "D41D8CD98F00B204E9800998ECF8427E"),
            (ETAG, "d41d8cd98f00b204e9800998ecf8427"),
            (CRC32C, "+1234567"),
            (CRC32C, "1234567"),
            (CRC32C, "123456789"),
        ] {
            let mut trailers = trailers.clone();
            trailers.set(name, wrong);
            assert_eq!(Verdict::decode(&trailers), None, "{wrong}");
        }
        assert_eq!(Verdict::decode(&Headers::new()), None);
    }
}
