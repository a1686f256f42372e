//! Driver: the body of a request, as its handler pulls it.

use super::BodySource;
use super::wire::Wire;
use crate::http::Headers;
use crate::http::framing::BodyFraming;
use crate::limits::BODY_CHUNK;
use bytes::{Bytes, BytesMut};
use std::io;
use std::rc::Rc;

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
pub struct RequestBody {
    length: Option<u64>,
    chunked: bool,
    framed: bool,
    source: Source,
    /// What a source gave beyond 64 KiB.
    rest: Bytes,
    trailers: Option<Headers>,
}

enum Source {
    /// There is no more than `rest`.
    Memory,
    /// Made here; `left` of a length, if it has one.
    Made { source: Box<dyn BodySource>, left: Option<u64> },
    /// Of the connection, while it is at this exchange.
    Wire { wire: Rc<Wire>, exchange: u64 },
}

impl RequestBody {
    /// A body that is already in memory (internal requests, tests).
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let rest: Bytes = bytes.into();
        let length = u64::try_from(rest.len()).ok();
        Self { length, chunked: false, framed: true, source: Source::Memory, rest, trailers: None }
    }

    /// A body made by a source (internal requests: COPY).
    pub fn streaming(length: Option<u64>, source: Box<dyn BodySource>) -> Self {
        let source = Source::Made { source, left: length };
        Self { length, chunked: length.is_none(), framed: true, source, rest: Bytes::new(), trailers: None }
    }

    pub(super) fn from_wire(wire: &Rc<Wire>, framing: BodyFraming) -> Self {
        let (length, chunked, framed) = match framing {
            BodyFraming::None | BodyFraming::UntilClose => (Some(0), false, false),
            BodyFraming::Length(length) => (Some(length), false, true),
            BodyFraming::Chunked => (None, true, true),
        };
        let source = if length == Some(0) {
            Source::Memory
        } else {
            Source::Wire { wire: Rc::clone(wire), exchange: wire.exchange() }
        };
        Self { length, chunked, framed, source, rest: Bytes::new(), trailers: None }
    }

    /// Puts a field into the `100 Continue` that the first piece sends; false when it sends none.
    pub fn continue_with(&self, name: &str, value: &str) -> bool {
        match &self.source {
            Source::Wire { wire, exchange } => wire.continue_with(*exchange, name, value),
            Source::Memory | Source::Made { .. } => false,
        }
    }

    /// Announced length; `None` when chunked. A request without a body has `Some(0)`.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// True when the request had `Transfer-Encoding: chunked`.
    pub fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// True when the request had `Content-Length` or chunked framing (Swift's 411 check asks for it).
    pub fn is_framed(&self) -> bool {
        self.framed
    }

    /// The next piece, at most 64 KiB; `None` at the end. The first call sends `100 Continue` when it was expected.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        // Ends: a turn that does not answer got an empty piece from a source, and waited for it.
        loop {
            if !self.rest.is_empty() {
                return Some(Ok(self.rest.split_to(self.rest.len().min(BODY_CHUNK))));
            }
            match &mut self.source {
                Source::Memory => return None,
                Source::Wire { wire, exchange } => {
                    let piece = wire.body_piece(*exchange).await;
                    if piece.is_none() {
                        self.trailers = wire.take_trailers();
                    }
                    return piece;
                }
                Source::Made { source, left } => match source.next().await {
                    Some(Ok(bytes)) => {
                        if let Some(left) = left {
                            let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                            let Some(less) = left.checked_sub(more) else {
                                return Some(Err(self.fail(BodyError::Malformed)));
                            };
                            *left = less;
                        }
                        self.rest = bytes;
                    }
                    Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                        return Some(Err(self.fail(BodyError::TimedOut)));
                    }
                    Some(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                        return Some(Err(self.fail(BodyError::Malformed)));
                    }
                    Some(Err(_)) => return Some(Err(self.fail(BodyError::Disconnected))),
                    None if matches!(left, Some(1..)) => return Some(Err(self.fail(BodyError::Disconnected))),
                    None => self.source = Source::Memory,
                },
            }
        }
    }

    /// Collects a body of at most `max` bytes; `Err(None)` when it is larger.
    pub async fn collect(&mut self, max: usize) -> Result<Bytes, Option<BodyError>> {
        let announced = self.length.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
        if announced > max {
            return Err(None);
        }
        let mut all = Bytes::new();
        let mut joined = BytesMut::new();
        // Ends: pieces are not empty, and there are at most `max` bytes of them.
        while let Some(piece) = self.next().await {
            let piece = piece.map_err(Some)?;
            if all.len() + joined.len() + piece.len() > max {
                return Err(None);
            }
            // One piece, the usual case, is not copied.
            if all.is_empty() && joined.is_empty() {
                all = piece;
                continue;
            }
            if joined.is_empty() {
                joined.reserve(announced.max(2 * BODY_CHUNK).min(max));
                joined.extend_from_slice(&std::mem::take(&mut all));
            }
            joined.extend_from_slice(&piece);
        }
        Ok(if joined.is_empty() { all } else { joined.freeze() })
    }

    /// Trailer fields, after the end.
    pub fn trailers(&self) -> Option<&Headers> {
        self.trailers.as_ref()
    }

    fn fail(&mut self, error: BodyError) -> BodyError {
        self.source = Source::Memory;
        error
    }
}
