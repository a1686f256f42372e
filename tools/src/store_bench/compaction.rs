//! What those who read notice of compaction: GETs at half the rate the node can do, with and without it.

use super::Bench;
use super::node::Node;
use bench::bars::{self, Bar, Row, median};
use bench::load::{Load, Objects, Seen, Until, Verb};
use rustix::process::{getpriority_process, setpriority_process};
use std::time::Duration;

const BYTES: usize = 4096;
/// Load between two looks at what compaction did.
const SLICE: Duration = Duration::from_secs(2);
/// Slices without a volume gone that end the measurement: compaction looks for work every few seconds.
const IDLE_SLICES: u32 = 6;
const SLICES_MAX: u32 = 120;

/// Nodes measured one after the other; the median counts.
const ROUNDS: u32 = 2;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let (mut apart, mut beside) = (Vec::new(), Vec::new());
    for round in 1..=bench.rounds(ROUNDS) {
        for (executor, ratios) in [("own executor", &mut apart), ("serving executor", &mut beside)] {
            let seen = one_round(bench, executor == "own executor")?;
            let name = |what: &str| format!("GET at half load, scans on the {executor}, round {round}: {what}");
            rows.push(Row::figure(name("rate"), seen.rate, "1/s"));
            rows.push(Row::figure(name("p50 quiet"), seen.quiet[0], "us"));
            rows.push(Row::figure(name("p50 busy"), seen.busy[0], "us"));
            rows.push(Row::figure(name("p99 quiet"), seen.quiet[1], "us"));
            rows.push(Row::figure(name("p99 busy"), seen.busy[1], "us"));
            rows.push(Row::figure(name("volumes"), f64::from(seen.compacted), ""));
            rows.push(Row::figure(name("in"), seen.seconds, "s"));
            ratios.push(seen.busy[1] / seen.quiet[1]);
            // A round takes minutes; who ends the next one early keeps this one.
            eprintln!("{}", bars::text(rows.get(rows.len() - 7..).unwrap_or_default()));
        }
    }
    rows.push(Row::figure("p99 with compaction / without, scans on the serving executor", median(beside), "x"));
    rows.push(Row::barred("p99 of GET with compaction / without, median", median(apart), "x", Bar::AtMost(1.5)));
    Ok(rows)
}

/// The priority of the load, which stands for clients on other machines: what it waits for a processor beside the node's work is not the
/// node's. Nodes that were started before keep their own.
struct Foremost {
    before: i32,
}

impl Foremost {
    const NICE: i32 = -15;

    fn begin() -> Foremost {
        let before = getpriority_process(None).unwrap_or_default();
        if let Err(error) = setpriority_process(None, Foremost::NICE) {
            eprintln!("the load waits for processors like everybody else: {error}");
        }
        Foremost { before }
    }
}

impl Drop for Foremost {
    fn drop(&mut self) {
        // It was allowed to go higher, so it may go back.
        let _ = setpriority_process(None, self.before);
    }
}

/// p50 and p99, in microseconds, without and with compaction.
struct Round {
    rate: f64,
    quiet: [f64; 2],
    busy: [f64; 2],
    compacted: u32,
    seconds: f64,
}

fn one_round(bench: &Bench, has_executor: bool) -> Result<Round, String> {
    let executor = if has_executor { "maintenance_executor = yes" } else { "maintenance_executor = no" };
    let node = Node::create(&bench.dir.join("compaction"), &["volume_size = 16777216", executor])?;
    let all = Objects::new(0, bench.amount(200_000, 6000));
    node.fill(BYTES, all)?;
    let _foremost = Foremost::begin();
    // Every fourth lives, so every volume loses most of what it has, and something of it lives.
    let living = all.sparse(4);
    let get = |until, rate| Load { rate, ..node.load(Verb::Get, BYTES, living, until) };
    node.measure(get(Until::Requests(living.count), None))?.without_failures()?;
    let saturated = node.measure(get(Until::Elapsed(2 * SLICE), None))?.without_failures()?;
    let half = saturated.seen.rate() / 2.0;
    let slice = || Ok(node.measure(get(Until::Elapsed(SLICE), Some(half)))?.without_failures()?.seen);
    let mut quiet = Seen::default();
    for _ in 0..5 {
        quiet.add(&slice()?);
    }
    for rest in 1..4 {
        let dead = Objects { first: rest, ..living };
        node.measure(node.load(Verb::Delete, BYTES, dead, Until::Requests(dead.count)))?.without_failures()?;
    }
    let busy = while_compacting(&node, slice)?;
    Ok(Round {
        rate: half,
        quiet: percentiles(&quiet),
        busy: percentiles(&busy.seen),
        compacted: busy.compacted,
        seconds: busy.seconds,
    })
}

/// What was seen while volumes went.
struct Busy {
    seen: Seen,
    compacted: u32,
    seconds: f64,
}

/// Load in slices until no volume goes any more; slices in front of the first and behind the last volume that went do not count.
fn while_compacting(node: &Node, mut slice: impl FnMut() -> Result<Seen, String>) -> Result<Busy, String> {
    let mut busy = Busy { seen: Seen::default(), compacted: 0, seconds: 0.0 };
    let mut since_last: Vec<Seen> = Vec::new();
    let mut before = node.volumes()?;
    let mut idle = 0;
    for _ in 0..SLICES_MAX {
        since_last.push(slice()?);
        let now = node.volumes()?;
        let gone = before.iter().filter(|volume| !now.contains(volume)).count();
        before = now;
        if gone > 0 {
            // The first to go had its compaction begin at most a slice before; what lies further back saw none.
            let from = if busy.compacted == 0 { since_last.len() - 1 } else { 0 };
            let counted = since_last.drain(..).skip(from);
            for seen in counted {
                busy.seen.add(&seen);
                busy.seconds += SLICE.as_secs_f64();
            }
            busy.compacted += u32::try_from(gone).unwrap_or(u32::MAX);
            idle = 0;
        } else {
            idle += 1;
            if idle >= IDLE_SLICES {
                break;
            }
        }
    }
    match busy.compacted {
        0 => Err("no volume was compacted".to_owned()),
        _ => Ok(busy),
    }
}

fn percentiles(seen: &Seen) -> [f64; 2] {
    [0.5, 0.99].map(|share| seen.percentile_us(share))
}
