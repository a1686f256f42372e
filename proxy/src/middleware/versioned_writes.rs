//! versioned_writes: the older kind of versions. A container names another one that gets a copy of what is overwritten.
//!
//! - `X-Versions-Location` makes a stack: a DELETE brings the version before back.
//! - `X-History-Location` makes a history: a DELETE is a version too, a marker, and nothing comes back.
//!
//! A version of `object` is called `<length of the name, three hex digits><object>/<time>`: all versions of one object share a
//! prefix that no other object's name can have. Formats are Swift's, as is the system metadata of the container.
//!
//! # Invariants
//!
//! - The caller's right to write is asked before anything is copied, restored or deleted in his name (CVE-2015-1856).
//! - What is overwritten or deleted was copied before; what is restored is deleted from the stack only after.

#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::middleware::early_right::authorize_early;
use crate::middleware::listing_formats::collect;
use crate::middleware::whole_copy;
use crate::pipeline::Application;
use crate::request::{Authority, ClientRequest};
use crate::respond;
use base::http::server::{Response, ResponseBody};
use base::http::{Headers, Method, Status};
use base::io::Job;
use base::names::Path;
use base::quote::{Query, quote, unquote};
use base::timestamp::Timestamp;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::rc::Rc;

const STACK: &str = "X-Versions-Location";
const HISTORY: &str = "X-History-Location";
const REMOVALS: [&str; 2] = ["X-Remove-Versions-Location", "X-Remove-History-Location"];
const STORED_LOCATION: &str = "X-Container-Sysmeta-Versions-Location";
const STORED_MODE: &str = "X-Container-Sysmeta-Versions-Mode";
/// The type of a version that says that there was none.
pub(super) const DELETE_MARKER: &str = "application/x-deleted;swift_versions_deleted=1";

/// The layer.
#[derive(Clone)]
pub struct VersionedWrites {
    config: Rc<Config>,
    next: Rc<dyn Application>,
    application: Rc<dyn Application>,
}

type Refused<T> = Result<T, Box<Response>>;

impl VersionedWrites {
    /// Around `next`; `application` is the innermost one, which knows the containers.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>, application: Rc<dyn Application>) -> Self {
        Self { config, next, application }
    }

    fn granted(&self, request: &ClientRequest, method: Method, path: Path) -> ClientRequest {
        let mut made = request.subrequest(method, path).by("VW");
        made.authority = Authority::Granted;
        made
    }
}

impl Application for VersionedWrites {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        let layer = self.clone();
        match (&request.path.container, &request.path.object, request.method) {
            (Some(_), None, _) => {
                Job::new(async move { container(layer, request).await.unwrap_or_else(|refused| *refused) })
            }
            (Some(_), Some(_), Method::Put | Method::Delete) if self.config.allow_versioned_writes => {
                Job::new(async move { object(layer, request).await.unwrap_or_else(|refused| *refused) })
            }
            _ => self.next.call(request),
        }
    }
}

/// What clients say becomes system metadata, and the reverse.
async fn container(layer: VersionedWrites, mut request: ClientRequest) -> Refused<Response> {
    translate(&mut request, layer.config.allow_versioned_writes)?;
    let mut response = layer.next.call(request).await;
    let headers = &mut response.head.headers;
    if let Some(location) = headers.get(STORED_LOCATION).filter(|value| !value.is_empty()).cloned() {
        let is_history = headers.get_str(STORED_MODE) == Some("history");
        headers.set(if is_history { HISTORY } else { STACK }, location);
    }
    Ok(response)
}

fn translate(request: &mut ClientRequest, is_allowed: bool) -> Refused<()> {
    let headers = &mut request.headers;
    let says = |headers: &Headers, name: &str| headers.get(name).is_some_and(|value| !value.is_empty());
    if says(headers, STACK) && says(headers, HISTORY) {
        return Err(Box::new(respond::bad_request(
            "Only one of x-versions-location or x-history-location may be specified",
        )));
    }
    let (name, mode) = if says(headers, HISTORY) { (HISTORY, "history") } else { (STACK, "stack") };
    let mut is_removed = REMOVALS.iter().any(|name| says(headers, name));
    if says(headers, name) {
        if !is_allowed && matches!(request.method, Method::Put | Method::Post) {
            return Err(Box::new(respond::explained(Status(412), "Versioned Writes is disabled")));
        }
        let location = headers.get(name).cloned().unwrap_or_default();
        if location.contains(&b'/') {
            return Err(Box::new(respond::told(Status(412), "Container name cannot contain slashes")));
        }
        headers.set(STORED_LOCATION, location);
        headers.set(STORED_MODE, mode);
        is_removed = false;
    } else {
        // Said without a value is as good as removed.
        is_removed |= headers.contains(STACK) || headers.contains(HISTORY);
    }
    if is_removed {
        headers.set(STORED_LOCATION, "");
        headers.set(STORED_MODE, "");
    }
    for name in [STACK, HISTORY].into_iter().chain(REMOVALS) {
        headers.remove(name);
    }
    Ok(())
}

/// A container that has its older versions elsewhere, and an object of it.
struct Place {
    layer: VersionedWrites,
    path: Path,
    versions: String,
}

async fn object(layer: VersionedWrites, mut request: ClientRequest) -> Refused<Response> {
    let fields = layer.application.container_headers(&request).await;
    let stored = fields.get(STORED_LOCATION).or(fields.get(STACK)).filter(|value| !value.is_empty());
    let versions = stored.and_then(|value| String::from_utf8(unquote(value)).ok());
    let versions = versions.and_then(|name| name.split('/').next().map(str::to_owned)).filter(|name| !name.is_empty());
    let Some(versions) = versions else { return Ok(layer.next.call(request).await) };
    let is_history = fields.get_str(STORED_MODE) == Some("history");
    authorize_early(&layer.config, &layer.application, &mut request, fields.get_str("X-Container-Write")).await?;
    let place = Place { layer, path: request.path.clone(), versions };
    match request.method {
        Method::Put => keep_current(&place, &request).await?,
        _ if is_history => push_marker(&place, &request).await?,
        _ => request = pop(&place, request).await?,
    }
    Ok(place.layer.next.call(request).await)
}

/// Copies what is there now to the versions.
async fn keep_current(place: &Place, request: &ClientRequest) -> Refused<()> {
    if let Some(text) = request.refusal {
        return Err(Box::new(Response::full(Status(413), "text/html; charset=UTF-8", text)));
    }
    let Some(current) = read(place, request, place.path.clone()).await? else { return Ok(()) };
    let time = whole_copy::written_at(&current.head.headers, &["X-Timestamp"]);
    let time = time.ok_or_else(|| Box::new(respond::standard(Status(503))))?;
    write(place, request, current, place.version(time)).await
}

/// A DELETE that will be part of the history.
async fn push_marker(place: &Place, request: &ClientRequest) -> Refused<()> {
    keep_current(place, request).await?;
    let mut marker = place.layer.granted(request, Method::Put, place.version(request.timestamp));
    marker.headers.set("Content-Type", DELETE_MARKER);
    marker.headers.set("X-Backend-Content-Type-Overridden", "yes");
    need_success(place.layer.next.call(marker).await).map(|_| ())
}

/// Brings back the version before. What is left to do is the request returned: the DELETE of the version that came back, of the
/// marker that hid it, or of the object itself when there is no version.
async fn pop(place: &Place, request: ClientRequest) -> Refused<ClientRequest> {
    let mut versions = Versions { place, pages: VecDeque::new(), marker: String::new(), is_over: false };
    // Ends: every turn takes one version of a listing that goes on behind the last name.
    while let Some(version) = versions.next(&request).await? {
        let path = place.in_versions(version.name);
        if version.content_type != DELETE_MARKER {
            if restore(place, &request, path.clone()).await? {
                return Ok(place.layer.granted(&request, Method::Delete, path));
            }
            continue;
        }
        let mut head = place.layer.granted(&request, Method::Head, place.path.clone());
        head.headers.set("X-Newest", "true");
        let head = place.layer.next.call(head).await;
        if head.head.status.0 != 404 {
            need_success(head)?;
            // Back to the state that the marker tells of.
            return Ok(request);
        }
        // The marker is what there is: the version behind it comes back.
        while let Some(older) = versions.next(&request).await? {
            if older.content_type == DELETE_MARKER {
                break;
            }
            let older = place.in_versions(older.name);
            if !restore(place, &request, older.clone()).await? {
                continue;
            }
            let deleted = place.layer.next.call(place.layer.granted(&request, Method::Delete, older)).await;
            if deleted.head.status.0 != 404 {
                need_success(deleted)?;
            }
            break;
        }
        return Ok(place.layer.granted(&request, Method::Delete, path));
    }
    Ok(request)
}

/// Makes a version the object again; `false` when it is gone.
async fn restore(place: &Place, request: &ClientRequest, from: Path) -> Refused<bool> {
    let Some(version) = read(place, request, from).await? else { return Ok(false) };
    write(place, request, version, place.path.clone()).await?;
    Ok(true)
}

async fn read(place: &Place, request: &ClientRequest, path: Path) -> Refused<Option<Response>> {
    let mut get = place.layer.granted(request, Method::Get, path);
    get.query = Query::parse(b"symlink=get");
    get.headers.set("X-Newest", "true");
    let response = place.layer.next.call(get).await;
    if response.head.status.0 == 404 { Ok(None) } else { need_success(response).map(Some) }
}

async fn write(place: &Place, request: &ClientRequest, source: Response, path: Path) -> Refused<()> {
    let mut put = place.layer.granted(request, Method::Put, path);
    whole_copy::carry(source, &mut put)?;
    need_success(place.layer.next.call(put).await).map(|_| ())
}

impl Place {
    fn in_versions(&self, object: String) -> Path {
        Path {
            account: self.path.account.clone(),
            container: Some(self.versions.as_str().into()),
            object: Some(object.into()),
        }
    }

    /// What the names of all versions of the object begin with.
    fn prefix(&self) -> String {
        let object = self.path.object.as_deref().unwrap_or_default();
        format!("{:03x}{object}/", object.len())
    }

    fn version(&self, time: Timestamp) -> Path {
        self.in_versions(format!("{}{}", self.prefix(), time.internal()))
    }
}

/// A row of the listing of versions.
struct Version {
    name: String,
    content_type: String,
}

/// The versions of an object, the newest first, a page at a time.
struct Versions<'a> {
    place: &'a Place,
    pages: VecDeque<Version>,
    marker: String,
    is_over: bool,
}

/// Most bytes of one page.
const PAGE_MAX: usize = 96 * 1024 * 1024;

impl Versions<'_> {
    async fn next(&mut self, request: &ClientRequest) -> Refused<Option<Version>> {
        if self.pages.is_empty() && !self.is_over {
            self.pages = self.page(request).await?;
            match self.pages.back() {
                Some(last) => self.marker = last.name.clone(),
                None => self.is_over = true,
            }
        }
        Ok(self.pages.pop_front())
    }

    async fn page(&self, request: &ClientRequest) -> Refused<VecDeque<Version>> {
        let path = Path { object: None, ..self.place.in_versions(String::new()) };
        let mut get = self.place.layer.granted(request, Method::Get, path);
        let (prefix, marker) = (quote(self.place.prefix().as_bytes()), quote(self.marker.as_bytes()));
        get.query = Query::parse(format!("prefix={prefix}&marker={marker}&reverse=on").as_bytes());
        let mut response = self.place.layer.next.call(get).await;
        match response.head.status.0 {
            200..=299 => {}
            404 => return Ok(VecDeque::new()),
            400..=499 => return Err(Box::new(respond::standard(Status(412)))),
            _ => return Err(Box::new(respond::standard(Status(500)))),
        }
        let failed = || Box::new(respond::standard(Status(500)));
        let body = std::mem::replace(&mut response.body, ResponseBody::Empty);
        let body = collect(body, PAGE_MAX).await.ok_or_else(failed)?;
        if body.is_empty() {
            return Ok(VecDeque::new());
        }
        let rows: Vec<Map<String, Value>> = serde_json::from_slice(&body).map_err(|_| failed())?;
        let text = |row: &Map<String, Value>, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let version = |row| Some(Version { name: text(&row, "name")?, content_type: text(&row, "content_type")? });
        Ok(rows.into_iter().filter_map(version).collect())
    }
}

/// Every refusal of a request of our own means that the versions are not as they should be.
fn need_success(response: Response) -> Refused<Response> {
    match response.head.status.0 {
        200..=299 => Ok(response),
        400..=499 => Err(Box::new(respond::standard(Status(412)))),
        _ => Err(Box::new(respond::standard(Status(503)))),
    }
}
