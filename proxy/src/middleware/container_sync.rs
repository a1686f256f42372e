//! container_sync: requests by which a cluster keeps a container of another one as its own is.
//!
//! - Such a request carries `X-Container-Sync-Auth: realm nonce signature`. What is signed: method, path, time and nonce, by the
//!   realm's key and the container's `X-Container-Sync-Key` (one HMAC with the first over a text with the second). A good one
//!   is a right of its own, and its `X-Timestamp` is the object's; a bad one is refused whatever token came along.
//! - What arrives is as it was stored: manifests and static links are taken as they are, their parts may follow later.
//! - A container's `X-Container-Sync-To` is checked here where it depends on this cluster's settings, and by the container
//!   servers as to its form.

use crate::config::Config;
use crate::middleware::authorization;
use crate::pipeline::Application;
use crate::request::{Authority, ClientRequest};
use crate::respond;
use base::checksum::hex;
use base::http::server::Response;
use base::http::{Headers, Method, RequestHead, Status};
use base::quote::quote;
use base::sync_realms::{Realms, RealmsFile};
use base::timestamp::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha1::Sha1;
use std::rc::Rc;
use subtle::ConstantTimeEq;

const AUTH: &str = "X-Container-Sync-Auth";
const TO: &str = "X-Container-Sync-To";
/// Where the gatekeeper puts a client's `X-Timestamp`.
pub const INBOUND_TIMESTAMP: &str = "X-Backend-Inbound-X-Timestamp";

/// Settings of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether targets may be URLs, beside those of realms.
    pub allow_full_urls: bool,
    /// `//REALM/CLUSTER` of this cluster, in upper case.
    pub current: Option<(String, String)>,
}

/// Whether a request claims to be another cluster's.
pub fn is_claimed(head: &RequestHead) -> bool {
    head.headers.contains(AUTH) && head.path().split(|&byte| byte == b'/').filter(|part| !part.is_empty()).count() > 2
}

/// The member. One per core.
pub struct ContainerSync {
    config: Rc<Config>,
    realms: RealmsFile,
}

impl ContainerSync {
    /// With the realms of `swift_dir`.
    pub fn new(config: Rc<Config>) -> ContainerSync {
        let realms = RealmsFile::new(&config.swift_dir);
        ContainerSync { config, realms }
    }

    /// Looks at a request below an account. A good signature sets its authority and its time; the error is the answer.
    pub async fn check(
        &self,
        application: &Rc<dyn Application>,
        request: &mut ClientRequest,
        path: &[u8],
    ) -> Result<(), Box<Response>> {
        let time = request.headers.remove(INBOUND_TIMESTAMP);
        if request.path.container.is_none() {
            return Ok(());
        }
        self.check_target(application, request).await?;
        let Some(auth) = request.headers.remove(AUTH) else { return Ok(()) };
        let fields = application.container_headers(request).await;
        let realms = self.realms.current().await;
        let time = time.as_deref().unwrap_or(b"0");
        let signed = Signed { method: request.method, path: quote(path), time };
        if let Err(reason) = verify(&realms, &fields, &auth, &signed) {
            tracing::info!(target: "proxy", trans_id = &*request.trans_id, reason, "no request of container sync");
            return Err(Box::new(refused(&request.path.account)));
        }
        if time != b"0" {
            let time = std::str::from_utf8(time).ok().and_then(|text| Timestamp::parse(text).ok());
            request.timestamp = time.ok_or_else(|| Box::new(respond::bad_request("Invalid X-Timestamp header")))?;
        }
        if authorization::takes_signatures(&self.config) {
            request.authority = Authority::Granted;
        }
        request.is_synced = true;
        Ok(())
    }

    async fn check_target(
        &self,
        application: &Rc<dyn Application>,
        request: &ClientRequest,
    ) -> Result<(), Box<Response>> {
        let Some(target) = request.headers.get(TO).filter(|target| !target.is_empty()) else { return Ok(()) };
        if request.path.object.is_none() && matches!(request.method, Method::Put | Method::Post) {
            let fields = application.container_headers(request).await;
            if fields.get("X-Container-Sysmeta-Versions-Container").is_some_and(|versions| !versions.is_empty()) {
                let text = "Cannot configure container sync on a container with object versioning configured.";
                return Err(Box::new(respond::told(Status(400), text)));
            }
        }
        if !self.config.container_sync.allow_full_urls && !target.starts_with(b"//") {
            let text = "Full URLs are not allowed for X-Container-Sync-To values. Only realm values of the format \
                        //realm/cluster/account/container are allowed.\n";
            return Err(Box::new(respond::told(Status(400), text)));
        }
        Ok(())
    }

    /// For `/info`, as the file is now.
    pub async fn document(&self) -> Value {
        let realms = self.realms.current().await;
        let mut shown = Map::new();
        for realm in realms.names() {
            let clusters = realms.clusters(realm).map(|name| (name.to_owned(), json!({})));
            let clusters: Map<String, Value> = clusters.collect();
            if !clusters.is_empty() {
                shown.insert(realm.to_owned(), json!({ "clusters": clusters }));
            }
        }
        if let Some((realm, cluster)) = &self.config.container_sync.current {
            let clusters = shown.get_mut(realm).and_then(|realm| realm.get_mut("clusters"));
            match clusters.and_then(|clusters| clusters.get_mut(cluster)).and_then(Value::as_object_mut) {
                Some(found) => drop(found.insert("current".into(), true.into())),
                None => tracing::error!(target: "proxy", realm, cluster, "container_sync: `current` is in no realm"),
            }
        }
        json!({ "realms": shown })
    }
}

/// What the other cluster signed.
struct Signed<'a> {
    method: Method,
    path: String,
    time: &'a [u8],
}

/// Whether the realm and the container's owner allow this request; the error is for the log.
fn verify(realms: &Realms, container: &Headers, auth: &[u8], signed: &Signed<'_>) -> Result<(), &'static str> {
    let words: Vec<&str> = std::str::from_utf8(auth).unwrap_or_default().split_whitespace().collect();
    let [realm, nonce, signature] = words.as_slice() else { return Err("not three words") };
    let realm_key = realms.key(realm).ok_or("no key of this realm here")?;
    let user_key =
        container.get("X-Container-Sync-Key").filter(|key| !key.is_empty()).ok_or("no key of the container")?;
    let fits = |realm_key: &str| {
        let expected = hex(&signed.mac(realm_key, nonce, user_key));
        bool::from(expected.as_bytes().ct_eq(signature.as_bytes()))
    };
    // Both are tried, so that the time tells nothing about which fits.
    let first = fits(realm_key);
    let second = realms.key2(realm).is_some_and(fits);
    if first | second { Ok(()) } else { Err("another signature") }
}

impl Signed<'_> {
    fn mac(&self, realm_key: &str, nonce: &str, user_key: &[u8]) -> Vec<u8> {
        let mut mac =
            <Hmac<Sha1> as KeyInit>::new_from_slice(realm_key.as_bytes()).expect("HMAC takes keys of any length");
        let parts = [self.method.as_str().as_bytes(), self.path.as_bytes(), self.time, nonce.as_bytes(), user_key];
        mac.update(&parts.join(&b'\n'));
        mac.finalize().into_bytes().to_vec()
    }
}

fn refused(account: &str) -> Response {
    let text = "X-Container-Sync-Auth header not valid; contact cluster operator for support.";
    let challenge = format!("SwiftContainerSync realm=\"{}\"", quote(account.as_bytes()));
    respond::explained(Status(401), text).header("Www-Authenticate", challenge)
}

#[cfg(test)]
mod tests;
