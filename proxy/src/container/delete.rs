//! DELETE of a container; one that holds objects is refused with 409.

use super::{write, written};
use crate::backend::outgoing::Origin;
use crate::core::Core;
use crate::facts::account_info;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Method, Status};
use std::rc::Rc;

/// Deletes the container.
pub(super) async fn delete(core: &Rc<Core>, request: ClientRequest) -> Response {
    let info = account_info(core, &request.path.account, &request.trans_id).await;
    if !info.exists() {
        return respond::standard(Status(if info.status >= 500 { 503 } else { 404 }));
    }
    let mut headers = Origin::of(&request).headers();
    headers.set("X-Backend-Storage-Policy-Default", "0");
    written(write(core, Method::Delete, &request.path, headers, true).await)
}
