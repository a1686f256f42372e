//! What the proxy is told: parsed from `proxy-server.conf` and `swift.conf` before a port is bound.
//!
//! - `parse` reads every option: its name, bounds and what happens without it stand in one line each; `filters` those of the
//!   small members of the pipeline.
//! - `users` reads tempauth's users, `members` the `pipeline =` line, `policies` the storage policies.
//!
//! Nothing is silently ignored: what is wrong refuses the start, what is unknown or not used is named in `notices`.

mod filters;
mod members;
mod nodes;
mod parse;
mod policies;
mod unused;
mod users;

pub use members::Member;
pub use policies::Policy;

use crate::backend::affinity::{Preference, Sorting};
use crate::expirer;
use crate::middleware::segment_rate::Limits;
use crate::middleware::{
    authtoken, bulk, cname_lookup, container_sync, domain_remap, formpost, gatekeeper, keystoneauth, name_check,
    proxy_logging, ratelimit, read_only, slo, tempurl,
};
use base::config::ConfigError;
use base::hash_path::HashPath;
use base::limits::Constraints;
use base::memcache;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes that no log may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Secret {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One tempauth user: `user_<account>_<user> = <key> [group …] [url]`.
#[derive(Clone)]
pub struct User {
    /// Account without the reseller prefix.
    pub account: String,
    /// User name.
    pub user: String,
    /// The secret.
    pub key: String,
    /// `.admin`, `.reseller_admin`, others.
    pub groups: Vec<String>,
    /// Storage URL given in the configuration.
    pub url: Option<String>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({}:{}, ***, {:?})", self.account, self.user, self.groups)
    }
}

/// One of tempauth's kinds of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reseller {
    /// What its accounts begin with: `AUTH_`.
    pub prefix: String,
    /// The group that even the owner of an account must bring, by a service token (`<PREFIX>_require_group`).
    pub require_group: Option<String>,
}

/// Settings of the proxy.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where rings and `swift.conf` are.
    pub swift_dir: PathBuf,
    /// The listeners' address.
    pub bind: SocketAddr,
    /// Where `metrics` answers, if anywhere.
    pub metrics_bind: Option<SocketAddr>,
    /// From `swift.conf`.
    pub hash_path: HashPath,
    /// From `swift.conf`.
    pub constraints: Constraints,
    /// tempauth's users.
    pub users: Vec<User>,
    /// The first `reseller_prefix`, with the underscore: `AUTH_`. Tokens and storage URLs begin with it.
    pub reseller_prefix: String,
    /// All of them.
    pub resellers: Vec<Reseller>,
    /// Where tempauth gives tokens, with a slash at both ends (`auth_prefix`).
    pub tempauth_prefix: String,
    /// Whether a signature is a right beside tempauth's (`allow_overrides`).
    pub tempauth_allows_overrides: bool,
    /// Seconds a token lives.
    pub token_life: Duration,
    /// Signs tokens, so that they survive a restart and are known to every core.
    pub token_secret: Secret,
    /// Create accounts on first use.
    pub account_autocreate: bool,
    /// PUT and DELETE of accounts allowed to reseller admins.
    pub allow_account_management: bool,
    /// Longest wait for a client's bytes.
    pub client_timeout: Duration,
    /// Connecting to a backend.
    pub conn_timeout: Duration,
    /// An answer of a backend (account, container, object writes).
    pub node_timeout: Duration,
    /// An answer to GET and HEAD of objects.
    pub recoverable_node_timeout: Duration,
    /// Errors of a node before it is left out.
    pub error_suppression_limit: u32,
    /// How long it is left out.
    pub error_suppression_interval: Duration,
    /// How long cached account and container facts are good.
    pub recheck_account_existence: Duration,
    /// See above.
    pub recheck_container_existence: Duration,
    /// Parts of the requests (0.0 to 1.0) that have the account and the container asked for although they are known:
    /// `account_existence_skip_cache_pct` and `container_existence_skip_cache_pct`.
    pub existence_skip_cache: [f64; 2],
    /// The level all proxies share; `None` without `cache` in the pipeline.
    pub memcache: Option<memcache::Settings>,
    /// `log_handoffs`
    pub log_handoffs: bool,
    /// Nodes tried for a read: `request_node_count`, default 2 * replicas.
    pub request_node_count: Option<usize>,
    /// Members of the pipeline that are on, in their order, by Swift's names.
    pub pipeline: Vec<Member>,
    /// `cors_allow_origin`, `strict_cors_mode`.
    pub cors_allow_origin: Vec<String>,
    /// See Swift's option.
    pub strict_cors_mode: bool,
    /// Which nodes are preferred, where a policy has nothing of its own.
    pub preference: Preference,
    /// The policies that have.
    pub policy_preferences: BTreeMap<u32, Preference>,
    /// How long the other replicas get to finish once a quorum has said the same.
    pub post_quorum_timeout: Duration,
    /// How long a node's timing counts.
    pub timing_expiry: Duration,
    /// Fields of accounts and containers that only owners see and set, lower case.
    pub swift_owner_headers: Vec<String>,
    /// Whether `X-Open-Expired` shows objects that have expired and are not removed yet.
    pub allow_open_expired: bool,
    /// Response headers shown to scripts of other origins, beside the usual ones.
    pub cors_expose_headers: Vec<String>,
    /// Cores (threads) to run; Swift's `workers` is not used.
    pub cores: usize,
    /// Connections of clients per core.
    pub max_clients: usize,
    /// Longest idle time between two requests of a connection.
    pub keepalive_timeout: Duration,
    /// `require_proxy_protocol`: every connection begins with a line that names the client.
    pub require_proxy_protocol: bool,
    /// Scheme of `X-Storage-Url` behind something that ends TLS; `None` is our own, http.
    pub storage_url_scheme: Option<String>,
    /// See `middleware::authtoken`; there when it is on.
    pub authtoken: Option<authtoken::Settings>,
    /// See `middleware::keystoneauth`; there when it is on.
    pub keystoneauth: Option<keystoneauth::Settings>,
    /// See `middleware::cname_lookup`.
    pub cname_lookup: cname_lookup::Settings,
    /// See `middleware::domain_remap`.
    pub domain_remap: domain_remap::Settings,
    /// Whether ETags have quotes where neither container nor account says anything (`enable_by_default` of etag-quoter).
    pub etags_are_quoted: bool,
    /// Scheme and host of redirects of web sites (`url_base`); `None`: as the client reached us.
    pub staticweb_url_base: Option<String>,
    /// See `middleware::bulk`.
    pub bulk: bulk::Settings,
    /// What `/crossdomain.xml` says.
    pub cross_domain_policy: String,
    /// Links followed in a row.
    pub symloop_max: usize,
    /// How fast segments of dynamic large objects are opened.
    pub dlo_limits: Limits,
    /// See `middleware::slo`.
    pub slo: slo::Settings,
    /// Whether containers may be told to keep versions in another container (`allow_versioned_writes`).
    pub allow_versioned_writes: bool,
    /// Whether containers may be told to keep versions of their own (`allow_object_versioning`).
    pub allow_object_versioning: bool,
    /// See `middleware::tempurl`.
    pub tempurl: tempurl::Settings,
    /// See `middleware::formpost`.
    pub formpost: formpost::Settings,
    /// See `middleware::container_sync`.
    pub container_sync: container_sync::Settings,
    /// See `middleware::ratelimit`.
    pub ratelimit: ratelimit::Settings,
    /// With this file there, `/healthcheck` answers 503.
    pub healthcheck_disable_path: Option<PathBuf>,
    /// Whether `/info` answers.
    pub expose_info: bool,
    /// What of `/info` nobody is shown, such as `tempurl` or `swift.version`.
    pub disallowed_sections: Vec<String>,
    /// Signs the operator's requests for `/info`.
    pub admin_key: Option<Secret>,
    /// At the end of every transaction id: which cluster it is of.
    pub trans_id_suffix: String,
    /// Host names under which nobody is served.
    pub deny_host_headers: Vec<String>,
    /// Containers an account may have before a PUT of another one is 403; 0 is any number.
    pub max_containers_per_account: u64,
    /// Accounts that may have more.
    pub max_containers_whitelist: Vec<String>,
    /// See `middleware::gatekeeper`.
    pub gatekeeper: gatekeeper::Settings,
    /// See `middleware::name_check`.
    pub name_check: name_check::Settings,
    /// See `middleware::read_only`.
    pub read_only: read_only::Settings,
    /// What `/recon/…` is about.
    pub recon: base::recon::Recon,
    /// Where `middleware::list_endpoints` answers, with a slash at both ends.
    pub list_endpoints_path: String,
    /// See `middleware::proxy_logging`: the client's requests.
    pub proxy_logging: proxy_logging::Settings,
    /// The requests of middleware.
    pub subrequest_logging: proxy_logging::Settings,
    /// See `expirer`; there when the file has `[object-expirer]`.
    pub expirer: Option<expirer::Settings>,
    /// Storage policies of `swift.conf`, by index.
    pub policies: Vec<Policy>,
    /// Sentences for the log: unknown and unused options, members added.
    pub notices: Vec<String>,
}

impl Config {
    /// Which nodes are preferred for objects of a policy; `None`: for accounts and containers.
    pub fn preference(&self, policy: Option<u32>) -> &Preference {
        policy.and_then(|policy| self.policy_preferences.get(&policy)).unwrap_or(&self.preference)
    }

    /// Whether anybody needs to know how fast nodes are.
    pub fn sorts_by_timing(&self) -> bool {
        let mut all = std::iter::once(&self.preference).chain(self.policy_preferences.values());
        all.any(|preference| preference.sorting == Sorting::Timing)
    }

    /// From the text of `proxy-server.conf` and of `swift.conf`.
    pub fn parse(conf_file: &str, conf: &str, swift_conf: &str) -> Result<Config, ConfigError> {
        Config::parse_with(conf_file, conf, swift_conf, None)
    }

    /// The same, with the text of `memcache.conf` where there is one.
    pub fn parse_with(
        conf_file: &str,
        conf: &str,
        swift_conf: &str,
        memcache_conf: Option<&str>,
    ) -> Result<Config, ConfigError> {
        // Without `cores`, all there are.
        parse::parse(conf_file, conf, swift_conf, memcache_conf, base::io::real::available_cores())
    }

    /// Whether a member of the pipeline is on.
    pub fn is_on(&self, member: Member) -> bool {
        self.pipeline.contains(&member)
    }
}

#[cfg(test)]
pub(crate) mod tests;
