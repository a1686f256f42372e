//! `martlet proof` (hidden): what the proofs of durability on real disks need. `.ci/powercut` and the test of killed daemons call it.
//!
//! `load` sends work to one storage node and remembers what was acknowledged (`history`); `verify` asks the node afterwards; `write_log`
//! makes the disk that a power cut would have left, from the log of a block device.

pub mod history;
pub mod load;
pub mod node;
pub mod verify;
pub mod write_log;

use crate::Failure;
use base::io::real;
use clap::Subcommand;
use history::History;
use std::cell::RefCell;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// `martlet proof`'s command line.
#[derive(Subcommand, Clone, Debug)]
pub enum Options {
    /// Make the configuration and rings of a node with one device below DIR: DIR/etc, DIR/srv/d1
    Node {
        /// Where
        dir: PathBuf,
        /// Address of the object service; the other services get the ports behind it
        address: SocketAddr,
        /// Further lines of objectd.conf
        options: Vec<String>,
    },
    /// Work on a node and write down what was acknowledged
    Load {
        /// Address of the object service
        address: SocketAddr,
        /// Where to write the history
        history: PathBuf,
        /// Log of the block device: its number of entries is noted with every acknowledgement
        #[arg(long)]
        log: Option<PathBuf>,
        /// Clients at once
        #[arg(long, default_value_t = 16)]
        clients: u32,
        /// How long
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Ask a node for everything that was acknowledged
    Verify {
        /// Address of the object service
        address: SocketAddr,
        /// The history
        history: PathBuf,
        /// Entries of the log that the disk has seen; all when left out
        #[arg(long)]
        point: Option<u64>,
    },
    /// Print entries and flushes of a log of writes
    Log {
        /// The log
        log: PathBuf,
    },
    /// Make the disk that a power cut after POINT entries leaves
    Rebuild {
        /// The log
        log: PathBuf,
        /// Image of what is flushed; it is brought up to the last flush before POINT, so points must not go back
        base: PathBuf,
        /// Image to write
        image: PathBuf,
        /// Entries before the power cut
        point: u64,
        /// What is lost and torn
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Bytes that the disk writes wholly or not at all
        #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(512..=4096))]
        tear: u16,
    },
}

/// Runs one of them.
pub fn run(options: &Options) -> Result<(), Failure> {
    match options {
        Options::Node { dir, address, options } => node::make(dir, *address, options).map_err(fail),
        Options::Load { address, history, log, clients, seconds } => {
            let log = log.as_deref().map(write_log::Counter::open).transpose().map_err(fail)?;
            let (address, clients, span) = (*address, *clients, Duration::from_secs(*seconds));
            let shared = Rc::new(RefCell::new(History::default()));
            let known = shared.clone();
            real::run(real::CoreOptions::default(), || async move {
                load::work(address, known, Rc::new(log), clients, span).await;
            })
            .map_err(fail)?;
            let history_text = shared.borrow().encode();
            println!("{} operations acknowledged", shared.borrow().acknowledged());
            write(history, &history_text)
        }
        Options::Verify { address, history, point } => {
            let history = History::decode(&read(history)?).map_err(Failure::running)?;
            let (address, point) = (*address, point.unwrap_or(u64::MAX));
            let complaints =
                real::run(real::CoreOptions::default(), || async move { verify::all(address, &history, point).await })
                    .map_err(fail)?;
            match complaints.first() {
                None => Ok(()),
                Some(first) => Err(Failure::running(format!("{} objects are wrong; {first}", complaints.len()))),
            }
        }
        Options::Log { log } => {
            let log = write_log::WriteLog::open(log).map_err(fail)?;
            println!("{} {}", log.entries(), log.flushes());
            Ok(())
        }
        Options::Rebuild { log, base, image, point, seed, tear } => {
            let log = write_log::WriteLog::open(log).map_err(fail)?;
            let plan = write_log::Plan { point: *point, seed: *seed, tear: usize::from(*tear) };
            let cut = log.rebuild(base, image, plan).map_err(fail)?;
            println!("{cut}");
            Ok(())
        }
    }
}

fn fail(error: impl Display) -> Failure {
    Failure::running(error.to_string())
}

#[expect(clippy::disallowed_methods, reason = "a tool, outside of any core")]
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::running(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::running(format!("{}: {error}", path.display())))
}
