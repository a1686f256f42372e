//! Core: the right of a request: one question, whichever auth system of the configuration answers it.
//!
//! - `verdict` asks the auth system; `authorize` turns its word into the request's, or into the finished 401 or 403. Both are pure:
//!   whoever asks brings the ACLs. `app` and `early_right` are the two drivers that fetch them.
//! - A system that cannot decide without the account's fields says so; only then are they fetched.
//! - A signature, or a right that was given before, goes before any system, unless the system does not take other words than its own
//!   (`allow_overrides`).

use super::acl::{self, Kind};
use super::{keystoneauth, tempauth};
use crate::config::{Config, Member};
use crate::request::{Authority, ClientRequest};
use crate::respond;
use base::http::server::Response;
use base::http::{Headers, Status};
use base::quote::quote;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What decides whether a request may go on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Acls<'a> {
    /// The container's read or write ACL, whichever applies.
    pub container: Option<&'a str>,
    /// The account's fields as its server has them; `None`: not asked for yet.
    pub account: Option<&'a Headers>,
    /// The key of the container that other clusters write it with, where it is an object that is written.
    pub sync_key: Option<&'a str>,
}

impl Acls<'_> {
    /// Whether `request` is another cluster's: it knows the container's key and brings the object's own time.
    pub fn is_sync(&self, request: &ClientRequest) -> bool {
        let Some(key) = self.sync_key.filter(|key| !key.is_empty() && request.has_own_time) else { return false };
        // Both sides are hashed first, so that not even the length of the key can be measured.
        let hashed = |bytes: &[u8]| Sha256::digest(bytes);
        let given = request.headers.get(SYNC_KEY).map(|given| hashed(given));
        given.is_some_and(|given| given.ct_eq(&hashed(key.as_bytes())).into())
    }
}

/// The container's key, in a container's fields as in the request of another cluster.
pub const SYNC_KEY: &str = "X-Container-Sync-Key";

/// An auth system's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The account is the caller's own.
    Owner,
    /// This request may pass.
    Allowed,
    /// It may not.
    Denied,
    /// The account's fields may still allow it; said only when they were not given.
    DependsOnAccount,
}

/// Decides whether `request` may go on given the ACLs that apply. Sets `request.is_owner`. The error is the finished 401
/// (anonymous) or 403.
pub fn authorize(config: &Config, request: &mut ClientRequest, acls: Acls<'_>) -> Result<(), Box<Response>> {
    match verdict(config, request, acls) {
        Verdict::Owner => request.is_owner = true,
        Verdict::Allowed => {}
        Verdict::Denied | Verdict::DependsOnAccount => return Err(Box::new(denial(config, request))),
    }
    Ok(())
}

/// The word of whoever decides about this request.
pub fn verdict(config: &Config, request: &ClientRequest, acls: Acls<'_>) -> Verdict {
    match &request.authority {
        Authority::Granted | Authority::Here(_) => Verdict::Allowed,
        Authority::Signed { account, container } if takes_signatures(config) => {
            let path = &request.path;
            let is_within = *account == path.account && (container.is_none() || *container == path.container);
            if is_within { Verdict::Allowed } else { Verdict::Denied }
        }
        Authority::Ask | Authority::Signed { .. } => match &config.keystoneauth {
            Some(settings) => keystoneauth::verdict(settings, request, acls),
            None => tempauth::verdict(config, request, acls),
        },
    }
}

/// Whether a signature counts as a right of its own.
pub fn takes_signatures(config: &Config) -> bool {
    match &config.keystoneauth {
        Some(settings) => settings.allow_overrides,
        None => config.tempauth_allows_overrides || !config.is_on(Member::Tempauth),
    }
}

/// 403 to somebody, 401 to nobody: he may come back with a token.
fn denial(config: &Config, request: &ClientRequest) -> Response {
    match &request.authority {
        Authority::Signed { account, .. } if takes_signatures(config) => unauthorized(Some(account)),
        _ if request.identity.user.is_some() => respond::standard(Status(403)),
        _ => unauthorized(Some(&request.path.account)),
    }
}

/// 401 with the realm: the account asked for, or `unknown`. Quoted, as it is the client's own text.
pub fn unauthorized(account: Option<&str>) -> Response {
    let realm = account.map_or_else(|| "unknown".to_owned(), |account| quote(account.as_bytes()));
    respond::standard(Status(401)).header("Www-Authenticate", format!("Swift realm=\"{realm}\""))
}

/// Cleans the ACLs of a container that is written; 400 says what is wrong with them. Asked when the caller's right is known:
/// before that nobody is corrected.
pub fn clean_container_acls(request: &mut ClientRequest) -> Result<(), Box<Response>> {
    for (name, kind) in [("X-Container-Read", Kind::Read), ("X-Container-Write", Kind::Write)] {
        let Some(value) = request.headers.get(name) else { continue };
        let refuse = |reason: String| Box::new(respond::told(Status(400), reason));
        let value = std::str::from_utf8(value).map_err(|_| refuse(format!("{name} must be UTF-8")))?;
        let cleaned = acl::clean_acl(kind, value).map_err(refuse)?;
        request.headers.set(name, cleaned);
    }
    Ok(())
}

/// Shows what the auth system keeps in an account's system metadata to whoever may read the account.
pub fn show_account_fields(config: &Config, request: &ClientRequest, response: &mut Response) {
    match &config.keystoneauth {
        Some(_) => keystoneauth::show_project_domain(&mut response.head.headers),
        None if request.is_owner => tempauth::show_account_acl(&mut response.head.headers),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::sample;
    use crate::pipeline::tests::request;
    use base::http::Method;

    #[test]
    fn realms_are_quoted() {
        let refused = unauthorized(Some("a\"\r\nSet-Cookie: x"));
        let realm = refused.head.headers.get_str("Www-Authenticate").unwrap();
        assert_eq!(realm, "Swift realm=\"a%22%0D%0ASet-Cookie%3A%20x\"");
    }

    #[test]
    fn a_signature_reaches_as_far_as_its_key_and_only_where_it_counts() {
        let check = |config: &Config, path: &str, container: Option<&str>, expected: Verdict| {
            let mut request = request(Method::Get, path);
            let container = container.map(str::to_owned);
            request.authority = Authority::Signed { account: "AUTH_test".into(), container: container.map(Into::into) };
            assert_eq!(verdict(config, &request, Acls::default()), expected, "{path}");
        };
        let mut config = sample();
        check(&config, "/AUTH_test/c/o", Some("c"), Verdict::Allowed);
        check(&config, "/AUTH_test/d/o", Some("c"), Verdict::Denied);
        check(&config, "/AUTH_test/d/o", None, Verdict::Allowed);
        check(&config, "/AUTH_test2/c/o", None, Verdict::Denied);
        config.keystoneauth = Some(keystoneauth::Settings { allow_overrides: false, ..Default::default() });
        check(&config, "/AUTH_test/c/o", None, Verdict::Denied);
    }

    #[test]
    fn acls_are_cleaned_when_set() {
        let mut put = request(Method::Put, "/AUTH_test/c");
        put.headers.set("X-Container-Read", " .referrer:* , test ");
        assert!(clean_container_acls(&mut put).is_ok());
        assert_eq!(put.headers.get_str("X-Container-Read"), Some(".r:*,test"));
        put.headers.set("X-Container-Write", ".r:*");
        assert_eq!(clean_container_acls(&mut put).unwrap_err().head.status, Status(400));
    }

    #[test]
    fn a_containers_key_lets_another_cluster_write_with_its_own_time() {
        let check = |given: Option<&'static str>, has_own_time: bool, key: Option<&str>, expected: Verdict| {
            let mut put = request(Method::Put, "/AUTH_test/c/o");
            put.identity = std::rc::Rc::default();
            put.has_own_time = has_own_time;
            if let Some(given) = given {
                put.headers.set(SYNC_KEY, given);
            }
            let acls = Acls { sync_key: key, ..Acls::default() };
            let mut config = sample();
            assert_eq!(verdict(&config, &put, acls), expected, "tempauth {given:?} {has_own_time} {key:?}");
            config.keystoneauth = Some(keystoneauth::Settings::default());
            assert_eq!(verdict(&config, &put, acls), expected, "keystoneauth {given:?} {has_own_time} {key:?}");
        };
        check(Some("key"), true, Some("key"), Verdict::Allowed);
        check(Some("kex"), true, Some("key"), Verdict::Denied);
        check(Some("key"), false, Some("key"), Verdict::Denied);
        check(None, true, Some("key"), Verdict::Denied);
        check(Some(""), true, Some(""), Verdict::Denied);
        check(Some("key"), true, None, Verdict::Denied);
    }
}
