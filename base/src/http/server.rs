//! Driver: the server side of one connection.
//!
//! `serve` owns the stream from accept to close: parses requests, calls the handler, writes its answers, keeps the
//! connection alive where both sides allow it. Bodies are pulled by the handler; `100 Continue` goes out at the first pull.
//!
//! `wire` reads, `respond` writes, `body` is what the handler holds, `accept` and `drain` are about many connections.
//!
//! # Invariants
//!
//! - Every read and write has a deadline, and what a connection buffers is bounded: one head, one piece of body each way.
//! - After a refusal, an unfinished request or an unfinished response no further request is read.
//! - A connection that we end while the client may still be sending is ended slowly, so that it sees the answer and no reset.

mod accept;
mod body;
mod drain;
mod proxied;
mod respond;
#[cfg(test)]
mod tests;
mod wire;

pub use accept::accept_loop;
pub use body::{BodyError, RequestBody};
pub use drain::Drain;

use super::parser::{HeadLimits, Refusal, Version};
use super::reader::Incoming;
use super::{Method, RequestHead, ResponseHead, Status};
use crate::io::{Job, Pipe, Stream};
use bytes::Bytes;
use respond::{Sent, Speech};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use wire::{Next, Wire};

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
    /// Whether every connection begins with a line of the PROXY protocol, which names the client (`require_proxy_protocol`).
    pub has_proxy_line: bool,
}

impl Default for ServerLimits {
    /// As Swift's servers have them.
    fn default() -> Self {
        Self {
            client_timeout: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(60),
            max_request_line: 8192,
            max_header_line: 8191,
            max_header_block: 64 * 1024,
            max_headers: 201,
            has_proxy_line: false,
        }
    }
}

impl ServerLimits {
    fn head(&self) -> HeadLimits {
        HeadLimits {
            first_line: self.max_request_line,
            line: self.max_header_line,
            block: self.max_header_block,
            fields: self.max_headers,
        }
    }
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

/// A boxed local future.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Where a streamed response body comes from.
pub trait BodySource {
    /// The next piece; `None` at the end. An error cuts the connection: the client sees a body that is too short.
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>>;

    /// Whether the next piece, or the beginning of it, is here already: then it leaves in one write with the one before.
    fn is_here(&self) -> bool {
        false
    }

    /// A source that only passes on what comes on a connection may put the next bytes into an empty pipe instead, unseen. Gives how many; 0 when
    /// `next` has to be asked.
    fn next_to<'a>(&'a mut self, _pipe: &'a mut Pipe) -> LocalFuture<'a, io::Result<usize>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    /// Whether `next_to` is worth asking.
    fn is_piped(&self) -> bool {
        false
    }
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
    /// Called once when the exchange is over, e.g. for the line in the access log.
    pub on_finish: Option<Box<dyn FnOnce(Finished)>>,
}

impl Response {
    /// A status with an empty body.
    pub fn empty(status: Status) -> Self {
        Self { head: ResponseHead::new(status), body: ResponseBody::Empty, on_finish: None }
    }
    /// A text body with its content type.
    pub fn full(status: Status, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut head = ResponseHead::new(status);
        head.headers.set("Content-Type", content_type);
        Self { head, body: ResponseBody::Full(body.into()), on_finish: None }
    }
    /// A streamed body.
    pub fn stream(status: Status, length: Option<u64>, source: Box<dyn BodySource>) -> Self {
        Self { head: ResponseHead::new(status), body: ResponseBody::Stream { length, source }, on_finish: None }
    }
    /// The body goes when the answer to HEAD is written; `Content-Length` stays what the body's would be.
    pub fn header(mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.head.headers.set(name, value);
        self
    }
}

/// How many bytes went each way in one exchange and how it ended, told to [`Response::on_finish`].
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
    fn handle(self: Rc<Self>, request: Request) -> Job<Response>;
    /// The answer to a request that could not be parsed (default: the status with Swift's HTML body).
    fn refuse(&self, status: Status, reason: &str) -> Response {
        let body = format!("<html><h1>{}</h1><p>{reason}</p></html>", status.reason());
        Response::full(status, "text/html; charset=UTF-8", body)
    }
}

/// Serves one connection to its end. `draining` turning true (see `Drain`) ends it after the current exchange.
pub async fn serve<H: Handler>(
    stream: Stream,
    peer: SocketAddr,
    limits: Rc<ServerLimits>,
    handler: Rc<H>,
    drain: Drain,
) {
    let _present = drain.enter();
    serve_present(stream, peer, limits, handler, drain).await;
}

/// [`serve`] for a connection that is counted already.
async fn serve_present<H: Handler>(
    stream: Stream,
    peer: SocketAddr,
    limits: Rc<ServerLimits>,
    handler: Rc<H>,
    drain: Drain,
) {
    // Boxed below is what comes once in a connection's life: most of them wait, and each holds the space for all it may do.
    let wire = Rc::new(Wire::new(stream, limits));
    let peer = match wire.client(peer, &drain).await {
        Some(Ok(client)) => client,
        Some(Err(refusal)) => {
            // Nobody knows whether the other end speaks HTTP. Told all the same: whoever runs both sees why.
            let _ = Box::pin(refuse(&wire, refusal, &*handler)).await;
            return Box::pin(wire.linger()).await;
        }
        None => return wire.shutdown(),
    };
    // Ends: every turn waits for a request with a deadline, or is the last.
    loop {
        let after = match wire.next_request(&drain).await {
            Next::Gone => After::Gone,
            Next::Refused(refusal) => Box::pin(refuse(&wire, refusal, &*handler)).await,
            Next::Request(incoming) => exchange(&wire, incoming, peer, &handler, &drain).await,
        };
        match after {
            After::Next => {}
            After::Linger => return Box::pin(wire.linger()).await,
            After::Gone => return wire.shutdown(),
        }
    }
}

/// What becomes of a connection after an exchange.
enum After {
    /// It waits for the next request.
    Next,
    /// It ends, and the client may still be sending.
    Linger,
    /// It is over.
    Gone,
}

async fn refuse<H: Handler>(wire: &Wire, refusal: Refusal, handler: &H) -> After {
    let response = handler.refuse(refusal.status, refusal.reason);
    let speech = Speech { method: Method::Get, version: Version::Http11, keep_alive: false, keep_alive_asked: false };
    match respond::send(wire, speech, response).await {
        Sent::Cut => After::Gone,
        Sent::Last | Sent::Persistent => After::Linger,
    }
}

async fn exchange<H: Handler>(
    wire: &Rc<Wire>,
    incoming: Incoming,
    peer: SocketAddr,
    handler: &Rc<H>,
    drain: &Drain,
) -> After {
    let Incoming { head, version, framing } = incoming;
    let method = head.method;
    let body = RequestBody::from_wire(wire, framing.body);
    let answer = Rc::clone(handler).handle(Request { head, body, peer });
    let response = match CatchPanic(answer).await {
        Some(response) => response,
        None => handler.refuse(Status(500), "The server failed to answer this request."),
    };
    // The body has the other reference.
    let held = Rc::strong_count(wire) > 1;
    let keep_alive = framing.keep_alive && !drain.is_started() && wire.can_reach_end(held);
    let speech = Speech { method, version, keep_alive, keep_alive_asked: framing.keep_alive_asked };
    match respond::send(wire, speech, response).await {
        Sent::Cut => After::Gone,
        Sent::Persistent if wire.persists() && (wire.is_at_end() || Box::pin(wire.discard_rest()).await) => After::Next,
        Sent::Persistent | Sent::Last => After::Linger,
    }
}

/// A handler's panic is an answer, not the end of the connection: `None`.
struct CatchPanic<T: 'static>(Job<T>);

impl<T> Future for CatchPanic<T> {
    type Output = Option<T>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let inner = Pin::new(&mut self.0);
        // A future that panicked is never polled again, so nobody sees what it left half done but its own destructors.
        match catch_unwind(AssertUnwindSafe(|| inner.poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }
}
