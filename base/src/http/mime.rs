//! Core: takes a multipart body apart while it comes: the fields of each part, its bytes in pieces, its end.
//!
//! Call [`MimeReader::feed`] with what came and [`MimeReader::event`] until it gives `None`; tell the end of the body with
//! [`MimeReader::end_of_input`].
//!
//! # Invariants
//!
//! - No part is collected: what is held back is a block of fields, or less than a delimiter.
//! - Every byte is looked at a bounded number of times, however the body is cut: a boundary holds no CR, so that behind a
//!   delimiter that did not come to its end nothing of it is searched again.
//! - A body without its closing delimiter, or with something else behind a delimiter, is malformed: it may have been cut.

use super::Headers;
use bytes::{Buf, Bytes, BytesMut};

/// Most bytes of the fields of one part.
const FIELDS_BYTES_MAX: usize = 16 * 1024;
/// Most fields of one part: browsers send three.
const FIELDS_MAX: usize = 64;
/// RFC 2046 allows 70; some libraries use more.
const BOUNDARY_MAX: usize = 200;

/// What comes out of a multipart body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    Part(Headers),
    /// Bytes of the part, at least one.
    Data(Bytes),
    /// The part is over.
    PartEnd,
    /// The body is over. What stands behind its last delimiter is nobody's.
    End,
}

/// Why a body is no multipart body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MimeError {
    /// It does not begin with the boundary.
    Start,
    /// The fields of a part are too long, too many, or none.
    Fields,
    /// Something else stands behind a delimiter, or the last one is missing.
    Delimiter,
}

/// Reads one body.
#[derive(Clone, Debug)]
pub struct MimeReader {
    /// `\r\n--boundary`
    delimiter: Vec<u8>,
    state: State,
    buffer: BytesMut,
    /// Bytes of the buffer that were searched for the end of the fields.
    searched: usize,
    has_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In front of the first boundary.
    Start,
    Fields,
    Data,
    /// Behind a delimiter: another part follows, or the end.
    Behind,
    End,
}

impl MimeReader {
    /// For the boundary as the content type names it; `None` for one that no body could have.
    pub fn new(boundary: &[u8]) -> Option<Self> {
        let is_possible = (1..=BOUNDARY_MAX).contains(&boundary.len());
        // CR within would spoil the search, see above.
        if !is_possible || boundary.iter().any(|byte| byte.is_ascii_control()) {
            return None;
        }
        let delimiter = [b"\r\n--", boundary].concat();
        Some(Self { delimiter, state: State::Start, buffer: BytesMut::new(), searched: 0, has_ended: false })
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.state != State::End {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The body has no more bytes.
    pub fn end_of_input(&mut self) {
        self.has_ended = true;
    }

    /// What comes next; `None`: more bytes are needed.
    pub fn event(&mut self) -> Result<Option<Event>, MimeError> {
        // Ends: each turn takes bytes from the buffer, or answers.
        loop {
            match self.state {
                State::Start => match self.take_start()? {
                    true => self.state = State::Fields,
                    false => return self.starving(MimeError::Start),
                },
                State::Fields => {
                    return match self.take_fields()? {
                        Some(fields) => {
                            self.state = State::Data;
                            Ok(Some(Event::Part(fields)))
                        }
                        None => self.starving(MimeError::Fields),
                    };
                }
                State::Data => return self.take_data(),
                State::Behind => match self.buffer.get(..2) {
                    Some(b"\r\n") => {
                        self.buffer.advance(2);
                        self.state = State::Fields;
                    }
                    Some(b"--") => {
                        self.buffer.clear();
                        self.state = State::End;
                    }
                    Some(_) => return Err(MimeError::Delimiter),
                    None => return self.starving(MimeError::Delimiter),
                },
                State::End => return Ok(Some(Event::End)),
            }
        }
    }

    fn starving(&self, error: MimeError) -> Result<Option<Event>, MimeError> {
        if self.has_ended { Err(error) } else { Ok(None) }
    }

    /// Empty lines, then the boundary on a line of its own.
    fn take_start(&mut self) -> Result<bool, MimeError> {
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
        }
        let boundary = self.delimiter.get(2..).unwrap_or_default();
        let line_end = |rest: &[u8]| match rest {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            _ => None,
        };
        match self.buffer.get(boundary.len()..) {
            Some(rest) if self.buffer.starts_with(boundary) => match line_end(rest) {
                Some(length) => {
                    let taken = boundary.len() + length;
                    self.buffer.advance(taken);
                    Ok(true)
                }
                None if matches!(rest, b"" | b"\r") => Ok(false),
                None => Err(MimeError::Start),
            },
            None if boundary.starts_with(&self.buffer) || self.buffer[..] == b"\r"[..] => Ok(false),
            _ => Err(MimeError::Start),
        }
    }

    fn take_fields(&mut self) -> Result<Option<Headers>, MimeError> {
        if self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
            return Ok(Some(Headers::new()));
        }
        let from = self.searched.saturating_sub(3);
        let found = self.buffer.get(from..).unwrap_or_default().windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let Some(at) = found.map(|at| from + at) else {
            self.searched = self.buffer.len();
            // Three bytes of the empty line may be there.
            return if self.searched > FIELDS_BYTES_MAX + 3 { Err(MimeError::Fields) } else { Ok(None) };
        };
        self.searched = 0;
        if at > FIELDS_BYTES_MAX {
            return Err(MimeError::Fields);
        }
        let block = self.buffer.split_to(at + 4).freeze();
        fields(block.get(..at).unwrap_or_default()).map(Some)
    }

    fn take_data(&mut self) -> Result<Option<Event>, MimeError> {
        let (clear, is_found) = search(&self.buffer, &self.delimiter);
        if clear > 0 {
            return Ok(Some(Event::Data(self.buffer.split_to(clear).freeze())));
        }
        if is_found {
            self.buffer.advance(self.delimiter.len());
            self.state = State::Behind;
            return Ok(Some(Event::PartEnd));
        }
        self.starving(MimeError::Delimiter)
    }
}

/// How many bytes stand in front of the delimiter, or of what may become one, and whether all of it is there.
fn search(bytes: &[u8], delimiter: &[u8]) -> (usize, bool) {
    let mut from = 0;
    // Ends: each turn goes behind another CR. What was compared holds no further CR, so that it is not compared again.
    while let Some(at) = bytes.get(from..).and_then(|rest| rest.iter().position(|&byte| byte == b'\r')) {
        let start = from + at;
        let candidate = bytes.get(start..).unwrap_or_default();
        if candidate.starts_with(delimiter) {
            return (start, true);
        }
        if delimiter.starts_with(candidate) {
            return (start, false);
        }
        from = start + 1;
    }
    (bytes.len(), false)
}

/// Lines of `name: value`; one that begins with a blank goes on with the value before it.
fn fields(block: &[u8]) -> Result<Headers, MimeError> {
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut rest = block;
    // Ends: each turn takes a line.
    while !rest.is_empty() {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n").unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.get(2..).unwrap_or_default();
        if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(MimeError::Fields);
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            let (_, value) = fields.last_mut().ok_or(MimeError::Fields)?;
            value.push(b' ');
            value.extend_from_slice(line.trim_ascii());
            continue;
        }
        let colon = line.iter().position(|&byte| byte == b':').filter(|&at| at > 0).ok_or(MimeError::Fields)?;
        let (name, value) = line.split_at(colon);
        fields.push((name.to_vec(), value.get(1..).unwrap_or_default().trim_ascii().to_vec()));
        if fields.len() > FIELDS_MAX {
            return Err(MimeError::Fields);
        }
    }
    let mut headers = Headers::with_capacity(fields.len());
    for (name, value) in fields {
        headers.append(name, value);
    }
    Ok(headers)
}

/// A value with parameters, such as `form-data; name="file1"; filename="a.txt"`: what stands in front of the first semicolon, and
/// the parameters as far as they can be read. Swift's reading: quotes go, nothing is unescaped.
pub fn parameters(value: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((first, rest)) = value.split_once(';') else { return (value, Vec::new()) };
    let (mut rest, mut found) = (rest.trim(), Vec::new());
    // Ends: each turn takes a parameter; a quoted one that does not end is the last.
    while let Some((name, behind)) = rest.split_once('=') {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_word) {
            break;
        }
        let Some(length) = value_length(behind) else { break };
        let (value, behind) = behind.split_at(length);
        found.push((name, value.trim_matches('"')));
        let Some(behind) = behind.strip_prefix(';') else { break };
        rest = behind.strip_prefix(' ').unwrap_or(behind);
    }
    (first.trim(), found)
}

/// Up to the semicolon; one between quotes does not count, and a quote ends only in front of a semicolon or the end.
fn value_length(text: &str) -> Option<usize> {
    if text.starts_with('"') {
        let bytes = text.as_bytes();
        let closes = |at: usize| bytes.get(at) == Some(&b'"') && matches!(bytes.get(at + 1), None | Some(b';'));
        return (1..bytes.len()).find(|&at| closes(at)).map(|at| at + 1);
    }
    let end = text.find([';', '"']).unwrap_or(text.len());
    (end > 0 && text.as_bytes().get(end) != Some(&b'"')).then_some(end)
}

#[cfg(test)]
mod tests;
