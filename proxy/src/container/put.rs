//! PUT of a container: creates it, or updates its metadata. The first container creates the account when `account_autocreate`.

use super::{metadata, write, written};
use crate::account::autocreate;
use crate::backend::outgoing::Origin;
use crate::constraints::check_metadata;
use crate::core::Core;
use crate::facts::account_info;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Method, Status};
use std::rc::Rc;

/// Creates or updates the container.
pub(super) async fn put(core: &Rc<Core>, request: ClientRequest) -> Response {
    let limits = &core.config.constraints;
    if let Err(text) = check_metadata(limits, &request.headers, "Container") {
        return respond::bad_request(text);
    }
    // Only policy 0 is stored so far.
    let policy = request.headers.get_str("X-Storage-Policy").filter(|name| !name.is_empty());
    if let Some(policy) = policy
        && !core
            .config
            .policies
            .iter()
            .any(|known| known.index == 0 && known.names.iter().any(|name| name.eq_ignore_ascii_case(policy)))
    {
        return respond::bad_request(format!("Invalid X-Storage-Policy '{policy}'"));
    }
    let name_length = request.path.container.as_deref().unwrap_or_default().len();
    if name_length > limits.max_container_name_length {
        let longest = limits.max_container_name_length;
        return respond::bad_request(format!("Container name length of {name_length} longer than {longest}"));
    }
    let origin = Origin::of(&request);
    if let Err(refusal) = need_account(core, &request, &origin).await {
        return *refusal;
    }
    let mut headers = origin.headers();
    metadata(&request, &mut headers);
    let explicit = policy.is_some();
    headers.set(if explicit { "X-Backend-Storage-Policy-Index" } else { "X-Backend-Storage-Policy-Default" }, "0");
    written(write(core, Method::Put, &request.path, headers, true).await)
}

/// The account must be there, or be made.
async fn need_account(core: &Rc<Core>, request: &ClientRequest, origin: &Origin) -> Result<(), Box<Response>> {
    let account = &request.path.account;
    let info = account_info(core, account, &request.trans_id).await;
    match info.status {
        200..=299 => Ok(()),
        404 if info.headers.get_str("X-Account-Status").is_some() => Err(Box::new(respond::standard(Status(404)))),
        404 if core.config.account_autocreate => {
            if autocreate(core, origin, account).await {
                Ok(())
            } else {
                Err(Box::new(respond::standard(Status(503))))
            }
        }
        404 | 410 => Err(Box::new(respond::standard(Status(404)))),
        _ => Err(Box::new(respond::standard(Status(503)))),
    }
}
