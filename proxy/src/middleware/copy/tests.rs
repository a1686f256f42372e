//! Copies over an application that remembers what it was asked.

use super::*;
use crate::pipeline::tests::{Fake, block_on, request, streamed};
use std::cell::RefCell;

/// What reached the application: verb, path, fields, body.
type Seen = Rc<RefCell<Vec<(Method, String, Headers, String)>>>;

fn run(request: ClientRequest, source: impl Fn(&ClientRequest) -> Response + 'static) -> (Response, Seen) {
    let seen = Seen::default();
    let log = Rc::clone(&seen);
    let fake = Fake::new(move |mut request: ClientRequest| {
        let mut body = String::new();
        while let Some(piece) = block_on(request.body.next()) {
            body.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        let response = if request.method == Method::Get { source(&request) } else { Response::empty(Status(201)) };
        log.borrow_mut().push((request.method, request.path.quoted(), request.headers.clone(), body));
        response
    });
    let config = Rc::new(crate::config::tests::sample());
    (block_on(Copy::new(config, fake).call(request)), seen)
}

fn source(_: &ClientRequest) -> Response {
    streamed(&["hello ", "world"])
        .header("Etag", "5eb63bbbe01eeed093cb22bb8f5acdc3")
        .header("Content-Type", "text/x")
        .header("X-Object-Meta-Color", "blue")
        .header("X-Object-Meta-Size", "small")
        .header("X-Object-Sysmeta-Key", "1")
        .header("X-Delete-At", "9999999999")
        .header("X-Timestamp", "1.00000")
        .header("Last-Modified", "Sun, 22 Nov 2026 10:40:05 GMT")
}

fn copy_of(path: &str, destination: &str) -> ClientRequest {
    let mut copy = request(Method::Copy, path);
    copy.headers.set("Destination", destination.to_owned());
    copy
}

#[test]
fn a_copy_streams_content_and_carries_metadata() {
    let mut copy = copy_of("/AUTH_test/c/a%20b", "/d/x%20y");
    copy.headers.set("X-Object-Meta-Color", "red");
    let (response, seen) = run(copy, source);
    assert_eq!(response.head.status, Status(201));
    let seen = seen.borrow();
    let [(Method::Get, from, get, _), (Method::Put, to, put, body)] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(
        (from.as_str(), to.as_str(), body.as_str()),
        ("/AUTH_test/c/a%20b", "/AUTH_test/d/x%20y", "hello world")
    );
    assert_eq!(get.get_str("X-Newest"), Some("true"));
    let check = |name: &str, expected: Option<&str>| assert_eq!(put.get_str(name), expected, "{name}");
    check("X-Object-Meta-Color", Some("red"));
    check("X-Object-Meta-Size", Some("small"));
    check("X-Object-Sysmeta-Key", Some("1"));
    check("Content-Type", Some("text/x"));
    check("X-Delete-At", Some("9999999999"));
    check("Etag", Some("5eb63bbbe01eeed093cb22bb8f5acdc3"));
    check("X-Timestamp", None);
    check("X-Copy-From", None);
    let check = |name: &str, expected: &str| assert_eq!(response.head.headers.get_str(name), Some(expected), "{name}");
    check("X-Copied-From", "c/a%20b");
    check("X-Copied-From-Account", "AUTH_test");
    check("X-Copied-From-Last-Modified", "Sun, 22 Nov 2026 10:40:05 GMT");
    check("X-Object-Meta-Size", "small");
}

#[test]
fn fresh_metadata_leaves_the_old_behind() {
    let mut copy = copy_of("/AUTH_test/c/o", "d/x");
    copy.headers.set("X-Fresh-Metadata", "true");
    let (_, seen) = run(copy, source);
    let seen = seen.borrow();
    let put = &seen[1].2;
    assert!(!put.contains("X-Object-Meta-Color") && !put.contains("X-Delete-At"));
    assert!(put.contains("X-Object-Sysmeta-Key"));
}

#[test]
fn a_range_is_read_from_the_source_and_its_etag_is_not_expected() {
    let mut copy = copy_of("/AUTH_test/c/o", "d/x");
    copy.headers.set("Range", "bytes=0-4");
    let (_, seen) = run(copy, |_| {
        let mut part = streamed(&["hello"]).header("Etag", "5eb63bbbe01eeed093cb22bb8f5acdc3");
        part.head.status = Status(206);
        part
    });
    let seen = seen.borrow();
    assert_eq!(seen[0].2.get_str("Range"), Some("bytes=0-4"));
    assert!(!seen[1].2.contains("Range") && !seen[1].2.contains("Etag"));
}

#[test]
fn a_refused_source_ends_it() {
    for status in [304, 401, 403, 404, 412] {
        let (response, seen) = run(copy_of("/AUTH_test/c/o", "d/x"), move |_| Response::empty(Status(status)));
        assert_eq!(response.head.status, Status(status));
        assert_eq!(seen.borrow().len(), 1);
    }
}

#[test]
fn the_caller_reads_and_writes_as_himself() {
    let fake = Fake::new(|request: ClientRequest| {
        assert_eq!(request.identity.user.as_deref(), Some("test:tester"));
        assert_eq!(request.authority, crate::request::Authority::Ask);
        if request.method == Method::Get { source(&request) } else { Response::empty(Status(201)) }
    });
    let mut copy = copy_of("/AUTH_test/c/o", "d/x");
    Rc::make_mut(&mut copy.identity).user = Some("test:tester".into());
    let config = Rc::new(crate::config::tests::sample());
    assert_eq!(block_on(Copy::new(config, fake).call(copy)).head.status, Status(201));
}

#[test]
fn malformed_names_are_refused_before_anything_is_read() {
    let check = |request: ClientRequest, status: u16| {
        let (response, seen) = run(request, source);
        assert_eq!(response.head.status, Status(status));
        assert!(seen.borrow().is_empty());
    };
    check(request(Method::Copy, "/AUTH_test/c/o"), 412);
    for destination in ["d", "d/", "/d", "", "//x", "d/%00", "d/%ff"] {
        check(copy_of("/AUTH_test/c/o", destination), 412);
    }
    for account in ["", "a/b"] {
        let mut copy = copy_of("/AUTH_test/c/o", "d/x");
        copy.headers.set("Destination-Account", account);
        check(copy, 412);
    }
    let mut put = request(Method::Put, "/AUTH_test/c/o");
    put.headers.set("X-Copy-From", "c");
    check(put, 412);
    let mut put = request(Method::Put, "/AUTH_test/c/o");
    put.headers.set("X-Copy-From", "c/o");
    put.body = RequestBody::full("bytes");
    check(put, 400);
}

#[test]
fn accounts_can_be_crossed_both_ways() {
    let mut put = request(Method::Put, "/AUTH_test/c/o");
    put.headers.set("X-Copy-From", "/s/p");
    put.headers.set("X-Copy-From-Account", "AUTH_other");
    let (response, seen) = run(put, source);
    assert_eq!(seen.borrow()[0].1, "/AUTH_other/s/p");
    assert_eq!(response.head.headers.get_str("X-Copied-From-Account"), Some("AUTH_other"));
    let mut copy = copy_of("/AUTH_test/c/o", "d/x");
    copy.headers.set("Destination-Account", "AUTH_other");
    assert_eq!(run(copy, source).1.borrow()[1].1, "/AUTH_other/d/x");
}
