//! Server against raw bytes and against our own client: each scenario in the simulator with several seeds (odd splits, virtual
//! time), then over loopback.

use super::*;
use crate::http::Headers;
use crate::http::client::{Connection, Framing};
use crate::io::{self as door, Listener, real, sim};
use bytes::BytesMut;
use std::cell::RefCell;

const SECOND: Duration = Duration::from_secs(1);

/// What the handler of the tests does is told by the path.
#[derive(Default)]
struct App {
    finished: RefCell<Vec<Finished>>,
}

impl Handler for App {
    fn handle(self: Rc<Self>, request: Request) -> Job<Response> {
        Job::new(async move {
            let mut response = answer(request).await;
            let app = Rc::clone(&self);
            response.on_finish = Some(Box::new(move |finished| app.finished.borrow_mut().push(finished)));
            response
        })
    }
}

async fn answer(mut request: Request) -> Response {
    let query = String::from_utf8(request.head.query().to_vec()).unwrap();
    let number = query.parse::<u64>().unwrap_or(0);
    match request.head.path() {
        b"/peer" => Response::full(Status(200), "text/plain", request.peer.to_string()),
        b"/hello" => Response::full(Status(200), "text/plain", "hello"),
        b"/large" => Response::full(Status(200), "text/plain", vec![b'x'; usize::try_from(number).unwrap()]),
        b"/status" => Response::empty(Status(u16::try_from(number).unwrap())),
        b"/head" => Response::empty(Status(200)).header("Content-Length", "1234"),
        b"/refuse" => Response::full(Status(413), "text/plain", "too much"),
        b"/panic" => panic!("this handler panics for a test"),
        b"/slow" => {
            door::sleep(3 * SECOND).await;
            Response::full(Status(200), "text/plain", "at last")
        }
        b"/stream" => Response::stream(Status(200), Some(number), Box::new(Pattern::new(number))),
        b"/chunked" => Response::stream(Status(200), None, Box::new(Pattern::new(number))),
        b"/short" => Response::stream(Status(200), Some(number + 1), Box::new(Pattern::new(number))),
        b"/long" => Response::stream(Status(200), Some(number - 1), Box::new(Pattern::new(number))),
        b"/echo" => Response::stream(Status(200), request.body.length(), Box::new(Echo(request.body))),
        b"/trailers" => {
            while request.body.next().await.is_some() {}
            let found =
                request.body.trailers().and_then(|trailers| trailers.get_str("X-Sum")).unwrap_or("none").to_owned();
            Response::full(Status(200), "text/plain", found)
        }
        b"/collect" => match request.body.collect(100_000).await {
            Ok(bytes) => Response::full(Status(200), "text/plain", bytes),
            Err(None) => Response::empty(Status(413)),
            Err(Some(BodyError::Disconnected)) => Response::empty(Status(499)),
            Err(Some(BodyError::TimedOut)) => Response::empty(Status(408)),
            Err(Some(BodyError::Malformed)) => Response::empty(Status(400)),
        },
        _ => Response::empty(Status(404)),
    }
}

/// So many bytes of a known pattern in odd pieces, some empty.
struct Pattern {
    at: u64,
    length: u64,
}

impl Pattern {
    fn new(length: u64) -> Self {
        Self { at: 0, length }
    }
}

fn pattern(from: u64, to: u64) -> Vec<u8> {
    (from..to).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

impl BodySource for Pattern {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        Box::pin(async move {
            if self.at == self.length {
                return None;
            }
            let end = self.length.min(self.at + self.at % 7 * 10_007);
            let piece = pattern(self.at, end);
            self.at = if piece.is_empty() { self.at + 1 } else { end };
            Some(Ok(if piece.is_empty() { pattern(self.at - 1, self.at) } else { piece }.into()))
        })
    }

    fn is_here(&self) -> bool {
        self.at.is_multiple_of(2)
    }
}

struct Echo(RequestBody);

impl BodySource for Echo {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        Box::pin(async move {
            self.0.next().await.map(|piece| piece.map_err(|error| io::Error::other(format!("{error:?}"))))
        })
    }
}

/// A running server.
struct Fixture {
    address: SocketAddr,
    app: Rc<App>,
    drain: Drain,
}

impl Fixture {
    fn start(ip: [u8; 4], max_connections: usize) -> Fixture {
        Self::start_with(ip, max_connections, ServerLimits::default())
    }

    fn start_with(ip: [u8; 4], max_connections: usize, limits: ServerLimits) -> Fixture {
        let listener = Listener::bind(SocketAddr::from((ip, 0)), false).unwrap();
        let (address, app, drain) = (listener.local_address(), Rc::new(App::default()), Drain::new());
        let limits = ServerLimits { client_timeout: SECOND, keepalive_timeout: 2 * SECOND, ..limits };
        drop(door::spawn(accept_loop(listener, Rc::new(limits), max_connections, Rc::clone(&app), drain.clone())));
        Fixture { address, app, drain }
    }

    async fn raw(&self) -> Raw {
        Raw { stream: Stream::connect(self.address, SECOND).await.unwrap(), buffer: BytesMut::new() }
    }

    async fn client(&self) -> Connection {
        Connection::connect(self.address, SECOND).await.unwrap()
    }

    async fn stop(self) {
        self.drain.start();
        assert!(self.drain.finished(20 * SECOND).await, "{} connections are left", self.drain.connections());
    }
}

/// A client that speaks bytes.
struct Raw {
    stream: Stream,
    buffer: BytesMut,
}

impl Raw {
    async fn send(&self, text: &str) {
        self.stream.write_all(Bytes::copy_from_slice(text.as_bytes())).await.unwrap();
    }

    /// Reads once; 0 at the end.
    async fn read(&mut self) -> io::Result<usize> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.reserve(4096);
        let (result, buffer) =
            door::timeout(20 * SECOND, self.stream.read(buffer)).await.expect("the server answers or closes");
        self.buffer = buffer;
        result
    }

    /// Everything up to the end of the connection, which comes in order; then ends it too, so that nobody lingers.
    async fn rest(&mut self) -> String {
        for _ in 0..100_000 {
            if self.read().await.expect("the connection ends in order") == 0 {
                self.stream.shutdown();
                return without_dates(&self.buffer);
            }
        }
        panic!("the server never stops");
    }

    /// Reads until `text` was seen, and takes all up to it.
    async fn until(&mut self, text: &str) -> String {
        for _ in 0..100_000 {
            let found = self.buffer.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                return without_dates(&self.buffer.split_to(at + text.len()));
            }
            assert_ne!(self.read().await.unwrap(), 0, "no {text:?} in {:?}", self.buffer);
        }
        panic!("the server never stops");
    }
}

fn without_dates(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
}

/// Runs a scenario with four seeds and for real.
fn both<F: Future<Output = ()> + 'static>(scenario: impl Fn([u8; 4]) -> F) {
    for seed in 0..4 {
        let sim = sim::Sim::new(seed, sim::SimOptions::default());
        sim.run(scenario([10, 255, 255, 1]));
    }
    let options = real::CoreOptions { name: "http-test".to_owned(), cpu: None, blocking_threads: 1 };
    real::run(options, || scenario([127, 0, 0, 1])).unwrap();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        let mut raw = server.raw().await;
        raw.send(
            "GET /hello HTTP/1.1\r\n\r\nPUT /collect HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
             PUT /refuse HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyzHEAD /head HTTP/1.1\r\n\r\n\
             GET /hello HTTP/1.1\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n\r\n",
        )
        .await;
        let plain = |status: &str, body: &str| {
            format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        let last = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        let expected = plain("200 OK", "hello")
            + &plain("200 OK", "abc")
            + &plain("413 Request Entity Too Large", "too much")
            + "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"
            + last;
        assert_eq!(raw.rest().await, expected);
        let finished = server.app.finished.borrow().clone();
        assert_eq!(
            finished.iter().map(|f| (f.received, f.sent, f.complete)).collect::<Vec<_>>(),
            [(0, 5, true), (3, 3, true), (0, 8, true), (0, 0, true), (0, 5, true)]
        );
        server.stop().await;
    });
}

#[test]
fn refused_bytes_get_an_answer_and_a_close() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        for (request, status) in [
            ("PUT /collect HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "400 Bad Request"),
            ("BREW / HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            ("GET / HTTP/3.0\r\n\r\n", "505 HTTP Version Not Supported"),
            ("PUT /collect HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX", "400 Bad Request"),
        ] {
            let mut raw = server.raw().await;
            raw.send(&format!("{request}GET /hello HTTP/1.1\r\n\r\n")).await;
            let answer = raw.rest().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        }
        let mut raw = server.raw().await;
        raw.send(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9000))).await;
        assert!(raw.rest().await.starts_with("HTTP/1.1 414 "));
        server.stop().await;
    });
}

#[test]
fn a_terminator_in_front_names_the_client_once() {
    both(|ip| async move {
        let limits = ServerLimits { has_proxy_line: true, ..ServerLimits::default() };
        let server = Fixture::start_with(ip, 10, limits);
        let mut raw = server.raw().await;
        raw.send("PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\nGET /peer HTTP/1.1\r\n\r\n").await;
        raw.until("192.0.2.7:56324").await;
        raw.send("GET /peer HTTP/1.1\r\nConnection: close\r\n\r\n").await;
        assert!(raw.rest().await.ends_with("\r\n\r\n192.0.2.7:56324"));
        let mut raw = server.raw().await;
        raw.send("PROXY UNKNOWN\r\nGET /peer HTTP/1.1\r\nConnection: close\r\n\r\n").await;
        assert!(!raw.rest().await.contains("192.0.2.7"));
        // Without the line nothing is served; one that does not come is not waited for.
        for wrong in ["GET /hello HTTP/1.1\r\n\r\n", "PROXY TCP4 192.0.2.7\r\nGET /hello HTTP/1.1\r\n\r\n"] {
            let mut raw = server.raw().await;
            raw.send(wrong).await;
            let answer = raw.rest().await;
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request") && !answer.contains("hello"), "{wrong} {answer}");
        }
        let mut raw = server.raw().await;
        raw.send("PROXY").await;
        assert_eq!(raw.rest().await, "");
        server.stop().await;
    });
}

#[test]
fn continue_is_sent_at_the_first_pull_only() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        let mut raw = server.raw().await;
        raw.send("PUT /collect HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
        assert_eq!(raw.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        raw.send("abcPUT /refuse HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
        let rest = raw.rest().await;
        assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && !rest.contains(" 100 "), "{rest}");
        // Whether the body comes is not known, so nothing else can be read.
        assert!(rest.contains("\r\n\r\nabcHTTP/1.1 413 ") && rest.contains("Connection: close"), "{rest}");
        server.stop().await;
    });
}

#[test]
fn bodies_of_all_framings_go_round() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        let client = server.client().await;
        for length in [0_u64, 1, 4096, 4097, 65_536, 300_000] {
            for path in ["/stream", "/chunked"] {
                let request = RequestHead::new(Method::Get, format!("{path}?{length}"));
                client.send_head(&request, Framing::None, true).await.unwrap();
                assert_eq!(client.read_head().await.unwrap().status, Status(200));
                assert!(client.read_full(2_000_000).await.unwrap() == pattern(0, length), "{path} {length}");
                assert!(client.is_reusable());
            }
            let body = Bytes::from(pattern(0, length));
            for framing in [Framing::Length(length), Framing::Chunked] {
                client.send_head(&RequestHead::new(Method::Put, "/echo"), framing, true).await.unwrap();
                let sending = door::spawn({
                    let (client, mut body) = (client.clone(), body.clone());
                    async move {
                        while !body.is_empty() {
                            client.send_data(body.split_to(body.len().min(50_000))).await?;
                        }
                        client.finish().await
                    }
                });
                assert_eq!(client.read_head().await.unwrap().status, Status(200));
                let echoed = client.read_full(2_000_000).await.unwrap();
                sending.await.unwrap().unwrap();
                assert!(echoed == body, "{framing:?} {length}");
                assert!(client.is_reusable());
            }
        }
        client.send_full(&RequestHead::new(Method::Put, "/collect"), Bytes::from_static(b"abc"), true).await.unwrap();
        client.read_head().await.unwrap();
        assert_eq!(client.read_full(10).await.unwrap(), "abc");
        for (path, length) in [("/large?700000", 700_000), ("/large?4096", 4096), ("/large?0", 0)] {
            client.send_head(&RequestHead::new(Method::Get, path), Framing::None, true).await.unwrap();
            assert_eq!(
                client.read_head().await.unwrap().headers.get_str("Content-Length"),
                Some(length.to_string().as_str())
            );
            assert_eq!(client.read_full(1_000_000).await.unwrap().len(), length);
        }
        server.stop().await;
    });
}

#[test]
fn statuses_without_body_and_heads_leave_the_connection_in_step() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        let client = server.client().await;
        for (method, path, status) in [
            (Method::Get, "/status?204", 204),
            (Method::Get, "/status?304", 304),
            (Method::Head, "/hello", 200),
            (Method::Head, "/chunked?10", 200),
            (Method::Head, "/stream?10", 200),
            (Method::Get, "/status?404", 404),
        ] {
            client.send_head(&RequestHead::new(method, path), Framing::None, true).await.unwrap();
            let head = client.read_head().await.unwrap();
            assert_eq!(head.status, Status(status));
            assert!(head.headers.contains("Date"));
            assert_eq!(
                head.headers.contains("Content-Length"),
                !matches!(path, "/status?204" | "/status?304" | "/chunked?10")
            );
            assert_eq!(client.read_data().await.unwrap(), None);
            assert!(client.is_reusable(), "{path}");
        }
        let mut raw = server.raw().await;
        raw.send("GET /chunked?3 HTTP/1.0\r\n\r\n").await;
        assert_eq!(raw.rest().await, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\0\u{1}\u{2}");
        let mut raw = server.raw().await;
        raw.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /hello HTTP/1.0\r\n\r\n").await;
        assert_eq!(raw.rest().await.matches("hello").count(), 2);
        server.stop().await;
    });
}

#[test]
fn a_panic_is_a_500_and_a_source_that_errs_cuts() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        let client = server.client().await;
        client.send_head(&RequestHead::new(Method::Get, "/panic"), Framing::None, true).await.unwrap();
        assert_eq!(client.read_head().await.unwrap().status, Status(500));
        for path in ["/short?100000", "/long?100000"] {
            let client = server.client().await;
            client.send_head(&RequestHead::new(Method::Get, path), Framing::None, true).await.unwrap();
            assert_eq!(client.read_head().await.unwrap().status, Status(200));
            let error = client.read_full(1_000_000).await.unwrap_err();
            assert!(matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{error}");
            assert!(!client.is_reusable());
        }
        server.stop().await;
    });
}

#[test]
fn a_refused_upload_sees_its_answer() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        let client = server.client().await;
        client.send_head(&RequestHead::new(Method::Put, "/refuse"), Framing::Length(3_000_000), true).await.unwrap();
        // Goes on sending like a client that looks at the answer only at the end.
        for _ in 0..30 {
            if client.send_data(Bytes::from(vec![b'x'; 100_000])).await.is_err() {
                break;
            }
        }
        let head = client.read_head().await.unwrap();
        assert_eq!(head.status, Status(413));
        assert_eq!(head.headers.get_str("Connection"), Some("close"));
        assert_eq!(client.read_full(100).await.unwrap(), "too much");
        assert!(!client.is_reusable());
        client.close();
        server.stop().await;
    });
}

#[test]
fn slow_and_vanishing_clients_are_told_apart() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        // A body that stops coming.
        let mut raw = server.raw().await;
        raw.send("PUT /collect HTTP/1.1\r\nContent-Length: 3\r\n\r\na").await;
        assert!(raw.until("\r\n\r\n").await.starts_with("HTTP/1.1 408 "));
        // A body that ends early.
        let mut raw = server.raw().await;
        raw.send("PUT /collect HTTP/1.1\r\nContent-Length: 3\r\n\r\na").await;
        raw.stream.shutdown_write().await.unwrap();
        assert!(raw.rest().await.starts_with("HTTP/1.1 499 "));
        // A head that stops coming, and no head at all: closed without a word.
        for text in ["GET /hello HT", ""] {
            let mut raw = server.raw().await;
            raw.send(text).await;
            assert_eq!(raw.rest().await, "");
        }
        // Gone before the answer.
        let raw = server.raw().await;
        raw.send("GET /stream?10000000 HTTP/1.1\r\n\r\n").await;
        raw.stream.shutdown();
        drop(raw);
        // Never reads: the write's deadline frees the server.
        let raw = server.raw().await;
        raw.send("GET /stream?100000000 HTTP/1.1\r\n\r\n").await;
        door::sleep(4 * SECOND).await;
        assert!(server.app.finished.borrow().iter().filter(|finished| !finished.complete).count() >= 2);
        drop(raw);
        server.stop().await;
    });
}

#[test]
fn trailers_reach_the_handler() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        let mut raw = server.raw().await;
        raw.send("PUT /trailers HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n")
            .await;
        assert!(raw.rest().await.ends_with("\r\n\r\n7"));
        server.stop().await;
    });
}

#[test]
fn draining_closes_idle_connections_and_waits_for_busy_ones() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        let mut idle = server.raw().await;
        idle.send("GET /hello HTTP/1.1\r\n\r\n").await;
        idle.until("hello").await;
        let mut busy = server.raw().await;
        busy.send("GET /slow HTTP/1.1\r\n\r\n").await;
        door::sleep(SECOND / 2).await;
        assert_eq!(server.drain.connections(), 2);
        server.drain.start();
        assert_eq!(idle.rest().await, "");
        assert!(busy.rest().await.ends_with("Connection: close\r\n\r\nat last"));
        assert!(server.drain.finished(10 * SECOND).await);
        assert!(Stream::connect(server.address, SECOND).await.is_err(), "nobody listens any more");
    });
}

#[test]
fn at_the_bound_nobody_is_accepted_until_one_leaves() {
    both(|ip| async move {
        let server = Fixture::start(ip, 1);
        let mut first = server.raw().await;
        first.send("GET /hello HTTP/1.1\r\n\r\n").await;
        first.until("hello").await;
        let mut second = server.raw().await;
        second.send("GET /hello HTTP/1.1\r\n\r\n").await;
        door::sleep(SECOND).await;
        assert_eq!(server.drain.connections(), 1);
        drop(first);
        second.until("hello").await;
        drop(second);
        server.stop().await;
    });
}

#[test]
fn bodies_made_here_keep_their_promises() {
    both(|_| async move {
        let mut body = RequestBody::streaming(Some(200_000), Box::new(Pattern::new(200_000)));
        let mut all = Vec::new();
        while let Some(piece) = body.next().await {
            let piece = piece.unwrap();
            assert!(piece.len() <= crate::limits::BODY_CHUNK);
            all.extend_from_slice(&piece);
        }
        assert!(all == pattern(0, 200_000));
        let mut short = RequestBody::streaming(Some(11), Box::new(Pattern::new(10)));
        assert_eq!(short.collect(100).await, Err(Some(BodyError::Disconnected)));
        assert_eq!(RequestBody::full("abc").collect(2).await, Err(None));
        assert_eq!(RequestBody::full("abc").collect(3).await.unwrap(), "abc");
        let unframed: Option<&Headers> = RequestBody::full("").trailers().map(|_| unreachable!());
        assert!(unframed.is_none());
    });
}

#[test]
fn a_client_call_past_its_deadline_ends_the_connection() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        let client = server.client().await;
        client.send_head(&RequestHead::new(Method::Get, "/slow"), Framing::None, true).await.unwrap();
        assert!(door::timeout(SECOND / 4, client.read_head()).await.is_err());
        assert!(!client.is_reusable());
        assert!(client.read_head().await.is_err());
        drop(client);
        server.stop().await;
    });
}

/// Ten thousand connections that wait are as many of these, beside their buffers.
#[test]
fn the_future_of_a_connection_is_small() {
    fn bytes<F>(_: impl Fn(Stream, SocketAddr, Rc<ServerLimits>, Rc<App>, Drain) -> F) -> usize {
        size_of::<F>()
    }
    let bytes = bytes(serve_present::<App>);
    assert!(bytes <= 4096, "{bytes}");
}

/// Whether it comes with its head is the network's to say; taken or not, nothing of a body is lost.
#[test]
fn a_body_that_came_with_its_head_is_taken_without_waiting() {
    let taken = Rc::new(RefCell::new([0, 0]));
    let count = Rc::clone(&taken);
    both(move |ip| {
        let taken = Rc::clone(&count);
        async move {
            let server = Fixture::start(ip, 10);
            let client = server.client().await;
            for (path, length, max) in [
                ("/large?100", 100, 4096),
                ("/large?4096", 4096, 4096),
                ("/large?100", 100, 99),
                ("/large?20000", 20_000, 1_000_000),
                ("/large?70000", 70_000, 1_000_000),
                ("/chunked?100", 100, 4096),
                ("/large?0", 0, 4096),
            ] {
                client.send_head(&RequestHead::new(Method::Get, path), Framing::None, true).await.unwrap();
                if length == 20_000 {
                    client.expect_body();
                }
                client.read_head().await.unwrap();
                assert_eq!(client.take_ready(length + 1, max), None, "of another length");
                match client.take_ready(length, max) {
                    Some(body) => {
                        assert!(length > 0 && length <= max as u64 && !path.starts_with("/chunked"), "{path}");
                        assert_eq!(body.len() as u64, length, "{path}");
                        taken.borrow_mut()[usize::from(length == 20_000)] += 1;
                    }
                    None => assert_eq!(client.read_full(1_000_000).await.unwrap().len() as u64, length, "{path}"),
                }
                assert!(client.is_reusable(), "{path}");
            }
            server.stop().await;
        }
    });
    assert!(taken.borrow().iter().all(|count| *count > 0), "it never came with its head: {taken:?}");
}

#[test]
fn a_client_is_held_to_what_it_announced() {
    both(|ip| async move {
        let server = Fixture::start(ip, 10);
        let client = server.client().await;
        assert!(client.is_reusable());
        assert!(client.send_data(Bytes::from_static(b"x")).await.is_err(), "no head yet");
        client.send_head(&RequestHead::new(Method::Put, "/collect"), Framing::Length(3), true).await.unwrap();
        assert!(client.send_head(&RequestHead::new(Method::Get, "/"), Framing::None, true).await.is_err());
        assert!(client.send_data(Bytes::from_static(b"abcd")).await.is_err());
        client.send_data(Bytes::from_static(b"ab")).await.unwrap();
        assert!(client.finish().await.is_err());
        client.send_data(Bytes::from_static(b"c")).await.unwrap();
        client.finish().await.unwrap();
        assert!(!client.is_reusable(), "the answer is not read");
        client.read_head().await.unwrap();
        assert!(client.send_head(&RequestHead::new(Method::Get, "/"), Framing::None, true).await.is_err());
        assert_eq!(client.read_data().await.unwrap().unwrap(), "abc");
        assert_eq!(client.read_data().await.unwrap(), None);
        client.send_head(&RequestHead::new(Method::Get, "/hello"), Framing::None, false).await.unwrap();
        client.read_head().await.unwrap();
        assert_eq!(client.read_full(10).await.unwrap(), "hello");
        assert!(!client.is_reusable(), "it was to be the last");
        server.stop().await;
    });
}

#[test]
fn broken_networks_leave_no_connection_behind_and_no_body_that_is_wrong() {
    for seed in 0..20 {
        let options = sim::SimOptions {
            split_chance: 0.5,
            stall_chance: 0.02,
            reset_chance: 0.01,
            lost_chance: 0.002,
            ..sim::SimOptions::default()
        };
        let sim = sim::Sim::new(seed, options);
        let handle = sim.handle();
        sim.run(async move {
            let server = Fixture::start([10, 255, 255, 1], 20);
            for round in 0_u64..40 {
                let exchange = async {
                    let client = Connection::connect(server.address, SECOND).await?;
                    let length = round * 997;
                    let body = Bytes::from(pattern(0, length));
                    client.send_head(&RequestHead::new(Method::Put, "/collect"), Framing::Chunked, true).await?;
                    client.send_data(body.clone()).await?;
                    client.finish().await?;
                    let status = client.read_head().await?.status;
                    let echoed = client.read_full(100_000).await?;
                    assert!(status != Status(200) || echoed == body, "an answer of 200 carries the body that was sent");
                    io::Result::Ok(())
                };
                let _ = door::timeout(5 * SECOND, exchange).await;
            }
            handle.set_faults(false);
            server.stop().await;
        });
        assert!(sim.panics().is_empty(), "{:?}", sim.panics());
    }
}
