//! Core: request and response heads.

use super::{Headers, Status};
use bytes::Bytes;

/// A request method; Swift's backend verbs included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// PUT
    Put,
    /// POST
    Post,
    /// DELETE
    Delete,
    /// COPY
    Copy,
    /// OPTIONS
    Options,
    /// REPLICATE
    Replicate,
    /// SSYNC
    Ssync,
    /// UPDATE
    Update,
}

impl Method {
    /// From the token of a request line; `None` for one we do not know (answered 405 or 501 by the server).
    pub fn parse(token: &[u8]) -> Option<Method> {
        Some(match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"PUT" => Method::Put,
            b"POST" => Method::Post,
            b"DELETE" => Method::Delete,
            b"COPY" => Method::Copy,
            b"OPTIONS" => Method::Options,
            b"REPLICATE" => Method::Replicate,
            b"SSYNC" => Method::Ssync,
            b"UPDATE" => Method::Update,
            _ => return None,
        })
    }
    /// The token.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Post => "POST",
            Method::Delete => "DELETE",
            Method::Copy => "COPY",
            Method::Options => "OPTIONS",
            Method::Replicate => "REPLICATE",
            Method::Ssync => "SSYNC",
            Method::Update => "UPDATE",
        }
    }
}

/// A request's first line and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The verb.
    pub method: Method,
    /// The raw target as sent: still percent-encoded path, `?`, query.
    pub target: Bytes,
    /// The fields.
    pub headers: Headers,
}

/// The parts of a request's head, wherever they are: what is sent need not be put together first.
#[derive(Clone, Copy, Debug)]
pub struct HeadParts<'a> {
    /// The verb.
    pub method: Method,
    /// The target.
    pub target: &'a [u8],
    /// The fields.
    pub headers: &'a Headers,
}

impl<'a> From<&'a RequestHead> for HeadParts<'a> {
    fn from(head: &'a RequestHead) -> HeadParts<'a> {
        HeadParts { method: head.method, target: &head.target, headers: &head.headers }
    }
}

impl RequestHead {
    /// A request to be sent.
    pub fn new(method: Method, target: impl Into<Bytes>) -> Self {
        Self { method, target: target.into(), headers: Headers::new() }
    }
    /// Path part of the target, still encoded.
    pub fn path(&self) -> &[u8] {
        path(&self.target)
    }
    /// Query part of the target, still encoded, empty if none.
    pub fn query(&self) -> &[u8] {
        query(&self.target)
    }
}

/// Path part of a target, still encoded.
pub fn path(target: &[u8]) -> &[u8] {
    target.split(|&b| b == b'?').next().unwrap_or_default()
}

/// Query part of a target, still encoded, empty if none.
pub fn query(target: &[u8]) -> &[u8] {
    target.iter().position(|&b| b == b'?').and_then(|at| target.get(at + 1..)).unwrap_or_default()
}

/// A response's status and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The code.
    pub status: Status,
    /// The fields. `Content-Length`, `Transfer-Encoding`, `Connection`, `Date` are written by the connection.
    pub headers: Headers,
}

impl ResponseHead {
    /// A response without fields.
    pub fn new(status: Status) -> Self {
        Self { status, headers: Headers::new() }
    }
}
