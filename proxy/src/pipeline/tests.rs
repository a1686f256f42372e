//! What tests of the middleware share: an application made of a closure, and a way to run a future without a runtime.

mod keystone;
mod members;
mod past_mistakes;
mod small_members;
mod whole;

use super::*;
use base::http::server::{RequestBody, ResponseBody};
use base::io::Job;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// An application that answers by a function of the request.
pub(crate) struct Fake<F>(F);

impl<F: Fn(ClientRequest) -> Response + 'static> Fake<F> {
    #[expect(clippy::new_ret_no_self, reason = "a fake is only ever used as an application")]
    pub(crate) fn new(answer: F) -> Rc<dyn Application> {
        Rc::new(Fake(answer))
    }
}

impl<F: Fn(ClientRequest) -> Response + 'static> Application for Fake<F> {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        Job::ready((self.0)(request))
    }
}

/// Runs a future that never waits for the outside.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the future waits for something that no fake does");
}

/// A request of the account's owner; `path` without the version.
pub(crate) fn request(method: Method, path: &str) -> ClientRequest {
    Box::new(RequestParts {
        method,
        path: Path::parse(path.as_bytes()).unwrap(),
        query: Query::default(),
        headers: Headers::new(),
        body: RequestBody::full(""),
        trans_id: "tx1".into(),
        identity: Default::default(),
        authority: Authority::Ask,
        timestamp: Timestamp::from_raw(179_534_400_012_345, 0),
        is_owner: false,
        refusal: None,
        ends_with_slash: false,
        has_own_time: false,
        is_synced: false,
        remote: "127.0.0.1".parse().unwrap(),
        source: None,
        parent: None,
    })
}

/// A body, whole.
pub(crate) fn full_body(response: Response) -> String {
    let body = block_on(crate::middleware::listing_formats::collect(response.body, usize::MAX)).expect("a whole body");
    String::from_utf8(body.to_vec()).unwrap()
}

/// A body that comes in pieces.
pub(crate) struct Pieces(pub(crate) Vec<&'static str>);

impl base::http::server::BodySource for Pieces {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<bytes::Bytes>>> {
        let piece =
            if self.0.is_empty() { None } else { Some(Ok(bytes::Bytes::from_static(self.0.remove(0).as_bytes()))) };
        Box::pin(std::future::ready(piece))
    }
}

/// A streamed 200.
pub(crate) fn streamed(pieces: &[&'static str]) -> Response {
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    let mut response = Response::empty(Status(200));
    response.body = ResponseBody::Stream { length: Some(length), source: Box::new(Pieces(pieces.to_vec())) };
    response
}

#[test]
fn paths_outside_swift_get_swifts_refusals() {
    let config = crate::config::tests::sample();
    let status = |path: &str| match route(&config, &Bytes::copy_from_slice(path.as_bytes()), false) {
        Route::Swift(_) => 200,
        Route::Info => 1,
        Route::Refused(response) => response.head.status.0,
    };
    for (path, expected) in [
        ("/v1/AUTH_test", 200),
        ("/v1/AUTH_test/", 200),
        ("/v1.0/AUTH_test/c/o/p", 200),
        ("/info", 1),
        ("/", 404),
        ("", 404),
        ("//v1/AUTH_test", 404),
        ("/v1", 412),
        ("/v1/", 412),
        ("/v1//c", 404),
        ("/v1/a//o", 404),
        ("/v2/a", 400),
        ("/v1/a/%ff", 412),
        ("/v1/a/b%00c", 412),
    ] {
        assert_eq!(status(path), expected, "{path}");
    }
}
