//! Object verbs, one file each.

mod checking;
mod delete;
mod get;
mod post;
mod put;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
mod updates;
mod upload;

use crate::app::{self, authorize_with};
use crate::backend::Placement;
use crate::core::Core;
use crate::facts::{Info, container_info};
use crate::middleware::authorization::SYNC_KEY;
use crate::request::{ClientRequest, OPEN_EXPIRED};
use crate::respond;
use base::config::is_true;
use base::http::server::Response;
use base::http::{Headers, Method, Status};
use std::rc::Rc;

const ALLOWED: &str = "HEAD, GET, PUT, POST, OPTIONS, DELETE";

/// Answers a request for an object.
pub async fn handle(core: &Rc<Core>, request: ClientRequest) -> Response {
    let outcome = match request.method {
        Method::Get | Method::Head => get::get(core, request).await,
        // Boxed, so that reading does not carry the space for writing.
        Method::Put => Box::pin(put::put(core, request)).await,
        Method::Post => Box::pin(post::post(core, request)).await,
        Method::Delete => Box::pin(delete::delete(core, request)).await,
        Method::Options => Ok(app::options(ALLOWED)),
        _ => Ok(respond::not_allowed(ALLOWED)),
    };
    outcome.unwrap_or_else(|refusal| *refusal)
}

/// The container's facts, after its read or write ACL allowed the request.
async fn authorized_container(core: &Rc<Core>, request: &mut ClientRequest) -> Result<Rc<Info>, Box<Response>> {
    let container = request.path.container.as_deref().unwrap_or_default();
    let info = container_info(core, &request.path.account, container, &request.trans_id).await;
    let reads = matches!(request.method, Method::Get | Method::Head);
    let acl = if reads { info.read_acl() } else { info.write_acl() };
    // Other clusters write and delete; they do not read.
    let is_written = matches!(request.method, Method::Put | Method::Delete);
    let sync_key = info.headers.get_str(SYNC_KEY).filter(|_| is_written);
    authorize_with(core, request, acl, sync_key).await?;
    Ok(info)
}

/// Tells the backends to answer for an expired object too, where that is allowed and wished.
fn open_expired(core: &Core, request: &ClientRequest, headers: &mut Headers) {
    if core.config.allow_open_expired && request.headers.get_str(OPEN_EXPIRED).is_some_and(is_true) {
        headers.set("X-Backend-Open-Expired", "true");
    }
}

/// A write needs a container: 404 without one, 503 when nobody knows.
fn need_container(info: &Info) -> Result<(), Box<Response>> {
    match info.status {
        200..=299 => Ok(()),
        500.. => Err(Box::new(respond::standard(Status(503)))),
        _ => Err(Box::new(respond::standard(Status(404)))),
    }
}

/// Where an object of a container with this storage policy lives; 503 when the policy is not configured here.
fn place(core: &Core, request: &ClientRequest, policy: u32) -> Result<Placement, Box<Response>> {
    let placement = core.backend.place_object(&core.config, &request.path, policy);
    placement.ok_or_else(|| Box::new(respond::standard(Status(503))))
}

/// Object fields a client may store, beside its metadata (lower case).
const STORED_FIELDS: [&str; 5] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "expires"];

fn is_stored(name: &str) -> bool {
    name.starts_with("x-object-meta-")
        || name.starts_with("x-object-sysmeta-")
        || name.starts_with("x-object-transient-sysmeta-")
        || STORED_FIELDS.contains(&name)
        || matches!(name, "x-object-manifest" | "x-robots-tag" | "x-static-large-object")
}
