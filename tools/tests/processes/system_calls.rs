//! System calls of small requests over 200 connections, counted by `martlet bench` for the processes of a cluster. Fails when a request takes more
//! than it did. What a core asks of its ring shares calls, the more the busier the machine is; so those are held to a ceiling of their own, and all
//! others, of which a request takes a small part of one, to a ceiling that notices a single one more. Where nobody may count, it says so and passes.

use crate::cluster::Cluster;
use serde_json::Value;
use std::io::Write;

/// What a request may take at most of one server.
struct Ceiling {
    server: &'static str,
    ring: f64,
    futex: f64,
    others: f64,
}

/// The servers in the order of the report. A look into the index that waited for the disk sends others to threads for a moment: those would be objectd's
/// futex calls, three a request if every look were one of a thread. In memory there are none. What a write costs depends on how many share a sync, so
/// writes are not here.
const CEILINGS: [Ceiling; 2] = [
    Ceiling { server: "objectd", ring: 1.3, futex: 0.1, others: 0.5 },
    Ceiling { server: "proxy", ring: 1.3, futex: 0.05, others: 0.5 },
];
const WORKLOADS: [&str; 2] = ["get-4k", "head-4k"];

#[test]
fn small_requests_take_no_more_system_calls_than_they_did() {
    let cluster = Cluster::start(&["--cores", "1"]);
    let folder = cluster.dir.to_str().expect("UTF-8");
    let load = ["--cluster", folder, "--connections", "200", "--requests", "40000"];
    let report = cluster.bench(&[&WORKLOADS[..], &load].concat());
    let Some(means) = report["system_calls_counted_by"].as_str() else {
        return skipped("neither perf stat nor strace may count system calls here");
    };
    let mut failures = Vec::new();
    for (name, outcome) in WORKLOADS.iter().zip(report["workloads"].as_array().expect("outcomes")) {
        assert_eq!((outcome["workload"].as_str(), outcome["failures"].as_u64()), (Some(*name), Some(0)));
        for (ceiling, server) in CEILINGS.iter().zip(outcome["servers"].as_array().expect("servers")) {
            assert_eq!(server["server"].as_str(), Some(ceiling.server));
            let [all, ring, futex] = ["system_calls", "ring_calls", "futex_calls"].map(|name| number(server, name));
            if ring == 0.0 {
                return skipped("the servers have no io_uring here");
            }
            let others = all - ring - futex;
            println!("{name}, {}: {ring:.3} of the ring, {futex:.3} futex, {others:.3} others", ceiling.server);
            let counts = [
                ("of the ring", ring, ceiling.ring),
                ("futex", futex, ceiling.futex),
                ("others", others, ceiling.others),
            ];
            let above = counts.into_iter().filter(|(_, count, most)| count > most);
            failures.extend(
                above.map(|(kind, count, most)| {
                    format!("{name}, {}: {count:.3} {kind}, at most {most}", ceiling.server)
                }),
            );
        }
    }
    assert!(failures.is_empty(), "system calls a request, counted by {means}: {failures:#?}");
}

fn number(server: &Value, name: &str) -> f64 {
    server[name].as_f64().expect("a number")
}

/// Not by a macro, whose lines a passing test keeps to itself.
fn skipped(why: &str) {
    writeln!(std::io::stderr(), "skipped: system calls of small requests: {why}").expect("a line");
}
