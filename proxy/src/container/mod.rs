//! Container verbs, one file each.

mod delete;
mod get;
pub(crate) mod listing;
mod post;
mod put;
#[cfg(test)]
mod tests;
mod update;

use crate::app;
use crate::backend::gather::{Outcome, Write, settle};
use crate::backend::outgoing::{ACCOUNT_UPDATE, copy, spread_updates};
use crate::core::Core;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Headers, Method};
use base::names::Path;
use std::rc::Rc;

const ALLOWED: &str = "HEAD, GET, PUT, POST, OPTIONS, DELETE";

/// Answers a request for a container.
pub async fn handle(core: &Rc<Core>, mut request: ClientRequest) -> Response {
    match request.method {
        Method::Get | Method::Head => get::get(core, request).await,
        Method::Put | Method::Post => {
            // ACLs were cleaned on the way (`middleware::authorization`).
            remove_owner_fields(&core.config.swift_owner_headers, &mut request);
            if request.method == Method::Put { put::put(core, request).await } else { post::post(core, request).await }
        }
        Method::Delete => delete::delete(core, request).await,
        Method::Update => update::update(core, request).await,
        Method::Options => app::options(ALLOWED),
        _ => respond::not_allowed(ALLOWED),
    }
}

/// Takes off what only owners may set.
fn remove_owner_fields(names: &[String], request: &mut ClientRequest) {
    if !request.is_owner {
        for name in names {
            request.headers.remove(name);
        }
    }
}

/// The stored fields of a client's PUT or POST; `X-Remove-Container-*` becomes an empty value.
fn metadata(request: &ClientRequest, target: &mut Headers) {
    for (name, _) in request.headers.iter() {
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        let Some(item) = lower.strip_prefix("x-remove-container-") else { continue };
        if item.starts_with("meta-") || PLAIN_FIELDS.contains(&format!("x-container-{item}").as_str()) {
            target.set(format!("X-Container-{item}"), "");
        }
    }
    copy(&request.headers, target, |name| {
        name.starts_with("x-container-meta-")
            || name.starts_with("x-container-sysmeta-")
            || PLAIN_FIELDS.contains(&name)
    });
}

const PLAIN_FIELDS: [&str; 4] =
    ["x-container-read", "x-container-write", "x-container-sync-key", "x-container-sync-to"];

/// Sends a write to every replica, each told which account replica to update; everybody forgets what was known.
async fn write(core: &Rc<Core>, method: Method, path: &Path, headers: Headers, update_account: bool) -> Outcome {
    let placement = core.backend.place(&core.config, path);
    let mut requests = vec![headers; placement.primaries().len()];
    if update_account {
        let account = Path { account: path.account.clone(), container: None, object: None };
        let of_account = core.backend.place(&core.config, &account);
        let updated = of_account.primaries();
        spread_updates(&mut requests, &ACCOUNT_UPDATE, of_account.partition, &updated, updated.len());
    }
    settle(core, Write { method, path: path.clone(), placement, headers: requests, read_as: &[] }).await
}

fn written(outcome: Outcome) -> Response {
    respond::written(outcome.status, &outcome.headers, outcome.body)
}
