//! Driver: the client side of one connection.
//!
//! One exchange at a time: `send_head`, `send_data`*, `finish`, `read_head`, `read_data`*. Reading may start while sending is
//! still going on (the peer may answer early), from another task through a clone of the handle. Deadlines are the caller's
//! (`io::timeout`); a dropped call breaks the connection, which is then not reusable.

use super::{RequestHead, ResponseHead};
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body and no length (GET, HEAD, DELETE …).
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A client connection; clones are the same one.
#[derive(Clone)]
pub struct Connection {}

impl Connection {
    /// Connects.
    pub async fn connect(_address: SocketAddr, _deadline: Duration) -> io::Result<Connection> {
        todo!()
    }
    /// Writes the head. Adds `Host` when missing and the framing fields; `keep_alive` false sends `Connection: close`.
    pub async fn send_head(&self, _head: &RequestHead, _framing: Framing, _keep_alive: bool) -> io::Result<()> {
        todo!()
    }
    /// Writes body bytes (a chunk when chunked). More than announced is an error.
    pub async fn send_data(&self, _bytes: Bytes) -> io::Result<()> {
        todo!()
    }
    /// Ends the body. Fewer than announced is an error.
    pub async fn finish(&self) -> io::Result<()> {
        todo!()
    }
    /// The next response head, `100 Continue` included (the caller asked for it with `Expect`).
    pub async fn read_head(&self) -> io::Result<ResponseHead> {
        todo!()
    }
    /// The next piece of the response's body; `None` at its end. A body cut short is `UnexpectedEof`.
    pub async fn read_data(&self) -> io::Result<Option<Bytes>> {
        todo!()
    }
    /// True when an exchange is complete, both sides keep the connection alive and nothing unread is left.
    pub fn is_reusable(&self) -> bool {
        todo!()
    }
    /// Ends it now.
    pub fn close(&self) {
        todo!()
    }
    /// Whom it speaks to.
    pub fn address(&self) -> SocketAddr {
        todo!()
    }
}
