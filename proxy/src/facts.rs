//! Facts of accounts and containers (Swift's account_info and container_info), in two levels: what this core knows (`cache`), and what
//! all proxies know (`shared`: memcached). Behind them are the backends.
//!
//! # Invariants
//!
//! - One question per name and core at a time; everybody else who asks waits for it.
//! - A name that does not exist, or could not be asked for, is never kept by a core: creating it through any proxy is seen by all at
//!   once. Memcached keeps it for a tenth of the time, as in Swift.
//! - A name that exists is kept for `recheck_*_existence`, until somebody writes to it through this proxy, on any of its cores (`news`).
//!   A fact older than [`FRESH`] is still answered at once, and memcached is asked meanwhile whether another proxy knows better.
//! - What was being asked for while a write finished is neither kept nor told.
//!
//! Why it is so: docs/decisions/0005-two-levels-of-facts.md.

mod cache;
mod doubts;
pub mod memcached;
pub mod news;
mod shared;
#[cfg(test)]
pub(crate) mod tests;
mod value;

use crate::backend::outgoing::Origin;
use crate::backend::read::{Found, Read, find};
use crate::config::Config;
use crate::core::Core;
use crate::flights::{Flights, Landing};
use base::http::{Headers, Method};
use base::io;
use base::memcache::tls::Trust;
use base::memcache::{Memcache, Report};
use base::names::Path;
use base::scratch;
use base::timestamp::Timestamp;
use cache::{Cache, Name, Named};
use shared::{Shared, Told};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// What is known of an account or a container: the answer to a HEAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// 2xx: it is there. 404 or 410: it is not. 503: nobody knows.
    pub status: u16,
    /// The backend's fields: metadata, ACLs, counts, sysmeta.
    pub headers: Headers,
}

impl Info {
    /// Whether it exists.
    pub fn exists(&self) -> bool {
        self.status / 100 == 2
    }
    /// The ACL for reads.
    pub fn read_acl(&self) -> Option<&str> {
        self.headers.get_str("X-Container-Read")
    }
    /// The ACL for writes.
    pub fn write_acl(&self) -> Option<&str> {
        self.headers.get_str("X-Container-Write")
    }
    /// `X-Container-Meta-<name>` or `X-Account-Meta-<name>`.
    pub fn meta(&self, name: &str) -> Option<&str> {
        let found = self.headers.get_str(&format!("X-Container-Meta-{name}"));
        found.or_else(|| self.headers.get_str(&format!("X-Account-Meta-{name}")))
    }
    /// The container's storage policy.
    pub fn policy_index(&self) -> u32 {
        self.number("X-Backend-Storage-Policy-Index") as u32
    }
    /// A numeric field (`X-Container-Object-Count` …), zero when absent.
    pub fn number(&self, name: &str) -> u64 {
        self.headers.get_str(name).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}

/// What is known of `account`.
pub async fn account_info(core: &Rc<Core>, account: &str, trans_id: &str) -> Rc<Info> {
    info(core, account, None, trans_id).await
}

/// What is known of `account/container`; a container of an account that is gone is gone as well.
pub async fn container_info(core: &Rc<Core>, account: &str, container: &str, trans_id: &str) -> Rc<Info> {
    // Accounts of the system's own (`.expiring_objects` …) need not exist for their containers to.
    if !account.starts_with('.') {
        let of_account = account_info(core, account, trans_id).await;
        if !of_account.exists() {
            return Rc::new(Info { status: of_account.status, headers: Headers::new() });
        }
    }
    info(core, account, Some(container), trans_id).await
}

/// A fact younger than this is not asked about again: at most one look into memcached per second, core and name.
pub const FRESH: Duration = Duration::from_secs(1);

/// Both levels as one core has them.
pub struct Facts {
    account_life: Duration,
    container_life: Duration,
    /// Parts of all requests that refresh the account and the container they need, though it is known.
    skip: [f64; 2],
    cache: RefCell<Cache>,
    flights: Rc<Flights<Name, Rc<Info>>>,
    shared: Option<Rc<Shared>>,
    counters: Counters,
}

/// What happened, since the start of this core.
#[derive(Default)]
struct Counters {
    hits: Cell<u64>,
    misses: Cell<u64>,
    shared_hits: Cell<u64>,
    shared_misses: Cell<u64>,
    backend: Cell<u64>,
}

/// The same, as it is told, and what the core counted of its reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Facts this core knew.
    pub hits: u64,
    /// Facts it did not know.
    pub misses: u64,
    /// Facts found in memcached.
    pub shared_hits: u64,
    /// Facts not found there.
    pub shared_misses: u64,
    /// Questions to the backends.
    pub backend: u64,
    /// Facts this core knows now.
    pub kept: usize,
    /// Each memcached server.
    pub servers: Vec<Report>,
    /// Second nodes asked for a read, see `backend::hedge`.
    pub hedges: u64,
    /// Reads that another node than the first answered sooner.
    pub overtaken: u64,
}

/// Where to look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Memcached, and what it does not know the backends.
    Both,
    /// Whether memcached knows better than this core.
    Confirm,
    /// The backends.
    Backends,
}

impl Facts {
    /// Nothing known yet.
    pub async fn open(config: &Config, number: usize) -> std::io::Result<Facts> {
        let memcache = match config.memcache.clone() {
            Some(settings) => {
                let trust = match &settings.tls {
                    Some(tls) => Some(Trust::load(tls).await?),
                    None => None,
                };
                Some(Memcache::encrypted(settings, trust, config.cores, number))
            }
            None => None,
        };
        Ok(Facts {
            account_life: config.recheck_account_existence,
            container_life: config.recheck_container_existence,
            skip: config.existence_skip_cache,
            cache: RefCell::default(),
            flights: Flights::new(),
            shared: memcache.map(|memcache| Rc::new(Shared::new(memcache, config))),
            counters: Counters::default(),
        })
    }

    /// Memcached, for middleware that counts or keeps something there; `None` when there is none.
    pub fn memcache(&self) -> Option<&Memcache> {
        self.shared.as_ref().map(|shared| &shared.memcache)
    }

    /// What was counted of facts.
    pub fn numbers(&self) -> Numbers {
        let counters = &self.counters;
        Numbers {
            hits: counters.hits.get(),
            misses: counters.misses.get(),
            shared_hits: counters.shared_hits.get(),
            shared_misses: counters.shared_misses.get(),
            backend: counters.backend.get(),
            kept: self.cache.borrow().len(),
            servers: self.memcache().map(Memcache::report).unwrap_or_default(),
            ..Numbers::default()
        }
    }

    fn shared(&self) -> Option<&Rc<Shared>> {
        self.shared.as_ref()
    }

    /// Forgets a name that was written to: what is known, what is being asked, what memcached will say for a while.
    fn forget(&self, path: &Path) {
        let name: &dyn Named = &(path.account.as_str(), path.container.as_deref());
        self.cache.borrow_mut().remove(name);
        self.flights.forget(name);
        self.doubt(path);
    }

    fn doubt(&self, path: &Path) {
        if let Some(shared) = &self.shared {
            shared.doubt(path);
        }
    }

    fn life(&self, container: Option<&str>) -> Duration {
        if container.is_some() { self.container_life } else { self.account_life }
    }

    /// What this core knows, and how it is to be looked after meanwhile.
    fn known(&self, name: &(&str, Option<&str>)) -> Option<(Rc<Info>, Option<Depth>)> {
        let now = io::monotonic();
        let known = self.cache.borrow_mut().get(name, now, self.life(name.1))?;
        if self.skips(name.1) {
            return Some((known.info, Some(Depth::Backends)));
        }
        let is_due = known.unconfirmed >= FRESH && self.shared.as_ref().is_some_and(|shared| shared.is_believed(name));
        if is_due {
            self.cache.borrow_mut().touch(name, now);
        }
        Some((known.info, is_due.then_some(Depth::Confirm)))
    }

    /// The chance of Swift's `*_existence_skip_cache_pct`.
    fn skips(&self, container: Option<&str>) -> bool {
        let [of_account, of_container] = self.skip;
        let chance = if container.is_some() { of_container } else { of_account };
        chance > 0.0 && io::chance() < chance
    }
}

/// [`container_info`] of a container that exists, if this core knows it.
pub fn known_container_info(core: &Rc<Core>, account: &str, container: &str, trans_id: &str) -> Option<Rc<Info>> {
    if !account.starts_with('.') && !recall(core, account, None, trans_id)?.exists() {
        return None;
    }
    recall(core, account, Some(container), trans_id)
}

/// What this core knows; what is due to be looked after is looked after beside.
fn recall(core: &Rc<Core>, account: &str, container: Option<&str>, trans_id: &str) -> Option<Rc<Info>> {
    let (facts, name) = (&core.facts, (account, container));
    let (info, care) = facts.known(&name)?;
    facts.counters.hits.set(facts.counters.hits.get() + 1);
    if let Some(depth) = care.filter(|_| !facts.flights.is_under_way(&name as &dyn Named)) {
        let path = path_of(account, container);
        facts.flights.begin(Name::of(&path), |landing| fly(core.clone(), path, trans_id.to_owned(), depth, landing));
    }
    Some(info)
}

async fn info(core: &Rc<Core>, account: &str, container: Option<&str>, trans_id: &str) -> Rc<Info> {
    if let Some(info) = recall(core, account, container, trans_id) {
        return info;
    }
    let facts = &core.facts;
    let counters = &facts.counters;
    counters.misses.set(counters.misses.get() + 1);
    let skips = facts.life(container).is_zero() || facts.skips(container);
    let depth = if skips { Depth::Backends } else { Depth::Both };
    let path = path_of(account, container);
    // In a task of its own: the one who asked first may go away, the others still want the answer.
    let work = |landing| fly(core.clone(), path.clone(), trans_id.to_owned(), depth, landing);
    // Boxed: who knows already, as nearly all do, carries no space for it.
    let answer = Box::pin(facts.flights.join_to_land(Name::of(&path), work)).await;
    answer.unwrap_or_else(|| Rc::new(Info { status: 503, headers: Headers::new() }))
}

fn path_of(account: &str, container: Option<&str>) -> Path {
    Path { account: account.into(), container: container.map(Into::into), object: None }
}

/// One question from its start to what is kept and told of its answer.
async fn fly(core: Rc<Core>, path: Path, trans_id: String, depth: Depth, landing: Landing<Name, Rc<Info>>) {
    let facts = &core.facts;
    let name: &dyn Named = &(path.account.as_str(), path.container.as_deref());
    let told = match &facts.shared {
        Some(shared) if depth != Depth::Backends => shared.look(&core.config, &path, &facts.counters).await,
        _ => Told::Silent,
    };
    let now = io::monotonic();
    // Who came while this was only about confirming a fact waits for an answer: then there must be one.
    let only_confirms = depth == Depth::Confirm && !landing.is_awaited();
    match told {
        Told::Known(info, witness) if landing.is_current() => {
            let mut cache = facts.cache.borrow_mut();
            match (depth, info.exists()) {
                (Depth::Confirm, true) => cache.confirm(name, info.clone(), witness, now),
                (_, true) if !facts.life(path.container.as_deref()).is_zero() => {
                    cache.put(Name::of(&path), info.clone(), Some(witness), now);
                }
                (_, true) => {}
                // Another proxy says that it is gone.
                (_, false) => cache.remove(name),
            }
            drop(cache);
            return landing.land(&info);
        }
        Told::Known(..) => {}
        // It is there no more: another proxy wrote. A server that was restarted has only lost its memory.
        Told::Nothing(witness) if only_confirms && facts.cache.borrow_mut().witness(name) != Some(witness) => return,
        Told::Silent if only_confirms => return,
        Told::Nothing(_) | Told::Silent => {}
    }
    facts.counters.backend.set(facts.counters.backend.get() + 1);
    let info = Rc::new(ask(&core, &path, &trans_id).await);
    let is_current = landing.is_current();
    if is_current {
        let mut cache = facts.cache.borrow_mut();
        if info.exists() && !facts.life(path.container.as_deref()).is_zero() {
            cache.put(Name::of(&path), info.clone(), None, io::monotonic());
        } else if info.status / 100 != 5 {
            cache.remove(name);
        }
    }
    landing.land(&info);
    if let Some(shared) = &facts.shared
        && is_current
        && let Some(witness) = shared.tell(&core.config, &path, &info).await
    {
        facts.cache.borrow_mut().set_witness(name, witness);
    }
}

async fn ask(core: &Rc<Core>, path: &Path, trans_id: &str) -> Info {
    let origin = Origin::internal(
        Timestamp::from_unix(io::unix_time()),
        scratch::text(trans_id),
        format!("HEAD http://localhost/v1{}", path.quoted()),
    );
    let placement = core.backend.place(&core.config, path);
    let mut candidates = core.backend.candidates(&core.config, &placement);
    let read = Read {
        method: Method::Head,
        path: path.clone(),
        placement,
        query: String::new(),
        headers: origin.headers(),
        deadline: core.config.node_timeout,
        newest: false,
        tombstones: false,
    };
    match find(core, &read, &mut candidates).await {
        Found::Source(source) => {
            let info = Info { status: source.head.status.0, headers: source.head.headers.into_kept() };
            let _ = source.exchange.collect().await;
            info
        }
        Found::Nothing(head) => Info { status: head.status.0, headers: head.headers.into_kept() },
    }
}
