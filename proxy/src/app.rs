//! The proxy application behind the pipeline: account, container and object verbs.

use crate::core::Core;
use crate::facts::account_info;
use crate::middleware::tempauth::{Acls, STORED_ACCOUNT_ACL, authorize};
use crate::request::{Authority, ClientRequest};
use crate::{account, container, object, respond};
use base::http::Method;
use base::http::server::Response;
use std::rc::Rc;

/// Answers one request. Asks `middleware::tempauth::authorize` itself as soon as it knows the ACL (unless `Authority::Granted`).
/// Listings are always asked from backends as JSON; the response's JSON is turned into the client's format by
/// `middleware::listing_formats`.
pub async fn handle(core: &Rc<Core>, mut request: ClientRequest) -> Response {
    if request.authority != Authority::Granted
        && let Err(denial) = authorize_with(core, &mut request, None).await
        // The container's ACL may still allow it.
        && !waits_for_acl(&request)
    {
        return *denial;
    }
    match (&request.path.container, &request.path.object) {
        (None, _) => account::handle(core, request).await,
        (Some(_), None) => container::handle(core, request).await,
        (Some(_), Some(_)) => object::handle(core, request).await,
    }
}

/// Asks with the container's ACL, now that it is known, and then with the account's; nothing to ask when already granted.
pub(crate) async fn authorize_with(
    core: &Rc<Core>,
    request: &mut ClientRequest,
    container: Option<&str>,
) -> Result<(), Box<Response>> {
    if request.authority == Authority::Granted {
        return Ok(());
    }
    let without = authorize(&core.config, request, Acls { container, account: None });
    if without.is_err() && request.identity.user.is_some() {
        // Groups that an account's ACL could name are only those of somebody.
        let info = account_info(core, &request.path.account, &request.trans_id).await;
        let account = info.headers.get_str(STORED_ACCOUNT_ACL);
        authorize(&core.config, request, Acls { container, account })?;
    } else {
        without?;
    }
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
