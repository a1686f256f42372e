//! Small downloads that are in no cache, with a warm index, beside `fio` on the same disk at the same depth.

use super::Bench;
use super::fio::Fio;
use super::node::Node;
use bench::bars::{Bar, Row, median};
use bench::load::{Load, Objects, Until, Verb};
use rustix::process::Signal;

const BYTES: usize = 4096;
const ROUNDS: u32 = 3;
const CONNECTIONS: u16 = 64;

/// How clients come.
struct Way {
    name: &'static str,
    is_near: bool,
}

/// As from another machine, and as a proxy beside the node.
const WAYS: [Way; 2] = [Way { name: "by TCP", is_near: false }, Way { name: "by unix sockets", is_near: true }];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let mut node = Node::create(&bench.dir.join("cold"), &[])?;
    let all = Objects::new(0, bench.amount(400_000, 800));
    let filled = node.fill(BYTES, all)?;
    // No two of them share a page of the disk.
    let objects = all.sparse(4);
    // Everything is in the index then, and nothing in the memory table.
    node.restart(Signal::TERM, "o-0")?;
    let fio = Fio::prepare(&bench.dir, filled.work.written_bytes.max(64 * 1024 * 1024))?;
    let load = node.load(Verb::Get, BYTES, objects, Until::Requests(objects.count));
    let near = Load { target: node.target().near(), ..load.clone() };
    let get = |load: &Load| node.measure(load.clone())?.without_failures();
    // Warms the index.
    get(&load)?;
    let mut rows = Vec::new();
    let mut ratios = [Vec::new(), Vec::new()];
    for round in 1..=bench.rounds(ROUNDS) {
        for (way, ratios) in WAYS.iter().zip(&mut ratios) {
            node.cool_volumes()?;
            let cold = get(if way.is_near { &near } else { &load })?;
            // The depth that these reads kept the disk at, not the number of connections: some requests are on their way at any time.
            let depth = cold.work.depth(cold.seen.elapsed);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most the number of connections"
            )]
            let same_depth = fio.random_reads(depth.round().max(1.0) as u16)?;
            let rate = cold.seen.rate();
            ratios.push(rate / same_depth);
            let name = |what: &str| format!("cold GET 4 KiB, 64 connections {}, round {round}: {what}", way.name);
            rows.push(Row::figure(name("rate"), rate, "1/s"));
            rows.push(Row::figure(name("CPU"), cold.cpu_us, "us"));
            rows.push(Row::barred(name("disk reads per GET"), cold.each(cold.work.reads), "", Bar::AtMost(1.02)));
            rows.push(Row::figure(name("bytes read per GET"), cold.each(cold.work.read_bytes), "B"));
            rows.push(Row::figure(name("mean depth of the disk"), depth, ""));
            rows.push(Row::figure(name("fio random 4 KiB, io_uring, that depth"), same_depth, "1/s"));
        }
        let deep = fio.random_reads(CONNECTIONS)?;
        rows.push(Row::figure(format!("fio random 4 KiB, io_uring, depth 64, round {round}"), deep, "1/s"));
    }
    let hot = get(&load)?;
    rows.push(Row::figure("hot GET 4 KiB, 64 connections: rate", hot.seen.rate(), "1/s"));
    rows.push(Row::figure("hot GET 4 KiB, 64 connections: CPU", hot.cpu_us, "us"));
    for (way, ratios) in WAYS.iter().zip(ratios) {
        let name = format!("cold GET {} / fio at the same depth of the disk, median", way.name);
        rows.push(Row::barred(name, median(ratios), "x", Bar::AtLeast(0.7)));
    }
    Ok(rows)
}
