//! What the proxy is told: parsed from `proxy-server.conf` and `swift.conf` before a port is bound.

use base::config::ConfigError;
use base::hash_path::HashPath;
use base::limits::Constraints;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One tempauth user: `user_<account>_<user> = <key> [group …] [url]`.
#[derive(Clone, Debug)]
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

/// Settings of the proxy.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where rings and `swift.conf` are.
    pub swift_dir: PathBuf,
    /// The listeners' address.
    pub bind: SocketAddr,
    /// From `swift.conf`.
    pub hash_path: HashPath,
    /// From `swift.conf`.
    pub constraints: Constraints,
    /// tempauth's users.
    pub users: Vec<User>,
    /// `reseller_prefix`, with the underscore: `AUTH_`.
    pub reseller_prefix: String,
    /// Seconds a token lives.
    pub token_life: Duration,
    /// Signs tokens, so that they survive a restart and are known to every core.
    pub token_secret: Vec<u8>,
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
    /// Nodes tried for a read: `request_node_count`, default 2 * replicas.
    pub request_node_count: Option<usize>,
    /// Members of the pipeline that are on, in their order.
    pub pipeline: Vec<String>,
    /// `cors_allow_origin`, `strict_cors_mode`.
    pub cors_allow_origin: Vec<String>,
    /// See Swift's option.
    pub strict_cors_mode: bool,
}

impl Config {
    /// From the text of `proxy-server.conf` and of `swift.conf`.
    pub fn parse(_conf_file: &str, _conf: &str, _swift_conf: &str) -> Result<Config, ConfigError> {
        todo!()
    }
}
