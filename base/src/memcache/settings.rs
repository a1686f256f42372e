//! Core: what an operator says about memcached: `[filter:cache]` of `proxy-server.conf`, and `memcache.conf` beside `swift.conf`.
//!
//! Swift's rule which of the two counts: `memcache.conf` is looked at only if the filter lacks servers or a number of connections. Then
//! its options hold wherever the filter does not say otherwise.

use super::slots::slice;
use crate::config::{Config, ConfigError, Section, is_true};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The port of a server that names none.
const PORT: u16 = 11211;
/// Names of the number of connections; the first one given holds.
const CONNECTIONS: [&str; 3] = ["max_memcache_connections", "memcache_max_connections", "max_connections"];
/// Swift's number of them.
const CONNECTIONS_DEFAULT: usize = 2;
/// More servers than this is a mistake: a ring of them would not fit a cache of the processor.
const SERVERS_MAX: usize = 1024;

/// How to reach memcached.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// As written, in their order, each once: the ring hashes these names.
    pub servers: Vec<Server>,
    /// Connections to each server, of all cores together.
    pub max_connections: usize,
    /// For a connection to stand, TLS included.
    pub connect_timeout: Duration,
    /// For a slot to become free.
    pub pool_timeout: Duration,
    /// For a command and its reply.
    pub io_timeout: Duration,
    /// Servers a key is asked of.
    pub tries: usize,
    /// Failures before a server is left out.
    pub error_suppression_limit: usize,
    /// How long it is left out, and how long failures are remembered; zero: never.
    pub error_suppression_interval: Duration,
    /// Values of at least so many bytes are told in the log.
    pub item_size_warning_threshold: Option<usize>,
    /// Encrypted connections.
    pub tls: Option<Tls>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// As written.
    pub name: String,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Files of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whom to trust; without it, whom this machine trusts.
    pub ca_file: Option<String>,
    /// What we show the server.
    pub certificate_file: Option<String>,
    /// Its key; without it, it is in the certificate's file.
    pub key_file: Option<String>,
}

impl Settings {
    /// From the filter's section and `memcache.conf`, if there is one.
    pub fn read(filter: &Section, memcache_conf: Option<&Config>) -> Result<Settings, ConfigError> {
        let file = memcache_conf.and_then(|conf| conf.section("memcache"));
        // Asked in any case, so that no option that is known is called unknown.
        let (own_servers, own_connections) = (filter.get("memcache_servers"), connections(filter)?);
        let is_complete = own_servers.is_some_and(|servers| !servers.trim().is_empty()) && own_connections.is_some();
        let file = file.filter(|_| !is_complete);
        let options = Options { filter, file };
        let servers = servers(options.get("memcache_servers").map_or("127.0.0.1:11211", |(_, text)| text), filter)?;
        let of_file = file.map(connections).transpose()?.flatten();
        Ok(Settings {
            max_connections: own_connections.or(of_file).unwrap_or(CONNECTIONS_DEFAULT),
            connect_timeout: options.seconds("connect_timeout", 0.3)?,
            pool_timeout: options.seconds("pool_timeout", 1.0)?,
            io_timeout: options.seconds("io_timeout", 2.0)?,
            tries: options.size("tries", 3, 1..=100)?.min(servers.len()),
            error_suppression_limit: options.size("error_suppression_limit", 10, 0..=10_000)?,
            error_suppression_interval: options.seconds("error_suppression_interval", 60.0)?,
            item_size_warning_threshold: options.threshold()?,
            tls: options.tls(),
            servers,
        })
    }

    /// For servers without more to say of them.
    pub fn of(servers: &[&str], max_connections: usize) -> Result<Settings, ConfigError> {
        let text = format!(
            "[filter:cache]\nmemcache_servers = {}\nmemcache_max_connections = {max_connections}\n",
            servers.join(",")
        );
        let config = Config::parse("memcache", &text)?;
        Settings::read(config.section_or_defaults("filter:cache"), None)
    }

    /// Connections that core `core` of `cores` may have to each server.
    pub fn slice(&self, cores: usize, core: usize) -> usize {
        slice(self.max_connections, cores, core)
    }

    /// Which cores go without, in a sentence; `None` when none does.
    pub fn notice(&self, cores: usize) -> Option<String> {
        let first = self.max_connections;
        let last = cores.checked_sub(1).filter(|last| *last >= first)?;
        let who = if first == last { format!("core {first} has") } else { format!("cores {first} to {last} have") };
        Some(format!(
            "max_memcache_connections = {first} is less than the number of cores, {cores}: {who} no connection to memcached and use their \
             own cache only; give at least {cores}"
        ))
    }
}

/// The number of connections, by any of its names. What is no positive number counts as not said, as in Swift.
fn connections(section: &Section) -> Result<Option<usize>, ConfigError> {
    let mut found = None;
    for name in CONNECTIONS {
        let Some(text) = section.get(name) else { continue };
        let number: i64 = text.trim().parse().map_err(|_| section.error(name, "a whole number"))?;
        let number = usize::try_from(number).ok().filter(|number| *number > 0);
        if number.is_some_and(|number| number > 100_000) {
            return Err(section.error(name, "at most 100000"));
        }
        found = found.or(number);
    }
    Ok(found)
}

fn servers(text: &str, section: &Section) -> Result<Vec<Server>, ConfigError> {
    let mut servers: Vec<Server> = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let server = Server::parse(name)
            .ok_or_else(|| section.error("memcache_servers", "a list such as 10.0.0.1:11211, [fd00::1]:11211"))?;
        if servers.iter().all(|other| other.name != server.name) {
            servers.push(server);
        }
    }
    if servers.is_empty() || servers.len() > SERVERS_MAX {
        return Err(section.error("memcache_servers", "a list of 1 to 1024 servers"));
    }
    Ok(servers)
}

impl Server {
    /// `host`, `host:port`, `[v6]`, `[v6]:port`, a bare v6 address.
    pub fn parse(name: &str) -> Option<Server> {
        let (host, port) = if let Some(rest) = name.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match rest {
                "" => (host, None),
                rest => (host, Some(rest.strip_prefix(':')?)),
            }
        } else if name.matches(':').count() > 1 {
            name.parse::<std::net::Ipv6Addr>().ok()?;
            (name, None)
        } else {
            match name.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (name, None),
            }
        };
        let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
        let port = port.map_or(Some(PORT), |port| port.parse().ok().filter(|port| *port > 0))?;
        is_host.then(|| Server { name: name.to_owned(), host: host.to_owned(), port })
    }
}

/// Two sections, of which the filter's holds.
struct Options<'a> {
    filter: &'a Section,
    file: Option<&'a Section>,
}

impl<'a> Options<'a> {
    fn get(&self, name: &str) -> Option<(&'a Section, &'a str)> {
        let own = self.filter.get(name).map(|text| (self.filter, text));
        own.or_else(|| self.file.and_then(|file| file.get(name).map(|text| (file, text))))
    }

    fn section(&self, name: &str) -> &'a Section {
        self.get(name).map_or(self.filter, |(section, _)| section)
    }

    fn seconds(&self, name: &str, default: f64) -> Result<Duration, ConfigError> {
        self.section(name).seconds(name, default)
    }

    fn size(&self, name: &str, default: u64, bounds: RangeInclusive<u64>) -> Result<usize, ConfigError> {
        let number = self.section(name).integer(name, default, bounds)?;
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// Swift's -1 is never.
    fn threshold(&self) -> Result<Option<usize>, ConfigError> {
        let name = "item_size_warning_threshold";
        let Some((section, text)) = self.get(name) else { return Ok(None) };
        let number: i64 = text.trim().parse().map_err(|_| section.error(name, "a whole number, -1 for never"))?;
        Ok(usize::try_from(number).ok())
    }

    fn tls(&self) -> Option<Tls> {
        let text = |name: &str| self.get(name).map(|(_, text)| text.to_owned()).filter(|text| !text.is_empty());
        let tls =
            Tls { ca_file: text("tls_cafile"), certificate_file: text("tls_certfile"), key_file: text("tls_keyfile") };
        self.get("tls_enabled").is_some_and(|(_, text)| is_true(text)).then_some(tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(filter: &str, file: Option<&str>) -> Result<Settings, ConfigError> {
        let proxy = Config::parse("proxy-server.conf", &format!("[filter:cache]\n{filter}\n")).unwrap();
        let file = file.map(|text| Config::parse("memcache.conf", &format!("[memcache]\n{text}\n")).unwrap());
        Settings::read(proxy.section("filter:cache").unwrap(), file.as_ref())
    }

    fn names(settings: &Settings) -> Vec<&str> {
        settings.servers.iter().map(|server| server.name.as_str()).collect()
    }

    #[test]
    fn without_a_word_it_is_swifts_default() {
        let settings = read("", None).unwrap();
        assert_eq!((names(&settings), settings.max_connections, settings.tries), (vec!["127.0.0.1:11211"], 2, 1));
        assert_eq!(settings.pool_timeout, Duration::from_secs(1));
        assert_eq!(settings.tls, None);
    }

    #[test]
    fn a_filter_that_says_both_never_looks_at_the_file() {
        let file = "memcache_servers = b:1\nmemcache_max_connections = 9\nconnect_timeout = 7\ntries = 2";
        let both = read("memcache_servers = a:1, c:1\nmemcache_max_connections = 4", Some(file)).unwrap();
        assert_eq!(
            (names(&both), both.max_connections, both.connect_timeout.as_millis()),
            (vec!["a:1", "c:1"], 4, 300)
        );
        // Without a number the file is read, and what the filter says still holds.
        let servers = read("memcache_servers = a:1\nconnect_timeout = 2", Some(file)).unwrap();
        assert_eq!((names(&servers), servers.max_connections), (vec!["a:1"], 9));
        assert_eq!(servers.connect_timeout, Duration::from_secs(2));
        let number = read("max_connections = 5", Some(file)).unwrap();
        assert_eq!((names(&number), number.max_connections), (vec!["b:1"], 5));
        assert_eq!(number.connect_timeout, Duration::from_secs(7));
    }

    #[test]
    fn the_number_of_connections_has_three_names() {
        for name in CONNECTIONS {
            assert_eq!(read(&format!("{name} = 6"), None).unwrap().max_connections, 6, "{name}");
            assert_eq!(read("", Some(&format!("{name} = 7"))).unwrap().max_connections, 7, "{name}");
        }
        // Zero and less is not said.
        assert_eq!(read("max_connections = -1", Some("max_connections = 3")).unwrap().max_connections, 3);
        assert!(read("max_connections = many", None).is_err());
    }

    #[test]
    fn servers_are_named_as_swift_names_them() {
        let check = |name: &str, host: &str, port: u16| {
            let server = Server::parse(name).unwrap();
            assert_eq!((server.name.as_str(), server.host.as_str(), server.port), (name, host, port));
        };
        check("cache.example.com", "cache.example.com", 11211);
        check("10.0.0.1:1", "10.0.0.1", 1);
        check("[fd00::1]:1", "fd00::1", 1);
        check("[fd00::1]", "fd00::1", 11211);
        check("fd00::1", "fd00::1", 11211);
        for wrong in ["", ":1", "a:", "a:0", "a:65536", "[a]:1", "[::1", "[::1]1", "a:b:1", "a b"] {
            assert_eq!(Server::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn cores_that_go_without_are_named() {
        let settings = Settings::of(&["a"], 2).unwrap();
        assert_eq!(settings.notice(2), None);
        assert!(settings.notice(3).unwrap().contains("core 2 has no connection"));
        assert!(settings.notice(8).unwrap().contains("cores 2 to 7 have no connection"));
        assert_eq!((0..3).map(|core| settings.slice(3, core)).collect::<Vec<_>>(), [1, 1, 0]);
    }
}
