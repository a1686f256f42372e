//! `martlet memcache`: looks into the memcached servers of a cluster with the keys and the choice of servers that its proxies have.

use crate::Failure;
use base::config::Config;
use base::io::real;
use base::memcache::key::WireKey;
use base::memcache::ring::Ring;
use base::memcache::{Lookup, Memcache, Settings, Settled, Value};
use std::time::Duration;

/// `martlet memcache`'s command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Servers as the proxies are told, in any order: the names decide which server has a key
    #[arg(long, value_name = "HOST:PORT[,...]", default_value = "127.0.0.1:11211")]
    servers: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Action {
    /// Print the value of a key, such as container/AUTH_test/photos
    Get {
        /// The key in clear text
        key: String,
    },
    /// Store JSON under a key
    Set {
        /// The key in clear text
        key: String,
        /// The value, as JSON
        json: String,
        /// Seconds to live
        #[arg(long, default_value_t = 60)]
        life: u64,
    },
    /// Remove a key from every server that may be asked for it
    Delete {
        /// The key in clear text
        key: String,
    },
    /// Print the servers of a key, in the order they are asked
    Where {
        /// The key in clear text
        key: String,
    },
}

/// Runs it.
pub fn run(options: &Options) -> Result<(), Failure> {
    let text = format!("[filter:cache]\nmemcache_servers = {}\nmax_memcache_connections = 1\n", options.servers);
    let config = Config::parse("--servers", &text).map_err(|error| Failure::usage(error.message))?;
    let settings = Settings::read(config.section_or_defaults("filter:cache"), None);
    let settings = settings.map_err(|error| Failure::usage(error.message))?;
    if let Action::Where { key } = &options.action {
        let names: Vec<String> = settings.servers.iter().map(|server| server.name.clone()).collect();
        for place in Ring::new(&names).servers(&WireKey::of(key), settings.tries) {
            println!("{}", names.get(place).map_or("", String::as_str));
        }
        return Ok(());
    }
    let core = real::CoreOptions { name: "memcache".into(), cpu: None, blocking_threads: 1 };
    real::run(core, async || act(&Memcache::new(settings, 1, 0), &options.action).await)
        .map_err(|error| Failure::running(error.to_string()))?
}

async fn act(memcache: &Memcache, action: &Action) -> Result<(), Failure> {
    let silent = || Failure::running("no memcached server answered in time");
    match action {
        Action::Get { key } => match memcache.get(key).await {
            Lookup::Hit(value, _) => {
                match value.as_json() {
                    Some(json) => println!("{json}"),
                    None => println!("{}", String::from_utf8_lossy(&value.bytes)),
                }
                Ok(())
            }
            Lookup::Miss(_) => Err(Failure::running(format!("{key} is not there"))),
            Lookup::Unavailable => Err(silent()),
        },
        Action::Set { key, json, life } => {
            let value: serde_json::Value =
                serde_json::from_str(json).map_err(|error| Failure::usage(format!("this is no JSON: {error}")))?;
            let value = Value::json(base::json::text(&value));
            memcache.set(key, &value, Duration::from_secs(*life)).await.map(|_| ()).ok_or_else(silent)
        }
        Action::Delete { key } => match memcache.delete(key).await {
            Settled::Yes => Ok(()),
            Settled::No => Err(Failure::running("not every server said that the key is gone")),
        },
        Action::Where { .. } => Ok(()),
    }
}
