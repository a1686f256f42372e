//! The middleware against a Keystone of a few lines in the simulator.

use super::settings::tests::{USUAL, parse};
use super::token::tests::answer;
use super::*;
use base::http::Method;
use base::http::server::{Drain, Handler, Request, ServerLimits, accept_loop};
use base::io::sim::{NodeId, Sim, SimHandle, SimOptions};
use base::io::{Job, Listener};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where `settings::tests::USUAL` says it is.
const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 0, 5), 5000);
/// Later than any test, as Keystone writes times.
pub(crate) const LATER: &str = "2199-01-01T00:00:00.000000Z";
/// Before any test.
const BEFORE: &str = "1999-01-01T00:00:00.000000Z";

/// Keystone, shared with the test.
#[derive(Default)]
pub(crate) struct FakeKeystone {
    /// Token → what it is told to be.
    pub(crate) tokens: RefCell<BTreeMap<String, serde_json::Value>>,
    /// Tokens given to the service user, the last one is good.
    logins: Cell<u32>,
    /// Method and query of what was asked, beside the logins.
    pub(crate) asked: RefCell<Vec<String>>,
    /// Answers everything with it.
    status: Cell<Option<u16>>,
    /// Before an answer.
    pause: Cell<Duration>,
    open: Cell<usize>,
    most_open: Cell<usize>,
}

impl FakeKeystone {
    fn know(&self, token: &str, value: serde_json::Value) {
        self.tokens.borrow_mut().insert(token.to_owned(), value);
    }

    /// A user with a token of his own name, good for long.
    pub(crate) fn know_user(&self, user: &str, project: &str, roles: &[&str]) {
        self.know(user, answer(user, project, "default", roles, LATER));
    }

    fn questions(&self) -> usize {
        self.asked.borrow().len()
    }

    fn answer(&self, request: &Request) -> Response {
        if let Some(status) = self.status.get() {
            return Response::full(Status(status), "application/json", "{}");
        }
        let headers = &request.head.headers;
        if request.head.method == Method::Post {
            assert_eq!(request.head.path(), b"/v3/auth/tokens");
            self.logins.set(self.logins.get() + 1);
            let own = answer("swift", "service", "default", &["service"], LATER).to_string();
            return Response::full(Status(201), "application/json", own)
                .header("X-Subject-Token", format!("own-{}", self.logins.get()));
        }
        self.asked.borrow_mut().push(String::from_utf8_lossy(&request.head.target).into_owned());
        if headers.get_str("X-Auth-Token") != Some(&format!("own-{}", self.logins.get())) {
            return Response::empty(Status(401));
        }
        let subject = headers.get_str("X-Subject-Token").unwrap();
        let tokens = self.tokens.borrow();
        let allows = request.head.query().windows(13).any(|part| part == b"allow_expired");
        let known = tokens.get(subject).filter(|token| allows || token["token"]["expires_at"] != BEFORE);
        match known {
            Some(token) => Response::full(Status(200), "application/json", token.to_string()),
            None => Response::full(Status(404), "application/json", "{\"error\":{\"code\":404}}"),
        }
    }
}

struct Server(Rc<FakeKeystone>);

impl Handler for Server {
    fn handle(self: Rc<Self>, mut request: Request) -> Job<Response> {
        Job::new(async move {
            let keystone = &self.0;
            keystone.open.set(keystone.open.get() + 1);
            keystone.most_open.set(keystone.most_open.get().max(keystone.open.get()));
            while let Some(Ok(_)) = request.body.next().await {}
            io::sleep(keystone.pause.get()).await;
            keystone.open.set(keystone.open.get() - 1);
            keystone.answer(&request)
        })
    }
}

async fn serve(keystone: Rc<FakeKeystone>) {
    let listener = Listener::bind(SocketAddr::from(ADDRESS), false).unwrap();
    let limits = ServerLimits {
        client_timeout: Duration::from_secs(60),
        keepalive_timeout: Duration::from_secs(60),
        max_request_line: 8192,
        max_header_line: 16_384,
        max_header_block: 65_536,
        max_headers: 100,
        has_proxy_line: false,
    };
    accept_loop(listener, Rc::new(limits), 1_000, Rc::new(Server(keystone)), Drain::new()).await;
}

/// The world of a test.
pub(crate) struct World {
    pub(crate) keystone: Rc<FakeKeystone>,
    pub(crate) sim: SimHandle,
    node: NodeId,
}

impl World {
    /// Starts Keystone in `sim`, as a node of its own.
    pub(crate) async fn begin(sim: SimHandle) -> World {
        sim.set_faults(false);
        let keystone = Rc::new(FakeKeystone::default());
        let node = sim.node("keystone", IpAddr::V4(ADDRESS.0));
        let world = World { keystone, sim, node };
        world.start().await;
        world
    }

    async fn start(&self) {
        let keystone = Rc::clone(&self.keystone);
        self.sim.start(self.node, move || serve(keystone));
        io::sleep(Duration::from_millis(10)).await;
    }

    pub(crate) fn stop(&self) {
        self.sim.crash(self.node);
    }
}

fn run<F: Future<Output = ()> + 'static>(seed: u64, test: impl FnOnce(World) -> F + 'static) {
    let sim = Sim::new(seed, SimOptions::default());
    let handle = sim.handle();
    sim.run(async move { test(World::begin(handle).await).await });
}

fn authtoken(options: &str) -> Authtoken {
    Authtoken::new(&parse(&format!("{USUAL}{options}")).unwrap(), None)
}

/// The user found, or the status of the refusal; 0 for nobody.
async fn who(authtoken: &Authtoken, fields: &[(&'static str, &str)]) -> Result<String, u16> {
    let mut head = RequestHead::new(Method::Get, "/v1/AUTH_test-id/c");
    for (name, value) in fields {
        head.headers.append(*name, (*value).to_owned());
    }
    match authtoken.identify(&head).await {
        Ok(Some(confirmed)) => Ok(confirmed.token.user.name.clone()),
        Ok(None) => Err(0),
        Err(refused) => Err(refused.head.status.0),
    }
}

fn found(name: &str) -> Result<String, u16> {
    Ok(name.to_owned())
}

#[test]
fn a_token_is_asked_for_once_and_remembered() {
    run(1, |world| async move {
        let keystone = &world.keystone;
        keystone.know_user("tester", "test", &["admin"]);
        let authtoken = authtoken("");
        for field in ["X-Auth-Token", "X-Auth-Token", "X-Storage-Token"] {
            assert_eq!(who(&authtoken, &[(field, " tester ")]).await, found("tester"));
        }
        assert_eq!(*keystone.asked.borrow(), ["/v3/auth/tokens?nocatalog"]);
        assert_eq!(keystone.logins.get(), 1);
        // Until its time is over.
        io::sleep(Duration::from_secs(301)).await;
        keystone.tokens.borrow_mut().clear();
        assert_eq!(who(&authtoken, &[("X-Auth-Token", "tester")]).await, Err(401));
        assert_eq!(keystone.questions(), 2);
    });
}

#[test]
fn without_a_cache_keystone_is_asked_each_time() {
    run(2, |world| async move {
        world.keystone.know_user("tester", "test", &["admin"]);
        let authtoken = authtoken("token_cache_time = -1\n");
        for _ in 0..3 {
            assert_eq!(who(&authtoken, &[("X-Auth-Token", "tester")]).await, found("tester"));
        }
        assert_eq!(world.keystone.questions(), 3);
    });
}

#[test]
fn many_who_bring_one_token_ask_once() {
    run(3, |world| async move {
        let keystone = &world.keystone;
        keystone.know_user("tester", "test", &["admin"]);
        keystone.pause.set(Duration::from_secs(1));
        let authtoken = Rc::new(authtoken("token_cache_time = -1\n"));
        let mut asking = Vec::new();
        for _ in 0..50 {
            let authtoken = Rc::clone(&authtoken);
            asking.push(io::spawn(async move { who(&authtoken, &[("X-Auth-Token", "tester")]).await }));
        }
        for asker in asking {
            assert_eq!(asker.await, Some(found("tester")));
        }
        assert_eq!((keystone.questions(), keystone.logins.get()), (1, 1));
    });
}

#[test]
fn connections_to_keystone_are_bounded() {
    run(4, |world| async move {
        let keystone = &world.keystone;
        keystone.pause.set(Duration::from_millis(100));
        let authtoken = Rc::new(authtoken(""));
        let mut asking = Vec::new();
        for number in 0..200 {
            let authtoken = Rc::clone(&authtoken);
            asking.push(io::spawn(async move { who(&authtoken, &[("X-Auth-Token", &format!("bad{number}"))]).await }));
        }
        for asker in asking {
            assert_eq!(asker.await, Some(Err(401)));
        }
        assert_eq!((keystone.questions(), keystone.most_open.get()), (200, 16));
    });
}

#[test]
fn nobody_goes_on_where_the_decision_is_delayed() {
    run(5, |world| async move {
        world.keystone.know_user("tester", "test", &["admin"]);
        world.keystone.know("old", answer("old", "test", "default", &["admin"], BEFORE));
        for (options, expected) in [("", 401), ("delay_auth_decision = true\n", 0)] {
            let authtoken = authtoken(options);
            assert_eq!(who(&authtoken, &[]).await, Err(expected));
            for bad in ["nonsense", "", "a b", "old", "t\u{fc}r", "tester\tx"] {
                assert_eq!(who(&authtoken, &[("X-Auth-Token", bad)]).await, Err(expected), "{bad:?}");
            }
            assert_eq!(who(&authtoken, &[("X-Auth-Token", "tester")]).await, found("tester"));
        }
    });
}

#[test]
fn a_refusal_says_where_tokens_are_to_be_had() {
    run(6, |_world| async move {
        let authtoken = authtoken("www_authenticate_uri = http://keystone.example.com:5000\n");
        let head = RequestHead::new(Method::Get, "/v1/AUTH_test-id/c");
        let refused = *authtoken.identify(&head).await.unwrap_err();
        assert_eq!(refused.head.headers.get_str("Content-Type"), Some("application/json; charset=UTF-8"));
        let uri = refused.head.headers.get_str("Www-Authenticate");
        assert_eq!(uri, Some("Keystone uri=\"http://keystone.example.com:5000\""));
        for (status, challenges) in [(401, 1), (403, 0), (204, 0)] {
            let mut other = Response::empty(Status(status));
            authtoken.challenge(&mut other);
            assert_eq!(other.head.headers.get_all("Www-Authenticate").count(), challenges, "{status}");
        }
    });
}

#[test]
fn without_keystone_known_tokens_serve_and_others_are_503() {
    run(7, |world| async move {
        let keystone = &world.keystone;
        keystone.know_user("tester", "test", &["admin"]);
        keystone.know_user("other", "test", &["admin"]);
        let (strict, lenient) = (authtoken(""), authtoken("delay_auth_decision = true\n"));
        for authtoken in [&strict, &lenient] {
            assert_eq!(who(authtoken, &[("X-Auth-Token", "tester")]).await, found("tester"));
        }
        world.stop();
        for (authtoken, nobody) in [(&strict, 401), (&lenient, 0)] {
            assert_eq!(who(authtoken, &[("X-Auth-Token", "tester")]).await, found("tester"));
            assert_eq!(who(authtoken, &[("X-Auth-Token", "other")]).await, Err(503));
            assert_eq!(who(authtoken, &[("X-Auth-Token", "nonsense")]).await, Err(503));
            assert_eq!(who(authtoken, &[("X-Auth-Token", "tester"), ("X-Service-Token", "other")]).await, Err(503));
            assert_eq!(who(authtoken, &[]).await, Err(nobody));
        }
        world.start().await;
        assert_eq!(who(&strict, &[("X-Auth-Token", "other")]).await, found("other"));
    });
}

#[test]
fn whatever_is_not_a_clear_yes_lets_nobody_in() {
    run(8, |world| async move {
        let keystone = &world.keystone;
        let authtoken = authtoken("delay_auth_decision = true\n");
        keystone.know_user("tester", "test", &["admin"]);
        for status in [200, 204, 300, 400, 401, 403, 404, 429, 500, 503] {
            keystone.status.set(Some(status));
            // Logging in fails already, so that even 404 says nothing of the token.
            assert_eq!(who(&authtoken, &[("X-Auth-Token", "tester")]).await, Err(503), "{status}");
        }
        keystone.status.set(None);
        assert_eq!(who(&authtoken, &[("X-Auth-Token", "tester")]).await, found("tester"));
        keystone.know_user("second", "test", &["admin"]);
        for status in [200, 201, 204, 300, 400, 403, 429, 500, 503, 401] {
            keystone.status.set(Some(status));
            assert_eq!(who(&authtoken, &[("X-Auth-Token", "second")]).await, Err(503), "{status}");
        }
        keystone.status.set(None);
        keystone.know("strange", serde_json::json!({"token": {"user": {"id": "x"}}}));
        assert_eq!(who(&authtoken, &[("X-Auth-Token", "strange")]).await, Err(503));
    });
}

#[test]
fn a_silent_keystone_is_waited_for_until_the_deadline() {
    run(9, |world| async move {
        world.keystone.know_user("tester", "test", &["admin"]);
        let authtoken = authtoken("http_connect_timeout = 3\n");
        world.keystone.pause.set(Duration::from_secs(3_600));
        let begun = io::monotonic();
        assert_eq!(who(&authtoken, &[("X-Auth-Token", "tester")]).await, Err(503));
        let waited = io::monotonic().since(begun);
        assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(4), "{waited:?}");
        world.keystone.pause.set(Duration::ZERO);
        // The log-in that waited as long is over too.
        io::sleep(Duration::from_secs(1)).await;
        assert_eq!(who(&authtoken, &[("X-Auth-Token", "tester")]).await, found("tester"));
    });
}

#[test]
fn a_revoked_token_of_our_own_is_replaced() {
    run(10, |world| async move {
        let keystone = &world.keystone;
        for user in ["tester", "second", "third"] {
            keystone.know_user(user, "test", &["admin"]);
        }
        let authtoken = authtoken("");
        assert_eq!(who(&authtoken, &[("X-Auth-Token", "tester")]).await, found("tester"));
        // As if another had logged in, which ends the first login here.
        keystone.logins.set(7);
        assert_eq!(who(&authtoken, &[("X-Auth-Token", "second")]).await, found("second"));
        assert_eq!(keystone.logins.get(), 8);
        assert_eq!(who(&authtoken, &[("X-Auth-Token", "third")]).await, found("third"));
        assert_eq!(keystone.logins.get(), 8);
    });
}

#[test]
fn a_service_asks_for_a_user_even_after_his_token_ended() {
    run(11, |world| async move {
        let keystone = &world.keystone;
        keystone.know_user("glance", "service", &["service"]);
        keystone.know_user("tester", "test", &["admin"]);
        keystone.know("old", answer("old", "test", "default", &["admin"], BEFORE));
        let (strict, lax) = (authtoken(""), authtoken("service_token_roles_required = false\n"));
        for authtoken in [&strict, &lax] {
            let with = async |token: &str, service: &str| {
                who(authtoken, &[("X-Auth-Token", token), ("X-Service-Token", service)]).await
            };
            assert_eq!(with("tester", "glance").await, found("tester"));
            assert_eq!(with("old", "glance").await, found("old"));
            assert_eq!(with("nonsense", "glance").await, Err(401));
            assert_eq!(with("tester", "nonsense").await, Err(401));
            // What a service may is nobody else's, also when it is remembered.
            assert_eq!(with("old", "tester").await, Err(401));
            assert_eq!(who(authtoken, &[("X-Auth-Token", "old")]).await, Err(401));
            assert_eq!(who(authtoken, &[("X-Service-Token", "glance")]).await, Err(401));
        }
        // A user's token as a service's: none, or one without rights.
        let fields = [("X-Auth-Token", "tester"), ("X-Service-Token", "tester")];
        assert_eq!(who(&strict, &fields).await, Err(401));
        assert_eq!(who(&lax, &fields).await, found("tester"));
        let expired = keystone.asked.borrow().iter().filter(|target| target.contains("allow_expired=1")).count();
        assert_eq!(expired, 6, "{:?}", keystone.asked.borrow());
    });
}

#[test]
fn fields_that_say_who_somebody_is_do_not_come_in() {
    let mut headers = Headers::new();
    for name in IDENTITY_FIELDS {
        headers.append(name.to_uppercase(), "admin");
        headers.append(name.replace('-', "_"), "admin");
    }
    headers.append("X-Auth-Token", "t");
    headers.append("X-Service-Token", "t");
    headers.append("X-Object-Meta-X-Roles", "kept");
    remove_identity(&mut headers);
    let left: Vec<_> = headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    assert_eq!(left, ["X-Auth-Token", "X-Service-Token", "X-Object-Meta-X-Roles"]);
}
