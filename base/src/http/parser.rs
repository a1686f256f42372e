//! Core: heads. Finds where one ends, refuses what could be read in two ways, and cuts it into fields without copying.
//!
//! A head passes two stages. [`HeadScanner`] looks at each byte once, however the bytes trickle in, finds the empty line and
//! enforces the limits as soon as they are passed. Only a complete block reaches [`parse_request`] or [`parse_response`], which
//! give slices of that block: a field kept for long keeps the block's memory.
//!
//! # Invariants
//!
//! - A line ends with CR LF; no CR, LF or NUL stands anywhere else.
//! - Fields are `token ":" value` with nothing before the colon; no line continues another.

use super::{Headers, Method, RequestHead, ResponseHead, Status};
use bytes::Bytes;
use memchr::memchr;

/// Fields that middleware adds to a head.
const FIELDS_SPARE: usize = 6;

/// How large a head may be; line ends count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the first line (414 beyond).
    pub first_line: usize,
    /// Bytes of a header line (400 beyond).
    pub line: usize,
    /// Bytes of all header lines (400 beyond).
    pub block: usize,
    /// Header lines (431 beyond).
    pub fields: usize,
}

/// Why a message is not accepted. After it the connection is closed: what follows has no certain meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What a server answers.
    pub status: Status,
    /// One phrase for people.
    pub reason: &'static str,
}

impl Refusal {
    /// 400.
    pub const fn bad(reason: &'static str) -> Self {
        Self { status: Status(400), reason }
    }
}

/// The protocol's version; no other is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Closes by default, knows no chunks.
    Http10,
    /// Keeps alive by default.
    Http11,
}

/// Where the end of a head was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bytes up to and with the empty line.
    pub length: usize,
    /// Header lines.
    pub fields: usize,
}

/// Remembers how far an incomplete head was looked at.
#[derive(Clone, Debug)]
pub struct HeadScanner {
    limits: HeadLimits,
    line_start: usize,
    scanned: usize,
    lines: usize,
    /// Length of the first line, 0 for trailers, which have none.
    first_line: usize,
    has_first_line: bool,
}

impl HeadScanner {
    /// For a head with a request or status line.
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits, line_start: 0, scanned: 0, lines: 0, first_line: 0, has_first_line: true }
    }

    /// For the fields behind the last chunk.
    pub fn for_trailers(limits: HeadLimits) -> Self {
        Self { has_first_line: false, ..Self::new(limits) }
    }

    /// Looks at what is new in `bytes`, which begin where they did in the last call. `None`: more is needed.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<Block>, Refusal> {
        while let Some(found) = bytes.get(self.scanned..).and_then(|new| memchr(b'\n', new)) {
            let line_end = self.scanned + found + 1;
            let line = bytes.get(self.line_start..line_end).unwrap_or_default();
            let length = line.len();
            self.check_line(length)?;
            let Some(line) = line.strip_suffix(b"\r\n") else {
                return Err(Refusal::bad("Bare Line Feed"));
            };
            let is_end = line.is_empty();
            (self.line_start, self.scanned) = (line_end, line_end);
            if self.has_first_line && self.first_line == 0 {
                self.first_line = length;
            } else if !is_end {
                self.lines += 1;
            }
            // Before the end counts as one, so that a head passes or not however its bytes arrive.
            self.check_block(line_end)?;
            if is_end {
                return Ok(Some(Block { length: line_end, fields: self.lines }));
            }
        }
        self.scanned = bytes.len();
        self.check_line(bytes.len() - self.line_start)?;
        self.check_block(bytes.len())?;
        Ok(None)
    }

    fn check_line(&self, length: usize) -> Result<(), Refusal> {
        let is_first = self.has_first_line && self.first_line == 0;
        if is_first && length > self.limits.first_line {
            return Err(Refusal { status: Status(414), reason: "Request URI Too Long" });
        }
        if !is_first && length > self.limits.line {
            return Err(Refusal::bad("Header Line Too Long"));
        }
        Ok(())
    }

    fn check_block(&self, length: usize) -> Result<(), Refusal> {
        let is_first = self.has_first_line && self.first_line == 0;
        if !is_first && length.saturating_sub(self.first_line) > self.limits.block {
            return Err(Refusal::bad("Headers Too Large"));
        }
        if self.lines > self.limits.fields {
            return Err(Refusal { status: Status(431), reason: "Too Many Headers" });
        }
        Ok(())
    }
}

/// Cuts a complete request head.
pub fn parse_request(block: &Bytes, fields: usize) -> Result<(RequestHead, Version), Refusal> {
    let (line, rest) = split_line(block)?;
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::bad("Bad Request Line"));
    };
    if method.is_empty() || !method.iter().all(|&byte| is_token(byte)) {
        return Err(Refusal::bad("Bad Method"));
    }
    if target.is_empty() || !target.iter().all(|&byte| byte > b' ' && byte != 0x7f) {
        return Err(Refusal::bad("Bad Request Target"));
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Refusal { status: Status(505), reason: "HTTP Version Not Supported" });
        }
        _ => return Err(Refusal::bad("Bad HTTP Version")),
    };
    let Some(method) = Method::parse(method) else {
        return Err(Refusal { status: Status(405), reason: "Method Not Allowed" });
    };
    let mut headers = parse_fields(block, rest, fields)?;
    let target = resolve_target(method, block, target, &mut headers)?;
    Ok((RequestHead { method, target, headers }, version))
}

/// Cuts a complete response head.
pub fn parse_response(block: &Bytes, fields: usize) -> Result<(ResponseHead, Version), Refusal> {
    let (line, rest) = split_line(block)?;
    let (version, line) = line.split_at_checked(8).ok_or(Refusal::bad("Bad Status Line"))?;
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(Refusal::bad("Bad HTTP Version")),
    };
    let (code, reason) = line.split_at_checked(4).ok_or(Refusal::bad("Bad Status Line"))?;
    let [b' ', hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = *code else {
        return Err(Refusal::bad("Bad Status Line"));
    };
    if !(reason.is_empty() || reason.starts_with(b" ")) || reason.iter().any(|&byte| byte == b'\r' || byte == 0) {
        return Err(Refusal::bad("Bad Status Line"));
    }
    let digit = |byte: u8| u16::from(byte - b'0');
    let status = Status(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones));
    Ok((ResponseHead { status, headers: parse_fields(block, rest, fields)? }, version))
}

/// Cuts the fields behind a last chunk; `block` ends with the empty line.
pub fn parse_trailers(block: &Bytes, fields: usize) -> Result<Headers, Refusal> {
    parse_fields(block, block, fields)
}

fn split_line(block: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let end = memchr(b'\n', block).ok_or(Refusal::bad("Bad Request Line"))?;
    let (line, rest) = block.split_at_checked(end + 1).ok_or(Refusal::bad("Bad Request Line"))?;
    Ok((line.strip_suffix(b"\r\n").ok_or(Refusal::bad("Bare Line Feed"))?, rest))
}

fn parse_fields(block: &Bytes, lines: &[u8], count: usize) -> Result<Headers, Refusal> {
    // Most heads fit the array; the scanner counted the lines, so the other is exact and bounded.
    let mut few = [httparse::EMPTY_HEADER; 32];
    let mut many = Vec::new();
    let space = if count <= few.len() {
        few.as_mut_slice()
    } else {
        many.resize(count, httparse::EMPTY_HEADER);
        many.as_mut_slice()
    };
    let Ok(httparse::Status::Complete((used, parsed))) = httparse::parse_headers(lines, space) else {
        return Err(Refusal::bad("Bad Header Line"));
    };
    if used != lines.len() {
        return Err(Refusal::bad("Bad Header Line"));
    }
    // With room for what is added on the way.
    let mut headers = Headers::with_capacity(parsed.len() + FIELDS_SPARE);
    for field in parsed {
        headers.append(block.slice_ref(field.name.as_bytes()), block.slice_ref(field.value));
    }
    Ok(headers)
}

/// The origin form of a target. The authority of an absolute one replaces the `Host` field (RFC 9112 §3.2.2).
fn resolve_target(method: Method, block: &Bytes, target: &[u8], headers: &mut Headers) -> Result<Bytes, Refusal> {
    if target.starts_with(b"/") || (method == Method::Options && target == b"*") {
        return Ok(block.slice_ref(target));
    }
    let rest = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let Some(rest) = rest else {
        return Err(Refusal::bad("Bad Request Target"));
    };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Refusal::bad("Bad Request Target"))?;
    if authority.is_empty() || !is_host(authority) {
        return Err(Refusal::bad("Bad Request Target"));
    }
    // Two Host fields stay two, so that framing refuses them.
    if headers.get_all("Host").count() <= 1 {
        headers.set("Host", block.slice_ref(authority));
    }
    match path.first() {
        None => Ok(Bytes::from_static(b"/")),
        Some(b'/') => Ok(block.slice_ref(path)),
        Some(b'?') => Ok([b"/", path].concat().into()),
        Some(_) => Err(Refusal::bad("Bad Request Target")),
    }
}

/// A host with an optional port: no user, no path, no blanks.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte))
}

/// The value of a `Host` field. Letters beyond ASCII in UTF-8 pass, as they do in Swift: with domain_remap a host names a
/// container, and clients send its name as it is.
pub fn is_host_field(value: &[u8]) -> bool {
    is_host(value) || std::str::from_utf8(value).is_ok_and(|text| text.chars().all(is_host_letter))
}

fn is_host_letter(letter: char) -> bool {
    if letter.is_ascii() { is_host(&[letter as u8]) } else { !letter.is_control() && !letter.is_whitespace() }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
