//! Archives and lists over an application that keeps objects in memory.

use super::tar::BLOCK;
use super::tar::tests::block;
use super::*;
use crate::pipeline::tests::{Fake, request};
use base::http::Headers;
use base::http::server::{RequestBody, ResponseBody};
use base::io::Job;
use base::io::sim::{Sim, SimOptions};
use base::quote::Query;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;

type Objects = Rc<RefCell<BTreeMap<String, (Headers, Bytes)>>>;

/// Whose container `closed` is not for anybody, and whose objects called `broken` fail.
fn layer(objects: &Objects) -> Bulk {
    let objects = Rc::clone(objects);
    let next = Rc::new(Memory { objects });
    Bulk::new(crate::config::tests::sample().bulk, next)
}

struct Memory {
    objects: Objects,
}

impl Application for Memory {
    fn call(&self, mut request: ClientRequest) -> Job<Response> {
        let objects = Rc::clone(&self.objects);
        Job::new(async move {
            let name = request.path.plain();
            let body = request.body.collect(usize::MAX).await;
            let mut objects = objects.borrow_mut();
            let status = match request.method {
                _ if name.contains("/closed/") => 403,
                _ if name.ends_with("/broken") => 503,
                Method::Put => match body {
                    Ok(body) => {
                        objects.insert(name, (request.headers, body));
                        201
                    }
                    Err(_) => 499,
                },
                Method::Delete if objects.remove(&name).is_some() => 204,
                Method::Head if objects.contains_key(&name) => 204,
                _ => 404,
            };
            Response::empty(Status(status))
        })
    }
}

/// A file in an archive.
fn file(name: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = block(name, b'0', body.len());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().div_ceil(BLOCK) * BLOCK, 0);
    bytes
}

fn archive() -> Vec<u8> {
    let extended = b"30 SCHILY.xattr.user.meta.a=b\n40 SCHILY.xattr.user.mime_type=text/pax\n";
    let mut bytes = file("./c/one", b"first");
    bytes.extend(block("d", b'5', 0));
    bytes.extend(block("x", b'x', extended.len()));
    bytes.extend_from_slice(extended);
    bytes.resize(bytes.len().div_ceil(BLOCK) * BLOCK, 0);
    bytes.extend(file("c/two", &[7; 200_000]));
    bytes.extend(block("long", b'L', 200));
    bytes.extend([b"e/".as_slice(), &[b'n'; 190]].concat());
    bytes.resize(bytes.len().div_ceil(BLOCK) * BLOCK, 0);
    bytes.extend(file("short", b"third"));
    bytes.extend(file("base-level-is-no-object", b"x"));
    bytes.extend([0; 2 * BLOCK]);
    bytes
}

/// Status of the report and all of it.
fn send(objects: &Objects, method: Method, target: &'static str, body: Vec<u8>) -> (String, Value) {
    let (layer, sim) = (layer(objects), Sim::new(1, SimOptions::default()));
    sim.run(async move {
        let (path, query) = target.split_once('?').unwrap();
        let mut asked = request(method, path);
        asked.query = Query::parse(query.as_bytes());
        asked.headers.set("Accept", "application/json");
        asked.headers.set("X-Object-Meta-All", "yes");
        asked.body = RequestBody::full(body);
        let response = layer.call(asked).await;
        assert_eq!(response.head.status, Status(200));
        let ResponseBody::Stream { mut source, .. } = response.body else { panic!("a report that comes") };
        let mut text = Vec::new();
        while let Some(piece) = source.next().await {
            text.extend_from_slice(&piece.unwrap());
        }
        let report: Value = serde_json::from_slice(&text).unwrap();
        (report["Response Status"].as_str().unwrap().to_owned(), report)
    })
}

#[test]
fn every_file_of_an_archive_becomes_an_object() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive()).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&archive()).unwrap();
    for (target, body) in [
        ("/AUTH_test?extract-archive=tar", archive()),
        ("/AUTH_test?extract-archive=.tar.GZ", gzip.finish().unwrap()),
        ("/AUTH_test?extract-archive=tar.bz2", bzip2.finish().unwrap()),
    ] {
        let objects = Objects::default();
        let (status, report) = send(&objects, Method::Put, target, body);
        assert_eq!((status.as_str(), &report["Number Files Created"]), ("201 Created", &Value::from(3)), "{report}");
        let objects = objects.borrow();
        assert_eq!(objects["/AUTH_test/c/one"].1, "first");
        let (headers, body) = &objects["/AUTH_test/c/two"];
        assert_eq!((body.len(), headers.get_str("X-Object-Meta-a")), (200_000, Some("b")));
        assert_eq!(headers.get_str("Content-Type"), Some("text/pax"));
        assert_eq!(headers.get_str("X-Object-Meta-All"), Some("yes"));
        assert_eq!(objects[&format!("/AUTH_test/e/{}", "n".repeat(190))].1, "third");
        assert!(objects.contains_key("/AUTH_test/c") && objects.contains_key("/AUTH_test/e"));
    }
}

#[test]
fn files_go_below_the_path_and_failures_are_named() {
    let objects = Objects::default();
    let bytes = [file("closed/a", b"1"), file("c/broken", b"22"), file("c/good", b"333")].concat();
    let (status, report) = send(&objects, Method::Put, "/AUTH_test?extract-archive=tar", bytes.clone());
    assert_eq!((status.as_str(), &report["Number Files Created"]), ("502 Bad Gateway", &Value::from(1)));
    let failed = serde_json::json!([["closed/a", "403 Forbidden"], ["c/broken", "503 Service Unavailable"]]);
    assert_eq!(report["Errors"], failed);
    send(&objects, Method::Put, "/AUTH_test/v/below/?extract-archive=tar", bytes);
    assert!(objects.borrow().contains_key("/AUTH_test/v/below/c/good"));
}

#[test]
fn what_is_no_archive_is_told_so_and_ends() {
    let cut = archive()[..6 * BLOCK + 1000].to_vec();
    for (target, body, expected) in [
        ("/AUTH_test?extract-archive=tar", vec![b'a'; 2000], "Invalid Tar File: invalid header"),
        ("/AUTH_test?extract-archive=tar", Vec::new(), "Invalid Tar File: empty file"),
        ("/AUTH_test?extract-archive=tar", cut, "Invalid Tar File: unexpected end of data"),
        ("/AUTH_test?extract-archive=tar", vec![0; 2 * BLOCK], "Invalid Tar File: No Valid Files"),
        ("/AUTH_test?extract-archive=tar.gz", archive(), "Invalid Tar File: not a gzip file"),
        ("/AUTH_test?extract-archive=tar.gz", Vec::new(), "Invalid Tar File: not a gzip file"),
        ("/AUTH_test?extract-archive=tar.bz2", archive(), "Invalid Tar File: invalid compressed data"),
        ("/AUTH_test?extract-archive=tar.bz2", Vec::new(), "Invalid Tar File: empty file"),
    ] {
        let (status, report) = send(&Objects::default(), Method::Put, target, body);
        assert_eq!((status.as_str(), report["Response Body"].as_str()), ("400 Bad Request", Some(expected)));
    }
}

#[test]
fn an_outcome_that_the_status_tells_has_no_text_and_counts_nothing() {
    let (layer, sim) = (layer(&Objects::default()), Sim::new(1, SimOptions::default()));
    sim.run(async move {
        for (query, count) in
            [("bulk-delete", "Number Deleted: 0\n"), ("extract-archive=tar", "Number Files Created: 0\n")]
        {
            let method = if query.starts_with("bulk") { Method::Post } else { Method::Put };
            let mut asked = request(method, "/AUTH_test");
            asked.query = Query::parse(query.as_bytes());
            asked.headers.set("Accept", "image/png");
            asked.body = RequestBody::full("/c/o");
            let response = layer.call(asked).await;
            assert_eq!(response.head.headers.get_str("Content-Type"), Some("text/html; charset=UTF-8"));
            let ResponseBody::Stream { mut source, .. } = response.body else { panic!("a report that comes") };
            let mut text = String::new();
            while let Some(piece) = source.next().await {
                text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
            }
            assert!(text.contains("Response Body: \nResponse Status: 406 Not Acceptable\n"), "{text}");
            assert!(text.contains(count), "{text}");
        }
    });
}

#[test]
fn a_bomb_is_unpacked_a_piece_at_a_time() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![0; 64 << 20]).unwrap();
    let (bomb, sim) = (gzip.finish().unwrap(), Sim::new(1, SimOptions::default()));
    assert!(bomb.len() < 100_000);
    sim.run(async move {
        let mut unpacked = unpack::Unpacked::new(RequestBody::full(bomb), Compression::Gzip);
        let mut total = 0;
        while let Some(piece) = unpacked.next().await.unwrap() {
            assert!(piece.len() <= 65_536);
            total += piece.len();
        }
        assert_eq!(total, 64 << 20);
    });
}

#[test]
fn named_objects_are_deleted_before_containers() {
    let objects = Objects::default();
    for name in ["/AUTH_test/c", "/AUTH_test/c/one", "/AUTH_test/c/two words"] {
        objects.borrow_mut().insert(name.into(), Default::default());
    }
    let list = b"c\n/c/one\nc/two%20words\nc/missing\n\n%ff\nclosed/x\n".to_vec();
    let (status, report) = send(&objects, Method::Post, "/AUTH_test?bulk-delete", list);
    assert_eq!(status, "400 Bad Request");
    assert_eq!((&report["Number Deleted"], &report["Number Not Found"]), (&Value::from(3), &Value::from(1)));
    assert_eq!(
        report["Errors"],
        serde_json::json!([["closed/x", "403 Forbidden"], ["%FF", "412 Precondition Failed"]])
    );
    assert!(objects.borrow().is_empty());
    let (status, report) = send(&objects, Method::Post, "/AUTH_test?bulk-delete", b"\n\n".to_vec());
    assert_eq!((status.as_str(), report["Response Body"].as_str()), ("400 Bad Request", Some("Invalid bulk delete.")));
    let (status, _) = send(&objects, Method::Post, "/AUTH_test?bulk-delete", b"c/o\n".repeat(10_001));
    assert_eq!(status, "413 Request Entity Too Large");
    let (status, _) = send(&objects, Method::Post, "/AUTH_test?bulk-delete", vec![b'a'; 5_000]);
    assert_eq!(status, "400 Bad Request");
}

/// What becomes of a container that has rows for so many deletions, and seconds it took.
fn delete_full(retries: u32, conflicts: u32) -> (String, u64) {
    Sim::new(1, SimOptions::default()).run(async move {
        let left = std::cell::Cell::new(conflicts);
        let next = Fake::new(move |_| {
            let status = if left.get() > 0 { 409 } else { 204 };
            left.set(left.get().saturating_sub(1));
            Response::empty(Status(status))
        });
        let mut settings = crate::config::tests::sample().bulk;
        assert_eq!(settings.delete_container_retry_count, 0);
        settings.delete_container_retry_count = retries;
        let mut asked = request(Method::Post, "/AUTH_test");
        asked.query = Query::parse(b"bulk-delete");
        asked.body = RequestBody::full("c\n");
        let start = base::io::monotonic();
        let response = Bulk::new(settings, next).call(asked).await;
        let text = crate::middleware::listing_formats::collect(response.body, usize::MAX).await.unwrap();
        let took = base::io::monotonic().since(start).as_millis();
        (String::from_utf8(text.to_vec()).unwrap(), u64::try_from(took).unwrap())
    })
}

#[test]
fn a_container_whose_rows_are_on_their_way_is_deleted_again() {
    let (report, took) = delete_full(0, 1);
    assert!(report.contains("c, 409 Conflict"), "{report}");
    assert_eq!(took, 0);
    let (report, took) = delete_full(3, 2);
    assert!(report.contains("Number Deleted: 1"), "{report}");
    assert_eq!(took, 1500 + 2250);
    let (report, took) = delete_full(2, 3);
    assert!(report.contains("c, 409 Conflict"), "{report}");
    assert_eq!(took, 1500 + 2250);
}

#[test]
fn other_requests_pass() {
    let layer = Bulk::new(crate::config::tests::sample().bulk, Fake::new(|_| Response::empty(Status(204))));
    for (method, query) in [(Method::Get, "bulk-delete"), (Method::Put, "x=y"), (Method::Post, "extract-archive=tar")] {
        let mut asked = request(method, "/AUTH_test/c/o");
        asked.query = Query::parse(query.as_bytes());
        assert_eq!(crate::pipeline::tests::block_on(layer.call(asked)).head.status, Status(204));
    }
    let mut asked = request(Method::Put, "/AUTH_test");
    asked.query = Query::parse(b"extract-archive=zip");
    assert_eq!(crate::pipeline::tests::block_on(layer.call(asked)).head.status, Status(400));
}
