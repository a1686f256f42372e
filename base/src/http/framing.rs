//! Core: where a body ends, and whether the connection lives on. Every rule that request smuggling plays with is here.
//!
//! # Invariants
//!
//! - A message has at most one field that says its length; two, even equal ones, are refused.
//! - `Transfer-Encoding` is exactly `chunked`, once, on HTTP/1.1, and never beside `Content-Length`.

use super::parser::{Refusal, Version, is_host_field};
use super::{Headers, Method, RequestHead, ResponseHead, Status};

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body and nothing said so (requests), or nothing could follow (responses).
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection (responses only).
    UntilClose,
}

/// What the fields of a request mean for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFraming {
    /// Where its body ends.
    pub body: BodyFraming,
    /// Whether the client wants another exchange.
    pub keep_alive: bool,
    /// Whether it said so, and looks for an answer to that.
    pub keep_alive_asked: bool,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
}

/// Reads the framing of a request.
pub fn request(head: &RequestHead, version: Version) -> Result<RequestFraming, Refusal> {
    let mut fields = Framed::default();
    let mut hosts = 0;
    let mut expects_continue = false;
    for (name, value) in head.headers.iter() {
        // Lengths first: most fields are none of these, and comparing lengths is one instruction.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                hosts += 1;
                if hosts > 1 || !is_host_field(value) {
                    return Err(Refusal::bad("Bad Host"));
                }
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                expects_continue |= value.eq_ignore_ascii_case(b"100-continue")
            }
            _ => fields.take(name, value, version)?,
        }
    }
    Ok(RequestFraming {
        body: fields.body()?.unwrap_or(BodyFraming::None),
        keep_alive: fields.keep_alive(version),
        keep_alive_asked: fields.keep,
        expects_continue: expects_continue && version == Version::Http11,
    })
}

/// Reads the framing of the response to a request with `method`, and whether the server keeps the connection.
pub fn response(head: &ResponseHead, version: Version, method: Method) -> Result<(BodyFraming, bool), Refusal> {
    let mut fields = Framed::default();
    for (name, value) in head.headers.iter() {
        fields.take(name, value, version)?;
    }
    let keep_alive = fields.keep_alive(version);
    let announced = fields.body()?;
    if method == Method::Head || forbids_body(head.status) {
        return Ok((BodyFraming::None, keep_alive));
    }
    let body = announced.unwrap_or(BodyFraming::UntilClose);
    Ok((body, keep_alive && body != BodyFraming::UntilClose))
}

/// 1xx, 204 and 304 end with their head.
pub fn forbids_body(status: Status) -> bool {
    status.0 / 100 == 1 || status.0 == 204 || status.0 == 304
}

/// Digits only, at most 2^63 - 1.
pub fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (i64::try_from(length).is_ok()).then_some(length)
}

/// Names that may not come in a trailer: they would change what was decided from the head.
pub fn is_forbidden_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: [&[u8]; 9] = [
        b"content-length",
        b"transfer-encoding",
        b"host",
        b"connection",
        b"trailer",
        b"te",
        b"expect",
        b"content-range",
        b"authorization",
    ];
    FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

/// Chunks of a compressed body: there is one way to read it, and nobody here can.
fn is_compressed(value: &[u8]) -> bool {
    let value = value.to_ascii_lowercase();
    let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).rev();
    codings.next() == Some(b"chunked")
        && codings.next().is_some_and(|coding| matches!(coding, b"gzip" | b"x-gzip" | b"deflate" | b"compress"))
        && codings.next().is_none()
}

/// The framing fields met so far.
#[derive(Default)]
struct Framed {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep: bool,
}

impl Framed {
    fn take(&mut self, name: &[u8], value: &[u8], version: Version) -> Result<(), Refusal> {
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for token in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = parse_length(value).ok_or(Refusal::bad("Bad Content-Length"))?;
                if self.length.replace(length).is_some() {
                    return Err(Refusal::bad("Duplicate Content-Length"));
                }
            }
            // Some readers take an underscore for a hyphen; nobody sends this for an honest reason.
            14 if name.eq_ignore_ascii_case(b"content_length") => return Err(Refusal::bad("Bad Content-Length")),
            17 if name.eq_ignore_ascii_case(b"transfer_encoding") => return Err(Refusal::bad("Bad Transfer-Encoding")),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let valid = value.eq_ignore_ascii_case(b"chunked") && version == Version::Http11 && !self.chunked;
                if !valid {
                    return Err(if is_compressed(value) && version == Version::Http11 && !self.chunked {
                        Refusal { status: Status(501), reason: "Unsupported Transfer-Encoding" }
                    } else {
                        Refusal::bad("Bad Transfer-Encoding")
                    });
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn body(&self) -> Result<Option<BodyFraming>, Refusal> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Refusal::bad("Content-Length with Transfer-Encoding")),
            (Some(length), false) => Ok(Some(BodyFraming::Length(length))),
            (None, true) => Ok(Some(BodyFraming::Chunked)),
            (None, false) => Ok(None),
        }
    }

    fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep)
    }
}

/// How the body of a response goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponsePlan {
    /// What the head says; `None`: neither field.
    pub framing: BodyFraming,
    /// Whether body bytes follow.
    pub sends_body: bool,
    /// Whether the connection lives on.
    pub keep_alive: bool,
}

/// Decides how to answer. `length` is the body's, `None` when it is a stream of unknown length; `headers` may hold the
/// `Content-Length` that the answer to HEAD shall show.
pub fn plan_response(
    method: Method,
    version: Version,
    status: Status,
    headers: &Headers,
    length: Option<u64>,
    keep_alive: bool,
) -> ResponsePlan {
    if status.0 == 204 && headers.get("Content-Length").is_some_and(|value| &value[..] == b"0") {
        // Where Swift's servers say it, its clients look for it.
        return ResponsePlan { framing: BodyFraming::Length(0), sends_body: false, keep_alive };
    }
    if forbids_body(status) {
        return ResponsePlan { framing: BodyFraming::None, sends_body: false, keep_alive };
    }
    let sends_body = method != Method::Head;
    let own = headers.get("Content-Length").filter(|_| !sends_body).and_then(|value| parse_length(value));
    match (own.or(length), version) {
        (Some(length), _) => ResponsePlan { framing: BodyFraming::Length(length), sends_body, keep_alive },
        (None, Version::Http11) => ResponsePlan { framing: BodyFraming::Chunked, sends_body, keep_alive },
        (None, Version::Http10) => ResponsePlan { framing: BodyFraming::UntilClose, sends_body, keep_alive: false },
    }
}
