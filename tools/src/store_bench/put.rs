//! Small uploads: the packed layout beside the stock one, alternating.

use super::Bench;
use super::node::{Measured, Node};
use bench::bars::{Bar, Row, median};
use bench::load::{Objects, Until, Verb};

const BYTES: usize = 4096;
const ROUNDS: u32 = 3;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let stock = Node::create(&bench.dir.join("stock"), &["layout = stock"])?;
    let packed = Node::create(&bench.dir.join("packed"), &["layout = packed"])?;
    let (few, many) = (bench.amount(10_000, 200), bench.amount(100_000, 400));
    let mut ratios = Vec::new();
    let mut rows = Vec::new();
    for round in 0..u64::from(bench.rounds(ROUNDS)) {
        let beside = put(&stock, round, few)?;
        let ours = put(&packed, round, many)?;
        ratios.push(ours.seen.rate() / beside.seen.rate());
        for (layout, measured) in [("stock", &beside), ("packed", &ours)] {
            let name = |what: &str| format!("PUT 4 KiB, 64 connections, {layout}, round {}: {what}", round + 1);
            rows.push(Row::figure(name("rate"), measured.seen.rate(), "1/s"));
            rows.push(Row::figure(name("CPU"), measured.cpu_us, "us"));
            rows.push(Row::figure(name("p99"), measured.seen.percentile_us(0.99), "us"));
        }
        rows.push(Row::figure(
            format!("  writes per PUT, stock, round {}", round + 1),
            beside.each(beside.work.writes),
            "",
        ));
        let name = format!("  writes per PUT, packed, round {}", round + 1);
        rows.push(Row::barred(name, ours.each(ours.work.writes), "", Bar::AtMost(1.3)));
    }
    rows.push(Row::barred("PUT 4 KiB, packed / stock, median of rounds", median(ratios), "x", Bar::AtLeast(5.0)));
    Ok(rows)
}

fn put(node: &Node, round: u64, count: u64) -> Result<Measured, String> {
    let objects = Objects::new(round * count, count);
    node.measure(node.load(Verb::Put, BYTES, objects, Until::Requests(count)))?.without_failures()
}
