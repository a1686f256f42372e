//! The one executable: daemons, dev cluster, operator's tools. This file only reads the command line; each
//! subcommand is a module of the library.
//!
//! Data goes to stdout, talk to stderr. Exit code 0 is success, 1 a failure while running, 2 a wrong call or setting.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tools::{
    daemon, env_command, expirer_daemon, memcache_command, peers_bench, proof, recon_command, store_bench,
    store_command, up,
};

/// Its heaps belong to one thread each, as everything here does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An object store that speaks OpenStack Swift.
#[derive(Parser)]
#[command(name = "martlet", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole cluster on this machine
    Up(up::Options),
    /// Print client settings of a cluster made by `up`, for a shell to eval
    Env(env_command::Options),
    /// Run the proxy daemon
    Proxy(daemon::Options),
    /// Run one storage node: object, container and account services
    Objectd(daemon::Options),
    /// Remove objects that have expired: the daemon, or one pass with --once
    ObjectExpirer(expirer_daemon::Options),
    /// Look into the memcached servers of a cluster
    Memcache(memcache_command::Options),
    /// Ask the running daemons what they counted
    Recon(recon_command::Options),
    /// Look at, check, rebuild or export the packed store of a device
    Store(store_command::Options),
    /// Build rings: `martlet ring FILE.builder create|add|rebalance ...`
    #[command(disable_help_flag = true)]
    Ring {
        /// Words for the ring builder
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Measure workloads by name against any Swift endpoint, one storage node or a server of files
    Bench(bench::Options),
    /// Measure Martlet beside the Python Swift and nginx, which bench/peers starts
    BenchPeers(peers_bench::Options),
    /// Measure the packed store of storage nodes made for it, beside its peers
    BenchStore(store_bench::Options),
    /// Run a simulated cluster from seeds
    Sim {
        /// Words for the simulator
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// What the proofs of durability need
    #[command(subcommand, hide = true)]
    Proof(proof::Options),
}

fn main() -> ExitCode {
    // Found under Swift's name by symlink, as scripts call it.
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    if program.ends_with("swift-ring-builder") {
        return exit_code(tools::ring_command::main(words.collect()));
    }
    let cli = match program.ends_with("swift-object-expirer") {
        true => Cli::parse_from(["martlet", "object-expirer"].map(str::to_owned).into_iter().chain(words)),
        false => Cli::parse(),
    };
    match cli.command {
        Command::Up(options) => report(up::run(&options)),
        Command::Env(options) => report(env_command::run(&options)),
        Command::Proxy(options) => report(daemon::proxy(&options)),
        Command::Objectd(options) => report(daemon::objectd(&options)),
        Command::ObjectExpirer(options) => report(expirer_daemon::run(&options)),
        Command::Memcache(options) => report(memcache_command::run(&options)),
        Command::Recon(options) => report(recon_command::run(&options)),
        Command::Store(options) => report(store_command::run(&options)),
        Command::Ring { words } => exit_code(tools::ring_command::main(words)),
        Command::Bench(options) => exit_code(bench::main(&options)),
        Command::BenchPeers(options) => report(peers_bench::run(&options)),
        Command::BenchStore(options) => report(store_bench::run(&options)),
        Command::Proof(options) => report(proof::run(&options)),
        Command::Sim { words } => exit_code(tools::sim::main(words)),
    }
}

fn report(outcome: Result<(), tools::Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("martlet: {}", failure.message);
            exit_code(failure.code)
        }
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
