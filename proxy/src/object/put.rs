//! PUT of one object, told from the first check to the answer.
//!
//! A small body is read first and goes out behind its heads, one write per replica; a node that fails is replaced, body and all.
//! Any other is read only after a quorum of replicas said `100 Continue`, and every piece goes to all of them at once.
//! Placement is `ring`'s, the decision `quorum`'s, the connections are `gather`'s and `upload`'s.

use super::checking::Checking;
use super::updates::{self, Expiry};
use super::upload::Upload;
use super::{authorized_container, is_stored, need_container, place};
use crate::backend::gather::{Write, gather_from};
use crate::backend::outgoing::{Origin, copy};
use crate::backend::quorum::{Best, Quorum};
use crate::constraints::{EXPIRER_ACCOUNT, check_metadata, content_type, delete_at, expirer_container};
use crate::core::Core;
use crate::request::ClientRequest;
use crate::respond;
use base::body_check::Verdict;
use base::config::is_true;
use base::http::client::Framing;
use base::http::server::{BodyError, Response};
use base::http::{Headers, Method, ResponseHead, Status, date};
use base::limits::BODY_CHUNK;
use base::names::Path;
use bytes::Bytes;
use std::rc::Rc;

/// Stores the object.
pub(super) async fn put(core: &Rc<Core>, mut request: ClientRequest) -> Result<Response, Box<Response>> {
    let request = &mut request;
    check_condition(request)?;
    let info = authorized_container(core, request).await?;
    need_container(&info)?;
    if let Some(text) = request.refusal {
        return Err(Box::new(Response::full(Status(413), "text/html; charset=UTF-8", text)));
    }
    check_limits(core, request)?;
    let expiry = expiry(core, request).map_err(|text| Box::new(respond::bad_request(text)))?;

    let framing = request.body.length().map_or(Framing::Chunked, Framing::Length);
    let placement = place(core, request, info.policy_index())?;
    let common = common_headers(request, info.policy_index(), expiry.as_ref());
    let container = Path { object: None, ..request.path.clone() };
    let of_container = core.backend.place(&core.config, &container);
    let requests = updates::requests(&common, placement.primaries().len(), &of_container, expiry.as_ref());

    let candidates = core.backend.candidates_for_put(&core.config, &placement);
    if let Some(length) = small_length(request) {
        let body = collect(request, length).await?;
        let write =
            Write { method: Method::Put, path: request.path.clone(), placement, headers: requests, read_as: &[] };
        // As with a streamed body, a node that cannot be reached is replaced before the answer: three copies, not two.
        let grace = core.config.conn_timeout + core.config.post_quorum_timeout;
        let outcome = gather_from(core, candidates, write, body, grace).await;
        check_decided(request, || outcome.answers.iter().map(|head| head.status))?;
        return Ok(answer(request, outcome.status, &outcome.answers));
    }
    let partition = placement.partition;
    let mut upload = Upload::open(core, candidates, &request.path, partition, requests, framing).await;
    check_refusals(request, &upload)?;
    let verdict = transfer(core, request, &mut upload).await?;
    let (quorum, heads) = upload.finish(verdict).await;
    let status = match quorum.best(&[]) {
        Best::Answer(index) => heads.get(index).map_or(Status(503), |head| head.status),
        Best::Status(status) => Status(status),
        Best::Unavailable => Status(503),
    };
    Ok(answer(request, status, &heads))
}

/// The length of a body that is sent in one write, if this one is. A client that waits for `100 Continue` wants to be refused before
/// it sends a byte; without one there is nothing to wait for.
fn small_length(request: &ClientRequest) -> Option<usize> {
    let length = request.body.length().and_then(|length| usize::try_from(length).ok())?;
    (length == 0 || length <= BODY_CHUNK && !request.headers.contains("Expect")).then_some(length)
}

/// All of a body of `length` bytes.
async fn collect(request: &mut ClientRequest, length: usize) -> Result<Bytes, Box<Response>> {
    match request.body.collect(length).await {
        Ok(body) if body.len() == length => Ok(body),
        Ok(_) => Err(broken_off(&BodyError::Disconnected)),
        Err(Some(error)) => Err(broken_off(&error)),
        Err(None) => Err(broken_off(&BodyError::Malformed)),
    }
}

fn broken_off(error: &BodyError) -> Box<Response> {
    Box::new(respond::standard(match error {
        BodyError::Disconnected => Status(499),
        BodyError::TimedOut => Status(408),
        BodyError::Malformed => Status(400),
    }))
}

/// When the object expires and which queue container learns of it.
pub(super) fn expiry(core: &Rc<Core>, request: &ClientRequest) -> Result<Option<Expiry>, String> {
    let Some(at) = delete_at(&request.headers, request.timestamp)? else { return Ok(None) };
    let path = &request.path;
    let hash = core.config.hash_path.hash(&path.account, path.container.as_deref(), path.object.as_deref());
    let container = expirer_container(at, &hash.0);
    let queue = Path { account: EXPIRER_ACCOUNT.into(), container: Some(container.as_str().into()), object: None };
    Ok(Some(Expiry { at, container, placement: core.backend.place(&core.config, &queue) }))
}

fn check_condition(request: &ClientRequest) -> Result<(), Box<Response>> {
    match request.headers.get("If-None-Match") {
        Some(value) if !value.contains(&b'*') => Err(Box::new(respond::bad_request("If-None-Match only supports *"))),
        _ => Ok(()),
    }
}

fn check_limits(core: &Core, request: &ClientRequest) -> Result<(), Box<Response>> {
    let limits = &core.config.constraints;
    if request.body.length().is_some_and(|length| length > limits.max_file_size) {
        return Err(too_large());
    }
    if !request.body.is_framed() {
        return Err(Box::new(respond::explained(Status(411), "Missing Content-Length header.")));
    }
    let length = request.path.object.as_deref().unwrap_or_default().len();
    if length > limits.max_object_name_length {
        let text = format!("Object name length of {length} longer than {}", limits.max_object_name_length);
        return Err(Box::new(respond::bad_request(text)));
    }
    delete_at(&request.headers, request.timestamp).map_err(|text| Box::new(respond::bad_request(text)))?;
    if request.headers.get("Content-Type").is_some_and(|value| std::str::from_utf8(value).is_err()) {
        return Err(Box::new(respond::bad_request("Please specify a valid Content-Type")));
    }
    check_metadata(limits, &request.headers, "Object").map_err(|text| Box::new(respond::bad_request(text)))?;
    // A type that is guessed replaces what the client said.
    let is_guessed = request.headers.get_str("X-Detect-Content-Type").is_some_and(is_true);
    let is_own = request.headers.contains("X-Backend-Content-Type-Overridden");
    if !is_own && !is_guessed && has_own_parameter(&request.headers) {
        let text = "Invalid Content-Type, swift_* is not a valid parameter name.";
        return Err(Box::new(respond::told(Status(400), text)));
    }
    Ok(())
}

/// Parameters such as `swift_bytes` are set by middleware only: listings believe them.
fn has_own_parameter(headers: &Headers) -> bool {
    let parameters = headers.get_str("Content-Type").unwrap_or_default().split(';').skip(1);
    parameters.map(str::trim_start).any(|parameter| parameter.starts_with("swift_"))
}

fn common_headers(request: &ClientRequest, policy: u32, expiry: Option<&Expiry>) -> Headers {
    let mut headers = Origin::of(request).headers();
    headers.set("X-Backend-Storage-Policy-Index", policy.to_string());
    copy(&request.headers, &mut headers, |name| is_stored(name) || PASSED.contains(&name));
    let object = request.path.object.as_deref().unwrap_or_default();
    headers.set("Content-Type", content_type(&request.headers, object));
    if let Some(expiry) = expiry {
        headers.set("X-Delete-At", expiry.at.to_string());
    }
    if small_length(request).is_none() {
        headers.set("Expect", "100-continue");
    }
    headers
}

/// Beside what is stored. Container update overrides come from middleware, never from clients (the gatekeeper).
const PASSED: [&str; 5] = [
    "etag",
    "if-none-match",
    "x-backend-container-update-override-etag",
    "x-backend-container-update-override-size",
    "x-backend-container-update-override-content-type",
];

/// One replica's word is enough to say that the object is there already, or something newer.
fn check_decided<I: Iterator<Item = Status>>(
    request: &ClientRequest,
    answers: impl Fn() -> I,
) -> Result<(), Box<Response>> {
    let conditional = request.headers.contains("If-None-Match");
    if conditional && answers().any(|status| status.0 == 412) {
        return Err(Box::new(respond::standard(Status(412))));
    }
    if answers().any(|status| status.0 == 409) {
        // To the client it is as if this object had been stored and replaced at once.
        return Err(Box::new(respond::standard(Status(202))));
    }
    Ok(())
}

/// What the replicas said before they saw a byte may settle it.
fn check_refusals(request: &ClientRequest, upload: &Upload) -> Result<(), Box<Response>> {
    check_decided(request, || upload.refusals())?;
    if !upload.has_quorum() {
        let mut quorum = Quorum::new(upload.replica_count());
        for status in upload.refusals() {
            quorum.answer(status.0);
        }
        let status = match quorum.best(&[]) {
            Best::Answer(index) => upload.refusals().nth(index).unwrap_or(Status(503)),
            Best::Status(_) | Best::Unavailable => Status(503),
        };
        return Err(Box::new(respond::standard(status)));
    }
    Ok(())
}

/// Streams the client's body to the replicas; gives what those that check it want to know.
async fn transfer(
    core: &Core,
    request: &mut ClientRequest,
    upload: &mut Upload,
) -> Result<Option<Verdict>, Box<Response>> {
    let longest = core.config.constraints.max_file_size;
    let checking = upload.is_checked().then(Checking::start);
    let mut received: u64 = 0;
    // Ends: the body is bounded by `longest`, each piece by the client's deadline.
    while let Some(piece) = request.body.next().await {
        let bytes: Bytes = piece.map_err(|error| broken_off(&error))?;
        received += bytes.len() as u64;
        if received > longest {
            return Err(too_large());
        }
        if bytes.is_empty() {
            continue;
        }
        upload.send(&bytes).await;
        if let Some(checking) = &checking {
            checking.update(&bytes).await;
        }
        if !upload.has_quorum() {
            return Err(Box::new(respond::standard(Status(503))));
        }
    }
    if request.body.length().is_some_and(|length| received < length) {
        return Err(Box::new(respond::standard(Status(499))));
    }
    match checking {
        None => Ok(None),
        Some(checking) => match checking.finish().await {
            Some(verdict) => Ok(Some(verdict)),
            None => Err(Box::new(respond::standard(Status(500)))),
        },
    }
}

fn answer(request: &ClientRequest, status: Status, heads: &[ResponseHead]) -> Response {
    let mut etags = heads
        .iter()
        .filter(|head| head.status.is_success())
        .filter_map(|head| head.headers.get("Etag"))
        .map(|etag| Bytes::copy_from_slice(respond::bare_etag(etag)));
    let etag = etags.next();
    if etags.any(|other| Some(&other) != etag.as_ref()) {
        tracing::error!(path = %request.path.quoted(), "object servers stored bodies with different ETags");
        return respond::standard(Status(500));
    }
    let mut response = respond::standard(status);
    if status.is_success() {
        response = response.header("Last-Modified", date::format(request.timestamp.ceil_seconds()));
        if let Some(etag) = etag {
            response = response.header("Etag", etag);
        }
    }
    response
}

fn too_large() -> Box<Response> {
    Box::new(respond::explained(Status(413), "Your request is too large."))
}
