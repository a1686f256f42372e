//! Driver: the second level, memcached, which proxies of both kinds share: Swift's keys, values and times to live.
//!
//! Nothing here makes a request fail or wait for longer than `pool_timeout`: who hears nothing from memcached asks the backends.

use super::cache::{Name, Named};
use super::doubts::Doubts;
use super::{Counters, Info, value};
use crate::config::Config;
use base::io;
use base::memcache::{Lookup, Memcache, Settled, Value, Witness};
use base::names::Path;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// What does not exist is kept for this part of the time, as in Swift.
const NEGATIVE: u32 = 10;
/// First and longest pause between two tries to remove a key from a server that does not say that it did.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Keys that are being removed so at the same time on this core; past it their doubt is all that is left, which covers every
/// server that comes back within the time to live.
const RETRIES_MAX: usize = 1024;

/// The second level of one core.
pub(super) struct Shared {
    pub(super) memcache: Memcache,
    doubts: RefCell<Doubts>,
    /// How long a name is doubted after a write.
    doubt: Duration,
    retries: Cell<usize>,
}

/// What the second level says.
pub(super) enum Told {
    /// These facts.
    Known(Rc<Info>, Witness),
    /// Nothing, though it works.
    Nothing(Witness),
    /// It is not to be asked, or did not answer in time.
    Silent,
}

impl Shared {
    pub(super) fn new(memcache: Memcache, config: &Config) -> Shared {
        let settings = memcache.settings();
        let under_way = settings.pool_timeout + settings.connect_timeout + settings.io_timeout;
        let life = config.recheck_account_existence.max(config.recheck_container_existence);
        // A second more, since memcached counts whole ones.
        let doubt = life + under_way + Duration::from_secs(1);
        Shared { memcache, doubts: RefCell::default(), doubt, retries: Cell::new(0) }
    }

    /// Whether memcached would be asked about it.
    pub(super) fn is_believed(&self, name: &dyn Named) -> bool {
        self.memcache.is_open() && !self.doubts.borrow_mut().has(name, io::monotonic())
    }

    /// From now on, for a while, memcached is not believed about it.
    pub(super) fn doubt(&self, path: &Path) {
        let now = io::monotonic();
        self.doubts.borrow_mut().add(Name::of(path), now, now.after(self.doubt));
    }

    /// Looks a name up.
    pub(super) async fn look(&self, config: &Config, path: &Path, counters: &Counters) -> Told {
        if !self.is_believed(&(path.account.as_str(), path.container.as_deref())) {
            return Told::Silent;
        }
        let key = key(path);
        let found = io::timeout(self.memcache.settings().pool_timeout, self.memcache.get(&key)).await;
        match found.unwrap_or(Lookup::Unavailable) {
            // Somebody wrote while we looked.
            _ if !self.is_believed(&(path.account.as_str(), path.container.as_deref())) => Told::Silent,
            Lookup::Hit(value, witness) => match read(config, path, &value) {
                Some(info) => {
                    counters.shared_hits.set(counters.shared_hits.get() + 1);
                    Told::Known(Rc::new(info), witness)
                }
                None => Told::Nothing(witness),
            },
            Lookup::Miss(witness) => {
                counters.shared_misses.set(counters.shared_misses.get() + 1);
                Told::Nothing(witness)
            }
            Lookup::Unavailable => Told::Silent,
        }
    }

    /// Tells everybody what the backends said. Only what they are sure of is kept.
    pub(super) async fn tell(&self, config: &Config, path: &Path, info: &Info) -> Option<Witness> {
        let life = match path.container {
            Some(_) => config.recheck_container_existence,
            None => config.recheck_account_existence,
        };
        let life = match info.status {
            200..=299 => life,
            404 | 410 => life / NEGATIVE,
            _ => return None,
        };
        // Zero would be for ever.
        if !self.memcache.is_open() || life < Duration::from_secs(1) {
            return None;
        }
        let text = match path.container {
            Some(_) => value::of_container(info),
            None => value::of_account(info, &config.policies, config.account_autocreate),
        };
        self.memcache.set(&key(path), &Value::json(text), life).await
    }

    /// Removes a name. When it is not known to be gone everywhere within `pool_timeout` somebody goes on trying, and the name is doubted
    /// on this core (and by `again` on the others) until it is.
    pub(super) async fn remove(self: &Rc<Self>, path: &Path, again: impl AsyncFn() + 'static) {
        let keys = keys_of(path);
        let (shared, tried) = (self.clone(), keys.clone());
        let first = io::spawn(async move { shared.remove_all(&tried).await });
        let patience = self.memcache.settings().pool_timeout;
        if matches!(io::timeout(patience, first).await, Ok(Some(Settled::Yes))) {
            return;
        }
        if self.retries.get() >= RETRIES_MAX {
            return;
        }
        let retry = Retry::new(self);
        io::spawn(async move {
            let mut pause = RETRY.0;
            // Ends: when the servers say so, or this core does.
            loop {
                io::sleep(pause).await;
                let settled = retry.shared.remove_all(&keys).await;
                // What the server had for it until now may have been read by none: doubt counts from the last time.
                again().await;
                if settled == Settled::Yes {
                    return;
                }
                pause = (pause * 2).min(RETRY.1);
            }
        });
    }

    async fn remove_all(&self, keys: &[String]) -> Settled {
        let mut all = Settled::Yes;
        for key in keys {
            if self.memcache.delete(key).await == Settled::No {
                all = Settled::No;
            }
        }
        all
    }
}

/// One of the tries that go on.
struct Retry {
    shared: Rc<Shared>,
}

impl Retry {
    fn new(shared: &Rc<Shared>) -> Retry {
        shared.retries.set(shared.retries.get() + 1);
        Retry { shared: shared.clone() }
    }
}

impl Drop for Retry {
    fn drop(&mut self) {
        self.shared.retries.set(self.shared.retries.get().saturating_sub(1));
    }
}

fn read(config: &Config, path: &Path, value: &Value) -> Option<Info> {
    let json = value.as_json()?;
    match path.container {
        Some(_) => value::container(&json),
        None => value::account(&json, &config.policies),
    }
}

/// Swift's key of an account's or container's facts.
fn key(path: &Path) -> String {
    match &path.container {
        Some(container) => format!("container/{}/{container}", path.account),
        None => format!("account/{}", path.account),
    }
}

/// All that a write makes untrue.
fn keys_of(path: &Path) -> Vec<String> {
    let mut keys = vec![key(path)];
    if let Some(container) = &path.container {
        keys.push(format!("shard-listing-v2/{}/{container}", path.account));
    }
    keys
}
