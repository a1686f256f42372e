//! What an object server tells the containers, what it parks when it cannot, and what is left after clients that go away,
//! damaged files and power cuts.

use crate::bed::{conf, connect, exchange, files, hash_directory, storage};
use base::http::server::Drain;
use base::io::sim::{Defects, NodeId, Sim, SimHandle, SimOptions};
use base::io::{self, fs};
use bytes::Bytes;
use objectd::store::pending::Pending;
use std::path::PathBuf;
use std::time::Duration;

fn put(name: &str, timestamp: &str, body: &str, more: &str) -> Vec<u8> {
    format!(
        "PUT /d1/7/a/c/{name} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: text/plain\r\nX-Timestamp: {timestamp}\r\n\
         Content-Length: {}\r\n{more}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn get(name: &str) -> Vec<u8> {
    format!("GET /d1/7/a/c/{name} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").into_bytes()
}

/// All files below a directory of the node.
async fn walk(sim: &SimHandle, node: NodeId, root: &'static str) -> Vec<PathBuf> {
    let walk = async move {
        let mut found = Vec::new();
        let mut open = vec![PathBuf::from(root)];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).await.unwrap_or_default() {
                let path = directory.join(&entry.name);
                if entry.is_dir { open.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    };
    sim.run_on(node, walk).await.unwrap()
}

const CONTAINER: &str = "X-Container-Partition: 3\r\nX-Container-Host: 10.0.0.2:6201\r\nX-Container-Device: d1\r\n";

async fn create_container() {
    let request = "PUT /d1/3/a/c HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Timestamp: 1700000000.00000\r\n\
                   X-Backend-Storage-Policy-Index: 0\r\nContent-Length: 0\r\n\r\n";
    let answer = exchange(6201, request.as_bytes()).await;
    assert!(answer.status.contains(" 201 "), "{answer:?}");
}

async fn listing() -> String {
    let answer = exchange(6201, b"GET /d1/3/a/c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn rows_follow_put_and_delete() {
    let sim = Sim::new(3, SimOptions::default());
    let node = storage(&sim, conf(""));
    let handle = sim.handle();
    sim.run(async move {
        create_container().await;
        let answer = exchange(6200, &put("o", "1700000001.00000", "hello", CONTAINER)).await;
        assert!(answer.status.contains(" 201 "), "{answer:?}");
        assert_eq!(listing().await, "o\n");
        let delete = format!(
            "DELETE /d1/7/a/c/o HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Timestamp: 1700000002.00000\r\n{CONTAINER}\r\n"
        );
        let answer = exchange(6200, delete.as_bytes()).await;
        assert!(answer.status.contains(" 204 "), "{answer:?}");
        assert_eq!(listing().await, "");
        assert_eq!(walk(&handle, node, "/srv/node/d1/async_pending").await, Vec::<PathBuf>::new());
    });
}

#[test]
fn a_repeated_delete_tells_the_container_again() {
    let sim = Sim::new(3, SimOptions::default());
    storage(&sim, conf(PACKED));
    sim.run(async {
        create_container().await;
        let (time, later) = ("1700000001.00000", "1700000002.00000");
        assert_eq!(says(&put("o", time, "bytes", CONTAINER)).await.0, "201");
        // One that names no container leaves what a server leaves that dies behind its tombstone.
        assert_eq!(says(&request("DELETE", later, "")).await.0, "204");
        assert_eq!(listing().await, "o\n");
        let expirer = format!("X-If-Delete-At: {later}\r\n{CONTAINER}");
        assert_eq!(says(&request("DELETE", later, &expirer)).await.0, "409");
        assert_eq!(listing().await, "");
    });
}

#[test]
fn an_update_that_cannot_be_sent_is_parked_and_sent_later() {
    let sim = Sim::new(4, SimOptions::default());
    let node = storage(&sim, conf("updater_interval = 20"));
    let handle = sim.handle();
    sim.run(async move {
        create_container().await;
        // Nobody listens on this port.
        let nowhere = CONTAINER.replace("6201", "6999");
        let answer = exchange(6200, &put("o", "1700000001.00000", "hello", &nowhere)).await;
        assert!(answer.status.contains(" 201 "), "{answer:?}");
        let parked = walk(&handle, node, "/srv/node/d1/async_pending").await;
        assert_eq!(parked.len(), 1, "{parked:?}");
        let path = parked[0].clone();
        assert!(path.to_string_lossy().ends_with("-1700000001.00000"));
        let bytes = handle.run_on(node, async move { fs::read(&path, 100_000).await }).await.unwrap().unwrap();
        let record = Pending::decode(&bytes).unwrap();
        assert_eq!((record.account.as_str(), record.container.as_str(), record.object.as_str()), ("a", "c", "o"));
        assert_eq!(record.header("x-size").map(|size| size.to_vec()), Some(b"5".to_vec()));
        assert_eq!(listing().await, "");
        // The updater goes by the ring, where the container of /a/c is on this core.
        let request = |partition: u32| {
            format!(
                "PUT /d1/{partition}/a/c HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Timestamp: 1700000000.00000\r\n\
                 X-Backend-Storage-Policy-Index: 0\r\nContent-Length: 0\r\n\r\n"
            )
        };
        exchange(6201, request(3).as_bytes()).await;
        io::sleep(Duration::from_secs(45)).await;
        assert_eq!(walk(&handle, node, "/srv/node/d1/async_pending").await, Vec::<PathBuf>::new());
        assert_eq!(listing().await, "o\n");
    });
}

#[test]
fn an_expiring_object_is_queued_and_its_old_task_is_withdrawn() {
    let sim = Sim::new(5, SimOptions::default());
    let node = storage(&sim, conf(""));
    let handle = sim.handle();
    sim.run(async move {
        let expiring = "X-Delete-At: 1800000000\r\nX-Delete-At-Host: 10.0.0.2:6999\r\nX-Delete-At-Device: d1\r\nX-Delete-At-Partition: 1\r\n";
        exchange(6200, &put("o", "1700000001.00000", "hello", expiring)).await;
        assert_eq!(walk(&handle, node, "/srv/node/d1/async_pending").await.len(), 1);
        exchange(6200, &put("o", "1700000002.00000", "hello", "")).await;
        let mut operations = Vec::new();
        for path in walk(&handle, node, "/srv/node/d1/async_pending").await {
            let bytes = handle.run_on(node, async move { fs::read(&path, 100_000).await }).await.unwrap().unwrap();
            let record = Pending::decode(&bytes).unwrap();
            assert_eq!(record.object, "1800000000-a/c/o");
            assert_eq!(record.account, ".expiring_objects");
            operations.push(format!("{:?}", record.operation));
        }
        operations.sort();
        assert_eq!(operations, ["Delete", "Put"]);
    });
}

#[test]
fn a_large_object_comes_back_whole_and_in_parts() {
    let sim = Sim::new(8, SimOptions::default());
    storage(&sim, conf(""));
    sim.run(async move {
        let body: String = (0..60_000_u32).map(|number| format!("{number:05} ")).collect();
        exchange(6200, &put("o", "1700000001.00000", &body, "")).await;
        let answer = exchange(6200, &get("o")).await;
        assert!(answer.body == body.as_bytes(), "{} bytes", answer.body.len());
        let ranged =
            String::from_utf8(get("o")).unwrap().replacen("\r\n\r\n", "\r\nRange: bytes=100-299999\r\n\r\n", 1);
        let answer = exchange(6200, ranged.as_bytes()).await;
        assert!(answer.status.contains(" 206 ") && answer.body == body.as_bytes()[100..300_000], "{}", answer.status);
        let several = ranged.replace("100-299999", "0-99999,200000-299999");
        let answer = exchange(6200, several.as_bytes()).await;
        let length: usize = answer.headers["content-length"].parse().unwrap();
        assert_eq!(answer.body.len(), length);
    });
}

#[test]
fn a_client_that_goes_away_leaves_nothing() {
    let sim = Sim::new(6, SimOptions::default());
    let node = storage(&sim, conf(""));
    let handle = sim.handle();
    sim.run(async move {
        let stream = connect(6200).await;
        let mut request = put("o", "1700000001.00000", &"x".repeat(200_000), "");
        request.truncate(100_000);
        stream.write_all(Bytes::from(request)).await.unwrap();
        io::sleep(Duration::from_millis(500)).await;
        drop(stream);
        io::sleep(Duration::from_secs(5)).await;
        assert_eq!(files(&handle, node, hash_directory("a", "c", "o", "7")).await, None);
        let left = walk(&handle, node, "/srv/node/d1/objects").await;
        assert!(left.iter().all(|path| !path.to_string_lossy().contains(".data")), "{left:?}");
    });
}

#[test]
fn damaged_bytes_are_never_sent_and_the_object_is_quarantined() {
    for size in [10, 300_000] {
        let sim = Sim::new(7, SimOptions::default());
        let node = storage(&sim, conf(STOCK));
        let handle = sim.handle();
        sim.run(async move {
            exchange(6200, &put("o", "1700000001.00000", &"x".repeat(size), "")).await;
            let directory = hash_directory("a", "c", "o", "7");
            let path = directory.join("1700000001.00000.data");
            let damage = async move {
                let file = fs::File::open(&path).await.unwrap();
                let mut attributes = Vec::new();
                for name in ["user.swift.metadata", "user.swift.metadata_checksum"] {
                    attributes.push((name.to_owned(), file.xattr(name).await.unwrap().unwrap()));
                }
                let mut forged = fs::TempFile::create(&directory).await.unwrap();
                forged.append(Bytes::from("y".repeat(size))).await.unwrap();
                forged.publish(&path, attributes).await.unwrap();
            };
            handle.run_on(node, damage).await.unwrap();
            let answer = exchange(6200, &get("o")).await;
            assert!(answer.body.len() < size || answer.status.contains(" 404 "), "{}", answer.status);
            let quarantined = walk(&handle, node, "/srv/node/d1/quarantined/objects").await;
            assert_eq!(quarantined.len(), 1, "{quarantined:?}");
            let answer = exchange(6200, &get("o")).await;
            assert!(answer.status.contains(" 404 "), "{}", answer.status);
        });
    }
}

fn request(method: &str, timestamp: &str, more: &str) -> Vec<u8> {
    format!(
        "{method} /d1/7/a/c/o HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Timestamp: {timestamp}\r\nContent-Length: 0\r\n{more}\r\n"
    )
    .into_bytes()
}

/// Flips a bit in the only place of the first volume that holds this text.
async fn damage(sim: &SimHandle, node: NodeId, text: &'static str) {
    let volume = PathBuf::from("/srv/node/d1/martlet-store/volumes/00000001.volume");
    let path = volume.clone();
    let bytes = sim.run_on(node, async move { fs::read(&path, 1 << 24).await.unwrap() }).await.unwrap();
    let places: Vec<usize> = bytes
        .windows(text.len())
        .enumerate()
        .filter_map(|(at, window)| (window == text.as_bytes()).then_some(at))
        .collect();
    assert_eq!(places.len(), 1, "{places:?}");
    sim.damage(node, &volume, places[0] as u64).unwrap();
}

async fn says(request: &[u8]) -> (String, String) {
    let answer = exchange(6200, request).await;
    let status = answer.status.split(' ').nth(1).unwrap().to_owned();
    (status, String::from_utf8(answer.body).unwrap())
}

#[test]
fn a_damaged_object_is_healed_by_its_version_or_a_newer_one_and_nothing_older_is_served() {
    let sim = Sim::new(8, SimOptions::default());
    let node = storage(&sim, conf(PACKED));
    let handle = sim.handle();
    sim.run(async move {
        let (old, between, time, newer) =
            ("1700000001.00000", "1700000002.00000", "1700000003.00000", "1700000004.00000");
        for (at, body) in [(old, "older bytes"), (time, "the bytes")] {
            assert_eq!(says(&put("o", at, body, "")).await.0, "201");
        }
        damage(&handle, node, "the bytes").await;
        // Twice: the one who finds it, and one who comes later.
        for _ in 0..2 {
            assert_eq!(says(&get("o")).await.0, "404");
            assert_eq!(says(&request("HEAD", newer, "")).await.0, "404");
            assert_eq!(says(&request("POST", newer, "")).await.0, "404");
            let answer = exchange(6200, &put("o", between, "between", "")).await;
            assert!(answer.status.contains(" 409 "), "{answer:?}");
            assert_eq!(answer.headers["x-backend-timestamp"], time);
            assert_eq!(says(&request("DELETE", between, "")).await.0, "409");
        }
        assert_eq!(says(&put("o", time, "the bytes", "")).await.0, "201");
        let (status, body) = says(&get("o")).await;
        assert_eq!((status.as_str(), body.as_str()), ("200", "the bytes"));
        assert_eq!(says(&put("o", time, "other bytes", "")).await.0, "409");
        assert_eq!(says(&request("DELETE", newer, "")).await.0, "204");
    });
}

#[test]
fn an_object_whose_post_is_damaged_is_not_shown_as_it_was_before() {
    let sim = Sim::new(9, SimOptions::default());
    let node = storage(&sim, conf(PACKED));
    let handle = sim.handle();
    sim.run(async move {
        let (time, between, post, newer) =
            ("1700000001.00000", "1700000002.00000", "1700000003.00000", "1700000004.00000");
        assert_eq!(says(&put("o", time, "bytes", "X-Object-Meta-Color: blue\r\n")).await.0, "201");
        assert_eq!(says(&request("POST", post, "X-Object-Meta-Color: vermilion\r\n")).await.0, "202");
        damage(&handle, node, "vermilion").await;
        for _ in 0..2 {
            assert_eq!(says(&get("o")).await.0, "404");
            assert_eq!(says(&request("HEAD", newer, "")).await.0, "404");
            assert_eq!(says(&request("POST", between, "X-Object-Meta-Color: green\r\n")).await.0, "409");
        }
        assert_eq!(says(&request("POST", post, "X-Object-Meta-Color: vermilion\r\n")).await.0, "202");
        let answer = exchange(6200, &get("o")).await;
        assert!(answer.status.contains(" 200 "), "{answer:?}");
        assert_eq!(answer.headers["x-object-meta-color"], "vermilion");
        assert_eq!(answer.body, b"bytes");
    });
}

const STOCK: &str = "layout = stock";
const PACKED: &str = "layout = packed\nvolume_size = 8388608";

/// Power cuts at many points of many writes: an acknowledged object is there and whole, another one is there whole or not at all.
fn survivors(seed: u64, more: &'static str, skip_file_syncs: bool) -> (usize, usize) {
    let sim = Sim::new(seed, SimOptions::default());
    let node = storage(&sim, conf(more));
    let handle = sim.handle();
    sim.run(async move {
        drop(connect(6200).await);
        handle.set_defects(node, Defects { skip_file_syncs, ..Defects::default() });
        let acknowledged = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        for writer in 0..4_usize {
            let acknowledged = acknowledged.clone();
            io::spawn(async move {
                for turn in 0..40 {
                    let name = format!("o{writer}-{turn}");
                    let request = put(&name, "1700000001.00000", &"x".repeat(turn * 100), "");
                    let Ok(Some(answer)) =
                        io::timeout(Duration::from_secs(2), io::spawn(async move { exchange(6200, &request).await }))
                            .await
                    else {
                        return;
                    };
                    if answer.status.contains(" 201 ") {
                        acknowledged.borrow_mut().push((name, turn * 100));
                    }
                }
            });
        }
        io::sleep(Duration::from_millis(20 + seed * 7 % 60)).await;
        handle.crash(node);
        let config = conf(more);
        let refuses = std::rc::Rc::new(std::cell::Cell::new(false));
        let refused = refuses.clone();
        handle.start(node, move || async move {
            if let Err(error) = objectd::server::run_core(config, 0, Drain::new()).await {
                assert!(skip_file_syncs, "{error}");
                refused.set(true);
            }
        });
        let acknowledged = acknowledged.borrow().clone();
        io::sleep(Duration::from_secs(1)).await;
        if refuses.get() {
            return (acknowledged.len(), acknowledged.len());
        }
        let mut lost = 0;
        for (name, size) in &acknowledged {
            let answer = exchange(6200, &get(name)).await;
            if !(answer.status.contains(" 200 ") && answer.body.len() == *size) {
                lost += 1;
            }
        }
        // Whatever has a name is whole: data visible means metadata there, and the suffix was invalidated before.
        let all = walk(&handle, node, "/srv/node/d1/objects").await;
        for path in all.iter().filter(|path| path.to_string_lossy().ends_with(".data")) {
            let partition = path.ancestors().nth(3).unwrap().to_owned();
            let suffix = path.ancestors().nth(2).unwrap().file_name().unwrap().to_string_lossy().into_owned();
            let list = handle
                .run_on(node, async move { fs::read(&partition.join("hashes.invalid"), 1 << 20).await })
                .await
                .unwrap();
            let list = String::from_utf8(list.unwrap_or_default()).unwrap();
            assert!(
                skip_file_syncs || list.lines().any(|line| line == suffix),
                "{} was not invalidated",
                path.display()
            );
        }
        (acknowledged.len(), lost)
    })
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let mut acknowledged = 0;
    for seed in 10..30 {
        for layout in [STOCK, PACKED] {
            let (some, lost) = survivors(seed, layout, false);
            assert_eq!(lost, 0, "seed {seed}, {layout}");
            acknowledged += some;
        }
    }
    assert!(acknowledged > 20, "{acknowledged} writes are too few to mean something");
}

/// The test above can fail: without syncs it must.
#[test]
fn the_checker_finds_a_missing_sync() {
    for layout in [STOCK, PACKED] {
        let lost: usize = (10..30).map(|seed| survivors(seed, layout, true).1).sum();
        assert!(lost > 0, "{layout}");
    }
}
