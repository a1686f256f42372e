//! What a signature opens, and what it does not.

use super::*;
use crate::config::tests::sample;
use crate::pipeline::Fields;
use crate::pipeline::tests::{block_on, request};
use base::checksum::hex;
use base::http::server::LocalFuture;
use base::io::Job;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Tells the key of the account `AUTH_a` and of its container `c`.
struct Keys;

impl Application for Keys {
    fn call(&self, _: ClientRequest) -> Job<Response> {
        Job::ready(Response::empty(Status(204)))
    }
    fn account_headers(&self, _: &ClientRequest) -> LocalFuture<'static, Fields> {
        Box::pin(std::future::ready(one("X-Account-Meta-Temp-Url-Key", "account key").into()))
    }
    fn container_headers(&self, _: &ClientRequest) -> LocalFuture<'static, Fields> {
        Box::pin(std::future::ready(one("X-Container-Meta-Temp-Url-Key", "container key").into()))
    }
}

fn one(name: &'static str, value: &'static str) -> Headers {
    let mut headers = Headers::new();
    headers.set(name, value);
    headers
}

const EXPIRES: u64 = 9_999_999_999;

fn signed(method: Method, signed_method: &str, path: &str, key: &str) -> ClientRequest {
    let mut request = request(method, path);
    let message = format!("{signed_method}\n{EXPIRES}\n/v1{path}");
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    let query = format!("temp_url_sig={}&temp_url_expires={EXPIRES}", hex(&mac.finalize().into_bytes()));
    request.query = Query::parse(query.as_bytes());
    request
}

fn check(request: &mut ClientRequest) -> Result<Granted, u16> {
    let keys: Rc<dyn Application> = Rc::new(Keys);
    block_on(grant(&sample(), &keys, request)).map_err(|refused| refused.head.status.0)
}

#[test]
fn a_signature_opens_its_method_and_path_as_far_as_its_key() {
    for (key, container) in [("account key", None), ("container key", Some("c".to_owned()))] {
        let mut request = signed(Method::Get, "GET", "/AUTH_a/c/o", key);
        check(&mut request).unwrap();
        assert_eq!(
            request.authority,
            Authority::Signed { account: "AUTH_a".into(), container: container.map(Into::into) }
        );
    }
    assert!(check(&mut signed(Method::Head, "PUT", "/AUTH_a/c/o", "account key")).is_ok());
    assert_eq!(check(&mut signed(Method::Put, "GET", "/AUTH_a/c/o", "account key")).err(), Some(401));
    assert_eq!(check(&mut signed(Method::Get, "GET", "/AUTH_a/c/o", "no key")).err(), Some(401));
    let mut other = signed(Method::Get, "GET", "/AUTH_a/c/o", "account key");
    other.path.object = Some("p".into());
    assert_eq!(check(&mut other).err(), Some(401));
}

#[test]
fn cve_2015_5223_a_signed_write_brings_no_manifest_link_or_copy() {
    for name in DISALLOWED {
        for method in [Method::Put, Method::Post, Method::Delete] {
            let mut request = signed(method, method.as_str(), "/AUTH_a/c/o", "account key");
            request.headers.set(name, "other/secret");
            assert_eq!(check(&mut request).err(), Some(400), "{name} {method:?}");
        }
    }
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let made = Settings::new(&words(&["GET", "COPY"]), &words(&["sha1"]), Filter::default(), Filter::default());
    assert_eq!(made, Err("COPY".into()));
}

#[test]
fn cve_2014_0006_signatures_are_compared_whole() {
    // Every byte counts, the last as the first; the comparison itself is subtle's, whose time does not depend on them.
    let good = signed(Method::Get, "GET", "/AUTH_a/c/o", "account key");
    let signature = String::from_utf8(good.query.get(SIGNATURE).unwrap().to_vec()).unwrap();
    for at in [0, signature.len() / 2, signature.len() - 1] {
        let mut bytes = signature.clone().into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        let query = format!("temp_url_sig={}&temp_url_expires={EXPIRES}", String::from_utf8(bytes).unwrap());
        let mut request = request(Method::Get, "/AUTH_a/c/o");
        request.query = Query::parse(query.as_bytes());
        assert_eq!(check(&mut request).err(), Some(401));
    }
}

#[test]
fn the_operator_says_which_fields_pass() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let filter =
        |remove: &str, allow: &str| Filter { remove: Names::new(&words(remove)), allow: Names::new(&words(allow)) };
    let mut config = sample();
    let incoming = filter("x-delete-* X-Open-Expired", "x-delete-after");
    let outgoing = filter("x-object-* etag", "x-object-meta-shown");
    config.tempurl = Settings::new(&words("GET PUT"), &words("sha256"), incoming, outgoing).unwrap();
    let keys: Rc<dyn Application> = Rc::new(Keys);
    let mut put = signed(Method::Put, "PUT", "/AUTH_a/c/o", "account key");
    for name in ["X-Delete-At", "X-Delete-After", "X-Open-Expired", "X-Object-Meta-A"] {
        put.headers.set(name, "1");
    }
    let granted = block_on(grant(&config, &keys, &mut put)).unwrap_or_else(|_| panic!("a good signature"));
    let left: Vec<_> = put.headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    assert_eq!(left, ["X-Delete-After", "X-Object-Meta-A"]);
    let mut answer = Response::empty(Status(201)).header("X-Object-Meta-A", "1").header("X-Object-Meta-Shown", "1");
    answer = answer.header("Etag", "x").header("Last-Modified", "x");
    granted.finish(&mut answer);
    let left: Vec<_> = answer.head.headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    assert_eq!(left, ["X-Object-Meta-Shown", "Last-Modified"]);
    let mut delete = signed(Method::Delete, "DELETE", "/AUTH_a/c/o", "account key");
    assert!(block_on(grant(&config, &keys, &mut delete)).is_err(), "a method that is not offered");
    let document = config.tempurl.document();
    assert_eq!(document["incoming_remove_headers"], serde_json::json!(["x-delete-*", "x-open-expired"]));
    assert_eq!(document["methods"], serde_json::json!(["GET", "PUT"]));
    assert!(document.get("deprecated_digests").is_none());
    assert_eq!(sample().tempurl.document()["deprecated_digests"], serde_json::json!(["sha1"]));
    assert_eq!(sample().tempurl.document()["outgoing_allow_headers"], serde_json::json!(["x-object-meta-public-*"]));
}

#[test]
fn ranges_are_networks_or_addresses() {
    let check = |range: &str, address: &str| is_in_range(range, address.parse().unwrap());
    assert_eq!(check("127.0.0.1", "127.0.0.1"), Some(true));
    assert_eq!(check("127.0.0.0/8", "127.9.9.9"), Some(true));
    assert_eq!(check("10.0.0.0/8", "127.0.0.1"), Some(false));
    assert_eq!(check("0.0.0.0/0", "127.0.0.1"), Some(true));
    assert_eq!(check("10.0.0.1/8", "10.0.0.1"), None);
    assert_eq!(check("10.0.0.0/33", "10.0.0.1"), None);
    assert_eq!(check("fe80::/10", "fe80::1"), Some(true));
    assert_eq!(check("fe80::/10", "127.0.0.1"), Some(false));
    assert_eq!(check("nonsense", "127.0.0.1"), None);
}

#[test]
fn times_are_seconds_or_dates() {
    assert_eq!(expiry("1400000000"), Some(1_400_000_000));
    assert_eq!(expiry("2014-05-13T16:53:20Z"), Some(1_400_000_000));
    assert_eq!(expiry("2014-05-13 16:53:20"), None);
    assert_eq!(expiry(""), None);
}
