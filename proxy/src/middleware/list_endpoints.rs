//! list_endpoints: where the replicas of an account, a container or an object are, for programs that want to run beside them.
//!
//! `/endpoints/[v1/]account[/container[/object]]` is a JSON list of addresses; `/endpoints/v2/…` adds the fields that requests to
//! them need. Nobody is asked who he is, so a proxy with this member must not be open to strangers (as in Swift).

use crate::backend::nodes::Node;
use crate::pipeline::Application;
use crate::respond;
use base::http::server::Response;
use base::http::{Method, Status};
use base::names::Path;
use base::quote::{is_plain, quote, unquote};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::rc::Rc;

/// Where the member answers unless told otherwise.
pub(crate) const PATH: &str = "/endpoints/";

/// Where a name lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The partition in its ring.
    pub partition: u32,
    /// Primaries in the ring's order.
    pub nodes: Vec<Node>,
    /// The storage policy of an object.
    pub policy: Option<u32>,
}

/// How the answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// What the path behind `list_endpoints_path` asks for; `None` when the path is no business of this member.
pub(crate) fn behind(prefix: &str, encoded: &[u8]) -> Option<String> {
    // One spelling of the percent signs, as all of Swift's middleware see paths.
    let spelled = if is_plain(encoded) { Cow::Borrowed(encoded) } else { quote(&unquote(encoded)).into_bytes().into() };
    std::str::from_utf8(&spelled).ok()?.strip_prefix(prefix).map(str::to_owned)
}

/// The answer for what stands behind the prefix. `application` knows the rings.
pub(crate) async fn answer(application: &Rc<dyn Application>, method: Method, rest: &str, trans_id: &str) -> Response {
    if method != Method::Get {
        return respond::not_allowed("GET");
    }
    let (version, path) = match asked(rest) {
        Ok(asked) => asked,
        Err(text) => return respond::told(Status(400), text),
    };
    let Some(places) = application.places(&path, trans_id).await else { return respond::standard(Status(503)) };
    Response::full(Status(200), "application/json", document(version, &path, &places).to_string())
}

/// The version and the name; the error is a sentence for the client.
fn asked(rest: &str) -> Result<(Version, Path), String> {
    let first = rest.split('/').next().unwrap_or_default();
    let none = || "No account specified".to_owned();
    if first.is_empty() {
        return Err(none());
    }
    let (version, path) = match version(first) {
        Some(version) => (version, rest.get(first.len()..).unwrap_or_default().to_owned()),
        // More like a version that is not known than an account.
        None if first.starts_with('v') && !first.contains('_') => {
            return Err(format!("Unsupported version '{first}'"));
        }
        None => (Version::One, format!("/{rest}")),
    };
    Ok((version, Path::parse(path.as_bytes()).map_err(|_| none())?))
}

/// `v1`, `1`, `v2.0` …
fn version(text: &str) -> Option<Version> {
    let number = text.trim_start_matches('v').parse::<f64>().ok()?;
    [(1.0, Version::One), (2.0, Version::Two)].into_iter().find(|(known, _)| *known == number).map(|(_, found)| found)
}

fn document(version: Version, path: &Path, places: &Places) -> Value {
    let urls = places.nodes.iter().map(|Node { address, device, .. }| {
        Value::from(format!("http://{address}/{device}/{}{}", places.partition, path.quoted()))
    });
    let urls: Vec<Value> = urls.collect();
    match (version, places.policy) {
        (Version::One, _) => Value::Array(urls),
        (Version::Two, None) => json!({ "endpoints": urls, "headers": {} }),
        (Version::Two, Some(policy)) => {
            json!({ "endpoints": urls, "headers": { "X-Backend-Storage-Policy-Index": policy.to_string() } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_may_stand_before_the_account() {
        let check = |rest: &str, version, account: &str, container: Option<&str>, object: Option<&str>| {
            let name = |name: &str| name.to_owned();
            let path = Path {
                account: name(account).into(),
                container: container.map(name).map(Into::into),
                object: object.map(name).map(Into::into),
            };
            assert_eq!(asked(rest), Ok((version, path)), "{rest}");
        };
        check("a", Version::One, "a", None, None);
        check("a/c/o%201/p", Version::One, "a", Some("c"), Some("o 1/p"));
        check("v1/a/c", Version::One, "a", Some("c"), None);
        check("v1.0/a/c", Version::One, "a", Some("c"), None);
        check("v2/a/c/o", Version::Two, "a", Some("c"), Some("o"));
        check("2.0/a", Version::Two, "a", None, None);
        check("v_3/a", Version::One, "v_3", Some("a"), None);
        check("AUTH_v/a", Version::One, "AUTH_v", Some("a"), None);
    }

    #[test]
    fn what_names_nothing_is_told() {
        for (rest, sentence) in [
            ("", "No account specified"),
            ("v1", "No account specified"),
            ("v2/", "No account specified"),
            ("/a", "No account specified"),
            ("v3/a", "Unsupported version 'v3'"),
            ("vx/a", "Unsupported version 'vx'"),
        ] {
            assert_eq!(asked(rest), Err(sentence.to_owned()), "{rest}");
        }
    }

    #[test]
    fn the_second_version_says_which_fields_a_request_needs() {
        let node = |address: &str, device: &str| Node {
            id: 0,
            region: 1,
            zone: 1,
            address: address.parse().unwrap(),
            device: device.into(),
            primary: true,
            name: "".into(),
        };
        let nodes = vec![node("10.1.1.1:6200", "sda1"), node("[fe80::1]:6201", "sdb1")];
        let (_, path) = asked("a/c/o 1").unwrap();
        let places = Places { partition: 2, nodes, policy: Some(1) };
        let urls = ["http://10.1.1.1:6200/sda1/2/a/c/o%201", "http://[fe80::1]:6201/sdb1/2/a/c/o%201"];
        assert_eq!(document(Version::One, &path, &places), json!(urls));
        let headers = json!({ "X-Backend-Storage-Policy-Index": "1" });
        assert_eq!(document(Version::Two, &path, &places), json!({ "endpoints": urls, "headers": headers }));
        let of_container = Places { policy: None, ..places };
        assert_eq!(document(Version::Two, &path, &of_container)["headers"], json!({}));
    }

    #[test]
    fn paths_are_compared_in_one_spelling() {
        assert_eq!(behind(PATH, b"/endpoints/a/c%20d").as_deref(), Some("a/c%20d"));
        assert_eq!(behind(PATH, b"/%65ndpoints/%61").as_deref(), Some("a"));
        assert_eq!(behind(PATH, b"/endpoints"), None);
        assert_eq!(behind(PATH, b"/v1/endpoints/"), None);
    }
}
