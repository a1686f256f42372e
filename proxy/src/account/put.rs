//! PUT of an account (only with `allow_account_management`).

use super::{metadata, write, written};
use crate::backend::outgoing::Origin;
use crate::constraints::check_metadata;
use crate::core::Core;
use crate::request::ClientRequest;
use crate::respond;
use base::http::Method;
use base::http::server::Response;
use std::rc::Rc;

/// Creates or updates the account.
pub(super) async fn put(core: &Rc<Core>, request: ClientRequest) -> Response {
    if let Err(text) = check_metadata(&core.config.constraints, &request.headers, "Account") {
        return respond::bad_request(text);
    }
    let mut headers = Origin::of(&request).headers();
    metadata(&request, &mut headers);
    written(write(core, Method::Put, request.path, headers).await)
}
