//! A whole simulated cluster from one seed: `martlet sim --seed N --seeds K`.
//!
//! A proxy and three storage nodes run their real code on simulated networks, disks and clocks. Clients work while nodes
//! crash, restart and lose messages; then all is mended and read once more, and the `checker` judges. The same seed makes the
//! same run to the last decision: a failing seed is a bug report.
//!
//! - `cluster`: machines, their files and daemons.
//! - `nemesis`: what goes wrong.
//! - `workload` and `client`: what clients do and read in the end.
//! - `checker`: one check per property.
//! - `expiry`: another scenario, of objects that expire.

mod checker;
mod client;
mod cluster;
mod expiry;
mod nemesis;
mod workload;

pub use checker::{Property, Violation};
pub use cluster::RingFiles;
pub use expiry::run_expiry;

use base::io::sim::{Sim, SimOptions};
use base::io::{sleep, spawn};
use checker::History;
use cluster::Cluster;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Workers of one run.
const WORKERS: u64 = 3;
/// Operations of each.
const OPERATIONS: u64 = 24;
/// Longest time after the faults until pools, error limits and half-open connections are past: more than the client's and the
/// proxy's longest wait together.
const RECOVERY: Duration = Duration::from_secs(90);

/// How a run differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Plant the bug that objects are not synced.
    pub skip_sync: bool,
    /// Keep the text of the trace.
    pub trace_text: bool,
}

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// All decisions as one number.
    pub trace_hash: u64,
    /// How many they were.
    pub events: u64,
    /// Operations that the cluster acknowledged.
    pub acknowledged: u64,
    /// How often which request had which answer; status 0 is none.
    pub answers: BTreeMap<(&'static str, u16), u64>,
    /// Broken promises; none is good.
    pub violations: Vec<Violation>,
    /// The last lines of the trace, if asked for.
    pub trace: Vec<String>,
}

/// Runs one seed on this thread.
pub fn run_seed(seed: u64, rings: &RingFiles, options: &RunOptions) -> Report {
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| simulate(seed, rings, options)));
    ran.unwrap_or_else(|panic| {
        let reason = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "the simulation panicked".to_owned());
        let violations = vec![Violation { property: Property::Calm, what: reason }];
        Report {
            seed,
            trace_hash: 0,
            events: 0,
            acknowledged: 0,
            answers: BTreeMap::new(),
            violations,
            trace: Vec::new(),
        }
    })
}

fn simulate(seed: u64, rings: &RingFiles, options: &RunOptions) -> Report {
    let sim = Sim::new(seed, world(options));
    let history = Rc::new(RefCell::new(History::default()));
    let scenario = {
        let (handle, rings, history, skip_sync) = (sim.handle(), rings.clone(), Rc::clone(&history), options.skip_sync);
        async move {
            handle.set_faults(false);
            let cluster = Rc::new(Cluster::set_up(handle.clone(), &rings, skip_sync).await);
            let proxy = cluster.proxy();
            if let Err(error) = workload::create_containers(proxy).await {
                history.borrow_mut().violate(Property::Available, format!("a healthy cluster refuses: {error}"));
                return;
            }
            handle.set_faults(true);
            let is_over = Rc::new(Cell::new(false));
            let nemesis = spawn(nemesis::torment(handle.clone(), Rc::clone(&cluster), Rc::clone(&is_over)));
            let work = |worker| workload::work(handle.clone(), proxy, Rc::clone(&history), worker, OPERATIONS);
            let workers: Vec<_> = (0..WORKERS).map(|worker| spawn(work(worker))).collect();
            for worker in workers {
                worker.await;
            }
            is_over.set(true);
            nemesis.await;
            // The power fails everywhere once more: what was acknowledged must be on the disks, not in memory.
            cluster.members().iter().for_each(|member| handle.crash(member.node));
            cluster.start_all_that_are_down();
            sleep(RECOVERY).await;
            workload::read_everything(handle, proxy, history).await;
        }
    };
    sim.run(scenario);
    let mut history = history.borrow_mut();
    for panic in sim.panics() {
        history.violate(Property::Calm, format!("a task panicked: {panic}"));
    }
    Report {
        seed,
        trace_hash: sim.trace_hash(),
        events: sim.trace_events(),
        acknowledged: history.acknowledged(),
        answers: history.answers().clone(),
        violations: history.violations().to_vec(),
        trace: sim.trace_text(),
    }
}

/// The world of a cluster: everything that a network and slow disks do wrong. Failing disks are left out: a device that
/// reports an error is taken out of service, and without replication its data has nowhere to go.
fn world(options: &RunOptions) -> SimOptions {
    SimOptions {
        stall_chance: 0.004,
        lost_chance: 0.002,
        reset_chance: 0.004,
        slow_disk_chance: 0.002,
        clock_skew_max: Duration::from_millis(500),
        time_max: Duration::from_secs(4 * 3600),
        trace_text: options.trace_text,
        ..SimOptions::default()
    }
}

/// Runs `count` seeds from `first` on all processors; reports in the order of seeds. Stops early once `enough` says so.
pub fn run_seeds(
    first: u64,
    count: u64,
    options: &RunOptions,
    enough: impl Fn(&Report) -> bool + Sync,
) -> Result<Vec<Report>, String> {
    let rings = RingFiles::build()?;
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, rings, enough) = (&next, &rings, &enough);
    let mut reports: Vec<Report> = std::thread::scope(|scope| {
        let run = move || {
            let mut reports = Vec::new();
            // Ends: every turn takes a seed.
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return reports;
                }
                let report = run_seed(first + number, rings, options);
                if enough(&report) {
                    next.store(count, Ordering::Relaxed);
                }
                reports.push(report);
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    reports.sort_by_key(|report| report.seed);
    Ok(reports)
}

const USAGE: &str = "martlet sim [--seed N] [--seeds K] [--skip-sync] [--trace]
  --seed N      first seed (default 1)
  --seeds K     how many (default 1)
  --skip-sync   plant the bug that objects are not synced: the checker must find it
  --trace       print the last lines of each trace to stderr";

/// The command `martlet sim`; gives the exit status: 0 fine, 1 a promise was broken, 2 a wrong call.
pub fn main(words: Vec<String>) -> i32 {
    let mut options = RunOptions::default();
    let (mut seed, mut seeds) = (1, 1);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        match word.as_str() {
            "--skip-sync" => options.skip_sync = true,
            "--trace" => options.trace_text = true,
            "--seed" | "--seeds" => match number() {
                Some(given) if word == "--seed" => seed = given,
                Some(given) => seeds = given,
                None => return usage(&format!("{word} needs a number")),
            },
            _ => return usage(&format!("unknown option {word}")),
        }
    }
    let reports = match run_seeds(seed, seeds, &options, |_| false) {
        Ok(reports) => reports,
        Err(message) => return usage(&message),
    };
    let mut all_answers = BTreeMap::new();
    for report in &reports {
        let Report { seed, trace_hash, events, acknowledged, answers, violations, trace } = report;
        answers.iter().for_each(|(&answer, times)| *all_answers.entry(answer).or_insert(0) += times);
        trace.iter().for_each(|line| eprintln!("{line}"));
        println!(
            "seed {seed}: {events} events, trace {trace_hash:016x}, {acknowledged} acknowledged, {} violations",
            violations.len()
        );
        violations.iter().for_each(|violation| println!("  {violation}"));
    }
    let answers: Vec<String> =
        all_answers.iter().map(|((what, status), times)| format!("{what} {status}: {times}")).collect();
    println!("{}", answers.join(", "));
    i32::from(reports.iter().any(|report| !report.violations.is_empty()))
}

fn usage(message: &str) -> i32 {
    eprintln!("martlet sim: {message}\n{USAGE}");
    2
}
