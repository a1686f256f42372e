//! Static large objects over an application that keeps objects in memory.

use super::*;
use crate::pipeline::tests::{Fake, block_on, full_body, request};
use crate::request::Authority;
use base::checksum::md5_hex;
use base::http::Status;
use base::http::server::{RequestBody, ResponseBody};
use base::quote::Query;
use base::range::{Resolved, resolve};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;

type Objects = Rc<RefCell<BTreeMap<String, (Headers, Bytes)>>>;

/// Objects `s/1` … of the account, and what is put.
fn cluster() -> (Slo, Objects) {
    let objects = Objects::default();
    for (name, body) in [("/AUTH_test/s/1", "hello "), ("/AUTH_test/s/2", "wide "), ("/AUTH_test/c/p/3", "world")] {
        objects.borrow_mut().insert(name.into(), (Headers::new(), Bytes::from_static(body.as_bytes())));
    }
    let kept = Rc::clone(&objects);
    let application = Fake::new(move |mut request: ClientRequest| {
        let name = request.path.plain();
        let mut objects = kept.borrow_mut();
        match request.method {
            Method::Put => {
                let body = block_on(request.body.collect(usize::MAX)).unwrap();
                objects.insert(name, (request.headers, body));
                Response::empty(Status(201))
            }
            Method::Delete => Response::empty(Status(if objects.remove(&name).is_some() { 204 } else { 404 })),
            _ => objects.get(&name).map_or_else(|| Response::empty(Status(404)), |found| shown(&request, found)),
        }
    });
    (Slo::new(Rc::new(crate::config::tests::sample()), Rc::clone(&application), application), objects)
}

fn shown(request: &ClientRequest, (stored, body): &(Headers, Bytes)) -> Response {
    let mut response = Response::empty(Status(200)).header("Etag", md5_hex(body)).header("Content-Type", "text/x");
    for name in [MARK, STORED_ETAG, STORED_SIZE] {
        if let Some(value) = stored.get(name) {
            response.head.headers.set(name, value.clone());
        }
    }
    if request.method == Method::Head {
        return response.header("Content-Length", body.len().to_string());
    }
    response.body = ResponseBody::Full(body.clone());
    let range = request.headers.get("Range").filter(|_| !stored.contains(MARK)).map(|value| value.as_ref());
    if let Resolved::Ranges(ranges) = resolve(range, body.len() as u64) {
        let (first, last) = ranges[0];
        response.head.status = Status(206);
        response.body = ResponseBody::Full(body.slice(first as usize..=last as usize));
    }
    response
}

fn ask(slo: &Slo, method: Method, target: &str, change: impl FnOnce(&mut ClientRequest)) -> Response {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut asked = request(method, &format!("/AUTH_test/{path}"));
    asked.query = Query::parse(query.as_bytes());
    change(&mut asked);
    block_on(slo.call(asked))
}

fn put(slo: &Slo, target: &str, manifest: &str) -> Response {
    let body = RequestBody::full(manifest.to_owned());
    ask(slo, Method::Put, &format!("{target}?multipart-manifest=put"), |put| put.body = body)
}

const BIG: &str = r#"[{"path":"s/1"},{"path":"/s/2","size_bytes":5},{"data":"bGl0dGxlIA=="},{"path":"c/p/3"}]"#;
const WHOLE: &str = "hello wide little world";

#[test]
fn a_manifest_reads_as_one_object_also_in_another() {
    let (slo, objects) = cluster();
    assert_eq!(put(&slo, "c/big", BIG).head.status, Status(201));
    let etags: String = ["hello ", "wide ", "little ", "world"].map(|part| md5_hex(part.as_bytes())).concat();
    let etag = format!("\"{}\"", md5_hex(etags.as_bytes()));
    let stored = objects.borrow()["/AUTH_test/c/big"].0.clone();
    assert_eq!(stored.get_str(STORED_SIZE), Some("23"));
    assert_eq!(stored.get_str("Content-Type"), Some("application/octet-stream;swift_bytes=23"));
    let nested = r#"[{"path":"c/big","range":"3-"},{"path":"c/big"},{"path":"s/1","range":"0-0"}]"#;
    assert_eq!(put(&slo, "c/nested", nested).head.status, Status(201));
    let joined = format!("{}{WHOLE}h", &WHOLE[3..]);
    let got = ask(&slo, Method::Get, "c/big", |_| {});
    assert_eq!(got.head.headers.get_str("Etag"), Some(etag.as_str()));
    assert_eq!(full_body(got), WHOLE);
    assert_eq!(full_body(ask(&slo, Method::Get, "c/nested", |_| {})), joined);
    for first in 0..joined.len() {
        for last in first..joined.len() {
            let range = format!("bytes={first}-{last}");
            let part = ask(&slo, Method::Get, "c/nested", |get| get.headers.set("Range", range.clone()));
            assert_eq!(part.head.status, Status(206));
            assert_eq!(full_body(part), joined[first..=last], "{range}");
        }
    }
    let head = ask(&slo, Method::Head, "c/nested", |_| {});
    assert_eq!(head.head.headers.get_str("Content-Length"), Some(joined.len().to_string().as_str()));
}

#[test]
fn parts_conditions_and_the_manifest_itself() {
    let (slo, _) = cluster();
    put(&slo, "c/big", BIG);
    let part = ask(&slo, Method::Get, "c/big?part-number=3", |_| {});
    assert_eq!(part.head.headers.get_str("Content-Range"), Some("bytes 11-17/23"));
    assert_eq!(full_body(part), "little ");
    assert_eq!(ask(&slo, Method::Get, "c/big?part-number=5", |_| {}).head.status, Status(416));
    assert_eq!(ask(&slo, Method::Get, "c/big?part-number=0", |_| {}).head.status, Status(400));
    let etag = ask(&slo, Method::Head, "c/big", |_| {}).head.headers.get("Etag").cloned().unwrap();
    let none = ask(&slo, Method::Get, "c/big", |get| get.headers.set("If-None-Match", etag.clone()));
    assert_eq!(none.head.status, Status(304));
    assert_eq!(ask(&slo, Method::Get, "c/big", |get| get.headers.set("If-Match", "x")).head.status, Status(412));
    let raw = full_body(ask(&slo, Method::Get, "c/big?multipart-manifest=get&format=raw", |_| {}));
    assert_eq!(put(&slo, "c/again", &raw).head.status, Status(201));
    assert_eq!(full_body(ask(&slo, Method::Get, "c/again", |_| {})), WHOLE);
}

#[test]
fn a_condition_refused_by_the_object_server_is_handed_on_without_ranges() {
    let application = Fake::new(|_| {
        let refused = Response::empty(Status(412)).header(MARK, "True").header("Etag", "stored");
        refused.header(STORED_ETAG, "whole").header(STORED_SIZE, "23")
    });
    let slo = Slo::new(Rc::new(crate::config::tests::sample()), Rc::clone(&application), application);
    let refused = ask(&slo, Method::Get, "c/big", |get| get.headers.set("If-Match", "other"));
    assert_eq!(refused.head.status, Status(412));
    let headers = &refused.head.headers;
    assert_eq!((headers.get_str("Etag"), headers.get_str("Accept-Ranges")), (Some("\"whole\""), None));
}

#[test]
fn what_is_not_as_the_manifest_says_is_a_conflict_or_a_cut_body() {
    let (slo, objects) = cluster();
    put(&slo, "c/big", BIG);
    objects.borrow_mut().insert("/AUTH_test/c/p/3".into(), (Headers::new(), Bytes::from_static(b"WORLD")));
    let cut = ask(&slo, Method::Get, "c/big", |_| {});
    assert_eq!(cut.head.status, Status(200));
    assert!(block_on(crate::middleware::listing_formats::collect(cut.body, 1_000)).is_none());
    objects.borrow_mut().remove("/AUTH_test/s/1");
    assert_eq!(ask(&slo, Method::Get, "c/big", |_| {}).head.status, Status(409));
}

#[test]
fn manifests_are_nested_ten_deep_and_no_deeper() {
    let (slo, _) = cluster();
    put(&slo, "c/1", r#"[{"path":"s/1"}]"#);
    for depth in 2..=11 {
        put(&slo, &format!("c/{depth}"), &format!(r#"[{{"path":"c/{}"}}]"#, depth - 1));
    }
    assert_eq!(full_body(ask(&slo, Method::Get, "c/10", |_| {})), "hello ");
    assert_eq!(ask(&slo, Method::Get, "c/11", |_| {}).head.status, Status(409));
}

#[test]
fn missing_objects_and_wrong_etags_are_refused() {
    let (slo, objects) = cluster();
    let refused = put(&slo, "c/big", r#"[{"path":"s/1","etag":"x"},{"path":"s/9"}]"#);
    assert_eq!(refused.head.status, Status(400));
    assert_eq!(full_body(refused), "Errors:\ns/1, Etag Mismatch\ns/9, 404 Not Found\n");
    let twice = put(&slo, "c/big", r#"[{"path":"s/9"},{"path":"s/8"},{"path":"s/9"}]"#);
    assert_eq!(full_body(twice), "Errors:\ns/9, 404 Not Found\ns/9, 404 Not Found\ns/8, 404 Not Found\n");
    let too_much = ask(&slo, Method::Put, "c/big?multipart-manifest=put", |put| {
        put.body = RequestBody::full(r#"[{"path":"s/9"}]"#);
        put.refusal = Some("Upload exceeds quota.");
    });
    assert_ne!(too_much.head.status, Status(400), "whoever is inside refuses it, before its parts are asked for");
    objects.borrow_mut().retain(|name, _| !name.ends_with("c/big"));
    let body = RequestBody::full(BIG);
    let mismatch = ask(&slo, Method::Put, "c/big?multipart-manifest=put", |put| {
        put.body = body;
        put.headers.set("Etag", "x");
    });
    assert_eq!(mismatch.head.status, Status(422));
    let marked = ask(&slo, Method::Put, "c/big", |put| put.headers.set(MARK, "True"));
    assert_eq!(marked.head.status, Status(400));
    assert_eq!(objects.borrow().len(), 3);
}

#[test]
fn what_is_asked_is_asked_as_the_caller() {
    let fake = Fake::new(|request: ClientRequest| {
        assert_eq!(request.authority, Authority::Ask, "nothing is read by the pipeline's own right");
        Response::empty(Status(403))
    });
    let slo = Slo::new(Rc::new(crate::config::tests::sample()), Rc::clone(&fake), fake);
    let refused = full_body(put(&slo, "c/big", r#"[{"path":"s/1"}]"#));
    assert_eq!(refused, "Errors:\ns/1, 403 Forbidden\n");
}

#[test]
fn a_deletion_takes_what_the_manifests_name() {
    let (slo, objects) = cluster();
    put(&slo, "c/big", BIG);
    put(&slo, "c/nested", r#"[{"path":"c/big"},{"path":"s/1"}]"#);
    let run = |name: &str| {
        let asked = request(Method::Delete, &format!("/AUTH_test/c/{name}"));
        block_on(delete::Deletion::new(slo.clone(), asked).run()).render("text/plain", "delete")
    };
    let report = run("nested");
    // `s/1` is named twice.
    assert!(report.starts_with("Number Deleted: 5\nNumber Not Found: 1\n"), "{report}");
    assert!(objects.borrow().is_empty());
    let missing = run("nested");
    assert!(missing.starts_with("Number Deleted: 0\nNumber Not Found: 1\n"), "{missing}");
    objects.borrow_mut().insert("/AUTH_test/c/plain".into(), (Headers::new(), Bytes::from_static(b"x")));
    let plain = run("plain");
    assert!(plain.contains("400 Bad Request\nErrors:\n/c/plain, Not an SLO manifest\n"), "{plain}");
    assert_eq!(objects.borrow().len(), 1, "what is no manifest stays");
}
