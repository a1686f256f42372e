//! Core: takes a body out of the bytes of a connection, whatever its framing. Data is split off, never copied.
//!
//! # Invariants
//!
//! - No byte behind the end of the body is taken.
//! - A chunk's size is one to sixteen hexadecimal digits, at once followed by CR LF or by an extension; extensions are
//!   bounded per line and per body, since each costs us work and carries nothing.

use super::Headers;
use super::framing::{BodyFraming, is_forbidden_trailer};
use super::parser::{HeadLimits, HeadScanner, Refusal, parse_trailers};
use bytes::{Buf, Bytes, BytesMut};

/// Longest line with a chunk's size and extensions.
const SIZE_LINE_MAX: usize = 256;
/// Most bytes of extensions in one body: a body of one-byte chunks, each with an extension, is an attack.
const EXTENSIONS_MAX: usize = 16 * 1024;
/// Trailers carry a checksum or two.
const TRAILER_LIMITS: HeadLimits = HeadLimits { first_line: 0, line: 8192, block: 16 * 1024, fields: 64 };

/// What comes out of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes, at least one.
    Data(Bytes),
    /// The fields behind the last chunk, if there were any.
    Trailers(Headers),
    /// The end. Nothing comes after it.
    End,
}

/// Reads one body.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
    extension_bytes: usize,
}

#[derive(Clone, Debug)]
enum State {
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers(HeadScanner),
    Done,
}

impl BodyDecoder {
    /// At the start of a body.
    pub fn new(framing: BodyFraming) -> Self {
        let state = match framing {
            BodyFraming::None | BodyFraming::Length(0) => State::Done,
            BodyFraming::Length(length) => State::Length(length),
            BodyFraming::Chunked => State::ChunkSize,
            BodyFraming::UntilClose => State::UntilClose,
        };
        Self { state, extension_bytes: 0 }
    }

    /// Whether the end was reached (and [`Piece::End`] was given or is the next to be).
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes that are certainly still to come; `None` when nobody knows.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Notes bytes of a body of known length that were taken behind our back, not more than remain.
    pub fn pass(&mut self, bytes: u64) {
        debug_assert!(self.remaining().is_some_and(|left| bytes <= left), "bytes that are not of this body");
        if let State::Length(left) = &mut self.state {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.state = State::Done;
            }
        }
    }

    /// The next piece, of at most `piece_max` bytes, from the front of `buffer`. `None`: more bytes are needed.
    pub fn next(&mut self, buffer: &mut BytesMut, piece_max: usize) -> Result<Option<Piece>, Refusal> {
        // Ends: each turn takes a part of the chunk framing from the buffer or answers.
        loop {
            match &mut self.state {
                State::Done => return Ok(Some(Piece::End)),
                State::UntilClose => {
                    let take = buffer.len().min(piece_max);
                    return Ok((take > 0).then(|| Piece::Data(buffer.split_to(take).freeze())));
                }
                State::Length(left) => {
                    let data = take_data(buffer, left, piece_max);
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    return Ok(data.map(Piece::Data));
                }
                State::ChunkData(left) => {
                    let data = take_data(buffer, left, piece_max);
                    if *left == 0 {
                        self.state = State::ChunkEnd;
                    }
                    return Ok(data.map(Piece::Data));
                }
                State::ChunkEnd => {
                    if !take_line_end(buffer)? {
                        return Ok(None);
                    }
                    self.state = State::ChunkSize;
                }
                State::ChunkSize => match self.take_size(buffer)? {
                    None => return Ok(None),
                    Some(0) => self.state = State::Trailers(HeadScanner::for_trailers(TRAILER_LIMITS)),
                    Some(size) => self.state = State::ChunkData(size),
                },
                State::Trailers(scanner) => {
                    let Some(block) = scanner.scan(buffer)? else {
                        return Ok(None);
                    };
                    self.state = State::Done;
                    let bytes = buffer.split_to(block.length).freeze();
                    if block.fields > 0 {
                        return Ok(Some(Piece::Trailers(checked_trailers(&bytes, block.fields)?)));
                    }
                }
            }
        }
    }

    /// The peer sends no more. True when that is an end this framing allows.
    pub fn end_of_input(&mut self) -> bool {
        if matches!(self.state, State::UntilClose) {
            self.state = State::Done;
        }
        self.is_done()
    }

    fn take_size(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, Refusal> {
        let seen = buffer.get(..SIZE_LINE_MAX).unwrap_or(buffer);
        let Some(end) = seen.iter().position(|&byte| byte == b'\n') else {
            let too_long = buffer.len() >= SIZE_LINE_MAX;
            // The first byte already tells a chunk from something else.
            let wrong = seen.first().is_some_and(|byte| !byte.is_ascii_hexdigit());
            return if too_long || wrong { Err(Refusal::bad("Bad Chunk Size")) } else { Ok(None) };
        };
        let line = seen.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Refusal::bad("Bare Line Feed"))?;
        let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        let (digits, extension) = line.split_at_checked(digits).ok_or(Refusal::bad("Bad Chunk Size"))?;
        let size = parse_size(digits).ok_or(Refusal::bad("Bad Chunk Size"))?;
        let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
        if !(extension.is_empty() || extension.starts_with(b";")) || !extension.iter().all(plain) {
            return Err(Refusal::bad("Bad Chunk Extension"));
        }
        self.extension_bytes += extension.len();
        if self.extension_bytes > EXTENSIONS_MAX {
            return Err(Refusal::bad("Too Many Chunk Extensions"));
        }
        buffer.advance(end + 1);
        Ok(Some(size))
    }
}

fn parse_size(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    i64::try_from(size).is_ok().then_some(size)
}

fn take_data(buffer: &mut BytesMut, left: &mut u64, piece_max: usize) -> Option<Bytes> {
    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len()).min(piece_max);
    *left -= u64::try_from(take).unwrap_or(u64::MAX);
    (take > 0).then(|| buffer.split_to(take).freeze())
}

/// Takes the CR LF behind a chunk; false when it is not all there.
fn take_line_end(buffer: &mut BytesMut) -> Result<bool, Refusal> {
    match (buffer.first(), buffer.get(1)) {
        (None, _) | (Some(b'\r'), None) => Ok(false),
        (Some(b'\r'), Some(b'\n')) => {
            buffer.advance(2);
            Ok(true)
        }
        _ => Err(Refusal::bad("Bad Chunk End")),
    }
}

fn checked_trailers(block: &Bytes, fields: usize) -> Result<Headers, Refusal> {
    let trailers = parse_trailers(block, fields)?;
    if trailers.iter().any(|(name, _)| is_forbidden_trailer(name)) {
        return Err(Refusal::bad("Forbidden Trailer"));
    }
    Ok(trailers)
}
