//! What a storage node is told: parsed from `objectd.conf` and `swift.conf` before a port is bound.
//!
//! `objectd.conf` has one section, `[DEFAULT]`; its options are listed in `Options::read`, one line each. An unknown option, a
//! value out of bounds or lists of ports of different length refuse the whole file, with its name and line.

use base::config::{Config as Ini, ConfigError, Section, is_true};
use base::hash_path::HashPath;
use base::limits::Constraints;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
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
    /// Longest wait for a client's bytes.
    pub client_timeout: Duration,
    /// Longest idle time of a connection between two requests.
    pub keepalive_timeout: Duration,
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
    /// From the text of `objectd.conf` and of `swift.conf`. `conf_file` is for messages.
    pub fn parse(conf_file: &str, conf: &str, swift_conf: &str) -> Result<Config, ConfigError> {
        let ini = Ini::parse(conf_file, conf)?;
        let empty = Section::default();
        let options = Options::new(conf_file, conf, ini.section("DEFAULT").unwrap_or(&empty));
        if let Some(name) = ini.sections().find(|name| *name != "DEFAULT") {
            return Err(refuse(conf_file, conf, name, "is no section of this file; put its options into [DEFAULT]"));
        }
        let cores = cores(&options)?;
        let bind_ip = options.value("bind_ip", IpAddr::V4(Ipv4Addr::UNSPECIFIED), "an IP address")?;
        let mut config = Config {
            swift_dir: options.value("swift_dir", PathBuf::from("/etc/swift"), "a directory")?,
            devices: options.value("devices", PathBuf::from("/srv/node"), "a directory")?,
            mount_check: options.flag("mount_check", true),
            fallocate_reserve: reserve(&options)?,
            disable_fallocate: options.flag("disable_fallocate", false),
            bind_ip,
            ring_ip: options.value("ring_ip", bind_ip, "an IP address")?,
            cores,
            max_clients: options.value("max_clients", 1024, "a whole number")?,
            hash_path: HashPath::new("", ""),
            constraints: Constraints::default(),
            policies: BTreeSet::from([0]),
            client_timeout: options.seconds("client_timeout", 60.0)?,
            keepalive_timeout: options.seconds("keepalive_timeout", 60.0)?,
            conn_timeout: options.seconds("conn_timeout", 0.5)?,
            node_timeout: options.seconds("node_timeout", 3.0)?,
            container_update_timeout: options.seconds("container_update_timeout", 1.0)?,
            reclaim_age: options.seconds("reclaim_age", 604_800.0)?,
            updater_interval: options.seconds("updater_interval", 300.0)?,
            planted_skip_sync: options.flag("planted_skip_sync", false),
        };
        options.finish()?;
        config.read_swift_conf(swift_conf)?;
        Ok(config)
    }

    /// Directory name of a policy's objects, async updates or temporary files: `objects`, `objects-1`.
    pub fn policy_directory(kind: &str, policy: u32) -> String {
        if policy == 0 { kind.to_owned() } else { format!("{kind}-{policy}") }
    }

    fn read_swift_conf(&mut self, text: &str) -> Result<(), ConfigError> {
        const FILE: &str = "swift.conf";
        let ini = Ini::parse(FILE, text)?;
        let option = |name| ini.section("swift-hash").and_then(|section| section.get(name)).unwrap_or_default();
        let (prefix, suffix) = (option("swift_hash_path_prefix"), option("swift_hash_path_suffix"));
        if prefix.is_empty() && suffix.is_empty() {
            return Err(ConfigError {
                message: format!(
                    "{FILE}: [swift-hash] has neither swift_hash_path_suffix nor swift_hash_path_prefix; set the values of this cluster"
                ),
            });
        }
        self.hash_path = HashPath::new(prefix, suffix);
        if let Some(section) = ini.section("swift-constraints") {
            read_constraints(&mut self.constraints, &Options::new(FILE, text, section))?;
        }
        let policies: Vec<&str> = ini.sections().filter_map(|name| name.strip_prefix("storage-policy:")).collect();
        if policies.is_empty() {
            return Ok(());
        }
        self.policies.clear();
        for index in policies {
            let name = format!("storage-policy:{index}");
            let number = index
                .parse::<u32>()
                .map_err(|_| refuse(FILE, text, &name, "must end in the index of the policy, a whole number"))?;
            let kind = ini.section(&name).and_then(|section| section.get("policy_type")).unwrap_or("replication");
            if kind == "replication" {
                self.policies.insert(number);
            }
        }
        Ok(())
    }
}

/// Equal lists of ports, one entry per core.
fn cores(options: &Options<'_>) -> Result<Vec<Ports>, ConfigError> {
    let object = options.ports("object_ports", 6200)?;
    let container = options.ports("container_ports", 6201)?;
    let account = options.ports("account_ports", 6202)?;
    if object.len() != container.len() || object.len() != account.len() {
        return Err(
            options.refuse("object_ports", "container_ports and account_ports must list one port per core each")
        );
    }
    let mut seen = BTreeSet::new();
    for (name, ports) in [("object_ports", &object), ("container_ports", &container), ("account_ports", &account)] {
        if let Some(port) = ports.iter().find(|port| !seen.insert(**port)) {
            return Err(options.refuse(name, &format!("lists port {port}, which another service or core has already")));
        }
    }
    let pairs = object.into_iter().zip(container).zip(account);
    Ok(pairs.map(|((object, container), account)| Ports { object, container, account }).collect())
}

/// `1 %`, `1%` or a number of per cent.
fn reserve(options: &Options<'_>) -> Result<f64, ConfigError> {
    let text = options.get("fallocate_reserve").unwrap_or("1%").trim_end_matches('%').trim();
    match text.parse::<f64>() {
        Ok(share) if (0.0..100.0).contains(&share) => Ok(share / 100.0),
        _ => Err(options.refuse("fallocate_reserve", "must be a percentage from 0% to below 100%")),
    }
}

fn read_constraints(constraints: &mut Constraints, options: &Options<'_>) -> Result<(), ConfigError> {
    const WANTED: &str = "a whole number";
    let c = constraints;
    c.max_file_size = options.value("max_file_size", c.max_file_size, WANTED)?;
    c.max_meta_name_length = options.value("max_meta_name_length", c.max_meta_name_length, WANTED)?;
    c.max_meta_value_length = options.value("max_meta_value_length", c.max_meta_value_length, WANTED)?;
    c.max_meta_count = options.value("max_meta_count", c.max_meta_count, WANTED)?;
    c.max_meta_overall_size = options.value("max_meta_overall_size", c.max_meta_overall_size, WANTED)?;
    c.max_header_size = options.value("max_header_size", c.max_header_size, WANTED)?;
    c.max_object_name_length = options.value("max_object_name_length", c.max_object_name_length, WANTED)?;
    c.max_container_name_length = options.value("max_container_name_length", c.max_container_name_length, WANTED)?;
    c.max_account_name_length = options.value("max_account_name_length", c.max_account_name_length, WANTED)?;
    c.container_listing_limit = options.value("container_listing_limit", c.container_listing_limit, WANTED)?;
    c.account_listing_limit = options.value("account_listing_limit", c.account_listing_limit, WANTED)?;
    Ok(())
}

/// The options of one section; remembers which were asked for, so that the others can be named as unknown.
struct Options<'a> {
    file: &'a str,
    text: &'a str,
    section: &'a Section,
    known: RefCell<BTreeSet<String>>,
}

impl<'a> Options<'a> {
    fn new(file: &'a str, text: &'a str, section: &'a Section) -> Self {
        Self { file, text, section, known: RefCell::default() }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.known.borrow_mut().insert(name.to_owned());
        self.section.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    fn value<T: FromStr>(&self, name: &str, default: T, wanted: &str) -> Result<T, ConfigError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.parse().map_err(|_| self.refuse(name, &format!("must be {wanted}, not '{text}'")))
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, is_true)
    }

    /// Seconds with a fraction, above zero and at most a century.
    fn seconds(&self, name: &str, default: f64) -> Result<Duration, ConfigError> {
        let seconds: f64 = self.value(name, default, "a number of seconds")?;
        if !(0.001..3.2e9).contains(&seconds) {
            return Err(self.refuse(name, "must be a number of seconds of 0.001 or more"));
        }
        Ok(Duration::from_secs_f64(seconds))
    }

    fn ports(&self, name: &str, default: u16) -> Result<Vec<u16>, ConfigError> {
        let Some(text) = self.get(name) else { return Ok(vec![default]) };
        let parsed: Option<Vec<u16>> = text.split(',').map(|port| port.trim().parse().ok()).collect();
        parsed
            .filter(|ports| !ports.contains(&0))
            .ok_or_else(|| self.refuse(name, &format!("must be ports separated by commas, one per core, not '{text}'")))
    }

    fn refuse(&self, name: &str, why: &str) -> ConfigError {
        refuse(self.file, self.text, name, why)
    }

    fn finish(&self) -> Result<(), ConfigError> {
        let known = self.known.borrow();
        // The parser adds `here` and `__file__` for interpolation.
        let unknown =
            self.section.options.keys().find(|name| !known.contains(*name) && *name != "here" && *name != "__file__");
        match unknown {
            Some(name) => Err(self.refuse(name, "is no option of objectd; remove it or mend its spelling")),
            None => Ok(()),
        }
    }
}

/// `file:line: name why`; the line is left out when the name does not stand in the file.
fn refuse(file: &str, text: &str, name: &str, why: &str) -> ConfigError {
    let is_it = |line: &str| {
        let word = line.trim_start().trim_start_matches('[').split(['=', ':', ']']).next().unwrap_or_default().trim();
        word.eq_ignore_ascii_case(name) || line.trim() == format!("[{name}]")
    };
    let place = match text.lines().position(is_it) {
        Some(at) => format!("{file}:{}", at + 1),
        None => file.to_owned(),
    };
    ConfigError { message: format!("{place}: {name} {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWIFT_CONF: &str = "[swift-hash]\nswift_hash_path_suffix = changeme\n";

    fn parse(conf: &str) -> Result<Config, ConfigError> {
        Config::parse("objectd.conf", conf, SWIFT_CONF)
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
            (
                "[DEFAULT]\n\nnode_timeout = soon\n",
                "objectd.conf:3: node_timeout must be a number of seconds, not 'soon'",
            ),
            ("[DEFAULT]\nobject_ports = 1,2\n", "objectd.conf:2: object_ports container_ports and account_ports must"),
            ("[DEFAULT]\nfallocate_reserve = 100%\n", "objectd.conf:2: fallocate_reserve must be"),
            ("[DEFAULT]\ncontainer_ports = 6200\n", "objectd.conf:2: container_ports lists port 6200"),
        ] {
            let error = parse(conf).unwrap_err();
            assert!(error.message.starts_with(message), "{}", error.message);
        }
    }

    #[test]
    fn a_cluster_without_a_secret_is_refused() {
        assert!(Config::parse("objectd.conf", "[DEFAULT]\n", "[swift-hash]\n").is_err());
    }
}
