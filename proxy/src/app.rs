//! The proxy application behind the pipeline: account, container and object verbs.

use crate::core::Core;
use crate::facts::account_info;
use crate::middleware::authorization::{Acls, Verdict, authorize, verdict};
use crate::middleware::keystoneauth;
use crate::request::{Authority, ClientRequest};
use crate::{account, container, object, respond};
use base::http::Method;
use base::http::server::Response;
use std::rc::Rc;

/// Answers one request: [`handle`] with a hold on its core.
pub async fn answer(core: Rc<Core>, request: ClientRequest) -> Response {
    handle(&core, request).await
}

/// Answers one request. Asks `middleware::authorization` itself as soon as it knows the ACL (unless `Authority::Granted`).
/// Listings are always asked from backends as JSON; the response's JSON is turned into the client's format by
/// `middleware::listing_formats`.
pub async fn handle(core: &Rc<Core>, mut request: ClientRequest) -> Response {
    // A verb that nothing has is no question of rights.
    let is_known = matches!(
        request.method,
        Method::Get | Method::Head | Method::Put | Method::Post | Method::Delete | Method::Options | Method::Update
    );
    if is_known
        && request.authority != Authority::Granted
        && let Err(denial) = authorize_with(core, &mut request, None, None).await
        // The container's ACL may still allow it.
        && !waits_for_acl(&request)
    {
        return *denial;
    }
    note_project_domain(core, &mut request).await;
    // Boxed where it is not a small object that is read: what is moved with each request should be what that takes.
    match (&request.path.container, &request.path.object) {
        (None, _) => Box::pin(account::handle(core, request)).await,
        (Some(_), None) => Box::pin(container::handle(core, request)).await,
        (Some(_), Some(_)) => object::handle(core, request).await,
    }
}

/// Asks with the container's ACL, now that it is known, and with the account's fields where they decide; nothing to ask when
/// already granted.
pub(crate) async fn authorize_with(
    core: &Rc<Core>,
    request: &mut ClientRequest,
    container: Option<&str>,
    sync_key: Option<&str>,
) -> Result<(), Box<Response>> {
    let without = Acls { container, account: None, sync_key };
    if verdict(&core.config, request, without) == Verdict::DependsOnAccount {
        let info = account_info(core, &request.path.account, &request.trans_id).await;
        authorize(&core.config, request, Acls { account: Some(&info.headers), ..without })?;
    } else {
        authorize(&core.config, request, without)?;
    }
    request.authority = Authority::Granted;
    Ok(())
}

/// Lets keystoneauth write down whose domain an account is in, with the request that makes it.
async fn note_project_domain(core: &Rc<Core>, request: &mut ClientRequest) {
    let Some(settings) = &core.config.keystoneauth else { return };
    if keystoneauth::may_note_domain(request) {
        let info = account_info(core, &request.path.account, &request.trans_id).await;
        keystoneauth::note_project_domain(settings, request, &info);
    }
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
