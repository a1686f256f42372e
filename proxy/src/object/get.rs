//! GET and HEAD of one object.

use super::stream::{Resume, Resuming, discard};
use super::{authorized_container, open_expired, place};
use crate::backend::nodes::Candidates;
use crate::backend::outgoing::{Origin, copy};
use crate::backend::read::{Found, Read, Source, find};
use crate::container::listing::wants_newest;
use crate::core::Core;
use crate::request::ClientRequest;
use crate::respond;
use base::http::headers::with_lower;
use base::http::server::{Response, ResponseBody};
use base::http::{Headers, Method, ResponseHead};
use base::scratch;
use bytes::Bytes;
use std::rc::Rc;

/// Reads the object from the first replica that has it (or the newest with `X-Newest`), going on from another one should it
/// fail on the way.
pub(super) async fn get(core: &Rc<Core>, mut request: ClientRequest) -> Result<Response, Box<Response>> {
    let info = authorized_container(core, &mut request).await?;
    let placement = place(core, &request, info.policy_index())?;
    let mut candidates = core.backend.candidates(&core.config, &placement);
    let mut headers = Origin::of(&request).headers();
    headers.set("X-Backend-Storage-Policy-Index", scratch::number(info.policy_index().into()));
    open_expired(core, &request, &mut headers);
    copy(&request.headers, &mut headers, is_passed);
    if request.method == Method::Head {
        headers.remove("Range");
    }
    let read = Read {
        method: request.method,
        newest: wants_newest(&request),
        path: request.path,
        placement,
        query: String::new(),
        headers,
        deadline: core.config.recoverable_node_timeout,
        tombstones: true,
    };
    match find(core, &read, &mut candidates).await {
        Found::Source(source) => Ok(answer(core, source, read, candidates)),
        Found::Nothing(head) => {
            let mut response = respond::standard(head.status);
            if head.status.0 == 412 {
                // The object's own fields, without a body.
                let content_type = response.head.headers.get("Content-Type").cloned().unwrap_or_default();
                response.head.headers = client_headers(head.headers);
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

fn answer(core: &Rc<Core>, mut source: Source, read: Read, candidates: Candidates) -> Response {
    let status = source.head.status;
    // A small body came with its head: nothing is left that could break off.
    if let Some(body) = ready(&mut source, read.method) {
        let mut head = ResponseHead { status, headers: client_headers(source.head.headers) };
        head.headers.remove("Content-Length");
        return respond::response(head, ResponseBody::Full(body));
    }
    let mut head = ResponseHead { status, headers: client_headers(source.head.headers.clone()) };
    if status.0 == 416 {
        let mut response = respond::standard(status);
        discard(core, source.exchange);
        head.headers.remove("Content-Length");
        response.head = head;
        return response;
    }
    if read.method == Method::Head || !status.is_success() {
        if !status.is_success() {
            // The length of a body that a 304 does not have.
            head.headers.remove("Content-Length");
        }
        discard(core, source.exchange);
        return respond::response(head, ResponseBody::Empty);
    }
    let length = length(&head.headers);
    head.headers.remove("Content-Length");
    let body = Resuming::new(source, length, resume(core, read, candidates));
    respond::response(head, ResponseBody::Stream { length, source: Box::new(body) })
}

/// The whole body of a GET, if it is here already.
fn ready(source: &mut Source, method: Method) -> Option<Bytes> {
    let is_read = method == Method::Get && source.head.status.is_success();
    length(&source.head.headers).filter(|_| is_read).and_then(|length| source.exchange.take_ready(length))
}

fn length(headers: &Headers) -> Option<u64> {
    headers.get_str("Content-Length").and_then(|text| text.parse().ok())
}

/// What is needed to go on from another replica: the same request without the conditions and ranges of the client.
fn resume(core: &Rc<Core>, mut read: Read, candidates: Candidates) -> Resume {
    read.headers.retain(|name, _| !with_lower(name, |lower| std::str::from_utf8(lower).is_ok_and(is_passed)));
    read.newest = false;
    Resume { core: core.clone(), read, candidates }
}

/// Fields as clients know them: ETag without quotes, ranges announced, no `swift_bytes` in the type.
fn client_headers(source: Headers) -> Headers {
    let mut headers = respond::read_headers(source, &[]);
    if let Some(etag) = headers.get("Etag").map(|value| value.slice_ref(respond::bare_etag(value))) {
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

fn is_passed(name: &str) -> bool {
    PASSED.contains(&name)
}
