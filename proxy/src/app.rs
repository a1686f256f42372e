//! The proxy application behind the pipeline: account, container and object verbs.

use crate::core::Core;
use crate::request::ClientRequest;
use base::http::server::Response;
use std::rc::Rc;

/// Answers one request. Asks `middleware::tempauth::authorize` itself as soon as it knows the ACL (unless `Authority::Granted`).
/// Listings are always asked from backends as JSON; the response's JSON is turned into the client's format by
/// `middleware::listing_formats`.
pub async fn handle(_core: &Rc<Core>, _request: ClientRequest) -> Response {
    todo!()
}
