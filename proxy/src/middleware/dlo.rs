//! dlo: dynamic large objects. An object with `X-Object-Manifest: container/prefix` reads as all objects of that container whose
//! names begin with the prefix, one after the other.
//!
//! - A GET costs the manifest's own GET, one listing, and one GET per segment that is needed, opened when its turn comes: memory is
//!   one page of names and one piece of a body.
//! - Listing and segments are asked for as the caller: who may not read the segments does not get them through a manifest
//!   (CVE-2015-5223 and its kin).
//! - The ETag is the MD5 of the segments' ETags, in quotes. It and the length are known when one listing page shows all
//!   segments; otherwise the answer has neither, and a range is honoured only if the page covers it.
//! - Of several ranges the whole object is the answer, as HTTP allows.

mod plan;
mod segments;

use crate::config::Config;
use crate::pipeline::Application;
use crate::request::{ClientRequest, Parent, add_name};
use crate::respond;
use base::conditional::{Verdict, evaluate};
use base::http::server::{Response, ResponseBody};
use base::http::{Headers, Method, Status, date};
use base::io::Job;
use plan::{Plan, Span};
use segments::{Opened, Segments};
use std::rc::Rc;

/// The layer.
pub struct Dlo {
    config: Rc<Config>,
    next: Rc<dyn Application>,
}

impl Dlo {
    /// Around `next`.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>) -> Self {
        Self { config, next }
    }
}

impl Application for Dlo {
    fn call(&self, mut request: ClientRequest) -> Job<Response> {
        if request.path.object.is_none() {
            return self.next.call(request);
        }
        let reads = matches!(request.method, Method::Get | Method::Head);
        if request.method == Method::Put
            && request.headers.get("X-Object-Manifest").is_some_and(|value| !is_manifest(value))
        {
            let text = "X-Object-Manifest must be in the format container/prefix";
            return Job::ready(respond::told(Status(400), text));
        }
        if !reads || request.query.get("multipart-manifest") == Some(b"get") {
            return self.next.call(request);
        }
        if request.headers.contains("Range") {
            // A range is about the joined object, not about the manifest's own bytes.
            add_name(&mut request.headers, "X-Backend-Ignore-Range-If-Metadata-Present", "X-Object-Manifest");
        }
        let (limit, next) = (self.config.constraints.container_listing_limit, Rc::clone(&self.next));
        let limits = self.config.dlo_limits;
        Job::new(async move {
            // What is needed should it turn out to be a manifest; the request itself goes to the application.
            let caller =
                Caller { conditions: conditions(&request.headers), method: request.method, parent: request.parent() };
            let response = next.call(request).await;
            if !response.head.headers.contains("X-Object-Manifest") && !is_judged(&caller, &response) {
                return response;
            }
            // Boxed: the future of a plain object stays small.
            Box::pin(async move {
                match manifest(&next, &caller, response).await {
                    Ok((manifest, container, prefix)) => {
                        let listing = caller.parent.subrequest(Method::Get, container).by("DLO");
                        let segments = Segments::new(next, listing, prefix, limit, limits);
                        join(caller, manifest, segments).await
                    }
                    Err(response) => *response,
                }
            })
            .await
        })
    }
}

/// The request that found a manifest.
struct Caller {
    parent: Rc<Parent>,
    method: Method,
    conditions: Headers,
}

fn conditions(headers: &Headers) -> Headers {
    let mut conditions = Headers::new();
    for name in ["Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"] {
        if let Some(value) = headers.get(name) {
            conditions.append(name, value.clone());
        }
    }
    conditions
}

/// `container/prefix`, both there, and nothing that would make it a query.
fn is_manifest(value: &[u8]) -> bool {
    let at = value.iter().position(|&byte| byte == b'/');
    let parts = at.map(|at| (value.get(..at).unwrap_or_default(), value.get(at + 1..).unwrap_or_default()));
    parts.is_some_and(|(container, prefix)| !container.is_empty() && !prefix.is_empty() && !prefix.starts_with(b"/"))
        && !value.iter().any(|byte| matches!(byte, b'?' | b'&'))
}

/// Whether an answer was about the manifest's own bytes, or may have been.
fn is_judged(caller: &Caller, response: &Response) -> bool {
    match response.head.status.0 {
        // Without the field it is a plain object: a CDN's revalidation costs one request.
        304 => response.head.headers.contains("X-Object-Manifest"),
        412 | 416 => !caller.conditions.is_empty(),
        _ => false,
    }
}

/// The manifest's answer and what it points to; any other answer is the error. A 304, 412 or 416 was about the manifest's own
/// bytes, so it is asked again, without conditions.
async fn manifest(
    next: &Rc<dyn Application>,
    caller: &Caller,
    mut response: Response,
) -> Result<(Response, base::names::Path, Vec<u8>), Box<Response>> {
    if is_judged(caller, &response) {
        let probe = next.call(caller.parent.subrequest(Method::Head, caller.parent.path.clone()).by("DLO")).await;
        if !probe.head.headers.contains("X-Object-Manifest") {
            return Err(Box::new(response));
        }
        response = probe;
    }
    if !response.head.status.is_success() {
        return Err(Box::new(response));
    }
    let target = response
        .head
        .headers
        .get("X-Object-Manifest")
        .and_then(|value| plan::target(&caller.parent.path.account, value));
    match target {
        Some((container, prefix)) => Ok((response, container, prefix)),
        None => Err(Box::new(response)),
    }
}

/// The joined object's answer.
async fn join(caller: Caller, manifest: Response, mut segments: Segments) -> Response {
    if let Err(refused) = segments.first_page().await {
        return *refused;
    }
    let is_get = caller.method == Method::Get;
    let range = caller.conditions.get("Range").filter(|_| is_get);
    let plan = Plan::new(segments.page(), segments.is_complete(), range.map(|value| value.as_ref()));
    let mut response = Response::empty(Status(200));
    // The manifest's own body ends here, unread.
    response.head.headers = manifest.head.headers;
    let headers = &mut response.head.headers;
    for name in ["Content-Length", "Content-Range", "Etag"] {
        headers.remove(name);
    }
    headers.set("Accept-Ranges", "bytes");
    if let Some(etag) = &plan.etag {
        headers.set("Etag", format!("\"{etag}\""));
    }
    let modified = headers.get("Last-Modified").and_then(|value| date::parse(value));
    match evaluate(&caller.conditions, plan.etag.as_deref(), modified) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            response.head.status = Status(304);
            return response;
        }
        Verdict::PreconditionFailed => {
            headers.remove("Accept-Ranges");
            headers.set("Content-Type", "text/html; charset=UTF-8");
            response.head.status = Status(412);
            return response;
        }
    }
    if plan.span == Span::Unsatisfiable {
        let refused = respond::standard(Status(416));
        headers.set("Content-Range", format!("bytes */{}", plan.total));
        headers.set("Content-Type", "text/html; charset=UTF-8");
        return Response {
            head: base::http::ResponseHead { status: Status(416), headers: headers.clone() },
            ..refused
        };
    }
    if let Span::Part(first, last) = plan.span {
        response.head.status = Status(206);
        headers.set("Content-Range", format!("bytes {first}-{last}/{}", plan.shown_total()));
    }
    if !is_get {
        if let Some(length) = plan.length() {
            headers.set("Content-Length", length.to_string());
        }
        return response;
    }
    let length = plan.length();
    segments.aim(&plan);
    match segments.open_first().await {
        Opened::Ready | Opened::Nothing => {}
        // What the listing promised is not there: Swift says conflict.
        Opened::Failed => return respond::standard(Status(409)),
    }
    response.body = ResponseBody::Stream { length, source: Box::new(segments) };
    response
}

#[cfg(test)]
mod tests;
