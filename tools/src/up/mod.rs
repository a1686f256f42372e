//! `martlet up`: a whole cluster on this machine without configuration.
//!
//! The first run makes the folder: secrets, configuration files, rings, device directories (`layout`, `files`). Every run
//! starts the daemons as child processes, waits until they answer, tells how to use them and stops them again
//! (`processes`). Everything listens on loopback unless `--bind` says otherwise.

mod files;
mod keystone;
pub mod layout;
mod processes;
mod rings;

use crate::Failure;
use keystone::Keystone;
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
    /// Keystone of `--profile keystone`; its service user is taken from OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME ...
    #[arg(long, value_name = "URL", env = "OS_AUTH_URL")]
    pub keystone_url: Option<String>,
    /// Memcached servers that the proxy uses: HOST:PORT, several with commas between them (default: none)
    #[arg(long, value_name = "HOST:PORT[,...]")]
    pub memcached: Option<String>,
    /// Connections to each memcached server, of all cores of the proxy together (default: two for every core)
    #[arg(long, value_name = "N", requires = "memcached")]
    pub max_memcache_connections: Option<usize>,
}

/// Who may come and what the pipeline does, decided when the folder is made.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// One account, one user with a key of its own, one storage policy
    Plain,
    /// The users, storage policies and pipeline that Swift's own functional tests expect; their keys are public
    Conformance,
    /// The same pipeline with the users of a Keystone, see --keystone-url
    Keystone,
}

impl Profile {
    /// As on the command line and in the folder's description.
    fn name(self) -> &'static str {
        match self {
            Profile::Plain => "plain",
            Profile::Conformance => "conformance",
            Profile::Keystone => "keystone",
        }
    }
}

/// Runs the cluster until Ctrl-C or SIGTERM.
pub fn run(options: &Options) -> Result<(), Failure> {
    let mut layout = Layout::open_or_create(options)?;
    let keystone = match layout.profile {
        Profile::Keystone => Some(Keystone::find(options)?),
        Profile::Plain | Profile::Conformance => None,
    };
    layout.prepare()?;
    files::write(&layout, keystone.as_ref())?;
    let mut cluster = Cluster::start(&layout)?;
    let outcome = cluster.wait_until_ready(&layout).and_then(|()| {
        match &keystone {
            Some(keystone) => greet_with_keystone(&layout, keystone),
            None => greet(&layout),
        }
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
    println!("  metrics  {}", layout.metrics());
    println!();
    println!("Paste one of these:");
    let auth = format!("{endpoint}/auth/v1.0");
    println!("  swift -A {auth} -U {} -K {} upload photos README.md", layout.user(), layout.key);
    println!("  eval \"$(martlet env --rclone '{dir}')\" && rclone copy docs martlet:photos/docs");
    println!("  curl -i -H 'X-Auth-User: {}' -H 'X-Auth-Key: {}' {auth}", layout.user(), layout.key);
    farewell();
}

/// The same for a cluster whose users are in a Keystone.
fn greet_with_keystone(layout: &Layout, keystone: &Keystone) {
    let endpoint = layout.endpoint();
    println!("Martlet serves {endpoint}");
    println!("  auth     {}", keystone.url);
    println!("  account  AUTH_ and the id of a project");
    println!("  data     {}", layout.dir.display());
    println!();
    println!("Tell Keystone once, as its admin:");
    println!("  openstack service create --name swift object-store");
    println!("  openstack endpoint create --region RegionOne object-store public '{endpoint}/v1/AUTH_%(project_id)s'");
    println!("Then, as a user with the role admin or swiftoperator in a project:");
    println!("  swift upload photos README.md");
    farewell();
}

fn farewell() {
    println!();
    println!("Ctrl-C stops it; the same command serves the same data again.");
    use std::io::Write;
    // A pipe that nobody reads any more is no reason to stop the cluster.
    let _ = std::io::stdout().flush();
}
