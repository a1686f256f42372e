//! Segments over time: read ahead, limited, given up; and what is left to the expirer. In the simulator.

use super::*;
use crate::middleware::segment_rate::Limits;
use crate::pipeline::Fields;
use crate::pipeline::tests::request;
use base::checksum::md5_hex;
use base::http::server::{BodySource, LocalFuture, RequestBody, ResponseBody};
use base::io::sim::{Sim, SimOptions};
use base::io::{self, Instant, Job};
use base::quote::Query;
use bytes::Bytes;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};

/// A backend whose every object is `part`, and takes a second to open and another for each piece of its body.
#[derive(Default)]
struct Slow {
    manifest: RefCell<Bytes>,
    /// When which object was asked for.
    asked: RefCell<Vec<(String, Instant)>>,
    /// Bodies that are open.
    open: Rc<Cell<usize>>,
    queued: RefCell<Vec<(String, Value)>>,
    /// What the queue answers.
    queue_status: Cell<u16>,
    write_acl: Cell<&'static str>,
    /// Takes no time at all.
    is_quick: Cell<bool>,
}

struct Backend(Rc<Slow>);

struct Body {
    pause: Duration,
    left: Vec<&'static str>,
    open: Rc<Cell<usize>>,
}

impl BodySource for Body {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        Box::pin(async {
            io::sleep(self.pause).await;
            self.left.pop().map(|piece| Ok(Bytes::from_static(piece.as_bytes())))
        })
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

impl Application for Backend {
    fn call(&self, mut request: ClientRequest) -> Job<Response> {
        let slow = Rc::clone(&self.0);
        Job::new(async move {
            let name = request.path.plain();
            if request.method == Method::Update {
                let rows = request.body.collect(usize::MAX).await.unwrap();
                slow.queued.borrow_mut().push((name, serde_json::from_slice(&rows).unwrap()));
                return Response::empty(Status(slow.queue_status.get()));
            }
            if request.method == Method::Delete {
                slow.asked.borrow_mut().push((format!("DELETE {name}"), io::monotonic()));
                assert_eq!(request.query.get("multipart-manifest"), None);
                return Response::empty(Status(204));
            }
            if name == "/AUTH_test/c/big" {
                let body = slow.manifest.borrow().clone();
                let response = Response::empty(Status(200)).header(MARK, "True").header("Etag", md5_hex(&body));
                return Response { body: ResponseBody::Full(body), ..response };
            }
            slow.asked.borrow_mut().push((name, io::monotonic()));
            let pause = if slow.is_quick.get() { Duration::ZERO } else { Duration::from_secs(1) };
            io::sleep(pause).await;
            slow.open.set(slow.open.get() + 1);
            let source = Body { pause, left: vec!["rt", "pa"], open: Rc::clone(&slow.open) };
            Response::stream(Status(200), Some(4), Box::new(source)).header("Etag", md5_hex(b"part"))
        })
    }

    fn container_headers(&self, _: &ClientRequest) -> LocalFuture<'static, Fields> {
        let mut headers = Headers::new();
        headers.set("X-Container-Write", self.0.write_acl.get());
        Box::pin(std::future::ready(headers.into()))
    }
}

/// Runs `test` with a manifest of these objects.
fn run<F: Future<Output = ()> + 'static>(
    names: &[&str],
    limits: Limits,
    test: impl FnOnce(Slo, Rc<Slow>) -> F + 'static,
) {
    let rows =
        names.iter().map(|name| json!({"name": name, "bytes": 4, "hash": md5_hex(b"part"), "content_type": "x"}));
    let manifest = Value::Array(rows.collect()).to_string();
    Sim::new(1, SimOptions::default()).run(async move {
        let slow = Rc::new(Slow::default());
        slow.manifest.replace(manifest.into());
        slow.queue_status.set(202);
        let backend: Rc<dyn Application> = Rc::new(Backend(Rc::clone(&slow)));
        let mut config = crate::config::tests::sample();
        config.slo.limits = limits;
        test(Slo::new(Rc::new(config), Rc::clone(&backend), backend), slow).await;
    });
}

const FREE: Limits = Limits { after: 0, per_second: 0, under: None, max_get_time: Duration::MAX };

async fn get(slo: &Slo) -> Response {
    let response = slo.call(request(Method::Get, "/AUTH_test/c/big")).await;
    assert_eq!(response.head.status, Status(200));
    response
}

#[test]
fn the_next_segment_is_opened_while_the_present_one_goes_out_and_no_other() {
    run(&["/s/1", "/s/2", "/s/3"], FREE, |slo, slow| async move {
        let start = io::monotonic();
        let response = get(&slo).await;
        let ResponseBody::Stream { mut source, .. } = response.body else { panic!("a stream") };
        let mut body = Vec::new();
        while let Some(piece) = source.next().await {
            body.extend_from_slice(&piece.unwrap());
            assert!(slow.open.get() <= 2);
        }
        assert_eq!(body, b"partpartpart");
        // The first is opened, then each gives two pieces and its end; nobody waits for the others.
        assert_eq!(io::monotonic().since(start).as_secs(), 1 + 3 * 3);
        let asked = slow.asked.borrow();
        let at: Vec<u64> = asked.iter().map(|(_, at)| at.since(start).as_secs()).collect();
        assert_eq!(at, [0, 1, 4]);
    });
}

#[test]
fn a_client_that_leaves_closes_the_segment_ahead_as_well() {
    run(&["/s/1", "/s/2", "/s/3"], FREE, |slo, slow| async move {
        for pieces in 0..6 {
            let response = get(&slo).await;
            let ResponseBody::Stream { mut source, .. } = response.body else { panic!("a stream") };
            for _ in 0..pieces {
                source.next().await.expect("a piece").unwrap();
            }
            drop(source);
            io::sleep(Duration::from_secs(10)).await;
            assert_eq!(slow.open.get(), 0, "after {pieces} pieces");
        }
    });
}

#[test]
fn small_segments_are_opened_at_their_rate() {
    let took = |limits| {
        let millis = Rc::new(Cell::new(0));
        let told = Rc::clone(&millis);
        run(&["/s/1", "/s/2", "/s/3", "/s/4", "/s/5"], limits, move |slo, slow| async move {
            slow.is_quick.set(true);
            // Two readers do not share a rate.
            for _ in 0..2 {
                let start = io::monotonic();
                listing_formats::collect(get(&slo).await.body, usize::MAX).await.unwrap();
                told.set(io::monotonic().since(start).as_millis());
            }
        });
        millis.get()
    };
    let limits = Limits { after: 2, per_second: 4, under: Some(5), max_get_time: Duration::MAX };
    // Two are free, the third is the first at its rate.
    assert_eq!(took(limits), 500);
    assert_eq!(took(Limits { after: 0, ..limits }), 1000);
    assert_eq!(took(Limits { under: Some(4), ..limits }), 0);
    assert_eq!(took(FREE), 0);
}

fn delete(query: &str) -> ClientRequest {
    let mut asked = request(Method::Delete, "/AUTH_test/c/big");
    asked.query = Query::parse(query.as_bytes());
    asked.authority = crate::request::Authority::Granted;
    asked
}

#[test]
fn objects_left_to_the_expirer_are_rows_in_its_queue_as_swift_writes_them() {
    run(&["/s/1", "/s/two/é"], FREE, |slo, slow| async move {
        let asked = delete("multipart-manifest=delete&async=yes");
        let (normal, seconds) = (asked.timestamp.normal(), asked.timestamp.seconds());
        assert_eq!(slo.call(asked).await.head.status, Status(204));
        let queued = slow.queued.borrow();
        let [(queue, rows)] = queued.as_slice() else { panic!("one request") };
        let container: u64 = queue.strip_prefix("/.expiring_objects/").unwrap().parse().unwrap();
        assert!((seconds / 86_400 * 86_400 - 99..=seconds / 86_400 * 86_400).contains(&container), "{queue}");
        let row = |name: &str| {
            json!({"name": format!("{normal}-AUTH_test/{name}"), "deleted": 0, "created_at": normal, "size": 0,
                "etag": "d41d8cd98f00b204e9800998ecf8427e", "storage_policy_index": 0,
                "content_type": "application/async-deleted"})
        };
        assert_eq!(*rows, json!([row("s/1"), row("s/two/é")]));
        let asked = slow.asked.borrow();
        let deleted: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(deleted, ["DELETE /AUTH_test/c/big"]);
    });
}

#[test]
fn what_the_expirer_cannot_do_is_refused_and_the_manifest_stays() {
    let refused = |names: &[&str], queue_status: u16, acl: &'static str, is_owner: bool| {
        let status = Rc::new(Cell::new(0));
        let told = Rc::clone(&status);
        run(names, FREE, move |slo, slow| async move {
            slow.queue_status.set(queue_status);
            slow.write_acl.set(acl);
            let mut asked = delete("multipart-manifest=delete&async=on");
            if !is_owner {
                asked.authority = crate::request::Authority::Ask;
                asked.identity = crate::request::Identity {
                    user: Some("b:u".into()),
                    groups: vec!["b".into()],
                    ..Default::default()
                }
                .into();
            }
            told.set(slo.call(asked).await.head.status.0);
            let is_deleted = slow.asked.borrow().iter().any(|(name, _)| name.starts_with("DELETE"));
            assert_eq!(is_deleted, told.get() == 204);
            assert_eq!(slow.queued.borrow().is_empty(), told.get() != 204 && queue_status == 202);
        });
        status.get()
    };
    assert_eq!(refused(&["/s/1", "/t/1"], 202, "", true), 400);
    assert_eq!(refused(&["/s/1"], 503, "", true), 503);
    assert_eq!(refused(&["/s/1"], 202, "a", false), 403);
    assert_eq!(refused(&["/s/1"], 202, "b", false), 204);
}

#[test]
fn asking_for_later_is_ignored_where_it_is_not_allowed() {
    run(&["/s/1"], FREE, |slo, slow| async move {
        let mut config = (*slo.config).clone();
        config.slo.allow_async_delete = false;
        assert_eq!(config.slo.document()["allow_async_delete"], false);
        let slo = Slo { config: Rc::new(config), ..slo };
        let mut asked = delete("multipart-manifest=delete&async=yes");
        asked.body = RequestBody::full("");
        let response = slo.call(asked).await;
        assert_eq!(response.head.status, Status(200));
        listing_formats::collect(response.body, usize::MAX).await.unwrap();
        assert!(slow.queued.borrow().is_empty());
        assert_eq!(slow.asked.borrow().len(), 2);
    });
}
