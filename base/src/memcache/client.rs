//! Driver: memcached as a core of the proxy sees it: keys, values, and the servers of each in their order.
//!
//! An operation goes to the first server that works. Where none does there is no error: whoever asks goes on without memcached.

use super::command;
use super::exchange::{Counts, Failure, Script, Server};
use super::key::WireKey;
use super::reply::{Reply, Wanted};
use super::ring::Ring;
use super::settings::Settings;
use super::tls::Trust;
use super::value::{self, Value};
use crate::io;
use std::rc::Rc;
use std::time::Duration;

/// One per core.
pub struct Memcache {
    settings: Rc<Settings>,
    ring: Ring,
    servers: Vec<Rc<Server>>,
    is_open: bool,
}

/// Which server said something, and in which of its lives: a server that was restarted has forgotten everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    server: usize,
    epoch: u64,
}

/// What comes of looking a key up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It is there.
    Hit(Value, Witness),
    /// It is not there.
    Miss(Witness),
    /// Nobody could say in time.
    Unavailable,
}

/// Whether a write is known to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Said so by every server that could be asked for the key later.
    Yes,
    /// A server did not say so, or not in time: it may have an older value, now or once it is back.
    No,
}

/// One server's numbers on one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The server, as configured.
    pub server: String,
    /// Connections open or being made.
    pub open: usize,
    /// The most there ever were.
    pub most_open: usize,
    /// The bound of this core.
    pub slice: usize,
    /// Whether it is left out because it failed too often.
    pub is_suppressed: bool,
    /// What happened.
    pub counts: Counts,
}

impl Memcache {
    /// The part of core `core` of `cores`.
    pub fn new(settings: Settings, cores: usize, core: usize) -> Memcache {
        Memcache::encrypted(settings, None, cores, core)
    }

    /// The same over TLS, when somebody is trusted.
    pub fn encrypted(settings: Settings, trust: Option<Trust>, cores: usize, core: usize) -> Memcache {
        let settings = Rc::new(settings);
        let slice = settings.slice(cores, core);
        let names: Vec<String> = settings.servers.iter().map(|server| server.name.clone()).collect();
        let server =
            |address: &super::settings::Server| Server::new(settings.clone(), address.clone(), trust.clone(), slice);
        let servers = settings.servers.iter().map(|address| Rc::new(server(address))).collect();
        Memcache { ring: Ring::new(&names), servers, is_open: slice > 0, settings }
    }

    /// Whether this core has connections at all.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The value of a key.
    pub async fn get(&self, key: &str) -> Lookup {
        let key = WireKey::of(key);
        let script = || Script::Commands(command::get(&[key]), vec![Wanted::Values(vec![key])]);
        let Some((place, replies)) = self.first(&key, script).await else { return Lookup::Unavailable };
        let (Some(server), Some(witness)) = (self.servers.get(place), self.witness(place)) else {
            return Lookup::Unavailable;
        };
        match replies.into_iter().next() {
            Some(Reply::Values(values)) => match values.into_iter().next().flatten() {
                Some(value) => {
                    server.count(|counts| counts.hits += 1);
                    Lookup::Hit(value, witness)
                }
                None => {
                    server.count(|counts| counts.misses += 1);
                    Lookup::Miss(witness)
                }
            },
            _ => Lookup::Unavailable,
        }
    }

    /// Stores a value for `life` (zero: for ever). Which server has it; `None`: none said so.
    pub async fn set(&self, key: &str, value: &Value, life: Duration) -> Option<Witness> {
        if !self.fits(key, value) {
            return None;
        }
        let key = WireKey::of(key);
        let bytes = command::set(&key, value, command::expiry(life, io::unix_time()));
        let script = || Script::Commands(bytes.clone(), vec![Wanted::Stored]);
        let (place, replies) = self.first(&key, script).await?;
        (replies == [Reply::Stored]).then(|| self.witness(place)).flatten()
    }

    /// Stores a value if there is none. `None`: nobody could say.
    pub async fn add(&self, key: &str, value: &Value, life: Duration) -> Option<bool> {
        if !self.fits(key, value) {
            return None;
        }
        let key = WireKey::of(key);
        let bytes = command::add(&key, value, command::expiry(life, io::unix_time()));
        let script = || Script::Commands(bytes.clone(), vec![Wanted::Stored]);
        self.first(&key, script).await.map(|(_, replies)| replies == [Reply::Stored])
    }

    /// Removes a key from every server that is asked for it when others fail, at the same time. When this returns `Yes`, no get on
    /// any connection finds what was there.
    pub async fn delete(&self, key: &str) -> Settled {
        let key = WireKey::of(key);
        let places = self.ring.servers(&key, self.settings.tries);
        let tasks: Vec<_> = places
            .into_iter()
            .filter_map(|place| self.servers.get(place).cloned())
            .map(|server| {
                let script = Script::Commands(command::delete(&key), vec![Wanted::Deleted]);
                io::spawn(async move {
                    let done = server.run(script).await;
                    done.inspect_err(|failure| server.failed(failure)).is_ok()
                })
            })
            .collect();
        let mut settled = Settled::Yes;
        for task in tasks {
            if task.await != Some(true) {
                settled = Settled::No;
            }
        }
        settled
    }

    /// Counts a counter up, or down to zero at least; makes it for `life` if there is none.
    pub async fn count(&self, key: &str, delta: i64, life: Duration) -> Option<u64> {
        let key = WireKey::of(key);
        let expiry = command::expiry(life, io::unix_time());
        let (_, replies) = self.first(&key, || Script::Count { key, delta, expiry }).await?;
        match replies.first() {
            Some(Reply::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// Values of several keys, all kept by the server of `server_key`.
    pub async fn get_multi(&self, keys: &[&str], server_key: &str) -> Option<Vec<Option<Value>>> {
        let keys: Vec<WireKey> = keys.iter().map(|key| WireKey::of(key)).collect();
        let script = || Script::Commands(command::get(&keys), vec![Wanted::Values(keys.clone())]);
        let (_, replies) = self.first(&WireKey::of(server_key), script).await?;
        match replies.into_iter().next() {
            Some(Reply::Values(values)) => Some(values),
            _ => None,
        }
    }

    /// Stores several values on the server of `server_key`, in one write.
    pub async fn set_multi(&self, items: &[(&str, Value)], server_key: &str, life: Duration) -> bool {
        let expiry = command::expiry(life, io::unix_time());
        if items.iter().any(|(key, value)| !self.fits(key, value)) {
            return false;
        }
        let commands = items.iter().map(|(key, value)| command::set(&WireKey::of(key), value, expiry));
        let commands = commands.collect::<Vec<_>>().concat();
        let script = || Script::Commands(commands.clone().into(), vec![Wanted::Stored; items.len()]);
        self.first(&WireKey::of(server_key), script).await.is_some()
    }

    /// Each server's numbers.
    pub fn report(&self) -> Vec<Report> {
        let report = |server: &Rc<Server>| {
            let (open, most_open) = server.connections();
            Report {
                server: server.name().to_owned(),
                open,
                most_open,
                slice: server.slice(),
                is_suppressed: server.is_limited(),
                counts: server.counts.get(),
            }
        };
        self.servers.iter().map(report).collect()
    }

    /// A defect that the storm must find: the slot of an exchange that was not done in time is lost.
    #[cfg(test)]
    pub(super) fn leak_on_timeout(&self, leaks: bool) {
        self.servers.iter().for_each(|server| server.leaks_on_timeout.set(leaks));
    }

    fn witness(&self, place: usize) -> Option<Witness> {
        self.servers.get(place).map(|server| Witness { server: place, epoch: server.epoch.get() })
    }

    /// The first server that works, and its replies.
    async fn first(&self, key: &WireKey, script: impl Fn() -> Script) -> Option<(usize, Vec<Reply>)> {
        if !self.is_open {
            return None;
        }
        for place in self.ring.servers(key, self.settings.tries) {
            let Some(server) = self.servers.get(place).filter(|server| !server.is_limited()) else { continue };
            match server.run(script()).await {
                Ok(replies) => return Some((place, replies)),
                Err(failure) => {
                    server.failed(&failure);
                    // Who waited long enough goes on without; another server would not have the value.
                    if matches!(failure, Failure::Busy | Failure::Vanished) {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Whether a value may be sent; a large one is told.
    fn fits(&self, key: &str, value: &Value) -> bool {
        let size = value.bytes.len();
        if self.settings.item_size_warning_threshold.is_some_and(|threshold| size >= threshold) {
            let prefix = key.rsplit_once('/').map_or(key, |(prefix, _)| prefix);
            tracing::warn!(prefix, size, "an item for memcached is larger than item_size_warning_threshold");
        }
        size <= value::BYTES_MAX
    }
}
