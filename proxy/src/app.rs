//! The proxy application behind the pipeline: account, container and object verbs.

use crate::core::Core;
use crate::middleware::tempauth::authorize;
use crate::request::{Authority, ClientRequest};
use crate::{account, container, object, respond};
use base::http::Method;
use base::http::server::Response;
use std::rc::Rc;

/// Answers one request. Asks `middleware::tempauth::authorize` itself as soon as it knows the ACL (unless `Authority::Granted`).
/// Listings are always asked from backends as JSON; the response's JSON is turned into the client's format by
/// `middleware::listing_formats`.
pub async fn handle(core: &Rc<Core>, mut request: ClientRequest) -> Response {
    if request.authority == Authority::Ask {
        match authorize(&core.config, &mut request, None) {
            Ok(()) => request.authority = Authority::Granted,
            // The container's ACL may still allow it.
            Err(_) if waits_for_acl(&request) => {}
            Err(denial) => return *denial,
        }
    }
    match (&request.path.container, &request.path.object) {
        (None, _) => account::handle(core, request).await,
        (Some(_), None) => container::handle(core, request).await,
        (Some(_), Some(_)) => object::handle(core, request).await,
    }
}

/// Asks again, now that the ACL is known; nothing to ask when already granted.
pub(crate) fn authorize_with(core: &Core, request: &mut ClientRequest, acl: Option<&str>) -> Result<(), Box<Response>> {
    if request.authority == Authority::Granted {
        return Ok(());
    }
    authorize(&core.config, request, acl)?;
    request.authority = Authority::Granted;
    Ok(())
}

/// OPTIONS without an origin; preflights are answered by `middleware`.
pub(crate) fn options(allowed: &'static str) -> Response {
    respond::standard(base::http::Status(200)).header("Allow", allowed)
}

fn waits_for_acl(request: &ClientRequest) -> bool {
    match (&request.path.container, &request.path.object) {
        (None, _) => false,
        (Some(_), None) => matches!(request.method, Method::Get | Method::Head),
        (Some(_), Some(_)) => true,
    }
}
