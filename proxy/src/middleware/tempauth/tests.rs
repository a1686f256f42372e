//! Who gets a token, and who may what.

use super::*;
use crate::config::tests::sample;
use crate::middleware::authorization::authorize;
use crate::pipeline::tests::request;
use base::http::server::RequestBody;
use base::io::sim::{Sim, SimOptions};
use std::rc::Rc;

fn auth(path: &'static str, fields: &[(&'static str, &'static str)]) -> Response {
    let mut head = RequestHead::new(Method::Get, path.to_owned());
    for (name, value) in fields {
        head.headers.append(*name, *value);
    }
    let request = Request { head, body: RequestBody::full(""), peer: "127.0.0.1:1".parse().unwrap() };
    let rest = auth_path(&sample(), path.as_bytes()).unwrap();
    Sim::new(1, SimOptions::default())
        .run(async move { Tokens::new(Rc::new(sample()), None).give(&request, rest).await })
}

fn who(token: &str) -> Result<Rc<Identity>, Box<Response>> {
    let mut head = RequestHead::new(Method::Get, "/v1/AUTH_test/c");
    head.headers.set("X-Auth-Token", token.to_owned());
    Sim::new(1, SimOptions::default()).run(async move { Tokens::new(Rc::new(sample()), None).identify(&head).await })
}

#[test]
fn right_credentials_give_a_token_that_is_known_again() {
    for (path, user) in [("/auth/v1.0", "test:tester"), ("/auth/v1", "test:tester"), ("/auth/v1/test/auth", "tester")] {
        for (user_field, key_field) in [("X-Auth-User", "X-Auth-Key"), ("X-Storage-User", "X-Storage-Pass")] {
            let response = auth(path, &[(user_field, user), (key_field, "testing"), ("Host", "swift.example:8080")]);
            assert_eq!(response.head.status, Status(200), "{path}");
            let get = |name: &str| response.head.headers.get_str(name).unwrap();
            assert_eq!(get("X-Storage-Url"), "http://swift.example:8080/v1/AUTH_test");
            assert_eq!(get("X-Auth-Token-Expires"), "86400");
            assert_eq!(get("X-Auth-Token"), get("X-Storage-Token"));
            let identity = who(get("X-Auth-Token")).map_err(|refused| refused.head.status).unwrap();
            assert_eq!(identity.user.as_deref(), Some("test:tester"));
            assert_eq!(identity.groups, ["test", "test:tester", "AUTH_test"]);
        }
    }
}

#[test]
fn wrong_credentials_are_401_and_wrong_paths_404() {
    let check = |path: &'static str, fields: &[(&'static str, &'static str)], status: u16| {
        assert_eq!(auth(path, fields).head.status, Status(status), "{path} {fields:?}");
    };
    check("/auth/v1.0", &[], 401);
    check("/auth/v1.0", &[("X-Auth-User", "test:tester"), ("X-Auth-Key", "wrong")], 401);
    check("/auth/v1.0", &[("X-Auth-User", "nobody:tester"), ("X-Auth-Key", "testing")], 401);
    check("/auth/v1.0", &[("X-Auth-User", "tester"), ("X-Auth-Key", "testing")], 401);
    check("/auth/v1/test2/auth", &[("X-Auth-User", "test:tester"), ("X-Auth-Key", "testing")], 401);
    check("/auth/other", &[], 404);
}

#[test]
fn a_host_that_is_none_is_not_reflected() {
    let fields = [("X-Auth-User", "test:tester"), ("X-Auth-Key", "testing"), ("Host", "evil\"><script>")];
    let response = auth("/auth/v1.0", &fields);
    assert_eq!(response.head.headers.get_str("X-Storage-Url"), Some("http://127.0.0.1:8080/v1/AUTH_test"));
}

#[test]
fn an_invalid_token_is_refused_at_once() {
    let refused = who("AUTH_tk0123").unwrap_err();
    assert_eq!(refused.head.status, Status(401));
    assert_eq!(refused.head.headers.get_str("Www-Authenticate"), Some("Swift realm=\"AUTH_test\""));
}

/// The status of a request, 200 when allowed, and whether the caller counts as owner.
fn ask(
    user: Option<&str>,
    method: Method,
    path: &str,
    acl: Option<&str>,
    referer: Option<&'static str>,
) -> (u16, bool) {
    let config = sample();
    let mut request = request(method, path);
    if let Some(name) = user {
        let user = config.users.iter().find(|user| format!("{}:{}", user.account, user.user) == name).unwrap();
        request.identity = Rc::new(identity_of(&config, user));
    }
    if let Some(referer) = referer {
        request.headers.set("Referer", referer);
    }
    match authorize(&config, &mut request, Acls { container: acl, account: None, sync_key: None }) {
        Ok(()) => (200, request.is_owner),
        Err(refused) => (refused.head.status.0, request.is_owner),
    }
}

#[test]
fn an_account_belongs_to_its_admin_and_to_resellers() {
    let check =
        |user, method, path: &str, expected| assert_eq!(ask(user, method, path, None, None), expected, "{path}");
    check(Some("test:tester"), Method::Put, "/AUTH_test/c", (200, true));
    check(Some("test:tester"), Method::Post, "/AUTH_test", (200, true));
    // Accounts are made and removed by resellers.
    check(Some("test:tester"), Method::Put, "/AUTH_test", (403, false));
    check(Some("test:tester"), Method::Delete, "/AUTH_test", (403, false));
    check(Some("admin:admin"), Method::Delete, "/AUTH_test", (200, true));
    check(Some("admin:admin"), Method::Get, "/AUTH_.internal", (403, false));
    check(Some("test2:tester2"), Method::Get, "/AUTH_test", (403, false));
    check(Some("test:other"), Method::Get, "/AUTH_test", (403, false));
    check(None, Method::Get, "/AUTH_test", (401, false));
    check(Some("test:tester"), Method::Get, "/OTHER_test", (403, false));
    check(Some("test:tester"), Method::Get, "/AUTH_", (403, false));
    check(None, Method::Options, "/AUTH_test/c", (200, false));
}

#[test]
fn acls_open_containers_to_others() {
    let check = |user, path: &str, acl, referer, expected: u16| {
        assert_eq!(ask(user, Method::Get, path, Some(acl), referer), (expected, false), "{user:?} {path} {acl}");
    };
    let (container, object) = ("/AUTH_test/c", "/AUTH_test/c/o");
    check(Some("test:other"), object, "test:other", None, 200);
    check(Some("test:other"), container, "test", None, 200);
    check(Some("test2:tester2"), object, "test:other", None, 403);
    check(Some("test2:tester2"), object, "test2", None, 200);
    check(Some("test2:tester2"), object, "AUTH_test2", None, 200);
    check(None, object, ".r:*", None, 200);
    check(None, container, ".r:*", None, 401);
    check(None, container, ".r:*,.rlistings", None, 200);
    check(None, container, ".rlistings", None, 401);
    check(None, object, ".r:.example.com", Some("http://www.example.com/"), 200);
    check(None, object, ".r:.example.com", Some("http://www.example.org/"), 401);
    check(None, object, "", None, 401);
    // What an ACL can name, a user must not become by his groups.
    check(Some("test:other"), object, ".admin", None, 403);
}
