//! DELETE of an account (only with `allow_account_management`).

use super::{write, written};
use crate::backend::outgoing::Origin;
use crate::core::Core;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Method, Status};
use std::rc::Rc;

/// Marks the account deleted; the reaper removes what it holds.
pub(super) async fn delete(core: &Rc<Core>, request: ClientRequest) -> Response {
    // A parameter that some middleware should have understood must not delete a whole account.
    if request.query.iter().next().is_some() {
        return respond::standard(Status(400));
    }
    let headers = Origin::of(&request).headers();
    let outcome = write(core, Method::Delete, request.path, headers).await;
    match outcome.status {
        // As the account's server says it: without a sentence.
        Status(404) if !outcome.headers.contains("X-Account-Status") => respond::told(Status(404), ""),
        status if status.is_success() => written(outcome).header("X-Account-Status", "Deleted"),
        _ => written(outcome),
    }
}
