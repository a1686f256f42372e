//! `martlet bench-store DIR`: the figures of the packed store, measured on storage nodes of its own below DIR.
//!
//! Each row starts what it needs, puts it under load from this process, and compares it with a peer in the same run: the stock layout, `fio`,
//! itself without background work. The counters of the block device are exact when DIR is on a file system of its own; `bench/store` makes
//! one on a loop device. Rows by name: `put`, `cold`, `million`, `compaction`, `checksum`.

mod checksum;
mod cold;
mod compaction;
mod fio;
mod million;
pub(crate) mod node;
mod put;

use crate::Failure;
use bench::bars::{self, Row};
use std::path::PathBuf;

/// `martlet bench-store`'s command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// An empty folder on the disk to be measured; what is made in it is removed
    dir: PathBuf,
    /// Rows to measure (default: all): put, cold, million, compaction, checksum
    #[arg(value_parser = ["put", "cold", "million", "compaction", "checksum"])]
    rows: Vec<String>,
    /// Share of the full amount of work: 0.01 shows that everything runs
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Nodes or passes measured of a row that has several; the median counts (default: three, of checksum five, of compaction two)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=9))]
    rounds: Option<u32>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What every row is given.
struct Bench {
    dir: PathBuf,
    scale: f64,
    rounds: Option<u32>,
}

impl Bench {
    /// How often a row is measured that is measured `usual` times.
    fn rounds(&self, usual: u32) -> u32 {
        self.rounds.unwrap_or(usual)
    }

    /// The share of `full` that is asked for, at least `least`.
    fn amount(&self, full: u64, least: u64) -> u64 {
        bars::share(full, self.scale, least)
    }
}

type Measure = fn(&Bench) -> Result<Vec<Row>, String>;

const ROWS: [(&str, Measure); 5] = [
    ("put", put::measure),
    ("cold", cold::measure),
    ("million", million::measure),
    ("compaction", compaction::measure),
    ("checksum", checksum::measure),
];

/// Measures and prints.
pub fn run(options: &Options) -> Result<(), Failure> {
    let bench = Bench { dir: options.dir.clone(), scale: options.scale, rounds: options.rounds };
    let mut rows = Vec::new();
    for (name, measure) in ROWS {
        if options.rows.is_empty() || options.rows.iter().any(|wanted| wanted == name) {
            eprintln!("measuring {name} …");
            let measured = measure(&bench).map_err(|message| Failure::running(format!("{name}: {message}")))?;
            // The whole takes a quarter of an hour; who ends it early keeps what there was.
            eprintln!("{}", bars::text(&measured));
            rows.extend(measured);
        }
    }
    println!("{}", if options.json { format!("{:#}", bars::json(&rows)) } else { bars::text(&rows) });
    Ok(())
}

fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse::<f64>().ok().filter(|scale| (0.0..=10.0).contains(scale));
    scale.ok_or_else(|| "a number from 0 to 10".to_owned())
}
