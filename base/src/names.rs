//! Core: names of accounts, containers and objects: parsed once, valid after.
//!
//! A name is UTF-8 and has no NUL (reserved names begin with one and are refused from clients; backends accept them);
//! accounts and containers hold no `/`. Swift splits the *decoded* path, so `%2F` separates like `/` does.
//! Lengths are not judged here: servers answer a name that is too long in their own words ([`Path::too_long`]).

mod object_path;

pub use object_path::{Name, ObjectPath};

use crate::limits::Constraints;
use crate::quote::{quote, quote_into, unquoted};
use bytes::{Bytes, BytesMut};
use std::borrow::Cow;

/// What a request path names: `/v1/a`, `/v1/a/c`, `/v1/a/c/o`. The names share the bytes of the path they came in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Never empty.
    pub account: Name,
    /// Never empty if there.
    pub container: Option<Name>,
    /// Never empty if there; only with a container. May contain `/`.
    pub object: Option<Name>,
}

/// Why a path is refused. (Swift: 412 for the first, 404/400 for the others, decided by the server.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPath {
    /// Not UTF-8, or a NUL where none may be.
    Encoding,
    /// Too few or empty segments.
    Shape,
}

/// Which of a path's names is longer than the constraints allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLong {
    /// The account's.
    Account,
    /// The container's.
    Container,
    /// The object's.
    Object,
}

impl Path {
    /// From the percent-encoded path behind the API version (`/a/c/o`). A trailing slash behind account or container is ignored.
    pub fn parse(encoded: &[u8]) -> Result<Path, InvalidPath> {
        Path::cut(&Bytes::copy_from_slice(encoded))
    }
    /// The same with reserved names (with NUL), for paths that the system itself made; never for a client's.
    pub fn parse_reserved(encoded: &[u8]) -> Result<Path, InvalidPath> {
        Path::cut_reserved(&Bytes::copy_from_slice(encoded))
    }
    /// [`Path::parse`] out of bytes that the names may share.
    pub fn cut(encoded: &Bytes) -> Result<Path, InvalidPath> {
        let path = Path::cut_reserved(encoded)?;
        let has_nul = |name: &Name| name.as_bytes().contains(&0);
        if path.names().into_iter().flatten().any(has_nul) { Err(InvalidPath::Encoding) } else { Ok(path) }
    }
    /// [`Path::parse_reserved`] in the same way.
    pub fn cut_reserved(encoded: &Bytes) -> Result<Path, InvalidPath> {
        let plain = plain(encoded);
        let text = std::str::from_utf8(&plain).map_err(|_| InvalidPath::Encoding)?;
        Path::split(text.strip_prefix('/').ok_or(InvalidPath::Shape)?, &plain)
    }
    /// `/a/c/o`, percent-encoded as Swift quotes it (safe: `/`), for backend requests.
    pub fn quoted(&self) -> String {
        quote(self.plain().as_bytes())
    }
    /// The same, appended.
    pub fn quote_into(&self, out: &mut BytesMut) {
        for name in self.names().into_iter().flatten() {
            out.extend_from_slice(b"/");
            quote_into(out, name.as_bytes());
        }
    }
    /// `/a/c/o` as it is: what logs show and the hash is made of.
    pub fn plain(&self) -> String {
        let names = self.names();
        let mut text = String::with_capacity(names.iter().flatten().map(|name| name.len() + 1).sum());
        for name in names.into_iter().flatten() {
            text.push('/');
            text.push_str(name);
        }
        text
    }
    /// The first name that is longer than `constraints` allow, counted in bytes.
    pub fn too_long(&self, constraints: &Constraints) -> Option<TooLong> {
        let length = |name: &Option<Name>| name.as_ref().map_or(0, Name::len);
        if self.account.len() > constraints.max_account_name_length {
            Some(TooLong::Account)
        } else if length(&self.container) > constraints.max_container_name_length {
            Some(TooLong::Container)
        } else if length(&self.object) > constraints.max_object_name_length {
            Some(TooLong::Object)
        } else {
            None
        }
    }

    fn names(&self) -> [Option<&Name>; 3] {
        [Some(&self.account), self.container.as_ref(), self.object.as_ref()]
    }

    /// `account[/container[/object]]`, a piece of `plain`; an object may hold slashes, even at its beginning.
    fn split(text: &str, plain: &Bytes) -> Result<Path, InvalidPath> {
        let mut parts =
            text.splitn(3, '/').map(|part| if part.is_empty() { None } else { Some(Name::cut(part, plain)) });
        let account = parts.next().flatten().ok_or(InvalidPath::Shape)?;
        let (container, object) = (parts.next().flatten(), parts.next().flatten());
        if object.is_some() && container.is_none() {
            return Err(InvalidPath::Shape);
        }
        Ok(Path { account, container, object })
    }
}

/// A path without its escapes; one that has none is not copied.
fn plain(encoded: &Bytes) -> Bytes {
    match unquoted(encoded) {
        Cow::Borrowed(_) => encoded.clone(),
        Cow::Owned(plain) => plain.into(),
    }
}

/// A backend request path: `/device/partition/account[/container[/object]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendPath {
    /// Directory name of the device.
    pub device: String,
    /// As sent: a decimal number.
    pub partition: u32,
    /// The rest.
    pub path: Path,
}

impl BackendPath {
    /// From the percent-encoded request path. Reserved names (with NUL) are accepted: the proxy has judged them.
    pub fn parse(encoded: &[u8]) -> Result<BackendPath, InvalidPath> {
        let plain = plain(&Bytes::copy_from_slice(encoded));
        let text = std::str::from_utf8(&plain).map_err(|_| InvalidPath::Encoding)?;
        let (device, partition, rest) = BackendPath::front(text)?;
        Ok(BackendPath { device: device.to_owned(), partition, path: Path::split(rest, &plain)? })
    }

    /// Device, partition, and what follows the slash behind them.
    fn front(text: &str) -> Result<(&str, u32, &str), InvalidPath> {
        let mut parts = text.splitn(4, '/');
        if parts.next() != Some("") {
            return Err(InvalidPath::Shape);
        }
        let device = parts.next().filter(|name| is_file_name(name)).ok_or(InvalidPath::Shape)?;
        let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let partition = parts.next().filter(digits).and_then(|part| part.parse().ok()).ok_or(InvalidPath::Shape)?;
        Ok((device, partition, parts.next().ok_or(InvalidPath::Shape)?))
    }
}

/// A device becomes a directory name: nothing that would leave `devices`.
fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(account: &str, container: Option<&str>, object: Option<&str>) -> Path {
        Path { account: account.into(), container: container.map(Into::into), object: object.map(Into::into) }
    }

    #[test]
    fn a_trailing_slash_names_the_same_thing() {
        for (text, expected) in [
            ("/a", path("a", None, None)),
            ("/a/", path("a", None, None)),
            ("/a//", path("a", None, None)),
            ("/a/c", path("a", Some("c"), None)),
            ("/a/c/", path("a", Some("c"), None)),
            ("/a/c//", path("a", Some("c"), Some("/"))),
            ("/a/c//o", path("a", Some("c"), Some("/o"))),
            ("/a/c/o/", path("a", Some("c"), Some("o/"))),
            ("/a%2Fc/o%2fp%20q", path("a", Some("c"), Some("o/p q"))),
            ("/%C3%A9", path("é", None, None)),
        ] {
            assert_eq!(Path::parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn holes_and_foreign_encodings_are_refused() {
        for text in ["", "a", "/", "//", "//c", "//c/o", "/a//o"] {
            assert_eq!(Path::parse(text.as_bytes()), Err(InvalidPath::Shape), "{text}");
        }
        for text in ["/a/c/%ff", "/a/%00c", "/a/c/o%00", "/%ED%A0%80"] {
            assert_eq!(Path::parse(text.as_bytes()), Err(InvalidPath::Encoding), "{text}");
        }
    }

    #[test]
    fn a_backend_path_has_device_and_partition_in_front() {
        let parsed = BackendPath::parse(b"/sda1/54/AUTH_test/c%201/%00o/p").unwrap();
        assert_eq!((parsed.device.as_str(), parsed.partition), ("sda1", 54));
        assert_eq!(parsed.path, path("AUTH_test", Some("c 1"), Some("\0o/p")));
        for text in
            ["/d", "/d/1", "/d/1/", "/d/x/a", "//1/a", "/../1/a", "/./1/a", "/d/-1/a", "/d/99999999999/a", "/d/+1/a"]
        {
            assert_eq!(BackendPath::parse(text.as_bytes()), Err(InvalidPath::Shape), "{text}");
        }
    }

    #[test]
    fn lengths_count_bytes() {
        let constraints = Constraints { max_object_name_length: 3, ..Constraints::default() };
        assert_eq!(path("a", Some("c"), Some("éé")).too_long(&constraints), Some(TooLong::Object));
        assert_eq!(path("a", Some("c"), Some("éo")).too_long(&constraints), None);
        assert_eq!(path(&"a".repeat(257), None, None).too_long(&constraints), Some(TooLong::Account));
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(account in "[^/\0]{1,9}", container in "[^/\0]{1,9}", object in "[^\0]{1,20}") {
            let path = path(&account, Some(&container), Some(&object));
            let mut appended = BytesMut::new();
            path.quote_into(&mut appended);
            let quoted = path.quoted();
            prop_assert_eq!(appended.as_ref(), quoted.as_bytes());
            prop_assert_eq!(Path::parse(&appended), Ok(path));
        }
    }
}
