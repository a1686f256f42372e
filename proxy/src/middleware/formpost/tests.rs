//! Forms as browsers send them, and what Swift's own tests of formpost ask for.

use super::*;
use crate::config::tests::sample;
use crate::pipeline::Fields;
use crate::pipeline::tests::{Pieces, block_on, full_body, request};
use base::checksum::hex;
use base::http::server::{BodySource, LocalFuture, RequestBody};
use base::io::Job;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use std::cell::RefCell;

/// What was asked to be stored, and whether it came to its end.
struct Put {
    path: Path,
    headers: Headers,
    authority: Authority,
    body: Result<String, BodyError>,
}

/// Knows keys, takes objects, and answers each with the next status of a list (201 behind it).
#[derive(Default)]
struct Store {
    puts: RefCell<Vec<Put>>,
    statuses: RefCell<Vec<u16>>,
}

struct Layers(Rc<Store>);

impl Application for Layers {
    fn call(&self, mut request: ClientRequest) -> Job<Response> {
        let store = Rc::clone(&self.0);
        Job::new(async move {
            assert_eq!(request.method, Method::Put);
            assert_eq!(request.query.iter().count(), 0);
            assert!(request.body.is_chunked());
            let mut body = Ok(String::new());
            while let Some(piece) = request.body.next().await {
                match (piece, &mut body) {
                    (Ok(bytes), Ok(text)) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
                    (Err(error), body) => *body = Err(error),
                    (Ok(_), Err(_)) => panic!("bytes behind an error"),
                }
            }
            let status = if body.is_err() { 400 } else { store.statuses.borrow_mut().pop().unwrap_or(201) };
            let crate::request::RequestParts { path, headers, authority, .. } = *request;
            store.puts.borrow_mut().push(Put { path, headers, authority, body });
            let text = if status == 201 { "" } else { "some bad news" };
            let response = Response::full(Status(status), "text/html; charset=UTF-8", text);
            response.header("Access-Control-Allow-Origin", "*").header("Etag", "x")
        })
    }

    fn account_headers(&self, _: &ClientRequest) -> LocalFuture<'static, Fields> {
        Box::pin(std::future::ready(
            fields(&[("X-Account-Meta-Temp-Url-Key", "first"), ("X-Account-Meta-Temp-Url-Key-2", "second")]).into(),
        ))
    }

    fn container_headers(&self, _: &ClientRequest) -> LocalFuture<'static, Fields> {
        Box::pin(std::future::ready(fields(&[("X-Container-Meta-Temp-Url-Key", "container key")]).into()))
    }
}

fn fields(pairs: &[(&'static str, &'static str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in pairs {
        headers.append(*name, *value);
    }
    headers
}

const BOUNDARY: &str = "----WebKitFormBoundaryNcxTqxSlX7t4TDkR";
const LATER: &str = "9999999999";

/// A form that is signed with `key`, with two files and a third that was not chosen.
struct Form {
    address: &'static str,
    values: Vec<(&'static str, String)>,
    files: &'static str,
    /// Bytes of a piece of the body.
    piece: usize,
}

const FILES: &str = "Content-Disposition: form-data; name=\"file1\"; filename=\"testfile1.txt\"\r\nContent-Type: text/plain\r\n\r\n\
     Test File\nOne\n\r\n--BOUNDARY\r\n\
     Content-Disposition: form-data; name=\"file2\"; filename=\"testfile2.txt\"\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\n\
     Test\nFile\nTwo\n\r\n--BOUNDARY\r\n\
     Content-Disposition: form-data; name=\"file3\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--BOUNDARY--\r\n";

/// The browser's user chose none.
const NO_FILE: &str = "Content-Disposition: form-data; name=\"file1\"; filename=\"\"\r\n\r\n\r\n--BOUNDARY--";

fn sign<M: Mac + KeyInit>(key: &str, message: &str) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn form(key: &str, redirect: &str, size: &str, count: &str, expires: &str) -> Form {
    let address = "/v1/AUTH_test/container";
    let message = format!("{address}\n{redirect}\n{size}\n{count}\n{expires}");
    let signature = hex(&sign::<Hmac<Sha512>>(key, &message));
    let values = [
        ("redirect", redirect),
        ("max_file_size", size),
        ("max_file_count", count),
        ("expires", expires),
        ("signature", &signature),
    ];
    let values = values.map(|(name, value)| (name, value.to_owned())).to_vec();
    Form { address, values, files: FILES, piece: 7 }
}

struct Chunks(Vec<Bytes>);

impl BodySource for Chunks {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        let piece = if self.0.is_empty() { None } else { Some(Ok(self.0.remove(0))) };
        Box::pin(std::future::ready(piece))
    }
}

impl Form {
    fn with(mut self, name: &'static str, value: &str) -> Form {
        self.values.push((name, value.to_owned()));
        self
    }

    fn body(&self) -> String {
        let mut body = format!("--{BOUNDARY}\r\n");
        for (name, value) in &self.values {
            body += &format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--{BOUNDARY}\r\n");
        }
        body + &self.files.replace("BOUNDARY", BOUNDARY)
    }

    fn send(&self, store: &Rc<Store>) -> Response {
        let body = Bytes::from(self.body());
        let pieces = body.chunks(self.piece).map(Bytes::copy_from_slice).collect();
        self.send_body(store, RequestBody::streaming(Some(body.len() as u64), Box::new(Chunks(pieces))))
    }

    fn send_body(&self, store: &Rc<Store>, body: RequestBody) -> Response {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let mut request = request(Method::Post, "/AUTH_none");
        request.headers.set("Content-Type", kind.clone());
        request.headers.set("Origin", "http://brim.net");
        request.body = body;
        let boundary = boundary(Method::Post, &request.headers).expect("a form");
        let path = self.address.strip_prefix("/v1").and_then(|path| Path::parse(path.as_bytes()).ok());
        let path = path.filter(|path| path.container.is_some());
        let submission = Submission { request, path, address: self.address.as_bytes().to_vec(), boundary };
        let layers: Rc<dyn Application> = Rc::new(Layers(Rc::clone(store)));
        block_on(answer(&sample(), &layers, &layers, submission))
    }
}

/// Status and body of the answer to a form, and what was stored.
fn check(form: &Form) -> (u16, String, Rc<Store>) {
    let store = Rc::new(Store::default());
    let response = form.send(&store);
    let status = response.head.status.0;
    (status, full_body(response), store)
}

fn good() -> Form {
    form("first", "", "1024", "10", LATER)
}

#[test]
fn a_form_is_what_says_so_and_has_a_boundary() {
    let kind = |value: &'static str| boundary(Method::Post, &fields(&[("Content-Type", value)]));
    assert_eq!(kind("multipart/form-data; boundary=\"a b\""), Some("a b".to_owned()));
    assert_eq!(kind("multipart/form-data"), None);
    assert_eq!(kind("application/x-www-form-urlencoded; boundary=x"), None);
    assert_eq!(boundary(Method::Put, &fields(&[("Content-Type", "multipart/form-data; boundary=x")])), None);
}

#[test]
fn files_are_stored_below_the_address_however_the_body_is_cut() {
    for piece in [1, 2, 3, 64, 100_000] {
        let (status, body, store) = check(&Form { piece, ..good() });
        assert_eq!((status, body.as_str()), (201, "201 Created"));
        let puts = store.puts.borrow();
        assert_eq!(puts.len(), 2);
        let names: Vec<_> = puts.iter().map(|put| put.path.object.clone().unwrap()).collect();
        assert_eq!(names, ["testfile1.txt", "testfile2.txt"]);
        assert_eq!(puts[0].body.as_deref(), Ok("Test File\nOne\n"));
        assert_eq!(puts[1].body.as_deref(), Ok("Test\nFile\nTwo\n"));
        assert_eq!(puts[0].headers.get_str("Content-Type"), Some("text/plain"));
        assert_eq!(puts[0].headers.get_str("Content-Encoding"), None);
        assert_eq!(puts[1].headers.get_str("Content-Encoding"), Some("gzip"));
        assert_eq!(puts[0].headers.get_str("Origin"), Some("http://brim.net"));
        assert!(puts[0].headers.get("Cookie").is_none());
    }
}

#[test]
fn a_prefix_of_the_address_begins_the_names() {
    for (address, name) in [
        ("/v1/AUTH_test/container/pre", "pretestfile1.txt"),
        ("/v1/AUTH_test/container/dir/", "dir/testfile1.txt"),
        ("/v1/AUTH_test/container/", "testfile1.txt"),
    ] {
        let mut form = good();
        let message = format!("{address}\n\n1024\n10\n{LATER}");
        form.values[4].1 = hex(&sign::<Hmac<Sha256>>("second", &message));
        let (status, _, store) = check(&Form { address, ..form });
        assert_eq!(status, 201, "{address}");
        assert_eq!(store.puts.borrow()[0].path.object.as_deref(), Some(name));
    }
}

#[test]
fn the_right_reaches_as_far_as_the_key() {
    for (key, container) in [("first", None), ("second", None), ("container key", Some("container".to_owned()))] {
        let (status, _, store) = check(&form(key, "", "1024", "10", LATER));
        assert_eq!(status, 201);
        let expected = Authority::Signed { account: "AUTH_test".into(), container: container.map(Into::into) };
        assert!(store.puts.borrow().iter().all(|put| put.authority == expected));
    }
}

#[test]
fn whoever_did_not_sign_stores_nothing() {
    let refused = |form: &Form, text: &str| {
        let store = Rc::new(Store::default());
        let response = form.send(&store);
        assert_eq!(response.head.status.0, 401);
        assert_eq!(response.head.headers.get_str("Www-Authenticate"), Some("Swift realm=\"unknown\""));
        assert_eq!(full_body(response), text);
        assert!(store.puts.borrow().is_empty());
    };
    refused(&form("no key", "", "1024", "10", LATER), "FormPost: Invalid Signature");
    refused(&form("first", "", "1024", "10", "1"), "FormPost: Form Expired");
    refused(&form("first", "", "1024", "10", ""), "FormPost: Form Expired");
    // What was signed must be what is said, each value of it.
    for (place, value) in
        [(0, "http://other"), (1, "1025"), (2, "11"), (3, "9999999998"), (4, "sha512:AAAA"), (4, "zz")]
    {
        let mut form = good();
        form.values[place].1 = value.to_owned();
        refused(&form, "FormPost: Invalid Signature");
    }
    for address in
        ["/v1/AUTH_test", "/v2/AUTH_test/container", "//AUTH_test/container", "/v1//container", "/v1/AUTH_test/other"]
    {
        refused(&Form { address, ..good() }, "FormPost: Invalid Signature");
    }
}

#[test]
fn every_digest_allowed_and_no_other_signs() {
    let message = format!("/v1/AUTH_test/container\n\n1024\n10\n{LATER}");
    for (signature, status) in [
        (hex(&sign::<Hmac<Sha1>>("first", &message)), 201),
        (hex(&sign::<Hmac<Sha256>>("first", &message)), 201),
        (hex(&sign::<Hmac<Sha512>>("first", &message)), 201),
        (hex(&sign::<Hmac<Sha512>>("first", &message)).to_uppercase(), 401),
        ("md5:AAAAAAAAAAAAAAAAAAAAAA==".to_owned(), 401),
    ] {
        let mut form = good();
        form.values[4].1 = signature;
        assert_eq!(check(&form).0, status);
    }
    let config = |line: &str| {
        let text = format!("[pipeline:main]\npipeline = formpost proxy-server\n[filter:formpost]\n{line}\n");
        Config::parse("proxy-server.conf", &text, "[swift-hash]\nswift_hash_path_suffix = x\n")
    };
    let some = config("allowed_digests = sha512 SHA256").unwrap().formpost;
    assert_eq!(some.document(), serde_json::json!({ "allowed_digests": ["sha256", "sha512"] }));
    let all = serde_json::json!({ "allowed_digests": ["sha1", "sha256", "sha512"], "deprecated_digests": ["sha1"] });
    assert_eq!(config("").unwrap().formpost.document(), all);
    assert!(config("allowed_digests = md5").unwrap_err().message.contains("allowed_digests"));
}

#[test]
fn a_browser_is_sent_on_with_the_outcome() {
    let location = |form: &Form, statuses: &[u16]| {
        let store = Rc::new(Store::default());
        *store.statuses.borrow_mut() = statuses.to_vec();
        let response = form.send(&store);
        let location = response.head.headers.get_str("Location").map(str::to_owned);
        assert_eq!(response.head.headers.get_str("Etag"), None);
        (response.head.status.0, location.unwrap_or_default(), full_body(response), store.puts.borrow().len())
    };
    let (status, target, body, puts) = location(&form("first", "http://brim.net", "1024", "10", LATER), &[]);
    assert_eq!((status, target.as_str(), puts), (303, "http://brim.net?status=201&message=", 2));
    assert_eq!(
        body,
        "<html><body><p><a href=\"http://brim.net?status=201&amp;message=\">Click to continue...</a></p></body></html>"
    );
    let (_, target, ..) = location(&form("first", "http://brim.net?one=two", "1024", "10", LATER), &[]);
    assert_eq!(target, "http://brim.net?one=two&status=201&message=");
    let (status, target, _, puts) = location(&form("first", "http://brim.net", "1024", "10", LATER), &[404]);
    assert_eq!((status, target.as_str(), puts), (303, "http://brim.net?status=404&message=", 1));
    let (status, target, _, puts) = location(&form("first", "http://brim.net", "1024", "1", LATER), &[]);
    assert_eq!((status, puts), (303, 1));
    assert_eq!(target, "http://brim.net?status=400&message=max%20file%20count%20exceeded");
    let empty = Form { files: NO_FILE, ..form("first", "http://brim.net", "1024", "10", LATER) };
    let (status, target, _, puts) = location(&empty, &[]);
    assert_eq!((status, puts), (303, 0));
    assert_eq!(target, "http://brim.net?status=400&message=no%20files%20to%20process");
}

#[test]
fn nobody_is_sent_where_nobody_signed() {
    let mut empty = Form { files: NO_FILE, ..good() };
    empty.values[0].1 = "http://evil.example".to_owned();
    let (status, body, _) = check(&empty);
    assert_eq!((status, body.as_str()), (400, "400 Bad Request\r\nFormPost: No Files To Process"));
    let (status, body, _) = check(&form("first", "http://a\r\nSet-Cookie: b", "1024", "10", LATER));
    assert_eq!((status, body.as_str()), (201, "201 Created"));
}

#[test]
fn without_a_redirect_the_answer_is_the_objects() {
    let store = Rc::new(Store::default());
    *store.statuses.borrow_mut() = vec![503];
    let response = good().send(&store);
    assert_eq!(response.head.status.0, 503);
    assert_eq!(response.head.headers.get_str("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(full_body(response), "some bad news");
    let (status, body, _) = check(&form("first", "", "1024", "0", LATER));
    assert_eq!((status, body.as_str()), (400, "400 Bad Request\r\nFormPost: Max File Count Exceeded"));
}

#[test]
fn a_file_that_is_too_large_is_cut_off() {
    let (status, body, store) = check(&form("first", "http://brim.net", "13", "10", LATER));
    assert_eq!((status, body.as_str()), (400, "FormPost: max_file_size exceeded"));
    assert_eq!(store.puts.borrow()[0].body, Err(BodyError::Malformed));
    assert_eq!(check(&form("first", "", "14", "10", LATER)).0, 201);
}

#[test]
fn numbers_must_be_numbers() {
    for (name, place, text) in [
        ("max_file_size", 1, "FormPost: max_file_size not an integer"),
        ("max_file_count", 2, "FormPost: max_file_count not an integer"),
        ("expires", 3, "FormPost: expired not an integer"),
    ] {
        let mut form = good();
        form.values[place].1 = "x".to_owned();
        let (status, body, store) = check(&form);
        assert_eq!((status, body.as_str()), (400, text), "{name}");
        assert!(store.puts.borrow().is_empty());
    }
    // Without a key nobody is told more.
    let claim = Claim::new(Vec::new(), Vec::new(), Vec::new());
    assert_eq!(claim.need_keys(), Err(Refused::Unauthorized("invalid signature")));
    let (status, body, _) = check(&good().with("x_delete_at", "soon"));
    assert_eq!((status, body.as_str()), (400, "FormPost: x_delete_at not an integer: Unix timestamp required."));
    let (status, body, _) = check(&good().with("x_delete_after", "2.5"));
    assert_eq!((status, body.as_str()), (400, "FormPost: x_delete_after not an integer: Number of seconds required."));
}

#[test]
fn values_of_the_form_become_fields_of_every_file() {
    let form =
        good().with("x_delete_at", "9999999999").with("Content-Type", "text/html").with("content-encoding", "br");
    let (status, _, store) = check(&form);
    assert_eq!(status, 201);
    for put in store.puts.borrow().iter() {
        assert_eq!(put.headers.get_str("X-Delete-At"), Some("9999999999"));
        assert_eq!(put.headers.get_str("Content-Type"), Some("text/html"));
        assert_eq!(put.headers.get_str("Content-Encoding"), Some("br"));
    }
    let (status, body, store) = check(&good().with("content-type", "a/b\r\nX-Object-Manifest: c"));
    assert_eq!((status, body.as_str()), (400, "FormPost: a value with a line end"));
    assert!(store.puts.borrow().is_empty());
    let (_, _, store) = check(&good().with("x_delete_after", "60").with("x-object-manifest", "c/o"));
    assert_eq!(store.puts.borrow()[0].headers.get_str("X-Delete-After"), Some("60"));
    assert!(!store.puts.borrow()[0].headers.contains("X-Object-Manifest"));
}

#[test]
fn a_long_value_is_cut_and_no_more_of_it_kept() {
    let mut form = form("first", &"a".repeat(form::VALUE_MAX), "1024", "10", LATER);
    form.values[0].1 += &"b".repeat(100_000);
    let (status, ..) = check(&Form { piece: 1000, ..form });
    assert_eq!(status, 303);
}

#[test]
fn what_is_no_form_is_refused_and_a_cut_file_not_stored() {
    let store = Rc::new(Store::default());
    let response = good().send_body(&store, RequestBody::full(format!("XX{}", good().body())));
    assert_eq!((response.head.status.0, full_body(response)), (400, "FormPost: invalid starting boundary".to_owned()));
    let whole = good().body();
    let cut = whole.find("One").unwrap();
    let response = good().send_body(&store, RequestBody::full(whole[..cut].to_owned()));
    assert_eq!(response.head.status.0, 400);
    assert!(full_body(response).starts_with("FormPost: invalid or missing boundary"));
    let gone = RequestBody::streaming(Some(10_000), Box::new(Pieces(vec!["--"])));
    assert_eq!(good().send_body(&store, gone).head.status.0, 499);
    let puts = store.puts.borrow();
    assert!(puts.iter().all(|put| put.body == Err(BodyError::Malformed)));
    assert_eq!(puts.len(), 1);
}
