//! Core: domain_remap: `http://container.account.example.com/object` is `/v1/account/container/object`. Host names know no upper
//! case and no underscore, so `auth-test` is `AUTH_test`.

use crate::respond;
use base::http::RequestHead;
use base::http::server::Response;
use base::quote::{quote, unquote};

/// Settings of the member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `storage_domain`, each with a dot before it.
    pub storage_domains: Vec<String>,
    /// `path_root`, without slashes.
    pub path_root: String,
    /// `reseller_prefixes`.
    pub reseller_prefixes: Vec<String>,
    /// `default_reseller_prefix`.
    pub default_reseller_prefix: Option<String>,
    /// `mangle_client_paths`.
    pub mangle_client_paths: bool,
}

/// A path that was rewritten; redirects of the answer are written back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    requested: String,
    path: String,
}

/// Rewrites the target of a request to a storage domain. The error is the answer.
pub fn rewrite(settings: &Settings, head: &mut RequestHead) -> Result<Option<Rewritten>, Box<Response>> {
    let host = head.headers.get_str("Host").unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let Some(inner) = settings.storage_domains.iter().find_map(|domain| host.strip_suffix(domain.as_str())) else {
        return Ok(None);
    };
    let parts: Vec<&str> = inner.trim_matches('.').split('.').collect();
    let (container, account) = match parts.as_slice() {
        [container, account] => (Some(*container), *account),
        [account] => (None, *account),
        _ => return Err(Box::new(respond::bad_request("Bad domain in host header"))),
    };
    let Some(account) = account_name(settings, account) else { return Ok(None) };
    let requested = String::from_utf8_lossy(head.path()).into_owned();
    let mut path = requested.strip_prefix('/').unwrap_or(&requested);
    let root = format!("{}/", settings.path_root);
    if settings.mangle_client_paths && format!("{path}/").starts_with(&root) {
        path = path.get(root.len()..).unwrap_or_default();
    }
    let container = container.map(|name| format!("/{}", quote(name.as_bytes()))).unwrap_or_default();
    let rewritten = format!("/{}/{}{container}/{path}", settings.path_root, quote(account.as_bytes()));
    let query = head.query();
    let target =
        if query.is_empty() { rewritten.clone() } else { format!("{rewritten}?{}", String::from_utf8_lossy(query)) };
    head.target = target.into();
    Ok(Some(Rewritten { requested: plain(&requested), path: plain(&rewritten) }))
}

/// The account a label of the host means; `None` for one that is nobody's.
fn account_name(settings: &Settings, label: &str) -> Option<String> {
    if settings.reseller_prefixes.is_empty() {
        return Some(label.to_owned());
    }
    let label = if label.contains('_') { label.to_owned() } else { label.replacen('-', "_", 1) };
    let prefix = label.split('_').next().unwrap_or_default();
    let known = settings.reseller_prefixes.iter().find(|known| known.eq_ignore_ascii_case(prefix));
    match (known, &settings.default_reseller_prefix) {
        (Some(known), _) => Some(format!("{known}{}", label.get(known.len()..).unwrap_or_default())),
        (None, Some(default)) => Some(format!("{default}_{label}")),
        (None, None) => None,
    }
}

/// One spelling of the percent signs.
fn plain(path: &str) -> String {
    quote(&unquote(path.as_bytes()))
}

impl Rewritten {
    /// Writes redirects as the client knows the path.
    pub fn finish(&self, response: &mut Response) {
        respond::rewrite_places(&mut response.head.headers, |site, path| {
            let more = path.strip_prefix(self.path.as_str()).filter(|_| !site.is_empty())?;
            Some(format!("{site}{}{more}", self.requested))
        });
    }
}

/// `/info`'s entry.
pub fn document(settings: &Settings) -> serde_json::Value {
    serde_json::json!({ "default_reseller_prefix": settings.default_reseller_prefix })
}

/// A path's first segment when nobody configured another.
pub const PATH_ROOT: &str = "v1";

#[cfg(test)]
mod tests {
    use super::*;
    use base::http::{Method, Status};

    fn settings() -> Settings {
        Settings {
            storage_domains: vec![".example.com".into()],
            path_root: PATH_ROOT.into(),
            reseller_prefixes: vec!["AUTH".into()],
            ..Settings::default()
        }
    }

    fn target(host: &str, target: &'static str) -> Option<String> {
        let mut head = RequestHead::new(Method::Get, target);
        head.headers.set("Host", host.to_owned());
        let done = rewrite(&settings(), &mut head).map_err(|refused| refused.head.status).ok()?;
        done.map(|_| String::from_utf8_lossy(&head.target).into_owned())
    }

    #[test]
    fn hosts_name_account_and_container() {
        let check = |host, path, expected: Option<&str>| assert_eq!(target(host, path).as_deref(), expected, "{host}");
        check("auth-a.example.com", "/", Some("/v1/AUTH_a/"));
        check("auth_a.example.com:8080", "/c?x=y", Some("/v1/AUTH_a/c?x=y"));
        check("c.auth-a.example.com", "/o/p", Some("/v1/AUTH_a/c/o/p"));
        check("c.auth-a-b.example.com", "/", Some("/v1/AUTH_a-b/c/"));
        check("\u{3a9}.auth-a.example.com", "/o", Some("/v1/AUTH_a/%CE%A9/o"));
        check("other.example.com", "/", None);
        check("example.org", "/v1/AUTH_a", None);
        check("x.c.auth-a.example.com", "/", None);
    }

    #[test]
    fn redirects_are_written_back() {
        let mut head = RequestHead::new(Method::Get, "/folder");
        head.headers.set("Host", "c.auth-a.example.com");
        let done = rewrite(&settings(), &mut head).ok().flatten().expect("rewritten");
        let mut response =
            Response::empty(Status(301)).header("Location", "http://c.auth-a.example.com/v1/AUTH_a/c/folder/");
        done.finish(&mut response);
        assert_eq!(response.head.headers.get_str("Location"), Some("http://c.auth-a.example.com/folder/"));
    }
}
