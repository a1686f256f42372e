//! The account service.

use crate::node::Node;
use base::http::server::{Request, Response};
use std::rc::Rc;

/// Answers one request of the account port.
pub async fn handle(_node: Rc<Node>, _request: Request) -> Response {
    todo!()
}

/// The background loop of this core: sends what the foreground could not, until the process ends.
pub async fn updater(_node: Rc<Node>) {
    todo!()
}

/// One pass of it.
pub async fn update_once(_node: &Rc<Node>) {
    todo!()
}
