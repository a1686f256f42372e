//! A client's request on its way through the pipeline.

use crate::middleware::authtoken::Confirmed;
use base::http::server::RequestBody;
use base::http::{Headers, Method};
use base::names::{Name, Path};
use base::quote::Query;
use base::scratch;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

/// Fields of the client that a request of the pipeline itself carries on: the referrer decides `.r:` ACLs, the origin what a browser may see
/// of the answer, the agent is for logs.
const CARRIED: [&str; 3] = ["Origin", "Referer", "User-Agent"];

/// Asks for an object that has expired and is not removed yet.
pub(crate) const OPEN_EXPIRED: &str = "X-Open-Expired";

/// Who asks, as the auth middleware found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// For logs: tempauth's `account:user`, Keystone's id; `None` when anonymous.
    pub user: Option<String>,
    /// Groups of tempauth: `test`, `test:tester`, `AUTH_test` (account admin), `.reseller_admin`.
    pub groups: Vec<String>,
    /// Whether he may set what only resellers may (quotas).
    pub is_reseller: bool,
    /// What Keystone said of his tokens.
    pub keystone: Option<Confirmed>,
}

impl Identity {
    /// The same, with what a service may that asks for him.
    pub fn with(&self, service: &Identity) -> Identity {
        let groups = self.groups.iter().chain(&service.groups).cloned().collect();
        Identity { groups, is_reseller: self.is_reseller || service.is_reseller, ..self.clone() }
    }
}

/// How far authorization goes for this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Ask `middleware::authorization` with the ACL at hand.
    Ask,
    /// Already allowed (sub-requests of the pipeline that were authorized themselves).
    Granted,
    /// Allowed by a signature, as far as the key that made it reaches: its account, or one container of it.
    Signed {
        /// The account.
        account: Name,
        /// The container, for a container's own key.
        container: Option<Name>,
    },
    /// Already asked and allowed, for this request alone; those made on its behalf have what was before.
    Here(Box<Authority>),
}

impl Authority {
    /// Allowed for one request.
    #[must_use]
    pub(crate) fn allowed_here(self) -> Authority {
        match self {
            Authority::Granted | Authority::Here(_) => self,
            Authority::Ask | Authority::Signed { .. } => Authority::Here(Box::new(self)),
        }
    }

    /// What a request for another name has that is made on behalf of this one.
    fn elsewhere(&self) -> &Authority {
        match self {
            Authority::Here(before) => before,
            Authority::Ask | Authority::Granted | Authority::Signed { .. } => self,
        }
    }
}

/// One request for the proxy application. Made once by `server`, changed by middleware, consumed by `app`. Boxed: it goes through a dozen
/// layers, each of which may keep it in a future.
pub type ClientRequest = Box<RequestParts>;

/// What it is made of.
pub struct RequestParts {
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
    pub trans_id: Name,
    /// The caller.
    pub identity: Rc<Identity>,
    /// Whether to ask for authorization.
    pub authority: Authority,
    /// The one time of this request; becomes `X-Timestamp` of every backend request.
    pub timestamp: Timestamp,
    /// True when the caller owns the account (set by authorization; shows `X-Container-Read` … and sysmeta-free owner headers).
    pub is_owner: bool,
    /// Whether the path as sent ends so; browsers' links depend on it.
    pub ends_with_slash: bool,
    /// Why this write is refused with 413 should the caller be allowed to make it at all (quotas).
    pub refusal: Option<&'static str>,
    /// Whether the time is the client's own: the operator lets `X-Timestamp` in.
    pub has_own_time: bool,
    /// Whether another cluster sends what is stored there: manifests and links are taken as they are.
    pub is_synced: bool,
    /// The client's address, for logs.
    pub remote: IpAddr,
    /// The middleware that made this request, by the letters of Swift's logs; `None`: the client did.
    pub source: Option<&'static str>,
    /// See `parent`.
    pub(crate) parent: Option<Rc<Parent>>,
}

/// What a request hands on to those that the pipeline makes on its behalf.
pub(crate) struct Parent {
    /// What it names.
    pub(crate) path: Path,
    carried: Headers,
    open_expired: Option<Bytes>,
    trans_id: Name,
    identity: Rc<Identity>,
    authority: Authority,
    timestamp: Timestamp,
    remote: IpAddr,
    source: Option<&'static str>,
}

impl Parent {
    fn of(request: &RequestParts) -> Parent {
        let mut carried = Headers::new();
        for name in CARRIED {
            if let Some(value) = request.headers.get(name) {
                carried.append(name, value.clone());
            }
        }
        Parent {
            path: request.path.clone(),
            carried,
            open_expired: request.headers.get(OPEN_EXPIRED).cloned(),
            trans_id: request.trans_id.clone(),
            identity: Rc::clone(&request.identity),
            authority: request.authority.elsewhere().clone(),
            timestamp: request.timestamp,
            remote: request.remote,
            source: request.source,
        }
    }

    /// Middleware on the way may have changed what matters; fields that are carried nobody changes.
    fn is_of(&self, request: &RequestParts) -> bool {
        self.path == request.path
            && self.authority == *request.authority.elsewhere()
            && self.source == request.source
            && self.identity == request.identity
            && self.open_expired.as_ref() == request.headers.get(OPEN_EXPIRED)
    }

    /// See [`RequestParts::subrequest`].
    pub(crate) fn subrequest(&self, method: Method, path: Path) -> ClientRequest {
        let mut headers = self.carried.clone();
        // The parts of a large object are as expired as the whole.
        if matches!(method, Method::Get | Method::Head)
            && let Some(value) = &self.open_expired
        {
            headers.append(OPEN_EXPIRED, value.clone());
        }
        let mut made =
            RequestParts::made(method, path, self.trans_id.clone(), Rc::clone(&self.identity), self.timestamp);
        (made.headers, made.authority) = (headers, self.authority.clone());
        (made.remote, made.source) = (self.remote, self.source.or(Some("MW")));
        made
    }
}

impl RequestParts {
    /// One that no client sent, and that has nothing but its name: no fields, no body, no query, no right, no address.
    pub(crate) fn made(
        method: Method,
        path: Path,
        trans_id: Name,
        identity: Rc<Identity>,
        timestamp: Timestamp,
    ) -> ClientRequest {
        Box::new(RequestParts {
            method,
            path,
            query: Query::default(),
            headers: Headers::new(),
            body: RequestBody::full(""),
            trans_id,
            identity,
            authority: Authority::Ask,
            timestamp,
            is_owner: false,
            refusal: None,
            ends_with_slash: false,
            has_own_time: false,
            is_synced: false,
            remote: Ipv4Addr::UNSPECIFIED.into(),
            source: None,
            parent: None,
        })
    }

    /// A request of the pipeline itself on behalf of this one: same caller, transaction and time, no body, no query, no conditions.
    pub fn subrequest(&self, method: Method, path: Path) -> ClientRequest {
        Parent::of(self).subrequest(method, path)
    }

    /// What such requests are made of, for middleware that may need one when this request is gone. Made once for all who ask.
    pub(crate) fn parent(&mut self) -> Rc<Parent> {
        if let Some(known) = self.parent.take().filter(|known| known.is_of(self)) {
            return Rc::clone(self.parent.insert(known));
        }
        Rc::clone(self.parent.insert(Rc::new(Parent::of(self))))
    }

    /// The same, with the letters by which logs know the middleware that makes it.
    #[must_use]
    pub fn by(mut self: Box<Self>, source: &'static str) -> ClientRequest {
        self.source = Some(source);
        self
    }
}

/// Adds a name to a list that middleware makes for the backends.
pub(crate) fn add_name(headers: &mut Headers, field: &'static str, name: &'static str) {
    match headers.get(field).map(|others| scratch::joined(&[others, b",", name.as_bytes()])) {
        Some(names) => headers.set(field, names),
        None => headers.append(field, name),
    }
}
