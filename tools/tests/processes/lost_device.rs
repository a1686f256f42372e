//! A disk dies under a real node: pages of its databases cannot be read any more. The device answers 507 from then on and the operator is
//! told; the other devices of the same core, and the process, go on.
//!
//! The databases are cut short while the node has them mapped, which raises the same signal as a page that a disk cannot give. (The
//! control, a process without the handler, is in `base::io::real::kv`.)

use crate::daemon::Daemon;
use base::http::{Method, RequestHead};
use base::io::real;
use bytes::Bytes;
use std::net::SocketAddr;
use std::path::Path;
use tools::proof::{load, node};

const OBJECTS: u32 = 300;

/// Asks one service of the node.
fn ask(address: SocketAddr, method: Method, path: &str, body: Option<&'static [u8]>) -> u16 {
    let mut head = RequestHead::new(method, path.to_owned());
    head.headers.set("X-Timestamp", "1700000000.00000");
    head.headers.set("Content-Type", "text/plain");
    real::run(real::CoreOptions::default(), || async move {
        load::Client::new(address).request(head, body.map(Bytes::from_static)).await.unwrap().0
    })
    .unwrap()
}

fn containers(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + 1)
}

fn cut(folder: &Path, database: &str, bytes: u64) {
    let path = folder.join("srv").join(database).join("data.mdb");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    assert!(file.metadata().unwrap().len() > bytes, "{}", path.display());
    file.set_len(bytes).unwrap();
}

fn put_all(address: SocketAddr, device: &str) {
    real::run(real::CoreOptions::default(), || async move {
        let mut client = load::Client::new(address);
        for number in 0..OBJECTS {
            let mut head = RequestHead::new(Method::Put, format!("/{device}/0/a/c/{number}"));
            head.headers.set("X-Timestamp", "1700000000.00000");
            head.headers.set("Content-Type", "text/plain");
            assert_eq!(client.request(head, Some(Bytes::from_static(b"body"))).await.unwrap().0, 201);
        }
    })
    .unwrap();
    assert_eq!(ask(containers(address), Method::Put, &format!("/{device}/0/a/c"), None), 201);
}

fn assert_serves(address: SocketAddr, device: &str, name: &str) {
    assert_eq!(ask(address, Method::Get, &format!("/{device}/0/a/c/1"), None), 200);
    assert_eq!(ask(address, Method::Put, &format!("/{device}/0/a/c/{name}"), Some(b"new")), 201);
    assert_eq!(ask(containers(address), Method::Head, &format!("/{device}/0/a/c"), None), 204);
}

fn assert_gone(address: SocketAddr, device: &str) {
    for number in 1..20 {
        assert_eq!(ask(address, Method::Get, &format!("/{device}/0/a/c/{number}"), None), 507);
    }
    assert_eq!(ask(address, Method::Put, &format!("/{device}/0/a/c/new"), Some(b"new")), 507);
    assert_eq!(ask(address, Method::Delete, &format!("/{device}/0/a/c/1"), None), 507);
    assert_eq!(ask(containers(address), Method::Head, &format!("/{device}/0/a/c"), None), 507);
    assert_eq!(ask(containers(address), Method::Put, &format!("/{device}/0/a/other"), None), 507);
}

#[test]
fn a_device_that_dies_answers_507_and_takes_no_other_along() {
    let folder = tempfile::tempdir().unwrap();
    let address = node::free_address().unwrap();
    node::make_with(folder.path(), address, &["d1", "d2", "d3"], &[]).unwrap();
    let mut daemon = Daemon::start(folder.path());
    daemon.ready(address);
    ["d1", "d2", "d3"].iter().for_each(|device| put_all(address, device));
    // A drained node has brought everything into its indexes.
    assert_eq!(daemon.end(), Some(0));
    let mut daemon = Daemon::start(folder.path());
    daemon.ready(address);
    ["d1", "d2", "d3"].iter().for_each(|device| assert_serves(address, device, "first"));

    cut(folder.path(), "d1/martlet-store/index", 8192);
    assert_gone(address, "d1");
    ["d2", "d3"].iter().for_each(|device| assert_serves(address, device, "second"));

    // Where only the rows are lost the first to ask is a container's reader; the objects of the device are out of use as well.
    cut(folder.path(), "d3/martlet-db", 0);
    assert_eq!(ask(containers(address), Method::Head, "/d3/0/a/c", None), 507);
    assert_gone(address, "d3");
    assert_serves(address, "d2", "third");
    assert_gone(address, "d1");

    assert!(daemon.lives());
    let said = daemon.said();
    for (device, what) in [("d1", "the packed store"), ("d3", "the row database")] {
        let told =
            said.lines().filter(|line| line.contains("answers 507") && line.contains(&format!("={device}"))).count();
        assert_eq!(told, 1, "{said}");
        assert!(said.contains(&format!("{what} failed")), "{said}");
    }
    assert_eq!(daemon.end(), Some(0), "a lost device does not keep a node from ending");
}
