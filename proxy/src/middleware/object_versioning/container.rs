//! Requests for a container: versioning turned on and off, versions counted, listed, and not forgotten.

use super::names::{self, versions_container as versions_name};
use super::{
    ENABLED, ObjectVersioning, Refused, STORED_CONTAINER, STORED_ENABLED, bytes_used, listing, refuse,
    versions_container,
};
use crate::middleware::listing_formats::{self, JSON_ONLY, collect};
use crate::request::ClientRequest;
use crate::respond;
use base::config::is_true;
use base::http::server::{Response, ResponseBody};
use base::http::{Headers, Method, Status};
use base::io;
use base::names::Path;
use base::quote::quote;
use base::timestamp::Timestamp;
use bytes::Bytes;
use serde_json::{Map, Value};

/// A row of a listing.
pub(super) type Row = Map<String, Value>;

/// PUT or POST with `X-Versions-Enabled`: makes the versions container before the container says that it has one.
pub(super) async fn enable(layer: ObjectVersioning, mut request: ClientRequest) -> Refused<Response> {
    let fields = layer.application.container_headers(&request).await;
    let has = |name: &str| fields.get_str(name).is_some_and(|value| !value.is_empty());
    // Whether the caller may know, before he is told anything of the container.
    layer.authorize(&mut request, None).await?;
    if has("X-Container-Sysmeta-Versions-Location") || has("X-Versions-Location") {
        let text =
            "Cannot enable object versioning on a container that is already using the legacy versioned writes feature.";
        return Err(refuse(400, text));
    }
    if has("X-Container-Sync-To") {
        let text = "Cannot enable object versioning on a container configured as source of container syncing.";
        return Err(refuse(400, text));
    }
    let is_enabled = request.headers.get_str(ENABLED).is_some_and(is_true);
    request.headers.set(STORED_ENABLED, if is_enabled { "True" } else { "False" });
    if !is_enabled {
        return Ok(layer.next.call(request).await);
    }
    let name = versions_name(request.path.container.as_deref().unwrap_or_default());
    let path = Path { container: Some(name.as_str().into()), ..request.path.clone() };
    let mut put = layer.granted(&request, Method::Put, path.clone());
    if let Some(policy) = policy(&layer, &request, &fields)? {
        put.headers.set("X-Storage-Policy", policy);
    }
    let made = layer.next.call(put).await.head.status;
    if !made.is_success() && made.0 != 409 {
        return Err(refuse(500, "Error enabling object versioning"));
    }
    request.headers.set(STORED_CONTAINER, quote(name.as_bytes()));
    let mut undo = layer.granted(&request, Method::Delete, path);
    let response = layer.next.call(request).await;
    // One that was there before, with versions in it, is not empty and stays.
    if !response.head.status.is_success() && made.0 == 201 {
        // Later than what it undoes, or the container and its row in the account would stay.
        undo.timestamp =
            Timestamp::from_unix(io::unix_time()).max(undo.timestamp.with_offset_added(1).unwrap_or(undo.timestamp));
        layer.next.call(undo).await;
    }
    Ok(response)
}

/// The policy the versions container shall have: the container's own, or the one asked for.
fn policy(layer: &ObjectVersioning, request: &ClientRequest, fields: &Headers) -> Refused<Option<Bytes>> {
    let Some(index) = fields.get_str("X-Backend-Storage-Policy-Index") else {
        return Ok(request.headers.get("X-Storage-Policy").filter(|_| request.method == Method::Put).cloned());
    };
    let policy = layer.config.policies.iter().find(|policy| index.parse() == Ok(policy.index));
    match policy {
        Some(policy) if policy.is_deprecated => {
            Err(refuse(400, "Cannot enable object versioning on a container that uses a deprecated storage policy."))
        }
        policy => Ok(policy.map(|policy| Bytes::from(policy.name().to_owned()))),
    }
}

/// DELETE: the versions container goes first, and only when it is empty.
pub(super) async fn delete(layer: ObjectVersioning, mut request: ClientRequest) -> Refused<Response> {
    let fields = layer.application.container_headers(&request).await;
    let Some(name) = versions_container(&fields) else { return Ok(layer.next.call(request).await) };
    layer.authorize(&mut request, None).await?;
    let path = Path { container: Some(name.into()), ..request.path.clone() };
    let failed = || refuse(500, "Error deleting versioned container");
    // Asked now, for what is remembered may be old.
    let head = layer.next.call(layer.granted(&request, Method::Head, path.clone())).await.head;
    let count = head.headers.get_str("X-Container-Object-Count").and_then(|text| text.parse().ok()).unwrap_or(0_u64);
    match head.status.0 {
        200..=299 if count > 0 => return Err(refuse(409, "Delete all versions before deleting container.")),
        200..=299 | 404 => {}
        _ => return Err(failed()),
    }
    // Nor may objects of the container's own lose the place of their versions.
    let own = layer.granted(&request, Method::Head, request.path.clone());
    let own = layer.next.call(own).await.head;
    if own.headers.get_str("X-Container-Object-Count").is_some_and(|text| text != "0") {
        return Err(Box::new(respond::standard(Status(409))));
    }
    let deleted = layer.next.call(layer.granted(&request, Method::Delete, path)).await.head.status;
    if !deleted.is_success() && deleted.0 != 404 {
        return Err(failed());
    }
    Ok(layer.next.call(request).await)
}

/// GET and HEAD: bytes of both containers; rows of links show what they stand for.
pub(super) async fn read(layer: ObjectVersioning, request: ClientRequest) -> Refused<Response> {
    let asks_versions = request.query.get("versions").is_some();
    let mut asked = request.subrequest(request.method, request.path.clone()).by("OV");
    (asked.query, asked.headers) = (request.query.clone(), request.headers.clone());
    let mut response = layer.next.call(request).await;
    if let Some(enabled) = response.head.headers.get(STORED_ENABLED).cloned() {
        response.head.headers.set(ENABLED, enabled);
    }
    let stored = versions_container(&response.head.headers);
    if let Some(name) = &stored {
        let path = Path { container: Some(name.as_str().into()), ..asked.path.clone() };
        let head = layer.next.call(layer.granted(&asked, Method::Head, path)).await.head;
        if head.status.is_success() {
            let bytes = bytes_used(&response.head.headers).saturating_add(bytes_used(&head.headers));
            response.head.headers.set("X-Container-Bytes-Used", bytes.to_string());
        }
    }
    let is_listing = asked.method == Method::Get && response.head.status.is_success();
    if !is_listing || (stored.is_none() && !asks_versions) {
        return Ok(response);
    }
    // Whoever asks for versions is shown them, even where nobody seems to have turned them on.
    let versions = stored.unwrap_or_else(|| versions_name(asked.path.container.as_deref().unwrap_or_default()));
    let mut rows = rows(&mut response).await.ok_or_else(|| Box::new(respond::standard(Status(503))))?;
    for row in &mut rows {
        show_version(row, &asked.path, &versions, asks_versions);
    }
    if asks_versions {
        if !listing_formats::accepts_json(asked.query.get("format"), asked.headers.get("Accept").map(Bytes::as_ref)) {
            return Err(Box::new(respond::standard(Status(406))));
        }
        response.head.headers.set(JSON_ONLY, "yes");
        rows = listing::with_versions(&layer, &asked, &versions, rows).await?;
    }
    Ok(with_rows(response, &rows))
}

/// A row of a link into the versions container becomes a row of the version.
fn show_version(row: &mut Row, path: &Path, versions: &str, keeps_path: bool) {
    let target = row.get("symlink_path").and_then(Value::as_str).and_then(|path| path.strip_prefix("/v1"));
    let target = target.and_then(|target| Path::parse_reserved(target.as_bytes()).ok());
    let Some(target) = target.filter(|target| target.container.as_deref() == Some(versions)) else { return };
    let (Some(etag), Some(bytes)) = (row.remove("symlink_etag"), row.remove("symlink_bytes")) else { return };
    let parameters = row.get("hash").and_then(Value::as_str).and_then(|hash| hash.split_once(';'));
    let parameters = parameters.map(|(_, parameters)| format!(";{parameters}")).unwrap_or_default();
    row.insert("hash".into(), format!("{}{parameters}", etag.as_str().unwrap_or_default()).into());
    row.insert("bytes".into(), bytes);
    row.insert("version_symlink".into(), true.into());
    if keeps_path {
        return;
    }
    if let Some((object, id)) = target.object.as_deref().and_then(names::parse_version) {
        let shown =
            Path { account: target.account.clone(), container: path.container.clone(), object: Some(object.into()) };
        row.insert("symlink_path".into(), format!("/v1{}?version-id={id}", shown.quoted()).into());
    }
}

/// Most bytes of one page.
const PAGE_MAX: usize = 96 * 1024 * 1024;

/// The rows of a listing; `None` when it is none, or ends early.
pub(super) async fn rows(response: &mut Response) -> Option<Vec<Row>> {
    let body = collect(std::mem::replace(&mut response.body, ResponseBody::Empty), PAGE_MAX).await?;
    if body.is_empty() { Some(Vec::new()) } else { serde_json::from_slice(&body).ok() }
}

/// The answer with these rows.
pub(super) fn with_rows(mut response: Response, rows: &[Row]) -> Response {
    response.head.status = Status(200);
    response.head.headers.remove("Content-Length");
    response.body = ResponseBody::Full(serde_json::to_vec(rows).unwrap_or_default().into());
    response
}
