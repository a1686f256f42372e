//! Two nodes in the simulator: containers on one, their account on the other. What the account lists must follow the
//! containers, whatever is cut or crashes between them, and what was acknowledged must outlive power cuts.

use base::http::client::{Connection, Framing};
use base::http::server::Drain;
use base::http::{Method, RequestHead};
use base::io::sim::{NodeId, Sim, SimHandle, SimOptions};
use base::io::{fs, sleep};
use objectd::config::Config;
use objectd::server::run_core;
use ring::builder::Builder;
use ring::{Device, FormatVersion};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const CONTAINERS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const ACCOUNTS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

/// A ring with the one device `d1` at this address.
fn ring(file: &str, ip: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut builder = Builder::new(4, 1.0, 0).unwrap();
    let device = Device {
        id: 0,
        region: 1,
        zone: 1,
        ip: ip.to_string(),
        port,
        replication_ip: ip.to_string(),
        replication_port: port,
        device: if ip == CONTAINERS { "d1" } else { "d2" }.to_owned(),
        weight: 1.0,
        meta: String::new(),
    };
    builder.add_device(device).unwrap();
    builder.rebalance(b"seed", 0).unwrap();
    builder.ring().unwrap().to_bytes(file, FormatVersion::V1).unwrap()
}

async fn storage(ip: Ipv4Addr) {
    let device = if ip == CONTAINERS { "/srv/node/d1" } else { "/srv/node/d2" };
    fs::create_dir_all(Path::new(device)).await.unwrap();
    fs::create_dir_all(Path::new("/etc/swift")).await.unwrap();
    for (file, owner, port) in [
        ("object.ring.gz", CONTAINERS, 6200),
        ("container.ring.gz", CONTAINERS, 6201),
        ("account.ring.gz", ACCOUNTS, 6202),
    ] {
        fs::write_atomic(&Path::new("/etc/swift").join(file), ring(file, owner, port), 0o644).await.unwrap();
    }
    let conf = format!("[DEFAULT]\nmount_check = false\nbind_ip = {ip}\nupdater_interval = 10\n");
    let config = Config::parse("objectd.conf", &conf, "[swift-hash]\nswift_hash_path_suffix = salt\n").unwrap();
    run_core(Rc::new(config), 0, Drain::new()).await.unwrap();
}

struct Cluster {
    sim: SimHandle,
    containers: NodeId,
    accounts: NodeId,
}

impl Cluster {
    fn new(sim: &Sim) -> Cluster {
        let containers = sim.node("containers", IpAddr::V4(CONTAINERS));
        let accounts = sim.node("accounts", IpAddr::V4(ACCOUNTS));
        let cluster = Cluster { sim: sim.handle(), containers, accounts };
        cluster.start();
        cluster
    }
    fn start(&self) {
        for (node, ip) in [(self.containers, CONTAINERS), (self.accounts, ACCOUNTS)] {
            if !self.sim.is_up(node) {
                self.sim.start(node, move || storage(ip));
            }
        }
    }
    async fn restart(&self) {
        self.sim.crash(self.containers);
        self.sim.crash(self.accounts);
        sleep(SECOND).await;
        self.start();
        sleep(SECOND).await;
    }
}

/// One exchange on a connection of its own: status and body.
async fn ask(address: (Ipv4Addr, u16), method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let address = SocketAddr::new(IpAddr::V4(address.0), address.1);
    let connection = Connection::connect(address, 5 * SECOND).await.unwrap();
    let mut head = RequestHead::new(method, path.to_owned());
    for (name, value) in headers {
        head.headers.append((*name).to_owned(), (*value).to_owned());
    }
    let framing = if method == Method::Put { Framing::Length(0) } else { Framing::None };
    connection.send_head(&head, framing, false).await.unwrap();
    connection.finish().await.unwrap();
    let status = connection.read_head().await.unwrap().status.0;
    let body = connection.read_full(1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn container(method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    ask((CONTAINERS, 6201), method, &format!("/d1/1/AUTH_t{path}"), headers).await
}

async fn account(method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    ask((ACCOUNTS, 6202), method, &format!("/d2/1/AUTH_t{path}"), headers).await
}

async fn put_row(name: &str, size: &str, timestamp: &str) -> u16 {
    let headers = [("X-Timestamp", timestamp), ("X-Size", size), ("X-Content-Type", "text/plain"), ("X-Etag", "e")];
    container(Method::Put, &format!("/c/{name}"), &headers).await.0
}

/// Waits until the account shows exactly these counts of container `c`.
async fn listed(counts: &str) {
    let mut body = String::new();
    for _ in 0..60 {
        body = account(Method::Get, "?format=json", &[]).await.1;
        if body.contains(counts) {
            return;
        }
        sleep(5 * SECOND).await;
    }
    panic!("the account never showed {counts}: {body}");
}

fn run(seed: u64) {
    let sim = Sim::new(seed, SimOptions::default());
    let cluster = Cluster::new(&sim);
    sim.run(async move {
        sleep(SECOND).await;
        assert_eq!(account(Method::Put, "", &[("X-Timestamp", "100.00000")]).await.0, 201);
        let told = [
            ("X-Timestamp", "101.00000"),
            ("X-Account-Host", "10.0.0.3:6202"),
            ("X-Account-Device", "d2"),
            ("X-Account-Partition", "1"),
        ];
        assert_eq!(container(Method::Put, "/c", &told).await.0, 201);
        // Told within the request: no need to wait.
        assert!(account(Method::Get, "", &[]).await.1.contains('c'));
        assert_eq!(container(Method::Put, "/d", &[("X-Timestamp", "102.00000")]).await.0, 201);

        for n in 0..20 {
            assert_eq!(put_row(&format!("o{n}"), "10", "103.00000").await, 201);
        }
        cluster.restart().await;
        listed("\"name\": \"c\", \"count\": 20, \"bytes\": 200").await;
        listed("\"name\": \"d\", \"count\": 0").await;

        cluster.sim.partition(cluster.containers, cluster.accounts, true);
        assert_eq!(put_row("more", "5", "104.00000").await, 201);
        assert_eq!(container(Method::Delete, "/c/o0", &[("X-Timestamp", "105.00000")]).await.0, 204);
        assert_eq!(container(Method::Delete, "/d", &[("X-Timestamp", "106.00000")]).await.0, 204);
        sleep(60 * SECOND).await;
        cluster.restart().await;
        cluster.sim.partition(cluster.containers, cluster.accounts, false);
        listed("\"name\": \"c\", \"count\": 20, \"bytes\": 195").await;
        let (status, body) = container(Method::Get, "/c", &[]).await;
        assert_eq!((status, body.lines().count()), (200, 20));
        assert!(!account(Method::Get, "", &[]).await.1.contains('d'), "a deleted container leaves the account");
        assert_eq!(container(Method::Delete, "/c", &[("X-Timestamp", "107.00000")]).await.0, 409);
    });
    assert!(sim.panics().is_empty(), "seed {seed}: {:?}", sim.panics());
}

#[test]
fn an_account_follows_its_containers_through_cuts_and_crashes() {
    for seed in 0..10 {
        run(seed);
    }
}

async fn delete_row(name: &str, timestamp: &str) -> u16 {
    container(Method::Delete, &format!("/c/{name}"), &[("X-Timestamp", timestamp)]).await.0
}

/// Rows that wait in the journal count for whoever looks, and are there behind a power cut.
#[test]
fn rows_are_seen_as_soon_as_they_are_answered_and_outlive_power_cuts() {
    for seed in 0..3 {
        let sim = Sim::new(seed, SimOptions::default());
        let cluster = Cluster::new(&sim);
        sim.run(async move {
            sleep(SECOND).await;
            assert_eq!(container(Method::Put, "/c", &[("X-Timestamp", "101.00000")]).await.0, 201);
            // So many that the journal takes the last ones.
            for round in 1..=3 {
                for n in 0..40 {
                    assert_eq!(put_row(&format!("{round}-{n}"), "10", "103.00000").await, 201);
                }
                if round == 2 {
                    cluster.restart().await;
                }
                assert_eq!(container(Method::Get, "/c", &[]).await.1.lines().count(), round * 40);
            }
            for round in 1..=3 {
                for n in 0..40 {
                    assert_eq!(delete_row(&format!("{round}-{n}"), "104.00000").await, 204);
                }
            }
            assert_eq!(put_row("last", "10", "105.00000").await, 201);
            assert_eq!(container(Method::Delete, "/c", &[("X-Timestamp", "106.00000")]).await.0, 409, "not empty");
            for n in 0..40 {
                assert_eq!(put_row(&format!("4-{n}"), "10", "107.00000").await, 201);
            }
            for n in 0..40 {
                assert_eq!(delete_row(&format!("4-{n}"), "108.00000").await, 204);
            }
            assert_eq!(delete_row("last", "108.00000").await, 204);
            assert_eq!(container(Method::Delete, "/c", &[("X-Timestamp", "109.00000")]).await.0, 204, "empty");
        });
        assert!(sim.panics().is_empty(), "seed {seed}: {:?}", sim.panics());
    }
}
