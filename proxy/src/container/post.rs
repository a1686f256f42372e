//! POST of a container: its metadata and ACLs.

use super::{metadata, write, written};
use crate::backend::outgoing::Origin;
use crate::constraints::check_metadata;
use crate::core::Core;
use crate::facts::account_info;
use crate::middleware::authorization::clean_container_acls;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Method, Status};
use std::rc::Rc;

/// Merges the metadata sent into the container's.
pub(super) async fn post(core: &Rc<Core>, mut request: ClientRequest) -> Response {
    if let Err(refused) = clean_container_acls(&mut request) {
        return *refused;
    }
    if let Err(text) = check_metadata(&core.config.constraints, &request.headers, "Container") {
        return respond::bad_request(text);
    }
    let info = account_info(core, &request.path.account, &request.trans_id).await;
    if !info.exists() {
        return respond::standard(Status(if info.status >= 500 { 503 } else { 404 }));
    }
    let mut headers = Origin::of(&request).headers();
    metadata(&request, &mut headers);
    written(write(core, Method::Post, &request.path, headers, false).await)
}
