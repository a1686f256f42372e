//! Workloads by name against any Swift endpoint, an S3 store, one storage node or a server of files, one report.
//!
//! A workload is a verb and a size: `get-4k`, `put-1m`, `list-100`. Each connection is kept alive and has one request in flight; what a
//! workload asks for is uploaded first and removed at the end. What the servers used is read from `/proc` for the processes named,
//! before and after, so it counts all their threads and io_uring workers, and none of the client's.

pub mod bars;
mod cost;
pub mod disk;
mod keys;
pub mod load;
pub mod measure;
mod plot;
pub mod processes;
mod report;
pub mod s3;
pub mod system_calls;
pub mod target;
pub mod workload;

pub use cost::Cost;
pub use report::Report;

use load::Keys;
use measure::Plan;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use target::Target;
use workload::Workload;

/// `martlet bench`'s command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Workloads to run (default: the usual ones): get-SIZE, head-SIZE, put-SIZE, delete-SIZE, mixed-SIZE (nine GETs, then a
    /// PUT), range-SIZE (a sixteenth of an object), list-ROWS (a page of JSON); SIZE as 4k, 64k, 1m, 100m; ROWS to 10000
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
    /// Measure a plain HTTP server that serves --files at this URL instead: GET and HEAD only
    #[arg(long, conflicts_with = "node", requires = "files")]
    pub url: Option<String>,
    /// Directory that is served at --url; objects are written there and stay
    #[arg(long, requires = "url")]
    pub files: Option<PathBuf>,
    /// Measure an S3 store at this URL instead, signed by AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION
    #[arg(long, conflicts_with_all = ["node", "url"])]
    pub s3: Option<String>,
    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    pub connections: u16,
    /// Requests per workload (default: 5000, fewer of large objects)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub requests: Option<u64>,
    /// Requests per second, sent when they are due whatever the server does (open loop); as many as go when left out
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Objects that a workload spreads over (default: 256, fewer of large objects)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub objects: Option<u64>,
    /// Ask for the object of rank r with a probability in proportion to r^-EXPONENT (0.99 is usual); all alike when left out
    #[arg(long, value_name = "EXPONENT", value_parser = exponent)]
    pub zipf: Option<f64>,
    /// Processes of the servers, for what they use: process ids
    #[arg(long, value_delimiter = ',')]
    pub server_pids: Vec<u32>,
    /// Folder of a `martlet up` cluster whose processes are the servers
    #[arg(long)]
    pub cluster: Option<PathBuf>,
    /// Do not run each workload once more to count the servers' system calls
    #[arg(long)]
    pub no_system_calls: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Also leave table.txt, report.json and latency.svg in this folder
    #[arg(long, value_name = "FOLDER")]
    pub save: Option<PathBuf>,
}

/// Runs the workloads and prints the report; gives the exit status.
pub fn main(options: &Options) -> i32 {
    let outcome = run(options).and_then(|report| {
        let text = if options.json { report.json() } else { report.table() };
        println!("{text}");
        options.save.as_deref().map_or(Ok(()), |folder| save(folder, &report))?;
        Ok(report)
    });
    match outcome {
        Ok(report) => i32::from(report.failures() > 0),
        Err(message) => {
            eprintln!("martlet bench: {message}");
            1
        }
    }
}

fn run(options: &Options) -> Result<Report, String> {
    let workloads = Workload::named(&options.workloads)?;
    let servers = processes::servers(&options.server_pids, options.cluster.as_deref())?;
    let is_counted = !options.no_system_calls && !servers.is_empty();
    let means = is_counted.then(system_calls::means).flatten();
    let core = base::io::real::CoreOptions { name: "bench".into(), cpu: None, blocking_threads: 1 };
    let outcome = base::io::real::run(core, || async {
        let target = find(options).await?;
        let plan = Plan {
            target,
            servers,
            means,
            connections: options.connections,
            requests: options.requests,
            objects: options.objects,
            keys: options.zipf.map_or(Keys::Uniform, Keys::Zipf),
            rate: options.rate,
            is_shown: true,
        };
        let mut report = Report { means, ..Report::default() };
        let is_usual = options.workloads.is_empty();
        for workload in workloads.iter().filter(|workload| !is_usual || plan.target.can(workload)) {
            report.outcomes.push(plan.run(workload).await?);
        }
        Ok(report)
    });
    outcome.map_err(|error| error.to_string())?
}

async fn find(options: &Options) -> Result<Target, String> {
    match (options.node, &options.url, &options.files, &options.s3) {
        (Some(address), ..) => Ok(Target::node(address, &options.device)),
        (None, Some(url), Some(directory), _) => Target::files(url, directory),
        (None, _, _, Some(url)) => Target::s3(url, s3::Signer::of_environment()?),
        _ => {
            let [auth, user, key] = [("--auth", &options.auth), ("--user", &options.user), ("--key", &options.key)]
                .map(|(name, value)| {
                    value
                        .as_deref()
                        .ok_or_else(|| format!("{name} is needed, or --s3, --node or --url to measure another server"))
                });
            Target::authenticate(auth?, user?, key?).await
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "written at the end, outside of any core")]
fn save(folder: &Path, report: &Report) -> Result<(), String> {
    let said = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(said)?;
    for (name, text) in [
        ("table.txt", report.table() + "\n"),
        ("report.json", report.json() + "\n"),
        ("latency.svg", plot::svg(report)),
    ] {
        std::fs::write(folder.join(name), text).map_err(said)?;
    }
    Ok(())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.001..=1e9).contains(rate));
    rate.ok_or_else(|| "a number of requests per second".to_owned())
}

fn exponent(text: &str) -> Result<f64, String> {
    let exponent = text.parse::<f64>().ok().filter(|exponent| (0.01..=5.0).contains(exponent) && *exponent != 1.0);
    exponent.ok_or_else(|| "a number from 0.01 to 5 that is not 1".to_owned())
}
