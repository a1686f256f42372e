//! Keystone's users through the whole pipeline: a Keystone of a few lines, the real application, scripted backends.

use super::*;
use crate::middleware::authtoken::tests::World as Identities;
use crate::testing::{World, run};
use base::http::RequestHead;
use std::time::Duration;

const PIPELINE: &str = "catch_errors gatekeeper proxy-logging tempurl formpost authtoken keystoneauth copy account-quotas dlo symlink proxy-server";

/// A proxy with this configuration beside the usual.
async fn proxy(options: &str) -> Pipeline {
    let text = format!(
        "[DEFAULT]\nswift_dir = /etc/swift\n[pipeline:main]\npipeline = {PIPELINE}\n\
         [app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n\
         [filter:authtoken]\npaste.filter_factory = keystonemiddleware.auth_token:filter_factory\n\
         auth_url = http://10.0.0.5:5000\nusername = swift\npassword = secret\nuser_domain_id = default\n\
         project_name = service\nproject_domain_id = default\nwww_authenticate_uri = http://keystone.example.com\n{options}"
    );
    let swift = "[swift-hash]\nswift_hash_path_suffix = suffix\n";
    let config = Config::parse("proxy-server.conf", &text, swift).unwrap();
    Pipeline::new(Core::new(Rc::new(config)).await.unwrap())
}

const DELAYED: &str = "delay_auth_decision = true\n[filter:keystoneauth]\nuse = egg:swift#keystoneauth\n";

/// Sends a request; a body for a PUT.
async fn send(pipeline: &Pipeline, method: Method, target: &str, fields: &[(&'static str, &str)]) -> Response {
    let mut head = RequestHead::new(method, target.to_owned());
    for (name, value) in fields {
        head.headers.append(*name, (*value).to_owned());
    }
    let is_upload = method == Method::Put && target.matches('/').count() > 3 && !head.headers.contains("X-Copy-From");
    let body = RequestBody::full(if is_upload { "bytes" } else { "" });
    pipeline.answer(&mut Request { head, body, peer: "127.0.0.1:9".parse().unwrap() }).await
}

/// The status of a request with a token.
async fn status(pipeline: &Pipeline, method: Method, target: &str, token: &str) -> u16 {
    send(pipeline, method, target, &[("X-Auth-Token", token)]).await.head.status.0
}

/// Keystone with an operator of each of two projects, a member, and a reseller admin.
async fn identities(world: &World) -> Identities {
    let identities = Identities::begin(world.sim.clone()).await;
    let keystone = &identities.keystone;
    keystone.know_user("tester", "test", &["admin"]);
    keystone.know_user("tester2", "test2", &["admin"]);
    keystone.know_user("tester3", "test", &["member"]);
    keystone.know_user("boss", "other", &["ResellerAdmin"]);
    identities
}

#[test]
fn fields_of_a_client_that_say_who_he_is_are_nothing() {
    run(41, |world| async move {
        let _identities = identities(&world).await;
        let pipeline = proxy(DELAYED).await;
        assert_eq!(status(&pipeline, Method::Put, "/v1/AUTH_test-id/c", "tester").await, 201);
        let claims = [
            ("X-Identity-Status", "Confirmed"),
            ("X-Service-Identity-Status", "Confirmed"),
            ("X-Roles", "admin,ResellerAdmin"),
            ("x_roles", "ResellerAdmin"),
            ("X-Role", "ResellerAdmin"),
            ("X-Project-Id", "test-id"),
            ("X_Project_Id", "test-id"),
            ("X-Tenant-Id", "test-id"),
            ("X-User-Id", "spoofed"),
            ("X-User", "spoofed"),
            ("X-Account-Sysmeta-Project-Domain-Id", "spoofed"),
        ];
        let refused = send(&pipeline, Method::Get, "/v1/AUTH_test-id/c", &claims).await;
        assert_eq!(refused.head.status, Status(401));
        // With a token of his own he is who the token says.
        let mut fields = claims.to_vec();
        fields.push(("X-Auth-Token", "tester3"));
        assert_eq!(send(&pipeline, Method::Get, "/v1/AUTH_test-id/c", &fields).await.head.status, Status(403));
        world.backends.clear();
        fields.retain(|(name, _)| *name != "X-Auth-Token");
        fields.push(("X-Auth-Token", "tester"));
        assert_eq!(send(&pipeline, Method::Put, "/v1/AUTH_test-id/c/o", &fields).await.head.status, Status(201));
        let seen = world.backends.seen.borrow();
        assert!(seen.len() >= 3);
        for (name, value) in seen.iter().flat_map(|seen| seen.headers.iter()) {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            assert!(!name.contains("roles") && !name.contains("identity") && !name.contains("token"), "{name}");
            assert!(!value.windows(7).any(|part| part == b"spoofed"), "{name}");
        }
    });
}

#[test]
fn a_form_is_taken_where_signatures_count_and_nobody_needs_a_token() {
    run(50, |world| async move {
        let _identities = identities(&world).await;
        let key = [("X-Auth-Token", "tester"), ("X-Container-Meta-Temp-Url-Key", "key")];
        let usual = "[filter:keystoneauth]\nuse = egg:swift#keystoneauth\n";
        for (options, expected) in
            [(DELAYED.to_owned(), 201), (format!("{DELAYED}allow_overrides = false\n"), 401), (usual.to_owned(), 401)]
        {
            let pipeline = proxy(&options).await;
            let made = send(&pipeline, Method::Put, "/v1/AUTH_test-id/c", &key).await;
            assert!(made.head.status.is_success());
            let kind = [("Content-Type", "multipart/form-data; boundary=b"), ("X-Roles", "ResellerAdmin")];
            let form = super::members::form("/v1/AUTH_test-id/c/", 9, "bytes");
            let answer = super::members::send(&pipeline, Method::Post, "/v1/AUTH_test-id/c/", &kind, &form).await;
            assert_eq!(answer.head.status.0, expected, "{options}");
        }
    });
}

#[test]
fn a_refusal_names_keystone() {
    run(42, |world| async move {
        let identities = identities(&world).await;
        for (options, body) in
            [(DELAYED, "<html>"), ("[filter:keystoneauth]\nuse = egg:swift#keystoneauth\n", "{\"error\"")]
        {
            let pipeline = proxy(options).await;
            let refused = send(&pipeline, Method::Get, "/v1/AUTH_test-id", &[("X-Auth-Token", "nonsense")]).await;
            assert_eq!(refused.head.status, Status(401));
            let challenges: Vec<_> = refused.head.headers.get_all("Www-Authenticate").cloned().collect();
            assert_eq!(challenges.iter().filter(|challenge| challenge.starts_with(b"Keystone")).count(), 1);
            assert_eq!(challenges.last().unwrap(), "Keystone uri=\"http://keystone.example.com\"");
            assert!(full_body(refused).starts_with(body));
        }
        assert_eq!(identities.keystone.asked.borrow().len(), 2);
    });
}

#[test]
fn the_first_write_makes_the_account_with_its_domain() {
    run(43, |world| async move {
        let _identities = identities(&world).await;
        let pipeline = proxy(DELAYED).await;
        let domain = |account: &str| -> Vec<Option<String>> {
            let made = world.backends.requests(Method::Put, account);
            let of = |headers: &Headers| headers.get_str("X-Account-Sysmeta-Project-Domain-Id").map(str::to_owned);
            made.iter().map(|seen| of(&seen.headers)).collect()
        };
        assert_eq!(status(&pipeline, Method::Put, "/v1/AUTH_test-id/c", "tester").await, 201);
        assert_eq!(domain("/AUTH_test-id"), vec![Some("default".to_owned()); 3]);
        assert_eq!(status(&pipeline, Method::Put, "/v1/AUTH_test2-id/c", "boss").await, 201);
        assert_eq!(domain("/AUTH_test2-id"), vec![Some("_unknown".to_owned()); 3]);
        let shown = send(&pipeline, Method::Head, "/v1/AUTH_test-id", &[("X-Auth-Token", "tester")]).await;
        assert_eq!(shown.head.headers.get_str("X-Account-Project-Domain-Id"), Some("default"));
        assert!(!shown.head.headers.contains("X-Account-Sysmeta-Project-Domain-Id"));
    });
}

#[test]
fn acls_of_containers_open_them_to_other_projects() {
    run(44, |world| async move {
        let _identities = identities(&world).await;
        let pipeline = proxy(DELAYED).await;
        // The account of `test` is in the default domain, that of `test2` was made by somebody from elsewhere.
        for (account, maker, guest, by_name) in
            [("AUTH_test-id", "tester", "tester2", 204), ("AUTH_test2-id", "boss", "tester", 403)]
        {
            let (container, object) = (format!("/v1/{account}/c"), format!("/v1/{account}/c/o"));
            let project = if guest == "tester" { "test" } else { "test2" };
            for (acl, expected) in [
                (format!("{project}:{guest}"), by_name),
                (format!("{project}-id:{guest}-id"), 204),
                ("*:*".to_owned(), 204),
                (format!("{project}-id:somebody"), 403),
            ] {
                let fields =
                    [("X-Auth-Token", maker), ("X-Container-Read", acl.as_str()), ("X-Container-Write", acl.as_str())];
                assert!(send(&pipeline, Method::Put, &container, &fields).await.head.status.is_success());
                assert_eq!(status(&pipeline, Method::Get, &container, guest).await, expected, "{acl}");
                let written = if expected == 204 { 201 } else { expected };
                assert_eq!(status(&pipeline, Method::Put, &object, guest).await, written, "{acl}");
                assert_eq!(status(&pipeline, Method::Delete, &container, guest).await, 403, "{acl}");
            }
        }
    });
}

#[test]
fn what_follows_from_a_request_is_asked_as_its_caller() {
    run(45, |world| async move {
        let _identities = identities(&world).await;
        let pipeline = proxy(DELAYED).await;
        assert_eq!(status(&pipeline, Method::Put, "/v1/AUTH_test-id/c", "tester").await, 201);
        assert_eq!(status(&pipeline, Method::Put, "/v1/AUTH_test-id/c/o", "tester").await, 201);
        assert_eq!(status(&pipeline, Method::Put, "/v1/AUTH_test2-id/d", "tester2").await, 201);
        let copy = [("X-Auth-Token", "tester2"), ("X-Copy-From", "/c/o"), ("X-Copy-From-Account", "AUTH_test-id")];
        let answer = send(&pipeline, Method::Put, "/v1/AUTH_test2-id/d/o", &copy).await;
        assert_eq!(answer.head.status, Status(403), "nobody copies what he may not read");
        let acl = [("X-Auth-Token", "tester"), ("X-Container-Read", "test2-id:*")];
        assert!(send(&pipeline, Method::Put, "/v1/AUTH_test-id/c", &acl).await.head.status.is_success());
        let answer = send(&pipeline, Method::Put, "/v1/AUTH_test2-id/d/o", &copy).await;
        assert_eq!(answer.head.status, Status(201));
        // Nor writes where he may only read.
        let copy = [("X-Auth-Token", "tester2"), ("X-Copy-From", "/d/o"), ("X-Copy-From-Account", "AUTH_test2-id")];
        assert_eq!(send(&pipeline, Method::Put, "/v1/AUTH_test-id/c/p", &copy).await.head.status, Status(403));
    });
}

#[test]
fn a_signature_counts_where_it_may() {
    run(46, |world| async move {
        let identities = identities(&world).await;
        let strict = "[filter:keystoneauth]\nuse = egg:swift#keystoneauth\n";
        let own_rules = format!("{DELAYED}allow_overrides = false\n");
        let signature = hmac_sha1_hex(b"key", b"GET\n4102444800\n/v1/AUTH_test-id/c/o");
        let target = format!("/v1/AUTH_test-id/c/o?temp_url_sig={signature}&temp_url_expires=4102444800");
        for (options, alone, with_stranger) in [(DELAYED, 200, 200), (strict, 401, 200), (own_rules.as_str(), 401, 403)]
        {
            let pipeline = proxy(options).await;
            let key = [("X-Auth-Token", "tester"), ("X-Container-Meta-Temp-Url-Key", "key")];
            assert!(send(&pipeline, Method::Put, "/v1/AUTH_test-id/c", &key).await.head.status.is_success());
            assert!(status(&pipeline, Method::Put, "/v1/AUTH_test-id/c/o", "tester").await < 300);
            let answer = send(&pipeline, Method::Get, &target, &[]).await;
            assert_eq!(answer.head.status.0, alone, "{options}");
            assert_eq!(status(&pipeline, Method::Get, &target, "tester2").await, with_stranger, "{options}");
            assert_eq!(
                status(&pipeline, Method::Get, &target.replace("sig=", "sig=0"), "tester").await,
                401,
                "{options}"
            );
        }
        // Where the signature decides, Keystone is not even asked.
        let pipeline = proxy(DELAYED).await;
        identities.stop();
        assert_eq!(status(&pipeline, Method::Get, &target, "tester2").await, 200);
    });
}

fn hmac_sha1_hex(key: &[u8], message: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key).unwrap();
    mac.update(message);
    base::checksum::hex(&mac.finalize().into_bytes())
}

#[test]
fn only_resellers_set_quotas() {
    run(47, |world| async move {
        let _identities = identities(&world).await;
        let pipeline = proxy(DELAYED).await;
        assert_eq!(status(&pipeline, Method::Put, "/v1/AUTH_test-id/c", "tester").await, 201);
        let quota = |token| [("X-Auth-Token", token), ("X-Account-Quota-Bytes", "100")];
        assert_eq!(send(&pipeline, Method::Post, "/v1/AUTH_test-id", &quota("tester")).await.head.status, Status(403));
        assert!(send(&pipeline, Method::Post, "/v1/AUTH_test-id", &quota("boss")).await.head.status.is_success());
    });
}

#[test]
fn without_keystone_nobody_new_comes_in() {
    run(48, |world| async move {
        let identities = identities(&world).await;
        let pipeline = proxy(DELAYED).await;
        assert_eq!(status(&pipeline, Method::Put, "/v1/AUTH_test-id/c", "tester").await, 201);
        identities.stop();
        assert_eq!(status(&pipeline, Method::Get, "/v1/AUTH_test-id/c", "tester").await, 204);
        assert_eq!(status(&pipeline, Method::Get, "/v1/AUTH_test-id/c", "boss").await, 503);
        assert_eq!(status(&pipeline, Method::Get, "/v1/AUTH_test-id/c", "nonsense").await, 503);
        assert_eq!(send(&pipeline, Method::Get, "/v1/AUTH_test-id/c", &[]).await.head.status, Status(401));
        io::sleep(Duration::from_secs(400)).await;
        assert_eq!(status(&pipeline, Method::Get, "/v1/AUTH_test-id/c", "tester").await, 503, "too long ago");
    });
}

#[test]
fn info_lists_neither_half_as_swift_does() {
    run(49, |world| async move {
        let _identities = identities(&world).await;
        let pipeline = proxy(DELAYED).await;
        let document = full_body(send(&pipeline, Method::Get, "/info", &[]).await);
        assert!(document.contains("\"swift\"") && !document.contains("auth"), "{document}");
    });
}
