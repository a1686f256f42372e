//! A device with many small objects: inodes, memory, restart, and an index made anew.

use super::Bench;
use super::fio::Fio;
use super::node::{DEVICE, Node};
use bench::bars::{Bar, Row};
use bench::load::Objects;
use bench::processes::{self, Resident};
use rustix::process::Signal;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const BYTES: usize = 1024;
/// Objects stored before memory is looked at first.
const WARM: u64 = 1000;
/// A checkpoint comes every few seconds; after this the memory table is in the index.
const SETTLED: Duration = Duration::from_secs(15);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let mut node = Node::create(&bench.dir.join("million"), &[])?;
    // So that everything that is made at first use is there, also what each of the connections takes.
    node.fill(BYTES, Objects::new(0, WARM))?;
    let base = processes::resident(node.pid());
    let objects = Objects::new(0, bench.amount(1_000_000, 1000));
    node.fill(BYTES, objects)?;
    let mut rows = vec![Row::figure("objects of 1 KiB", float(objects.count), "")];
    rows.extend(memory("right after the last", base, node.pid(), objects.count, false));
    settle();
    rows.extend(memory("settled", base, node.pid(), objects.count, true));
    let inodes = count_files(&node.device())?;
    rows.push(Row::barred("inodes of the device", float(inodes), "", Bar::AtMost(999.0)));
    let last = format!("o-{}", objects.count - 1);
    let back = node.restart(Signal::KILL, &last)?;
    rows.push(Row::barred("first answer after kill -9", back.as_secs_f64(), "s", Bar::AtMost(2.0)));
    node.fill(BYTES, Objects::new(objects.count, bench.amount(30_000, 100)))?;
    let back = node.restart(Signal::KILL, &last)?;
    let name = "first answer after kill -9, with a log to replay";
    rows.push(Row::barred(name, back.as_secs_f64(), "s", Bar::AtMost(2.0)));
    node.end(Signal::TERM);
    rows.extend(rebuild(bench, &node)?);
    Ok(rows)
}

fn memory(when: &str, base: Resident, pid: u32, objects: u64, is_bar: bool) -> Vec<Row> {
    let now = processes::resident(pid);
    let each = |bytes: u64, before: u64| float(bytes.saturating_sub(before)) / float(objects);
    let (own, mapped) = (each(now.own, base.own), each(now.mapped, base.mapped));
    let whole = format!("resident memory per object beyond the base, {when}");
    vec![
        Row::figure(format!("  own memory, {when}"), own, "B"),
        Row::figure(format!("  mapped pages of the index, {when}"), mapped, "B"),
        Row {
            name: whole,
            value: own + mapped,
            unit: "B",
            bar: is_bar.then_some(Bar::AtMost(64.0)),
            detail: String::new(),
        },
    ]
}

/// `martlet store rebuild-index` on a device whose volumes are in no cache, beside what the disk gives in order.
#[expect(clippy::disallowed_types, reason = "the time a program takes is what is measured")]
fn rebuild(bench: &Bench, node: &Node) -> Result<Vec<Row>, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let fio = Fio::prepare(&bench.dir, bench.amount(1 << 30, 64 << 20))?;
    let disk = fio.sequential_bytes()?;
    node.cool_volumes()?;
    let work = node.disk().work();
    let begun = std::time::Instant::now();
    let mut command = Command::new(program);
    command.args(["store", "rebuild-index"]).arg(node.conf()).arg(DEVICE).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().map_err(|error| format!("cannot start rebuild-index: {error}"))?;
    if !status.success() {
        return Err(format!("rebuild-index ended with {status}"));
    }
    let took = begun.elapsed().as_secs_f64();
    let speed = float(node.disk().work().since(work).read_bytes) / took;
    Ok(vec![
        Row::figure("fio sequential reads of 1 MiB, depth 4", disk / 1e6, "MB/s"),
        Row::figure("rebuild-index", took, "s"),
        Row::figure("rebuild-index reads", speed / 1e6, "MB/s"),
        Row::barred("rebuild-index / fio", speed / disk, "x", Bar::AtLeast(0.5)),
    ])
}

#[expect(clippy::disallowed_methods, reason = "a tool, outside of any core")]
fn settle() {
    std::thread::sleep(SETTLED);
}

#[expect(clippy::disallowed_methods, reason = "a tool, outside of any core")]
fn count_files(folder: &Path) -> Result<u64, String> {
    let mut count = 1;
    for entry in std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        count += if is_folder { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a run, far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}
