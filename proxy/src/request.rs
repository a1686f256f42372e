//! A client's request on its way through the pipeline.

use base::http::server::RequestBody;
use base::http::{Headers, Method};
use base::names::Path;
use base::quote::Query;
use base::timestamp::Timestamp;

/// Who asks, as the auth middleware found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `account:user`, for logs and `X-Object…` nothing; `None` when anonymous.
    pub user: Option<String>,
    /// Groups: `test`, `test:tester`, `AUTH_test` (account admin), `.reseller_admin`.
    pub groups: Vec<String>,
}

/// How far authorization goes for this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Ask `middleware::tempauth::authorize` with the ACL at hand.
    Ask,
    /// Already allowed (sub-requests of the pipeline that were authorized themselves).
    Granted,
}

/// One request for the proxy application. Made once by `server`, changed by middleware, consumed by `app`.
pub struct ClientRequest {
    /// The verb.
    pub method: Method,
    /// The parsed `/v1/…` path.
    pub path: Path,
    /// Decoded query parameters.
    pub query: Query,
    /// The client's fields, after the gatekeeper removed what only backends may send.
    pub headers: Headers,
    /// The body.
    pub body: RequestBody,
    /// `X-Trans-Id`.
    pub trans_id: String,
    /// The caller.
    pub identity: Identity,
    /// Whether to ask for authorization.
    pub authority: Authority,
    /// The one time of this request; becomes `X-Timestamp` of every backend request.
    pub timestamp: Timestamp,
    /// True when the caller owns the account (set by authorization; shows `X-Container-Read` … and sysmeta-free owner headers).
    pub is_owner: bool,
    /// The client's address, for logs.
    pub remote: String,
}
