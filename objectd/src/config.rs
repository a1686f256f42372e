//! What a storage node is told: parsed from `objectd.conf` and `swift.conf` before a port is bound.
//!
//! `objectd.conf` has one section, `[DEFAULT]`; its options are listed in `Config::parse`, one line each. An unknown option, a
//! value out of bounds or lists of ports of different length refuse the whole file, with its name and line.

use crate::db::policies::Policies;
use base::config::{Config as Ini, ConfigError, Section, SwiftConf};
use base::hash_path::HashPath;
use base::limits::Constraints;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

const MEBIBYTE: u64 = 1024 * 1024;
/// For messages; its text is given to us.
const SWIFT_CONF: &str = "swift.conf";

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
    /// Where Swift's daemons leave their figures for recon.
    pub recon_cache_path: PathBuf,
    /// Refuse (507) a device directory that is no mount point.
    pub mount_check: bool,
    /// Share of a file system that stays free (0.01 = 1 %).
    pub fallocate_reserve: f64,
    /// Do not reserve the space of an object before it is written.
    pub disable_fallocate: bool,
    /// Address of the listeners.
    pub bind_ip: IpAddr,
    /// Address by which the rings know this node; `bind_ip` unless set.
    pub ring_ip: IpAddr,
    /// One entry per core.
    pub cores: Vec<Ports>,
    /// Connections served at a time by each port.
    pub max_clients: usize,
    /// From `swift.conf`.
    pub hash_path: HashPath,
    /// From `swift.conf`.
    pub constraints: Constraints,
    /// Indexes of the replicated storage policies of `swift.conf`.
    pub policies: BTreeSet<u32>,
    /// Names of all storage policies of `swift.conf`, whatever their type: rows of any of them are kept.
    pub policy_names: Policies,
    /// Longest wait for a client's bytes.
    pub client_timeout: Duration,
    /// Longest idle time of a connection between two requests.
    pub keepalive_timeout: Duration,
    /// Connecting to another node.
    pub conn_timeout: Duration,
    /// An answer of another node.
    pub node_timeout: Duration,
    /// Silence of a disk, while it owes an answer, past which its device answers 507 until the disk answers again.
    pub device_timeout: Duration,
    /// Longest wait of a client's request for container updates.
    pub container_update_timeout: Duration,
    /// Age after which tombstones go.
    pub reclaim_age: Duration,
    /// Pause between two passes of the updaters.
    pub updater_interval: Duration,
    /// Background scans read on an executor of their own, past the page cache; otherwise as the foreground does.
    pub maintenance_executor: bool,
    /// Devices have the packed layout.
    pub packed: bool,
    /// Objects up to this size go into volumes.
    pub pack_limit: u64,
    /// Bytes of a volume.
    pub volume_bytes: u64,
}

impl Config {
    /// From the text of `objectd.conf` and of `swift.conf`. `conf_file` is for messages.
    pub fn parse(conf_file: &str, conf: &str, swift_conf: &str) -> Result<Config, ConfigError> {
        let ini = Ini::parse(conf_file, conf)?;
        if let Some(name) = ini.sections().next() {
            return Err(ConfigError::new(format!(
                "{conf_file}: [{name}] is not known here; put its options into [DEFAULT]"
            )));
        }
        let swift = SwiftConf::parse(SWIFT_CONF, swift_conf)?;
        let options = ini.defaults();
        let bind_ip = address(options, "bind_ip", IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
        let max_clients = options.integer("max_clients", 1024, 1..=1_000_000)?;
        let mut config = Config {
            swift_dir: options.get("swift_dir").unwrap_or("/etc/swift").into(),
            devices: options.get("devices").unwrap_or("/srv/node").into(),
            recon_cache_path: options.get("recon_cache_path").unwrap_or(base::recon::CACHE_PATH).into(),
            mount_check: options.boolean("mount_check", true),
            fallocate_reserve: reserve(options)?,
            disable_fallocate: options.boolean("disable_fallocate", false),
            bind_ip,
            ring_ip: address(options, "ring_ip", bind_ip)?,
            cores: cores(options)?,
            max_clients: usize::try_from(max_clients).unwrap_or(usize::MAX),
            hash_path: swift.hash_path,
            constraints: swift.constraints,
            policies: BTreeSet::from([0]),
            policy_names: Policies::default(),
            client_timeout: seconds(options, "client_timeout", 60.0)?,
            keepalive_timeout: seconds(options, "keepalive_timeout", 60.0)?,
            conn_timeout: seconds(options, "conn_timeout", 0.5)?,
            node_timeout: seconds(options, "node_timeout", 3.0)?,
            device_timeout: seconds(options, "device_timeout", 10.0)?,
            container_update_timeout: seconds(options, "container_update_timeout", 1.0)?,
            reclaim_age: seconds(options, "reclaim_age", 604_800.0)?,
            updater_interval: seconds(options, "updater_interval", 300.0)?,
            maintenance_executor: options.boolean("maintenance_executor", true),
            packed: packed(options)?,
            pack_limit: options.integer("pack_limit", 256 * 1024, 0..=MEBIBYTE)?,
            volume_bytes: options.integer("volume_size", 256 * MEBIBYTE, 8 * MEBIBYTE..=64 * 1024 * MEBIBYTE)?,
        };
        if let Some((name, place)) = options.unknown().into_iter().next() {
            return Err(ConfigError::new(format!(
                "{place}: {name} is no option of objectd; remove it or mend its spelling"
            )));
        }
        config.read_policies(swift_conf)?;
        Ok(config)
    }

    /// What `swift-recon` is told.
    pub fn recon(&self) -> base::recon::Recon {
        let policies = self.policies.iter().copied();
        base::recon::Recon::new(&self.devices, &self.swift_dir, &self.recon_cache_path, policies)
    }

    /// Directory name of a policy's objects, async updates or temporary files: `objects`, `objects-1`.
    pub fn policy_directory(kind: &str, policy: u32) -> String {
        if policy == 0 { kind.to_owned() } else { format!("{kind}-{policy}") }
    }

    /// The replicated policies and the names of all; their other options concern the proxy.
    fn read_policies(&mut self, text: &str) -> Result<(), ConfigError> {
        let ini = Ini::parse(SWIFT_CONF, text)?;
        let policies: Vec<&str> = ini.sections().filter_map(|name| name.strip_prefix("storage-policy:")).collect();
        if policies.is_empty() {
            return Ok(());
        }
        self.policies.clear();
        let mut names = Vec::with_capacity(policies.len());
        for index in policies {
            let name = format!("storage-policy:{index}");
            let wrong = || {
                ConfigError::new(format!("{SWIFT_CONF}: [{name}] must end in the index of the policy, a whole number"))
            };
            let number = index.parse::<u32>().map_err(|_| wrong())?;
            let option = |option| ini.section(&name).and_then(|section| section.get(option));
            names.push((number, option("name").map_or_else(|| format!("Policy-{number}"), str::to_owned)));
            if option("policy_type").unwrap_or("replication") == "replication" {
                self.policies.insert(number);
            }
        }
        self.policy_names = Policies::new(names);
        Ok(())
    }
}

/// Equal lists of ports, one entry per core.
fn cores(options: &Section) -> Result<Vec<Ports>, ConfigError> {
    let object = ports(options, "object_ports", "6200")?;
    let container = ports(options, "container_ports", "6201")?;
    let account = ports(options, "account_ports", "6202")?;
    let mut seen = BTreeSet::new();
    for (name, ports) in [("object_ports", &object), ("container_ports", &container), ("account_ports", &account)] {
        if ports.len() != object.len() {
            return Err(options.error(name, "as long as object_ports: one port per core"));
        }
        if !ports.iter().all(|port| seen.insert(*port)) {
            return Err(options.error(name, "a list of ports that no other service or core has"));
        }
    }
    let triples = object.into_iter().zip(container).zip(account);
    Ok(triples.map(|((object, container), account)| Ports { object, container, account }).collect())
}

fn ports(options: &Section, name: &str, default: &str) -> Result<Vec<u16>, ConfigError> {
    let ports: Option<Vec<u16>> =
        options.list(name, default).iter().map(|port| port.parse().ok().filter(|port| *port > 0)).collect();
    let wanted = "ports separated by commas, one per core";
    ports.filter(|ports| !ports.is_empty()).ok_or_else(|| options.error(name, wanted))
}

/// `layout = packed` or `stock`.
fn packed(options: &Section) -> Result<bool, ConfigError> {
    match options.get("layout").unwrap_or("packed") {
        "packed" => Ok(true),
        "stock" => Ok(false),
        _ => Err(options.error("layout", "packed or stock")),
    }
}

fn address(options: &Section, name: &str, default: IpAddr) -> Result<IpAddr, ConfigError> {
    let Some(text) = options.get(name) else { return Ok(default) };
    text.parse().map_err(|_| options.error(name, "an IP address"))
}

/// A deadline or pause of zero would make a loop that never rests.
fn seconds(options: &Section, name: &str, default: f64) -> Result<Duration, ConfigError> {
    options.float(name, default, 0.001..=315_576_000.0).map(Duration::from_secs_f64)
}

/// `1 %`, `1%` or a number of per cent.
fn reserve(options: &Section) -> Result<f64, ConfigError> {
    let text = options.get("fallocate_reserve").unwrap_or("1%").trim_end_matches('%').trim();
    match text.parse::<f64>() {
        Ok(share) if (0.0..100.0).contains(&share) => Ok(share / 100.0),
        _ => Err(options.error("fallocate_reserve", "a percentage from 0% to below 100%")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "[swift-hash]\nswift_hash_path_suffix = changeme\n";

    fn parse(conf: &str) -> Result<Config, ConfigError> {
        Config::parse("objectd.conf", conf, SECRET)
    }

    #[test]
    fn ports_are_zipped_into_cores() {
        let config =
            parse("[DEFAULT]\nobject_ports = 6200, 6210\ncontainer_ports = 6201,6211\naccount_ports=6202,6212\n")
                .unwrap();
        assert_eq!(config.cores.len(), 2);
        assert_eq!(config.cores[1], Ports { object: 6210, container: 6211, account: 6212 });
        assert_eq!(config.ring_ip, config.bind_ip);
    }

    #[test]
    fn a_bad_file_is_refused_with_its_line() {
        for (conf, message) in [
            ("[DEFAULT]\nbind_pi = 1\n", "objectd.conf:2: bind_pi is no option"),
            ("[DEFAULT]\n\nnode_timeout = soon\n", "objectd.conf:3: node_timeout = soon is not possible"),
            ("[DEFAULT]\ncontainer_ports = 1,2\n", "objectd.conf:2: container_ports = 1,2 is not possible"),
            ("[DEFAULT]\nfallocate_reserve = 100%\n", "objectd.conf:2: fallocate_reserve = 100% is not possible"),
            ("[DEFAULT]\ncontainer_ports = 6200\n", "objectd.conf:2: container_ports = 6200 is not possible"),
        ] {
            let error = parse(conf).unwrap_err();
            assert!(error.message.starts_with(message), "{}", error.message);
        }
    }

    #[test]
    fn a_cluster_without_a_secret_is_refused() {
        assert!(Config::parse("objectd.conf", "[DEFAULT]\n", "[swift-hash]\n").is_err());
    }

    #[test]
    fn policies_of_every_type_have_their_names() {
        let swift = "[swift-hash]\nswift_hash_path_suffix = x\n[storage-policy:0]\nname = gold\ndefault = yes\n\
                     [storage-policy:1]\nname = ec42\npolicy_type = erasure_coding\nec_type = liberasurecode_rs_vand\n\
                     ec_num_data_fragments = 4\nec_num_parity_fragments = 2\n";
        let config = Config::parse("objectd.conf", "[DEFAULT]\n", swift).unwrap();
        let name = |index| config.policy_names.name(index);
        assert_eq!((name(0), name(1), name(2)), (Some("gold"), Some("ec42"), None));
        assert_eq!(config.policies, BTreeSet::from([0]));
        let config =
            Config::parse("objectd.conf", "[DEFAULT]\n", "[swift-hash]\nswift_hash_path_suffix = x\n").unwrap();
        assert_eq!(config.policy_names.name(0), Some("Policy-0"));
    }
}
