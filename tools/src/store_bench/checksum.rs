//! What checksums cost: the CPU time of crc32c over the bytes of a GET, as a share of the CPU time of all servers for it. Straight to a node,
//! where nothing else is done, and through a proxy, as clients read.

use super::Bench;
use super::node::{Measured, Node};
use crate::cluster::Cluster;
use base::checksum::crc32c;
use bench::bars::{Bar, Row, median};
use bench::disk::Disk;
use bench::load::{Load, Objects, Until, Verb};
use rustix::time::{ClockId, clock_gettime};

const BYTES: usize = 1 << 20;
/// As the store checks them.
const BLOCK_BYTES: usize = 64 * 1024;
const ROUNDS: u32 = 5;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let node = Node::create(&bench.dir.join("checksum"), &[])?;
    let objects = Objects::new(0, 64);
    let words = ["--devices", "1", "--replicas", "1", "--cores", "1"];
    let cluster = Cluster::create(&bench.dir.join("cluster"), &words)?;
    let (pids, disk) = (cluster.pids(), Disk::under(cluster.dir())?);
    let through = |verb, until| {
        let load = Load { until, ..Load::new(cluster.target().clone(), verb, BYTES, objects) };
        Measured::of(&pids, &disk, load)?.without_failures()
    };
    node.fill(BYTES, objects)?;
    through(Verb::Put, Until::Requests(objects.count))?;
    let requests = Until::Requests(bench.amount(5000, 64));
    let (mut straight, mut whole, mut checks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds(ROUNDS) {
        let load = node.load(Verb::Get, BYTES, objects, requests);
        straight.push(node.measure(Load { connections: 16, ..load })?.without_failures()?.cpu_us);
        whole.push(through(Verb::Get, requests)?.cpu_us);
        checks.push(check_us());
    }
    let (straight, whole, check) = (median(straight), median(whole), median(checks));
    Ok(vec![
        Row::figure("GET 1 MiB straight from a node, 16 connections: CPU", straight, "us"),
        Row::figure("GET 1 MiB through a proxy, 16 connections: CPU of both", whole, "us"),
        Row::figure("crc32c of 1 MiB in blocks of 64 KiB: CPU", check, "us"),
        Row::figure("checksums' share of a GET straight from a node", check / straight * 100.0, "%"),
        Row::barred("checksums' share of a GET of 1 MiB", check / whole * 100.0, "%", Bar::AtMost(3.0)),
    ])
}

/// Microseconds to check the bytes of one GET, each block right after it was written to memory, as in the store after a read.
fn check_us() -> f64 {
    let copied = blocks_us(|_| 0);
    (blocks_us(crc32c) - copied).max(0.0)
}

/// Microseconds of CPU to make 1 MiB of blocks and to look at each.
fn blocks_us(look: impl Fn(&[u8]) -> u32) -> f64 {
    const TURNS: usize = 256;
    // Some processors copy twenty times as slowly to a place a few bytes behind that of the source in another page: not here.
    let mut memory = vec![b'm'; 2 * BLOCK_BYTES + 64];
    let (source, block) = memory.split_at_mut(BLOCK_BYTES);
    let block = block.get_mut(64..).unwrap_or_default();
    let mut sum = 0;
    let begun = clock_gettime(ClockId::ThreadCPUTime);
    for turn in 0..TURNS * BYTES / BLOCK_BYTES {
        block.copy_from_slice(source);
        if let Some(byte) = block.first_mut() {
            *byte = turn.to_le_bytes()[0];
        }
        sum ^= look(std::hint::black_box(&*block));
    }
    std::hint::black_box(sum);
    let spent = clock_gettime(ClockId::ThreadCPUTime) - begun;
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a moment")]
    let micros = (spent.tv_sec * 1_000_000_000 + spent.tv_nsec) as f64 / 1000.0;
    micros / TURNS as f64
}
