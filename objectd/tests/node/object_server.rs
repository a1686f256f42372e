//! A running core of the object service against the exchanges recorded from Swift: same status, same headers, same body, same files.
//!
//! Once in the simulator and once on a real disk, through real sockets.

use crate::bed::{ADDRESS, Answer, below_device, conf, exchange_with, files, prepare, storage};
use base::http::server::Drain;
use base::io::fs;
use base::io::sim::{Sim, SimOptions};
use objectd::config::Config;
use serde_json::Value as Json;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq)]
enum Layout {
    Stock,
    Packed,
}

impl Layout {
    fn conf(self) -> &'static str {
        match self {
            Layout::Stock => "layout = stock\n",
            Layout::Packed => "layout = packed\nvolume_size = 8388608\n",
        }
    }
}

/// What a request of the transcript needs to mean the same at another time of day.
fn at_any_time(request: &str) -> String {
    let is_read = request.starts_with("GET") || request.starts_with("HEAD");
    if is_read && !request.contains("X-Timestamp") {
        return request.replacen("\r\n\r\n", "\r\nX-Timestamp: 1795346000.00000\r\n\r\n", 1);
    }
    request.to_owned()
}

/// Sends every recorded request and compares answer and files; `list` names the files of a directory below the device. Packed
/// devices have none to compare.
async fn replay(address: SocketAddr, layout: Layout, list: impl AsyncFn(PathBuf) -> Option<Vec<String>>) {
    let cases: Json = serde_json::from_str(include_str!("../vectors/object-transcript.json")).unwrap();
    let mut failures = Vec::new();
    for case in cases.as_array().unwrap() {
        let request = case["request"].as_str().unwrap();
        let mut answer = exchange_with(address, at_any_time(request).as_bytes()).await.settled();
        let mut wanted = Answer::parse(case["response"].as_str().unwrap().as_bytes()).settled();
        // A length that frames nothing: Swift sends it with 304 and not with errors to HEAD, we the other way round.
        if wanted.status.contains(" 304 ") || request.starts_with("HEAD") && wanted.status.contains(" 404 ") {
            answer.headers.remove("content-length");
            wanted.headers.remove("content-length");
        }
        if answer != wanted {
            failures.push(format!("{}\n  got    {answer:?}\n  wanted {wanted:?}", case["test"]));
        }
        let target: Vec<&str> = request.split(' ').nth(1).unwrap().splitn(6, '/').collect();
        if let [_, _, partition, account, container, object] = target.as_slice()
            && layout == Layout::Stock
        {
            let found = list(below_device(account, container, object, partition)).await;
            let names = case["files_after"].as_array();
            let wanted = names.map(|names| names.iter().map(|name| name.as_str().unwrap().to_owned()).collect());
            if found != wanted {
                failures.push(format!("{}: files {found:?}, wanted {wanted:?}", case["test"]));
            }
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_recorded_exchange_is_answered_as_swift_answers_it() {
    simulated(Layout::Stock);
}

#[test]
fn and_so_by_a_packed_device() {
    simulated(Layout::Packed);
}

fn simulated(layout: Layout) {
    let sim = Sim::new(1, SimOptions::default());
    let node = storage(&sim, conf(layout.conf()));
    let handle = sim.handle();
    sim.run(async move {
        let address = SocketAddr::new(ADDRESS.parse().unwrap(), 6200);
        replay(address, layout, async |path| files(&handle, node, Path::new("/srv/node/d1").join(path)).await).await;
    });
}

#[test]
fn and_so_on_a_real_disk_and_real_sockets() {
    real(Layout::Stock);
}

#[test]
fn and_so_by_a_packed_device_on_a_real_disk() {
    real(Layout::Packed);
}

#[expect(clippy::disallowed_methods, reason = "asks the kernel for free ports")]
fn real(layout: Layout) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    drop(listeners);
    let (swift_dir, devices) = (root.join("etc"), root.join("srv"));
    let text = format!(
        "[DEFAULT]\nswift_dir = {}\ndevices = {}\nbind_ip = 127.0.0.1\nmount_check = false\nfallocate_reserve = 0\n\
         object_ports = {}\ncontainer_ports = {}\naccount_ports = {}\n{}",
        swift_dir.display(),
        devices.display(),
        ports[0],
        ports[1],
        ports[2],
        layout.conf()
    );
    let swift_conf = "[swift-hash]\nswift_hash_path_prefix = specprefix\nswift_hash_path_suffix = specsuffix\n";
    let config = Rc::new(Config::parse("objectd.conf", &text, swift_conf).unwrap());
    base::io::real::run(base::io::real::CoreOptions::default(), || async move {
        prepare(&swift_dir, &devices, "127.0.0.1", ports).await;
        let drain = Drain::new();
        let core = base::io::spawn(objectd::server::run_core(config.clone(), 0, drain.clone()));
        let device = devices.join("d1");
        let list = async |path: PathBuf| {
            let entries = fs::read_dir(&device.join(path)).await.ok()?;
            Some(entries.into_iter().map(|entry| entry.name).collect())
        };
        replay(SocketAddr::new("127.0.0.1".parse().unwrap(), ports[0]), layout, list).await;
        let second = objectd::node::Node::open(config, 0).await;
        let message = second.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("another process serves this device"), "{message}");
        drain.start();
        core.await.unwrap().unwrap();
    })
    .unwrap();
}
