//! DELETE of one object: a tombstone on every replica.

use super::{authorized_container, need_container, updates};
use crate::backend::gather::{Write, gather};
use crate::backend::outgoing::{Origin, copy};
use crate::core::Core;
use crate::request::ClientRequest;
use crate::respond;
use base::http::Method;
use base::http::server::Response;
use base::names::Path;
use std::rc::Rc;

/// Deletes the object. A replica that never had it stands beside one that deleted it: then it is deleted.
pub(super) async fn delete(core: &Rc<Core>, mut request: ClientRequest) -> Response {
    let info = match authorized_container(core, &mut request).await {
        Ok(info) => info,
        Err(denial) => return *denial,
    };
    if let Err(refusal) = need_container(&info) {
        return *refusal;
    }
    let placement = core.backend.place(&core.config, &request.path);
    let mut common = Origin::of(&request).headers();
    common.set("X-Backend-Storage-Policy-Index", info.policy_index().to_string());
    copy(&request.headers, &mut common, |name| name == "x-if-delete-at");
    let container = Path { object: None, ..request.path.clone() };
    let of_container = core.backend.place(&core.config, &container);
    let headers = updates::requests(&common, placement.primaries().len(), &of_container, None);
    let write =
        Write { method: Method::Delete, path: request.path.clone(), placement, headers, read_as: &[(404, 204)] };
    let outcome = gather(core, write).await;
    respond::written(outcome.status, &outcome.headers, outcome.body)
}
