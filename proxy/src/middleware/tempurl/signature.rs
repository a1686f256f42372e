//! Core: signatures of temporary URLs and of forms: an HMAC over what is allowed, in hex or as `algorithm:base64`.

use base::http::Method;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

/// The digests Swift knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// 20 bytes; for old clients.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 64 bytes.
    Sha512,
}

const NAMES: [(Digest, &str, usize); 3] =
    [(Digest::Sha1, "sha1", 20), (Digest::Sha256, "sha256", 32), (Digest::Sha512, "sha512", 64)];

impl Digest {
    /// By its name in URLs and configurations.
    pub fn from_name(name: &str) -> Option<Digest> {
        NAMES.iter().find(|(_, known, _)| *known == name).map(|(digest, ..)| *digest)
    }
    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(digest, ..)| *digest == self).map_or("", |(_, name, _)| name)
    }
}

/// What `/info` says of the digests that are allowed: clients should leave sha1.
pub(crate) fn document(allowed: &[Digest]) -> serde_json::Value {
    let mut names: Vec<&str> = allowed.iter().map(|digest| digest.name()).collect();
    names.sort_unstable();
    let mut document = serde_json::json!({ "allowed_digests": names });
    if let (true, Some(fields)) = (allowed.contains(&Digest::Sha1), document.as_object_mut()) {
        fields.insert("deprecated_digests".into(), serde_json::json!(["sha1"]));
    }
    document
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) method: Method,
    pub(super) expires: u64,
    pub(super) path: &'a str,
    pub(super) ip_range: Option<&'a str>,
}

/// A signature as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) digest: Digest,
    bytes: Vec<u8>,
}

impl Signature {
    pub(crate) fn parse(text: &str) -> Option<Signature> {
        if let Some((name, encoded)) = text.split_once(':') {
            let bytes = from_base64(encoded)?;
            return Some(Signature { digest: Digest::from_name(name)?, bytes });
        }
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = |&[high, low]: &[u8; 2]| u8::try_from(digit(high)? << 4 | digit(low)?).ok();
        let bytes = pairs.iter().map(byte).collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty())?;
        let (digest, ..) = NAMES.iter().find(|(.., length)| *length == bytes.len())?;
        // Swift compares the text, so upper case has never been a signature.
        (text.to_ascii_lowercase() == text).then_some(Signature { digest: *digest, bytes })
    }

    /// Whether `key` signed this; the time taken does not depend on where they differ.
    pub(super) fn matches(&self, key: &[u8], signed: &Signed<'_>) -> bool {
        let Signed { method, expires, path, ip_range } = signed;
        // The range stands first: paths may hold line ends, so one behind them could be forged.
        let range = ip_range.map(|range| format!("ip={range}\n")).unwrap_or_default();
        let message = format!("{range}{}\n{expires}\n{path}", method.as_str());
        self.fits(key, message.as_bytes())
    }

    /// The same for a message of another form.
    pub(crate) fn fits(&self, key: &[u8], message: &[u8]) -> bool {
        let mac = match self.digest {
            Digest::Sha1 => mac::<Hmac<Sha1>>(key, message),
            Digest::Sha256 => mac::<Hmac<Sha256>>(key, message),
            Digest::Sha512 => mac::<Hmac<Sha512>>(key, message),
        };
        mac.ct_eq(&self.bytes).into()
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Standard or URL-safe base64, with or without its padding, one spelling each.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
    let text = text.trim_end_matches('=');
    if text.contains(['+', '/']) && text.contains(['-', '_']) {
        return None;
    }
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: Signed<'_> =
        Signed { method: Method::Get, expires: 1_400_000_000, path: "/v1/AUTH_a/c/o", ip_range: None };

    #[test]
    fn every_digest_and_spelling_of_a_signature_is_known() {
        // Made by Python: hmac.new(b'key', b'GET\n1400000000\n/v1/AUTH_a/c/o', digest).
        for text in [
            "00522fe35d01bfebc6be8df622ffd6d7859bc3c5",
            "7ae0c37cd4c5457de3426489787f154ccaa83aff4e0b915a329ec6a372fe06fc",
            "sha256:euDDfNTFRX3jQmSJeH8VTMqoOv9OC5FaMp7Go3L-Bvw",
        ] {
            let signature = Signature::parse(text).unwrap();
            assert!(signature.matches(b"key", &SIGNED), "{text}");
            assert!(!signature.matches(b"other", &SIGNED), "{text}");
            assert!(!signature.matches(b"key", &Signed { expires: 1_400_000_001, ..SIGNED }), "{text}");
            assert!(!signature.matches(b"key", &Signed { ip_range: Some("127.0.0.1"), ..SIGNED }), "{text}");
        }
    }

    #[test]
    fn what_is_no_signature_is_none() {
        for text in ["", "zz", "abcd", "md5:AAAA", "sha1:****", &"A".repeat(40)] {
            assert_eq!(Signature::parse(text), None, "{text}");
        }
    }
}
