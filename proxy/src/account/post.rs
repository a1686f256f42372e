//! POST of an account: its metadata. The first one creates it when `account_autocreate`.

use super::{autocreate, metadata, write, written};
use crate::backend::outgoing::Origin;
use crate::constraints::check_metadata;
use crate::core::Core;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Method, Status};
use std::rc::Rc;

/// Merges the metadata sent into the account's.
pub(super) async fn post(core: &Rc<Core>, request: ClientRequest) -> Response {
    if let Err(text) = check_metadata(&core.config.constraints, &request.headers, "Account") {
        return respond::bad_request(text);
    }
    let origin = Origin::of(&request);
    let mut headers = origin.headers();
    metadata(&request, &mut headers);
    let outcome = write(core, Method::Post, request.path.clone(), headers.clone()).await;
    let missing = outcome.status.0 == 404 && !outcome.headers.contains("X-Account-Status");
    if !missing || !core.config.account_autocreate {
        return written(outcome);
    }
    if !autocreate(core, &origin, &request).await {
        return respond::standard(Status(503));
    }
    written(write(core, Method::Post, request.path, headers).await)
}
