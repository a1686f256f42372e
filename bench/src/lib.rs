//! Fixed workloads by name against any Swift endpoint, one report.
//!
//! The canonical workload is `get-4k`; every other is named for what it differs in: the verb and the size of the object.
//! Each connection is kept alive and has one request in flight; a GET workload uploads its objects first. What the servers
//! used is read from `/proc` for the processes named, before and after, so it counts all their threads and io_uring workers.

pub mod disk;
pub mod load;
pub mod processes;
mod report;
pub mod target;
mod workload;

pub use report::{Outcome, Report};

use std::net::SocketAddr;
use std::path::PathBuf;

/// `martlet bench`'s command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Workloads to run (default: all): get-1k, get-4k, get-64k, get-1m, put-1k, put-4k, put-64k, put-1m
    #[arg(value_name = "WORKLOAD")]
    pub workloads: Vec<String>,
    /// Authentication URL, as `ST_AUTH`
    #[arg(long, env = "ST_AUTH")]
    pub auth: Option<String>,
    /// User, as `ST_USER`
    #[arg(long, env = "ST_USER")]
    pub user: Option<String>,
    /// Key, as `ST_KEY`
    #[arg(long, env = "ST_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Measure the object service of a storage node at this address instead, without a proxy
    #[arg(long)]
    pub node: Option<SocketAddr>,
    /// Device of that storage node
    #[arg(long, default_value = "d1", requires = "node")]
    pub device: String,
    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,
    /// Requests per workload
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub requests: u64,
    /// Requests per second, sent when they are due whatever the server does (open loop); as many as go when left out
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Objects that a workload spreads over
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub objects: u32,
    /// Processes of the servers, for their CPU time: process ids
    #[arg(long, value_delimiter = ',')]
    pub server_pids: Vec<u32>,
    /// Folder of a `martlet up` cluster whose processes are the servers
    #[arg(long)]
    pub cluster: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Runs the workloads and prints the report; gives the exit status.
pub fn main(options: &Options) -> i32 {
    match run(options) {
        Ok(report) => {
            let text = if options.json { report.json() } else { report.table() };
            println!("{text}");
            i32::from(report.failures() > 0)
        }
        Err(message) => {
            eprintln!("martlet bench: {message}");
            1
        }
    }
}

fn run(options: &Options) -> Result<Report, String> {
    let workloads = workload::named(&options.workloads)?;
    let pids = processes::pids(&options.server_pids, options.cluster.as_deref())?;
    let core = base::io::real::CoreOptions { name: "bench".into(), cpu: None, blocking_threads: 1 };
    let outcome = base::io::real::run(core, || workload::run_all(options.clone(), workloads, pids));
    outcome.map_err(|error| error.to_string())?
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.001..=1e9).contains(rate));
    rate.ok_or_else(|| "a number of requests per second".to_owned())
}
