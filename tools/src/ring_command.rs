//! `martlet ring FILE.builder COMMAND …`: Swift's ring builder, word for word, also found as `swift-ring-builder`.
//!
//! Exit status 0 is success, 1 a warning (nothing done, or not recommended), 2 an error. The files are Swift's, so both
//! tools can work on one ring in turn. A command reads the builder, changes it in memory and replaces the file at its
//! end; a command that fails leaves the file as it was.
//!
//! - `device_spec`: how devices are named.
//! - `options`: the words of the command line.
//! - `inspect`: the commands that only look.
//! - `commands`: the commands that change, one function each.
//! - `report`: what is printed.
//! - `files`: reading, replacing, backups.

mod commands;
mod device_spec;
mod files;
mod inspect;
mod options;
mod report;

use options::Options;
use ring::builder::Builder;
use ring::{FormatVersion, Ring};
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

/// Runs one command; `args` is what stands behind the program's name: the builder file, the command, its words.
pub fn main(args: Vec<String>) -> i32 {
    let (mut input, mut out, mut err) = (io::stdin().lock(), io::stdout(), io::stderr());
    Session::new(args, &mut input, &mut out, &mut err, wall_clock()).run()
}

/// The same under the lock of the builder's directory, as `swift-ring-builder-safe` does.
pub fn main_safe(args: Vec<String>) -> i32 {
    let _lock = match args.first().map(|file| files::lock(file.as_ref())) {
        Some(Ok(None)) => {
            println!("Ring/builder dir currently locked.");
            return ERROR;
        }
        Some(Err(error)) => {
            println!("The lock of the ring's directory cannot be taken: {error}");
            return ERROR;
        }
        Some(Ok(lock)) => lock,
        None => None,
    };
    main(args)
}

const SUCCESS: i32 = 0;
const WARNING: i32 = 1;
const ERROR: i32 = 2;

/// One command under way.
struct Session<'a> {
    args: Vec<String>,
    input: &'a mut dyn BufRead,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    now: u64,
    builder_file: PathBuf,
    ring_file: PathBuf,
}

/// How a command ends early: its status, and what to print first.
struct Stop {
    status: i32,
    message: String,
}

impl Stop {
    fn error(message: impl Into<String>) -> Stop {
        Stop { status: ERROR, message: message.into() }
    }
}

impl From<ring::builder::BuilderError> for Stop {
    fn from(error: ring::builder::BuilderError) -> Self {
        Stop::error(error.message)
    }
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Stop::error(message)
    }
}

impl<'a> Session<'a> {
    fn new(
        args: Vec<String>,
        input: &'a mut dyn BufRead,
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
        now: u64,
    ) -> Self {
        let first = args.first().map_or("", String::as_str);
        let (builder_file, ring_file) = match first.strip_suffix(".ring.gz") {
            Some(stem) => (format!("{stem}.builder"), first.to_owned()),
            None => (first.to_owned(), format!("{}.ring.gz", first.strip_suffix(".builder").unwrap_or(first))),
        };
        Session { args, input, out, err, now, builder_file: builder_file.into(), ring_file: ring_file.into() }
    }

    fn run(&mut self) -> i32 {
        match self.command() {
            Ok(status) => status,
            Err(stop) => {
                self.say(&stop.message);
                stop.status
            }
        }
    }

    fn command(&mut self) -> Result<i32, Stop> {
        let Some(first) = self.args.first().cloned() else {
            self.say(USAGE);
            return Ok(SUCCESS);
        };
        let command = self.args.get(1).cloned().unwrap_or_else(|| "default".to_owned());
        if self.builder_file.as_os_str() != first.as_str() && command != "version" {
            self.say(&format!("Note: using {} instead of {first} as builder file", self.builder_file.display()));
        }
        let options = Options::parse(self.args.get(2..).unwrap_or_default())?;
        match command.as_str() {
            "create" => return self.create(&options),
            "version" => return self.version(),
            _ => {}
        }
        let mut builder = self.load()?;
        match command.as_str() {
            "default" => self.default(&builder),
            "search" => self.search(&builder, &options),
            "list_parts" => self.list_parts(&builder, &options),
            "validate" => self.validate(&builder),
            "dispersion" => self.dispersion(&builder),
            "add" => self.add(&mut builder, &options),
            "remove" => self.remove(&mut builder, &options),
            "set_weight" => self.set_weight(&mut builder, &options),
            "set_region" => self.set_domain(&mut builder, &options, "region"),
            "set_zone" => self.set_domain(&mut builder, &options, "zone"),
            "set_info" => self.set_info(&mut builder, &options),
            "set_replicas" => self.set_replicas(&mut builder, &options),
            "set_overload" => self.set_overload(&mut builder, &options),
            "set_min_part_hours" => self.set_min_part_hours(&mut builder, &options),
            "pretend_min_part_hours_passed" => self.pretend(&mut builder),
            "rebalance" => self.rebalance(&mut builder, &options),
            "write_ring" => self.write_ring(&builder, &options),
            _ => Err(Stop::error(format!("Unknown command: {command}"))),
        }
    }

    fn load(&self) -> Result<Builder, Stop> {
        let file = self.builder_file.display();
        match files::read(&self.builder_file) {
            Ok(Some(bytes)) => Builder::from_bytes(&bytes)
                .map_err(|error| Stop::error(format!("Problem occurred while reading builder file: {file}. {error}"))),
            Ok(None) => Err(Stop::error(format!("Ring Builder file does not exist: {file}"))),
            Err(error) => Err(Stop::error(format!("Ring Builder file cannot be read: {file}: {error}"))),
        }
    }

    fn load_ring(&self) -> Result<Option<(Ring, FormatVersion)>, String> {
        match files::read(&self.ring_file) {
            Ok(Some(bytes)) => {
                let ring = Ring::from_bytes(&bytes).map_err(|error| error.message)?;
                Ok(Some((ring, FormatVersion::of(&bytes).unwrap_or(FormatVersion::V1))))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Replaces the builder file; the first to save gives the builder its id.
    fn save(&self, builder: &mut Builder) -> Result<(), Stop> {
        if builder.id.is_none() {
            builder.id = Some(random_id()?);
        }
        files::replace(&self.builder_file, &builder.to_bytes()).map_err(|error| self.cannot_write(&error))
    }

    fn back_up(&self, file: &std::path::Path, bytes: &[u8]) -> Result<(), Stop> {
        files::back_up(file, bytes, self.now).map_err(|error| self.cannot_write(&error))
    }

    fn cannot_write(&self, error: &io::Error) -> Stop {
        Stop::error(format!("{} cannot be written: {error}; nothing was changed", self.builder_file.display()))
    }

    /// A reader that went away is no reason to stop half-way.
    fn say(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}");
    }

    fn warn(&mut self, line: &str) {
        let _ = writeln!(self.err, "{line}");
    }
}

fn wall_clock() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0)
}

fn random_id() -> Result<String, Stop> {
    let mut bytes = [0; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(16) => Ok(base::checksum::hex(&bytes)),
        _ => Err(Stop::error("the system gives no random numbers; nothing was changed")),
    }
}

const USAGE: &str = "usage: martlet ring <builder_file> [command]

  create <part_power> <replicas> <min_part_hours>
  add [r<region>]z<zone>-<ip>:<port>[R<r_ip>:<r_port>]/<device_name>_<meta> <weight> ...
  remove <search-value> ...            set_weight <search-value> <weight> ...
  set_region <search-value> <region>   set_zone <search-value> <zone>
  set_info <search-value> <ip>:<port>[R<r_ip>:<r_port>]/<device_name>_<meta> ...
  search <search-value>                list_parts <search-value> ...
  set_replicas <replicas>              set_overload <overload>[%]
  set_min_part_hours <hours>           pretend_min_part_hours_passed
  rebalance [--seed <seed>] [--force] [--format-version <1|2>]
  write_ring [--format-version <1|2>]  validate   dispersion   version

A <search-value> is [d<id>][r<region>][z<zone>][-<ip>][:<port>][R<r_ip>:<r_port>][/<device_name>][_<meta>].
Without a command, shows the ring and its devices.
Exit codes: 0 = operation successful
            1 = operation completed with warnings
            2 = error";

#[cfg(test)]
mod tests;
