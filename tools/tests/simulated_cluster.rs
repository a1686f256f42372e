//! Whole clusters from a seed: acknowledged is durable, deleted stays deleted, bodies match their ETags. The number of seeds is
//! bounded by time in debug builds; `MARTLET_SIM_SEEDS` sets it, `MARTLET_SIM_FIRST` the first one.

use tools::sim::{Report, RingFiles, RunOptions, run_expiry, run_seed, run_seeds};

/// A debug build is some ten times slower.
const SEEDS: u64 = if cfg!(debug_assertions) { 20 } else { 1000 };
/// The planted bug must show within so many.
const PLANTED_SEEDS: u64 = 20;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn no_seed_breaks_a_promise() {
    let first = from_environment("MARTLET_SIM_FIRST", 1);
    let seeds = from_environment("MARTLET_SIM_SEEDS", SEEDS);
    let reports = run_seeds(first, seeds, &RunOptions::default(), |_| false).unwrap();
    let failed: Vec<&Report> = reports.iter().filter(|report| !report.violations.is_empty()).collect();
    let acknowledged: u64 = reports.iter().map(|report| report.acknowledged).sum();
    assert_eq!(u64::try_from(reports.len()).unwrap(), seeds);
    for report in failed.iter().take(10) {
        for violation in &report.violations {
            eprintln!("seed {}: {violation}", report.seed);
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds; try `martlet sim --seed {} --trace`",
        failed.len(),
        failed[0].seed
    );
    assert!(acknowledged > seeds * 5, "the clusters did too little: {acknowledged} operations acknowledged");
}

#[test]
fn what_expires_goes_and_nothing_else_does() {
    let first = from_environment("MARTLET_SIM_FIRST", 1);
    let rings = RingFiles::build().unwrap();
    for seed in first..first + if cfg!(debug_assertions) { 5 } else { 50 } {
        assert_eq!(run_expiry(seed, &rings), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn the_same_seed_makes_the_same_run() {
    let rings = RingFiles::build().unwrap();
    for seed in 1..=if cfg!(debug_assertions) { 3 } else { 20 } {
        let [first, second] = [0, 1].map(|_| run_seed(seed, &rings, &RunOptions::default()));
        assert_eq!((first.trace_hash, first.events), (second.trace_hash, second.events), "seed {seed}");
        assert_ne!(first.events, 0);
    }
}

#[test]
fn objects_that_are_not_synced_are_missed() {
    let options = RunOptions { skip_sync: true, ..RunOptions::default() };
    let reports = run_seeds(1, PLANTED_SEEDS, &options, |report| !report.violations.is_empty()).unwrap();
    assert!(reports.iter().any(|report| !report.violations.is_empty()), "the checker is blind");
}
