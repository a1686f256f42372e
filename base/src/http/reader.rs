//! Core: the receiving half of a connection: bytes in, events out.
//!
//! [`RequestReader`] stands at the server, [`ResponseReader`] at the client. Each is fed the same buffer again and again: it takes
//! from the front what it understood and answers `None` when it needs more.

#[cfg(test)]
mod tests;

use super::body::{BodyDecoder, Piece};
use super::framing::{self, BodyFraming, RequestFraming};
use super::parser::{HeadLimits, HeadScanner, Refusal, Version, parse_request, parse_response};
use super::{Headers, Method, RequestHead, ResponseHead, Status};
use crate::limits::BODY_CHUNK;
use bytes::{Buf, Bytes, BytesMut};

/// What comes out of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<Head> {
    /// A head.
    Head(Head),
    /// Bytes of the body, at least one and at most [`BODY_CHUNK`].
    Data(Bytes),
    /// Fields behind the last chunk.
    Trailers(Headers),
    /// The message is complete.
    End,
}

impl<Head> From<Piece> for Event<Head> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(bytes) => Event::Data(bytes),
            Piece::Trailers(trailers) => Event::Trailers(trailers),
            Piece::End => Event::End,
        }
    }
}

/// A request and what it means for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Line and fields; the target in origin form.
    pub head: RequestHead,
    /// As the client speaks.
    pub version: Version,
    /// Body, keep-alive, `Expect`.
    pub framing: RequestFraming,
}

/// Reads requests.
pub struct RequestReader {
    limits: HeadLimits,
    scanner: HeadScanner,
    body: Option<BodyDecoder>,
    skipped_blank_line: bool,
    refused: Option<Refusal>,
}

impl RequestReader {
    /// At the start of a connection.
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits, scanner: HeadScanner::new(limits), body: None, skipped_blank_line: false, refused: None }
    }

    /// The body being read; `None` between requests.
    pub fn body(&self) -> Option<&BodyDecoder> {
        self.body.as_ref()
    }

    /// The next event. After a refusal there is no next: it is repeated.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Event<Incoming>>, Refusal> {
        if let Some(refusal) = self.refused {
            return Err(refusal);
        }
        self.advance(buffer).inspect_err(|refusal| self.refused = Some(*refusal))
    }

    fn advance(&mut self, buffer: &mut BytesMut) -> Result<Option<Event<Incoming>>, Refusal> {
        if let Some(body) = &mut self.body {
            let piece = body.next(buffer, BODY_CHUNK)?;
            if piece == Some(Piece::End) {
                self.body = None;
            }
            return Ok(piece.map(Event::from));
        }
        // Old clients send one line end too many behind a body (RFC 9112 §2.2).
        if !self.skipped_blank_line && buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.skipped_blank_line = true;
        }
        if buffer.is_empty() || (!self.skipped_blank_line && buffer.as_ref() == b"\r") {
            return Ok(None);
        }
        let Some(block) = self.scanner.scan(buffer)? else {
            return Ok(None);
        };
        let bytes = buffer.split_to(block.length).freeze();
        let (head, version) = parse_request(&bytes, block.fields)?;
        let framing = framing::request(&head, version)?;
        self.body = Some(BodyDecoder::new(framing.body));
        self.scanner = HeadScanner::new(self.limits);
        self.skipped_blank_line = false;
        Ok(Some(Event::Head(Incoming { head, version, framing })))
    }
}

/// Generous: backends are ours or Swift's, but a broken one must not fill the memory.
const RESPONSE_LIMITS: HeadLimits = HeadLimits { first_line: 8192, line: 64 * 1024, block: 256 * 1024, fields: 1024 };
/// A server may say `100 Continue` more than once (Swift's two-phase PUT), but not for ever.
const INFORMATIONAL_MAX: usize = 16;

/// Reads responses.
pub struct ResponseReader {
    scanner: HeadScanner,
    method: Method,
    body: Option<BodyDecoder>,
    informational: usize,
    keep_alive: bool,
    refused: Option<Refusal>,
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseReader {
    /// At the start of a connection.
    pub fn new() -> Self {
        Self {
            scanner: HeadScanner::new(RESPONSE_LIMITS),
            method: Method::Get,
            body: None,
            informational: 0,
            keep_alive: true,
            refused: None,
        }
    }

    /// A request with this method was sent: the answer's body depends on it.
    pub fn expect_answer_to(&mut self, method: Method) {
        self.method = method;
        self.informational = 0;
    }

    /// Whether the last final response lets the connection live on.
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive && self.refused.is_none()
    }

    /// Whether the response being read has no more body; the end itself was then taken.
    pub fn is_body_done(&mut self) -> bool {
        let done = self.body.as_ref().is_some_and(BodyDecoder::is_done);
        if done {
            self.body = None;
        }
        done
    }

    /// Bytes of the body that are certainly to come; `None` when nobody knows.
    pub fn body_remaining(&self) -> Option<u64> {
        self.body.as_ref().and_then(BodyDecoder::remaining)
    }

    /// Notes bytes of the body that were taken behind our back.
    pub fn pass(&mut self, bytes: u64) {
        if let Some(body) = &mut self.body {
            body.pass(bytes);
        }
    }

    /// The next event. A head with a 1xx status is followed by another head, every other by data and the end.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Event<ResponseHead>>, Refusal> {
        if let Some(refusal) = self.refused {
            return Err(refusal);
        }
        self.advance(buffer).inspect_err(|refusal| self.refused = Some(*refusal))
    }

    /// The peer sends no more. True when that ends a response properly; the next event is then its end.
    pub fn end_of_input(&mut self) -> bool {
        self.keep_alive = false;
        self.body.as_mut().is_some_and(BodyDecoder::end_of_input)
    }

    fn advance(&mut self, buffer: &mut BytesMut) -> Result<Option<Event<ResponseHead>>, Refusal> {
        if let Some(body) = &mut self.body {
            let piece = body.next(buffer, BODY_CHUNK)?;
            if piece == Some(Piece::End) {
                self.body = None;
            }
            return Ok(piece.map(Event::from));
        }
        let Some(block) = self.scanner.scan(buffer)? else {
            return Ok(None);
        };
        let bytes = buffer.split_to(block.length).freeze();
        let (head, version) = parse_response(&bytes, block.fields)?;
        self.scanner = HeadScanner::new(RESPONSE_LIMITS);
        let (body, keep_alive) = framing::response(&head, version, self.method)?;
        if head.status.0 / 100 == 1 {
            self.informational += 1;
            // We never ask to switch protocols, so nobody may.
            if head.status == Status(101) || self.informational > INFORMATIONAL_MAX {
                return Err(Refusal::bad("Unexpected 1xx"));
            }
        } else {
            debug_assert!(body != BodyFraming::UntilClose || !keep_alive, "a body until close ends the connection");
            self.keep_alive = keep_alive;
            self.body = Some(BodyDecoder::new(body));
        }
        Ok(Some(Event::Head(head)))
    }
}
