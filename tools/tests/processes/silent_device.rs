//! A disk stops answering under a real node: its requests wait or are refused with 507, those of another disk of the same core are answered as
//! if nothing was, and when the disk answers again nothing needs a restart. The disk is a small file system that is frozen (`fsfreeze`), so
//! that whoever writes to it waits; where none may be mounted or frozen a line says that it was not tried.

use crate::daemon::{Daemon, SmallDisk};
use base::http::{Method, RequestHead};
use base::io::{self, real};
use bytes::Bytes;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tools::proof::{load, node};

/// Writers that wait for the silent disk: more than a core has threads for one.
const WAITING: u32 = 24;
const PATIENCE: Duration = Duration::from_secs(120);

/// Frozen until dropped.
struct Frozen(PathBuf);

impl Frozen {
    fn freeze(at: &Path) -> Option<Frozen> {
        let is_frozen = Command::new("fsfreeze").arg("-f").arg(at).status().is_ok_and(|status| status.success());
        is_frozen.then(|| Frozen(at.to_owned()))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).status();
    }
}

/// One PUT of a new object; `None` when no answer came in the client's time.
async fn put(address: SocketAddr, device: &str, number: u32) -> Option<u16> {
    let mut head = RequestHead::new(Method::Put, format!("/{device}/0/a/c/{number}"));
    head.headers.set("X-Timestamp", "1700000000.00000");
    head.headers.set("Content-Type", "text/plain");
    let answer = load::Client::new(address).request(head, Some(Bytes::from_static(b"body"))).await;
    answer.ok().map(|(status, _)| status)
}

#[test]
fn a_packed_device_that_is_silent_answers_507_and_takes_no_other_along() {
    freeze_and_thaw("layout = packed");
}

#[test]
fn a_stock_device_that_is_silent_answers_507_and_takes_no_other_along() {
    freeze_and_thaw("layout = stock");
}

fn freeze_and_thaw(layout: &str) {
    let folder = tempfile::tempdir().unwrap();
    let address = node::free_address().unwrap();
    let options = [layout, "volume_size = 8388608", "device_timeout = 1"].map(str::to_owned);
    node::make_with(folder.path(), address, &["d1", "d2"], &options).unwrap();
    let at = folder.path().join("srv/d1");
    let Some(_disk) = SmallDisk::mount(&folder.path().join("image"), &at) else {
        return println!("not tried: no file system may be mounted here");
    };
    let mut daemon = Daemon::start(folder.path());
    daemon.ready(address);
    let was_tried = real::run(real::CoreOptions::default(), || async move {
        assert_eq!((put(address, "d1", 0).await, put(address, "d2", 0).await), (Some(201), Some(201)));
        let Some(frozen) = Frozen::freeze(&at) else { return false };
        let waiting: Vec<_> = (1..=WAITING).map(|number| io::spawn(put(address, "d1", number))).collect();
        for number in 1..=20 {
            assert_eq!(put(address, "d2", number).await, Some(201), "beside a disk that is silent");
        }
        until(address, "d1", WAITING + 1, 507).await;
        assert_eq!(put(address, "d2", 21).await, Some(201));
        drop(frozen);
        until(address, "d1", WAITING + 2, 201).await;
        for one in waiting {
            let status = one.await.unwrap();
            assert!(matches!(status, Some(201 | 507) | None), "{status:?}");
        }
        true
    });
    if !was_tried.unwrap() {
        return println!("not tried: no file system may be frozen here");
    }
    assert!(daemon.lives());
    let said = daemon.said();
    assert!(said.contains("the disk does not answer") && said.contains("the disk answers again"), "{said}");
    assert_eq!(daemon.end(), Some(0));
}

/// Asks until the answer is this one.
async fn until(address: SocketAddr, device: &str, number: u32, status: u16) {
    let begun = io::monotonic();
    while put(address, device, number).await != Some(status) {
        assert!(io::monotonic().since(begun) < PATIENCE, "no {status} came");
        io::sleep(Duration::from_millis(100)).await;
    }
}
