//! Core: names of accounts, containers and objects: parsed once, valid after.
//!
//! A name is UTF-8, has no NUL (reserved names begin with one and are refused from clients), is not longer than
//! `limits` allows; accounts and containers hold no `/`.

/// What a request path names: `/v1/a`, `/v1/a/c`, `/v1/a/c/o`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Never empty.
    pub account: String,
    /// Never empty if there.
    pub container: Option<String>,
    /// Never empty if there; only with a container. May contain `/`.
    pub object: Option<String>,
}

/// Why a path is refused. (Swift: 412 for the first, 404/400 for the others, decided by the server.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPath {
    /// Not UTF-8, or a NUL where none may be.
    Encoding,
    /// Too few or empty segments.
    Shape,
}

impl Path {
    /// From the percent-encoded path behind the API version (`/a/c/o`). A trailing slash behind account or container is ignored.
    pub fn parse(_encoded: &[u8]) -> Result<Path, InvalidPath> {
        todo!()
    }
    /// `/a/c/o`, percent-encoded as Swift quotes it (safe: `/`), for backend requests.
    pub fn quoted(&self) -> String {
        todo!()
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
    /// From the percent-encoded request path.
    pub fn parse(_encoded: &[u8]) -> Result<BackendPath, InvalidPath> {
        todo!()
    }
}
