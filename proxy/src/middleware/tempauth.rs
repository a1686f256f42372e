//! Core: tempauth: users in the configuration, ACLs.
//!
//! - `tokens` gives them at `/auth/v1.0` and finds out whose one is; `verdict` says what he may (`authorization` asks).
//! - Who may what: a `.reseller_admin` everything, a `.reseller_reader` reading, an `.admin` his own account, others what an ACL says.

mod tokens;

pub use tokens::Tokens;

use super::account_acl::{self, Role};
use super::authorization::{Acls, Verdict, unauthorized};
use super::{acl, token};
use crate::config::{Config, User};
use crate::request::{ClientRequest, Identity};
use crate::respond;
use base::http::server::{Request, Response};
use base::http::{Headers, Method, RequestHead, Status};
use base::quote::{quote, unquote};
use std::net::SocketAddr;

/// The field that shows and sets an account's ACL.
pub const ACCOUNT_ACL: &str = "X-Account-Access-Control";
/// The group of those who may everything.
const RESELLER_ADMIN: &str = ".reseller_admin";
/// Where the account servers keep it (Swift's name).
pub const STORED_ACCOUNT_ACL: &str = "X-Account-Sysmeta-Core-Access-Control";

/// What a caller may.
pub(super) fn verdict(config: &Config, request: &ClientRequest, acls: Acls<'_>) -> Verdict {
    let account = request.path.account.as_str();
    let reseller = config.resellers.iter().find(|reseller| account.starts_with(&reseller.prefix));
    let Some(reseller) = reseller.filter(|reseller| account.len() > reseller.prefix.len()) else {
        // Not an account of this auth system.
        return Verdict::Denied;
    };
    let groups = &request.identity.groups;
    let has = |group: &str| groups.iter().any(|own| own == group);
    let reads = matches!(request.method, Method::Get | Method::Head);
    // Accounts behind the prefix that begin with a dot are the cluster's own.
    let is_internal = account[reseller.prefix.len()..].starts_with('.');
    if has(RESELLER_ADMIN) && !is_internal {
        return Verdict::Owner;
    }
    if has(".reseller_reader") && !is_internal && reads {
        return Verdict::Allowed;
    }
    // Whole accounts come and go by the reseller's hand only.
    let is_management = request.path.container.is_none() && matches!(request.method, Method::Put | Method::Delete);
    if has(account) && !is_management && reseller.require_group.as_deref().is_none_or(has) {
        return Verdict::Owner;
    }
    if request.method == Method::Options || acls.is_sync(request) {
        return Verdict::Allowed;
    }
    // The ACL of a container; nothing of it reaches up to the account.
    if let Some(acl) = acls.container.filter(|_| request.path.container.is_some()).map(acl::parse_acl) {
        let referer = request.headers.get_str("Referer");
        let may_list = || acl.groups.iter().any(|group| group == ".rlistings");
        if acl::referrer_allowed(referer, &acl.referrers) && (request.path.object.is_some() || may_list()) {
            return Verdict::Allowed;
        }
        if acl.groups.iter().any(|group| has(group)) {
            return Verdict::Allowed;
        }
    }
    let Some(fields) = acls.account else {
        // Groups that an account's ACL could name are only those of somebody.
        return if request.identity.user.is_some() { Verdict::DependsOnAccount } else { Verdict::Denied };
    };
    match fields.get_str(STORED_ACCOUNT_ACL).and_then(account_acl::parse).and_then(|acl| acl.role(groups)) {
        Some(Role::Admin) => Verdict::Owner,
        Some(Role::ReadWrite) if request.path.container.is_some() || reads => Verdict::Allowed,
        Some(Role::ReadOnly) if reads => Verdict::Allowed,
        _ => Verdict::Denied,
    }
}

/// 401 for a token that is none.
fn refuse(head: &RequestHead) -> Response {
    unauthorized(account_of(head).as_deref())
}

/// The groups of a user, as Swift counts them: account, account:user, those configured, and the accounts he administers.
fn identity_of(config: &Config, user: &User) -> Identity {
    let name = format!("{}:{}", user.account, user.user);
    let mut groups = vec![user.account.clone(), name.clone()];
    // `.admin` is not a group one could name in an ACL: it becomes the account's own.
    groups.extend(user.groups.iter().filter(|group| *group != ".admin").cloned());
    if user.groups.iter().any(|group| group == ".admin") {
        groups.extend(config.resellers.iter().map(|reseller| format!("{}{}", reseller.prefix, user.account)));
        // The account that his storage URL names, should it be another.
        let named = user.url.as_deref().and_then(|url| url.rsplit('/').next());
        groups.extend(named.filter(|named| !groups.iter().any(|group| group == named)).map(str::to_owned));
    }
    let is_reseller = groups.iter().any(|group| group == RESELLER_ADMIN);
    Identity { user: Some(name), groups, is_reseller, keystone: None }
}

/// What stands behind `auth_prefix`, if this path is for us.
pub fn auth_path<'a>(config: &Config, path: &'a [u8]) -> Option<&'a [u8]> {
    path.strip_prefix(config.tempauth_prefix.as_bytes())
}

/// Who asks for a token at `GET /auth/v1.0`, `/auth/v1` or `/auth/v1/<account>/auth`; the error is the answer to nobody.
fn authenticate<'a>(config: &'a Config, request: &Request, rest: &[u8]) -> Result<&'a User, Box<Response>> {
    if request.head.method != Method::Get {
        return Err(Box::new(respond::standard(Status(400))));
    }
    let named = credentials(&request.head.headers, rest).ok_or_else(|| Box::new(respond::standard(Status(404))))?;
    let genuine = named.and_then(|(account, user, key)| {
        let user = config.users.iter().find(|known| known.account == account && known.user == user)?;
        token::key_matches(config, user, key).then_some(user)
    });
    genuine.ok_or_else(|| Box::new(unauthorized(None)))
}

/// Tells a user his token, good for `life` seconds.
fn token_answer(config: &Config, headers: &Headers, user: &User, token: String, life: u64) -> Response {
    Response::full(Status(200), "text/html; charset=UTF-8", "")
        .header("X-Auth-Token", token.clone())
        .header("X-Storage-Token", token)
        .header("X-Auth-Token-Expires", life.to_string())
        .header("X-Storage-Url", storage_url(config, headers, user))
}

/// Account, user and key.
type Credentials<'a> = (String, String, &'a [u8]);

/// `None`: no such path. `Some(None)`: nobody could be meant.
fn credentials<'a>(headers: &'a Headers, rest: &[u8]) -> Option<Option<Credentials<'a>>> {
    let rest = std::str::from_utf8(rest).ok()?.trim_end_matches('/');
    let either = |first: &str, second: &str| headers.get(first).or_else(|| headers.get(second));
    let text =
        |first: &str, second: &str| either(first, second).and_then(|v| std::str::from_utf8(v).ok().map(str::to_owned));
    let segments: Vec<&str> = rest.split('/').collect();
    match segments.as_slice() {
        ["v1" | "v1.0" | "1.0"] => Some((|| {
            let named = text("X-Storage-User", "X-Auth-User")?;
            let (account, user) = named.split_once(':')?;
            let key = either("X-Storage-Pass", "X-Auth-Key")?;
            Some((account.to_owned(), user.to_owned(), key.as_ref()))
        })()),
        ["v1", account, "auth"] => Some((|| {
            let account = String::from_utf8(unquote(account.as_bytes())).ok()?;
            let named = text("X-Storage-User", "X-Auth-User")?;
            let user = match named.split_once(':') {
                Some((stated, user)) if stated == account => user.to_owned(),
                Some(_) => return None,
                None => named,
            };
            let key = either("X-Storage-Pass", "X-Auth-Key")?;
            Some((account, user, key.as_ref()))
        })()),
        _ => None,
    }
}

/// Where this user's account is, as this client reaches us.
fn storage_url(config: &Config, headers: &Headers, user: &User) -> String {
    let scheme = config.storage_url_scheme.as_deref().unwrap_or("http");
    // Only what can be a host goes back: the field is the client's own.
    let is_host =
        |host: &&str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
    let host = headers.get_str("Host").filter(is_host).map_or_else(|| own_address(config.bind), str::to_owned);
    let host_url = format!("{scheme}://{host}");
    match &user.url {
        Some(url) => url.replace("$HOST", &host_url),
        None => format!("{host_url}/v1/{}{}", config.reseller_prefix, quote(user.account.as_bytes())),
    }
}

fn own_address(bind: SocketAddr) -> String {
    let port = bind.port();
    if bind.ip().is_unspecified() { format!("127.0.0.1:{port}") } else { bind.to_string() }
}

/// Cleans the ACL of an account that a request would set; 400 says what is wrong with it. It is stored as system metadata.
pub fn clean_account_acl(request: &mut ClientRequest) -> Result<(), Box<Response>> {
    if let Some(value) = request.headers.get(ACCOUNT_ACL).cloned() {
        let value = String::from_utf8_lossy(&value).into_owned();
        let stored = account_acl::clean(&value).map_err(|reason| {
            let text = format!("{ACCOUNT_ACL} invalid: {reason}\n\nInput: {value}\n");
            Box::new(Response::full(Status(400), "text/plain; charset=UTF-8", text))
        })?;
        request.headers.remove(ACCOUNT_ACL);
        request.headers.set(STORED_ACCOUNT_ACL, stored);
    }
    Ok(())
}

/// Shows the account's ACL.
pub(super) fn show_account_acl(headers: &mut Headers) {
    let stored = headers.get_str(STORED_ACCOUNT_ACL).and_then(account_acl::parse);
    if let Some(shown) = stored.map(|acl| acl.format()).filter(|shown| !shown.is_empty()) {
        headers.set(ACCOUNT_ACL, shown);
    }
}

/// The account a raw path names, for the realm.
fn account_of(head: &RequestHead) -> Option<String> {
    let account = head.path().split(|&byte| byte == b'/').nth(2).map(unquote)?;
    String::from_utf8(account).ok().filter(|account| !account.is_empty())
}

#[cfg(test)]
#[path = "tempauth/tests.rs"]
mod tests;
