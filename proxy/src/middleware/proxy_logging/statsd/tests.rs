//! Lines as Swift 2.38 sends them, and a server that gets them.

use super::*;
use crate::middleware::proxy_logging::tests::{head, settings};
use base::io::real::{CoreOptions, run};
use bytes::Bytes;

fn sender(sample_rate: f64) -> Statsd {
    Statsd::new(Settings {
        host: "127.0.0.1".into(),
        port: 1,
        sample_rate,
        prefix: "site.proxy-server.".into(),
        methods: vec!["GET".into(), "PUT".into()],
    })
}

fn entry(method: Method, path: &'static str, policy: &str) -> Entry {
    let settings = Rc::new(settings("{path}"));
    let mut entry = Entry::new(
        &settings,
        &head(method, path),
        ("127.0.0.1".parse().unwrap(), &"tx".into(), ""),
        Duration::from_secs(10),
    );
    entry.status = 200;
    entry.policy_index = Bytes::copy_from_slice(policy.as_bytes());
    entry.first_byte = Duration::from_millis(10_002);
    entry
}

fn told(statsd: &Statsd, entry: &Entry, complete: bool) -> String {
    let finished = Finished { received: 2, sent: 40, complete };
    statsd.tell(entry, &finished, Duration::from_micros(10_012_346));
    std::mem::take(&mut *statsd.waiting.borrow_mut())
}

#[test]
fn names_and_values_are_swifts() {
    let statsd = sender(1.0);
    assert_eq!(
        told(&statsd, &entry(Method::Get, "/v1/a/c/o", "1"), true),
        "site.proxy-server.object.GET.200.first-byte.timing:2.0|ms\n\
         site.proxy-server.object.GET.200.timing:12.346|ms\n\
         site.proxy-server.object.GET.200.xfer:42|c\n\
         site.proxy-server.object.policy.1.GET.200.first-byte.timing:2.0|ms\n\
         site.proxy-server.object.policy.1.GET.200.timing:12.346|ms\n\
         site.proxy-server.object.policy.1.GET.200.xfer:42|c\n"
    );
    assert_eq!(
        told(&statsd, &entry(Method::Put, "/v1/a/c", ""), false),
        "site.proxy-server.container.PUT.499.timing:12.346|ms\nsite.proxy-server.container.PUT.499.xfer:42|c\n"
    );
    assert!(
        told(&statsd, &entry(Method::Post, "/v1/a", ""), true).starts_with("site.proxy-server.account.BAD_METHOD.")
    );
    assert!(told(&statsd, &entry(Method::Get, "/info", ""), true).contains(".UNKNOWN.GET.200."));
}

#[test]
fn a_sample_says_that_it_is_one_and_what_waits_is_bounded() {
    let statsd = sender(0.0);
    assert_eq!(told(&statsd, &entry(Method::Get, "/v1/a", ""), true), "");
    let all = sender(1.0);
    for _ in 0..20_000 {
        all.tell(
            &entry(Method::Get, "/v1/a/c/o", "0"),
            &Finished { received: 0, sent: 0, complete: true },
            Duration::ZERO,
        );
    }
    let waiting = all.waiting.borrow();
    assert!(waiting.len() <= WAITING_MAX && waiting.len() > WAITING_MAX / 2);
}

#[test]
fn a_server_gets_them() {
    let received = run(CoreOptions::default(), || async {
        let server = Datagrams::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let settings = Settings { port: server.local_address().port(), ..sender(1.0).settings };
        let statsd = Statsd::start(settings);
        let finished = Finished { received: 0, sent: 5, complete: true };
        statsd.tell(&entry(Method::Put, "/v1/a/c/o", ""), &finished, Duration::from_secs(10));
        server.receive(2048).await.unwrap().0
    });
    let text = String::from_utf8(received.unwrap().to_vec()).unwrap();
    assert_eq!(text, "site.proxy-server.object.PUT.200.timing:0.0|ms\nsite.proxy-server.object.PUT.200.xfer:5|c");
}

#[test]
fn many_requests_make_whole_lines_in_datagrams_of_a_bounded_size() {
    run(CoreOptions::default(), || async {
        let server = Datagrams::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let settings = Settings { port: server.local_address().port(), ..sender(1.0).settings };
        let statsd = Statsd::start(settings);
        let finished = Finished { received: 0, sent: 5, complete: true };
        for _ in 0..40 {
            statsd.tell(&entry(Method::Put, "/v1/a/c/o", ""), &finished, Duration::from_secs(10));
        }
        let mut told = 0;
        while told < 80 {
            let text = String::from_utf8(server.receive(4096).await.unwrap().0.to_vec()).unwrap();
            assert!(text.len() <= DATAGRAM_MAX && !text.ends_with('\n'), "{text}");
            told += text.lines().filter(|line| line.starts_with("site.proxy-server.object.PUT.200.")).count();
        }
        assert_eq!(told, 80);
    })
    .unwrap();
}
