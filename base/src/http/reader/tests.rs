//! What is accepted, what is refused, and that neither depends on how the bytes arrive.

use super::*;
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits { first_line: 200, line: 120, block: 600, fields: 12 };

/// Everything that came out, neighbouring data joined, and how it ended.
#[derive(Debug, PartialEq, Eq, Default)]
struct Told {
    messages: Vec<Message>,
    refused: Option<Status>,
    left: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Message {
    head: Incoming,
    body: Vec<u8>,
    trailers: Option<Headers>,
    complete: bool,
}

/// Feeds `pieces` one after the other.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Told {
    let mut reader = RequestReader::new(LIMITS);
    let mut buffer = BytesMut::new();
    let mut told = Told::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while told.refused.is_none() {
            match reader.next(&mut buffer) {
                Ok(None) => break,
                Err(refusal) => told.refused = Some(refusal.status),
                Ok(Some(Event::Head(head))) => {
                    told.messages.push(Message { head, body: Vec::new(), trailers: None, complete: false });
                }
                Ok(Some(event)) => {
                    let message = told.messages.last_mut().expect("a head comes first");
                    assert!(!message.complete, "nothing comes after the end");
                    match event {
                        Event::Data(bytes) => {
                            assert!(!bytes.is_empty() && bytes.len() <= BODY_CHUNK);
                            message.body.extend_from_slice(&bytes);
                        }
                        Event::Trailers(trailers) => message.trailers = Some(trailers),
                        _ => message.complete = true,
                    }
                }
            }
        }
    }
    told.left = if told.refused.is_some() { 0 } else { buffer.len() };
    told
}

/// Fed whole and byte by byte: both must tell the same.
#[track_caller]
fn told(raw: &[u8]) -> Told {
    let whole = feed([raw]);
    assert_eq!(feed(raw.chunks(1)), whole, "{}", raw.escape_ascii());
    whole
}

#[track_caller]
fn refused(raw: &[u8], status: u16) {
    // A second request rides behind: it must never come out.
    let smuggled = [raw, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let told = told(&smuggled);
    assert_eq!(told.refused, Some(Status(status)), "{}", raw.escape_ascii());
    assert!(told.messages.iter().all(|message| message.head.head.target != "/smuggled"), "{}", raw.escape_ascii());
    assert!(told.messages.iter().all(|message| !message.complete), "{}", raw.escape_ascii());
}

#[track_caller]
fn accepted(raw: &[u8], target: &str, body: &[u8]) -> Message {
    let mut told = told(&[raw, b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    assert_eq!((told.refused, told.left), (None, 0), "{}", raw.escape_ascii());
    assert_eq!(told.messages.len(), 2, "{}", raw.escape_ascii());
    assert_eq!(told.messages[1].head.head.target, "/next");
    let first = told.messages.remove(0);
    assert!(first.complete);
    assert_eq!((first.head.head.target.as_ref(), first.body.as_slice()), (target.as_bytes(), body));
    first
}

/// Fields that say a length in two ways, or say where a field ends in two.
const TWOFOLD: [&str; 67] = [
    "Content-Length: 3\r\nContent-Length: 4",
    "Content-Length: 3\r\nContent-Length: 3",
    "Content-Length: 3\r\ncontent-length: 3",
    "Content-Length: 3, 3",
    "Content-Length: 3,4",
    "Content-Length:",
    "Content-Length: ",
    "Content-Length: +3",
    "Content-Length: -3",
    "Content-Length: -0",
    "Content-Length: 0x3",
    "Content-Length: 3 0",
    "Content-Length: 3;",
    "Content-Length: 3.0",
    "Content-Length: 1e1",
    "Content-Length: 1_0",
    "Content-Length: '3'",
    "Content-Length: \"3\"",
    "Content-Length: three",
    "Content-Length: 9223372036854775808",
    "Content-Length: 18446744073709551616",
    "Content-Length: 99999999999999999999999",
    "Content-Length: 00000000000000000003",
    "Content_Length: 3",
    "Content-Length: 3\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 3",
    "Transfer-Encoding: chunked\r\nContent-Length: 0",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding:",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: chunked\x0c",
    "Transfer-Encoding\x0b: chunked",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    "Transfer-Encoding:\r\n chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    " Transfer-Encoding: chunked",
    "\tContent-Length: 3",
    "Content-Length : 3",
    "Content-Length:\r\n 3",
    "Content-Length: 3\r\n\t",
    "X: y\nContent-Length: 3",
    "X: y\rContent-Length: 3",
    "X: y\0\r\nContent-Length: 3",
    "X\0: y",
    "X: y\r\r",
    "X: \x01",
    "X: \x7f",
    ": y",
    "X",
    "X y: z",
    "X(y): z",
    "X\u{e4}: z",
    "Host: a",
    "Host: b\r\nX: y",
];

#[test]
fn lengths_that_can_be_read_in_two_ways_are_refused() {
    refused(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip,chunked\r\n\r\n", 501);
    for fields in TWOFOLD {
        refused(format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").as_bytes(), 400);
    }
}

#[test]
fn request_lines_that_can_be_read_in_two_ways_are_refused() {
    for line in [
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / a HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.1\t",
        "GET /",
        "GET",
        "GET / ",
        "GET / http/1.1",
        "GET / HTTP/1.",
        "GET / HTTP/11",
        "GET / HTTP/1.10",
        "GET / HTTP/+1.1",
        "GET / HTTPS/1.1",
        "GET /\0 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "G\u{e4}T / HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET x HTTP/1.1",
        "GET * HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http://u@a/ HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http://a#b HTTP/1.1",
        "GET http://a\\b/ HTTP/1.1",
        "\r\nGET / HTTP/1.1\r",
        "GET /\r HTTP/1.1",
        "\n GET / HTTP/1.1",
    ] {
        refused(format!("{line}\r\nX: y\r\n\r\n").as_bytes(), 400);
    }
    refused(b"GET / HTTP/1.1\nHost: a\n\n", 400);
    refused(b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400);
    refused(b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
    refused(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", 400);
    for host in ["a b", "a/b", "a@b", "a,b", "a\\b", "a?b"] {
        refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), 400);
    }
    refused(b"GET / HTTP/1.1\r\nHost: a\xc3\r\n\r\n", 400);
    refused(b"GET http://b/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    refused(b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0"] {
        refused(format!("GET / {version}\r\nHost: a\r\n\r\n").as_bytes(), 505);
    }
    for method in ["BREW", "get", "CONNECT", "TRACE", "PRI", "PATCH"] {
        refused(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), 405);
    }
}

#[test]
fn chunks_that_can_be_read_in_two_ways_are_refused() {
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\t\r\nabc\r\n0\r\n\r\n",
        "3 ;x\r\nabc\r\n0\r\n\r\n",
        "\r\n3\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        ";x\r\nabc\r\n0\r\n\r\n",
        "3,\r\nabc\r\n0\r\n\r\n",
        "3;x\ny\r\nabc\r\n0\r\n\r\n",
        "3;x\ry\r\nabc\r\n0\r\n\r\n",
        "3;\0\r\nabc\r\n0\r\n\r\n",
        "3;\u{e4}\r\nabc\r\n0\r\n\r\n",
        "8000000000000000\r\nabc",
        "10000000000000000\r\nabc",
        "00000000000000003\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc",
        "3\r\nabc\r\r\n0\r\n\r\n",
        "3\r\nabc\r\n\r\n0\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nContent-Length: 3\r\n\r\n",
        "0\r\ntransfer-encoding: chunked\r\n\r\n",
        "0\r\nHost: a\r\n\r\n",
        "0\r\nAuthorization: a\r\n\r\n",
        "0\r\n\n",
        "0\n\r\n",
    ] {
        refused(format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes(), 400);
    }
    let long = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(300));
    refused(format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{long}").as_bytes(), 400);
    let many = format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(100);
    refused(format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{many}").as_bytes(), 400);
    let trailers = "0\r\n".to_owned() + &"X: y\r\n".repeat(65);
    refused(format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{trailers}\r\n").as_bytes(), 431);
}

#[test]
fn limits_have_their_own_answers() {
    let line = |length: usize| format!("GET /{} HTTP/1.1\r\n", "x".repeat(length - 16));
    accepted(format!("{}\r\n", line(200)).as_bytes(), &format!("/{}", "x".repeat(184)), b"");
    refused(format!("{}\r\n", line(201)).as_bytes(), 414);
    refused("GET /".as_bytes().iter().copied().chain([b'x'; 500]).collect::<Vec<u8>>().as_slice(), 414);
    let field = |length: usize| format!("X: {}\r\n", "y".repeat(length - 5));
    accepted(format!("GET / HTTP/1.1\r\n{}\r\n", field(120)).as_bytes(), "/", b"");
    refused(format!("GET / HTTP/1.1\r\n{}\r\n", field(121)).as_bytes(), 400);
    refused(format!("GET / HTTP/1.1\r\n{}\r\n", field(100).repeat(6)).as_bytes(), 400);
    accepted(format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(12)).as_bytes(), "/", b"");
    refused(format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(13)).as_bytes(), 431);
    let mut reader = RequestReader::new(LIMITS);
    let mut buffer = BytesMut::from(format!("GET / HTTP/1.1\r\n{}", field(121)).as_bytes());
    assert_eq!(reader.next(&mut buffer).unwrap_err().reason, "Header Line Too Long");
    let mut reader = RequestReader::new(LIMITS);
    let mut buffer = BytesMut::from(format!("GET / HTTP/1.1\r\n{}", field(100).repeat(7)).as_bytes());
    assert_eq!(reader.next(&mut buffer).unwrap_err().reason, "Headers Too Large");
}

#[test]
fn honest_requests_are_parsed_exactly() {
    let get = accepted(
        b"GET /v1/a%20b?x=y&z HTTP/1.1\r\nHost: a:80\r\nX-Empty:\r\nx-b: \t v w \t\r\n\r\n",
        "/v1/a%20b?x=y&z",
        b"",
    );
    assert_eq!((get.head.head.path(), get.head.head.query()), (&b"/v1/a%20b"[..], &b"x=y&z"[..]));
    assert_eq!(get.head.head.headers.get_str("x-empty"), Some(""));
    assert_eq!(get.head.head.headers.get_str("X-B"), Some("v w"));
    assert!(get.head.framing.keep_alive && !get.head.framing.expects_continue);
    let put = accepted(
        b"PUT /o HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-Continue\r\nConnection: x, Close\r\n\r\nabc",
        "/o",
        b"abc",
    );
    assert!(!put.head.framing.keep_alive && put.head.framing.expects_continue);
    accepted(b"PUT /o HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "/o", b"");
    accepted(b"PUT /o HTTP/1.1\r\nContent-Length: 003\r\n\r\nabc", "/o", b"abc");
    accepted(b"\r\nGET / HTTP/1.1\r\n\r\n", "/", b"");
    accepted(b"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "*", b"");
    accepted(b"GET //x HTTP/1.1\r\n\r\n", "//x", b"");
    let raw = accepted(b"GET /\xc3\xa4 HTTP/1.1\r\nX-Meta: \xc3\xa4 \xff\r\n\r\n".as_slice(), "/\u{e4}", b"");
    assert_eq!(raw.head.head.headers.get("X-Meta").unwrap().as_ref(), b"\xc3\xa4 \xff");
}

#[test]
fn absolute_targets_become_paths() {
    let get = accepted(b"GET http://b:8080/v1?x HTTP/1.1\r\nHost: a\r\n\r\n", "/v1?x", b"");
    assert_eq!(get.head.head.headers.get_str("Host"), Some("b:8080"));
    accepted(b"GET HTTP://b HTTP/1.1\r\n\r\n", "/", b"");
    accepted(b"GET https://b?q HTTP/1.1\r\n\r\n", "/?q", b"");
}

#[test]
fn chunked_bodies_are_joined() {
    let head = b"PUT /o HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n";
    let put = |body: &[u8], expected: &[u8]| accepted(&[head.as_slice(), body].concat(), "/o", expected);
    put(b"0\r\n\r\n", b"");
    put(b"3\r\nabc\r\nA;n=v;m=\"x y\"\r\n0123456789\r\n000\r\n\r\n", b"abc0123456789");
    let with_trailers = put(b"1\r\na\r\n0\r\nX-Checksum: 1\r\nX-Two:\r\n\r\n", b"a");
    assert_eq!(with_trailers.trailers.unwrap().get_str("x-checksum"), Some("1"));
}

#[test]
fn old_clients_close_unless_they_ask() {
    assert!(!accepted(b"GET / HTTP/1.0\r\n\r\n", "/", b"").head.framing.keep_alive);
    assert!(accepted(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", b"").head.framing.keep_alive);
    let put = accepted(b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na", "/", b"a");
    assert!(!put.head.framing.expects_continue);
}

/// What a response says: statuses and joined body, or how it broke.
fn response(raw: &[u8], method: Method, step: usize) -> Result<(Vec<u16>, Vec<u8>, bool), &'static str> {
    let mut reader = ResponseReader::new();
    reader.expect_answer_to(method);
    let mut buffer = BytesMut::new();
    let (mut statuses, mut body) = (Vec::new(), Vec::new());
    let mut input = raw.chunks(step.max(1));
    for _ in 0..10 * raw.len() + 100 {
        match reader.next(&mut buffer).map_err(|refusal| refusal.reason)? {
            Some(Event::Head(head)) => statuses.push(head.status.0),
            Some(Event::Data(bytes)) => body.extend_from_slice(&bytes),
            Some(Event::Trailers(_)) => {}
            Some(Event::End) => return Ok((statuses, body, reader.keeps_alive())),
            None => match input.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None if reader.end_of_input() => {}
                None => return Err("cut"),
            },
        }
    }
    panic!("the reader makes no progress");
}

#[track_caller]
fn check_response(raw: &str, method: Method, expected: Result<(&[u16], &str, bool), &'static str>) {
    for step in [1, 3, raw.len()] {
        let got = response(raw.as_bytes(), method, step);
        let expected = expected.map(|(statuses, body, keep)| (statuses.to_vec(), body.as_bytes().to_vec(), keep));
        assert_eq!(got, expected, "{raw:?} in steps of {step}");
    }
}

#[test]
fn responses_end_where_their_framing_says() {
    let check = check_response;
    check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Method::Get, Ok((&[200], "abc", true)));
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        Method::Get,
        Ok((&[200], "abc", false)),
    );
    check(
        "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        Method::Get,
        Ok((&[200], "ab", true)),
    );
    check("HTTP/1.1 200 OK\r\n\r\nuntil the end", Method::Get, Ok((&[200], "until the end", false)));
    check("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", Method::Get, Ok((&[200], "a", false)));
    check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Method::Head, Ok((&[200], "", true)));
    check("HTTP/1.1 204 No Content\r\n\r\n", Method::Delete, Ok((&[204], "", true)));
    check("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", Method::Get, Ok((&[304], "", true)));
    check(
        "HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        Method::Put,
        Ok((&[100, 201], "", true)),
    );
    check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Method::Get, Err("cut"));
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", Method::Get, Err("cut"));
    check("HTTP/1.1 200 O", Method::Get, Err("cut"));
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        Method::Get,
        Err("Duplicate Content-Length"),
    );
    check("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Method::Get, Err("Bad Content-Length"));
    check("HTTP/1.1 101 Switching\r\n\r\n", Method::Get, Err("Unexpected 1xx"));
    check("HTTP/1.1 2000 OK\r\n\r\n", Method::Get, Err("Bad Status Line"));
    check("HTTP/1.1 020 OK\r\n\r\n", Method::Get, Err("Bad Status Line"));
    check("ICY 200 OK\r\n\r\n", Method::Get, Err("Bad HTTP Version"));
    check(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(17), Method::Get, Err("Unexpected 1xx"));
}

fn plain_request() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(any::<u8>(), 0..300);
    (body, any::<bool>(), proptest::collection::vec(1_usize..40, 1..8), "[a-z/]{0,20}").prop_map(
        |(body, chunked, sizes, path)| {
            let mut raw = format!("PUT /{path} HTTP/1.1\r\nHost: a\r\n").into_bytes();
            if !chunked {
                raw.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                raw.extend(&body);
                return raw;
            }
            raw.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            let mut rest = body.as_slice();
            for size in sizes.iter().cycle() {
                let (piece, more) = rest.split_at(rest.len().min(*size));
                rest = more;
                if piece.is_empty() {
                    break;
                }
                raw.extend_from_slice(&crate::http::encode::chunk_head(piece.len()));
                raw.extend(piece);
                raw.extend(crate::http::encode::CHUNK_END);
            }
            raw.extend(crate::http::encode::LAST_CHUNK);
            raw
        },
    )
}

fn split(raw: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut rest = raw;
    for cut in cuts.iter().cycle().take(raw.len()) {
        let (piece, more) = rest.split_at(rest.len().min(*cut));
        pieces.push(piece.to_vec());
        rest = more;
    }
    pieces.push(rest.to_vec());
    pieces
}

proptest! {
    #[test]
    fn any_split_tells_the_same(
        requests in proptest::collection::vec(plain_request(), 1..5),
        cuts in proptest::collection::vec(1_usize..90, 1..12),
        damage in proptest::option::of((any::<usize>(), any::<u8>())),
    ) {
        let mut raw = requests.concat();
        if let Some((at, byte)) = damage {
            let at = at % raw.len();
            raw[at] = byte;
        }
        let whole = feed([raw.as_slice()]);
        if damage.is_none() {
            prop_assert_eq!(whole.messages.len(), requests.len());
            prop_assert_eq!((whole.refused, whole.left), (None, 0));
        }
        let pieces = split(&raw, &cuts);
        let told = feed(pieces.iter().map(Vec::as_slice));
        prop_assert_eq!(told, whole);
    }

    #[test]
    fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..600), step in 1_usize..50) {
        let _ = feed(bytes.chunks(step));
        let _ = response(&bytes, Method::Get, step);
        let framed = [b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(), &bytes].concat();
        let _ = feed(framed.chunks(step));
    }

    #[test]
    fn almost_http_is_safe_and_split_free(text in "(GET|PUT) /[ -~]{0,8} HTTP/1\\.[01]\r\n((Content-Length|Transfer-Encoding|Host|X)(:| :)[ -~\r\n\t]{0,9}\r?\n){0,4}\r\n[0-9a-f;\r\n]{0,30}", step in 1_usize..9) {
        let told = feed(text.as_bytes().chunks(step));
        prop_assert_eq!(told, feed([text.as_bytes()]));
    }
}

#[test]
fn a_head_that_trickles_costs_linear_work() {
    let limits = HeadLimits { first_line: 8192, line: 8192, block: 64 * 1024, fields: 201 };
    let mut scanner = HeadScanner::new(limits);
    let field = format!("X: {}\r\n", "y".repeat(8000));
    let raw = format!("GET / HTTP/1.1\r\n{}", field.repeat(8)).into_bytes();
    for end in 0..=raw.len() {
        assert_eq!(scanner.scan(&raw[..end]).unwrap(), None);
    }
}
