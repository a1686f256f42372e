//! GET and HEAD of one object.

use super::stream::{Resume, Resuming, discard};
use super::{authorized_container, open_expired, place};
use crate::backend::outgoing::{Origin, copy};
use crate::backend::read::{Found, Read, Source, find};
use crate::container::listing::wants_newest;
use crate::core::Core;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::{Response, ResponseBody};
use base::http::{Headers, Method, ResponseHead};
use bytes::Bytes;
use std::rc::Rc;

/// Reads the object from the first replica that has it (or the newest with `X-Newest`), going on from another one should it
/// fail on the way.
pub(super) async fn get(core: &Rc<Core>, mut request: ClientRequest) -> Result<Response, Box<Response>> {
    let info = authorized_container(core, &mut request).await?;
    let placement = place(core, &request, info.policy_index())?;
    let mut candidates = core.backend.candidates(&core.config, &placement);
    let mut headers = Origin::of(&request).headers();
    headers.set("X-Backend-Storage-Policy-Index", info.policy_index().to_string());
    open_expired(core, &request, &mut headers);
    let plain = headers.clone();
    copy(&request.headers, &mut headers, |name| PASSED.contains(&name));
    if request.method == Method::Head {
        headers.remove("Range");
    }
    let read = Read {
        method: request.method,
        path: request.path.clone(),
        placement,
        query: String::new(),
        headers,
        deadline: core.config.recoverable_node_timeout,
        newest: wants_newest(&request),
        tombstones: true,
    };
    match find(core, &read, &mut candidates).await {
        Found::Source(source) => {
            let resume =
                Resume { core: core.clone(), read: Read { headers: plain, newest: false, ..read }, candidates };
            Ok(answer(core, *source, &request, resume))
        }
        Found::Nothing(head) => {
            let mut response = respond::standard(head.status);
            if head.status.0 == 412 {
                // The object's own fields, without a body.
                let content_type = response.head.headers.get("Content-Type").cloned().unwrap_or_default();
                response.head.headers = client_headers(&head.headers);
                response.head.headers.remove("Accept-Ranges");
                response.head.headers.set("Content-Length", "0");
                response.head.headers.set("Content-Type", content_type);
                response.body = ResponseBody::Empty;
            } else if let Some(time) = head.headers.get("X-Backend-Timestamp") {
                response.head.headers.set("X-Backend-Timestamp", time.clone());
            }
            Ok(response)
        }
    }
}

fn answer(core: &Rc<Core>, source: Source, request: &ClientRequest, resume: Resume) -> Response {
    let status = source.head.status;
    let mut head = ResponseHead::new(status);
    head.headers = client_headers(&source.head.headers);
    if status.0 == 416 {
        let mut response = respond::standard(status);
        discard(core, source.exchange);
        head.headers.remove("Content-Length");
        response.head = head;
        return response;
    }
    if request.method == Method::Head || !status.is_success() {
        if !status.is_success() {
            // The length of a body that a 304 does not have.
            head.headers.remove("Content-Length");
        }
        discard(core, source.exchange);
        return respond::response(head, ResponseBody::Empty);
    }
    let length = head.headers.remove("Content-Length").and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
    let body = Resuming::new(source, length, resume);
    respond::response(head, ResponseBody::Stream { length, source: Box::new(body) })
}

/// Fields as clients know them: ETag without quotes, ranges announced, no `swift_bytes` in the type.
fn client_headers(source: &Headers) -> Headers {
    let mut headers = respond::read_headers(source, &[]);
    if let Some(etag) = headers.get("Etag").map(|value| Bytes::copy_from_slice(respond::bare_etag(value))) {
        headers.set("Etag", etag);
    }
    headers.set("Accept-Ranges", "bytes");
    // The parameter that a manifest's type ends with; the rest stays as it was sent.
    let kept = headers.get_str("Content-Type").and_then(|text| text.rsplit_once(';'));
    if let Some((kept, _)) = kept.filter(|(_, last)| last.trim_start().starts_with("swift_bytes=")) {
        let kept = kept.to_owned();
        headers.set("Content-Type", kept);
    }
    headers
}

/// Fields of a read that go to the backends: conditions, ranges, and what the middleware asks of them.
const PASSED: [&str; 7] = [
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "x-backend-etag-is-at",
    "x-backend-ignore-range-if-metadata-present",
];
