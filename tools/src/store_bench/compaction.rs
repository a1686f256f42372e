//! What those who read notice of compaction: GETs at half the rate the node can do, with and without it.

use super::Bench;
use super::node::Node;
use bench::bars::{self, Bar, Row, median};
use bench::load::{Load, Objects, Seen, Until, Verb};
use rustix::process::{getpriority_process, setpriority_process};
use std::path::PathBuf;
use std::time::Duration;

const BYTES: usize = 4096;
/// A turn's load on each of the two nodes.
const SLICE: Duration = Duration::from_secs(2);
/// Load in front of it.
const SETTLING: Duration = Duration::from_millis(500);
/// Turns without a volume gone that end the measurement.
const IDLE_TURNS: u32 = 8;
const TURNS_MAX: u32 = 25;

/// Pairs of nodes measured one after the other; the median counts.
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

/// Two nodes alike, of which one loses most of its objects and so has something to compact. The loads on them take turns, so that what else
/// the machine does meets both; the one that compacts stands still while the other is asked.
fn one_round(bench: &Bench, has_executor: bool) -> Result<Round, String> {
    let executor = if has_executor { "maintenance_executor = yes" } else { "maintenance_executor = no" };
    let create = |name| Node::create(&bench.dir.join(name), &["volume_size = 16777216", executor]);
    let (quiet, busy) = (create("quiet")?, create("compaction")?);
    let all = Objects::new(0, bench.amount(200_000, 6000));
    for node in [&quiet, &busy] {
        node.fill(BYTES, all)?;
    }
    let _foremost = Foremost::begin();
    // Every fourth lives, so every volume loses most of what it has, and something of it lives.
    let living = all.sparse(4);
    for node in [&quiet, &busy] {
        get(node, living, Until::Requests(living.count), None)?;
    }
    for rest in 1..4 {
        let dead = Objects { first: rest, ..living };
        busy.measure(busy.load(Verb::Delete, BYTES, dead, Until::Requests(dead.count)))?.without_failures()?;
    }
    // It begins when all that was deleted is in the index; with nobody there that is soon.
    let before = busy.wait_until_a_volume_goes()?;
    in_turn(&quiet, &busy, living, before)
}

fn get(node: &Node, living: Objects, until: Until, rate: Option<f64>) -> Result<Seen, String> {
    let load = Load { rate, ..node.load(Verb::Get, BYTES, living, until) };
    Ok(node.measure(load)?.without_failures()?.seen)
}

/// What was seen of both nodes in some turns, and at which rates.
#[derive(Default)]
struct Turns {
    count: u32,
    rates: f64,
    quiet: Seen,
    busy: Seen,
}

impl Turns {
    fn add(&mut self, other: &Turns) {
        self.count += other.count;
        self.rates += other.rates;
        self.quiet.add(&other.quiet);
        self.busy.add(&other.busy);
    }
}

/// Turns until no volume goes any more, or there were enough; those behind the last volume that went do not count.
/// `before` are those that were there before the first went.
fn in_turn(quiet: &Node, busy: &Node, living: Objects, mut before: Vec<PathBuf>) -> Result<Round, String> {
    let (mut turns, mut since_last) = (Turns::default(), Turns::default());
    let mut compacted = 0;
    for _ in 0..TURNS_MAX {
        since_last.add(&one_turn(quiet, busy, living)?);
        let now = busy.volumes()?;
        let gone = before.iter().filter(|volume| !now.contains(volume)).count();
        before = now;
        if gone > 0 {
            turns.add(&std::mem::take(&mut since_last));
            compacted += u32::try_from(gone).unwrap_or(u32::MAX);
        } else if since_last.count >= IDLE_TURNS {
            break;
        }
    }
    match compacted {
        0 => Err("no volume was compacted".to_owned()),
        _ => Ok(Round {
            rate: turns.rates / f64::from(turns.count),
            quiet: percentiles(&turns.quiet),
            busy: percentiles(&turns.busy),
            compacted,
            seconds: SLICE.as_secs_f64() * f64::from(turns.count),
        }),
    }
}

/// Half of what the node can do at this time of the machine, first from the one and then from the other, each after a moment that does not count: one
/// stood still before.
fn one_turn(quiet: &Node, busy: &Node, living: Objects) -> Result<Turns, String> {
    let (rate, seen) = {
        let _still = busy.stand_still();
        let rate = get(quiet, living, Until::Elapsed(SLICE / 2), None)?.rate() / 2.0;
        get(quiet, living, Until::Elapsed(SETTLING), Some(rate))?;
        (rate, get(quiet, living, Until::Elapsed(SLICE), Some(rate))?)
    };
    get(busy, living, Until::Elapsed(SETTLING), Some(rate))?;
    let beside = get(busy, living, Until::Elapsed(SLICE), Some(rate))?;
    Ok(Turns { count: 1, rates: rate, quiet: seen, busy: beside })
}

fn percentiles(seen: &Seen) -> [f64; 2] {
    [0.5, 0.99].map(|share| seen.percentile_us(share))
}
