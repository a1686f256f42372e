//! `martlet object-expirer CONF`: the expirer as a daemon of its own, in the place of Swift's, or one pass of it that says what it did.
//!
//! `CONF` is an `object-expirer.conf`, which holds options and pipeline, or a file with the section alone (`object-server.conf`), which
//! names that of the pipeline. Only the application behind the pipeline is asked.

use crate::Failure;
use crate::daemon::{self, prepare, read_configuration, read_memcache_conf, read_text};
use base::io::{self, real};
use proxy::config::Config;
use proxy::core::Core;
use proxy::expirer::{self, File, Report};
use proxy::facts::news::Letters;
use std::rc::Rc;
use std::sync::mpsc;

/// The expirer's command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    daemon: daemon::Options,
    /// One pass; says what it did and ends
    #[arg(long, short = 'o')]
    once: bool,
    /// What it did as JSON
    #[arg(long, requires = "once")]
    json: bool,
    /// Processes that share the tasks
    #[arg(long)]
    processes: Option<u64>,
    /// Which of them this is, from 0
    #[arg(long)]
    process: Option<u64>,
    /// As Swift's daemons have it; warnings and passes are always told of
    #[arg(long, short, hide = true)]
    verbose: bool,
}

/// Runs until a signal, or for one pass.
pub fn run(options: &Options) -> Result<(), Failure> {
    prepare(&options.daemon)?;
    let usage = |error: base::config::ConfigError| Failure::usage(error.message);
    let conf = &options.daemon.conf;
    let file = File::parse(&conf.display().to_string(), &read_text(conf)?).map_err(usage)?;
    let settings = file.settings.with_share(options.processes, options.process).map_err(usage)?;
    let pipeline = file.internal_client.as_ref().unwrap_or(conf);
    let (name, text, swift_conf) = read_configuration(pipeline)?;
    let memcache_conf = read_memcache_conf(&name, &text)?;
    let config = Config::parse_with(&name, &text, &swift_conf, memcache_conf.as_deref()).map_err(usage)?;
    for notice in file.notices.iter().chain(&config.notices) {
        tracing::warn!(target: "expirer", "{notice}");
    }
    // The work is waiting: one core does as much as a cluster can bear.
    let config = Config { cores: 1, ..config };
    let (sender, receiver) = mpsc::channel();
    let once = options.once;
    let ended = real::daemon(1, "expirer", move |number, shutdown| {
        let (config, settings, sender) = (Rc::new(config.clone()), Rc::new(settings.clone()), sender.clone());
        async move {
            let core = Core::open(config, number, Letters::new(1)).await?;
            let stop = shutdown.clone();
            io::spawn(async move {
                if once {
                    let _ = sender.send(expirer::once(&core, &settings).await);
                    stop.request();
                } else {
                    expirer::run(core, settings).await;
                }
            });
            shutdown.requested().await;
            Ok(())
        }
    });
    io::log::finish();
    ended.map_err(|error| Failure::running(error.to_string()))?;
    if once { say(options, receiver.try_recv().ok()) } else { Ok(()) }
}

fn say(options: &Options, report: Option<Report>) -> Result<(), Failure> {
    let report = report.ok_or_else(|| Failure::running("stopped before the pass was over"))?;
    if options.json {
        println!("{}", report.json())
    } else {
        println!("{report}")
    }
    if report.is_whole && report.failed == 0 {
        Ok(())
    } else {
        Err(Failure::running("not all of the queue was worked off"))
    }
}
