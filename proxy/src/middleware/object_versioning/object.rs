//! Requests for an object that name no version.

use super::names::{DELETE_MARKER, id_of, version_object};
use super::{Place, RE_ENABLE, Refused, STORED_LINK, VERSION_ID, need_success, refuse_plainly};
use crate::constraints::{check_metadata, content_type, delete_at};
use crate::middleware::symlink::link;
use crate::middleware::whole_copy;
use crate::request::{Authority, ClientRequest};
use crate::respond;
use base::config::is_true;
use base::http::server::{BodyError, BodySource, LocalFuture, RequestBody, Response};
use base::http::{Headers, Method, Status};
use base::names::{Name, Path};
use base::quote::{Query, quote};
use bytes::Bytes;
use std::cell::Cell;
use std::io;
use std::rc::Rc;

/// Stores a new version and makes it the newest.
pub(super) async fn put(place: &Place, mut request: ClientRequest) -> Refused<Response> {
    may_write(place, &mut request).await?;
    // Said of the link, which comes too late to refuse it.
    let limits = &place.layer.config.constraints;
    let refused = |text: String| Box::new(respond::bad_request(text));
    if request.headers.get("If-None-Match").is_some_and(|value| !value.contains(&b'*')) {
        return Err(refused("If-None-Match only supports *".to_owned()));
    }
    check_metadata(limits, &request.headers, "Object").map_err(refused)?;
    delete_at(&request.headers, request.timestamp).map_err(refused)?;
    let has_current = keep_current(place, &request).await?;
    // Asked here, for the version has a new name and the link comes too late.
    if has_current && request.headers.get("If-None-Match").is_some_and(|value| value.contains(&b'*')) {
        return Err(Box::new(respond::standard(Status(412))));
    }
    let stored = put_version(place, &mut request).await?;
    Ok(put_link(place, request, stored).await)
}

/// Writes a marker, then takes the link away.
pub(super) async fn delete(place: &Place, mut request: ClientRequest) -> Refused<Response> {
    may_write(place, &mut request).await?;
    keep_current(place, &request).await?;
    let id = id_of(request.timestamp);
    let path = place.in_versions(version_object(place.object(), id));
    let mut marker = place.layer.granted(&request, Method::Put, path);
    marker.headers.set("Content-Type", DELETE_MARKER);
    marker.headers.set("X-Backend-Content-Type-Overridden", "yes");
    need_success(place.layer.next.call(marker).await)?;
    let mut response = place.layer.next.call(request).await;
    if response.head.status.is_success() || response.head.status.0 == 404 {
        response.head.headers.set(VERSION_ID, id.internal());
        response.head.headers.set("X-Backend-Content-Type", DELETE_MARKER);
    }
    Ok(response)
}

/// A POST reaches the link, and then the version behind it.
pub(super) async fn post(place: &Place, request: ClientRequest) -> Response {
    let mut second = place.layer.granted(&request, Method::Post, request.path.clone());
    second.headers = without_expiry(&request.headers);
    let response = place.layer.next.call(request).await;
    let is_own = response.head.headers.get_str(STORED_LINK).is_some_and(is_true);
    if response.head.status.0 != 307 || !is_own {
        return response;
    }
    let Some(target) = path_of(&response.head.headers, "Location") else { return response };
    if target.account != place.path.account || target.container.as_deref() != Some(&place.versions) {
        return response;
    }
    second.path = target;
    place.layer.next.call(second).await
}

/// Reads the object; the answer says which version it is, under the name the client knows.
pub(super) async fn read(place: &Place, request: ClientRequest) -> Response {
    let mut response = place.layer.next.call(request).await;
    let headers = &mut response.head.headers;
    let own = Path { account: Name::default(), ..place.path.clone() }.quoted();
    let at = path_of(headers, "Content-Location").and_then(|path| place.id_in(&path));
    let target = target_of(headers, &place.path.account).and_then(|path| place.id_in(&path));
    if let Some(id) = &at {
        headers.set("Content-Location", format!("/v1{}?version-id={id}", place.path.quoted()));
    }
    if let Some(id) = &target {
        headers.set(link::TARGET, format!("{}?version-id={id}", own.trim_start_matches('/')));
    }
    headers.set(VERSION_ID, target.or(at).unwrap_or_else(|| "null".to_owned()));
    response
}

/// What a version stored is.
pub(super) struct Stored {
    /// Its name in the versions container.
    pub(super) name: String,
    pub(super) id: String,
    pub(super) etag: Bytes,
    pub(super) bytes: String,
    /// Without parameters.
    pub(super) content_type: String,
}

/// Makes `stored` the newest version. The body of `request` must have been taken.
pub(super) async fn put_link(place: &Place, mut request: ClientRequest, stored: Stored) -> Response {
    request.method = Method::Put;
    request.query = Query::default();
    request.body = RequestBody::full("");
    // Who may write here may have this link. What the version leads to, if it is a link, was looked at with his right.
    request.authority = Authority::Granted;
    // Behind the version, should both be written within one unit of time.
    request.timestamp = request.timestamp.with_offset_added(1).unwrap_or(request.timestamp);
    let headers = &mut request.headers;
    for name in NOT_OF_LINKS {
        headers.remove(name);
    }
    headers.set(link::TARGET, quote(format!("{}/{}", place.versions, stored.name).as_bytes()));
    headers.set(link::STORED_ETAG, stored.etag.clone());
    headers.set(link::STORED_BYTES, stored.bytes);
    headers.set(link::SYMLOOP_EXTEND, "true");
    headers.set(link::ALLOW_RESERVED_NAMES, "true");
    headers.set(STORED_LINK, "true");
    headers.set("Content-Type", stored.content_type);
    let mut response = place.layer.next.call(request).await;
    if response.head.status.is_success() {
        response.head.headers.set("Etag", stored.etag);
        response.head.headers.set(VERSION_ID, stored.id);
    }
    response
}

const NOT_OF_LINKS: [&str; 9] = [
    "Etag",
    "Transfer-Encoding",
    "Content-Length",
    "X-If-Delete-At",
    link::ACCOUNT,
    "X-Object-Manifest",
    "X-Static-Large-Object",
    "X-Object-Sysmeta-Slo-Etag",
    "X-Object-Sysmeta-Slo-Size",
];

/// Refuses who may not write here, and what would be too much.
pub(super) async fn may_write(place: &Place, request: &mut ClientRequest) -> Refused<()> {
    place.layer.authorize(request, place.write_acl.as_deref()).await?;
    match request.refusal {
        Some(text) => Err(Box::new(Response::full(Status(413), "text/html; charset=UTF-8", text))),
        None => Ok(()),
    }
}

/// Copies an object of the time before versioning to the versions, so that it is not lost. Whether there is any object now.
async fn keep_current(place: &Place, request: &ClientRequest) -> Refused<bool> {
    let next = &place.layer.next;
    let mut get = place.layer.granted(request, Method::Get, place.path.clone());
    get.query = Query::parse(b"symlink=get");
    get.headers.set("X-Newest", "true");
    let response = next.call(get).await;
    if response.head.status.0 == 404 {
        return Ok(false);
    }
    let current = need_success(response)?;
    if current.head.headers.get_str(STORED_LINK) == Some("true") {
        return Ok(true);
    }
    let id = whole_copy::written_at(&current.head.headers, &["X-Backend-Timestamp", "X-Timestamp"])
        .ok_or_else(|| Box::new(respond::standard(Status(503))))?;
    let path = place.in_versions(version_object(place.object(), id_of(id)));
    let mut put = place.layer.granted(request, Method::Put, path);
    whole_copy::carry(current, &mut put)?;
    let response = next.call(put).await;
    if response.head.status.0 == 404 {
        return Err(refuse_plainly(500, RE_ENABLE));
    }
    need_success(response).map(|_| true)
}

/// Streams the client's body into a version of its own.
async fn put_version(place: &Place, request: &mut ClientRequest) -> Refused<Stored> {
    // The type of a link without one is its target's, which only the link's layer knows.
    let is_bare = request.headers.get("Content-Type").is_none_or(Bytes::is_empty);
    let mut kind = content_type(&request.headers, place.object());
    if !(is_bare && request.headers.contains(link::TARGET)) {
        request.headers.remove("X-Detect-Content-Type");
        request.headers.set("Content-Type", kind.clone());
    }
    let id = id_of(request.timestamp);
    let name = version_object(place.object(), id);
    let mut put = place.layer.granted(request, Method::Put, place.in_versions(name.clone()));
    // If it is a link, its target is looked at with the caller's right.
    put.authority = request.authority.clone();
    put.headers = without_expiry(&request.headers);
    put.headers.remove("If-None-Match");
    let body = std::mem::replace(&mut request.body, RequestBody::full(""));
    let received = Rc::new(Cell::new(body.length().unwrap_or(0)));
    put.body = match body.length() {
        None if body.is_chunked() => {
            RequestBody::streaming(None, Box::new(Counted { body, received: received.clone() }))
        }
        _ => body,
    };
    let response = place.layer.next.call(put).await;
    if response.head.status.0 == 404 {
        return Err(refuse_plainly(500, RE_ENABLE));
    }
    let mut response = need_success(response)?;
    if request.headers.contains(link::TARGET)
        && let Some(shown) = response.head.headers.get_str("X-Backend-Content-Type")
    {
        kind = shown.to_owned();
    }
    let slo_size = request.headers.get_str("X-Object-Sysmeta-Slo-Size").map(str::to_owned);
    Ok(Stored {
        name,
        id: id.internal(),
        etag: response.head.headers.remove("Etag").unwrap_or_default(),
        bytes: slo_size.unwrap_or_else(|| received.get().to_string()),
        content_type: kind.split(';').next().unwrap_or_default().trim().to_owned(),
    })
}

/// A body of unknown length, whose bytes are counted on the way.
struct Counted {
    body: RequestBody,
    received: Rc<Cell<u64>>,
}

impl BodySource for Counted {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        Box::pin(async {
            let piece = self.body.next().await?;
            let piece = piece.map_err(|error| match error {
                BodyError::Disconnected => io::ErrorKind::UnexpectedEof.into(),
                BodyError::TimedOut => io::ErrorKind::TimedOut.into(),
                BodyError::Malformed => io::ErrorKind::InvalidData.into(),
            });
            if let Ok(bytes) = &piece {
                self.received.set(self.received.get() + bytes.len() as u64);
            }
            Some(piece)
        })
    }
}

/// When an object goes is said of the link: versions stay.
fn without_expiry(headers: &Headers) -> Headers {
    let mut kept = headers.clone();
    kept.remove("X-Delete-At");
    kept.remove("X-Delete-After");
    kept
}

/// The path in a `/v1/…` field.
pub(super) fn path_of(headers: &Headers, name: &str) -> Option<Path> {
    Path::parse_reserved(headers.get(name)?.strip_prefix(b"/v1")?).ok()
}

/// Where a shown link points to.
pub(super) fn target_of(headers: &Headers, account: &str) -> Option<Path> {
    let target = headers.get_str(link::TARGET)?;
    Path::parse_reserved(format!("/{}/{target}", quote(account.as_bytes())).as_bytes()).ok()
}
