//! Dynamic large objects over an application with a manifest `c/big` of the segments `s/p/…`.

use super::*;
use crate::middleware::segment_rate::Limits;
use crate::pipeline::tests::{Fake, block_on, full_body, request, streamed};
use base::checksum::md5_hex;
use base::http::server::LocalFuture;
use base::io::sim::{Sim, SimOptions};
use base::io::{self, Job};
use base::range::{Resolved, resolve};
use std::cell::RefCell;
use std::time::Duration;

const PARTS: [(&str, &str); 4] = [("p/1", "hello "), ("p/2", ""), ("p/3", "wide "), ("p/4", "world")];
const WHOLE: &str = "hello wide world";

/// Paths asked for, with their range.
type Seen = Rc<RefCell<Vec<String>>>;

/// The cluster; `limit` rows per listing page.
fn cluster(limit: usize) -> (Rc<dyn Application>, Seen) {
    let seen = Seen::default();
    let log = Rc::clone(&seen);
    let fake = Fake::new(move |request: ClientRequest| {
        let range = request.headers.get_str("Range").unwrap_or("-").to_owned();
        log.borrow_mut().push(format!("{} {} {range}", request.method.as_str(), request.path.plain()));
        match (request.path.container.as_deref(), request.path.object.as_deref()) {
            (Some("c"), Some("big")) => manifest_answer(&request),
            (Some("s"), None) => listing(&request, limit),
            (Some("s"), Some(name)) => segment(name, request.headers.get("Range").map(|value| value.as_ref())),
            _ => Response::empty(Status(404)),
        }
    });
    (fake, seen)
}

fn manifest_answer(request: &ClientRequest) -> Response {
    if request.headers.contains("If-Match") {
        return Response::empty(Status(412));
    }
    Response::empty(Status(200))
        .header("X-Object-Manifest", "s/p%2F")
        .header("Etag", "d41d8cd98f00b204e9800998ecf8427e")
        .header("Content-Type", "text/x")
        .header("Content-Length", "0")
}

fn listing(request: &ClientRequest, limit: usize) -> Response {
    assert_eq!(request.query.get("prefix"), Some(&b"p/"[..]));
    let marker = request.query.get("marker").unwrap_or_default();
    let rows = PARTS.iter().filter(|(name, _)| name.as_bytes() > marker).take(limit);
    let rows: Vec<_> = rows
        .map(|(name, body)| serde_json::json!({"name": name, "bytes": body.len(), "hash": md5_hex(body.as_bytes())}))
        .collect();
    Response::full(Status(200), "application/json", serde_json::to_vec(&rows).unwrap())
}

fn segment(name: &str, range: Option<&[u8]>) -> Response {
    let Some((_, body)) = PARTS.iter().find(|(part, _)| *part == name) else { return Response::empty(Status(404)) };
    match resolve(range, body.len() as u64) {
        Resolved::Ranges(ranges) => {
            let (first, last) = ranges[0];
            let mut part = streamed(&[&body[first as usize..=last as usize]]);
            part.head.status = Status(206);
            part
        }
        _ => streamed(&[body]),
    }
}

fn run(limit: usize, change: impl FnOnce(&mut ClientRequest)) -> (Response, Seen) {
    let (cluster, seen) = cluster(limit);
    let mut config = crate::config::tests::sample();
    config.constraints.container_listing_limit = limit;
    let mut get = request(Method::Get, "/AUTH_test/c/big");
    change(&mut get);
    (block_on(Dlo::new(Rc::new(config), cluster).call(get)), seen)
}

fn joined_etag() -> String {
    let etags: String = PARTS.iter().map(|(_, body)| md5_hex(body.as_bytes())).collect();
    format!("\"{}\"", md5_hex(etags.as_bytes()))
}

#[test]
fn the_segments_come_in_order_with_length_and_etag() {
    let (response, seen) = run(100, |_| {});
    assert_eq!(response.head.status, Status(200));
    assert_eq!(response.head.headers.get_str("Etag"), Some(joined_etag().as_str()));
    assert_eq!(response.head.headers.get_str("X-Object-Manifest"), Some("s/p%2F"));
    assert!(matches!(response.body, ResponseBody::Stream { length: Some(16), .. }));
    assert_eq!(full_body(response), WHOLE);
    // The empty segment is not asked for.
    assert_eq!(seen.borrow().len(), 5, "{:?}", seen.borrow());
}

#[test]
fn more_segments_than_a_page_come_without_a_length() {
    for limit in 1..=4 {
        let (response, _) = run(limit, |_| {});
        assert!(!response.head.headers.contains("Etag"));
        assert!(matches!(response.body, ResponseBody::Stream { length: None, .. }));
        assert_eq!(full_body(response), WHOLE);
    }
}

#[test]
fn every_range_gives_the_same_bytes_as_of_one_object() {
    for first in 0..WHOLE.len() {
        for last in first..WHOLE.len() {
            let (response, _) = run(100, |get| get.headers.set("Range", format!("bytes={first}-{last}")));
            assert_eq!(response.head.status, Status(206));
            let range = format!("bytes {first}-{last}/16");
            assert_eq!(response.head.headers.get_str("Content-Range"), Some(range.as_str()));
            assert_eq!(full_body(response), WHOLE[first..=last]);
        }
    }
    let (suffix, seen) = run(100, |get| get.headers.set("Range", "bytes=-5"));
    assert_eq!(full_body(suffix), "world");
    assert!(!seen.borrow().iter().any(|line| line.contains("p/1")), "segments before the range are not read");
}

#[test]
fn a_range_beyond_the_end_is_416_and_several_are_the_whole() {
    let (response, _) = run(100, |get| get.headers.set("Range", "bytes=16-"));
    assert_eq!(response.head.status, Status(416));
    assert_eq!(response.head.headers.get_str("Content-Range"), Some("bytes */16"));
    // None of several is looked at.
    for several in ["bytes=0-1,4-5", "bytes=90-91,95-96"] {
        let (response, _) = run(100, |get| get.headers.set("Range", several));
        assert_eq!((response.head.status, full_body(response).as_str()), (Status(200), WHOLE), "{several}");
    }
}

#[test]
fn a_range_of_many_pages_is_honoured_when_the_first_page_covers_it() {
    let (response, _) = run(3, |get| get.headers.set("Range", "bytes=1-8"));
    assert_eq!((response.head.status, full_body(response).as_str()), (Status(206), "ello wid"));
    let (response, _) = run(3, |get| get.headers.set("Range", "bytes=1-12"));
    assert_eq!((response.head.status, full_body(response).as_str()), (Status(200), WHOLE));
}

#[test]
fn a_head_tells_length_and_etag() {
    let (response, seen) = run(100, |get| get.method = Method::Head);
    assert_eq!(response.head.headers.get_str("Content-Length"), Some("16"));
    assert_eq!(response.head.headers.get_str("Etag"), Some(joined_etag().as_str()));
    assert_eq!(seen.borrow().len(), 2);
}

#[test]
fn conditions_are_about_the_joined_object() {
    let check = |name: &'static str, value: String, expected: u16| {
        let (response, _) = run(100, |get| get.headers.set(name, value.clone()));
        assert_eq!(response.head.status, Status(expected), "{name}: {value}");
    };
    check("If-Match", joined_etag(), 200);
    check("If-Match", "\"other\"".into(), 412);
    check("If-None-Match", joined_etag(), 304);
    check("If-None-Match", "\"other\"".into(), 200);
}

#[test]
fn segments_the_caller_may_not_read_end_it() {
    let (cluster, _) = cluster(100);
    for status in [401, 403, 404] {
        let inner = Rc::clone(&cluster);
        let guarded = Fake::new(move |request: ClientRequest| {
            assert_eq!(
                request.authority,
                crate::request::Authority::Ask,
                "nothing is read by the pipeline's own right"
            );
            assert_eq!(request.headers.get_str("Referer"), Some("http://r/"));
            if request.path.container.as_deref() == Some("s") {
                return Response::empty(Status(status));
            }
            block_on(inner.call(request))
        });
        let mut get = request(Method::Get, "/AUTH_test/c/big");
        get.headers.set("Referer", "http://r/");
        let config = Rc::new(crate::config::tests::sample());
        assert_eq!(block_on(Dlo::new(config, guarded).call(get)).head.status, Status(status));
    }
}

#[test]
fn a_missing_first_segment_is_a_conflict_and_a_later_one_cuts_the_body() {
    let without = |missing: &'static str| {
        let (cluster, _) = cluster(100);
        let fake = Fake::new(move |request: ClientRequest| {
            if request.path.object.as_deref() == Some(missing) {
                return Response::empty(Status(404));
            }
            block_on(cluster.call(request))
        });
        let config = Rc::new(crate::config::tests::sample());
        block_on(Dlo::new(config, fake).call(request(Method::Get, "/AUTH_test/c/big")))
    };
    assert_eq!(without("p/1").head.status, Status(409));
    let cut = without("p/4");
    assert_eq!(cut.head.status, Status(200));
    assert!(block_on(crate::middleware::listing_formats::collect(cut.body, 1000)).is_none());
}

#[test]
fn a_manifest_must_name_container_and_prefix() {
    let (cluster, seen) = cluster(100);
    let dlo = Dlo::new(Rc::new(crate::config::tests::sample()), cluster);
    for value in ["", "c", "c/", "/c", "c//p", "c/p?x", "c/p&x"] {
        let mut put = request(Method::Put, "/AUTH_test/c/big");
        put.headers.set("X-Object-Manifest", value);
        assert_eq!(block_on(dlo.call(put)).head.status, Status(400), "{value}");
    }
    assert!(seen.borrow().is_empty());
}

#[test]
fn the_manifest_itself_can_be_read() {
    let (response, seen) = run(100, |get| get.query = base::quote::Query::parse(b"multipart-manifest=get"));
    assert_eq!(response.head.headers.get_str("Etag"), Some("d41d8cd98f00b204e9800998ecf8427e"));
    assert_eq!(seen.borrow().len(), 1);
}

/// Takes a second to open a segment, and another for each piece of it and for its end.
struct Slow(Rc<dyn Application>);

struct SlowBody(ResponseBody);

impl base::http::server::BodySource for SlowBody {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<bytes::Bytes>>> {
        Box::pin(async {
            io::sleep(Duration::from_secs(1)).await;
            match &mut self.0 {
                ResponseBody::Stream { source, .. } => source.next().await,
                ResponseBody::Empty | ResponseBody::Full(_) => None,
            }
        })
    }
}

impl Application for Slow {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        let is_segment = request.path.container.as_deref() == Some("s") && request.path.object.is_some();
        let answer = self.0.call(request);
        Job::new(async move {
            let mut response = answer.await;
            if is_segment {
                io::sleep(Duration::from_secs(1)).await;
                let body = std::mem::replace(&mut response.body, ResponseBody::Empty);
                response.body = ResponseBody::Stream { length: None, source: Box::new(SlowBody(body)) };
            }
            response
        })
    }
}

/// Seconds until the whole was read, with so many rows a page and these limits.
fn seconds(limit: usize, limits: Limits) -> u64 {
    Sim::new(1, SimOptions::default()).run(async move {
        let mut config = crate::config::tests::sample();
        (config.constraints.container_listing_limit, config.dlo_limits) = (limit, limits);
        let dlo = Dlo::new(Rc::new(config), Rc::new(Slow(cluster(limit).0)));
        let start = io::monotonic();
        let response = dlo.call(request(Method::Get, "/AUTH_test/c/big")).await;
        let body = crate::middleware::listing_formats::collect(response.body, usize::MAX).await.unwrap();
        assert_eq!(body, WHOLE);
        io::monotonic().since(start).as_secs()
    })
}

#[test]
fn the_next_segment_of_the_page_is_opened_while_the_present_one_goes_out() {
    let free = Limits { after: 0, per_second: 0, under: None, max_get_time: std::time::Duration::MAX };
    // The first is opened, then three give a piece and their end, but for the last one's, which is known.
    assert_eq!(seconds(10, free), 1 + 3 * 2 - 1);
    // What stands on another page is opened when its turn comes.
    assert_eq!(seconds(1, free), 3 * 3);
}
