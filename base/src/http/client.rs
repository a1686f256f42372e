//! Driver: the client side of one connection.
//!
//! One exchange at a time: `send_head`, `send_data`*, `finish`, `read_head`, `read_data`*. Reading may start while sending is
//! still going on (the peer may answer early), from another task through a clone of the handle. Deadlines are the caller's
//! (`io::timeout`); a dropped call breaks the connection, which is then not reusable.
//!
//! A failed write does not end reading: a server that refuses a body says so and closes, and its answer is still to be had.

use super::encode::{self, CHUNK_END, LAST_CHUNK};
use super::framing::BodyFraming;
use super::inlet::{Inlet, Purpose};
use super::outlet;
use super::parser::Refusal;
use super::reader::{Event, ResponseReader};
use super::transitions::{Exchange, Role, State, Step};
use super::{HeadParts, Headers, ResponseHead};
use crate::io::{Pipe, Stream};
use crate::limits::BODY_CHUNK;
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Fewer bytes of a body are copied: a pipe costs some calls more.
const PIPED_MIN: usize = 32 * 1024;

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
pub struct Connection {
    inner: Rc<Inner>,
}

struct Inner {
    address: SocketAddr,
    /// The same as text, for `Host`.
    host: String,
    inlet: Inlet,
    reader: RefCell<ResponseReader>,
    exchange: Cell<Exchange>,
    /// What the body being sent still owes.
    framing: Cell<Framing>,
    /// A write is in flight, was dropped, or failed.
    writing: Cell<bool>,
    trailers: RefCell<Option<Headers>>,
}

impl Connection {
    /// Connects.
    pub async fn connect(address: SocketAddr, deadline: Duration) -> io::Result<Connection> {
        Ok(Self::new(Stream::connect(address, deadline).await?, address))
    }

    /// Connects to what may be a daemon of ours: by the machine's own way where it is near, else as `connect` does.
    pub async fn connect_near(address: SocketAddr, deadline: Duration) -> io::Result<Connection> {
        match Stream::connect_near(address) {
            Ok(stream) => Ok(Self::new(stream, address)),
            Err(_) => Self::connect(address, deadline).await,
        }
    }

    /// Speaks HTTP on a stream that stands.
    pub fn new(stream: Stream, address: SocketAddr) -> Connection {
        let inner = Inner {
            address,
            host: address.to_string(),
            inlet: Inlet::of_client(stream),
            reader: RefCell::new(ResponseReader::new()),
            exchange: Cell::new(Exchange::new()),
            framing: Cell::new(Framing::None),
            writing: Cell::new(false),
            trailers: RefCell::new(None),
        };
        Connection { inner: Rc::new(inner) }
    }

    /// Writes the head. Adds `Host` when missing and the framing fields; `keep_alive` false sends `Connection: close`.
    pub async fn send_head(
        &self,
        head: impl Into<HeadParts<'_>>,
        framing: Framing,
        keep_alive: bool,
    ) -> io::Result<()> {
        let mut out = self.start(head.into(), framing, keep_alive)?;
        let written = self.inner.write_whole(out.split().freeze()).await;
        outlet::give_back(out);
        written
    }

    /// Head and whole body in one write: `send_head` with their length, `send_data` and `finish` at once.
    pub async fn send_full(&self, head: impl Into<HeadParts<'_>>, body: Bytes, keep_alive: bool) -> io::Result<()> {
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let mut out = self.start(head.into(), Framing::Length(length), keep_alive)?;
        self.inner.framing.set(Framing::Length(0));
        self.inner.step(Role::Client, Step::End)?;
        let written = self.inner.write(vec![out.split().freeze(), body]).await;
        outlet::give_back(out);
        written
    }

    /// Writes body bytes (a chunk when chunked). More than announced is an error.
    pub async fn send_data(&self, bytes: Bytes) -> io::Result<()> {
        let inner = &self.inner;
        inner.step(Role::Client, Step::Data)?;
        if bytes.is_empty() {
            return Ok(());
        }
        match inner.framing.get() {
            Framing::None => Err(invalid("this request was announced without a body")),
            Framing::Chunked => {
                let parts = vec![encode::chunk_head(bytes.len()), bytes, Bytes::from_static(CHUNK_END)];
                inner.write(parts).await
            }
            Framing::Length(left) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let left = left.checked_sub(length).ok_or_else(|| invalid("more body than announced"))?;
                inner.framing.set(Framing::Length(left));
                inner.write_whole(bytes).await
            }
        }
    }

    /// Ends the body. Fewer than announced is an error.
    pub async fn finish(&self) -> io::Result<()> {
        let inner = &self.inner;
        // What `send_head` or `send_full` completed needs no end.
        if inner.exchange.get().state(Role::Client) == State::Done {
            return Ok(());
        }
        if matches!(inner.framing.get(), Framing::Length(1..)) {
            return Err(invalid("less body than announced"));
        }
        inner.step(Role::Client, Step::End)?;
        match inner.framing.get() {
            Framing::Chunked => inner.write_whole(Bytes::from_static(LAST_CHUNK)).await,
            Framing::None | Framing::Length(_) => Ok(()),
        }
    }

    /// Ends a chunked body with trailers.
    pub async fn finish_with(&self, trailers: &Headers) -> io::Result<()> {
        let inner = &self.inner;
        if inner.framing.get() != Framing::Chunked {
            return Err(invalid("trailers of a body that is not in chunks"));
        }
        inner.step(Role::Client, Step::End)?;
        inner.write(vec![encode::last_chunk(trailers)]).await
    }

    /// The head of the answer to come will bring its body along, or the beginning of it: one read may take up to [`BODY_CHUNK`] of both.
    pub fn expect_body(&self) {
        self.inner.inlet.offer(Some(BODY_CHUNK));
    }

    /// The next response head, `100 Continue` included (the caller asked for it with `Expect`).
    pub async fn read_head(&self) -> io::Result<ResponseHead> {
        let inner = &self.inner;
        match inner.next_event(Purpose::Head).await? {
            Event::Head(head) if head.status.0 / 100 == 1 => {
                inner.step(Role::Server, Step::Informational)?;
                Ok(head)
            }
            Event::Head(head) => {
                inner.step(Role::Server, Step::Head)?;
                if !inner.reader.borrow().keeps_alive() {
                    inner.last();
                }
                // A body of no bytes is over with its head: who has read all there is may reuse the connection.
                if inner.reader.borrow_mut().is_body_done() {
                    inner.step(Role::Server, Step::End)?;
                }
                Ok(head)
            }
            Event::Data(_) | Event::Trailers(_) | Event::End => {
                Err(invalid("the body of the last response is not read"))
            }
        }
    }

    /// The next piece of the response's body; `None` at its end. A body cut short is `UnexpectedEof`.
    pub async fn read_data(&self) -> io::Result<Option<Bytes>> {
        let inner = &self.inner;
        // Ends: each turn but the last takes the trailers, of which there is one block.
        loop {
            if inner.exchange.get().state(Role::Server) != State::Body {
                return match inner.exchange.get().state(Role::Server) {
                    State::Done => Ok(None),
                    _ => Err(invalid("no response is being read")),
                };
            }
            match inner.next_event(Purpose::Body(None)).await? {
                Event::Data(bytes) => return Ok(Some(bytes)),
                Event::Trailers(trailers) => {
                    inner.trailers.replace(Some(trailers));
                }
                Event::End => inner.step(Role::Server, Step::End)?,
                Event::Head(_) => return Err(invalid("a head inside a body")),
            }
        }
    }

    /// Whether bytes behind those that were taken are here already.
    pub fn has_bytes(&self) -> bool {
        self.inner.inlet.has_bytes()
    }

    /// Takes bytes of the response's body into an empty pipe, unseen. Gives how many; 0 when they are to be had by `read_data`: bytes that were
    /// read already, few, or framed in chunks, and the end.
    pub async fn read_data_to(&self, pipe: &mut Pipe) -> io::Result<usize> {
        let inner = &self.inner;
        let left = inner.reader.borrow().body_remaining().and_then(|left| usize::try_from(left).ok());
        let Some(left) = left.filter(|left| *left >= PIPED_MIN) else { return Ok(0) };
        if inner.exchange.get().state(Role::Server) != State::Body || inner.inlet.is_away() || inner.inlet.has_bytes() {
            return Ok(0);
        }
        let taken = inner.inlet.stream().read_to(pipe, left).await.inspect_err(|_| inner.last())?;
        if taken == 0 {
            return Err(inner.ended(Purpose::Body(None)));
        }
        inner.reader.borrow_mut().pass(u64::try_from(taken).unwrap_or(u64::MAX));
        Ok(taken)
    }

    /// The whole body, if it came with its head and is no longer than `max`: then the exchange is complete. `None` leaves all as it is.
    pub fn take_ready(&self, length: u64, max: usize) -> Option<Bytes> {
        let inner = &self.inner;
        let is_there = |had: usize| had <= max.min(BODY_CHUNK) && u64::try_from(had) == Ok(length);
        let is_known = inner.reader.borrow().body_remaining() == Some(length);
        if length == 0 || !is_known || !inner.inlet.with(|buffer| is_there(buffer.len()))? {
            return None;
        }
        let event = inner.inlet.with(|buffer| inner.reader.borrow_mut().next(buffer))?;
        let Ok(Some(Event::Data(bytes))) = event else { return None };
        // A body of that length is over with its last byte.
        let is_over = inner.reader.borrow_mut().is_body_done() && inner.step(Role::Server, Step::End).is_ok();
        is_over.then_some(bytes)
    }

    /// Collects the rest of the body, at most `max` bytes: more is an error and breaks the connection.
    pub async fn read_full(&self, max: usize) -> io::Result<Bytes> {
        let Some(first) = self.read_data().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.read_data().await? else {
            return if first.len() <= max { Ok(first) } else { Err(self.too_large()) };
        };
        let mut all = BytesMut::from(first.as_ref());
        all.extend_from_slice(&second);
        // Ends: every turn adds bytes, and there are at most `max`.
        while all.len() <= max {
            match self.read_data().await? {
                Some(bytes) => all.extend_from_slice(&bytes),
                None => return Ok(all.freeze()),
            }
        }
        Err(self.too_large())
    }

    /// Trailer fields of the last response, after its end.
    pub fn take_trailers(&self) -> Option<Headers> {
        self.inner.trailers.take()
    }

    /// True when an exchange is complete, both sides keep the connection alive and nothing unread is left. A new connection
    /// counts too. Whether the peer closed it meanwhile shows only in the next call.
    pub fn is_reusable(&self) -> bool {
        let inner = &self.inner;
        let exchange = inner.exchange.get();
        let between = exchange.is_reusable() || exchange == Exchange::new();
        between && !inner.writing.get() && !inner.inlet.is_away() && !inner.inlet.has_bytes()
    }

    /// Ends it now.
    pub fn close(&self) {
        self.inner.last();
        self.inner.writing.set(true);
        self.inner.inlet.stream().shutdown();
    }

    /// Whom it speaks to.
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    fn start(&self, head: HeadParts<'_>, framing: Framing, keep_alive: bool) -> io::Result<BytesMut> {
        let inner = &self.inner;
        if !self.is_reusable() {
            return Err(invalid("the connection is in the middle of an exchange or at its end"));
        }
        inner.exchange.set(Exchange::new());
        inner.step(Role::Client, Step::Head)?;
        if !keep_alive {
            inner.last();
        }
        let body = match framing {
            Framing::None => BodyFraming::None,
            Framing::Length(length) => BodyFraming::Length(length),
            Framing::Chunked => BodyFraming::Chunked,
        };
        // Nothing to send is sent: such a request needs no `finish`.
        if framing == Framing::None {
            inner.step(Role::Client, Step::End)?;
        }
        inner.framing.set(framing);
        inner.trailers.replace(None);
        inner.inlet.offer(None);
        inner.inlet.shrink();
        inner.reader.borrow_mut().expect_answer_to(head.method);
        let mut out = outlet::take();
        encode::request_head(&mut out, head, inner.host.as_bytes(), body, keep_alive);
        Ok(out)
    }

    fn too_large(&self) -> io::Error {
        self.close();
        io::Error::new(io::ErrorKind::InvalidData, "the response's body is larger than what was asked for can be")
    }
}

impl Inner {
    async fn write(&self, mut parts: Vec<Bytes>) -> io::Result<()> {
        parts.retain(|part| !part.is_empty());
        match (parts.pop(), parts.is_empty()) {
            (Some(only), true) => self.write_whole(only).await,
            (Some(last), false) => {
                parts.push(last);
                self.begin_write()?;
                self.end_write(self.inlet.stream().write_vectored(parts).await)
            }
            (None, _) => Ok(()),
        }
    }

    async fn write_whole(&self, bytes: Bytes) -> io::Result<()> {
        self.begin_write()?;
        self.end_write(self.inlet.stream().write_all(bytes).await)
    }

    fn begin_write(&self) -> io::Result<()> {
        match self.writing.replace(true) {
            false => Ok(()),
            true => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "a write of this connection is in flight or did not end well",
            )),
        }
    }

    fn end_write(&self, result: io::Result<()>) -> io::Result<()> {
        // Stays set after an error: what the peer has of the message is unknown.
        self.writing.set(result.is_err());
        result
    }

    async fn next_event(&self, purpose: Purpose) -> io::Result<Event<ResponseHead>> {
        // Ends: every turn reads bytes, which the reader bounds, or is the last.
        loop {
            let next = self.inlet.with(|buffer| self.reader.borrow_mut().next(buffer));
            match next {
                Some(Ok(Some(event))) => return Ok(event),
                Some(Ok(None)) | None => {}
                Some(Err(refusal)) => return Err(self.broken(refusal)),
            }
            let purpose = match purpose {
                Purpose::Head => Purpose::Head,
                Purpose::Body(_) => Purpose::Body(self.reader.borrow().body_remaining()),
            };
            if self.inlet.fill(purpose).await.inspect_err(|_| self.last())? == 0 {
                let ended = self.ended(purpose);
                if !self.reader.borrow_mut().end_of_input() {
                    return Err(ended);
                }
            }
        }
    }

    /// The peer sends no more: what that means where more was due.
    fn ended(&self, purpose: Purpose) -> io::Error {
        self.last();
        let text = match purpose {
            Purpose::Head => "the connection ended before the response",
            Purpose::Body(_) => "the connection ended inside the response's body",
        };
        io::Error::new(io::ErrorKind::UnexpectedEof, text)
    }

    fn step(&self, role: Role, step: Step) -> io::Result<()> {
        let mut exchange = self.exchange.get();
        exchange.advance(role, step)?;
        self.exchange.set(exchange);
        Ok(())
    }

    fn last(&self) {
        let mut exchange = self.exchange.get();
        exchange.last();
        self.exchange.set(exchange);
    }

    fn broken(&self, refusal: Refusal) -> io::Error {
        self.last();
        io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP response: {}", refusal.reason))
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
