//! What another cluster may do, and what nobody else may: Swift's own tests of container_sync, and some more.

use super::*;
use crate::config::tests::sample;
use crate::pipeline::Fields;
use crate::pipeline::tests::{full_body, request};
use base::http::server::LocalFuture;
use base::io::Job;
use base::io::sim::{Sim, SimOptions};

const REALMS: &str =
    "[US]\nkey = 9ff3b71c849749dbaec4ccdd3cbab62b\nkey2 = older\ncluster_dfw1 = http://dfw1.host/v1/\n[nobody]\n";

/// Knows a container with a key, and one with versions.
struct Containers;

impl Application for Containers {
    fn call(&self, _: ClientRequest) -> Job<Response> {
        panic!("nothing is sent by the member itself")
    }
    fn container_headers(&self, request: &ClientRequest) -> LocalFuture<'static, Fields> {
        let mut headers = Headers::new();
        match request.path.container.as_deref() {
            Some("c") => headers.set("X-Container-Sync-Key", "abc"),
            Some("versioned") => headers.set("X-Container-Sysmeta-Versions-Container", "v"),
            _ => {}
        }
        Box::pin(std::future::ready(headers.into()))
    }
}

/// The outcome of a check in a cluster with realms: the request as it was changed, or status and text.
fn check(request: ClientRequest, settings: Settings) -> Result<ClientRequest, (Response, String)> {
    in_cluster(settings, async |sync| {
        let application: Rc<dyn Application> = Rc::new(Containers);
        let mut request = request;
        let path = format!("/v1{}", request.path.plain());
        match sync.check(&application, &mut request, path.as_bytes()).await {
            Ok(()) => Ok(request),
            Err(refused) => Err((Response::empty(refused.head.status), full_body(*refused))),
        }
    })
}

fn in_cluster<T: 'static>(settings: Settings, work: impl AsyncFnOnce(ContainerSync) -> T + 'static) -> T {
    Sim::new(1, SimOptions::default()).run(async move {
        let mut config = sample();
        config.container_sync = settings;
        base::io::fs::create_dir_all(&config.swift_dir).await.unwrap();
        let file = config.swift_dir.join("container-sync-realms.conf");
        base::io::fs::write_atomic(&file, REALMS.into(), 0o600).await.unwrap();
        work(ContainerSync::new(Rc::new(config))).await
    })
}

fn settings() -> Settings {
    Settings { allow_full_urls: true, current: None }
}

fn signed(auth: &str, time: Option<&str>) -> ClientRequest {
    let mut request = request(Method::Put, "/a/c/o");
    request.headers.set(AUTH, auth.to_owned());
    if let Some(time) = time {
        request.headers.set(INBOUND_TIMESTAMP, time.to_owned());
    }
    request
}

/// Python: hmac.new(key, b'PUT\n/v1/a/c/o\n<time>\nnonce\nabc', sha1).
fn signature(realm_key: &str, time: &str) -> String {
    let signed = Signed { method: Method::Put, path: "/v1/a/c/o".into(), time: time.as_bytes() };
    hex(&signed.mac(realm_key, "nonce", b"abc"))
}

#[test]
fn the_signature_is_swifts() {
    // container_sync_realms.get_sig of Swift 2.38.3 for the same words.
    assert_eq!(signature("9ff3b71c849749dbaec4ccdd3cbab62b", "0"), "6282b8e8284f036224f7e912cfe01dc6a51c8d1b");
}

#[test]
fn a_good_signature_is_a_right_of_its_own_and_its_time_the_objects() {
    for key in ["9ff3b71c849749dbaec4ccdd3cbab62b", "older"] {
        let time = "1455221706.72600";
        let request = check(signed(&format!("us nonce {}", signature(key, time)), Some(time)), settings());
        let Ok(request) = request else { panic!("a good signature") };
        assert_eq!(request.authority, Authority::Granted);
        assert!(request.is_synced);
        assert_eq!(request.timestamp.normal(), time);
        assert!(!request.headers.contains(AUTH) && !request.headers.contains(INBOUND_TIMESTAMP));
    }
    let untimed = signed(&format!("US nonce {}", signature("older", "0")), None);
    let now = untimed.timestamp;
    assert_eq!(check(untimed, settings()).ok().map(|request| request.timestamp), Some(now));
}

#[test]
fn whatever_else_is_said_is_refused() {
    let good = signature("older", "0");
    let time = "1455221706.72600";
    for (auth, time) in [
        ("a b".to_owned(), None),
        (format!("US nonce {good} more"), None),
        (format!("other nonce {good}"), None),
        (format!("nobody nonce {good}"), None),
        (format!("US other {good}"), None),
        (format!("US nonce {}", &good[1..]), None),
        (format!("US nonce {}", good.to_uppercase()), None),
        // The time is signed as well.
        (format!("US nonce {good}"), Some(time)),
        ("US nonce".to_owned(), None),
        (String::new(), None),
    ] {
        let Err((answer, text)) = check(signed(&auth, time), settings()) else { panic!("{auth} is refused") };
        assert_eq!(answer.head.status, Status(401), "{auth}");
        assert_eq!(text, "X-Container-Sync-Auth header not valid; contact cluster operator for support.");
    }
    let mut other = signed(&format!("US nonce {good}"), None);
    other.path.container = Some("keyless".into());
    assert!(check(other, settings()).is_err());
    let mut get = signed(&format!("US nonce {good}"), None);
    get.method = Method::Get;
    assert!(check(get, settings()).is_err());
    assert_eq!(refused("a\"b").head.headers.get_str("Www-Authenticate"), Some("SwiftContainerSync realm=\"a%22b\""));
}

#[test]
fn other_requests_pass_as_they_are() {
    for path in ["/a", "/a/c", "/a/c/o"] {
        let mut plain = request(Method::Put, path);
        plain.headers.set(INBOUND_TIMESTAMP, "1455221706.72600");
        let now = plain.timestamp;
        let Ok(passed) = check(plain, settings()) else { panic!("{path}") };
        assert_eq!((passed.authority, passed.is_synced, passed.timestamp), (Authority::Ask, false, now));
        assert!(!passed.headers.contains(INBOUND_TIMESTAMP));
    }
}

#[test]
fn targets_are_those_the_operator_and_the_container_allow() {
    let target = |container: &str, target: &'static str, allow_full_urls| {
        let mut post = request(Method::Post, &format!("/a/{container}"));
        post.headers.set(TO, target);
        check(post, Settings { allow_full_urls, current: None }).map(drop).map_err(|(answer, _)| answer.head.status.0)
    };
    assert_eq!(target("c", "http://host/v1/a/c", true), Ok(()));
    assert_eq!(target("c", "http://host/v1/a/c", false), Err(400));
    assert_eq!(target("c", "//US/DFW1/a/c", false), Ok(()));
    assert_eq!(target("c", "", false), Ok(()));
    assert_eq!(target("versioned", "//US/DFW1/a/c", true), Err(400));
    assert_eq!(target("versioned", "", true), Ok(()));
}

#[test]
fn info_shows_realms_with_clusters_and_which_one_this_is() {
    let shown = |current: Option<(&str, &str)>| {
        let current = current.map(|(realm, cluster)| (realm.to_owned(), cluster.to_owned()));
        in_cluster(Settings { allow_full_urls: true, current }, async |sync| sync.document().await)
    };
    assert_eq!(shown(None), json!({ "realms": { "US": { "clusters": { "DFW1": {} } } } }));
    assert_eq!(
        shown(Some(("US", "DFW1"))),
        json!({ "realms": { "US": { "clusters": { "DFW1": { "current": true } } } } })
    );
    assert_eq!(shown(Some(("UK", "X"))), shown(None));
}

#[test]
fn the_options_are_swifts() {
    let config = |lines: &str| {
        let text =
            format!("[pipeline:main]\npipeline = container_sync proxy-server\n[filter:container_sync]\n{lines}\n");
        Config::parse("proxy-server.conf", &text, "[swift-hash]\nswift_hash_path_suffix = x\n")
    };
    assert_eq!(config("").unwrap().container_sync, settings());
    let set = config("allow_full_urls = false\ncurrent = //us/dfw1").unwrap();
    let current = Some(("US".to_owned(), "DFW1".to_owned()));
    assert_eq!(set.container_sync, Settings { allow_full_urls: false, current });
    assert!(config("current = us").unwrap_err().message.contains("//REALM/CLUSTER"));
}
