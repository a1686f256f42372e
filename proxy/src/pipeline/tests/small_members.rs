//! The small members in the whole pipeline, in front of scripted backends.

use super::*;
use crate::middleware::cname_lookup::dns::tests::cname;
use crate::testing::{World, run};
use base::http::RequestHead;
use base::http::server::{Finished, Request};
use base::io::Datagrams;
use std::cell::RefCell;
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

/// A pipeline of these members, with these sections, in front of the backends of `world`.
async fn pipeline(members: &str, sections: &str) -> Pipeline {
    let text = format!(
        "[DEFAULT]\nswift_dir = /etc/swift\n[pipeline:main]\npipeline = {members} proxy-server\n\
         [app:proxy-server]\naccount_autocreate = true\nallow_account_management = true\n{sections}"
    );
    let swift = "[swift-hash]\nswift_hash_path_suffix = suffix\n";
    let config = Config::parse("proxy-server.conf", &text, swift).unwrap();
    Pipeline::new(Core::new(Rc::new(config)).await.unwrap())
}

async fn send(pipeline: &Pipeline, method: Method, target: &str, fields: &[(&'static str, &'static str)]) -> Response {
    let mut head = RequestHead::new(method, target.to_owned());
    for (name, value) in fields {
        head.headers.append(*name, *value);
    }
    let body = RequestBody::full(if method == Method::Put { "bytes" } else { "" });
    pipeline.answer(&mut Request { head, body, peer: "127.0.0.1:9".parse().unwrap() }).await
}

async fn status(pipeline: &Pipeline, method: Method, target: &str) -> u16 {
    send(pipeline, method, target, &[]).await.head.status.0
}

fn json(response: Response) -> serde_json::Value {
    serde_json::from_str(&full_body(response)).unwrap()
}

/// Has `AUTH_a/c` made and forgets it was asked.
async fn prepare(world: &World) {
    world.make_container().await;
}

#[test]
fn a_name_that_is_not_wanted_reaches_no_backend() {
    run(31, |world| async move {
        prepare(&world).await;
        let pipeline = pipeline("name_check", "[filter:name_check]\nmaximum_length = 30\n").await;
        for target in ["/v1/AUTH_a/c/it's", "/v1/AUTH_a/c/..", "/v1/AUTH_a/c/a-very-long-name-of-it", "/%22"] {
            assert_eq!(status(&pipeline, Method::Put, target).await, 400, "{target}");
        }
        assert!(world.backends.seen.borrow().is_empty());
        assert_eq!(status(&pipeline, Method::Put, "/v1/AUTH_a/c/o").await, 201);
        let info = json(send(&pipeline, Method::Get, "/info", &[]).await);
        assert_eq!(info["name_check"]["maximum_length"], 30);
    });
}

#[test]
fn accounts_that_take_no_writes_are_read() {
    run(32, |world| async move {
        prepare(&world).await;
        let mut marked = world.request(Method::Put, "/AUTH_closed");
        marked.headers.set("X-Account-Sysmeta-Read-Only", "yes");
        assert_eq!(world.send(marked).await.status, 201);
        world.backends.clear();
        let open = pipeline("read_only", "").await;
        let writes = [Method::Put, Method::Post, Method::Delete, Method::Copy];
        for method in writes {
            assert_eq!(status(&open, method, "/v1/AUTH_closed/c/o").await, 405);
        }
        assert!(world.backends.requests(Method::Put, "/AUTH_closed/c/o").is_empty());
        assert_eq!(status(&open, Method::Put, "/v1/AUTH_a/c/o").await, 201);
        let closed = pipeline("read_only", "[filter:read_only]\nread_only = true\nallow_deletes = true\n").await;
        assert_eq!(status(&closed, Method::Put, "/v1/AUTH_a/c/p").await, 405);
        assert_eq!(status(&closed, Method::Get, "/v1/AUTH_a/c/o").await, 200);
        assert_eq!(status(&closed, Method::Delete, "/v1/AUTH_a/c/o").await, 204);
        assert_eq!(json(send(&closed, Method::Get, "/info", &[]).await)["read_only"], serde_json::json!({}));
    });
}

#[test]
fn endpoints_are_those_of_the_ring() {
    run(33, |world| async move {
        prepare(&world).await;
        let pipeline = pipeline("list-endpoints", "").await;
        let one = json(send(&pipeline, Method::Get, "/endpoints/AUTH_a/c/o%201", &[]).await);
        let two = json(send(&pipeline, Method::Get, "/endpoints/v2/AUTH_a/c/o%201", &[]).await);
        assert_eq!(two["endpoints"], one);
        assert_eq!(two["headers"], serde_json::json!({ "X-Backend-Storage-Policy-Index": "0" }));
        assert_eq!(world.put("/AUTH_a/c/o%201", "x").await.status, 201);
        let mut urls: Vec<&str> = one.as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
        urls.sort_unstable();
        let seen = world.backends.requests(Method::Put, "/AUTH_a/c/o%201");
        let mut asked: Vec<String> =
            seen.iter().map(|seen| format!("http://10.0.1.{}:6200{}", seen.node + 1, seen.target)).collect();
        asked.sort_unstable();
        assert_eq!(urls, asked);
        for (target, count) in [("/endpoints/AUTH_a", 3), ("/endpoints/v1/AUTH_a/c", 3)] {
            assert_eq!(json(send(&pipeline, Method::Get, target, &[]).await).as_array().map(Vec::len), Some(count));
        }
        assert_eq!(status(&pipeline, Method::Post, "/endpoints/AUTH_a").await, 405);
        assert_eq!(status(&pipeline, Method::Get, "/endpoints/v3/AUTH_a").await, 400);
    });
}

#[test]
fn monitors_ask_the_proxy_too() {
    run(34, |_| async move {
        let on = pipeline("recon", "").await;
        let version = json(send(&on, Method::Get, "/recon/version", &[]).await);
        assert_eq!(version, serde_json::json!({ "version": base::SWIFT_VERSION }));
        let sums = json(send(&on, Method::Get, "/recon/ringmd5", &[]).await);
        assert_eq!(sums.as_object().map(serde_json::Map::len), Some(3));
        assert_eq!(status(&on, Method::Get, "/recon/nothing").await, 404);
        assert_ne!(status(&pipeline("", "").await, Method::Get, "/recon/version").await, 200);
    });
}

#[test]
fn an_operator_may_let_clients_choose_times_and_reserved_names() {
    run(35, |world| async move {
        prepare(&world).await;
        let sections = "[filter:gatekeeper]\nshunt_inbound_x_timestamp = no\nallow_reserved_names_header = yes\n";
        let open = pipeline("gatekeeper", sections).await;
        let shut = pipeline("gatekeeper", "").await;
        let time = ("X-Timestamp", "1400000000.5");
        assert_eq!(send(&open, Method::Put, "/v1/AUTH_a/c/o", &[time]).await.head.status.0, 201);
        for seen in world.backends.requests(Method::Put, "/AUTH_a/c/o") {
            assert_eq!(seen.headers.get_str("X-Timestamp"), Some("1400000000.50000"));
        }
        let response = send(&open, Method::Put, "/v1/AUTH_a/c/o", &[("X-Timestamp", "soon")]).await;
        assert_eq!(response.head.status.0, 400);
        assert_eq!(full_body(response), "X-Timestamp should be a UNIX timestamp float value; was 'soon'");
        let allow = ("X-Allow-Reserved-Names", "true");
        assert_eq!(send(&open, Method::Put, "/v1/AUTH_a/%00r%00c", &[allow]).await.head.status.0, 201);
        assert_eq!(send(&open, Method::Put, "/v1/AUTH_a/%00r%00c", &[]).await.head.status.0, 412);
        assert_eq!(send(&shut, Method::Put, "/v1/AUTH_a/%00r%00c", &[allow]).await.head.status.0, 412);
        world.backends.clear();
        send(&open, Method::Get, "/v1/AUTH_a/c", &[allow]).await;
        let seen = world.backends.requests(Method::Get, "/AUTH_a/c");
        assert!(seen.iter().any(|seen| seen.headers.get_str(ALLOW_RESERVED_NAMES) == Some("true")));
    });
}

#[test]
fn hosts_and_containers_are_bounded_where_the_operator_says_so() {
    run(36, |world| async move {
        prepare(&world).await;
        let denied = pipeline("", "deny_host_headers = evil.example, other.example\n").await;
        let response = send(&denied, Method::Get, "/v1/AUTH_a/c", &[("Host", "evil.example:80")]).await;
        assert_eq!((response.head.status.0, full_body(response)), (403, "Invalid host header".to_owned()));
        assert_ne!(send(&denied, Method::Get, "/v1/AUTH_a/c", &[("Host", "good.example")]).await.head.status.0, 403);
        let few = pipeline("", "max_containers_per_account = 1\nmax_containers_whitelist = AUTH_free\n").await;
        let response = send(&few, Method::Put, "/v1/AUTH_a/d", &[]).await;
        assert_eq!((response.head.status.0, full_body(response)), (403, "Reached container limit of 1".to_owned()));
        assert_eq!(status(&few, Method::Put, "/v1/AUTH_a/c").await, 202);
        for name in ["c", "d"] {
            assert_eq!(status(&few, Method::Put, &format!("/v1/AUTH_free/{name}")).await, 201);
        }
    });
}

#[test]
fn a_customers_own_host_name_leads_to_his_container() {
    run(37, |world| async move {
        prepare(&world).await;
        let server = world.sim.node("dns", "10.0.9.9".parse().unwrap());
        world.sim.start(server, || async {
            let socket = Datagrams::bind("10.0.9.9:53".parse().unwrap()).unwrap();
            while let Ok((question, asker)) = socket.receive(512).await {
                let id = u16::from_be_bytes([question[0], question[1]]);
                let reply = cname(id, "www.customer.org", "c.auth-a.example.com", 60);
                socket.send(&bytes::Bytes::from(reply), asker).unwrap();
            }
        });
        io::sleep(Duration::from_millis(10)).await;
        let sections = "[filter:cname_lookup]\nnameservers = 10.0.9.9\n";
        let pipeline = pipeline("cname_lookup domain_remap", sections).await;
        let customer = ("Host", "www.customer.org:8080");
        assert_eq!(send(&pipeline, Method::Put, "/o", &[customer]).await.head.status.0, 201);
        assert_eq!(world.backends.requests(Method::Put, "/AUTH_a/c/o").len(), 3);
        let stranger = send(&pipeline, Method::Get, "/o", &[("Host", "www.stranger.org")]).await;
        assert_eq!(stranger.head.status.0, 400);
        assert_eq!(json(send(&pipeline, Method::Get, "/info", &[]).await)["cname_lookup"]["lookup_depth"], 1);
    });
}

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Takes the access log of this thread.
struct AccessLog;

impl tracing::Subscriber for AccessLog {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "access"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Message);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Message;

impl Visit for Message {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        LINES.with_borrow_mut(|lines| lines.push(format!("{value:?}")));
    }
}

/// The lines of a server-side copy through a pipeline of these members.
fn lines_of_a_copy(members: &'static str) -> Vec<String> {
    LINES.with_borrow_mut(Vec::clear);
    tracing::subscriber::with_default(AccessLog, || {
        run(38, move |world| async move {
            prepare(&world).await;
            assert_eq!(world.put("/AUTH_a/c/o", "bytes of the source").await.status, 201);
            let template =
                "log_msg_template = {method} {path} {status_int} {source} {bytes_recvd} {bytes_sent} {client_ip}\n";
            let sections = format!(
                "[filter:proxy-logging]\nuse = egg:swift#proxy_logging\n{template}\
                 [filter:second]\nuse = egg:swift#proxy_logging\n{template}"
            );
            let pipeline = pipeline(members, &sections).await;
            let fields = [("X-Copy-From", "c/o"), ("Content-Length", "0"), ("X-Forwarded-For", "192.0.2.7")];
            let mut head = RequestHead::new(Method::Put, "/v1/AUTH_a/c/copy");
            for (name, value) in fields {
                head.headers.append(name, value);
            }
            let mut request = Request { head, body: RequestBody::full(""), peer: "127.0.0.1:9".parse().unwrap() };
            let mut response = pipeline.answer(&mut request).await;
            assert_eq!(response.head.status.0, 201);
            if let Some(finish) = response.on_finish.take() {
                finish(Finished { received: 0, sent: 0, complete: true });
            }
        });
    });
    LINES.take()
}

#[test]
fn the_second_proxy_logging_has_a_line_for_what_middleware_asks() {
    let client = "PUT /v1/AUTH_a/c/copy 201 - - - 192.0.2.7";
    let source = "GET /v1/AUTH_a/c/o 200 SSC - 19 127.0.0.1";
    assert_eq!(lines_of_a_copy("proxy-logging copy"), [client]);
    assert_eq!(lines_of_a_copy("proxy-logging copy second"), [source, client]);
    assert_eq!(lines_of_a_copy("copy"), Vec::<String>::new());
}
