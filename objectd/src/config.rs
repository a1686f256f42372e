//! What a storage node is told: parsed from `objectd.conf` and `swift.conf` before a port is bound.

use base::config::ConfigError;
use base::hash_path::HashPath;
use base::limits::Constraints;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The three ports of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Object service.
    pub object: u16,
    /// Container service.
    pub container: u16,
    /// Account service.
    pub account: u16,
}

/// Settings of one storage node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where rings and `swift.conf` are.
    pub swift_dir: PathBuf,
    /// Parent of the device directories.
    pub devices: PathBuf,
    /// Refuse (507) a device directory that is no mount point.
    pub mount_check: bool,
    /// Share of a file system that stays free (0.01 = 1 %).
    pub fallocate_reserve: f64,
    /// Address of the listeners.
    pub bind_ip: IpAddr,
    /// One entry per core.
    pub cores: Vec<Ports>,
    /// From `swift.conf`.
    pub hash_path: HashPath,
    /// From `swift.conf`.
    pub constraints: Constraints,
    /// Longest wait for a client's bytes.
    pub client_timeout: Duration,
    /// Connecting to another node.
    pub conn_timeout: Duration,
    /// An answer of another node.
    pub node_timeout: Duration,
    /// Longest wait of a client's request for container updates.
    pub container_update_timeout: Duration,
    /// Age after which tombstones go.
    pub reclaim_age: Duration,
    /// Pause between two passes of the updaters.
    pub updater_interval: Duration,
    /// Test only: skip the sync of an object file, so that the simulator's checker has something to find.
    pub planted_skip_sync: bool,
}

impl Config {
    /// From the text of `objectd.conf` and of `swift.conf`.
    pub fn parse(_conf_file: &str, _conf: &str, _swift_conf: &str) -> Result<Config, ConfigError> {
        todo!()
    }
}
