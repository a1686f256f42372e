//! listing_formats: the application answers listings as JSON; the client gets plain text, JSON or XML as it asked.
//!
//! `format=` decides, else `Accept`. JSON passes as it is. Plain text is taken out of it as it comes; XML is made from the collected JSON, which is
//! bounded by the rows of one page. An empty plain listing is 204, as is every HEAD.

mod accept;
mod lines;
mod render;

use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use accept::{Choice, choose};
use base::http::server::{Response, ResponseBody};
use base::http::{Headers, Method, Status};
use base::io::Job;
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use std::rc::Rc;

/// Most bytes of one page as JSON: 10,000 rows with names of 1,024 bytes that are all `\u` escapes stay below.
pub(crate) const PAGE_MAX: usize = 96 * 1024 * 1024;

/// The layer.
pub struct ListingFormats {
    next: Rc<dyn Application>,
}

impl ListingFormats {
    /// Around `next`.
    pub fn new(next: Rc<dyn Application>) -> Self {
        Self { next }
    }
}

impl Application for ListingFormats {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        let is_listing = request.path.object.is_none() && matches!(request.method, Method::Get | Method::Head);
        if !is_listing {
            return self.next.call(request);
        }
        let choice = match choose(request.query.get("format"), request.headers.get("Accept").map(Bytes::as_ref)) {
            Choice::Type(content_type) => content_type,
            Choice::Invalid => return ready(respond::told(Status(400), "Invalid Accept header")),
            Choice::None => return ready(respond::standard(Status(406))),
        };
        let can_vary = request.query.get("format").is_none();
        let (method, path) = (request.method, request.path.clone());
        let next = Rc::clone(&self.next);
        Job::new(async move {
            let mut response = next.call(request).await;
            if !matches!(response.head.status.0, 200 | 204) {
                return response;
            }
            if response.head.headers.remove(JSON_ONLY).is_some() {
                response.head.headers.set("Content-Type", "application/json; charset=utf-8");
                return if method == Method::Head { response } else { as_json(response) };
            }
            if can_vary {
                add_accept(&mut response.head.headers);
            }
            // A page of a web site is no listing.
            let is_json =
                response.head.headers.get("Content-Type").is_some_and(|kind| kind.starts_with(b"application/json"));
            if !is_json {
                return response;
            }
            response.head.headers.set("Content-Type", format!("{choice}; charset=utf-8"));
            if method == Method::Head {
                response.head.headers.set("Content-Length", "0");
                response.body = ResponseBody::Empty;
                return response;
            }
            if choice == "application/json" {
                return as_json(response);
            }
            if choice == "text/plain" {
                return as_text(response).await;
            }
            let Some(rows) = rows_of(&mut response).await else { return respond::standard(Status(500)) };
            let body = match &path.container {
                None => render::account_xml(&path.account, &rows),
                Some(container) => render::container_xml(container, &rows),
            };
            response.head.headers.remove("Content-Length");
            response.body = ResponseBody::Full(body.into());
            response
        })
    }
}

/// The best of our formats for this `Accept`; `None` when it makes no sense or wants another.
pub(crate) fn accepted(accept: Option<&[u8]>) -> Option<&'static str> {
    match choose(None, accept) {
        Choice::Type(content_type) => Some(content_type),
        Choice::Invalid | Choice::None => None,
    }
}

/// Whether the client takes JSON at all; `format=` decides alone.
pub(crate) fn accepts_json(format: Option<&[u8]>, accept: Option<&[u8]>) -> bool {
    match format.filter(|format| !format.is_empty()) {
        Some(format) => format.eq_ignore_ascii_case(b"json"),
        None => accept::accepts(accept, "application/json"),
    }
}

/// A field of answers that have no other form than JSON, whatever `format` says.
pub(crate) const JSON_ONLY: &str = "X-Backend-Json-Only";

fn ready(response: Response) -> Job<Response> {
    Job::ready(response)
}

/// What was answered depends on `Accept`; said once.
fn add_accept(headers: &mut Headers) {
    let said = headers.get_str("Vary").map(str::to_owned);
    match said {
        None => headers.set("Vary", "Accept"),
        Some(names) if names.split(',').any(|name| name.trim().eq_ignore_ascii_case("Accept")) => {}
        Some(names) => headers.set("Vary", format!("{names}, Accept")),
    }
}

/// An application that found nothing may have said 204; as JSON that is an empty list.
fn as_json(mut response: Response) -> Response {
    if response.head.status.0 == 204 || matches!(response.body, ResponseBody::Empty) {
        response.head.status = Status(200);
        response.head.headers.remove("Content-Length");
        response.body = ResponseBody::Full(Bytes::from_static(b"[]"));
    }
    response
}

/// Names, one per line: of a page in pieces as they come.
async fn as_text(mut response: Response) -> Response {
    let body = match response.body {
        ResponseBody::Stream { length: None, source } => match lines::Lines::begin(source).await {
            Ok(lines) => lines.map(|lines| ResponseBody::Stream { length: None, source: Box::new(lines) }),
            Err(_) => return respond::standard(Status(500)),
        },
        body => match collect(body, PAGE_MAX).await.as_deref().and_then(lines::whole) {
            Some(lines) => (!lines.is_empty()).then(|| ResponseBody::Full(lines.into())),
            None => return respond::standard(Status(500)),
        },
    };
    response.head.status = Status(if body.is_none() { 204 } else { 200 });
    response.head.headers.remove("Content-Length");
    if body.is_none() {
        response.head.headers.set("Content-Length", "0");
    }
    response.body = body.unwrap_or(ResponseBody::Empty);
    response
}

/// The rows of a page; `None` when what came is no listing or ended early.
async fn rows_of(response: &mut Response) -> Option<Vec<Value>> {
    let body = collect(std::mem::replace(&mut response.body, ResponseBody::Empty), PAGE_MAX).await?;
    if body.is_empty() {
        return Some(Vec::new());
    }
    match serde_json::from_slice(&body).ok()? {
        Value::Array(rows) => Some(rows),
        _ => None,
    }
}

/// A whole body of at most `max` bytes; `None` when it is larger or ended early.
pub(crate) async fn collect(body: ResponseBody, max: usize) -> Option<Bytes> {
    match body {
        ResponseBody::Empty => Some(Bytes::new()),
        ResponseBody::Full(bytes) => (bytes.len() <= max).then_some(bytes),
        ResponseBody::Stream { length, mut source } => {
            let announced = usize::try_from(length.unwrap_or(0)).ok().filter(|length| *length <= max)?;
            let mut collected = BytesMut::with_capacity(announced);
            // Ends: every piece has bytes, and they are bounded.
            while let Some(piece) = source.next().await {
                let piece = piece.ok()?;
                if collected.len() + piece.len() > max {
                    return None;
                }
                collected.extend_from_slice(&piece);
            }
            Some(collected.freeze())
        }
    }
}

#[cfg(test)]
mod tests;
