//! tempauth: users in the configuration, tokens, ACLs.

use crate::config::Config;
use crate::request::ClientRequest;
use base::http::server::Response;

/// Decides whether `request` may go on given the ACL that applies (the container's read or write ACL; `None` when there is none).
/// Sets `request.is_owner`. The error is the finished 401 (anonymous) or 403.
pub fn authorize(_config: &Config, _request: &mut ClientRequest, _acl: Option<&str>) -> Result<(), Box<Response>> {
    todo!()
}
