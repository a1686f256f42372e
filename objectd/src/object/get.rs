//! GET and HEAD of one object (specs: object server §5).
//!
//! Small objects are read and verified before the head is written and leave in one piece with it. Larger ones stream in pieces of
//! 64 KiB with one read ahead; a whole read is verified on the way, and its last piece is held back until the MD5 fits, so that bytes
//! that are not what was stored end as a body that is too short.

use super::{Target, headers, is_expired};
use crate::reply;
use crate::store::diskfile::{self, Body, DiskFile, Object, Stored, Want};
use base::checksum::{Md5Hasher, hex, md5_hex};
use base::conditional::{self, Verdict};
use base::http::server::{BodySource, LocalFuture, Response, ResponseBody};
use base::http::{Headers, Method, RequestHead, ResponseHead, Status, date, multipart};
use base::io::{self, JoinHandle};
use base::limits::BODY_CHUNK;
use base::range::{self, Resolved};
use base::scratch;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::rc::Rc;

/// Space for the fields of an answer: those of nearly all objects fit.
const FIELDS_SPACE: usize = 24;

pub(super) async fn get(target: Target, head: &RequestHead) -> Result<Response, Response> {
    let disk_file = target.disk_file().await?;
    let want = if head.method == Method::Head { Want::Metadata } else { Want::Bytes };
    let object = match target.open(&disk_file, want).await? {
        // What is lost was not deleted: without a time the proxy believes who has it.
        Stored::Nothing | Stored::Lost(_) => return Err(missing(&head.headers, None)),
        Stored::Object(object) if object.lost_post.is_some() => return Err(missing(&head.headers, None)),
        Stored::Deleted(deleted) => return Err(missing(&head.headers, Some(deleted.internal()))),
        Stored::Object(object) if is_expired(&object, &head.headers, true) => {
            return Err(missing(&head.headers, Some(object.timestamp.internal())));
        }
        Stored::Object(object) => object,
    };
    let size = object.body.len();
    let mut answer = ResponseHead { status: Status(200), headers: Headers::with_capacity(FIELDS_SPACE) };
    describe(&mut answer.headers, &object);

    let etag = conditional_etag(&object, &head.headers);
    let verdict = conditional::evaluate(&head.headers, Some(&etag), Some(object.timestamp.ceil_seconds()));
    if verdict != Verdict::Proceed {
        answer.status = Status(if verdict == Verdict::NotModified { 304 } else { 412 });
        return Ok(respond(answer, ResponseBody::Empty));
    }
    if head.method == Method::Head {
        answer.headers.set("Content-Length", size.to_string());
        return Ok(respond(answer, ResponseBody::Empty));
    }
    let asked = head.headers.get("Range").filter(|_| !ignores_range(&object, &head.headers));
    match range::resolve(asked.map(|value| value.as_ref()), size) {
        Resolved::Whole => whole(&target, disk_file, *object, answer).await,
        Resolved::Unsatisfiable => {
            let mut refused = reply::status(416);
            answer.status = Status(416);
            answer.headers.set("Content-Range", format!("bytes */{size}"));
            refused.head = answer;
            Ok(refused)
        }
        Resolved::Ranges(ranges) => Ok(some(disk_file, *object, answer, &ranges)),
    }
}

fn respond(head: ResponseHead, body: ResponseBody) -> Response {
    let mut response = Response::empty(head.status);
    response.head = head;
    response.body = body;
    response
}

/// 404; a client that insists on an existing object is told 412.
fn missing(headers: &Headers, timestamp: Option<String>) -> Response {
    let insists =
        headers.get_all("If-Match").any(|value| value.split(|byte| *byte == b',').any(|tag| tag.trim_ascii() == b"*"));
    let answer = if insists { reply::empty(Status(412)) } else { reply::status(404) };
    match timestamp {
        Some(timestamp) => answer.header("X-Backend-Timestamp", timestamp),
        None => answer,
    }
}

fn describe(headers: &mut Headers, object: &Object) {
    // Nothing that is shown of the metadata has one of the names written here.
    headers.append("Content-Type", object.content_type());
    for (name, value) in object.metadata.iter().filter(|(name, _)| headers::is_shown(name)) {
        headers.append(name.clone(), value.clone());
    }
    headers.append("Etag", scratch::joined(&[b"\"", object.etag().as_bytes(), b"\""]));
    headers.append("Last-Modified", date::field(object.timestamp.ceil_seconds()));
    headers.append("X-Timestamp", object.timestamp.normal_field());
    let data_time = object.data_timestamp.internal_field();
    let is_posted = object.timestamp != object.data_timestamp;
    let time = if is_posted { object.timestamp.internal_field() } else { data_time.clone() };
    headers.append("X-Backend-Timestamp", time);
    headers.append("X-Backend-Data-Timestamp", data_time.clone());
    headers.append("X-Backend-Durable-Timestamp", data_time);
}

/// The ETag that conditions mean: a manifest's or an encrypted object's stands in its metadata.
fn conditional_etag<'a>(object: &'a Object, headers: &Headers) -> Cow<'a, str> {
    let names = headers.get("X-Backend-Etag-Is-At").cloned().unwrap_or_default();
    let found = names.split(|byte| *byte == b',').find_map(|name| object.metadata.get_any_case(name.trim_ascii()));
    match found {
        Some(value) => String::from_utf8_lossy(value),
        None => object.etag().into(),
    }
}

fn ignores_range(object: &Object, headers: &Headers) -> bool {
    let names = headers.get("X-Backend-Ignore-Range-If-Metadata-Present").cloned().unwrap_or_default();
    names.split(|byte| *byte == b',').any(|name| object.metadata.get_any_case(name.trim_ascii()).is_some())
}

async fn whole(target: &Target, disk_file: DiskFile, object: Object, head: ResponseHead) -> Result<Response, Response> {
    let size = object.body.len();
    if size > BODY_CHUNK as u64 {
        let etag = object.etag().to_owned();
        let verify = (!object.body.verifies()).then(|| Verify { md5: Md5Hasher::new(), etag });
        let source = Source::new(disk_file, object.body, VecDeque::from([Part::Bytes { from: 0, to: size }]));
        let source = Source { verify, ..source };
        return Ok(respond(head, ResponseBody::Stream { length: Some(size), source: Box::new(source) }));
    }
    let length = usize::try_from(size).unwrap_or(BODY_CHUNK);
    let bytes = match length {
        0 => Ok(Bytes::new()),
        _ => object.body.read(0, length).await,
    };
    let bytes = bytes.and_then(|bytes| match object.body.verifies() || md5_hex(&bytes) == object.etag() {
        true => Ok(bytes),
        false => Err(damaged()),
    });
    match bytes {
        Ok(bytes) => Ok(respond(head, ResponseBody::Full(bytes))),
        Err(error) if is_damage(&error) => {
            disk_file.quarantine(&object.body, &error.to_string()).await;
            Err(reply::status(404))
        }
        Err(error) => Err(target.failed(&error)),
    }
}

fn some(disk_file: DiskFile, object: Object, mut head: ResponseHead, ranges: &[(u64, u64)]) -> Response {
    let size = object.body.len();
    head.status = Status(206);
    let mut parts = VecDeque::new();
    let length = if let [(first, last)] = ranges {
        head.headers.set("Content-Range", format!("bytes {first}-{last}/{size}"));
        parts.push_back(Part::Bytes { from: *first, to: last + 1 });
        last + 1 - first
    } else {
        let boundary = hex(&[io::random_u64().to_be_bytes(), io::random_u64().to_be_bytes()].concat());
        let content_type = String::from_utf8_lossy(&object.content_type()).into_owned();
        head.headers.set("Content-Type", format!("multipart/byteranges;boundary={boundary}"));
        for (first, last) in ranges {
            parts.push_back(Part::Text(multipart::part_head(&boundary, &content_type, *first, *last, size).into()));
            parts.push_back(Part::Bytes { from: *first, to: last + 1 });
            parts.push_back(Part::Text(Bytes::from_static(b"\r\n")));
        }
        parts.push_back(Part::Text(multipart::tail(&boundary).into()));
        multipart::body_length(&boundary, &content_type, ranges, size)
    };
    let source = Source::new(disk_file, object.body, parts);
    respond(head, ResponseBody::Stream { length: Some(length), source: Box::new(source) })
}

/// What a body is made of.
enum Part {
    Text(Bytes),
    Bytes { from: u64, to: u64 },
}

/// Streams an object, one piece ahead.
struct Source {
    disk_file: DiskFile,
    body: Rc<Body>,
    parts: VecDeque<Part>,
    ahead: Option<JoinHandle<std::io::Result<Bytes>>>,
    verify: Option<Verify>,
}

/// What a whole read is compared with at its end.
struct Verify {
    md5: Md5Hasher,
    etag: String,
}

impl Source {
    fn new(disk_file: DiskFile, body: Body, parts: VecDeque<Part>) -> Self {
        Self { disk_file, body: Rc::new(body), parts, ahead: None, verify: None }
    }

    /// Starts the next piece: text is ready, bytes are read by a task of their own.
    fn start(&mut self) -> Option<Started> {
        match self.parts.pop_front()? {
            Part::Text(text) => Some(Started::Ready(text)),
            Part::Bytes { from, to } if from >= to => self.start(),
            Part::Bytes { from, to } => {
                // Behind an odd start pieces are whole blocks, each verified once.
                let end = to.min((from / BODY_CHUNK as u64 + 1) * BODY_CHUNK as u64);
                if end < to {
                    self.parts.push_front(Part::Bytes { from: end, to });
                }
                let length = usize::try_from(end - from).unwrap_or(BODY_CHUNK);
                let body = self.body.clone();
                Some(Started::Reading(io::spawn(async move { body.read(from, length).await })))
            }
        }
    }

    async fn piece(&mut self) -> Option<std::io::Result<Bytes>> {
        let started = match self.ahead.take() {
            Some(reading) => Started::Reading(reading),
            None => self.start()?,
        };
        // The next read runs while this piece is on its way to the client.
        if matches!(self.parts.front(), Some(Part::Bytes { .. }))
            && let Some(Started::Reading(reading)) = self.start()
        {
            self.ahead = Some(reading);
        }
        let bytes = match started {
            Started::Ready(text) => return Some(Ok(text)),
            Started::Reading(reading) => reading.await.unwrap_or_else(|| Err(Error::other("the read was cut off"))),
        };
        Some(self.judge(bytes).await)
    }

    /// Quarantines an object whose bytes cannot be what was stored.
    async fn judge(&mut self, bytes: std::io::Result<Bytes>) -> std::io::Result<Bytes> {
        let is_last = self.parts.is_empty() && self.ahead.is_none();
        let bytes = bytes.and_then(|bytes| {
            let Some(verify) = &mut self.verify else { return Ok(bytes) };
            verify.md5.update(&bytes);
            let is_wrong = is_last && verify.md5.clone().finish_hex() != verify.etag;
            if is_wrong { Err(damaged()) } else { Ok(bytes) }
        });
        if let Err(error) = &bytes
            && is_damage(error)
        {
            self.disk_file.quarantine(&self.body, &error.to_string()).await;
        }
        bytes
    }
}

/// Whether the bytes are not what was stored or cannot be read any more, rather than not to be had now.
fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) || diskfile::is_unreadable(error)
}

fn damaged() -> Error {
    Error::new(ErrorKind::InvalidData, "the stored bytes do not fit the ETag")
}

enum Started {
    Ready(Bytes),
    Reading(JoinHandle<std::io::Result<Bytes>>),
}

impl BodySource for Source {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        Box::pin(self.piece())
    }
}
