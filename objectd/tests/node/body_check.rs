//! Bodies whose MD5 the proxy takes (`base::body_check`), as bytes on the wire.

use crate::bed::{Answer, conf, exchange, storage};
use base::body_check::{Sum, Verdict};
use base::checksum::md5_hex;
use base::io::sim::{Sim, SimOptions};

const BODY: &[u8] = &[b'b'; 100_000];

/// What the node says to a PUT: its `100 Continue`, and its last word.
async fn put(name: &str, more: &str, body: &[u8]) -> (Answer, Answer) {
    let mut request = format!(
        "PUT /d1/1/a/c/{name} HTTP/1.1\r\nHost: x\r\nX-Timestamp: 1795346000.00000\r\nContent-Type: text/plain\r\n\
         Connection: close\r\nExpect: 100-continue\r\n{more}\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    let first = exchange(6200, &request).await;
    let last = Answer::parse(&first.body);
    (first, last)
}

fn chunked(body: &[u8], trailers: &str) -> Vec<u8> {
    let (one, two) = body.split_at(body.len() / 3);
    let mut out = Vec::new();
    for chunk in [one, two] {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    out
}

fn trailers(etag: &str, bytes: &[u8]) -> String {
    let mut sum = Sum::default();
    sum.update(bytes);
    let verdict = Verdict { etag: etag.to_owned(), sum };
    let fields = verdict.encode();
    fields.iter().map(|(name, value)| format!("{}: {}\r\n", name.escape_ascii(), value.escape_ascii())).collect()
}

const OFFER: &str = "X-Backend-Body-Check: crc32c\r\n";
const CHUNKS: &str = "Transfer-Encoding: chunked\r\nX-Backend-Body-Check: crc32c\r\n";

fn run(main: impl AsyncFnOnce() + 'static) {
    let sim = Sim::new(1, SimOptions::default());
    storage(&sim, conf("layout = packed\nvolume_size = 8388608\n"));
    sim.run(async move { main().await });
}

#[test]
fn the_md5_is_the_proxys_where_the_bytes_are() {
    run(async || {
        // No MD5 of anything: it is believed.
        let etag = "0123456789abcdef0123456789abcdef";
        let more = format!("{CHUNKS}X-Backend-Obj-Content-Length: {}\r\n", BODY.len());
        let (first, last) = put("o", &more, &chunked(BODY, &trailers(etag, BODY))).await;
        assert!(first.status.contains(" 100 "), "{first:?}");
        assert_eq!(first.headers["x-backend-body-check"], "crc32c");
        assert!(last.status.contains(" 201 "), "{last:?}");
        assert_eq!(last.headers["etag"], format!("\"{etag}\""));
        let get = "GET /d1/1/a/c/o HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let got = exchange(6200, get.as_bytes()).await;
        assert_eq!((got.headers["etag"].clone(), got.body.as_slice()), (format!("\"{etag}\""), BODY));
    });
}

#[test]
fn other_bytes_than_were_hashed_are_refused_and_so_are_bad_trailers() {
    run(async || {
        let etag = md5_hex(BODY);
        let length = |bytes: usize| format!("{CHUNKS}X-Backend-Obj-Content-Length: {bytes}\r\n");
        for (more, trailers, status) in [
            (length(BODY.len()), trailers(&etag, b"others"), " 422 "),
            (length(BODY.len()), String::new(), " 400 "),
            (length(BODY.len()), "X-Backend-Body-Etag: x\r\n".to_owned(), " 400 "),
            (length(BODY.len() + 1), trailers(&etag, BODY), " 499 "),
            (format!("Etag: {}\r\n{CHUNKS}", md5_hex(b"x")), trailers(&etag, BODY), " 422 "),
        ] {
            let (_, last) = put("o", &more, &chunked(BODY, &trailers)).await;
            assert!(last.status.contains(status), "{trailers:?}: {last:?}");
            let head = "HEAD /d1/1/a/c/o HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            assert!(exchange(6200, head.as_bytes()).await.status.contains(" 404 "), "nothing is stored");
        }
    });
}

#[test]
fn who_does_not_offer_it_sees_nothing_of_it() {
    run(async || {
        let length = format!("Content-Length: {}\r\n", BODY.len());
        let (first, last) = put("a", &length, BODY).await;
        assert!(first.status.contains(" 100 ") && first.headers.is_empty(), "{first:?}");
        assert_eq!(last.headers["etag"], format!("\"{}\"", md5_hex(BODY)));
        // With a length it is only learned; the MD5 is the node's own.
        let (first, last) = put("b", &format!("{length}{OFFER}"), BODY).await;
        assert_eq!(first.headers["x-backend-body-check"], "crc32c");
        assert_eq!(last.headers["etag"], format!("\"{}\"", md5_hex(BODY)));
        // In chunks without the offer, trailers or not.
        let wrong = trailers("0123456789abcdef0123456789abcdef", BODY);
        let (first, last) = put("c", "Transfer-Encoding: chunked\r\n", &chunked(BODY, &wrong)).await;
        assert!(first.headers.is_empty(), "{first:?}");
        assert_eq!(last.headers["etag"], format!("\"{}\"", md5_hex(BODY)));
    });
}
