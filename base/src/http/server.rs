//! Driver: the server side of one connection.
//!
//! `serve` owns the stream from accept to close: parses requests, calls the handler, writes its answers, keeps the
//! connection alive where both sides allow it. Bodies are pulled by the handler; `100 Continue` goes out at the first pull.

use super::{Headers, RequestHead, ResponseHead, Status};
use crate::io::Stream;
use bytes::Bytes;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// Bounds of a connection.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Longest time between two reads of a request or a body (Swift's `client_timeout`).
    pub client_timeout: Duration,
    /// Longest idle time between requests (`keepalive_timeout`).
    pub keepalive_timeout: Duration,
    /// Longest request line in bytes (414 beyond).
    pub max_request_line: usize,
    /// Longest header line (400 beyond).
    pub max_header_line: usize,
    /// Longest block of headers (400 beyond).
    pub max_header_block: usize,
    /// Most header fields (431 beyond).
    pub max_headers: usize,
}

/// One request as the handler sees it.
pub struct Request {
    /// Line and fields.
    pub head: RequestHead,
    /// The body, pulled by the handler.
    pub body: RequestBody,
    /// Who sent it.
    pub peer: SocketAddr,
}

/// Why a body ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The client went away or sent less than announced: Swift's 499.
    Disconnected,
    /// No bytes for `client_timeout`: Swift's 408.
    TimedOut,
    /// Chunks that can be read in two ways, or no way: 400.
    Malformed,
}

/// The body of a request. Dropped unread, the rest is drained within bounds or the connection closed.
pub struct RequestBody {}

impl RequestBody {
    /// A body that is already in memory (internal requests, tests).
    pub fn full(_bytes: impl Into<Bytes>) -> Self {
        todo!()
    }
    /// A body made by a source (internal requests: COPY).
    pub fn streaming(_length: Option<u64>, _source: Box<dyn BodySource>) -> Self {
        todo!()
    }
    /// Announced length; `None` when chunked. A request without a body has `Some(0)`.
    pub fn length(&self) -> Option<u64> {
        todo!()
    }
    /// True when the request had `Transfer-Encoding: chunked`.
    pub fn is_chunked(&self) -> bool {
        todo!()
    }
    /// True when the request had `Content-Length` or chunked framing (Swift's 411 check asks for it).
    pub fn is_framed(&self) -> bool {
        todo!()
    }
    /// The next piece, at most 64 KiB; `None` at the end. The first call sends `100 Continue` when it was expected.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        todo!()
    }
    /// Collects a body of at most `max` bytes; `Err(None)` when it is larger.
    pub async fn collect(&mut self, _max: usize) -> Result<Bytes, Option<BodyError>> {
        todo!()
    }
    /// Trailer fields, after the end.
    pub fn trailers(&self) -> Option<&Headers> {
        todo!()
    }
}

/// A boxed local future.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Where a streamed response body comes from.
pub trait BodySource {
    /// The next piece; `None` at the end. An error cuts the connection: the client sees a body that is too short.
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>>;
}

/// A response body.
pub enum ResponseBody {
    /// Nothing; `Content-Length: 0` unless the status forbids it, or the head carries its own length (HEAD).
    Empty,
    /// In memory; sent in one write with the head.
    Full(Bytes),
    /// Streamed; with a length, or chunked (HTTP/1.0: until close) without.
    Stream {
        /// Exact length, if known.
        length: Option<u64>,
        /// The bytes.
        source: Box<dyn BodySource>,
    },
}

/// What a handler answers.
pub struct Response {
    /// Status and fields.
    pub head: ResponseHead,
    /// Bytes.
    pub body: ResponseBody,
}

impl Response {
    /// A status with an empty body.
    pub fn empty(status: Status) -> Self {
        Self { head: ResponseHead::new(status), body: ResponseBody::Empty }
    }
    /// A text body with its content type.
    pub fn full(status: Status, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut head = ResponseHead::new(status);
        head.headers.set("Content-Type", content_type);
        Self { head, body: ResponseBody::Full(body.into()) }
    }
    /// The body goes when the answer to HEAD is written; `Content-Length` stays what the body's would be.
    pub fn header(mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.head.headers.set(name, value);
        self
    }
}

/// How many bytes went each way in one exchange and how it ended, told to `Handler::finished`.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Body bytes received.
    pub received: u64,
    /// Body bytes sent.
    pub sent: u64,
    /// False when the client went away before the end.
    pub complete: bool,
}

/// Answers requests. One per core, shared by its connections.
pub trait Handler: 'static {
    /// Answers one request.
    fn handle(self: Rc<Self>, request: Request) -> LocalFuture<'static, Response>;
    /// The answer to a request that could not be parsed (default: the status with Swift's HTML body).
    fn refuse(&self, status: Status, reason: &str) -> Response {
        let _ = reason;
        Response::empty(status)
    }
}

/// Serves one connection to its end. `draining` turning true (see `Drain`) ends it after the current exchange.
pub async fn serve<H: Handler>(
    _stream: Stream,
    _peer: SocketAddr,
    _limits: Rc<ServerLimits>,
    _handler: Rc<H>,
    _drain: Drain,
) {
    todo!()
}

/// Tells the connections of a core to finish: idle ones close at once, busy ones after their exchange. Clones share it.
#[derive(Clone, Default)]
pub struct Drain {}

impl Drain {
    /// Not draining.
    pub fn new() -> Self {
        Self::default()
    }
    /// Starts to drain.
    pub fn start(&self) {
        todo!()
    }
    /// Whether it has started.
    pub fn is_started(&self) -> bool {
        todo!()
    }
    /// Waits until every connection is gone, at most `deadline`; false when some were left.
    pub async fn finished(&self, _deadline: Duration) -> bool {
        todo!()
    }
}

/// Accepts and serves for ever (until drained): one task per connection, `max_connections` at a time, out of file
/// descriptors waits and goes on.
pub async fn accept_loop<H: Handler>(
    _listener: crate::io::Listener,
    _limits: Rc<ServerLimits>,
    _max_connections: usize,
    _handler: Rc<H>,
    _drain: Drain,
) {
    todo!()
}
