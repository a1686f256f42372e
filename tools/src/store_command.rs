//! `martlet store`: the packed store of one device, looked at, checked, rebuilt or turned back into Swift's files.
//!
//! All work on a device that no daemon serves; its lock is taken. Results go to stdout, for people or as JSON; how far the work came goes
//! to stderr, when that is a terminal. Exit code 1 says that it failed or that something is wrong with the store.

use crate::{Failure, daemon};
use base::io::{Instant, fs, monotonic, real};
use objectd::config::Config;
use objectd::store::packed::{Store, check, export, info, rebuild};
use serde_json::{Value, json};
use std::io::{Error, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a ring file.
const RING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// `martlet store`'s command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// What to do
    #[command(subcommand)]
    task: Task,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Task {
    /// Say what is in the store: volumes, living and dead bytes
    Info(Device),
    /// Verify every record, entry and file, and that they tell the same
    Check {
        #[command(flatten)]
        device: Device,
        /// Quarantine what is damaged; replicas heal it
        #[arg(long)]
        repair: bool,
    },
    /// Make the index anew from the volumes and the stock files; the newest volume is replayed at the next start
    RebuildIndex(Device),
    /// Turn every object into Swift's files and remove the store, for a Python daemon
    Export(Device),
}

/// Which device, and how to print.
#[derive(clap::Args, Clone, Debug)]
struct Device {
    /// objectd's configuration file, which says where devices, swift.conf and rings are
    conf: PathBuf,
    /// Name of the device, as the ring has it
    device: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(options: &Options) -> Result<(), Failure> {
    let (device, outcome) = match &options.task {
        Task::Info(device) => (device, on_core(device, async |config, root| print_info(&config, &root).await)?),
        Task::Check { device, repair } => {
            let repair = *repair;
            (device, on_core(device, async move |config, root| check_all(&config, &root, repair).await)?)
        }
        Task::RebuildIndex(device) => (device, on_core(device, async |_, root| rebuild_index(&root).await)?),
        Task::Export(device) => (device, on_core(device, async |config, root| export_all(&config, &root).await)?),
    };
    print(&outcome.value, device.json);
    match outcome.wrong {
        Some(message) => Err(Failure::running(message)),
        None => Ok(()),
    }
}

/// What is printed, and what is wrong with the store.
struct Outcome {
    value: Value,
    wrong: Option<String>,
}

impl Outcome {
    fn well(value: Value) -> Outcome {
        Outcome { value, wrong: None }
    }
}

/// Runs the work on a core of its own.
fn on_core(
    device: &Device,
    work: impl AsyncFnOnce(Config, PathBuf) -> std::io::Result<Outcome>,
) -> Result<Outcome, Failure> {
    let (file, text, swift_conf) = daemon::read_configuration(&device.conf)?;
    let config = Config::parse(&file, &text, &swift_conf).map_err(|error| Failure::usage(error.message))?;
    let root = config.devices.join(&device.device);
    if !root.is_dir() {
        return Err(Failure::usage(format!("{}: no such device; see devices in {file}", root.display())));
    }
    let result = real::run(real::CoreOptions::default(), || work(config, root));
    result.and_then(|result| result).map_err(|error| Failure::running(error.to_string()))
}

async fn print_info(config: &Config, root: &Path) -> std::io::Result<Outcome> {
    let _lock = objectd::node::lock(root).await?;
    let store = Store::open(root, config).await?;
    let info = info::info(&store).await?;
    Ok(Outcome::well(json!({
        "volumes": info.volumes,
        "volume_bytes": info.volume_bytes,
        "living_bytes": info.live_bytes,
        "living_records": info.live_records,
        "empty_volumes": info.empty_volumes,
        "reserve": info.has_reserve,
        "adopting": info.is_adopting,
        "changes_behind_the_index": info.waiting_changes,
    })))
}

async fn check_all(config: &Config, root: &Path, repair: bool) -> std::io::Result<Outcome> {
    let mut bar = Bar::new("checked");
    let report = check::run(root, config, repair, &mut |done, total| bar.show(done, total)).await;
    bar.clear();
    let report = report?;
    let wrong = (!report.is_clean()).then(|| "something is wrong with the store; see the findings".to_owned());
    Ok(Outcome { value: report.json(), wrong })
}

async fn rebuild_index(root: &Path) -> std::io::Result<Outcome> {
    let mut bar = Bar::new("read");
    let rebuilt = rebuild::run(root, &mut |done, total| bar.show(done, total)).await;
    bar.clear();
    let rebuilt = rebuilt?;
    Ok(Outcome::well(json!({
        "volumes": rebuilt.volumes,
        "records": rebuilt.records,
        "damaged": rebuilt.damaged,
        "stock_versions": rebuilt.stock_versions,
    })))
}

async fn export_all(config: &Config, root: &Path) -> std::io::Result<Outcome> {
    let path = config.swift_dir.join("object.ring.gz");
    let bytes = fs::read(&path, RING_BYTES_MAX).await?;
    let ring = ring::Ring::from_bytes(&bytes)
        .map_err(|error| Error::other(format!("{}: {}", path.display(), error.message)))?;
    let mut bar = Bar::new("exported");
    let exported = export::run(root, config, ring.partitions().ilog2(), &mut |done, total| bar.show(done, total)).await;
    bar.clear();
    let exported = exported?;
    let wrong = (exported.lost > 0).then(|| format!("{} damaged versions were left out", exported.lost));
    let value = json!({
        "versions": exported.versions,
        "bytes": exported.bytes,
        "large": exported.large,
        "lost": exported.lost,
        "lost_names": exported.lost_names,
    });
    Ok(Outcome { value, wrong })
}

/// JSON, or a line for each item.
fn print(value: &Value, as_json: bool) {
    if as_json {
        println!("{value}");
        return;
    }
    let Some(items) = value.as_object() else { return };
    for (name, value) in items {
        let name = name.replace('_', " ");
        match value {
            Value::Array(list) if list.is_empty() => {}
            Value::Object(items) if items.is_empty() => {}
            Value::Array(list) => {
                println!("{name}:");
                list.iter().for_each(|item| println!("  {}", plain(item)));
            }
            value => println!("{name}: {}", plain(value)),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(items) => {
            items.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        value => value.to_string(),
    }
}

/// One line on a terminal that says how far the work came.
struct Bar {
    verb: &'static str,
    is_terminal: bool,
    shown: Option<Instant>,
}

impl Bar {
    /// Between two looks of it.
    const PAUSE: Duration = Duration::from_millis(200);

    fn new(verb: &'static str) -> Bar {
        Bar { verb, is_terminal: std::io::stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, done: u64, total: u64) {
        if !self.is_terminal || self.shown.is_some_and(|shown| monotonic().since(shown) < Self::PAUSE) {
            return;
        }
        self.shown = Some(monotonic());
        let share = (done.min(total) * 100).checked_div(total).unwrap_or(0);
        const MEBIBYTE: u64 = 1024 * 1024;
        eprint!("\r{share:3} %  {} of {} MiB {}  ", done / MEBIBYTE, total / MEBIBYTE, self.verb);
        let _ = std::io::stderr().flush();
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
