//! Two cores of one process: the rows of objects on a device of the one, in a container on a device of the other.

use crate::bed::{ADDRESS, conf, exchange};
use base::http::server::Drain;
use base::io::sim::{NodeId, Sim, SimHandle, SimOptions};
use base::io::{self, fs};
use objectd::neighbours::Letters;
use objectd::server::run_core_beside;
use ring::builder::Builder;
use std::path::Path;
use std::time::Duration;

const OBJECTS: u16 = 6200;
const CONTAINERS: u16 = 6211;

/// `d1` belongs to the first core, `d2` to the second.
fn ring(port: u16) -> Vec<u8> {
    let mut builder = Builder::new(4, 1.0, 1).unwrap();
    for (id, port) in [(0, port), (1, port + 10)] {
        let device = ring::Device {
            id,
            region: 1,
            zone: 1,
            ip: ADDRESS.to_owned(),
            port,
            replication_ip: ADDRESS.to_owned(),
            replication_port: port,
            device: format!("d{}", id + 1),
            weight: 100.0,
            meta: String::new(),
        };
        builder.add_device(device).unwrap();
    }
    builder.rebalance(b"1", 1_700_000_000).unwrap();
    builder.ring().unwrap().to_bytes("x.ring", ring::FormatVersion::V1).unwrap()
}

fn storage(sim: &SimHandle, cores: &'static [usize]) -> NodeId {
    let config =
        conf("object_ports = 6200,6210\ncontainer_ports = 6201,6211\naccount_ports = 6202,6212\nupdater_interval = 20");
    let node = sim.node("storage", ADDRESS.parse().unwrap());
    sim.start(node, move || async move {
        for (name, port) in [("object", 6200), ("container", 6201), ("account", 6202)] {
            fs::create_dir_all(Path::new("/etc/swift")).await.unwrap();
            let path = Path::new("/etc/swift").join(format!("{name}.ring.gz"));
            fs::write_atomic(&path, ring(port), 0o644).await.unwrap();
        }
        let letters = Letters::new(2);
        for core in cores {
            fs::create_dir_all(Path::new(&format!("/srv/node/d{}", core + 1))).await.unwrap();
            let (config, letters) = (config.clone(), letters.clone());
            io::spawn(async move { run_core_beside(config, *core, letters, Drain::new()).await.unwrap() });
        }
        std::future::pending::<()>().await;
    });
    node
}

fn put(name: &str, device: &str) -> Vec<u8> {
    format!(
        "PUT /d1/7/a/c/{name} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         X-Timestamp: 1700000001.00000\r\nX-Container-Partition: 3\r\nX-Container-Host: {ADDRESS}:{CONTAINERS}\r\n\
         X-Container-Device: {device}\r\nContent-Length: 2\r\n\r\nhi"
    )
    .into_bytes()
}

async fn create_container() {
    let request = "PUT /d2/3/a/c HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Timestamp: 1700000000.00000\r\n\
                   X-Backend-Storage-Policy-Index: 0\r\nContent-Length: 0\r\n\r\n";
    let answer = exchange(CONTAINERS, request.as_bytes()).await;
    assert!(answer.status.contains(" 201 "), "{answer:?}");
}

async fn listing() -> String {
    let answer = exchange(CONTAINERS, b"GET /d2/3/a/c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    String::from_utf8(answer.body).unwrap()
}

async fn stored(request: Vec<u8>) {
    let answer = exchange(OBJECTS, &request).await;
    assert!(answer.status.contains(" 201 "), "{answer:?}");
}

async fn parked(handle: &SimHandle, node: NodeId) -> usize {
    let suffixes = async { fs::read_dir(Path::new("/srv/node/d1/async_pending")).await };
    handle.run_on(node, suffixes).await.unwrap().map_or(0, |found| found.len())
}

#[test]
fn rows_reach_the_device_of_another_core() {
    let sim = Sim::new(3, SimOptions::default());
    let handle = sim.handle();
    let node = storage(&handle, &[0, 1]);
    sim.run(async move {
        // Nothing of it yet: refused, and parked.
        stored(put("early", "d2")).await;
        assert_eq!(parked(&handle, node).await, 1);
        create_container().await;
        let names: Vec<_> = (100..140).map(|number| format!("o{number}")).collect();
        let puts: Vec<_> = names.iter().map(|name| io::spawn(stored(put(name, "d2")))).collect();
        for put in puts {
            put.await.unwrap();
        }
        assert_eq!(listing().await, names.join("\n") + "\n");
        assert_eq!(parked(&handle, node).await, 1);
        // A device that the other core does not have.
        stored(put("astray", "d7")).await;
        assert_eq!(parked(&handle, node).await, 2);
    });
}

#[test]
fn rows_for_a_core_that_is_not_there_are_parked() {
    let sim = Sim::new(3, SimOptions::default());
    let handle = sim.handle();
    let node = storage(&handle, &[0]);
    sim.run(async move {
        io::sleep(Duration::from_secs(1)).await;
        stored(put("o", "d2")).await;
        assert_eq!(parked(&handle, node).await, 1);
    });
}
