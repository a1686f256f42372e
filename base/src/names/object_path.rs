//! Core: the path of a backend request for an object, as slices of the request's own bytes.
//!
//! Storage nodes take one apart for each request: what is only looked at is not copied.

use super::{BackendPath, InvalidPath, is_file_name, plain};
use bytes::Bytes;
use std::fmt;
use std::ops::Deref;

/// A text that shares its bytes with what it came in.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Bytes);

impl Name {
    /// Of bytes that were found to be a text.
    pub(super) fn cut(text: &str, from: &Bytes) -> Name {
        Name(from.slice_ref(text.as_bytes()))
    }
    /// These bytes, if they are a text.
    pub fn from_utf8(bytes: Bytes) -> Option<Name> {
        std::str::from_utf8(&bytes).is_ok().then_some(Name(bytes))
    }
    /// They need no second look.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// As text.
    pub fn as_str(&self) -> &str {
        self
    }
    /// Bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// None.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Its bytes.
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        // Checked again rather than believed: names are short.
        std::str::from_utf8(&self.0).expect("cut out of a text")
    }
}

impl From<String> for Name {
    fn from(text: String) -> Name {
        Name(text.into())
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        (*name).to_owned()
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, text: &&str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, formatter)
    }
}

/// `/device/partition/account/container/object`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPath {
    /// Directory name of the device.
    pub device: Name,
    /// As sent: a decimal number.
    pub partition: u32,
    /// `/account/container/object`.
    pub name: Name,
    /// Never empty.
    pub account: Name,
    /// Never empty.
    pub container: Name,
    /// Never empty.
    pub object: Name,
}

impl ObjectPath {
    /// From the percent-encoded request path, as [`BackendPath::parse`]; a path that ends before an object has not the right shape.
    pub fn parse(encoded: &Bytes) -> Result<ObjectPath, InvalidPath> {
        let plain = plain(encoded);
        let text = std::str::from_utf8(&plain).map_err(|_| InvalidPath::Encoding)?;
        let (device, partition, rest) = BackendPath::front(text)?;
        let cut = |part: &str| Name::cut(part, &plain);
        let mut parts = rest.splitn(3, '/').map(|part| if part.is_empty() { None } else { Some(cut(part)) });
        let mut next = || parts.next().flatten().ok_or(InvalidPath::Shape);
        let (account, container, object) = (next()?, next()?, next()?);
        // The slash in front of the account is the one behind the partition.
        let start = text.len() - rest.len() - 1;
        let name = Name(plain.slice(start..));
        debug_assert!(is_file_name(device), "checked with the front");
        Ok(ObjectPath { device: cut(device), partition, name, account, container, object })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Path;
    use proptest::prelude::*;

    /// What the owned form of the path says.
    fn owned(text: &str) -> Result<(String, u32, Path), InvalidPath> {
        let BackendPath { device, partition, path } = BackendPath::parse(text.as_bytes())?;
        if path.object.is_none() { Err(InvalidPath::Shape) } else { Ok((device, partition, path)) }
    }

    fn check(text: &str) {
        let parsed = ObjectPath::parse(&Bytes::copy_from_slice(text.as_bytes())).map(|parsed| {
            let path = Path { account: parsed.account, container: Some(parsed.container), object: Some(parsed.object) };
            assert_eq!(*parsed.name, *path.plain(), "{text}");
            (parsed.device.to_string(), parsed.partition, path)
        });
        assert_eq!(parsed, owned(text), "{text}");
    }

    #[test]
    fn it_says_what_the_owned_form_says() {
        for text in [
            "/sda1/54/AUTH_test/c%201/%00o/p",
            "/sda1/54/a/c/o",
            "/sda1/54/a/c//",
            "/sda1/54/a/c/",
            "/sda1/54/a/c",
            "/sda1/54/a//o",
            "/sda1/54//c/o",
            "/sda1/54/a",
            "/sda1/54/",
            "/sda1/54",
            "sda1/54/a/c/o",
            "/../1/a/c/o",
            "/d/x/a/c/o",
            "/d/1/a%2Fc/o%2fp",
            "/d/1/a/c/%ff",
            "",
        ] {
            check(text);
        }
    }

    proptest! {
        #[test]
        fn it_says_what_the_owned_form_says_of_anything(text in "(/?(d|\\.\\.|1|%2F|%00|é|%C3|a){0,2}){0,7}") {
            check(&text);
        }
    }

    #[test]
    fn a_path_without_escapes_is_not_copied() {
        let encoded = Bytes::from_static(b"/d/1/a/c/o");
        let parsed = ObjectPath::parse(&encoded).unwrap();
        assert!(encoded.as_ptr_range().contains(&parsed.object.as_ptr()));
    }
}
