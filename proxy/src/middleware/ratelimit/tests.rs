//! Who waits how long, on the simulator's clock.

use super::*;
use crate::config::tests::sample;
use crate::facts::tests::{CACHE, check, other_proxy};
use crate::pipeline::Fields;
use crate::pipeline::tests::{full_body, request};
use base::http::server::LocalFuture;
use base::io::sim::{Sim, SimOptions};
use std::cell::Cell;

/// Counts what comes through; knows one container of 150 objects and what is said of the account.
struct Inner {
    passed: Cell<u32>,
    global: &'static str,
}

struct Backend(Rc<Inner>);

impl Application for Backend {
    fn call(&self, _: ClientRequest) -> Job<Response> {
        self.0.passed.set(self.0.passed.get() + 1);
        Job::ready(Response::empty(Status(204)))
    }
    fn account_headers(&self, _: &ClientRequest) -> LocalFuture<'static, Fields> {
        let mut headers = Headers::new();
        headers.set(GLOBAL, self.0.global);
        Box::pin(std::future::ready(headers.into()))
    }
    fn container_headers(&self, _: &ClientRequest) -> LocalFuture<'static, Fields> {
        let mut headers = Headers::new();
        headers.set("X-Container-Object-Count", "150");
        Box::pin(std::future::ready(headers.into()))
    }
}

fn settings() -> Settings {
    Settings {
        account_ratelimit: 5.0,
        max_sleep_time: Duration::from_secs(60),
        log_sleep_time: Duration::ZERO,
        clock_accuracy: 1000,
        rate_buffer: Duration::from_secs(5),
        account_whitelist: vec!["white".into()],
        account_blacklist: vec!["black".into()],
        container_ratelimits: Curve::new(vec![(100, 100.0), (200, 60.0)]),
        container_listing_ratelimits: Curve::new(vec![(100, 10.0)]),
    }
}

/// Sends the same request so often, one after the other; milliseconds it took, answers, and how many came through.
fn send(
    settings: Settings,
    cores: usize,
    global: &'static str,
    (method, path, times): (Method, &'static str, u32),
) -> (u128, Vec<u16>, u32) {
    let sim = Sim::new(1, SimOptions::default());
    sim.run(async move {
        let mut config = sample();
        (config.ratelimit, config.cores) = (settings, cores);
        let inner = Rc::new(Inner { passed: Cell::new(0), global });
        let backend: Rc<dyn Application> = Rc::new(Backend(Rc::clone(&inner)));
        let layer = Ratelimit::new(Rc::new(config), Rc::clone(&backend), backend, None);
        let (start, mut statuses) = (io::monotonic(), Vec::new());
        for _ in 0..times {
            statuses.push(layer.call(request(method, path)).await.head.status.0);
        }
        (io::monotonic().since(start).as_millis(), statuses, inner.passed.get())
    })
}

fn took(method: Method, path: &'static str, times: u32) -> u128 {
    let (milliseconds, statuses, passed) = send(settings(), 1, "", (method, path, times));
    assert!(statuses.iter().all(|status| *status == 204));
    assert_eq!(passed, times);
    milliseconds
}

#[test]
fn containers_come_and_go_at_the_accounts_rate() {
    for method in [Method::Put, Method::Delete] {
        assert_eq!(took(method, "/a/c", 11), 2000);
    }
    for method in [Method::Post, Method::Head] {
        assert_eq!(took(method, "/a/c", 11), 0);
    }
    assert_eq!(took(Method::Put, "/a", 11), 0);
    assert_eq!(took(Method::Put, "/white/c", 11), 0);
}

#[test]
fn objects_and_listings_come_at_the_rate_of_the_containers_size() {
    // 80 a second at 150 objects, rounded to 13 ms each.
    for method in [Method::Put, Method::Delete, Method::Post, Method::Copy] {
        assert_eq!(took(method, "/a/c/o", 101), 1300);
    }
    assert_eq!(took(Method::Get, "/a/c/o", 101), 0);
    assert_eq!(took(Method::Get, "/a/c", 11), 1000);
    assert_eq!(took(Method::Get, "/a", 11), 0);
}

#[test]
fn all_writes_of_an_account_come_at_the_rate_it_carries() {
    let send = |global, method, path| send(settings(), 1, global, (method, path, 5)).0;
    assert_eq!(send("2", Method::Put, "/a/c/o"), 2000);
    assert_eq!(send("2", Method::Post, "/a"), 2000);
    assert_eq!(send("2", Method::Get, "/a/c/o"), 0);
    for nothing in ["0", "-1", "soon", "NaN", "inf", ""] {
        assert_eq!(send(nothing, Method::Post, "/a/c"), 0, "{nothing}");
    }
    assert_eq!(send("WHITELIST", Method::Put, "/a/c"), 0);
}

#[test]
fn who_is_shut_out_waits_a_second_for_497() {
    for (global, path) in [("BLACKLIST", "/a/c/o"), ("", "/black/c")] {
        let (milliseconds, statuses, passed) = send(settings(), 1, global, (Method::Get, path, 1));
        assert_eq!((milliseconds, statuses, passed), (1000, vec![497], 0));
    }
}

#[test]
fn who_would_wait_too_long_is_told_498_and_not_counted() {
    let strict = Settings { account_ratelimit: 1.0, max_sleep_time: Duration::from_millis(1500), ..settings() };
    let sim = Sim::new(1, SimOptions::default());
    sim.run(async move {
        let mut config = sample();
        (config.ratelimit, config.cores) = (strict, 1);
        let backend: Rc<dyn Application> = Rc::new(Backend(Rc::new(Inner { passed: Cell::new(0), global: "" })));
        let layer = Ratelimit::new(Rc::new(config), Rc::clone(&backend), backend, None);
        // All at once: one goes, one waits a second, all others would wait two.
        let calls: Vec<_> = (0..6).map(|_| io::spawn(layer.call(request(Method::Put, "/a/c")))).collect();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap());
        }
        answers.sort_by_key(|answer| answer.head.status);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.head.status.0).collect();
        assert_eq!(statuses, [204, 204, 498, 498, 498, 498]);
        let refused = answers.pop().unwrap();
        assert_eq!(refused.head.status.reason(), "Rate Limited");
        assert_eq!(full_body(refused), "Slow down");
        // What was refused did not make the next ones wait.
        assert_eq!(layer.call(request(Method::Put, "/a/c")).await.head.status.0, 204);
    });
}

#[test]
fn each_core_allows_its_share() {
    assert_eq!(send(settings(), 4, "", (Method::Put, "/a/c", 11)).0, 8000);
}

#[test]
fn the_options_are_swifts() {
    let config = |lines: &str| {
        let text = format!("[pipeline:main]\npipeline = ratelimit proxy-server\n[filter:ratelimit]\n{lines}\n");
        Config::parse("proxy-server.conf", &text, "[swift-hash]\nswift_hash_path_suffix = x\n")
    };
    let plain = config("").unwrap();
    let document = serde_json::json!({
        "account_ratelimit": 0.0, "max_sleep_time_seconds": 60.0, "container_ratelimits": [], "container_listing_ratelimits": [],
    });
    assert_eq!(plain.ratelimit.document(), document);
    assert_eq!((plain.ratelimit.rate_buffer.as_secs(), plain.ratelimit.clock_accuracy), (5, 1000));
    let full = config(
        "account_ratelimit = 1.5\nmax_sleep_time_seconds = 2\nlog_sleep_time_seconds = 1\nrate_buffer_seconds = 3\n\
         account_whitelist = a, b\naccount_blacklist = c\ncontainer_ratelimit_10 = 50\ncontainer_ratelimit_0 = 100\n\
         container_listing_ratelimit_5 = 4\nclock_accuracy = 100",
    )
    .unwrap();
    let document = serde_json::json!({
        "account_ratelimit": 1.5, "max_sleep_time_seconds": 2.0,
        "container_ratelimits": [[0, 100.0], [10, 50.0]], "container_listing_ratelimits": [[5, 4.0]],
    });
    assert_eq!(full.ratelimit.document(), document);
    assert_eq!(full.ratelimit.account_whitelist, ["a", "b"]);
    assert!(full.notices.iter().all(|notice| !notice.contains("ratelimit")), "{:?}", full.notices);
    for wrong in ["container_ratelimit_x = 1", "container_ratelimit_1 = fast", "account_ratelimit = -1"] {
        assert!(config(wrong).is_err(), "{wrong}");
    }
}

/// Eleven requests, one after the other, each at the next core; milliseconds they took.
async fn alternating(world: &crate::testing::World) -> u128 {
    let layers: Vec<Ratelimit> = world
        .cores
        .iter()
        .map(|core| {
            let mut config = sample();
            (config.ratelimit, config.cores) = (settings(), world.cores.len());
            let backend: Rc<dyn Application> = Rc::new(Backend(Rc::new(Inner { passed: Cell::new(0), global: "" })));
            Ratelimit::new(Rc::new(config), Rc::clone(&backend), backend, Memcached::of(core))
        })
        .collect();
    let start = io::monotonic();
    for layer in layers.iter().cycle().take(11) {
        assert_eq!(layer.call(request(Method::Put, "/a/c")).await.head.status.0, 204);
    }
    io::monotonic().since(start).as_millis()
}

#[test]
fn cores_that_share_memcached_share_the_whole_rate() {
    // The second core has no connection: the first one counts for it.
    for cache in [CACHE, "memcache_servers = 10.0.2.1\nmax_memcache_connections = 1"] {
        check(2, cache, |world, _fake| async move {
            let took = alternating(&world).await;
            assert!((1_950..=2_050).contains(&took), "{took} ms for eleven at five a second");
            // Another proxy finds a number that it can count on.
            let counted = other_proxy().count("ratelimit/a", 0, Duration::ZERO).await.unwrap();
            let now = io::unix_time().as_millis() as u64;
            assert!((now..now + 250).contains(&counted), "{counted} at {now}");
        });
    }
}

#[test]
fn without_an_answer_of_memcached_each_core_allows_its_share() {
    check(2, CACHE, |world, fake| async move {
        world.sim.crash(fake.unwrap().node);
        // Eleven on two cores, each at half the rate.
        let took = alternating(&world).await;
        assert!((1_950..=4_100).contains(&took), "{took} ms");
    });
}
