//! The only place where an outcome of backends becomes a status for the client, and where backend fields are taken off.

use base::http::headers::with_lower;
use base::http::server::{Response, ResponseBody};
use base::http::{Headers, ResponseHead, Status};
use bytes::Bytes;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// See [`settled`].
    pub struct Settled<F> {
        #[pin]
        refusable: F,
    }
}

/// A refusal is an answer too. Not an `async` block, which would keep the future twice.
pub fn settled<F: Future<Output = Result<Response, Box<Response>>>>(refusable: F) -> Settled<F> {
    Settled { refusable }
}

impl<F: Future<Output = Result<Response, Box<Response>>>> Future for Settled<F> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        self.project().refusable.poll(context).map(|settled| settled.unwrap_or_else(|refused| *refused))
    }
}

/// Head and body together.
pub fn response(head: ResponseHead, body: ResponseBody) -> Response {
    let mut response = Response::empty(head.status);
    response.head = head;
    response.body = body;
    response
}

/// A status with Swift's body for it.
pub fn standard(status: Status) -> Response {
    match explanation(status) {
        "" => Response::full(status, HTML, ""),
        text => {
            let title = status.reason();
            Response::full(status, HTML, format!("<html><h1>{title}</h1><p>{text}</p></html>"))
        }
    }
}

/// A status with a sentence for the caller.
pub fn explained(status: Status, text: impl Into<String>) -> Response {
    Response::full(status, "text/plain", text.into())
}

/// The same as Swift's middleware says most of its sentences: called HTML, though there is no tag in it.
pub fn told(status: Status, text: impl Into<String>) -> Response {
    Response::full(status, HTML, text.into())
}

/// 400 with a sentence.
pub fn bad_request(text: impl Into<String>) -> Response {
    explained(Status(400), text)
}

/// 405 with the verbs that are allowed.
pub fn not_allowed(allowed: &'static str) -> Response {
    standard(Status(405)).header("Allow", allowed)
}

/// The answer to a write: the backends' status, with their body where it explains something. Of their fields only `ETag` and
/// the like pass, by name.
pub fn written(status: Status, headers: &Headers, body: Bytes) -> Response {
    // Under the type that Swift's proxy gives whatever it answers itself, not the backend's.
    let is_said = !body.is_empty() && status.0 != 204;
    let mut response = if is_said { Response::full(status, HTML, body) } else { standard(status) };
    for name in ["X-Backend-Storage-Policy-Index", "X-Backend-Content-Type"] {
        // Kept for the middleware (they are stripped with all X-Backend fields on the way out).
        if let Some(value) = headers.get(name) {
            response.head.headers.set(name, value.clone());
        }
    }
    // System metadata too: what an object is shows in the answer to a POST.
    for (name, value) in headers.iter() {
        if with_lower(name, |lower| lower.starts_with(b"x-object-sysmeta-")) {
            response.head.headers.set(name.clone(), value.clone());
        }
    }
    response
}

/// Fields of a read answer for the client: framing and connection fields go, and the `hidden` ones, which are written lower case.
pub fn read_headers(mut headers: Headers, hidden: &[String]) -> Headers {
    headers.retain(|name, _| {
        with_lower(name, |lower| {
            let hop = matches!(
                lower,
                b"connection" | b"transfer-encoding" | b"keep-alive" | b"date" | b"trailer" | b"upgrade" | b"te"
            );
            !hop && !hidden.iter().any(|hidden| hidden.as_bytes() == lower)
        })
    });
    headers
}

/// Without its quotes, as Swift's proxy shows ETags.
pub fn bare_etag(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(value)
}

const HTML: &str = "text/html; charset=UTF-8";

/// Swift's sentence for a status; empty where it sends no body.
pub fn explanation(status: Status) -> &'static str {
    match status.0 {
        202 => "The request is accepted for processing.",
        301 => "The resource has moved permanently.",
        400 => "The server could not comply with the request since it is either malformed or otherwise incorrect.",
        401 => "This server could not verify that you are authorized to access the document you requested.",
        403 => "Access was denied to this resource.",
        404 => "The resource could not be found.",
        405 => "The method is not allowed for this resource.",
        406 => "The resource is not available in a format acceptable to your browser.",
        408 => "The server has waited too long for the request to be sent by the client.",
        409 => "There was a conflict when trying to complete your request.",
        410 => "This resource is no longer available.",
        411 => "Content-Length header required.",
        412 => "A precondition for this request was not met.",
        413 => "The body of your request was too large for this server.",
        414 => "The request URI was too long for this server.",
        415 => "The request media type is not supported by this server.",
        416 => "The Range requested is not available.",
        417 => "Expectation failed.",
        422 => "Unable to process the contained instructions",
        499 => "The client was disconnected during request.",
        500 => "The server has either erred or is incapable of performing the requested operation.",
        501 => "The requested method is not implemented by this server.",
        502 => "Bad gateway.",
        503 => "The server is currently unavailable. Please try again at a later time.",
        504 => "A timeout has occurred speaking to a backend server.",
        _ => "",
    }
}
/// Rewrites the places that an answer tells: `rewrite` is given what stands before the path, `http://host` or nothing, and the path; `None` leaves
/// it as it is.
pub(crate) fn rewrite_places(headers: &mut Headers, rewrite: impl Fn(&str, &str) -> Option<String>) {
    for name in ["Location", "Content-Location"] {
        let Some(value) = headers.get_str(name) else { continue };
        let before = value
            .split_once("://")
            .map_or(0, |(scheme, rest)| scheme.len() + "://".len() + rest.find('/').unwrap_or(rest.len()));
        let (site, path) = value.split_at(before);
        if let Some(told) = rewrite(site, path) {
            headers.set(name, told);
        }
    }
}
