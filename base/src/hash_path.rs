//! Core: the hash of a name, the root of placement and of directory names. Salted by `swift.conf`, so that outsiders
//! cannot choose names that all fall into one partition.

use crate::checksum::hex;
use md5::{Digest, Md5};

/// `swift_hash_path_prefix` and `_suffix` of swift.conf.
#[derive(Clone, Debug)]
pub struct HashPath {
    prefix: Vec<u8>,
    suffix: Vec<u8>,
}

/// MD5 of a salted path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameHash(pub [u8; 16]);

impl HashPath {
    /// At least one of the two must be non-empty; the configuration checks that.
    pub fn new(prefix: impl Into<Vec<u8>>, suffix: impl Into<Vec<u8>>) -> Self {
        Self { prefix: prefix.into(), suffix: suffix.into() }
    }
    /// Of `/account`, `/account/container` or `/account/container/object`.
    pub fn hash(&self, account: &str, container: Option<&str>, object: Option<&str>) -> NameHash {
        debug_assert!(container.is_some() || object.is_none(), "an object needs a container");
        let mut md5 = Md5::new();
        md5.update(&self.prefix);
        for part in [Some(account), container, object].into_iter().flatten() {
            md5.update(b"/");
            md5.update(part.as_bytes());
        }
        md5.update(&self.suffix);
        NameHash(md5.finalize().into())
    }
}

impl NameHash {
    /// 32 lower-case hex digits: the name of the hash directory.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
    /// Last three hex digits: the suffix directory.
    pub fn suffix(&self) -> String {
        self.hex().get(29..).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hash_as_in_swift() {
        let salt = HashPath::new("specprefix", "specsuffix");
        assert_eq!(salt.hash("AUTH_test", None, None).hex(), "7859cb79e40b6d13cc92501d314fec72");
        assert_eq!(salt.hash("AUTH_test", Some("c1"), None).hex(), "0cf22fd4514d5922fd21c0eb29da25ae");
        let object = salt.hash("AUTH_test", Some("c1"), Some("hello.txt"));
        assert_eq!(object.hex(), "36c7c33291a6058ed150cd3e9034dd24");
        assert_eq!(object.suffix(), "d24");
    }
}
