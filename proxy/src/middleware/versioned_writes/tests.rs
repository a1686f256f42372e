//! Stacks and histories over an application that keeps objects in memory.

use super::*;
use crate::pipeline::tests::{Fake, block_on, full_body, request};
use base::http::server::RequestBody;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;

type Objects = Rc<RefCell<BTreeMap<String, (Headers, Bytes)>>>;

/// Container `c` has its versions in `v`.
fn cluster(mode: &'static str) -> (VersionedWrites, Objects) {
    let objects = Objects::default();
    let kept = Rc::clone(&objects);
    let application = Fake::new(move |request: ClientRequest| {
        let mut objects = kept.borrow_mut();
        if request.path.object.is_none() { container(&objects, &request, mode) } else { object(&mut objects, request) }
    });
    let mut config = crate::config::tests::sample();
    config.allow_versioned_writes = true;
    (VersionedWrites::new(Rc::new(config), Rc::clone(&application), application), objects)
}

fn container(objects: &BTreeMap<String, (Headers, Bytes)>, request: &ClientRequest, mode: &'static str) -> Response {
    let name = request.path.container.as_deref().unwrap();
    if request.method != Method::Get {
        let response = Response::empty(Status(204));
        let response = response.header("X-Said", request.headers.get_str(STORED_LOCATION).unwrap_or("-").to_owned());
        return match name {
            "c" => response.header(STORED_LOCATION, "v").header(STORED_MODE, mode),
            _ => response,
        };
    }
    let text = |name: &str| String::from_utf8(request.query.get(name).unwrap_or_default().to_vec()).unwrap();
    let (prefix, marker) = (text("prefix"), text("marker"));
    let of_container = format!("/AUTH_test/{name}/");
    let rows = objects.iter().rev().filter_map(|(path, (headers, _))| {
        let name = path.strip_prefix(&of_container)?;
        let is_shown = name.starts_with(&prefix) && (marker.is_empty() || name < marker.as_str());
        is_shown.then(
            || serde_json::json!({ "name": name, "content_type": headers.get_str("Content-Type").unwrap_or("t") }),
        )
    });
    // A page has one row, so that every version takes a request.
    let rows: Vec<Value> = rows.take(1).collect();
    Response::full(Status(200), "application/json", serde_json::to_vec(&rows).unwrap())
}

fn object(objects: &mut BTreeMap<String, (Headers, Bytes)>, mut request: ClientRequest) -> Response {
    let name = request.path.plain();
    match request.method {
        Method::Put => {
            let body = block_on(request.body.collect(usize::MAX)).unwrap();
            request.headers.set("X-Timestamp", request.timestamp.normal());
            objects.insert(name, (request.headers, body));
            Response::empty(Status(201))
        }
        Method::Delete => Response::empty(Status(if objects.remove(&name).is_some() { 204 } else { 404 })),
        _ => match objects.get(&name) {
            None => Response::empty(Status(404)),
            Some((headers, body)) => {
                let mut response = Response::empty(Status(200));
                response.head.headers = headers.clone();
                response.body = ResponseBody::Full(body.clone());
                response
            }
        },
    }
}

fn at(time: u64, method: Method, body: &'static str) -> ClientRequest {
    let mut asked = request(method, "/AUTH_test/c/o");
    asked.authority = Authority::Granted;
    asked.timestamp = Timestamp::from_raw(time * 100_000, 0);
    asked.body = RequestBody::full(body);
    asked
}

fn ask(layer: &VersionedWrites, asked: ClientRequest) -> Response {
    block_on(layer.call(asked))
}

fn read(layer: &VersionedWrites) -> Option<String> {
    let response = ask(layer, at(9_000, Method::Get, ""));
    (response.head.status.0 == 200).then(|| full_body(response))
}

fn names(objects: &Objects) -> Vec<String> {
    objects.borrow().keys().filter_map(|name| name.strip_prefix("/AUTH_test/v/")).map(str::to_owned).collect()
}

#[test]
fn a_stack_gives_back_what_was_overwritten() {
    let (layer, objects) = cluster("stack");
    for (time, body) in [(1_000, "one"), (2_000, "two"), (3_000, "three")] {
        ask(&layer, at(time, Method::Put, body));
    }
    assert_eq!(names(&objects), ["001o/0000001000.00000", "001o/0000002000.00000"]);
    for expected in [Some("two"), Some("one"), None] {
        assert_eq!(ask(&layer, at(4_000, Method::Delete, "")).head.status.0, 204);
        assert_eq!(read(&layer).as_deref(), expected);
    }
    assert!(objects.borrow().is_empty());
    assert_eq!(ask(&layer, at(5_000, Method::Delete, "")).head.status.0, 404);
}

#[test]
fn a_history_keeps_everything_and_the_deletes_too() {
    let (layer, objects) = cluster("history");
    ask(&layer, at(1_000, Method::Put, "one"));
    ask(&layer, at(2_000, Method::Put, "two"));
    assert_eq!(ask(&layer, at(3_000, Method::Delete, "")).head.status.0, 204);
    assert_eq!(read(&layer), None);
    let expected = ["001o/0000001000.00000", "001o/0000002000.00000", "001o/0000003000.00000"];
    assert_eq!(names(&objects), expected);
    let objects = objects.borrow();
    let (marker, _) = &objects["/AUTH_test/v/001o/0000003000.00000"];
    assert_eq!(marker.get_str("Content-Type"), Some(DELETE_MARKER));
}

#[test]
fn a_stack_over_a_history_undoes_the_delete() {
    let (history, objects) = cluster("history");
    ask(&history, at(1_000, Method::Put, "one"));
    ask(&history, at(2_000, Method::Delete, ""));
    let (layer, kept) = cluster("stack");
    kept.replace(objects.take());
    assert_eq!(ask(&layer, at(3_000, Method::Delete, "")).head.status.0, 204);
    assert_eq!(read(&layer).as_deref(), Some("one"));
    assert_eq!(names(&kept), Vec::<String>::new());
}

#[test]
fn cve_2015_1856_who_may_not_write_restores_and_deletes_nothing() {
    for mode in ["stack", "history"] {
        let (layer, objects) = cluster(mode);
        ask(&layer, at(1_000, Method::Put, "one"));
        ask(&layer, at(2_000, Method::Put, "two"));
        let before: Vec<String> = objects.borrow().keys().cloned().collect();
        for method in [Method::Delete, Method::Put] {
            let mut asked = at(3_000, method, "");
            asked.authority = Authority::Ask;
            asked.identity = Default::default();
            assert_eq!(ask(&layer, asked).head.status.0, 401, "{mode} {method:?}");
        }
        assert_eq!(objects.borrow().keys().cloned().collect::<Vec<_>>(), before);
        assert_eq!(read(&layer).as_deref(), Some("two"));
    }
}

#[test]
fn locations_become_system_metadata_and_the_reverse() {
    let (layer, _) = cluster("history");
    let said = |fields: &[(&'static str, &'static str)]| {
        let mut post = request(Method::Post, "/AUTH_test/c");
        for (name, value) in fields {
            post.headers.append(*name, *value);
        }
        let response = block_on(layer.call(post));
        (response.head.status.0, response.head.headers.get_str("X-Said").map(str::to_owned))
    };
    assert_eq!(said(&[(STACK, "v")]), (204, Some("v".into())));
    assert_eq!(said(&[(HISTORY, "v"), (STACK, "")]), (204, Some("v".into())));
    assert_eq!(said(&[(STACK, "")]), (204, Some(String::new())));
    assert_eq!(said(&[("X-Remove-History-Location", "x")]), (204, Some(String::new())));
    assert_eq!(said(&[(STACK, "w"), ("X-Remove-Versions-Location", "x")]), (204, Some("w".into())));
    assert_eq!(said(&[]), (204, Some("-".into())));
    assert_eq!(said(&[(STACK, "v"), (HISTORY, "w")]).0, 400);
    assert_eq!(said(&[(STACK, "a/b")]).0, 412);
    let head = block_on(layer.call(request(Method::Head, "/AUTH_test/c")));
    assert_eq!(head.head.headers.get_str(HISTORY), Some("v"));
    assert!(!head.head.headers.contains(STACK));
}

#[test]
fn the_right_to_write_is_one_for_this_name() {
    let (seen, kept) = (Rc::new(RefCell::new(Vec::new())), Objects::default());
    let (told, objects) = (Rc::clone(&seen), Rc::clone(&kept));
    let application = Fake::new(move |request: ClientRequest| {
        if request.path.object.is_none() {
            return container(&objects.borrow(), &request, "stack").header("X-Container-Write", ".r:writers.example");
        }
        let elsewhere = request.subrequest(Method::Head, Path::parse(b"/AUTH_other/x/y").unwrap());
        told.borrow_mut().push((request.method, request.authority.clone(), elsewhere.authority));
        object(&mut objects.borrow_mut(), request)
    });
    let mut config = crate::config::tests::sample();
    config.allow_versioned_writes = true;
    let layer = VersionedWrites::new(Rc::new(config), Rc::clone(&application), application);
    let mut put = at(1_000, Method::Put, "one");
    put.authority = Authority::Ask;
    put.headers.set("Referer", "http://writers.example/page");
    assert_eq!(ask(&layer, put).head.status.0, 201);
    let seen = seen.borrow();
    let puts: Vec<_> = seen.iter().filter(|(method, ..)| *method == Method::Put).collect();
    assert_eq!(puts.len(), 1);
    assert!(puts.iter().all(|(_, own, elsewhere)| *own != Authority::Ask && *elsewhere == Authority::Ask));
}
