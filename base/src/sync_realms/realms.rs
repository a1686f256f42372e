//! Core: the realms as they stand in their file, and which targets of a container they allow.

use crate::config::{Config, ConfigError};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Every realm with its keys and clusters.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Realms {
    realms: BTreeMap<String, Realm>,
    check_interval: Option<Duration>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Realm {
    key: Option<String>,
    key2: Option<String>,
    /// Name in upper case → endpoint.
    clusters: BTreeMap<String, String>,
}

impl fmt::Debug for Realms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No key may show.
        f.debug_list().entries(self.realms.keys()).finish()
    }
}

impl Realms {
    /// From the file's text: a section a realm, with `key`, perhaps `key2` while the key changes, and `cluster_<name>`.
    pub fn parse(file: &str, text: &str) -> Result<Realms, ConfigError> {
        let config = Config::parse(file, text)?;
        let interval = config.defaults().seconds("mtime_check_interval", 300.0)?;
        let mut realms = BTreeMap::new();
        for (name, section) in config.sections().filter_map(|name| Some((name, config.section(name)?))) {
            let value = |name: &str| section.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
            let named = section.options.iter().map(|(name, value)| (name.to_uppercase(), value));
            let clusters =
                named.filter_map(|(name, value)| Some((name.strip_prefix("CLUSTER_")?.to_owned(), value.clone())));
            let realm = Realm { key: value("key"), key2: value("key2"), clusters: clusters.collect() };
            realms.insert(name.to_uppercase(), realm);
        }
        Ok(Realms { realms, check_interval: Some(interval) })
    }

    /// How long it is good before the file should be looked at again.
    pub fn check_interval(&self) -> Duration {
        self.check_interval.unwrap_or(Duration::from_secs(300))
    }

    /// In upper case, as everywhere.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.realms.keys().map(String::as_str)
    }

    /// The realm's key; names in any case.
    pub fn key(&self, realm: &str) -> Option<&str> {
        self.realm(realm)?.key.as_deref()
    }

    /// The other key, while the first is being changed.
    pub fn key2(&self, realm: &str) -> Option<&str> {
        self.realm(realm)?.key2.as_deref()
    }

    /// Names of its clusters.
    pub fn clusters(&self, realm: &str) -> impl Iterator<Item = &str> {
        self.realm(realm).into_iter().flat_map(|realm| realm.clusters.keys().map(String::as_str))
    }

    /// Where a cluster is reached.
    pub fn endpoint(&self, realm: &str, cluster: &str) -> Option<&str> {
        self.realm(realm)?.clusters.get(&cluster.to_uppercase()).map(String::as_str).filter(|at| !at.is_empty())
    }

    fn realm(&self, name: &str) -> Option<&Realm> {
        self.realms.get(&name.to_uppercase())
    }

    /// Whether a container may be synced to this `X-Container-Sync-To`: `//realm/cluster/account/container` of a realm known here,
    /// or an URL on one of `hosts`. The error is Swift's sentence.
    pub fn check_target(&self, value: &str, hosts: &[&str]) -> Result<(), String> {
        let trimmed = value.trim_end_matches('/');
        if trimmed.is_empty() {
            return Ok(());
        }
        if let Some(rest) = trimmed.strip_prefix("//") {
            let parts: Vec<&str> = rest.split('/').collect();
            let [realm, cluster, _, _] = parts.as_slice() else {
                return Err(format!("Invalid X-Container-Sync-To format '{value}'"));
            };
            if self.key(realm).is_none() {
                return Err(format!("No realm key for '{realm}'"));
            }
            let endpoint = self.endpoint(realm, cluster);
            return endpoint.map(drop).ok_or_else(|| format!("No cluster endpoint for '{realm}' '{cluster}'"));
        }
        check_url(trimmed, hosts)
    }
}

fn check_url(value: &str, hosts: &[&str]) -> Result<(), String> {
    let Some((_, rest)) = value.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) else {
        let scheme = value.split_once("://").map_or("", |(scheme, _)| scheme);
        return Err(format!(
            "Invalid scheme '{scheme}' in X-Container-Sync-To, must be \"//\", \"http\", or \"https\"."
        ));
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.split(':').next().unwrap_or_default();
    if path.is_empty() {
        return Err("Path required in X-Container-Sync-To".to_owned());
    }
    if value.contains(['?', '#', ';']) {
        return Err("Params, queries, and fragments not allowed in X-Container-Sync-To".to_owned());
    }
    if hosts.contains(&host) { Ok(()) } else { Err(format!("Invalid host '{host}' in X-Container-Sync-To")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[DEFAULT]\nmtime_check_interval = 5\n[us]\nkey = 9ff3b71c849749dbaec4ccdd3cbab62b\nkey2 = other\n\
        cluster_dfw1 = http://dfw1.host/v1/\nCLUSTER_ord1 = http://ord1.host/v1/\n[uk]\ncluster_x = http://x/v1/\n";

    #[test]
    fn realms_have_keys_and_clusters_in_any_case() {
        let realms = Realms::parse("f", FILE).unwrap();
        assert_eq!(realms.names().collect::<Vec<_>>(), ["UK", "US"]);
        assert_eq!(realms.key("Us"), Some("9ff3b71c849749dbaec4ccdd3cbab62b"));
        assert_eq!(realms.key2("US"), Some("other"));
        assert_eq!(realms.key("uk"), None);
        assert_eq!(realms.clusters("us").collect::<Vec<_>>(), ["DFW1", "ORD1"]);
        assert_eq!(realms.endpoint("us", "Dfw1"), Some("http://dfw1.host/v1/"));
        assert_eq!(realms.endpoint("us", "none"), None);
        assert_eq!(realms.check_interval(), Duration::from_secs(5));
        assert_eq!(Realms::default().check_interval(), Duration::from_secs(300));
        assert!(!format!("{realms:?}").contains("9ff3b71c"));
        assert!(Realms::parse("f", "[a]\n[a]\n").is_err());
    }

    #[test]
    fn a_target_is_a_container_of_a_known_cluster_or_on_an_allowed_host() {
        let realms = Realms::parse("f", FILE).unwrap();
        let check = |value: &str, expected: &str| {
            assert_eq!(realms.check_target(value, &["127.0.0.1"]).err().unwrap_or_default(), expected, "{value}");
        };
        check("", "");
        check("//", "");
        check("//us/dfw1/a/c", "");
        check("//US/DFW1/a/c/", "");
        check("//us/dfw1/a", "Invalid X-Container-Sync-To format '//us/dfw1/a'");
        check("//us/dfw1/a/c/o", "Invalid X-Container-Sync-To format '//us/dfw1/a/c/o'");
        check("//uk/x/a/c", "No realm key for 'uk'");
        check("//us/none/a/c", "No cluster endpoint for 'us' 'none'");
        check("http://127.0.0.1:8080/v1/a/c", "");
        check("http://127.0.0.1", "Path required in X-Container-Sync-To");
        check("http://127.0.0.1/v1/a/c?x", "Params, queries, and fragments not allowed in X-Container-Sync-To");
        check("https://other/v1/a/c", "Invalid host 'other' in X-Container-Sync-To");
        check("ftp://h/v1", "Invalid scheme 'ftp' in X-Container-Sync-To, must be \"//\", \"http\", or \"https\".");
        check("words", "Invalid scheme '' in X-Container-Sync-To, must be \"//\", \"http\", or \"https\".");
    }
}
