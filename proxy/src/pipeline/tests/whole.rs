//! The whole pipeline around a fake application, in the simulator (it asks for the time and for chance).

use super::*;
use crate::middleware::authorization;
use base::http::RequestHead;
use base::http::server::RequestBody;
use base::io::sim::{Sim, SimOptions};

fn run(head: RequestHead) -> Response {
    let sim = Sim::new(1, SimOptions::default());
    sim.run(async move {
        let application = Fake::new(|request: ClientRequest| {
            assert_ne!(request.path.account, "AUTH_panic", "the application panics");
            let refused = authorization::authorize(
                &crate::config::tests::sample(),
                &mut { request },
                authorization::Acls::default(),
            );
            match refused {
                Ok(()) => Response::empty(Status(204)).header("X-Backend-Secret", "1").header("X-Timestamp", "1.00000"),
                Err(refused) => *refused,
            }
        });
        let pipeline = Pipeline::around(Rc::new(crate::config::tests::sample()), application);
        pipeline.answer(&mut Request { head, body: RequestBody::full(""), peer: "127.0.0.1:9".parse().unwrap() }).await
    })
}

fn get(path: &'static str) -> RequestHead {
    RequestHead::new(Method::Get, path)
}

#[test]
fn every_answer_has_a_transaction_id() {
    for (path, status) in [
        ("/healthcheck", 200),
        ("/info", 200),
        ("/nothing", 412),
        ("/v1/AUTH_test/c/o", 401),
        ("/auth/v1.0", 401),
        ("/v1/AUTH_panic/c/o", 500),
    ] {
        let response = run(get(path));
        assert_eq!(response.head.status, Status(status), "{path}");
        let id = response.head.headers.get_str("X-Trans-Id").unwrap();
        assert_eq!(id.len(), 34, "{id}");
        assert_eq!(response.head.headers.get_str("X-Openstack-Request-Id"), Some(id));
    }
}

#[test]
fn a_token_from_auth_opens_the_account_and_backend_fields_stay_inside() {
    let mut auth = get("/auth/v1.0");
    auth.headers.set("X-Auth-User", "test:tester");
    auth.headers.set("X-Auth-Key", "testing");
    let token = run(auth).head.headers.get("X-Auth-Token").unwrap().clone();
    let mut head = get("/v1/AUTH_test/c/o");
    head.headers.set("X-Auth-Token", token);
    let response = run(head);
    assert_eq!(response.head.status, Status(204));
    assert!(!response.head.headers.contains("X-Backend-Secret"));
    assert!(response.head.headers.contains("X-Timestamp"));
}

#[test]
fn players_learn_which_sites_may_use_this_one() {
    let mut config = crate::config::tests::sample();
    config.pipeline.push(Member::Crossdomain);
    let sim = Sim::new(1, SimOptions::default());
    let ask = |config: crate::config::Config, method| {
        let pipeline = Pipeline::around(Rc::new(config), Fake::new(|_| Response::empty(Status(204))));
        let head = RequestHead::new(method, "/crossdomain.xml");
        let mut request = Request { head, body: RequestBody::full(""), peer: "127.0.0.1:9".parse().unwrap() };
        async move { pipeline.answer(&mut request).await }
    };
    let (found, other, off) = sim.run({
        let plain = crate::config::tests::sample();
        let asked = (ask(config.clone(), Method::Get), ask(config, Method::Put), ask(plain, Method::Get));
        async move { (asked.0.await, asked.1.await, asked.2.await) }
    });
    assert_eq!(found.head.status, Status(200));
    let text = full_body(found);
    assert!(text.starts_with("<?xml version=\"1.0\"?>\n<!DOCTYPE cross-domain-policy SYSTEM "), "{text}");
    assert!(text.ends_with("\n<allow-access-from domain=\"*\" secure=\"false\" />\n</cross-domain-policy>"), "{text}");
    assert_ne!(other.head.status, Status(200));
    assert_ne!(off.head.status, Status(200));
}

#[test]
fn verbs_of_backends_are_not_for_clients() {
    for method in [Method::Replicate, Method::Ssync, Method::Update] {
        assert_eq!(run(RequestHead::new(method, "/v1/AUTH_test/c")).head.status, Status(405));
    }
}

#[test]
fn places_are_told_under_the_version_that_was_asked_for() {
    let told = |asked: &str, place: &'static str| {
        let mut headers = Headers::new();
        headers.set("Content-Location", place);
        name_version(asked.as_bytes(), &mut headers);
        headers.get_str("Content-Location").unwrap().to_owned()
    };
    assert_eq!(told("/v1/a/c/o", "/v1/a/c/o"), "/v1/a/c/o");
    assert_eq!(told("/v1.0/a/c/v1/o", "/v1/a/c/v1/o"), "/v1.0/a/c/v1/o");
    assert_eq!(told("/v1%2E0/a/c", "https://h:80/v1/a/c/"), "https://h:80/v1.0/a/c/");
    assert_eq!(told("/v1.0/a/c", "https://h/other/v1/a"), "https://h/other/v1/a");
    assert_eq!(told("/v1.0/a/c", "https://h"), "https://h");
}
