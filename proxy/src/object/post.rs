//! POST of one object: its metadata replaced on every replica.

use super::put::expiry;
use super::{authorized_container, is_stored, need_container, open_expired, place, updates};
use crate::backend::gather::{Write, gather};
use crate::backend::outgoing::{Origin, copy};
use crate::constraints::check_metadata;
use crate::core::Core;
use crate::request::ClientRequest;
use crate::respond;
use base::http::Method;
use base::http::server::Response;
use base::names::Path;
use std::rc::Rc;

/// Replaces the metadata.
pub(super) async fn post(core: &Rc<Core>, mut request: ClientRequest) -> Result<Response, Box<Response>> {
    let info = authorized_container(core, &mut request).await?;
    need_container(&info)?;
    let refused = |text: String| Box::new(respond::bad_request(text));
    check_metadata(&core.config.constraints, &request.headers, "Object").map_err(refused)?;
    let expiry = expiry(core, &request).map_err(refused)?;
    let placement = place(core, &request, info.policy_index())?;
    let mut common = Origin::of(&request).headers();
    common.set("X-Backend-Storage-Policy-Index", info.policy_index().to_string());
    copy(&request.headers, &mut common, |name| is_stored(name) || name == "content-type");
    open_expired(core, &request, &mut common);
    // An empty content type would read as one that was sent.
    if common.get("Content-Type").is_some_and(|value| value.is_empty()) {
        common.remove("Content-Type");
    }
    if let Some(expiry) = &expiry {
        common.set("X-Delete-At", expiry.at.to_string());
    }
    let container = Path { object: None, ..request.path.clone() };
    let of_container = core.backend.place(&core.config, &container);
    let headers = updates::requests(&common, placement.primaries().len(), &of_container, expiry.as_ref());
    let write = Write { method: Method::Post, path: request.path.clone(), placement, headers, read_as: &[] };
    let outcome = gather(core, write).await;
    Ok(respond::written(outcome.status, &outcome.headers, outcome.body))
}
