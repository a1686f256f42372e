//! Core: heads and chunk frames as bytes.
//!
//! # Invariants
//!
//! - A line end is written only where a line ends: CR, LF and NUL inside names and values become blanks.
//! - The fields that frame a message are ours: those a caller put into the head are left out.

use super::framing::BodyFraming;
use super::{HeadParts, Headers, ResponseHead, Status};
use crate::digits;
use bytes::{BufMut, Bytes, BytesMut};

/// What is sent when a body is first asked for.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// The same with a field.
pub fn continue_with(name: &str, value: &str) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(b"HTTP/1.1 100 Continue\r\n");
    field(&mut out, name.as_bytes(), value.as_bytes());
    out.put_slice(b"\r\n");
    out.freeze()
}
/// What ends a chunked body with trailers.
pub fn last_chunk(trailers: &Headers) -> Bytes {
    let mut out = BytesMut::with_capacity(estimate(trailers) + 5);
    out.put_slice(b"0\r\n");
    for (name, value) in trailers.iter() {
        field(&mut out, name, value);
    }
    out.put_slice(b"\r\n");
    out.freeze()
}
/// What ends a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";
/// What ends a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What a response says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// HTTP/1.1 that goes on: nothing.
    Implied,
    /// HTTP/1.0 that goes on because the client asked for it.
    KeepAlive,
    /// The last response.
    Close,
}

/// Writes a response's head. `date` is the value of `Date`.
pub fn response_head(
    out: &mut BytesMut,
    head: &ResponseHead,
    framing: BodyFraming,
    persistence: Persistence,
    date: &[u8],
) {
    out.reserve(estimate(&head.headers) + 128);
    status_line(out, head.status);
    for (name, value) in head.headers.iter() {
        if !(is_framing(name) || name.eq_ignore_ascii_case(b"date")) {
            field(out, name, value);
        }
    }
    framing_field(out, framing);
    field(out, b"Date", date);
    match persistence {
        Persistence::Implied => {}
        Persistence::KeepAlive => field(out, b"Connection", b"keep-alive"),
        Persistence::Close => field(out, b"Connection", b"close"),
    }
    out.put_slice(b"\r\n");
}

/// Writes a request's head; `host` is added when there is no `Host`.
pub fn request_head(out: &mut BytesMut, head: HeadParts<'_>, host: &[u8], framing: BodyFraming, keep_alive: bool) {
    out.reserve(estimate(head.headers) + head.target.len() + 160);
    out.put_slice(head.method.as_str().as_bytes());
    out.put_u8(b' ');
    target(out, head.target);
    out.put_slice(b" HTTP/1.1\r\n");
    if !head.headers.contains("Host") {
        field(out, b"Host", host);
    }
    for (name, value) in head.headers.iter() {
        if !is_framing(name) {
            field(out, name, value);
        }
    }
    framing_field(out, framing);
    if !keep_alive {
        field(out, b"Connection", b"close");
    }
    out.put_slice(b"\r\n");
}

/// The line before a chunk's data.
pub fn chunk_head(length: usize) -> Bytes {
    Bytes::from(format!("{length:x}\r\n"))
}

fn status_line(out: &mut BytesMut, status: Status) {
    out.put_slice(b"HTTP/1.1 ");
    out.extend(digits::all(status.0.into()));
    out.put_u8(b' ');
    out.put_slice(status.reason().as_bytes());
    out.put_slice(b"\r\n");
}

fn framing_field(out: &mut BytesMut, framing: BodyFraming) {
    match framing {
        BodyFraming::Length(length) => {
            out.put_slice(b"Content-Length: ");
            out.extend(digits::all(length));
            out.put_slice(b"\r\n");
        }
        BodyFraming::Chunked => field(out, b"Transfer-Encoding", b"chunked"),
        BodyFraming::None | BodyFraming::UntilClose => {}
    }
}

fn is_framing(name: &[u8]) -> bool {
    match name.len() {
        10 => name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"keep-alive"),
        14 => name.eq_ignore_ascii_case(b"content-length"),
        17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
        _ => false,
    }
}

fn estimate(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
}

fn field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    plain(out, name);
    out.put_slice(b": ");
    plain(out, value);
    out.put_slice(b"\r\n");
}

fn plain(out: &mut BytesMut, bytes: &[u8]) {
    // All of them are looked at, whatever is found: so the compiler can take many at once.
    if bytes.iter().fold(false, |found, byte| found | matches!(byte, b'\r' | b'\n' | 0)) {
        out.extend(bytes.iter().map(|&byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }));
    } else {
        out.put_slice(bytes);
    }
}

/// A target with anything that would end it percent-encoded.
fn target(out: &mut BytesMut, bytes: &[u8]) {
    if bytes.iter().fold(true, |plain, &byte| plain & (byte > b' ') & (byte != 0x7f)) {
        return out.put_slice(bytes);
    }
    for &byte in bytes {
        if byte <= b' ' || byte == 0x7f {
            out.put_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.put_u8(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Method, RequestHead};

    #[test]
    fn a_response_head_is_framed_by_us() {
        let mut head = ResponseHead::new(Status(200));
        for (name, value) in
            [("X-A", "1"), ("content-length", "7"), ("Connection", "upgrade"), ("Date", "x"), ("Etag", "\"e\"")]
        {
            head.headers.append(name, value);
        }
        let mut out = BytesMut::new();
        response_head(&mut out, &head, BodyFraming::Length(18_446_744_073_709_551_615), Persistence::Close, b"D");
        assert_eq!(
            out.as_ref(),
            b"HTTP/1.1 200 OK\r\nX-A: 1\r\nEtag: \"e\"\r\nContent-Length: 18446744073709551615\r\nDate: D\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_request_head_cannot_be_split() {
        let mut out = BytesMut::new();
        let mut head = RequestHead::new(Method::Put, &b"/a b\r\nX"[..]);
        head.headers.append("X-B", "");
        request_head(&mut out, (&head).into(), b"127.0.0.1:80", BodyFraming::Chunked, true);
        assert_eq!(
            out.as_ref(),
            b"PUT /a%20b%0D%0AX HTTP/1.1\r\nHost: 127.0.0.1:80\r\nX-B: \r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let mut value = BytesMut::new();
        field(&mut value, b"X", b"a\r\nb\0c");
        assert_eq!(value.as_ref(), b"X: a  b c\r\n");
    }

    #[test]
    fn numbers_are_written_in_full() {
        for value in [0, 9, 10, 200, u64::MAX] {
            let mut out = BytesMut::new();
            out.extend(digits::all(value));
            assert_eq!(out.as_ref(), value.to_string().as_bytes());
        }
    }
}
