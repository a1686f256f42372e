//! `martlet bench-peers DIR`: Martlet beside what it is compared with, in one run: the Python Swift, nginx, Garage, itself.
//!
//! Clusters of ours are started below DIR by this process; the peers are started by `bench/peers`, which says here where they are. Rows by
//! name: `ratios` (rounds in which all take turns), `tail`, `idle`, `sick` (a device that is slow), and, only when asked for, `million`. A peer that is not named is left out, and its rows with it.

mod idle;
mod million;
mod placement;
mod ratios;
mod rounds;
mod sick;
mod tail;

use crate::Failure;
use crate::cluster::Cluster;
use base::io::real;
use bench::bars::{self, Row};
use bench::processes::{self, Server};
use bench::s3;
use bench::system_calls::{self, Means};
use bench::target::Target;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `martlet bench-peers`' command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// An empty folder on the disk to be measured; what is made in it is removed
    dir: PathBuf,
    /// Rows to measure (default: all but the last): ratios, tail, idle, sick, million
    #[arg(value_parser = ["ratios", "tail", "idle", "sick", "million"])]
    rows: Vec<String>,
    /// Folder of the Python Swift, with the process ids of its servers in run/*.pid
    #[arg(long, requires = "swift_auth")]
    swift: Option<PathBuf>,
    /// Its authentication URL; the user is test:tester with the key testing
    #[arg(long, requires = "swift")]
    swift_auth: Option<String>,
    /// Folder of nginx, with its process id in run/nginx.pid; it serves the folder's files/
    #[arg(long, requires = "nginx_url")]
    nginx: Option<PathBuf>,
    /// Where it serves them
    #[arg(long, requires = "nginx")]
    nginx_url: Option<String>,
    /// Folder of Garage, with the process ids of its nodes in run/*.pid; the keys are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long, requires = "garage_url")]
    garage: Option<PathBuf>,
    /// Its S3 service
    #[arg(long, requires = "garage")]
    garage_url: Option<String>,
    /// A file system of its own, on a block device that cgroup v1 may slow, for the row sick
    #[arg(long)]
    slow_disk: Option<PathBuf>,
    /// Rounds of which the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Share of the full amount of work: 0.01 shows that everything runs
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Also leave peers.txt, peers.md and peers.json in this folder
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
}

/// What every row is given.
struct Bench {
    dir: PathBuf,
    rounds: u32,
    scale: f64,
    means: Option<Means>,
    swift: Option<Peer>,
    nginx: Option<Peer>,
    garage: Option<Peer>,
    slow_disk: Option<PathBuf>,
}

/// Somebody else's server.
struct Peer {
    target: Target,
    servers: Vec<Server>,
}

impl Bench {
    /// The share of `full` that is asked for, at least `least`.
    fn amount(&self, full: u64, least: u64) -> u64 {
        bars::share(full, self.scale, least)
    }

    /// The same of a span of time, at least a tenth of it.
    fn span(&self, full: Duration) -> Duration {
        full.mul_f64(self.scale.clamp(0.1, 10.0))
    }

    /// A cluster of three replicas on four devices, as `martlet up` makes it.
    fn cluster(&self, cores: &str) -> Result<Cluster, String> {
        let dir = self.dir.join(format!("cluster-of-{cores}"));
        Cluster::create(&dir, &["--devices", "4", "--replicas", "3", "--cores", cores])
    }
}

type Measure = fn(&Bench) -> Result<Vec<Row>, String>;

const ROWS: [(&str, Measure); 5] = [
    ("ratios", ratios::measure),
    ("tail", tail::measure),
    ("idle", idle::measure),
    ("sick", sick::measure),
    ("million", million::measure),
];
/// Its container takes longer to fill than all other rows to measure.
const ONLY_WHEN_ASKED: &str = "million";

/// Measures and prints.
pub fn run(options: &Options) -> Result<(), Failure> {
    let bench = prepare(options).map_err(Failure::running)?;
    let mut rows = Vec::new();
    for (name, measure) in ROWS {
        let is_usual = options.rows.is_empty() && name != ONLY_WHEN_ASKED;
        if is_usual || options.rows.iter().any(|wanted| wanted == name) {
            eprintln!("measuring {name} …");
            rows.extend(measure(&bench).map_err(|message| Failure::running(format!("{name}: {message}")))?);
        }
    }
    let json = format!("{:#}", bars::json(&rows));
    println!("{}", if options.json { json.clone() } else { bars::text(&rows) });
    if let Some(folder) = &options.save {
        let files = [("peers.txt", bars::text(&rows)), ("peers.md", bars::markdown(&rows)), ("peers.json", json)];
        save(folder, &files).map_err(|error| Failure::running(format!("{}: {error}", folder.display())))?;
    }
    Ok(())
}

fn prepare(options: &Options) -> Result<Bench, String> {
    let swift = match (&options.swift, &options.swift_auth) {
        (Some(folder), Some(auth)) => Some(Peer::swift(folder, auth)?),
        _ => None,
    };
    let nginx = match (&options.nginx, &options.nginx_url) {
        (Some(folder), Some(url)) => Some(Peer {
            target: Target::files(url, &folder.join("files"))?,
            servers: processes::servers(&[], Some(folder))?,
        }),
        _ => None,
    };
    let garage = match (&options.garage, &options.garage_url) {
        (Some(folder), Some(url)) => Some(Peer {
            target: Target::s3(url, s3::Signer::of_environment()?)?,
            servers: processes::servers(&[], Some(folder))?,
        }),
        _ => None,
    };
    let Options { dir, rounds, scale, slow_disk, .. } = options.clone();
    Ok(Bench { dir, rounds, scale, means: system_calls::means(), swift, nginx, garage, slow_disk })
}

impl Peer {
    fn swift(folder: &Path, auth: &str) -> Result<Peer, String> {
        let target = real::run(real::CoreOptions::default(), || Target::authenticate(auth, "test:tester", "testing"));
        let target = target.map_err(|error| error.to_string())??;
        Ok(Peer { target, servers: processes::servers(&[], Some(folder))? })
    }
}

#[expect(clippy::disallowed_methods, reason = "written at the end, outside of any core")]
fn save(folder: &Path, files: &[(&str, String)]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    files.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), format!("{text}\n")))
}

fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse::<f64>().ok().filter(|scale| (0.0..=10.0).contains(scale));
    scale.ok_or_else(|| "a number from 0 to 10".to_owned())
}
