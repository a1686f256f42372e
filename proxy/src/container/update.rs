//! UPDATE of a container: rows that the proxy itself writes to a queue of the system's (Swift's private method). No client
//! gets here: the pipeline refuses the verb.

use crate::backend::gather::{Write, settle_with};
use crate::backend::outgoing::Origin;
use crate::core::Core;
use crate::request::{Authority, ClientRequest};
use crate::respond;
use base::http::Status;
use base::http::server::Response;
use std::rc::Rc;

/// Bytes of the rows: a container server takes as many.
const ROWS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Sends the rows to every replica.
pub(super) async fn update(core: &Rc<Core>, mut request: ClientRequest) -> Response {
    if request.authority != Authority::Granted {
        return respond::standard(Status(403));
    }
    let Ok(rows) = request.body.collect(ROWS_BYTES_MAX).await else { return respond::standard(Status(413)) };
    let mut headers = Origin::of(&request).headers();
    headers.set("X-Backend-Storage-Policy-Index", "0");
    headers.set("Content-Type", "application/json");
    headers.set("Expect", "100-continue");
    let placement = core.backend.place(&core.config, &request.path);
    let headers = vec![headers; placement.primaries().len()];
    let path = request.path.clone();
    let outcome =
        settle_with(core, Write { method: request.method, path, placement, headers, read_as: &[] }, rows).await;
    respond::written(outcome.status, &outcome.headers, outcome.body)
}
