//! A real disk gets full under a real node: writes are refused with 507, reads and deletions go on, deletions give the space back, and writes
//! are taken again, without a restart. Where no file system may be mounted a line says that it was not tried (the simulator tries the same in
//! `objectd::store::packed::compact`).

use crate::daemon::{Daemon, SmallDisk};
use base::http::{Method, RequestHead};
use base::io::real;
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use tools::proof::{load, node};

const OBJECT_BYTES: usize = 100_000;
/// More than fit.
const OBJECTS_MAX: u32 = 2000;
/// Of so many one stays.
const STAYS: u32 = 8;

fn body(number: u32) -> Bytes {
    Bytes::from(vec![u8::try_from(number % 251).unwrap(); OBJECT_BYTES])
}

/// One request. On a machine that stands still for a while an answer may not come in time: it is asked for again, and what says then that it was
/// done before is as good as what says that it is done.
async fn ask(client: &mut load::Client, method: Method, number: u32, time: u32) -> (u16, Bytes) {
    for repeated in 0..10 {
        let mut head = RequestHead::new(method, format!("/d1/0/a/c/{number}"));
        head.headers.set("X-Timestamp", format!("{}.00000", 1_700_000_000 + time));
        head.headers.set("Content-Type", "text/plain");
        let body = (method == Method::Put).then(|| body(number));
        match client.request(head, body).await {
            Ok((409, _)) if repeated > 0 && method == Method::Put => return (201, Bytes::new()),
            Ok((404, _)) if repeated > 0 && method == Method::Delete => return (204, Bytes::new()),
            Ok(answer) => return answer,
            Err(error) => println!("{number}: {error}"),
        }
    }
    panic!("no answer")
}

#[test]
fn a_full_disk_takes_deletions_and_then_writes_again() {
    let folder = tempfile::tempdir().unwrap();
    let address = node::free_address().unwrap();
    node::make(folder.path(), address, &["volume_size = 8388608".to_owned()]).unwrap();
    let Some(_disk) = SmallDisk::mount(&folder.path().join("image"), &folder.path().join("srv/d1")) else {
        return println!("not tried: no file system may be mounted here");
    };
    let mut daemon = Daemon::start(folder.path());
    daemon.ready(address);
    let written = real::run(real::CoreOptions::default(), || fill_and_recover(address)).unwrap();
    println!("{written} objects until the disk was full");
    assert!(daemon.lives());
    assert_eq!(daemon.end(), Some(0));
}

async fn fill_and_recover(address: SocketAddr) -> u32 {
    let client = &mut load::Client::new(address);
    let mut written = 0;
    loop {
        match ask(client, Method::Put, written, 1).await.0 {
            201 => written += 1,
            507 => break,
            status => panic!("{status} for a PUT on a disk that gets full"),
        }
        assert!(written < OBJECTS_MAX, "the disk is smaller");
    }
    assert!(written > 200, "{written}");
    for number in 0..written {
        let (status, found) = ask(client, Method::Get, number, 2).await;
        assert!(status == 200 && found == body(number), "{number}: {status}");
    }
    for number in (0..written).filter(|number| number % STAYS != 0) {
        assert_eq!(ask(client, Method::Delete, number, 2).await.0, 204, "{number}");
    }
    // Compaction comes by itself.
    let begun = base::io::monotonic();
    while ask(client, Method::Put, written, 3).await.0 != 201 {
        assert!(base::io::monotonic().since(begun) < Duration::from_secs(300), "no space came back");
        base::io::sleep(Duration::from_millis(500)).await;
    }
    for number in written + 1..written + 100 {
        while ask(client, Method::Put, number, 3).await.0 != 201 {
            assert!(base::io::monotonic().since(begun) < Duration::from_secs(300), "too little space came back");
            base::io::sleep(Duration::from_millis(500)).await;
        }
    }
    for number in 0..written + 100 {
        let (status, found) = ask(client, Method::Get, number, 4).await;
        match number < written && number % STAYS != 0 {
            true => assert_eq!(status, 404, "{number}"),
            false => assert!(status == 200 && found == body(number), "{number}: {status}"),
        }
    }
    written
}
