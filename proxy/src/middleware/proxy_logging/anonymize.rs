//! Core: values of the access log as hashes: the same value has the same hash, and none can be read back.
//!
//! Without a salt whoever has the log can try all addresses there are.

use base::checksum::{hex, md5_hex};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// `log_anonymization_method` and `log_anonymization_salt`.
#[derive(Clone)]
pub struct Anonymizer {
    method: &'static str,
    hash: Hash,
    salt: String,
}

impl PartialEq for Anonymizer {
    fn eq(&self, other: &Self) -> bool {
        (self.method, &self.salt) == (other.method, &other.salt)
    }
}

impl Eq for Anonymizer {}

impl std::fmt::Debug for Anonymizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Who knows the salt can try values.
        write!(f, "Anonymizer({}, ***)", self.method)
    }
}

/// Hex of a hash.
type Hash = fn(&[u8]) -> String;

const METHODS: [(&str, Hash); 6] = [
    ("MD5", md5_hex),
    ("SHA1", |bytes| hex(&Sha1::digest(bytes))),
    ("SHA224", |bytes| hex(&Sha224::digest(bytes))),
    ("SHA256", |bytes| hex(&Sha256::digest(bytes))),
    ("SHA384", |bytes| hex(&Sha384::digest(bytes))),
    ("SHA512", |bytes| hex(&Sha512::digest(bytes))),
];

impl Anonymizer {
    /// `None` for a method that is not known here (of Python's, SHA-3, BLAKE2 and SHAKE).
    pub fn new(method: &str, salt: &str) -> Option<Anonymizer> {
        let found = METHODS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(method));
        found.map(|(method, hash)| Anonymizer { method, hash, salt: salt.to_owned() })
    }

    /// `{SMD5}…`; the S says that there is a salt.
    pub(super) fn hash(&self, value: &[u8]) -> String {
        let salted = [self.salt.as_bytes(), value].concat();
        let salt = if self.salt.is_empty() { "" } else { "S" };
        format!("{{{salt}{}}}{}", self.method, (self.hash)(&salted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_pythons() {
        // Made by Python: hashlib.new(method, salt + b'value').hexdigest().
        for (method, salt, expected) in [
            ("md5", "", "{MD5}2063c1608d6e0baf80249c42e2be5804"),
            ("md5", "pepper", "{SMD5}f491f3bde4f38dbcc526ccffc7fb9f25"),
            ("SHA1", "", "{SHA1}f32b67c7e26342af42efabc674d441dca0a281c5"),
            ("sha224", "", "{SHA224}ad1b457f7b3a2263a079997a25f7253cd23f3c953e41842448d9c3fc"),
            ("sha256", "", "{SHA256}cd42404d52ad55ccfa9aca4adc828aa5800ad9d385a0671fbcbf724118320619"),
            ("sha256", "pepper", "{SSHA256}e27ecd4203693b037529885f3bf6654fccacd4a601e74a01b1be0930df623e49"),
            (
                "sha384",
                "",
                "{SHA384}b46c7c39e15d3dc2cdc50e42a7a28181a074ceef18c7c4aa2f6d987fb80e1659\
                 3839c6aecf4fe38f879ce14e6dfd08c5",
            ),
            (
                "sha512",
                "",
                "{SHA512}ec2c83edecb60304d154ebdb85bdfaf61a92bd142e71c4f7b25a15b9cb5f3c0a\
                 e301cfb3569cf240e4470031385348bc296d8d99d09e06b26f09591a97527296",
            ),
        ] {
            assert_eq!(Anonymizer::new(method, salt).unwrap().hash(b"value"), expected);
        }
        for unknown in ["", "md4", "sha3_256", "blake2b"] {
            assert_eq!(Anonymizer::new(unknown, ""), None);
        }
    }
}
