//! A storage node under fifty clients is killed again and again at a random moment; what it acknowledged must be there each time.
//!
//! `MARTLET_KILLS=200` makes it a storm; the number of kills here is what every run of the tests can afford.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    reason = "a test"
)]

use base::io::real;
use base::io::sim::Random;
use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tools::proof::history::History;
use tools::proof::{load, node, verify};

const CLIENTS: u32 = 50;
/// Longest life of a node under load before it is killed.
const LIFE_MS_MAX: u64 = 200;

#[test]
fn a_packed_node_that_is_killed_keeps_what_it_acknowledged() {
    storm(&["layout = packed", "volume_size = 33554432"]);
}

#[test]
fn a_stock_node_that_is_killed_keeps_what_it_acknowledged() {
    storm(&["layout = stock"]);
}

fn storm(options: &[&str]) {
    let kills = std::env::var("MARTLET_KILLS").map_or(10, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let options: Vec<String> = options.iter().map(|line| (*line).to_owned()).collect();
    node::make(folder.path(), address, &options).unwrap();
    let history = Rc::new(RefCell::new(History::default()));
    let mut random = Random::new(1);
    let mut restarts = Vec::new();
    for kill in 0..=kills {
        let mut daemon = Daemon::start(folder.path());
        restarts.push(daemon.ready(address));
        let complaints = real::run(real::CoreOptions::default(), || {
            let so_far = history.borrow().clone();
            async move { verify::all(address, &so_far, u64::MAX).await }
        });
        let complaints = complaints.unwrap();
        assert!(complaints.is_empty(), "after {kill} kills {} objects are wrong: {}", complaints.len(), complaints[0]);
        if kill == kills {
            break;
        }
        // A thread of its own: the clients notice that the node is gone by themselves.
        let life = Duration::from_millis(random.between(0, LIFE_MS_MAX));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(life);
            drop(daemon);
        });
        let shared = history.clone();
        real::run(real::CoreOptions::default(), || async move {
            load::work(address, shared, Rc::new(None), CLIENTS, 4 * Duration::from_millis(LIFE_MS_MAX)).await;
        })
        .unwrap();
        killer.join().unwrap();
    }
    restarts.sort();
    let acknowledged = history.borrow().acknowledged();
    println!(
        "{kills} kills, {acknowledged} operations acknowledged, restart to first answer: median {:?}, longest {:?}",
        restarts[restarts.len() / 2],
        restarts[restarts.len() - 1]
    );
    assert!(acknowledged > kills, "hardly any load: {acknowledged}");
}

/// Three ports in a row that are free now and stay so while a node is down: below the range from which the system gives
/// ports to outgoing connections, and never given twice by this process.
fn free_address() -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 1000).unwrap() * 9;
    for _ in 0..1000 {
        let first = 20_000 + (start + 3 * GIVEN.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if [0, 1, 2].iter().all(|more| TcpListener::bind(("127.0.0.1", first + more)).is_ok()) {
            return SocketAddr::from(([127, 0, 0, 1], first));
        }
    }
    panic!("no three free ports in a row");
}

struct Daemon {
    child: Child,
    started: Instant,
    log: PathBuf,
}

impl Daemon {
    fn start(folder: &Path) -> Daemon {
        let log = folder.join("log");
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_martlet"))
            .arg("objectd")
            .arg(node::conf(folder))
            .stdin(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        Daemon { child, started, log }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap();
        log.lines().last().unwrap_or("(it said nothing)").to_owned()
    }

    /// Waits for the first 200.
    fn ready(&mut self, address: SocketAddr) -> Duration {
        for _ in 0..3000 {
            let asked = real::run(real::CoreOptions::default(), || async move {
                let head = base::http::RequestHead::new(base::http::Method::Get, "/healthcheck");
                load::Client::new(address).request(head, None).await
            });
            if matches!(asked.unwrap(), Ok((200, _))) {
                return self.started.elapsed();
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the node ended by itself: {}", self.last_words());
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the node does not answer");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
