//! PUT of a container: creates it, or updates its metadata. The first container creates the account when `account_autocreate`.

use super::{metadata, write, written};
use crate::account::autocreate;
use crate::backend::outgoing::Origin;
use crate::config::{Config, Policy};
use crate::constraints::check_metadata;
use crate::core::Core;
use crate::facts::{account_info, container_info};
use crate::middleware::authorization::clean_container_acls;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Method, Status};
use std::rc::Rc;

/// Creates or updates the container.
pub(super) async fn put(core: &Rc<Core>, mut request: ClientRequest) -> Response {
    if let Err(refused) = clean_container_acls(&mut request) {
        return *refused;
    }
    let limits = &core.config.constraints;
    if let Err(text) = check_metadata(limits, &request.headers, "Container") {
        return respond::bad_request(text);
    }
    let policy = match policy(&core.config, &request) {
        Ok(policy) => policy,
        Err(refusal) => return *refusal,
    };
    let name_length = request.path.container.as_deref().unwrap_or_default().len();
    if name_length > limits.max_container_name_length {
        let longest = limits.max_container_name_length;
        let text = format!("Container name length of {name_length} longer than {longest}");
        return respond::bad_request(text).header("Content-Type", "text/html; charset=UTF-8");
    }
    let origin = Origin::of(&request);
    if let Err(refusal) = need_account(core, &request, &origin).await {
        return *refusal;
    }
    if let Some(refusal) = refuse_one_more(core, &request).await {
        return refusal;
    }
    let mut headers = origin.headers();
    metadata(&request, &mut headers);
    let (field, index) = match policy {
        Some(policy) => ("X-Backend-Storage-Policy-Index", policy.index),
        None => {
            let default = core.config.policies.iter().find(|policy| policy.is_default);
            ("X-Backend-Storage-Policy-Default", default.map_or(0, |policy| policy.index))
        }
    };
    headers.set(field, index.to_string());
    written(write(core, Method::Put, &request.path, headers, true).await)
}

/// The storage policy asked for by name, if any.
fn policy<'a>(config: &'a Config, request: &ClientRequest) -> Result<Option<&'a Policy>, Box<Response>> {
    let Some(asked) = request.headers.get_str("X-Storage-Policy").filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let known = config.policies.iter().find(|known| known.names.iter().any(|name| name.eq_ignore_ascii_case(asked)));
    match known {
        None => Err(Box::new(respond::bad_request(format!("Invalid X-Storage-Policy '{asked}'")))),
        Some(policy) if policy.is_deprecated => {
            Err(Box::new(respond::bad_request(format!("Storage Policy '{}' is deprecated", policy.name()))))
        }
        Some(policy) => Ok(Some(policy)),
    }
}

/// An account that has all the containers it may have gets no new one. Its count comes from the facts, so it may be a little late.
async fn refuse_one_more(core: &Rc<Core>, request: &ClientRequest) -> Option<Response> {
    let (most, account) = (core.config.max_containers_per_account, &request.path.account);
    if most == 0 || core.config.max_containers_whitelist.iter().any(|listed| listed == account.as_str()) {
        return None;
    }
    let count = account_info(core, account, &request.trans_id).await.number("X-Account-Container-Count");
    let name = request.path.container.as_deref()?;
    if count < most || container_info(core, account, name, &request.trans_id).await.exists() {
        return None;
    }
    Some(respond::told(Status(403), format!("Reached container limit of {most}")))
}

/// The account must be there, or be made.
async fn need_account(core: &Rc<Core>, request: &ClientRequest, origin: &Origin) -> Result<(), Box<Response>> {
    let account = &request.path.account;
    let info = account_info(core, account, &request.trans_id).await;
    match info.status {
        200..=299 => Ok(()),
        404 if info.headers.get_str("X-Account-Status").is_some() => Err(Box::new(respond::standard(Status(404)))),
        404 if core.config.account_autocreate => {
            if autocreate(core, origin, request).await {
                Ok(())
            } else {
                Err(Box::new(respond::standard(Status(503))))
            }
        }
        404 | 410 => Err(Box::new(respond::standard(Status(404)))),
        _ => Err(Box::new(respond::standard(Status(503)))),
    }
}
