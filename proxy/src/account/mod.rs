//! Account verbs, one file each.

mod delete;
mod get;
mod post;
mod put;

use crate::app;
use crate::backend::gather::{Outcome, Write, settle};
use crate::backend::outgoing::{Origin, copy};
use crate::core::Core;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Headers, Method, Status};
use base::names::Path;
use bytes::Bytes;
use std::rc::Rc;

const ALLOWED: &str = "HEAD, GET, OPTIONS, POST";
const ALLOWED_MANAGED: &str = "HEAD, GET, OPTIONS, POST, PUT, DELETE";

/// Answers a request for an account, already authorized.
pub async fn handle(core: &Rc<Core>, request: ClientRequest) -> Response {
    let longest = core.config.constraints.max_account_name_length;
    if request.path.account.len() > longest {
        let length = request.path.account.len();
        return respond::told(Status(400), format!("Account name length of {length} longer than {longest}"));
    }
    let managed = core.config.allow_account_management;
    let allowed = if managed { ALLOWED_MANAGED } else { ALLOWED };
    match request.method {
        Method::Get | Method::Head => get::get(core, request).await,
        Method::Post => post::post(core, request).await,
        Method::Put if managed => put::put(core, request).await,
        Method::Delete if managed => delete::delete(core, request).await,
        Method::Options => app::options(allowed),
        _ => respond::not_allowed(allowed),
    }
}

/// Creates the account of `request` on all its nodes; used by the first write to it. What middleware wants to be kept with the
/// account is.
pub(crate) async fn autocreate(core: &Rc<Core>, origin: &Origin, request: &ClientRequest) -> bool {
    let path = Path { container: None, object: None, ..request.path.clone() };
    let mut headers = origin.headers();
    copy(&request.headers, &mut headers, |name| name.starts_with("x-account-sysmeta-"));
    write(core, Method::Put, path, headers).await.status.is_success()
}

/// Sends a write to every replica; everybody forgets what was known.
async fn write(core: &Rc<Core>, method: Method, path: Path, headers: Headers) -> Outcome {
    let placement = core.backend.place(&core.config, &path);
    let replicas = placement.primaries().len();
    settle(core, Write { method, path, placement, headers: vec![headers; replicas], read_as: &[] }).await
}

/// The metadata fields of a client's PUT or POST; `X-Remove-Account-Meta-x` becomes an empty `X-Account-Meta-x`.
fn metadata(request: &ClientRequest, target: &mut Headers) {
    for (name, _) in request.headers.iter() {
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        if let Some(item) = lower.strip_prefix("x-remove-account-meta-") {
            target.set(format!("X-Account-Meta-{item}"), "");
        }
    }
    copy(&request.headers, target, |name| {
        name.starts_with("x-account-meta-") || name.starts_with("x-account-sysmeta-")
    });
}

/// A write to a deleted account is 404 without a word, and says why in a field (Swift's account controller); only reads say 410.
fn written(outcome: Outcome) -> Response {
    let Some(deleted) = outcome.headers.get("X-Account-Status").filter(|_| !outcome.status.is_success()) else {
        return respond::written(outcome.status, &Headers::new(), outcome.body);
    };
    let body = if outcome.status.0 == 404 { Bytes::new() } else { outcome.body };
    Response::full(outcome.status, "text/html; charset=UTF-8", body).header("X-Account-Status", deleted.clone())
}

#[cfg(test)]
mod tests;
