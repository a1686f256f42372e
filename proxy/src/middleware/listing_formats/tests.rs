//! Listings in all formats, over an application that answers JSON.

use super::*;
use crate::pipeline::tests::{Fake, block_on, full_body, request};
use base::http::server::{BodySource, LocalFuture};

const OBJECTS: &str = r#"[{"bytes": 100, "hash": "781e5e245d69b566979b86e28d23f2c7", "name": "d&<>\"'", "content_type": "image/png", "last_modified": "2026-11-22T10:40:41.000000"}, {"subdir": "b/"}]"#;
const CONTAINERS: &str = r#"[{"name": "a", "count": 0, "bytes": 0, "last_modified": "2026-11-22T10:40:10.000000", "storage_policy": "gold"}, {"subdir": "b-"}]"#;

fn listing(path: &str, target: &str, json: &'static str) -> Response {
    let fake = Fake::new(move |_| Response::full(Status(200), "application/json", json));
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut request = request(Method::Get, path);
    request.query = base::quote::Query::parse(query.as_bytes());
    block_on(ListingFormats::new(fake).call(request))
}

#[test]
fn xml_is_swifts_to_the_byte() {
    let check = |path: &str, json: &'static str, expected: &str| {
        let response = listing(path, "?format=xml", json);
        assert_eq!(response.head.headers.get_str("Content-Type"), Some("application/xml; charset=utf-8"));
        assert_eq!(full_body(response), expected);
    };
    check(
        "/v/c",
        OBJECTS,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<container name=\"c\"><object><name>d&amp;&lt;&gt;\"'</name>\
         <hash>781e5e245d69b566979b86e28d23f2c7</hash><bytes>100</bytes><content_type>image/png</content_type>\
         <last_modified>2026-11-22T10:40:41.000000</last_modified></object><subdir name=\"b/\"><name>b/</name></subdir>\
         </container>",
    );
    check("/v/c", "[]", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<container name=\"c\" />");
    check(
        "/AUTH_av",
        CONTAINERS,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<account name=\"AUTH_av\">\n<container><name>a</name><count>0</count>\
         <bytes>0</bytes><last_modified>2026-11-22T10:40:10.000000</last_modified><storage_policy>gold</storage_policy>\
         </container>\n<subdir name=\"b-\" />\n</account>",
    );
    check("/AUTH_av", "[]", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<account name=\"AUTH_av\">\n</account>");
}

#[test]
fn plain_is_a_name_per_line_and_empty_is_204() {
    let response = listing("/v/c", "", OBJECTS);
    assert_eq!(response.head.headers.get_str("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(response.head.headers.get_str("Vary"), Some("Accept"));
    assert_eq!(full_body(response), "d&<>\"'\nb/\n");
    assert_eq!(listing("/v/c", "", "[]").head.status, Status(204));
}

#[test]
fn a_page_of_a_web_site_passes_and_depends_on_the_wish_as_well() {
    let page = |vary: &'static str| {
        let fake = Fake::new(move |_| Response::full(Status(200), "text/html", "<p>").header("Vary", vary));
        block_on(ListingFormats::new(fake).call(request(Method::Get, "/v/c"))).head.headers.remove("Vary").unwrap()
    };
    assert_eq!(
        (page("Origin"), page("accept"), page("*, Accept")),
        ("Origin, Accept".into(), "accept".into(), "*, Accept".into())
    );
}

#[test]
fn a_head_keeps_its_status() {
    for status in [200, 204] {
        let fake = Fake::new(move |_| Response::empty(Status(status)).header("Content-Type", "application/json"));
        let head = block_on(ListingFormats::new(fake).call(request(Method::Head, "/v")));
        assert_eq!(head.head.status, Status(status));
        assert_eq!(head.head.headers.get_str("Content-Type"), Some("text/plain; charset=utf-8"));
    }
}

#[test]
fn json_passes_as_it_is() {
    let response = listing("/v/c", "?format=json", OBJECTS);
    assert_eq!(response.head.headers.get_str("Content-Type"), Some("application/json; charset=utf-8"));
    assert_eq!(full_body(response), OBJECTS);
    assert_eq!(full_body(listing("/v/c", "?format=json", "[]")), "[]");
}

#[test]
fn a_body_that_is_no_listing_is_an_error() {
    assert_eq!(listing("/v/c", "?format=xml", "{broken").head.status, Status(500));
}

#[test]
fn control_characters_do_not_break_the_document() {
    let body = full_body(listing("/v/c", "?format=xml", r#"[{"name": "a\u0001\nb"}]"#));
    assert!(body.contains("<name>a\u{fffd}\nb</name>"), "{body}");
}

#[test]
fn objects_and_refusals_pass_untouched() {
    let fake = Fake::new(|_| Response::full(Status(404), "text/html", "no"));
    let layer = ListingFormats::new(fake);
    let response = block_on(layer.call(request(Method::Get, "/v/c")));
    assert_eq!(response.head.headers.get_str("Content-Type"), Some("text/html"));
    let mut wrong = request(Method::Get, "/v/c");
    wrong.headers.set("Accept", "image/png");
    assert_eq!(block_on(layer.call(wrong)).head.status, Status(406));
}

/// A body that comes in pieces.
struct Pieces(Vec<&'static [u8]>);

impl BodySource for Pieces {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        let piece = (!self.0.is_empty()).then(|| Ok(Bytes::from_static(self.0.remove(0))));
        Box::pin(std::future::ready(piece))
    }
}

#[test]
fn a_page_in_pieces_is_text_as_it_comes_wherever_it_is_cut() {
    const PAGE: &[u8] = br#"[{"bytes": 1, "hash": "d; \"name\": \"no", "name": "a \"q\" \u00fc\\", "last_modified": "}, {"}, {"subdir": "\\\"}, {\"b/"}, {"name":"c","x":":"},{"name": ""}, {"hash": "name", "name": "subdir"}]"#;
    const TEXT: &str = "a \"q\" \u{fc}\\\n\\\"}, {\"b/\nc\n\nsubdir\n";
    assert_eq!(lines::whole(PAGE).as_deref(), Some(TEXT.as_bytes()));
    for cut in 0..PAGE.len() {
        let fake = Fake::new(move |_| {
            let source = Box::new(Pieces(vec![&PAGE[..cut], &PAGE[cut..]]));
            Response::stream(Status(200), None, source).header("Content-Type", "application/json")
        });
        let response = block_on(ListingFormats::new(fake).call(request(Method::Get, "/v/c")));
        assert_eq!(response.head.status, Status(200));
        let text = block_on(collect(response.body, PAGE_MAX)).expect("it does not end early");
        assert_eq!(text, TEXT.as_bytes(), "cut at {cut}");
    }
    for wrong in ["{", "[{\"name\": \"a\"}", "[{\"name\": 1}]", "[{\"name\": \"a]"] {
        assert_eq!(lines::whole(wrong.as_bytes()), None, "{wrong}");
    }
}
