//! The object service: one file per verb, the way from a request to its verb here.
//!
//! Checks that every verb shares come in Swift's order (specs: object server §1): encoding of the path, method, shape of the
//! path, policy, reserved names. Whether the device is there is the verb's to ask, behind its own checks of the headers.

mod delete;
mod get;
mod headers;
mod post;
mod put;
mod update;
mod updater;

pub use updater::{update_once, updater};

use crate::node::Node;
use crate::reply;
use crate::store::diskfile::{DiskFile, Object, OpenError, Stored, Want};
use base::config::is_true;
use base::http::server::{Request, Response};
use base::http::{Headers, Method, RequestHead};
use base::io;
use base::names::{InvalidPath, Name, ObjectPath};
use base::timestamp::Timestamp;
use std::io::{Error, ErrorKind};
use std::rc::Rc;

/// Answers one request of the object port.
pub async fn handle(node: Rc<Node>, request: Request) -> Response {
    match answer(node, request).await {
        Ok(response) | Err(response) => response,
    }
}

async fn answer(node: Rc<Node>, request: Request) -> Result<Response, Response> {
    let target = Target::parse(node, &request.head)?;
    match request.head.method {
        Method::Get | Method::Head => get::get(target, &request.head).await,
        // Boxed, so that reading does not carry the space for writing.
        Method::Put => Box::pin(put::put(target, request)).await,
        Method::Post => Box::pin(post::post(target, &request.head)).await,
        Method::Delete => Box::pin(delete::delete(target, &request.head)).await,
        _ => Err(reply::status(405)),
    }
}

/// Which object of which device a request is about.
struct Target {
    node: Rc<Node>,
    device: Name,
    partition: u32,
    /// `/account/container/object`.
    name: Name,
    account: Name,
    container: Name,
    object: Name,
    policy: u32,
}

impl Target {
    fn parse(node: Rc<Node>, head: &RequestHead) -> Result<Target, Response> {
        let parsed = ObjectPath::parse(&head.target.slice_ref(head.path()));
        if parsed == Err(InvalidPath::Encoding) {
            return Err(reply::message(412, "Invalid UTF8 or contains NULL"));
        }
        if !matches!(head.method, Method::Get | Method::Head | Method::Put | Method::Post | Method::Delete) {
            return Err(reply::status(405));
        }
        let invalid = || {
            let path = String::from_utf8_lossy(head.path()).into_owned();
            reply::text(400, format!("Invalid path: {path}"))
        };
        let ObjectPath { device, partition, name, account, container, object } = parsed.map_err(|_| invalid())?;
        let policy = policy(&node, &head.headers)?;
        check_reserved(&account, &container, &object)?;
        Ok(Target { node, device, partition, name, account, container, object, policy })
    }

    /// The object's place, on a device that is there.
    async fn disk_file(&self) -> Result<DiskFile, Response> {
        let device = self.node.device(&self.device).await.ok_or_else(|| self.no_device())?;
        let hash = self.node.config.hash_path.hash(&self.account, Some(&self.container), Some(&self.object));
        Ok(DiskFile::new(device, self.policy, self.partition, &hash, self.name.clone()))
    }

    fn no_device(&self) -> Response {
        reply::insufficient_storage(&self.device)
    }

    /// The answer to a failure of the device.
    fn failed(&self, error: &Error) -> Response {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::Unsupported => self.no_device(),
            // Told when it failed.
            _ if self.node.is_poisoned(&self.device) => self.no_device(),
            _ => {
                tracing::error!(device = %self.device, object = %self.object, %error, "the device failed");
                reply::status(500)
            }
        }
    }

    async fn open(&self, disk_file: &DiskFile, want: Want) -> Result<Stored, Response> {
        disk_file.open(want).await.map_err(|error| match error {
            OpenError::Collision => reply::status(403),
            OpenError::Device(error) => self.failed(&error),
        })
    }
}

/// The policy of a request; one we do not serve is 503.
fn policy(node: &Node, headers: &Headers) -> Result<u32, Response> {
    let Some(text) = headers.get("X-Backend-Storage-Policy-Index") else { return Ok(0) };
    let text = String::from_utf8_lossy(text);
    let index = text.trim().parse().ok().filter(|index| node.config.policies.contains(index));
    index.ok_or_else(|| reply::text(503, format!("No policy with index {text}")))
}

/// Reserved names begin with NUL; all below a reserved name must be reserved, and none may be below a user's container.
fn check_reserved(account: &str, container: &str, object: &str) -> Result<(), Response> {
    let refuse = |what: &str| Err(reply::message(400, format!("Invalid {what}")));
    for (name, kind) in [(account, "account"), (container, "container"), (object, "object")] {
        if name.contains('\0') && !name.starts_with('\0') {
            return refuse(&format!("reserved-namespace {kind}"));
        }
    }
    let reserved = |name: &str| name.starts_with('\0');
    match (reserved(account), reserved(container), reserved(object)) {
        (true, false, _) => refuse("user-namespace container in reserved-namespace account"),
        (_, true, false) => refuse("user-namespace object in reserved-namespace container"),
        (_, false, true) => refuse("reserved-namespace object in user-namespace container"),
        _ => Ok(()),
    }
}

/// Whether a header has one of Swift's true values.
fn is_set(headers: &Headers, name: &str) -> bool {
    headers.get_str(name).is_some_and(|value| is_true(value.trim()))
}

/// Whether the object is past its X-Delete-At at the time of the request, and the sender does not ask for it all the same.
fn is_expired(object: &Object, headers: &Headers, may_open: bool) -> bool {
    if may_open && (is_set(headers, "X-Backend-Open-Expired") || is_set(headers, "X-Backend-Replication")) {
        return false;
    }
    let asked = headers.get_str("X-Timestamp").and_then(|text| Timestamp::parse(text).ok());
    let now = asked.unwrap_or_else(|| Timestamp::from_unix(io::unix_time()));
    object.expires().is_some_and(|second| Timestamp::from_raw(second.saturating_mul(100_000), 0) <= now)
}
