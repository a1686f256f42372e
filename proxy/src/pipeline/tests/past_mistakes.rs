//! What once went wrong in Swift, a test for each that it cannot go wrong here. `docs/SECURITY.md` lists them with those that
//! stand beside the code they concern.

use super::*;
use crate::middleware::authorization;
use crate::testing::{Pieces, World, run};
use base::http::RequestHead;
use base::http::server::{BodyError, Request};
use std::cell::RefCell;
use std::time::Duration;

/// Sends a client's request through the whole pipeline to the backends of `world`.
async fn send(
    world: &World,
    method: Method,
    target: &'static str,
    fields: &[(&'static str, &'static str)],
) -> Response {
    let mut head = RequestHead::new(method, target);
    for (name, value) in fields {
        head.headers.append(*name, *value);
    }
    let body = RequestBody::full(if method == Method::Put { "bytes" } else { "" });
    let pipeline = Pipeline::new(Rc::clone(&world.core));
    pipeline.answer(&mut Request { head, body, peer: "127.0.0.1:9".parse().unwrap() }).await
}

#[test]
fn cve_2013_4155_a_client_does_not_choose_the_time_of_a_write() {
    run(21, |world| async move {
        world.make_container().await;
        for method in [Method::Put, Method::Delete, Method::Post] {
            send(&world, method, "/v1/AUTH_a/c/o", &[("X-Timestamp", "0000000001.00000")]).await;
        }
        let seen = world.backends.seen.borrow();
        assert!(!seen.is_empty());
        for seen in seen.iter() {
            assert_eq!(seen.headers.get_all("X-Timestamp").count(), 1);
            assert_ne!(seen.headers.get_str("X-Timestamp"), Some("0000000001.00000"), "{:?}", seen.target);
        }
    });
}

#[test]
fn cve_2026_50221_no_field_of_a_client_says_where_updates_go() {
    const FIELDS: [&str; 17] = [
        "X-Container-Host",
        "X-Container-Device",
        "X-Container-Partition",
        "X-Container-Root-Db-State",
        "X-Account-Host",
        "X-Account-Device",
        "X-Account-Partition",
        "X-Account-Override-Deleted",
        "X-Delete-At-Host",
        "X-Delete-At-Device",
        "X-Delete-At-Partition",
        "X-Delete-At-Container",
        "X-Backend-Storage-Policy-Index",
        "X-Backend-Replication",
        "X-Backend-Container-Path",
        "X-Backend-Quoted-Container-Path",
        "x_backend_container_path",
    ];
    run(22, |world| async move {
        world.make_container().await;
        let fields: Vec<(&'static str, &'static str)> = FIELDS.iter().map(|name| (*name, "10.66.66.66:6666")).collect();
        for (method, target) in [
            (Method::Put, "/v1/AUTH_a/c2"),
            (Method::Post, "/v1/AUTH_a/c"),
            (Method::Put, "/v1/AUTH_a/c/o"),
            (Method::Post, "/v1/AUTH_a/c/o"),
            (Method::Get, "/v1/AUTH_a/c/o"),
            (Method::Delete, "/v1/AUTH_a/c/o"),
        ] {
            send(&world, method, target, &fields).await;
        }
        let seen = world.backends.seen.borrow();
        assert!(seen.len() >= 12, "the requests reached the backends");
        for seen in seen.iter() {
            for (name, value) in seen.headers.iter() {
                assert!(!value.windows(11).any(|part| part == b"10.66.66.66"), "{name:?} of {:?}", seen.target);
            }
        }
    });
}

#[test]
fn cve_2014_3497_a_name_in_an_answer_splits_no_line() {
    let application = Fake::new(|mut request: ClientRequest| {
        let config = crate::config::tests::sample();
        match authorization::authorize(&config, &mut request, authorization::Acls::default()) {
            Ok(()) => Response::empty(Status(204)),
            Err(refused) => *refused,
        }
    });
    let application = RefCell::new(Some(application));
    run(23, |_world| async move {
        let pipeline = Pipeline::around(Rc::new(crate::config::tests::sample()), application.take().expect("once"));
        for target in [
            "/v1/AUTH_x%0d%0aSet-Cookie:%20a=b/c",
            "/v1/AUTH_x%22%0d%0a%0d%0a%3Cscript%3E/c",
            "/v1/AUTH_x%22,Basic%20realm=%22y/c",
        ] {
            let head = RequestHead::new(Method::Get, target);
            let body = RequestBody::full("");
            let response = pipeline.answer(&mut Request { head, body, peer: "127.0.0.1:9".parse().unwrap() }).await;
            assert_eq!(response.head.status, Status(401), "{target}");
            let realm = response.head.headers.get_str("Www-Authenticate").expect("a challenge");
            assert!(!realm.contains(['\r', '\n', '<']), "{realm:?}");
            assert_eq!(realm.matches('"').count(), 2, "{realm:?}");
        }
    });
}

/// Reads a piece of a large object and goes away; `cve_2016_0738` in the middle of the wait for the backend.
fn aborted_reads_leave_nothing(seed: u64, reads_a_piece: bool) {
    run(seed, move |world| async move {
        world.make_container().await;
        assert_eq!(world.put("/AUTH_a/c/o", vec![7_u8; 8 << 20]).await.status, 201);
        for _ in 0..20 {
            let mut response = send(&world, Method::Get, "/v1/AUTH_a/c/o", &[]).await;
            assert_eq!(response.head.status, Status(200));
            if reads_a_piece {
                let ResponseBody::Stream { source, .. } = &mut response.body else { panic!("a stream") };
                source.next().await.expect("a piece").unwrap();
            }
            drop(response);
        }
        io::sleep(Duration::from_secs(5)).await;
        assert_eq!(world.backends.bodies.get(), 0, "a backend still sends to somebody");
    });
}

#[test]
fn cve_2016_0737_a_client_that_leaves_a_read_frees_the_backend() {
    aborted_reads_leave_nothing(24, true);
}

#[test]
fn cve_2016_0738_a_read_never_begun_frees_the_backend() {
    aborted_reads_leave_nothing(25, false);
}

#[test]
fn cve_2026_49017_a_body_that_ends_early_ends() {
    run(26, |world| async move {
        world.make_container().await;
        for length in [Some(2_000), None] {
            let source = Pieces { left: vec!["less than announced".into()], fails: true };
            let mut body = RequestBody::streaming(length, Box::new(source));
            assert!(body.next().await.expect("the piece").is_ok());
            assert_eq!(body.next().await, Some(Err(BodyError::Disconnected)));
            assert!(!matches!(body.next().await, Some(Ok(_))), "nothing comes behind the end");
        }
        let mut put = world.request(Method::Put, "/AUTH_a/c/o");
        put.body = RequestBody::streaming(None, Box::new(Pieces { left: vec!["half".into()], fails: true }));
        assert_eq!(world.send(put).await.status, 499);
        assert_eq!(world.call(Method::Get, "/AUTH_a/c/o").await.status, 404);
    });
}
