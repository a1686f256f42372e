//! What a line shows, and what it never does.

use super::*;
use base::http::server::RequestBody;

const SECRET: &str = "0123456789abcdef0123456789abcdef01234567";

pub(super) fn settings(template: &str) -> Settings {
    Settings {
        template: Template::parse(template).unwrap(),
        anonymizer: Anonymizer::new("md5", "").unwrap(),
        headers: false,
        headers_only: Vec::new(),
        reveal_sensitive_prefix: 16,
        valid_api_versions: vec!["v1".into(), "v1.0".into()],
        statsd: None,
    }
}

pub(super) fn head(method: Method, target: &'static str) -> RequestHead {
    RequestHead::new(method, target.to_owned())
}

fn entry(settings: Settings, target: &str, change: impl FnOnce(&mut RequestHead)) -> Entry {
    let mut head = RequestHead::new(Method::Get, target.to_owned());
    change(&mut head);
    let request = Request { head, body: RequestBody::full(""), peer: "10.1.2.3:4567".parse().unwrap() };
    let mut entry = Entry::begin(
        &Rc::new(settings),
        &request,
        ("10.1.2.3".parse().unwrap(), &"tx1".into()),
        Duration::new(1_790_000_000, 250_000_000),
    );
    entry.status = 200;
    entry
}

fn line(entry: &Entry, sent: u64, complete: bool) -> String {
    let mut line = Vec::new();
    entry.line(&Finished { received: 0, sent, complete }, Duration::new(1_790_000_000, 750_000_000), &mut line);
    String::from_utf8(line).unwrap()
}

/// One line of `template` for a request to `/v1/AUTH_test/c/o`.
fn shown(settings: Settings, change: impl FnOnce(&mut RequestHead)) -> String {
    line(&entry(settings, "/v1/AUTH_test/c/o", change), 5, true)
}

#[test]
fn the_line_has_swifts_fields_in_swifts_order() {
    let target = "/v1/AUTH_test/c/o%20x?a=b&temp_url_sig=0123456789abcdef0123";
    let entry = entry(settings(LOG_MSG_TEMPLATE), target, |head| head.headers.set("User-Agent", "curl 8\"x"));
    // The path is encoded and then, as every value, encoded once more.
    assert_eq!(
        line(&entry, 5, true),
        "10.1.2.3 10.1.2.3 21/Sep/2026/14/13/20 GET /v1/AUTH_test/c/o%2520x%3Fa%3Db%26temp_url_sig%3D0123456789abcdef... HTTP/1.1 200 - \
         curl%208%22x - - 5 - tx1 - 0.5000 - - 1790000000.250000000 1790000000.750000000 - -"
    );
    assert_eq!(line(&entry, 5, true).split(' ').count(), 22);
}

#[test]
fn cve_2017_8761_no_line_holds_a_whole_signature() {
    for name in ["temp_url_sig", "temp%5Furl_sig", "swiftinfo_sig", "X-Amz-Signature", "Signature", "signature"] {
        let target = format!("/v1/AUTH_test/c/o?temp_url_expires=1&{name}={SECRET}&x=y");
        for template in [LOG_MSG_TEMPLATE, "{path}"] {
            let line = line(&entry(settings(template), &target, |_| {}), 5, true);
            assert!(!line.contains(SECRET) && line.contains("0123456789abcdef...%26x%3Dy"), "{line}");
        }
    }
}

#[test]
fn a_token_is_cut_and_a_client_that_left_is_499() {
    let entry = entry(settings(LOG_MSG_TEMPLATE), "/v1/AUTH_test", |head| {
        head.headers.set("X-Auth-Token", "AUTH_tkABCDEFGHIJKLMNOP");
    });
    let line = line(&entry, 0, false);
    assert!(line.contains(" 499 - - AUTH_tkABCDEFGHI... - - "), "{line}");
    assert!(!line.contains("JKLMNOP"), "{line}");
}

#[test]
fn the_operator_says_how_much_of_a_secret_is_shown() {
    for (reveal, expected) in [(0, "..."), (4, "0123..."), (40, SECRET), (1000, SECRET)] {
        let settings = Settings { reveal_sensitive_prefix: reveal, ..settings("{auth_token}") };
        assert_eq!(shown(settings, |head| head.headers.set("X-Storage-Token", SECRET)), expected);
    }
}

#[test]
fn the_client_is_who_a_balancer_says_and_the_remote_address_who_it_is() {
    let check = |name: &'static str, value: &'static str, expected: &str| {
        let shown = shown(settings("{client_ip} {remote_addr}"), |head| head.headers.set(name, value));
        assert_eq!(shown, format!("{expected} 10.1.2.3"));
    };
    check("X-Forwarded-For", "192.0.2.1, 10.0.0.1", "192.0.2.1");
    check("X-Forwarded-For", " ", "10.1.2.3");
    check("X-Cluster-Client-Ip", "192.0.2.2", "192.0.2.2");
    check("X-Cluster-Client-Ip", "a b", "a%20b");
}

#[test]
fn names_are_those_of_swift_paths_only() {
    let template = "{account} {container} {object} {domain} {object.anonymized}";
    let check = |target: &str, expected: &str| {
        let entry = entry(settings(template), target, |head| head.headers.set("Host", "example.com:8080"));
        assert_eq!(line(&entry, 0, true), expected);
    };
    check("/v1/AUTH_test/c/o/p", "AUTH_test c o/p example.com {MD5}5d0a4eeec904bf5da7631ca1b658169b");
    check("/v1.0/AUTH_test", "AUTH_test - - example.com -");
    check("/info", "- - - example.com -");
    let mut entry = entry(settings("{account} {path}"), "/o", |_| {});
    entry.rewritten(&RequestHead::new(Method::Get, "/v1/AUTH_a/c/o"));
    assert_eq!(line(&entry, 0, true), "AUTH_a /v1/AUTH_a/c/o");
}

#[test]
fn fields_are_told_on_request_and_secrets_never() {
    let fill = |head: &mut RequestHead| {
        for (name, value) in
            [("host", "h"), ("x-auth-token", SECRET), ("X-Auth-Key", "testing"), ("X-Object-Meta-A", "b c")]
        {
            head.headers.append(name, value);
        }
    };
    assert_eq!(shown(settings("{headers}"), fill), "-");
    let all = Settings { headers: true, ..settings("{headers}") };
    let expected = "Host:%20h%0AX-Auth-Token:%200123456789abcdef...%0AX-Auth-Key:%20...%0AX-Object-Meta-A:%20b%20c";
    assert_eq!(shown(all.clone(), fill), expected);
    let some = Settings { headers_only: vec!["x-object-meta-a".into()], ..all };
    assert_eq!(shown(some, fill), "X-Object-Meta-A:%20b%20c");
    for name in SECRETS {
        let settings = Settings { headers: true, reveal_sensitive_prefix: 1000, ..settings("{headers}") };
        let shown = shown(settings, |head| head.headers.set(name, SECRET));
        assert!(!shown.contains("0123"), "{shown}");
    }
}
