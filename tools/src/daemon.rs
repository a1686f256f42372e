//! `martlet proxy CONF` and `martlet objectd CONF`: reads the configuration, then hands every core to its crate.

use crate::Failure;
use base::http::server::Drain;
use base::io::{self, Shutdown, real};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// Longest wait for requests in flight once a signal came; kept under the 10 s that service managers give.
const DRAIN: Duration = Duration::from_secs(8);

/// A daemon's command line.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Configuration file; `swift.conf` and the rings are found through its `swift_dir`
    pub(crate) conf: PathBuf,
    /// End when this process (the one that started us) ends
    #[arg(long, hide = true)]
    parent: Option<i32>,
}

/// Runs the proxy until a signal.
pub fn proxy(options: &Options) -> Result<(), Failure> {
    prepare(options)?;
    let (file, text, swift_conf) = read_configuration(&options.conf)?;
    let memcache_conf = read_memcache_conf(&file, &text)?;
    let config = proxy::config::Config::parse_with(&file, &text, &swift_conf, memcache_conf.as_deref())
        .map_err(|error| Failure::usage(error.message))?;
    let cores = config.cores;
    let letters = proxy::facts::news::Letters::new(cores);
    let ended = real::daemon(cores, "proxy", move |core, shutdown| {
        let (config, letters) = (Rc::new(config.clone()), letters.clone());
        async move {
            let drain = Drain::new();
            watch(shutdown, drain.clone());
            proxy::server::run_core(config, core, letters, drain.clone()).await?;
            drain.finished(DRAIN).await;
            Ok(())
        }
    });
    io::log::finish();
    ended.map_err(|error| Failure::running(error.to_string()))
}

/// Runs one storage node until a signal.
pub fn objectd(options: &Options) -> Result<(), Failure> {
    prepare(options)?;
    let (file, text, swift_conf) = read_configuration(&options.conf)?;
    let config =
        objectd::config::Config::parse(&file, &text, &swift_conf).map_err(|error| Failure::usage(error.message))?;
    let cores = config.cores.len();
    let letters = objectd::neighbours::Letters::new(cores);
    let ended = real::daemon(cores, "objectd", move |core, shutdown| {
        let (config, letters) = (Rc::new(config.clone()), letters.clone());
        async move {
            let drain = Drain::new();
            watch(shutdown, drain.clone());
            objectd::server::run_core_beside(config, core, letters, drain.clone()).await?;
            drain.finished(DRAIN).await;
            Ok(())
        }
    });
    io::log::finish();
    ended.map_err(|error| Failure::running(error.to_string()))
}

fn watch(shutdown: Shutdown, drain: Drain) {
    base::io::spawn(async move {
        shutdown.requested().await;
        drain.start();
    });
}

/// Events as lines of the log.
struct Log;

/// One event.
struct Line {
    /// A warning or an error: it may be the last thing that is heard of this process.
    is_urgent: bool,
}

impl MakeWriter<'_> for Log {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line { is_urgent: false }
    }

    fn make_writer_for(&self, event: &tracing::Metadata<'_>) -> Line {
        Line { is_urgent: *event.level() <= tracing::Level::WARN }
    }
}

impl std::io::Write for Line {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if self.is_urgent {
            io::log::write_now(line);
        } else {
            io::log::write(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Logging, and the tie to the process that started us.
pub(crate) fn prepare(options: &Options) -> Result<(), Failure> {
    let log = std::io::stderr().as_fd().try_clone_to_owned().map_err(|error| Failure::running(error.to_string()))?;
    io::log::start(std::fs::File::from(log)).map_err(|error| Failure::running(error.to_string()))?;
    tracing_subscriber::fmt().with_writer(Log).with_ansi(false).with_max_level(tracing::Level::INFO).init();
    let Some(parent) = options.parent else { return Ok(()) };
    let tie = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    tie.map_err(|error| Failure::running(format!("cannot tie this daemon to its parent process {parent}: {error}")))?;
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    // The parent may have ended before the tie was made.
    if now == Some(parent) { Ok(()) } else { Err(Failure::running(format!("the parent process {parent} is gone"))) }
}

/// The file's name and text, and the text of `swift.conf` in the `swift_dir` it names.
pub(crate) fn read_configuration(conf: &Path) -> Result<(String, String, String), Failure> {
    let file = conf.display().to_string();
    let text = read_text(conf)?;
    let swift_conf = read_text(&swift_dir(&file, &text)?.join("swift.conf"))?;
    Ok((file, text, swift_conf))
}

/// The text of `memcache.conf` beside `swift.conf`; most clusters have none.
pub(crate) fn read_memcache_conf(file: &str, text: &str) -> Result<Option<String>, Failure> {
    let path = swift_dir(file, text)?.join("memcache.conf");
    if path.exists() { read_text(&path).map(Some) } else { Ok(None) }
}

fn swift_dir(file: &str, text: &str) -> Result<PathBuf, Failure> {
    let parsed = base::config::Config::parse(file, text).map_err(|error| Failure::usage(error.message))?;
    Ok(PathBuf::from(parsed.defaults().get("swift_dir").unwrap_or("/etc/swift")))
}

#[expect(clippy::disallowed_methods, reason = "configuration is read before any core exists")]
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::usage(format!("cannot read the configuration file {}: {error}", path.display())))
        .and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{} is not UTF-8 text", path.display())))
        })
}
