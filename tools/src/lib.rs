//! What the executable `martlet` is made of: the dev cluster, the operator's commands, the simulated cluster.

mod cluster;
pub mod daemon;
pub mod env_command;
pub mod expirer_daemon;
pub mod memcache_command;
pub mod peers_bench;
pub mod proof;
pub mod recon_command;
pub mod ring_command;
pub mod sim;
pub mod store_bench;
pub mod store_command;
pub mod up;

/// Why a command failed: one sentence that says what, where and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The sentence.
    pub message: String,
    /// 1: it failed while running; 2: the call or a setting is wrong.
    pub code: i32,
}

impl Failure {
    /// Something went wrong while running.
    pub fn running(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
    /// The call or a setting is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }
}
