//! Requests for one version: `?version-id=<id>`, where `null` is the object that is no version.

use super::names::{DELETE_MARKER, VERSIONS_PREFIX, parse_version, version_object};
use super::object::{Stored, may_write, path_of, put_link, target_of};
use super::{Place, RE_ENABLE, Refused, STORED_LINK, VERSION_ID, need_success, refuse, refuse_plainly};
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::{RequestBody, Response};
use base::http::{Method, Status};
use base::names::Path;
use base::quote::Query;
use base::timestamp::Timestamp;

/// Answers it.
pub(super) async fn handle(place: &Place, request: ClientRequest, id: &str) -> Refused<Response> {
    if request.method == Method::Post {
        return Err(refuse(400, "POST to a specific version is not allowed"));
    }
    if id != "null" && place.versions.is_empty() {
        return Err(refuse(400, "version-aware operations require that the container is versioned"));
    }
    let time = Timestamp::parse(id).ok();
    if time.is_none() && (id != "null" || request.method == Method::Put) {
        return Err(refuse(400, "Invalid version parameter"));
    }
    match (request.method, time) {
        (Method::Put, Some(time)) => put(place, request, time).await,
        (Method::Delete, Some(time)) => delete(place, request, id, time).await,
        (Method::Get | Method::Head, Some(time)) => read(place, request, id, time).await,
        (Method::Get | Method::Head, None) => read_null(place, request).await,
        // Of the null version it is the link that is deleted; OPTIONS is about the container.
        _ => Ok(place.layer.next.call(request).await),
    }
}

/// Makes a version the newest again.
async fn put(place: &Place, mut request: ClientRequest, time: Timestamp) -> Refused<Response> {
    if !request.body.is_framed() {
        return Err(Box::new(respond::standard(Status(411))));
    }
    let is_empty = match request.body.length() {
        Some(length) => length == 0,
        None => !matches!(request.body.next().await, Some(Ok(bytes)) if !bytes.is_empty()),
    };
    if !is_empty {
        return Err(refuse_plainly(400, "PUT version-id requests require a zero byte body"));
    }
    may_write(place, &mut request).await?;
    let name = version_object(place.object(), time);
    let mut head = place.layer.granted(&request, Method::Head, place.in_versions(name.clone()));
    head.query = Query::parse(b"symlink=get");
    let response = place.layer.next.call(head).await;
    if response.head.status.0 == 404 {
        let path = Path { object: None, ..place.in_versions(name) };
        let container = place.layer.granted(&request, Method::Head, path);
        let is_there = place.layer.next.call(container).await.head.status.is_success();
        return Err(if is_there {
            refuse_plainly(404, "The specified version does not exist")
        } else {
            refuse_plainly(500, RE_ENABLE)
        });
    }
    let headers = need_success(response)?.head.headers;
    let text = |name: &str| headers.get_str(name).map(str::to_owned);
    let stored = Stored {
        id: time.internal(),
        name,
        etag: headers.get("Etag").cloned().unwrap_or_default(),
        bytes: text("X-Object-Sysmeta-Slo-Size").or(text("Content-Length")).unwrap_or_else(|| "0".to_owned()),
        content_type: text("Content-Type").unwrap_or_default(),
    };
    Ok(put_link(place, request, stored).await)
}

/// Deletes a version, and the link when it is the newest.
async fn delete(place: &Place, mut request: ClientRequest, id: &str, time: Timestamp) -> Refused<Response> {
    let next = &place.layer.next;
    let version = place.in_versions(version_object(place.object(), time));
    let current = current(place, &request).await?;
    let mut then = request.subrequest(Method::Delete, version.clone()).by("OV");
    let mut shown = "null".to_owned();
    if current.as_ref() == Some(&version) {
        // The link first: a version without a link is listed and can be deleted again, a link without a version is an error.
        // Who may not delete the version is told so before anything is gone.
        place.layer.authorize(&mut then, None).await?;
        request.query = Query::default();
        request.body = RequestBody::full("");
        need_success(next.call(request).await)?;
    } else if let Some((_, id)) = current.as_ref().and_then(|path| parse_version(path.object.as_deref()?)) {
        shown = id;
    }
    let mut response = next.call(then).await;
    response.head.headers.set(VERSION_ID, id.to_owned());
    response.head.headers.set("X-Object-Current-Version-Id", shown);
    Ok(response)
}

/// Where the link of the newest version points to; `None` without one.
async fn current(place: &Place, request: &ClientRequest) -> Refused<Option<Path>> {
    let mut head = place.layer.granted(request, Method::Head, place.path.clone());
    head.query = Query::parse(b"symlink=get");
    head.headers.set("X-Newest", "true");
    let response = place.layer.next.call(head).await;
    if response.head.status.0 == 404 {
        return Ok(None);
    }
    let headers = need_success(response)?.head.headers;
    let is_own = headers.get_str(STORED_LINK) == Some("true");
    Ok(target_of(&headers, &place.path.account).filter(|_| is_own))
}

async fn read(place: &Place, mut request: ClientRequest, id: &str, time: Timestamp) -> Refused<Response> {
    request.path = place.in_versions(version_object(place.object(), time));
    let mut response = place.layer.next.call(request).await;
    let headers = &mut response.head.headers;
    if headers.get_str("X-Backend-Content-Type").or(headers.get_str("Content-Type")) == Some(DELETE_MARKER) {
        let marker = respond::standard(Status(404));
        let mut marker = marker.header(VERSION_ID, id.to_owned());
        marker.head.headers.set("Content-Type", DELETE_MARKER);
        return Err(Box::new(marker));
    }
    if response.head.status.is_success() {
        headers.set(VERSION_ID, id.to_owned());
    }
    Ok(response)
}

async fn read_null(place: &Place, request: ClientRequest) -> Refused<Response> {
    let mut response = place.layer.next.call(request).await;
    if response.head.status.is_success() {
        let at = path_of(&response.head.headers, "Content-Location").and_then(|path| path.container);
        if at.is_some_and(|container| container.starts_with(VERSIONS_PREFIX)) {
            return Err(Box::new(respond::standard(Status(404))));
        }
        response.head.headers.set(VERSION_ID, "null");
    }
    Ok(response)
}
