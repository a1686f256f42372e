//! Versions over an application that keeps objects in memory.

use super::names::{DELETE_MARKER, version_object};
use super::*;
use crate::middleware::symlink::{Symlink, link};
use crate::pipeline::tests::{Fake, block_on, full_body, request};
use base::checksum::md5_hex;
use base::http::server::{RequestBody, ResponseBody};
use base::quote::Query;
use base::timestamp::Timestamp;
use bytes::Bytes;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

#[derive(Default)]
struct Kept {
    /// By `/account/container/object`.
    objects: BTreeMap<String, (Headers, Bytes)>,
    containers: BTreeMap<String, Headers>,
    /// Verb, path and whether it came with all rights.
    seen: Vec<(Method, String, bool)>,
}

/// The layer around links around memory, and that memory. Container `c` keeps versions.
fn cluster() -> (Rc<dyn Application>, Rc<RefCell<Kept>>) {
    let kept = Rc::new(RefCell::new(Kept::default()));
    let mut fields = Headers::new();
    fields.set(STORED_ENABLED, "True");
    fields.set(STORED_CONTAINER, "%00versions%00c");
    fields.set("X-Container-Write", ".r:writers.example");
    kept.borrow_mut().containers.insert("/AUTH_test/c".into(), fields);
    kept.borrow_mut().containers.insert("/AUTH_test/\0versions\0c".into(), Headers::new());
    let inner = Rc::clone(&kept);
    let application = Fake::new(move |request: ClientRequest| inner.borrow_mut().answer(request));
    let config = Rc::new(crate::config::tests::sample());
    let linked: Rc<dyn Application> = Rc::new(Symlink::new(Rc::clone(&config), Rc::clone(&application)));
    (Rc::new(ObjectVersioning::new(config, linked, application)), kept)
}

impl Kept {
    fn answer(&mut self, mut request: ClientRequest) -> Response {
        let name = request.path.plain();
        self.seen.push((request.method, name.clone(), request.authority != Authority::Ask));
        if request.path.object.is_none() {
            return self.container(&request, &name);
        }
        match request.method {
            Method::Put => {
                let body = block_on(request.body.collect(usize::MAX)).unwrap();
                let etag = md5_hex(&body);
                request.headers.set("X-Timestamp", request.timestamp.internal());
                self.objects.insert(name, (request.headers, body));
                Response::empty(Status(201)).header("Etag", etag)
            }
            Method::Delete => Response::empty(Status(if self.objects.remove(&name).is_some() { 204 } else { 404 })),
            _ => match self.objects.get(&name) {
                None => Response::empty(Status(404)),
                Some((headers, body)) => {
                    let mut response = Response::empty(Status(200));
                    response.head.headers = headers.clone();
                    response.head.headers.set("Etag", md5_hex(body));
                    response.body = ResponseBody::Full(body.clone());
                    response
                }
            },
        }
    }

    fn container(&mut self, request: &ClientRequest, name: &str) -> Response {
        let count = self.objects.keys().filter(|object| object.starts_with(&format!("{name}/"))).count();
        match request.method {
            Method::Put => {
                self.containers.insert(name.to_owned(), request.headers.clone());
                Response::empty(Status(201))
            }
            Method::Delete => {
                self.containers.remove(name);
                Response::empty(Status(204))
            }
            _ => match self.containers.get(name) {
                None => Response::empty(Status(404)),
                Some(fields) => {
                    let mut response = Response::empty(Status(204));
                    response.head.headers = fields.clone();
                    response.header("X-Container-Object-Count", count.to_string())
                }
            },
        }
    }

    fn versions(&self) -> Vec<&str> {
        self.objects.keys().filter(|name| name.starts_with("/AUTH_test/\0versions\0c/")).map(String::as_str).collect()
    }
}

fn at(time: u64, method: Method, target: &str) -> ClientRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut asked = request(method, &format!("/AUTH_test/{path}"));
    asked.query = Query::parse(query.as_bytes());
    asked.authority = Authority::Granted;
    asked.timestamp = Timestamp::from_raw(time * 100_000, 0);
    asked
}

fn put(layer: &Rc<dyn Application>, time: u64, body: &'static str) -> Response {
    let mut put = at(time, Method::Put, "c/o");
    put.body = RequestBody::full(body);
    block_on(layer.call(put))
}

fn status(layer: &Rc<dyn Application>, request: ClientRequest) -> u16 {
    block_on(layer.call(request)).head.status.0
}

#[test]
fn every_put_is_a_version_and_the_newest_is_what_is_read() {
    let (layer, kept) = cluster();
    let first = put(&layer, 1_000, "one");
    assert_eq!(first.head.headers.get_str(VERSION_ID), Some("0000001000.00000"));
    assert_eq!(first.head.headers.get_str("Etag"), Some(md5_hex(b"one").as_str()));
    put(&layer, 2_000, "two");
    assert_eq!(kept.borrow().versions().len(), 2);
    let newest = block_on(layer.call(at(3_000, Method::Get, "c/o")));
    assert_eq!(newest.head.headers.get_str(VERSION_ID), Some("0000002000.00000"));
    assert_eq!(newest.head.headers.get_str("Content-Location"), Some("/v1/AUTH_test/c/o?version-id=0000002000.00000"));
    assert_eq!(full_body(newest), "two");
    let older = block_on(layer.call(at(3_000, Method::Get, "c/o?version-id=0000001000.00000")));
    assert_eq!(full_body(older), "one");
    assert_eq!(status(&layer, at(3_000, Method::Get, "c/o?version-id=null")), 404);
    assert_eq!(status(&layer, at(3_000, Method::Get, "c/o?version-id=0000000999.00000")), 404);
    // The link is one unit of time behind its version.
    let kept = kept.borrow();
    let (link, _) = kept.objects.get("/AUTH_test/c/o").unwrap();
    assert_eq!(link.get_str("X-Timestamp"), Some("0000002000.00000_0000000000000001"));
    assert_eq!(link.get_str(STORED_LINK), Some("true"));
}

#[test]
fn what_was_there_before_versioning_becomes_a_version_of_its_own_time() {
    let (layer, kept) = cluster();
    let mut headers = Headers::new();
    headers.set("X-Timestamp", "0000000500.00000");
    headers.set("X-Object-Meta-Color", "red");
    kept.borrow_mut().objects.insert("/AUTH_test/c/o".into(), (headers, Bytes::from_static(b"old")));
    put(&layer, 1_000, "new");
    let name = format!("/AUTH_test/\0versions\0c/{}", version_object("o", Timestamp::from_raw(50_000_000, 0)));
    let kept = kept.borrow();
    let (headers, body) = kept.objects.get(&name).expect("a version of the old object");
    assert_eq!((headers.get_str("X-Object-Meta-Color"), body.as_ref()), (Some("red"), b"old".as_slice()));
}

#[test]
fn a_delete_leaves_a_marker_and_every_version() {
    let (layer, kept) = cluster();
    put(&layer, 1_000, "one");
    assert_eq!(status(&layer, at(2_000, Method::Delete, "c/o")), 204);
    assert_eq!(status(&layer, at(3_000, Method::Get, "c/o")), 404);
    assert_eq!(kept.borrow().versions().len(), 2);
    let marker = block_on(layer.call(at(3_000, Method::Get, "c/o?version-id=0000002000.00000")));
    assert_eq!((marker.head.status.0, marker.head.headers.get_str("Content-Type")), (404, Some(DELETE_MARKER)));
    // A version made the newest again.
    assert_eq!(status(&layer, at(4_000, Method::Put, "c/o?version-id=0000001000.00000")), 201);
    assert_eq!(full_body(block_on(layer.call(at(5_000, Method::Get, "c/o")))), "one");
    // The newest deleted by its id: link and version go, the marker stays.
    let gone = block_on(layer.call(at(6_000, Method::Delete, "c/o?version-id=0000001000.00000")));
    assert_eq!((gone.head.status.0, gone.head.headers.get_str("X-Object-Current-Version-Id")), (204, Some("null")));
    assert_eq!(kept.borrow().versions().len(), 1);
    assert!(!kept.borrow().objects.contains_key("/AUTH_test/c/o"));
}

#[test]
fn cve_2015_1856_who_may_not_write_changes_no_version() {
    let (layer, kept) = cluster();
    put(&layer, 1_000, "one");
    kept.borrow_mut().seen.clear();
    for method in [Method::Put, Method::Delete] {
        for query in ["", "?version-id=0000001000.00000"] {
            let mut asked = at(2_000, method, &format!("c/o{query}"));
            asked.authority = Authority::Ask;
            asked.identity = Default::default();
            assert_eq!(status(&layer, asked), 401, "{method:?} {query}");
        }
    }
    let seen = &kept.borrow().seen;
    assert!(seen.iter().all(|(method, ..)| matches!(method, Method::Head | Method::Get)), "{seen:?}");
}

#[test]
fn bad_versions_are_refused() {
    let (layer, _) = cluster();
    for (method, target, expected) in [
        (Method::Post, "c/o?version-id=0000001000.00000", 400),
        (Method::Get, "c/o?version-id=yesterday", 400),
        (Method::Put, "c/o?version-id=null", 400),
        (Method::Get, "other/o?version-id=0000001000.00000", 400),
        (Method::Put, "c/o?version-id=0000001000.00000", 404),
    ] {
        assert_eq!(status(&layer, at(2_000, method, target)), expected, "{method:?} {target}");
    }
    let mut full = at(2_000, Method::Put, "c/o?version-id=0000001000.00000");
    full.body = RequestBody::full("x");
    assert_eq!(status(&layer, full), 400);
}

#[test]
fn a_container_goes_when_its_versions_are_gone() {
    let (layer, kept) = cluster();
    put(&layer, 1_000, "one");
    assert_eq!(status(&layer, at(2_000, Method::Delete, "c")), 409);
    status(&layer, at(3_000, Method::Delete, "c/o?version-id=0000001000.00000"));
    assert_eq!(status(&layer, at(4_000, Method::Delete, "c")), 204);
    assert!(kept.borrow().containers.is_empty());
}

#[test]
fn enabling_makes_the_versions_container_first() {
    let (layer, kept) = cluster();
    let mut enable = at(1_000, Method::Put, "new");
    enable.headers.set(ENABLED, "true");
    assert_eq!(status(&layer, enable), 201);
    let kept = kept.borrow();
    let puts: Vec<&str> =
        kept.seen.iter().filter(|(method, ..)| *method == Method::Put).map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(puts, ["/AUTH_test/\0versions\0new", "/AUTH_test/new"]);
    assert_eq!(kept.containers["/AUTH_test/new"].get_str(STORED_CONTAINER), Some("%00versions%00new"));
}

#[test]
fn versions_are_listed_with_the_newest_marked() {
    let version = |time: u64| version_object("o", Timestamp::from_raw(time * 100_000, 0));
    let rows = |value: Value| serde_json::from_value::<Vec<container::Row>>(value).unwrap();
    let quoted = base::quote::quote(format!("/AUTH_test/\0versions\0c/{}", version(2)).as_bytes());
    let primary = rows(serde_json::json!([
        {"name": "n", "bytes": 1},
        {"name": "o", "bytes": 3, "version_symlink": true, "symlink_path": format!("/v1{quoted}")},
        {"subdir": "p/"},
    ]));
    let second = rows(serde_json::json!([
        {"name": version(2), "content_type": "t"},
        {"name": version(1), "content_type": DELETE_MARKER},
        {"subdir": "\0q/\0"},
    ]));
    let merged = listing::merge(primary, Some(second));
    let shown: Vec<(&str, bool)> = merged
        .iter()
        .filter_map(|row| Some((row.get("version_id")?.as_str()?, row.get("is_latest")?.as_bool()?)))
        .collect();
    assert_eq!(shown, [("null", true), ("0000000002.00000", true), ("0000000001.00000", false)]);
    let subdirs: Vec<&str> = merged.iter().filter_map(|row| row.get("subdir")?.as_str()).collect();
    assert_eq!(subdirs, ["p/", "q/"]);
}

#[test]
fn a_container_that_is_refused_leaves_no_versions_container_behind() {
    let (deleted, seen) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
    let (into, puts) = (Rc::clone(&deleted), Rc::clone(&seen));
    let application = Fake::new(move |request: ClientRequest| {
        let is_hidden = request.path.container.as_deref().is_some_and(|name| name.starts_with('\0'));
        match request.method {
            Method::Put if is_hidden => {
                puts.borrow_mut().push(request.timestamp);
                Response::empty(Status(201))
            }
            Method::Delete if is_hidden => {
                into.borrow_mut().push(request.timestamp);
                Response::empty(Status(204))
            }
            Method::Put => Response::empty(Status(400)),
            _ => Response::empty(Status(404)),
        }
    });
    let config = Rc::new(crate::config::tests::sample());
    let layer = ObjectVersioning::new(config, Rc::clone(&application), application);
    let status = base::io::sim::Sim::new(1, base::io::sim::SimOptions::default()).run(async move {
        let mut put = at(4_000_000_000, Method::Put, "c");
        put.headers.set(ENABLED, "true");
        layer.call(put).await.head.status
    });
    assert_eq!(status, Status(400));
    assert!(deleted.borrow()[0] > seen.borrow()[0], "a row of the same time would stay");
}

#[test]
fn who_may_write_here_does_not_learn_what_is_elsewhere() {
    let (layer, kept) = cluster();
    kept.borrow_mut().objects.insert("/AUTH_other/x/secret".into(), (Headers::new(), Bytes::from_static(b"s")));
    let mut link = at(1_000, Method::Put, "c/o");
    link.authority = Authority::Ask;
    link.headers.set("Referer", "http://writers.example/page");
    link.headers.set(link::TARGET, "x/secret");
    link.headers.set(link::ACCOUNT, "AUTH_other");
    link.headers.set(link::ETAG, md5_hex(b"s"));
    status(&layer, link);
    let kept = kept.borrow();
    let asked = |path: &str| -> Vec<bool> {
        kept.seen.iter().filter(|(_, name, _)| name == path).map(|(.., is_allowed)| *is_allowed).collect()
    };
    // First when the version is made; the link to it is the layer's own.
    assert_eq!(asked("/AUTH_other/x/secret").first(), Some(&false));
    assert_eq!((kept.versions().len(), asked("/AUTH_test/c/o")), (1, vec![true; 2]), "{:?}", kept.seen);
}
