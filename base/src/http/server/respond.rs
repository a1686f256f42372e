//! Driver: writes one response.
//!
//! A body in memory leaves with its head in one write. A streamed one keeps at most two pieces: one is being written while the
//! source prepares the next.

use super::wire::Wire;
use super::{BodySource, Finished, Response, ResponseBody};
use crate::http::encode::{self, CHUNK_END, LAST_CHUNK, Persistence};
use crate::http::framing::{BodyFraming, plan_response};
use crate::http::parser::Version;
use crate::http::transitions::{Role, Step};
use crate::http::{Method, date, outlet};
use crate::io::{self as door, Pipe};
use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;

/// Up to here copying a body behind its head is cheaper than a second part.
const COPY_MAX: usize = 4 * 1024;
/// One write moves so much at most: its deadline is meant for a piece, not for a body.
const WRITE_MAX: usize = 256 * 1024;
/// Pieces of a body that are here already leave together, as long as they have no more parts: so a write moves no more than two of the largest.
const PARTS_MAX: usize = 4;
/// Shorter bodies are copied: most of them came with their head.
const PIPED_MIN: u64 = 48 * 1024;

/// What the request said that the response depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speech {
    pub(super) method: Method,
    pub(super) version: Version,
    /// Whether another exchange may follow.
    pub(super) keep_alive: bool,
    /// Whether the client asked for it in so many words.
    pub(super) keep_alive_asked: bool,
}

/// How writing a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Whole; another exchange may follow.
    Persistent,
    /// Whole; it said that it is the last.
    Last,
    /// Not whole: the connection is lost or has to be cut.
    Cut,
}

/// Writes the response.
pub(super) async fn send(wire: &Wire, speech: Speech, response: Response) -> Sent {
    let Response { head, body, on_finish } = response;
    let length = match &body {
        ResponseBody::Empty => Some(0),
        ResponseBody::Full(bytes) => u64::try_from(bytes.len()).ok(),
        ResponseBody::Stream { length, .. } => *length,
    };
    let plan = plan_response(speech.method, speech.version, head.status, &head.headers, length, speech.keep_alive);
    let persistence = match (plan.keep_alive, speech.version) {
        (true, Version::Http11) if !speech.keep_alive_asked => Persistence::Implied,
        (true, _) => Persistence::KeepAlive,
        (false, _) => Persistence::Close,
    };
    let mut out = outlet::take();
    encode::response_head(&mut out, &head, plan.framing, persistence, &date_now());
    let mut sender = Sender { wire, sent: 0, chunked: plan.framing == BodyFraming::Chunked };
    let is_due = wire.step(Role::Server, Step::Head);
    let rest = if is_due && plan.sends_body {
        sender.copy(&mut out, body)
    } else {
        drop(body);
        ResponseBody::Empty
    };
    let result = if !is_due {
        Err(io::Error::other("a second response"))
    } else if matches!(rest, ResponseBody::Empty) {
        wire.write_whole(out.split().freeze()).await
    } else {
        // Boxed: with it, each connection that waits would have the space for a body in pieces.
        Box::pin(sender.rest(out.split().freeze(), rest)).await
    };
    outlet::give_back(out);
    let complete = result.is_ok() && wire.step(Role::Server, Step::End);
    if let Some(on_finish) = on_finish {
        on_finish(Finished { received: wire.received(), sent: sender.sent, complete });
    }
    match (complete, plan.keep_alive) {
        (true, true) => Sent::Persistent,
        (true, false) => Sent::Last,
        (false, _) => Sent::Cut,
    }
}

struct Sender<'a> {
    wire: &'a Wire,
    sent: u64,
    chunked: bool,
}

impl Sender<'_> {
    /// A body that is worth it is put behind its head; any other is given back.
    fn copy(&mut self, head: &mut BytesMut, body: ResponseBody) -> ResponseBody {
        match body {
            ResponseBody::Full(bytes) if bytes.len() <= COPY_MAX => {
                head.extend_from_slice(&bytes);
                self.count(bytes.len());
                ResponseBody::Empty
            }
            body => body,
        }
    }

    async fn rest(&mut self, head: Bytes, body: ResponseBody) -> io::Result<()> {
        match body {
            ResponseBody::Empty => self.wire.write_whole(head).await,
            ResponseBody::Full(bytes) => self.full(head, bytes).await,
            ResponseBody::Stream { length, source } => self.stream(head, length, source).await,
        }
    }

    async fn full(&mut self, head: Bytes, mut bytes: Bytes) -> io::Result<()> {
        let mut parts = vec![head, self.split(&mut bytes)];
        // Ends: every turn takes bytes from the body.
        loop {
            self.wire.write(std::mem::take(&mut parts)).await?;
            if bytes.is_empty() {
                return Ok(());
            }
            parts.push(self.split(&mut bytes));
        }
    }

    async fn stream(&mut self, head: Bytes, length: Option<u64>, source: Box<dyn BodySource>) -> io::Result<()> {
        let is_piped = !self.chunked && length.is_some_and(|length| length >= PIPED_MIN) && source.is_piped();
        let mut pull = Pull { source, left: length, ready: Bytes::new() };
        if let Some(pipe) = is_piped.then(Pipe::take).flatten() {
            return self.pipe(head, pull, pipe).await;
        }
        let mut parts = vec![head];
        let mut next = pull.next().await;
        // Ends: with the source, or with the first error of either side.
        loop {
            let last = match next {
                Ok(Some(bytes)) => {
                    self.push_piece(&mut parts, bytes);
                    if parts.len() < PARTS_MAX && pull.is_here() {
                        next = pull.next().await;
                        continue;
                    }
                    false
                }
                Ok(None) => {
                    if self.chunked {
                        parts.push(Bytes::from_static(LAST_CHUNK));
                    }
                    true
                }
                // What came before the error is not owed; the head alone would look like an empty answer.
                Err(error) => return Err(error),
            };
            let write = self.wire.write(std::mem::take(&mut parts));
            if last {
                return write.await;
            }
            next = write_and_pull(write, pull.next()).await?;
        }
    }

    /// As `stream`, for a source that passes on what comes on another connection: what it can, it passes on in a pipe.
    async fn pipe(&mut self, head: Bytes, mut pull: Pull, mut pipe: Pipe) -> io::Result<()> {
        let mut parts = vec![head];
        // Ends: with the source, or with the first error of either side.
        loop {
            let next = pull.next().await?;
            let is_last = next.is_none();
            next.into_iter().for_each(|bytes| self.push_piece(&mut parts, bytes));
            self.wire.write(std::mem::take(&mut parts)).await?;
            if is_last {
                return Ok(());
            }
            // Ends: every turn takes bytes of a body of known length.
            while pull.next_to(&mut pipe).await? > 0 {
                // Ends: every turn writes bytes.
                while !pipe.is_empty() {
                    let written = self.wire.write_from(&mut pipe).await?;
                    self.count(written);
                }
            }
        }
    }

    fn push_piece(&mut self, parts: &mut Vec<Bytes>, bytes: Bytes) {
        self.count(bytes.len());
        if self.chunked {
            parts.extend([encode::chunk_head(bytes.len()), bytes, Bytes::from_static(CHUNK_END)]);
        } else {
            parts.push(bytes);
        }
    }

    fn split(&mut self, bytes: &mut Bytes) -> Bytes {
        let part = bytes.split_to(bytes.len().min(WRITE_MAX));
        self.count(part.len());
        part
    }

    fn count(&mut self, bytes: usize) {
        self.sent += u64::try_from(bytes).unwrap_or(0);
    }
}

/// Takes pieces from a source and holds it to its length.
struct Pull {
    source: Box<dyn BodySource>,
    left: Option<u64>,
    ready: Bytes,
}

impl Pull {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        // Ends: a turn without an answer waited for a piece and got an empty one (which as a chunk would be the last).
        while self.ready.is_empty() {
            self.ready = match self.source.next().await {
                Some(piece) => piece?,
                None if matches!(self.left, Some(1..)) => {
                    return Err(io::Error::other("the body's source gave too little"));
                }
                None => return Ok(None),
            };
        }
        let piece = self.ready.split_to(self.ready.len().min(WRITE_MAX));
        self.took(piece.len())?;
        Ok(Some(piece))
    }

    /// Whether something comes without waiting.
    fn is_here(&self) -> bool {
        !self.ready.is_empty() || self.source.is_here()
    }

    /// Bytes put into the pipe; none when `next` has to be asked.
    async fn next_to(&mut self, pipe: &mut Pipe) -> io::Result<usize> {
        if !self.ready.is_empty() {
            return Ok(0);
        }
        let taken = self.source.next_to(pipe).await?;
        self.took(taken)?;
        Ok(taken)
    }

    fn took(&mut self, bytes: usize) -> io::Result<()> {
        if let Some(left) = &mut self.left {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            *left = left.checked_sub(bytes).ok_or_else(|| io::Error::other("the body's source gave too much"))?;
        }
        Ok(())
    }
}

/// Runs both to their end, but does not wait for the source when writing failed. The outer error is the writer's.
async fn write_and_pull<T>(
    write: impl Future<Output = io::Result<()>>,
    pull: impl Future<Output = io::Result<T>>,
) -> io::Result<io::Result<T>> {
    let mut write = pin!(write);
    let mut pull = pin!(pull);
    let (mut written, mut pulled) = (false, None);
    std::future::poll_fn(move |context| {
        if !written {
            match write.as_mut().poll(context) {
                Poll::Ready(Ok(())) => written = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if pulled.is_none()
            && let Poll::Ready(result) = pull.as_mut().poll(context)
        {
            pulled = Some(result);
        }
        match pulled.take() {
            Some(result) if written => Poll::Ready(Ok(result)),
            other => {
                pulled = other;
                Poll::Pending
            }
        }
    })
    .await
}

thread_local! {
    /// The second and its date: all responses of one second share the text.
    static DATE: RefCell<(u64, Bytes)> = const { RefCell::new((u64::MAX, Bytes::new())) };
}

fn date_now() -> Bytes {
    let second = door::unix_time().as_secs();
    DATE.with_borrow_mut(|(cached, text)| {
        if *cached != second {
            (*cached, *text) = (second, date::format(second).into());
        }
        text.clone()
    })
}
