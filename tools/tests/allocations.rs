//! Heap allocations of a small GET, counted: the proxy's and the storage node's own cores run in a process of this test, once for few requests and
//! once for many, so that what they take once falls out. Fails when a request takes more than it did.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    dead_code,
    unreachable_pub,
    reason = "a user's side of the command line, outside any core"
)]

#[path = "processes/cluster/mod.rs"]
mod cluster;

use base::http::server::Drain;
use base::io::{self, real};
use cluster::{Client, Cluster};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Allocations of a GET of 4 KiB that no change may exceed, and what is aimed at.
const PROXY: (f64, f64) = (3.3, 4.0);
const OBJECTD: (f64, f64) = (1.2, 2.0);
const FEW: u64 = 500;
const MANY: u64 = 10_500;

/// Folder, account, token, address and number of requests of the process that counts.
const ORDER: &str = "MARTLET_ALLOCATIONS";

#[test]
fn a_small_get_takes_no_more_allocations_than_it_did() {
    let mut cluster = Cluster::start(&["--cores", "1"]);
    assert_eq!(cluster.client.request("PUT", "/c", &[], None).status, 201);
    assert_eq!(cluster.client.request("PUT", "/c/o", &[], Some(&[7; 4096])).status, 201);
    cluster.down();
    let (few, many) = (count_in_a_process(&cluster, FEW), count_in_a_process(&cluster, MANY));
    let each = |place: usize| (many[place] as f64 - few[place] as f64) / (MANY - FEW) as f64;
    let (proxy, objectd) = (each(0), each(1));
    println!(
        "allocations per GET of 4 KiB: proxy {proxy:.1} (aim {}), objectd {objectd:.1} (aim {})",
        PROXY.1, OBJECTD.1
    );
    assert!(proxy <= PROXY.0, "proxy: {proxy:.1} allocations, {} before", PROXY.0);
    assert!(objectd <= OBJECTD.0, "objectd: {objectd:.1} allocations, {} before", OBJECTD.0);
}

/// A device is served by one process until it ends, so each count is one of its own: this executable, at the test below.
fn count_in_a_process(cluster: &Cluster, requests: u64) -> [u64; 2] {
    let client = &cluster.client;
    let order =
        format!("{}\n{}\n{}\n{}\n{requests}", cluster.dir.display(), client.account, client.token, client.address);
    let mut command = Command::new(std::env::current_exe().expect("this executable"));
    let output = command.args(["--exact", "counts", "--nocapture"]).env(ORDER, order).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let line = said.lines().find_map(|line| line.split_once("counted ")).expect("a count").1;
    let mut numbers = line.split(' ').map(|word| word.parse().expect("a number"));
    [numbers.next().expect("of the proxy"), numbers.next().expect("of the node")]
}

#[test]
fn counts() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let words: Vec<&str> = order.lines().collect();
    let [dir, account, token, address, requests] = words.as_slice() else { panic!("{order}") };
    io::log::start(std::fs::File::create("/dev/null").expect("the null device")).expect("once");
    let client = Client {
        account: (*account).to_owned(),
        token: (*token).to_owned(),
        address: address.parse().expect("an address"),
    };
    let (proxy, node) = count(Path::new(dir), &client, requests.parse().expect("a number"));
    println!("counted {proxy} {node}");
}

/// Allocations of a proxy's and of a node's core that live for so many requests.
fn count(dir: &Path, client: &Client, requests: u64) -> (u64, u64) {
    let etc = dir.join("etc");
    let stop = Arc::new(AtomicBool::new(false));
    let node = core(stop.clone(), etc.join("node1.conf"), |drain, conf| async move {
        let (file, text, swift_conf) = conf;
        let config = objectd::config::Config::parse(&file, &text, &swift_conf).expect("a configuration");
        objectd::server::run_core(Rc::new(config), 0, drain).await
    });
    // The last of the three to be bound. A proxy that found them closed would leave them alone for a minute.
    let text = std::fs::read_to_string(etc.join("node1.conf")).expect("a configuration");
    let port = text.lines().find_map(|line| line.strip_prefix("account_ports = ")).expect("a port");
    drop(connect(SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a number")))));
    let proxy = core(stop.clone(), etc.join("proxy.conf"), |drain, conf| async move {
        let (file, text, swift_conf) = conf;
        let config = proxy::config::Config::parse(&file, &text, &swift_conf).expect("a configuration");
        let letters = proxy::facts::news::Letters::new(1);
        proxy::server::run_core(Rc::new(config), 0, letters, drain).await
    });
    get(client, requests);
    stop.store(true, Ordering::Relaxed);
    let ended = |thread: JoinHandle<u64>| thread.join().expect("a core that ends well");
    (ended(proxy), ended(node))
}

/// A core on a thread of its own, until `stop`; gives its allocations.
fn core<F: Future<Output = std::io::Result<()>>>(
    stop: Arc<AtomicBool>,
    conf: PathBuf,
    run: impl FnOnce(Drain, (String, String, String)) -> F + Send + 'static,
) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let read = |path: &Path| std::fs::read_to_string(path).expect("a configuration file");
        let files = (conf.display().to_string(), read(&conf), read(&conf.with_file_name("swift.conf")));
        let counted = allocation_counter::measure(|| {
            let ended = real::run(real::CoreOptions::default(), || async move {
                let drain = Drain::new();
                let drained = drain.clone();
                io::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        io::sleep(Duration::from_millis(100)).await;
                    }
                    drained.start();
                });
                run(drain, files).await
            });
            ended.expect("a core").expect("it served");
        });
        counted.count_total
    })
}

/// Reads the object again and again over one connection.
fn get(client: &Client, requests: u64) {
    let Client { address, account, token } = client;
    let address = *address;
    let mut stream = connect(address);
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a deadline");
    let request = format!("GET {account}/c/o HTTP/1.1\r\nHost: {address}\r\nX-Auth-Token: {token}\r\n\r\n");
    let mut answer = vec![0; 16 * 1024];
    for _ in 0..requests {
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut had = 0;
        let end = loop {
            let read = stream.read(&mut answer[had..]).expect("an answer");
            assert!(read > 0, "the connection ended");
            had += read;
            if let Some(head) = answer[..had].windows(4).position(|window| window == b"\r\n\r\n") {
                break head + 4 + 4096;
            }
        };
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer[..had]));
        stream.read_exact(&mut answer[had..end]).expect("the body");
    }
}

/// As soon as somebody listens.
fn connect(address: SocketAddr) -> TcpStream {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(_) if begun.elapsed() < Duration::from_secs(60) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("{address}: {error}"),
        }
    }
}
