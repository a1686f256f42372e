//! GET and HEAD of what may be a manifest: the whole it stands for, one part of it, or the manifest itself.

use super::segments::{Opened, Piece, Segments};
use super::stored::{self, Segment};
use super::{MARK, STORED_ETAG, STORED_MAX, STORED_SIZE, is_manifest};
use crate::middleware::listing_formats::collect;
use crate::middleware::segment_rate::Limits;
use crate::pipeline::Application;
use crate::request::{ClientRequest, Parent, add_name};
use crate::respond;
use base::checksum::{hex, md5_hex};
use base::conditional::{Verdict, evaluate};
use base::http::server::{Response, ResponseBody};
use base::http::{Headers, Method, Status, date, multipart};
use base::io::{self, Job};
use base::quote::Query;
use base::range::{Resolved, resolve};
use bytes::Bytes;
use std::rc::Rc;

type Refused<T> = Result<T, Box<Response>>;

/// Reads the object. What most requests need is kept apart from what manifests do, so that their future is small.
pub(super) fn read(next: Rc<dyn Application>, request: ClientRequest, limits: Limits) -> Job<Response> {
    if request.query.get("multipart-manifest") == Some(b"get") {
        return Job::new(async move { shown(&next, request).await });
    }
    Job::new(plain(next, request, limits))
}

async fn plain(next: Rc<dyn Application>, mut request: ClientRequest, limits: Limits) -> Response {
    let caller = Caller::of(&mut request);
    add_name(&mut request.headers, ETAG_IS_AT, STORED_ETAG);
    // A range is about the whole.
    add_name(&mut request.headers, IGNORE_RANGE, MARK);
    let response = next.call(request).await;
    if !is_manifest(&response.head.headers) {
        return response;
    }
    Box::pin(joined(next, caller, response, limits)).await.unwrap_or_else(|refused| *refused)
}

/// The manifest, as stored or (`format=raw`) as it could be sent again.
async fn shown(next: &Rc<dyn Application>, mut request: ClientRequest) -> Response {
    let is_raw = request.query.get("format") == Some(b"raw");
    let is_get = request.method == Method::Get;
    if is_raw && is_get {
        add_name(&mut request.headers, IGNORE_RANGE, MARK);
    }
    let mut response = next.call(request).await;
    if !is_manifest(&response.head.headers) {
        return response;
    }
    if !is_raw {
        response.head.headers.set("Content-Type", "application/json; charset=utf-8");
        return response;
    }
    if !is_get || response.head.status != Status(200) {
        return response;
    }
    let body = std::mem::replace(&mut response.body, ResponseBody::Empty);
    let Some(raw) = collect(body, STORED_MAX).await.as_deref().and_then(stored::raw) else { return unreadable() };
    response.head.headers.remove("Content-Length");
    // The type stays that of the whole, for copies.
    response.head.headers.set("Etag", md5_hex(&raw));
    response.body = ResponseBody::Full(raw.into());
    response
}

const IGNORE_RANGE: &str = "X-Backend-Ignore-Range-If-Metadata-Present";
const ETAG_IS_AT: &str = "X-Backend-Etag-Is-At";

/// What of a request is needed when its answer turns out to be a manifest.
struct Caller {
    parent: Rc<Parent>,
    query: Query,
    conditions: Headers,
    is_head: bool,
    part: Option<Vec<u8>>,
}

impl Caller {
    fn of(request: &mut ClientRequest) -> Caller {
        let parent = request.parent();
        let mut conditions = Headers::new();
        for name in ["Range", ETAG_IS_AT, "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"] {
            if let Some(value) = request.headers.get(name) {
                conditions.append(name, value.clone());
            }
        }
        let part = request.query.get("part-number").map(<[u8]>::to_vec);
        Caller { parent, query: request.query.clone(), conditions, is_head: request.method == Method::Head, part }
    }

    /// A GET of the same object, without conditions.
    fn base(&self) -> ClientRequest {
        let mut get = self.parent.subrequest(Method::Get, self.parent.path.clone()).by("SLO");
        get.query = self.query.clone();
        get
    }

    /// The part asked for, from 1.
    fn part(&self) -> Refused<Option<usize>> {
        let Some(part) = &self.part else { return Ok(None) };
        let number = std::str::from_utf8(part).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let Some(number) = number.filter(|number| *number > 0) else {
            return Err(Box::new(respond::told(Status(400), "Part number must be an integer greater than 0")));
        };
        if self.conditions.contains("Range") {
            let text = "Range requests are not supported with part number queries";
            return Err(Box::new(respond::told(Status(400), text)));
        }
        Ok(Some(usize::try_from(number).unwrap_or(usize::MAX)))
    }
}

/// What the manifest in `response` stands for.
async fn joined(
    next: Rc<dyn Application>,
    mut caller: Caller,
    mut response: Response,
    limits: Limits,
) -> Refused<Response> {
    let part = caller.part()?;
    let mut whole = Whole::said(&response.head.headers);
    let status = response.head.status.0;
    let needs_segments = match status {
        // What is not said must be counted.
        200 if caller.is_head => whole.is_none() || part.is_some(),
        200 | 206 | 416 => true,
        304 | 412 => whole.is_none(),
        _ => return Ok(response),
    };
    let mut segments = None;
    if needs_segments {
        if status != 200 || caller.is_head {
            response = next.call(caller.base()).await;
            if !is_manifest(&response.head.headers) || response.head.status != Status(200) {
                return Ok(response);
            }
            whole = Whole::said(&response.head.headers);
        }
        let body = std::mem::replace(&mut response.body, ResponseBody::Empty);
        let read = collect(body, STORED_MAX).await.as_deref().and_then(stored::segments);
        let read = read.ok_or_else(|| Box::new(unreadable()))?;
        whole = whole.or_else(|| Some(Whole::counted(&read)));
        segments = Some(read);
    }
    let Some(whole) = whole else { return Ok(unreadable()) };
    let manifest = Manifest { whole, segments: segments.map(Rc::new), limits };
    let head = headers(response.head.headers, &manifest);
    if let Some(refused) = condition(&mut caller, &head, &manifest) {
        return Ok(refused);
    }
    Ok(answer(next, caller, head, manifest, part).await)
}

/// ETag and length of what a manifest stands for.
struct Whole {
    etag: String,
    length: u64,
}

impl Whole {
    fn said(headers: &Headers) -> Option<Whole> {
        let etag = headers.get_str(STORED_ETAG).filter(|etag| !etag.is_empty())?.to_owned();
        Some(Whole { etag, length: headers.get_str(STORED_SIZE)?.trim().parse().ok()? })
    }

    fn counted(segments: &[Segment]) -> Whole {
        let (etag, length) = stored::whole(segments);
        Whole { etag, length }
    }
}

struct Manifest {
    whole: Whole,
    /// Read when they are needed.
    segments: Option<Rc<Vec<Segment>>>,
    limits: Limits,
}

/// The manifest's fields, made those of the whole.
fn headers(mut headers: Headers, manifest: &Manifest) -> Headers {
    let own = headers.get("Etag").map(|etag| Bytes::copy_from_slice(respond::bare_etag(etag)));
    for name in ["Content-Length", "Content-Range"] {
        headers.remove(name);
    }
    headers.set("Etag", format!("\"{}\"", manifest.whole.etag));
    headers.set("X-Manifest-Etag", own.unwrap_or_default());
    headers
}

/// The answer of a condition that is not met.
fn condition(caller: &mut Caller, head: &Headers, manifest: &Manifest) -> Option<Response> {
    // Whoever stands before us may mean another ETag.
    let places = caller.conditions.remove(ETAG_IS_AT);
    let names = places.as_deref().and_then(|names| std::str::from_utf8(names).ok()).unwrap_or_default();
    let elsewhere = names.split(',').find_map(|name| head.get_str(name.trim()));
    let etag = elsewhere.unwrap_or(&manifest.whole.etag);
    let modified = head.get("Last-Modified").and_then(|value| date::parse(value));
    let status = match evaluate(&caller.conditions, Some(etag), modified) {
        Verdict::Proceed => return None,
        Verdict::NotModified => Status(304),
        Verdict::PreconditionFailed => Status(412),
    };
    let mut response = Response::empty(status);
    response.head.headers = head.clone();
    Some(response)
}

async fn answer(
    next: Rc<dyn Application>,
    caller: Caller,
    mut head: Headers,
    manifest: Manifest,
    part: Option<usize>,
) -> Response {
    let length = manifest.whole.length;
    let Some(segments) = manifest.segments else {
        head.set("Content-Length", length.to_string());
        return with_head(Status(200), head, ResponseBody::Empty);
    };
    let ranges = match part {
        Some(part) => {
            head.set("X-Parts-Count", segments.len().to_string());
            match of_part(&segments, part) {
                Some(range) => vec![range],
                None => return no_part(&caller, head, length),
            }
        }
        None if caller.is_head => {
            head.set("Content-Length", length.to_string());
            return with_head(Status(200), head, ResponseBody::Empty);
        }
        None => match resolve(caller.conditions.get("Range").map(|value| value.as_ref()), length) {
            Resolved::Whole => Vec::new(),
            Resolved::Ranges(ranges) => ranges,
            Resolved::Unsatisfiable => return unsatisfiable(head, length),
        },
    };
    let mut status = Status(206);
    let (pieces, sent) = match ranges.as_slice() {
        [] => {
            status = Status(200);
            (vec![Piece::Bytes { first: 0, count: length }], length)
        }
        &[(first, last)] => {
            let count = last.saturating_add(1).saturating_sub(first);
            if count > 0 {
                head.set("Content-Range", format!("bytes {first}-{last}/{length}"));
            }
            (vec![Piece::Bytes { first, count }], count)
        }
        several => byteranges(&mut head, several, length),
    };
    if caller.is_head {
        head.set("Content-Length", sent.to_string());
        return with_head(status, head, ResponseBody::Empty);
    }
    let mut body = Segments::new(next, caller.base(), segments, pieces, manifest.limits);
    match body.open_first().await {
        Opened::Ready => with_head(status, head, ResponseBody::Stream { length: Some(sent), source: Box::new(body) }),
        Opened::Failed(error) => {
            tracing::warn!(%error, "a static large object is not what its manifest says");
            respond::standard(Status(409))
        }
    }
}

fn with_head(status: Status, headers: Headers, body: ResponseBody) -> Response {
    let mut response = Response::empty(status);
    response.head.headers = headers;
    response.body = body;
    response
}

/// First and last byte of a part, from 1.
fn of_part(segments: &[Segment], part: usize) -> Option<(u64, u64)> {
    let place = part.checked_sub(1)?;
    let length = segments.get(place)?.length;
    let first = segments.iter().take(place).fold(0_u64, |sum, segment| sum.saturating_add(segment.length));
    Some((first, first.saturating_add(length).saturating_sub(1)))
}

fn no_part(caller: &Caller, mut head: Headers, length: u64) -> Response {
    head.set("Content-Range", format!("bytes */{length}"));
    if caller.is_head {
        head.set("Content-Length", "0");
        return with_head(Status(416), head, ResponseBody::Empty);
    }
    let text = Bytes::from_static(b"The requested part number is not satisfiable");
    with_head(Status(416), head, ResponseBody::Full(text))
}

fn unsatisfiable(mut head: Headers, length: u64) -> Response {
    head.set("Content-Range", format!("bytes */{length}"));
    with_head(Status(416), head, respond::standard(Status(416)).body)
}

/// Several ranges in one body.
fn byteranges(head: &mut Headers, ranges: &[(u64, u64)], length: u64) -> (Vec<Piece>, u64) {
    let boundary = hex(&[io::random_u64().to_be_bytes(), io::random_u64().to_be_bytes()].concat());
    let content_type = head.get_str("Content-Type").unwrap_or_default().to_owned();
    head.set("Content-Type", format!("multipart/byteranges;boundary={boundary}"));
    let mut pieces = Vec::with_capacity(3 * ranges.len() + 1);
    for &(first, last) in ranges {
        pieces.push(Piece::Text(multipart::part_head(&boundary, &content_type, first, last, length).into()));
        pieces.push(Piece::Bytes { first, count: last - first + 1 });
        pieces.push(Piece::Text(Bytes::from_static(multipart::part_tail())));
    }
    pieces.push(Piece::Text(multipart::tail(&boundary).into()));
    (pieces, multipart::body_length(&boundary, &content_type, ranges, length))
}

fn unreadable() -> Response {
    respond::explained(Status(500), "Unable to load SLO manifest")
}
