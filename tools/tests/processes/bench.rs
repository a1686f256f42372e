//! Every workload of `martlet bench` and every row of `martlet bench-peers` that needs no peer, run small so that none rots; and the counts of a
//! small GET that are steady on any machine, beside their bars.

use crate::cluster::{Cluster, MARTLET, json};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

/// What was measured of each workload is whole: nobody failed, every percentile is there and none below the one before.
fn check(report: &Value, names: &[&str], requests: u64) {
    let outcomes = report["workloads"].as_array().expect("outcomes");
    let measured: Vec<&str> = outcomes.iter().filter_map(|outcome| outcome["workload"].as_str()).collect();
    assert_eq!(measured, names);
    for outcome in outcomes {
        assert_eq!(
            (outcome["requests"].as_u64(), outcome["failures"].as_u64()),
            (Some(requests), Some(0)),
            "{outcome}"
        );
        let micros = ["p50_us", "p90_us", "p99_us", "p999_us", "p9999_us", "max_us"].map(|name| outcome[name].as_f64());
        assert!(micros[0] > Some(0.0) && micros.is_sorted(), "{outcome}");
    }
}

#[test]
fn every_workload_runs_against_a_cluster() {
    let cluster = Cluster::start(&["--cores", "1"]);
    let folder = cluster.dir.to_str().expect("UTF-8");
    let names = [
        "get-1k",
        "get-100k",
        "head-4k",
        "put-4k",
        "put-1m",
        "delete-4k",
        "mixed-4k",
        "range-1m",
        "list-100",
        "list-250",
        "get-10m",
    ];
    let small = ["--cluster", folder, "--requests", "40", "--objects", "4", "--connections", "4"];
    let report = cluster.bench(&[&names[..], &small].concat());
    check(&report, &names, 40);
    for outcome in report["workloads"].as_array().expect("outcomes") {
        let servers: Vec<&str> = outcome["servers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|server| server["server"].as_str())
            .collect();
        assert_eq!(servers, ["objectd", "proxy"]);
        assert!(outcome["servers"][1]["cpu_us"].as_f64() > Some(0.0), "{outcome}");
        assert!(outcome["servers"][1]["resident_bytes"].as_u64() > Some(1 << 20), "{outcome}");
    }
    let bytes = |place: usize| {
        let outcome = &report["workloads"][place];
        outcome["mebibytes_per_second"].as_f64().expect("a number") * outcome["seconds"].as_f64().expect("a number")
    };
    // A range is a sixteenth.
    assert!((bytes(7) - 40.0 / 16.0).abs() < 0.01, "{}", bytes(7));
    let saved = cluster.dir.join("saved");
    let to = saved.to_str().expect("UTF-8");
    let open = ["get-4k", "--rate", "500", "--zipf", "0.99", "--requests", "100", "--save", to];
    check(&cluster.bench(&open), &["get-4k"], 100);
    let drawing = std::fs::read_to_string(saved.join("latency.svg")).expect("a drawing");
    assert!(drawing.starts_with("<svg") && drawing.contains(">get-4k</text>"), "{drawing}");
    // Everything that was made is removed.
    assert_eq!(cluster.client.request("GET", "", &[], None).text(), "");
}

#[test]
fn a_storage_node_and_a_server_of_files_are_measured_alone() {
    let cluster = Cluster::start(&["--cores", "1"]);
    let conf = std::fs::read_to_string(cluster.dir.join("etc/node1.conf")).expect("a configuration");
    let port = conf.lines().find_map(|line| line.strip_prefix("object_ports = ")).expect("a port");
    let node = format!("127.0.0.1:{port}");
    let names = ["get-4k", "head-4k", "put-4k", "delete-4k"];
    let words = ["--node", &node, "--requests", "20", "--objects", "4"];
    check(&json(&[&["bench"], &names[..], &words].concat(), &[]), &names, 20);

    let files = cluster.dir.join("files");
    let url = serve(&files);
    let words = ["bench", "get-4k", "head-4k", "range-64k", "--url", &url, "--files", files.to_str().expect("UTF-8")];
    check(
        &json(&[&words[..], &["--requests", "20", "--objects", "4"]].concat(), &[]),
        &["get-4k", "head-4k", "range-64k"],
        20,
    );
    let refused = Command::new(MARTLET).args(["bench", "put-4k", "--url", &url, "--files", "/nowhere"]).output();
    assert_eq!(refused.expect("martlet starts").status.code(), Some(1));
}

#[test]
fn rows_that_need_no_peer_are_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("bench");
    let report = json(&["bench-peers", dir.to_str().expect("UTF-8"), "--scale", "0.01", "--rounds", "1"], &[]);
    let rows = report["rows"].as_array().expect("rows");
    for name in ["two cores ÷ on one", "p99 ÷ p50", "system calls per GET", "futex calls", "idle client connection"] {
        let row = rows.iter().find(|row| row["name"].as_str().is_some_and(|said| said.contains(name)));
        assert!(row.is_some_and(|row| row["met"].is_boolean()), "{name}: {rows:?}");
    }
    // Nothing stays.
    assert_eq!(std::fs::read_dir(&dir).into_iter().flatten().count(), 0);
}

/// A server of the files below `root`, for as long as this process is there.
fn serve(root: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let root = root.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            std::thread::spawn(move || answer(stream, &root));
        }
    });
    url
}

/// Answers the requests of one connection until it ends.
fn answer(mut stream: TcpStream, root: &Path) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line);
        }
        let mut words = head.first()?.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let body = std::fs::read(root.join(path.trim_start_matches('/'))).ok()?;
        let range = head.iter().find_map(|line| line.trim_end().strip_prefix("Range: bytes="));
        let (status, part) = match range.and_then(|range| range.split_once('-')) {
            Some((first, last)) => (206, body.get(first.parse().ok()?..=last.parse().ok()?)?),
            None => (200, body.as_slice()),
        };
        write!(stream, "HTTP/1.1 {status} OK\r\nContent-Length: {}\r\n\r\n", part.len()).ok()?;
        if method == "GET" {
            stream.write_all(part).ok()?;
        }
    }
}
