//! object_versioning: containers that keep every version of their objects (`X-Versions-Enabled`).
//!
//! The data of every version lies in a container with a reserved name; in the user's own container stands a static link to the
//! newest. A version's id is the time it was written. Formats of names and fields are Swift's, so that either proxy reads what
//! the other one wrote.
//!
//! - `object` answers requests that name no version: a PUT writes a version and then the link, a DELETE a marker.
//! - `version` answers those with `?version-id=`.
//! - `container` turns versioning on and off, counts and deletes; `listing` merges both containers' rows.
//! - `account` adds what versions take to the listing of containers.
//!
//! # Invariants
//!
//! - The caller's right to write is asked before anything is written in his name.
//! - A link is written only after its version is stored by a quorum, and deleted only after the marker is.

mod account;
mod container;
mod listing;
mod names;
mod object;
#[cfg(test)]
mod tests;
mod version;

use crate::config::Config;
use crate::middleware::early_right::authorize_early;
use crate::pipeline::{Application, Fields};
use crate::request::{Authority, ClientRequest};
use crate::respond::{self, settled};
use base::config::is_true;
use base::http::server::{LocalFuture, Response};
use base::http::{Headers, Method, Status};
use base::io::Job;
use base::names::Path;
use base::quote::unquote;
use std::rc::Rc;

/// What clients say and see.
const ENABLED: &str = "X-Versions-Enabled";
const STORED_ENABLED: &str = "X-Container-Sysmeta-Versions-Enabled";
/// The versions container, percent-encoded.
const STORED_CONTAINER: &str = "X-Container-Sysmeta-Versions-Container";
/// `true` on a link that this layer made.
const STORED_LINK: &str = "X-Object-Sysmeta-Versions-Symlink";
const VERSION_ID: &str = "X-Object-Version-Id";
const RE_ENABLE: &str = "The versions container does not exist. You may want to re-enable object versioning.";

/// The layer.
#[derive(Clone)]
pub struct ObjectVersioning {
    config: Rc<Config>,
    next: Rc<dyn Application>,
    application: Rc<dyn Application>,
}

type Refused<T> = Result<T, Box<Response>>;

impl ObjectVersioning {
    /// Around `next`; `application` is the innermost one, which knows the containers.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>, application: Rc<dyn Application>) -> Self {
        Self { config, next, application }
    }

    /// A request of the layer itself, with all rights.
    fn granted(&self, request: &ClientRequest, method: Method, path: Path) -> ClientRequest {
        let mut made = request.subrequest(method, path).by("OV");
        made.authority = Authority::Granted;
        made
    }

    /// Asks whether the caller may do this, by the ACL at hand and the account's; after that nobody asks again.
    async fn authorize(&self, request: &mut ClientRequest, container: Option<&str>) -> Refused<()> {
        authorize_early(&self.config, &self.application, request, container).await
    }
}

impl Application for ObjectVersioning {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        // Nearly all are of a container that is known to keep no versions.
        if request.path.object.is_some()
            && self.application.known_container(&request).is_some_and(|fields| is_plain(&fields, &request))
        {
            return self.next.call(request);
        }
        let layer = self.clone();
        let is_listing = request.method == Method::Get;
        match (&request.path.container, &request.path.object, request.method) {
            (None, ..) if is_listing => Job::new(account::list(layer, request)),
            (None, ..) => self.next.call(request),
            (Some(_), None, Method::Put | Method::Post) if request.headers.contains(ENABLED) => {
                answer(container::enable(layer, request))
            }
            (Some(_), None, Method::Delete) => answer(container::delete(layer, request)),
            (Some(_), None, Method::Get | Method::Head) => answer(container::read(layer, request)),
            (Some(_), None, _) => self.next.call(request),
            (Some(_), Some(_), _) => Job::new(object(layer, request)),
        }
    }

    /// With what the versions take, for the quota.
    fn container_headers(&self, request: &ClientRequest) -> LocalFuture<'static, Fields> {
        let layer = self.clone();
        let first = self.application.container_headers(request);
        let mut of_versions = request.subrequest(Method::Head, request.path.clone()).by("OV");
        Box::pin(async move {
            let known = first.await;
            let Some(container) = versions_container(&known) else { return known };
            if !known.contains("X-Container-Meta-Quota-Bytes") {
                return known;
            }
            let mut fields = known.clone();
            // Asked now: objects come without the remembered number growing.
            of_versions.path = Path { container: Some(container.into()), object: None, ..of_versions.path };
            of_versions.authority = Authority::Granted;
            let more = bytes_used(&layer.next.call(of_versions).await.head.headers);
            fields.set("X-Container-Bytes-Used", bytes_used(&fields).saturating_add(more).to_string());
            fields.into()
        })
    }
}

fn answer(refusable: impl Future<Output = Refused<Response>> + 'static) -> Job<Response> {
    Job::new(settled(refusable))
}

/// A container that keeps, or has kept, versions, and an object of it.
struct Place {
    layer: ObjectVersioning,
    /// As the client named it.
    path: Path,
    /// Where the versions are.
    versions: String,
    is_enabled: bool,
    write_acl: Option<String>,
}

impl Place {
    fn object(&self) -> &str {
        self.path.object.as_deref().unwrap_or_default()
    }

    fn in_versions(&self, object: String) -> Path {
        let container = Some(self.versions.as_str().into());
        Path { account: self.path.account.clone(), container, object: Some(object.into()) }
    }

    /// The id of the version that a quoted `/v1/account/container/object` or `container/object` is, when it is one of these.
    fn id_in(&self, path: &Path) -> Option<String> {
        if path.account != self.path.account || path.container.as_deref() != Some(&self.versions) {
            return None;
        }
        names::parse_version(path.object.as_deref()?).map(|(_, id)| id)
    }
}

async fn object(layer: ObjectVersioning, request: ClientRequest) -> Response {
    let fields = layer.application.container_headers(&request).await;
    if is_plain(&fields, &request) {
        return layer.next.call(request).await;
    }
    // Boxed: the future of an object without versions stays small.
    Box::pin(versioned(layer, request, fields)).await.unwrap_or_else(|refused| *refused)
}

/// Whether neither the container nor the request knows of versions.
fn is_plain(fields: &Headers, request: &ClientRequest) -> bool {
    versions_container(fields).is_none() && request.query.get("version-id").is_none_or(<[u8]>::is_empty)
}

async fn versioned(layer: ObjectVersioning, request: ClientRequest, fields: Fields) -> Refused<Response> {
    let versions = versions_container(&fields);
    let version_id = request.query.get("version-id").filter(|id| !id.is_empty());
    let version_id = version_id.map(|id| String::from_utf8_lossy(id).into_owned());
    let place = Place {
        layer,
        path: request.path.clone(),
        is_enabled: fields.get_str(STORED_ENABLED).is_some_and(is_true),
        versions: versions.unwrap_or_default(),
        write_acl: fields.get_str("X-Container-Write").map(str::to_owned),
    };
    if let Some(id) = version_id {
        return version::handle(&place, request, &id).await;
    }
    match request.method {
        Method::Put if place.is_enabled => object::put(&place, request).await,
        Method::Delete if place.is_enabled => object::delete(&place, request).await,
        Method::Post => Ok(object::post(&place, request).await),
        Method::Get | Method::Head => Ok(object::read(&place, request).await),
        _ => Ok(place.layer.next.call(request).await),
    }
}

fn versions_container(fields: &Headers) -> Option<String> {
    let stored = String::from_utf8(unquote(fields.get(STORED_CONTAINER)?)).ok()?;
    let container = stored.split('/').next().unwrap_or_default();
    (!container.is_empty()).then(|| container.to_owned())
}

fn bytes_used(fields: &Headers) -> u64 {
    fields.get_str("X-Container-Bytes-Used").and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Goes on after success; what is missing becomes 412, other refusals pass, failures become 503.
fn need_success(response: Response) -> Refused<Response> {
    match response.head.status.0 {
        200..=299 => Ok(response),
        404 => Err(Box::new(respond::standard(Status(412)))),
        400..=499 => Err(Box::new(response)),
        _ => Err(Box::new(respond::standard(Status(503)))),
    }
}

fn refuse(status: u16, text: &str) -> Box<Response> {
    Box::new(respond::told(Status(status), text))
}

/// As plain text, as Swift says a few of its sentences.
fn refuse_plainly(status: u16, text: &str) -> Box<Response> {
    Box::new(respond::explained(Status(status), text))
}
