//! `martlet up`: a whole cluster on this machine without configuration.
//!
//! The first run makes the folder: secrets, configuration files, rings, device directories (`layout`, `files`). Every run
//! starts the daemons as child processes, waits until they answer, tells how to use them and stops them again
//! (`processes`). Everything listens on loopback unless `--bind` says otherwise.

mod files;
pub mod layout;
mod processes;
mod rings;

use crate::Failure;
use layout::Layout;
use processes::Cluster;
use std::net::IpAddr;
use std::path::PathBuf;

/// `martlet up`'s command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Folder of the cluster; made on the first run, served again on the next
    #[arg(default_value = "martlet-data")]
    pub dir: PathBuf,
    /// Port of the Swift API (default: 8080, or what the folder was made with; 0 takes a free one)
    #[arg(long)]
    pub port: Option<u16>,
    /// Address of the Swift API (default: 127.0.0.1)
    #[arg(long)]
    pub bind: Option<IpAddr>,
    /// Devices (directories that stand for disks) in all (default: 4)
    #[arg(long)]
    pub devices: Option<usize>,
    /// Copies of every object (default: 3)
    #[arg(long)]
    pub replicas: Option<usize>,
    /// Cores of the proxy and of every storage node (default: as many as the machine has, at most 4)
    #[arg(long)]
    pub cores: Option<usize>,
    /// Storage nodes: objectd processes, each a zone of its own (default: 1)
    #[arg(long)]
    pub nodes: Option<usize>,
    /// What the folder is made for: users, storage policies and pipeline (default: plain)
    #[arg(long, value_enum)]
    pub profile: Option<Profile>,
}

/// Who may come and what the pipeline does, decided when the folder is made.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// One account, one user with a key of its own, one storage policy
    Plain,
    /// The users, storage policies and pipeline that Swift's own functional tests expect; their keys are public
    Conformance,
}

impl Profile {
    /// As on the command line and in the folder's description.
    fn name(self) -> &'static str {
        match self {
            Profile::Plain => "plain",
            Profile::Conformance => "conformance",
        }
    }
}

/// Runs the cluster until Ctrl-C or SIGTERM.
pub fn run(options: &Options) -> Result<(), Failure> {
    let mut layout = Layout::open_or_create(options)?;
    layout.prepare()?;
    files::write(&layout)?;
    let mut cluster = Cluster::start(&layout)?;
    let outcome = cluster.wait_until_ready(&layout).and_then(|()| {
        greet(&layout);
        cluster.wait_for_end()
    });
    cluster.stop();
    outcome
}

/// What a newcomer pastes next. Goes to stdout: scripts read it.
fn greet(layout: &Layout) {
    let endpoint = layout.endpoint();
    let dir = layout.dir.display();
    println!("Martlet serves {endpoint}");
    println!("  auth     {endpoint}/auth/v1.0");
    println!("  account  AUTH_{}", layout::ACCOUNT);
    println!("  user     {}", layout.user());
    println!("  key      {}", layout.key);
    println!("  data     {dir}");
    println!();
    println!("Paste one of these:");
    let auth = format!("{endpoint}/auth/v1.0");
    println!("  swift -A {auth} -U {} -K {} upload photos README.md", layout.user(), layout.key);
    println!("  eval \"$(martlet env --rclone '{dir}')\" && rclone copy docs martlet:photos/docs");
    println!("  curl -i -H 'X-Auth-User: {}' -H 'X-Auth-Key: {}' {auth}", layout.user(), layout.key);
    println!();
    println!("Ctrl-C stops it; the same command serves the same data again.");
    use std::io::Write;
    // A pipe that nobody reads any more is no reason to stop the cluster.
    let _ = std::io::stdout().flush();
}
