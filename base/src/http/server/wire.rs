//! Driver: the reading half of a server connection, shared by `serve` and the body that a handler holds.
//!
//! Exchanges are numbered: a body that outlives its exchange reads nothing of the next.

use super::ServerLimits;
use super::body::BodyError;
use super::drain::Drain;
use super::proxied;
use crate::http::Headers;
use crate::http::body::BodyDecoder;
use crate::http::encode::{self, CONTINUE};
use crate::http::inlet::{Inlet, Purpose};
use crate::http::parser::Refusal;
use crate::http::reader::{Event, Incoming, RequestReader};
use crate::http::transitions::{Exchange, Role, Step};
use crate::io::{self as door, Pipe, Stream};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// So much of a body that nobody wants is read for the sake of the connection; more costs less by a new connection.
const DISCARD_MAX: u64 = 64 * 1024;
/// How much and how long we read after our last answer, so that it is not lost to a reset.
const LINGER_BYTES_MAX: usize = 8 * 1024 * 1024;
const LINGER_TIME_MAX: Duration = Duration::from_secs(5);

/// What comes next on a connection.
pub(super) enum Next {
    /// A request.
    Request(Incoming),
    /// Bytes that are none.
    Refused(Refusal),
    /// Nothing more, or nothing in time.
    Gone,
}

/// One per connection.
pub(super) struct Wire {
    inlet: Inlet,
    pub(super) limits: Rc<ServerLimits>,
    reader: RefCell<RequestReader>,
    steps: Cell<Exchange>,
    exchange: Cell<u64>,
    received: Cell<u64>,
    continue_expected: Cell<bool>,
    /// What is said then, if not the usual.
    continue_text: Cell<Option<Bytes>>,
    body_failed: Cell<bool>,
    trailers: RefCell<Option<Headers>>,
}

impl Wire {
    pub(super) fn new(stream: Stream, limits: Rc<ServerLimits>) -> Self {
        Self {
            inlet: Inlet::of_server(stream),
            reader: RefCell::new(RequestReader::new(limits.head())),
            limits,
            steps: Cell::new(Exchange::new()),
            exchange: Cell::new(0),
            received: Cell::new(0),
            continue_expected: Cell::new(false),
            continue_text: Cell::new(None),
            body_failed: Cell::new(false),
            trailers: RefCell::new(None),
        }
    }

    /// Who the client is: the peer, or whom the peer names in a line in front of all requests. `None`: no line came within
    /// `client_timeout`.
    pub(super) async fn client(&self, peer: SocketAddr, drain: &Drain) -> Option<Result<SocketAddr, Refusal>> {
        if !self.limits.has_proxy_line {
            return Some(Ok(peer));
        }
        let _idle = drain.idle(self.inlet.stream());
        let line = async {
            // Ends: every turn adds bytes, and a line that is too long is none.
            loop {
                if let Some(line) = self.inlet.with(proxied::take).flatten() {
                    return Some(line);
                }
                if !matches!(self.inlet.fill(Purpose::Head).await, Ok(1..)) {
                    return None;
                }
            }
        };
        let named = door::timeout(self.limits.client_timeout, Box::pin(line)).await.ok()??;
        Some(named.map(|client| client.unwrap_or(peer)))
    }

    pub(super) fn exchange(&self) -> u64 {
        self.exchange.get()
    }

    /// Body bytes received in this exchange.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Waits for the next request, idle at first, then for at most `client_timeout` from its first byte to its last.
    pub(super) async fn next_request(&self, drain: &Drain) -> Next {
        self.exchange.set(self.exchange.get() + 1);
        self.received.set(0);
        self.body_failed.set(false);
        self.steps.set(Exchange::new());
        self.trailers.replace(None);
        self.inlet.shrink();
        if !self.inlet.has_bytes() {
            if drain.is_started() {
                return Next::Gone;
            }
            let is_first = self.exchange.get() == 1;
            let idle_max = if is_first { self.limits.client_timeout } else { self.limits.keepalive_timeout };
            let _idle = drain.idle(self.inlet.stream());
            match door::timeout(idle_max, self.inlet.fill(Purpose::Head)).await {
                Ok(Ok(1..)) => {}
                _ => return Next::Gone,
            }
        }
        let next = match self.parse_head() {
            Some(next) => next,
            // Boxed: a head comes in one piece as a rule.
            None => door::timeout(self.limits.client_timeout, Box::pin(self.read_head())).await.unwrap_or(Next::Gone),
        };
        if let Next::Request(incoming) = &next {
            self.continue_expected.set(incoming.framing.expects_continue);
            self.continue_text.set(None);
            if !self.step(Role::Client, Step::Head) {
                return Next::Gone;
            }
        }
        next
    }

    async fn read_head(&self) -> Next {
        // Ends: every turn adds bytes to a head, and the reader refuses a head that is too large.
        loop {
            match self.inlet.fill(Purpose::Head).await {
                Ok(1..) => {}
                _ => return Next::Gone,
            }
            if let Some(next) = self.parse_head() {
                return next;
            }
        }
    }

    fn parse_head(&self) -> Option<Next> {
        match self.inlet.with(|buffer| self.reader.borrow_mut().next(buffer)) {
            Some(Ok(Some(Event::Head(incoming)))) => Some(Next::Request(incoming)),
            Some(Ok(None)) => None,
            Some(Err(refusal)) => Some(Next::Refused(refusal)),
            Some(Ok(Some(_))) | None => Some(Next::Gone),
        }
    }

    /// The next piece of the body for the holder of this exchange.
    pub(super) async fn body_piece(&self, exchange: u64) -> Option<Result<Bytes, BodyError>> {
        if exchange != self.exchange.get() || self.body_failed.get() {
            return Some(Err(BodyError::Disconnected));
        }
        self.reader.borrow().body()?;
        if let Err(error) = self.send_continue().await {
            return Some(Err(error));
        }
        match self.read_piece().await {
            Ok(piece) => piece.map(Ok),
            Err(error) => {
                self.body_failed.set(true);
                self.step(Role::Client, Step::Fail);
                Some(Err(error))
            }
        }
    }

    async fn read_piece(&self) -> Result<Option<Bytes>, BodyError> {
        // Ends: a turn that gives nothing read bytes of framing, which the reader bounds.
        loop {
            let next = self.inlet.with(|buffer| self.reader.borrow_mut().next(buffer));
            match next {
                Some(Ok(Some(Event::Data(bytes)))) => {
                    self.received.set(self.received.get() + u64::try_from(bytes.len()).unwrap_or(0));
                    return Ok(Some(bytes));
                }
                Some(Ok(Some(Event::End))) => {
                    self.step(Role::Client, Step::End);
                    return Ok(None);
                }
                Some(Ok(Some(Event::Trailers(trailers)))) => {
                    self.trailers.replace(Some(trailers));
                    continue;
                }
                Some(Err(_)) | Some(Ok(Some(Event::Head(_)))) => return Err(BodyError::Malformed),
                Some(Ok(None)) => {}
                None => return Err(BodyError::Disconnected),
            }
            let left = self.reader.borrow().body().and_then(BodyDecoder::remaining);
            match self.inlet.fill_within(Purpose::Body(left), self.limits.client_timeout).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err(BodyError::Disconnected),
                Err(_) => return Err(BodyError::TimedOut),
            }
        }
    }

    async fn send_continue(&self) -> Result<(), BodyError> {
        // Not once the response has begun: the client has its answer.
        if !self.continue_expected.replace(false) || !self.step(Role::Server, Step::Informational) {
            return Ok(());
        }
        let text = self.continue_text.take().unwrap_or(Bytes::from_static(CONTINUE));
        self.write_whole(text).await.map_err(|_| {
            self.body_failed.set(true);
            BodyError::Disconnected
        })
    }

    /// What `100 Continue` says beside; false when it is not to be said any more in this exchange.
    pub(super) fn continue_with(&self, exchange: u64, name: &str, value: &str) -> bool {
        let is_due = exchange == self.exchange.get() && self.continue_expected.get();
        if is_due {
            self.continue_text.set(Some(encode::continue_with(name, value)));
        }
        is_due
    }

    pub(super) fn take_trailers(&self) -> Option<Headers> {
        self.trailers.take()
    }

    /// Writes with a deadline.
    pub(super) async fn write_whole(&self, bytes: Bytes) -> io::Result<()> {
        door::timeout(self.limits.client_timeout, self.inlet.stream().write_all(bytes)).await?
    }

    /// The same of several parts.
    pub(super) async fn write(&self, mut parts: Vec<Bytes>) -> io::Result<()> {
        match parts.pop() {
            None => Ok(()),
            Some(only) if parts.is_empty() => self.write_whole(only).await,
            Some(last) => {
                parts.push(last);
                door::timeout(self.limits.client_timeout, self.inlet.stream().write_vectored(parts)).await?
            }
        }
    }

    /// Writes what a pipe holds. The deadline is for some of it: a slow client takes long for all.
    pub(super) async fn write_from(&self, pipe: &mut Pipe) -> io::Result<usize> {
        door::timeout(self.limits.client_timeout, self.inlet.stream().write_from(pipe)).await?
    }

    /// Notes a step of the exchange; false when it may not be taken.
    pub(super) fn step(&self, role: Role, step: Step) -> bool {
        let mut steps = self.steps.get();
        let legal = steps.advance(role, step).is_ok();
        self.steps.set(steps);
        legal
    }

    /// Asked before the response's head is written: whether the rest of the body will be read, or is worth reading, so that
    /// another request can follow. `held`: somebody still has the body, perhaps the source of the response.
    pub(super) fn can_reach_end(&self, held: bool) -> bool {
        let reader = self.reader.borrow();
        let Some(body) = reader.body() else {
            return true;
        };
        // A client that still waits for `100 Continue` may send the body or not: nobody knows what comes next.
        let unasked = self.continue_expected.get() && !body.is_done();
        let short = body.remaining().is_none_or(|left| left <= DISCARD_MAX);
        !unasked && !self.body_failed.get() && (held || short)
    }

    /// Asked behind the response: whether nothing on the way broke.
    pub(super) fn persists(&self) -> bool {
        let unasked = self.continue_expected.get() && self.reader.borrow().body().is_some_and(|body| !body.is_done());
        !unasked && !self.body_failed.get() && !self.inlet.is_away()
    }

    /// Whether the request is over without anything more of it being read.
    pub(super) fn is_at_end(&self) -> bool {
        if self.reader.borrow().body().is_some_and(BodyDecoder::is_done) {
            let next = self.inlet.with(|buffer| self.reader.borrow_mut().next(buffer));
            if !matches!(next, Some(Ok(Some(Event::End)))) {
                return false;
            }
            self.step(Role::Client, Step::End);
        }
        self.reader.borrow().body().is_none() && self.steps.get().is_reusable()
    }

    /// Reads what the handler left of the body; false when that is too much or does not come.
    pub(super) async fn discard_rest(&self) -> bool {
        let mut discarded = 0_u64;
        // Ends: a piece is not empty, and there are at most 64 KiB of them.
        while self.reader.borrow().body().is_some() {
            match self.read_piece().await {
                Ok(Some(bytes)) => discarded += u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                Ok(None) => break,
                Err(_) => return false,
            }
            if discarded > DISCARD_MAX {
                return false;
            }
        }
        // A body the handler read to its last byte, but not to its end, ends here.
        self.steps.get().is_reusable()
    }

    /// Ends our side and reads on for a moment: closing with bytes unread would reset the connection, and the client might
    /// lose our answer to the reset.
    pub(super) async fn linger(&self) {
        let reading = async {
            let mut dropped = 0;
            // Ends: bounded in bytes here and in time below.
            while dropped < LINGER_BYTES_MAX {
                self.inlet.with(bytes::BytesMut::clear);
                match self.inlet.fill_within(Purpose::Body(None), LINGER_TIME_MAX).await {
                    Ok(Ok(read @ 1..)) => dropped += read,
                    _ => break,
                }
            }
        };
        if self.inlet.stream().shutdown_write().await.is_ok() {
            // Past the time the stream is only dropped, which is all we want of it.
            let _ = door::timeout(LINGER_TIME_MAX, reading).await;
        }
        self.shutdown();
    }

    pub(super) fn shutdown(&self) {
        self.inlet.stream().shutdown();
    }
}
