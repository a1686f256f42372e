//! DELETE of one object: a tombstone on every replica.

use super::{authorized_container, need_container, place, updates};
use crate::backend::gather::{Write, gather_from};
use crate::backend::outgoing::{Origin, copy};
use crate::core::Core;
use crate::expirer::queue::CLEAN_QUEUE;
use crate::request::ClientRequest;
use crate::respond;
use base::config::is_true;
use base::http::Method;
use base::http::server::Response;
use base::names::Path;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::rc::Rc;

/// Deletes the object. A replica that never had it stands beside one that deleted it: then it is deleted.
pub(super) async fn delete(core: &Rc<Core>, mut request: ClientRequest) -> Result<Response, Box<Response>> {
    let info = authorized_container(core, &mut request).await?;
    need_container(&info)?;
    let due = request.headers.get("X-If-Delete-At").map(|value| std::str::from_utf8(value).unwrap_or_default());
    if due.is_some_and(|text| Timestamp::parse(text.trim()).is_err()) {
        return Err(Box::new(respond::bad_request("Bad X-If-Delete-At header value")));
    }
    let placement = place(core, &request, info.policy_index())?;
    let mut common = Origin::of(&request).headers();
    common.set("X-Backend-Storage-Policy-Index", info.policy_index().to_string());
    copy(&request.headers, &mut common, |name| name == "x-if-delete-at");
    let container = Path { object: None, ..request.path.clone() };
    let of_container = core.backend.place(&core.config, &container);
    let (candidates, more) = core.backend.candidates_for_delete(&core.config, &placement);
    let mut headers = updates::requests(&common, placement.primaries().len() + more, &of_container, None);
    // No client gets here with it. The expirer takes the row away itself.
    if request.headers.get_str(CLEAN_QUEUE).is_some_and(|text| !is_true(text)) {
        headers.iter_mut().for_each(|headers| headers.set(CLEAN_QUEUE, "f"));
    }
    let write =
        Write { method: Method::Delete, path: request.path.clone(), placement, headers, read_as: &[(404, 204)] };
    let outcome = gather_from(core, candidates, write, Bytes::new(), core.config.post_quorum_timeout).await;
    Ok(respond::written(outcome.status, &outcome.headers, outcome.body))
}
