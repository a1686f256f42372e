//! Daemons of one machine talk by unix sockets, and find each other again when one of them comes back. The other tests of this program,
//! whose clients know a node's port and no more, are served by TCP.

use crate::cluster::{Cluster, Daemon, eventually};
use rustix::process::{Signal, kill_process};

/// States as `/proc/net/unix` and `/proc/net/tcp` write them.
const UNIX_LISTENING: &str = "01";
const UNIX_CONNECTED: &str = "03";
const TCP_ESTABLISHED: &str = "01";

#[test]
fn daemons_of_one_machine_talk_by_unix_sockets_before_and_after_a_kill() {
    let cluster = Cluster::start(&["--cores", "1", "--nodes", "2", "--devices", "2", "--replicas", "2"]);
    let client = cluster.client.clone();
    let conf = cluster.dir.join("etc").join("node1.conf");
    let text = std::fs::read_to_string(&conf).expect("its configuration");
    let port = |service: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(service)?.strip_prefix("_ports = "));
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("a port of the {service} service in {text}"))
    };
    let ports = ["object", "container", "account"].map(port);
    let body = vec![b'b'; 1_000_000];
    assert_eq!(client.request("PUT", "/c", &[], None).status, 201);
    let put_and_get = |name: &str| {
        let put = client.try_request("PUT", name, &[], Some(&body));
        let got = client.try_request("GET", name, &[], None);
        put.is_ok_and(|put| put.status == 201) && got.is_ok_and(|got| (got.status, &got.body) == (200, &body))
    };
    assert!(put_and_get("/c/first"));
    let (by_unix, by_tcp) = (ports.map(|port| near(port, UNIX_CONNECTED)), ports.map(far));
    assert!(by_unix.iter().all(|&count| count > 0), "{by_unix:?} by unix socket, {by_tcp:?} by TCP");
    assert_eq!(by_tcp, [0; 3]);

    kill_process(cluster.pid("node1"), Signal::KILL).expect("it runs");
    eventually("nobody is connected", || ports.iter().all(|&port| near(port, UNIX_CONNECTED) == 0));
    assert!(put_and_get("/c/second"), "the other node serves");
    let _again = Daemon::start("objectd", &conf);
    // Who comes before the name is there keeps his connection by TCP.
    eventually("it listens again", || ports.iter().all(|&port| near(port, UNIX_LISTENING) == 1));
    eventually("it is reached by unix sockets again", || {
        put_and_get("/c/third") && near(ports[0], UNIX_CONNECTED) > 0 && far(ports[0]) == 0
    });
}

/// Unix sockets beside this port of the loop: a connection has its listener's name at the server's side.
fn near(port: u16, state: &str) -> usize {
    let name = format!("@martlet/127.0.0.1:{port}");
    count("unix", |words| words.get(5) == Some(&state) && words.last() == Some(&name.as_str()))
}

/// Connections to this port by TCP.
fn far(port: u16) -> usize {
    let end = format!(":{port:04X}");
    count("tcp", |words| words.get(3) == Some(&TCP_ESTABLISHED) && words.get(2).is_some_and(|to| to.ends_with(&end)))
}

fn count(table: &str, wanted: impl Fn(&[&str]) -> bool) -> usize {
    let table = std::fs::read_to_string(format!("/proc/net/{table}")).expect("a table of this network");
    table.lines().filter(|line| wanted(&line.split_whitespace().collect::<Vec<_>>())).count()
}
