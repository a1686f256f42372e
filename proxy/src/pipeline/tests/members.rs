//! Members of the pipeline that are off unless named, through the whole of it to the backends.

use super::*;
use crate::testing::{World, run};
use base::checksum::hex;
use base::http::RequestHead;
use base::http::server::Request;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The pipeline of a world with these members as well, and whatever else `change` sets.
async fn pipeline(world: &World, members: &[Member], change: impl FnOnce(&mut Config)) -> Pipeline {
    let mut config = (*world.core.config).clone();
    config.pipeline.extend(members);
    config.pipeline.sort_unstable();
    change(&mut config);
    Pipeline::new(Core::new(Rc::new(config)).await.unwrap())
}

pub(super) async fn send(
    pipeline: &Pipeline,
    method: Method,
    target: &str,
    fields: &[(&'static str, &str)],
    body: &str,
) -> Response {
    let mut head = RequestHead::new(method, target.to_owned());
    for (name, value) in fields {
        head.headers.append(*name, (*value).to_owned());
    }
    let body = RequestBody::full(body.to_owned());
    pipeline.answer(&mut Request { head, body, peer: "127.0.0.1:9".parse().unwrap() }).await
}

/// A form with one file of at most `size` bytes, signed with `key` for this address; its boundary is `b`.
pub(super) fn form(address: &str, size: u32, data: &str) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(b"key").unwrap();
    mac.update(format!("{address}\n\n{size}\n1\n9999999999").as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    let value =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let disposition = format!("Content-Disposition: form-data; name=\"f\"; filename=\"{size}.txt\"");
    [
        value("max_file_size", &size.to_string()),
        value("max_file_count", "1"),
        value("expires", "9999999999"),
        value("signature", &signature),
        format!("--b\r\n{disposition}\r\n\r\n{data}\r\n--b--\r\n"),
    ]
    .concat()
}

#[test]
fn a_form_stores_its_files_and_one_that_is_too_large_leaves_nothing() {
    run(40, |world| async move {
        let pipeline = pipeline(&world, &[Member::Formpost], |_| {}).await;
        let key = ("X-Container-Meta-Temp-Url-Key", "key");
        assert_eq!(send(&pipeline, Method::Put, "/v1/AUTH_a/c%20c", &[key], "").await.head.status, Status(201));
        let form = |size: u32, data: &str| form("/v1/AUTH_a/c c/up/", size, data);
        let kind = ("Content-Type", "multipart/form-data; boundary=b");
        // Whatever token came along, and whatever else the form's sender would like to say.
        let lies = [kind, ("X-Auth-Token", "nobody's"), ("X-Object-Manifest", "c/o"), ("X-Backend-Secret", "1")];
        let large = "0123456789".repeat(20_000);
        let answer = send(&pipeline, Method::Post, "/v1/AUTH_a/c%20c/up/", &lies, &form(200_000, &large)).await;
        assert_eq!(answer.head.status, Status(201));
        let holders = world.backends.holders("/AUTH_a/c%20c/up/200000.txt");
        assert_eq!(holders.len(), 3);
        for node in holders {
            assert_eq!(world.backends.body(node, "/AUTH_a/c%20c/up/200000.txt").unwrap(), large);
        }
        for put in world.backends.requests(Method::Put, "/AUTH_a/c%20c/up/200000.txt") {
            assert_eq!(put.headers.get_str("Content-Type"), Some("text/plain"));
            assert!(!put.headers.contains("X-Object-Manifest"));
        }
        let answer = send(&pipeline, Method::Post, "/v1/AUTH_a/c%20c/up/", &[kind], &form(199_999, &large)).await;
        assert_eq!(answer.head.status, Status(400));
        assert_eq!(full_body(answer), "FormPost: max_file_size exceeded");
        assert!(world.backends.holders("/AUTH_a/c%20c/up/199999.txt").is_empty());
        let other = send(&pipeline, Method::Post, "/v1/AUTH_a/other/", &[kind], &form(200_000, "x")).await;
        assert_eq!(other.head.status, Status(401));
        // Where nobody may write, no form does, whoever signed it.
        let closed = self::pipeline(&world, &[Member::Formpost, Member::ReadOnly], |config| {
            config.read_only.read_only = true;
        });
        let closed = closed.await;
        let answer = send(&closed, Method::Post, "/v1/AUTH_a/c%20c/closed/", &[kind], &form(200_000, "x")).await;
        assert_eq!(answer.head.status, Status(405));
        // Nor by a name of the cluster that is not its own.
        let denying = [Member::Formpost];
        let denying = self::pipeline(&world, &denying, |config| config.deny_host_headers = vec!["evil".into()]).await;
        let fields = [kind, ("Host", "evil:80")];
        let answer = send(&denying, Method::Post, "/v1/AUTH_a/c%20c/up/", &fields, &form(200_000, "x")).await;
        assert_eq!(answer.head.status, Status(403));
        // Without the member a POST of an object is what it was.
        let plain = Pipeline::new(Rc::clone(&world.core));
        let answer = send(&plain, Method::Post, "/v1/AUTH_a/c%20c/up/", &[kind], &form(200_000, "x")).await;
        assert_eq!(answer.head.status, Status(404));
    });
}

#[test]
fn writes_of_an_account_come_at_its_rate() {
    run(41, |world| async move {
        let pipeline = pipeline(&world, &[Member::Ratelimit], |config| {
            config.ratelimit.account_ratelimit = 2.0;
            config.ratelimit.max_sleep_time = std::time::Duration::from_secs(1);
            config.cores = 1;
        })
        .await;
        let start = io::monotonic();
        for number in 0..5 {
            let answer = send(&pipeline, Method::Put, &format!("/v1/AUTH_a/c{number}"), &[], "").await;
            assert_eq!(answer.head.status, Status(201));
        }
        let took = io::monotonic().since(start).as_secs_f64();
        assert!((2.0..2.2).contains(&took), "{took}");
    });
}

#[test]
fn another_cluster_writes_what_is_stored_there_at_the_time_it_has_there() {
    run(43, |world| async move {
        let file = world.core.config.swift_dir.join("container-sync-realms.conf");
        let realms = "[us]\nkey = realm key\ncluster_here = http://here/v1/\n";
        io::fs::write_atomic(&file, realms.into(), 0o600).await.unwrap();
        let open = Pipeline::new(Rc::clone(&world.core));
        let key = ("X-Container-Sync-Key", "user key");
        assert_eq!(send(&open, Method::Put, "/v1/AUTH_a/c", &[key], "").await.head.status, Status(201));
        let members = [Member::ContainerSync, Member::Tempauth, Member::Slo, Member::Symlink];
        let pipeline = pipeline(&world, &members, |_| {}).await;
        let time = "1455221706.72600";
        let put = async |name: &str, more: &[(&'static str, &str)]| {
            let mut mac = <Hmac<sha1::Sha1> as KeyInit>::new_from_slice(b"realm key").unwrap();
            mac.update(format!("PUT\n/v1/AUTH_a/c/{name}\n{time}\nnonce\nuser key").as_bytes());
            let auth = format!("US nonce {}", hex(&mac.finalize().into_bytes()));
            let fields = [&[("X-Container-Sync-Auth", auth.as_str()), ("X-Timestamp", time)], more].concat();
            send(&pipeline, Method::Put, &format!("/v1/AUTH_a/c/{name}"), &fields, "[]").await.head.status
        };
        assert_eq!(put("a%20manifest", &[("X-Static-Large-Object", "True")]).await, Status(201));
        let seen = world.backends.requests(Method::Put, "/AUTH_a/c/a%20manifest");
        assert_eq!(seen.len(), 3);
        for put in seen {
            assert_eq!(put.headers.get_str("X-Timestamp"), Some(time));
            assert_eq!(put.headers.get_str("X-Static-Large-Object"), Some("True"));
            assert!(!put.headers.contains("X-Container-Sync-Auth"));
        }
        // Nobody else, whatever he claims; and another object needs another signature.
        assert_eq!(put("other", &[("X-Object-Meta-A", "b")]).await, Status(201));
        world.backends.clear();
        for auth in ["US nonce 0123", "us nonce", ""] {
            let fields = [("X-Container-Sync-Auth", auth), ("X-Timestamp", time)];
            let answer = send(&pipeline, Method::Put, "/v1/AUTH_a/c/o", &fields, "x").await;
            assert_eq!(answer.head.status, Status(401), "{auth}");
            let challenge = answer.head.headers.get_str("Www-Authenticate");
            assert_eq!(challenge, Some("SwiftContainerSync realm=\"AUTH_a\""));
        }
        let plain = send(&pipeline, Method::Put, "/v1/AUTH_a/c/o", &[("X-Timestamp", time)], "x").await;
        assert_eq!(plain.head.status, Status(401));
        assert!(world.backends.requests(Method::Put, "/AUTH_a/c/o").is_empty());
    });
}

#[test]
fn info_lists_what_is_on_as_swift_does() {
    run(42, |world| async move {
        let members = [Member::Formpost, Member::Ratelimit, Member::ContainerSync];
        let pipeline = pipeline(&world, &members, |_| {}).await;
        let text = full_body(send(&pipeline, Method::Get, "/info", &[], "").await);
        let info: serde_json::Value = serde_json::from_str(&text).unwrap();
        let digests = serde_json::json!(["sha1", "sha256", "sha512"]);
        assert_eq!(info["formpost"]["allowed_digests"], digests);
        assert_eq!(info["formpost"]["deprecated_digests"], serde_json::json!(["sha1"]));
        assert_eq!(info["container_sync"], serde_json::json!({ "realms": {} }));
        assert_eq!(info["ratelimit"]["max_sleep_time_seconds"], 60.0);
        let plain = Pipeline::new(Rc::clone(&world.core));
        let text = full_body(send(&plain, Method::Get, "/info", &[], "").await);
        assert!(["formpost", "ratelimit", "container_sync"].iter().all(|name| !text.contains(name)), "{text}");
    });
}

#[test]
fn tempauth_gives_tokens_where_it_is_told_and_takes_other_rights_as_it_is_told() {
    run(47, |world| async move {
        for (overrides, alone) in [(true, 200), (false, 401)] {
            let pipeline = pipeline(&world, &[Member::Tempauth, Member::Tempurl], |config| {
                let sample = crate::config::tests::sample();
                (config.users, config.token_secret) = (sample.users, sample.token_secret);
                (config.tempauth_prefix, config.tempauth_allows_overrides) = ("/login/".to_owned(), overrides);
            })
            .await;
            let credentials = [("X-Auth-User", "test:tester"), ("X-Auth-Key", "testing")];
            let elsewhere = send(&pipeline, Method::Get, "/auth/v1.0", &credentials, "").await;
            assert!(elsewhere.head.headers.get("X-Auth-Token").is_none());
            let answer = send(&pipeline, Method::Get, "/login/v1.0", &credentials, "").await;
            let token = ("X-Auth-Token", answer.head.headers.get_str("X-Auth-Token").unwrap());
            let key = ("X-Container-Meta-Temp-Url-Key", "key");
            assert!(send(&pipeline, Method::Put, "/v1/AUTH_test/c", &[token, key], "").await.head.status.is_success());
            assert!(send(&pipeline, Method::Put, "/v1/AUTH_test/c/o", &[token], "x").await.head.status.is_success());
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(b"key").unwrap();
            mac.update(b"GET\n4102444800\n/v1/AUTH_test/c/o");
            let signature = hex(&mac.finalize().into_bytes());
            let target = format!("/v1/AUTH_test/c/o?temp_url_sig={signature}&temp_url_expires=4102444800");
            assert_eq!(send(&pipeline, Method::Get, &target, &[], "").await.head.status.0, alone, "{overrides}");
            assert_eq!(send(&pipeline, Method::Get, &target, &[token], "").await.head.status.0, 200, "{overrides}");
        }
    });
}
