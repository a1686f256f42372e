//! Cached facts of accounts and containers (Swift's account_info and container_info), bounded, per core.
//!
//! # Invariants
//!
//! - One backend request per name at a time; everybody else who asks waits for it.
//! - A name that does not exist, or could not be asked for, is never cached: creating it on one core is seen by all at once.
//! - A name that exists is cached for `recheck_*_existence`, until this core writes to it. Where several cores serve, others may
//!   see an older ACL for at most [`SHARED_LIFE_MAX`] (docs/decisions/0002-facts-per-core.md).
//! - What was being asked for while a write finished is not cached.

use crate::backend::outgoing::Origin;
use crate::backend::queue::{Sender, queue};
use crate::backend::read::{Found, Read, find};
use crate::config::Config;
use crate::core::Core;
use base::http::{Headers, Method};
use base::io;
use base::names::Path;
use base::timestamp::Timestamp;
use std::cell::RefCell;
use std::collections::BTreeMap;
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
    let path = Path { account: account.to_owned(), container: None, object: None };
    info(core, path, trans_id).await
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
    let path = Path { account: account.to_owned(), container: Some(container.to_owned()), object: None };
    info(core, path, trans_id).await
}

/// The cache.
pub struct Facts {
    account_life: Duration,
    container_life: Duration,
    cache: RefCell<Cache>,
}

/// How long a fact is good when other cores may change it unheard: one backend request per second, core and name is cheap, and a
/// revoked ACL is gone after a second.
pub const SHARED_LIFE_MAX: Duration = Duration::from_secs(1);

/// Facts one core remembers: about 1 KiB each.
const MAX_ENTRIES: usize = 10_000;

#[derive(Default)]
struct Cache {
    entries: BTreeMap<Path, Entry>,
    /// Use number → name, for the one used longest ago.
    by_use: BTreeMap<u64, Path>,
    uses: u64,
    flights: BTreeMap<Path, Rc<Flight>>,
}

struct Entry {
    info: Rc<Info>,
    since: io::Instant,
    used: u64,
}

/// A request under way and who waits for it.
#[derive(Default)]
struct Flight {
    waiters: RefCell<Vec<Sender<Rc<Info>>>>,
}

impl Facts {
    /// Empty.
    pub fn new(config: &Config) -> Facts {
        let life_max = if config.cores > 1 { SHARED_LIFE_MAX } else { Duration::MAX };
        Facts {
            account_life: config.recheck_account_existence.min(life_max),
            container_life: config.recheck_container_existence.min(life_max),
            cache: RefCell::new(Cache::default()),
        }
    }

    /// Forgets an account or container that this core has written to.
    pub fn forget(&self, path: &Path) {
        let mut cache = self.cache.borrow_mut();
        cache.remove(path);
        cache.flights.remove(path);
    }

    fn cached(&self, path: &Path) -> Option<Rc<Info>> {
        let life = self.life(path);
        let mut cache = self.cache.borrow_mut();
        let entry = cache.entries.get(path)?;
        if io::monotonic().since(entry.since) >= life {
            cache.remove(path);
            return None;
        }
        cache.touch(path)
    }

    fn life(&self, path: &Path) -> Duration {
        if path.container.is_some() { self.container_life } else { self.account_life }
    }

    /// Ends a flight: caches what it found unless it was forgotten meanwhile, and tells the waiters.
    fn landed(&self, path: &Path, flight: &Rc<Flight>, info: &Rc<Info>) {
        let life = self.life(path);
        let mut cache = self.cache.borrow_mut();
        if cache.flights.get(path).is_some_and(|current| Rc::ptr_eq(current, flight)) {
            cache.flights.remove(path);
            if info.exists() && !life.is_zero() {
                cache.insert(path.clone(), info.clone());
            }
        }
        drop(cache);
        for waiter in flight.waiters.take() {
            let _ = waiter.try_send(info.clone());
        }
    }
}

impl Cache {
    fn insert(&mut self, path: Path, info: Rc<Info>) {
        self.remove(&path);
        if self.entries.len() >= MAX_ENTRIES
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, path.clone());
        self.entries.insert(path, Entry { info, since: io::monotonic(), used: self.uses });
    }

    fn remove(&mut self, path: &Path) {
        if let Some(entry) = self.entries.remove(path) {
            self.by_use.remove(&entry.used);
        }
    }

    fn touch(&mut self, path: &Path) -> Option<Rc<Info>> {
        self.uses += 1;
        let entry = self.entries.get_mut(path)?;
        self.by_use.remove(&entry.used);
        entry.used = self.uses;
        self.by_use.insert(self.uses, path.clone());
        Some(entry.info.clone())
    }
}

async fn info(core: &Rc<Core>, path: Path, trans_id: &str) -> Rc<Info> {
    if let Some(info) = core.facts.cached(&path) {
        return info;
    }
    let (sender, mut receiver) = queue(1);
    let flight = core.facts.cache.borrow().flights.get(&path).cloned();
    match flight {
        Some(flight) => flight.waiters.borrow_mut().push(sender),
        None => {
            let flight = Rc::new(Flight { waiters: RefCell::new(vec![sender]) });
            core.facts.cache.borrow_mut().flights.insert(path.clone(), flight.clone());
            // A task of its own: the one who asked first may go away, the others still want the answer.
            let (core, trans_id) = (core.clone(), trans_id.to_owned());
            io::spawn(async move {
                let info = Rc::new(ask(&core, &path, &trans_id).await);
                core.facts.landed(&path, &flight, &info);
            });
        }
    }
    receiver.receive().await.unwrap_or_else(|| Rc::new(Info { status: 503, headers: Headers::new() }))
}

async fn ask(core: &Rc<Core>, path: &Path, trans_id: &str) -> Info {
    let origin = Origin::internal(
        Timestamp::from_unix(io::unix_time()),
        trans_id,
        format!("HEAD http://localhost/v1{}", path.quoted()),
    );
    let placement = core.backend.place(&core.config, path);
    let mut candidates = core.backend.candidates(&placement);
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
            let info = Info { status: source.head.status.0, headers: source.head.headers };
            let _ = source.exchange.collect().await;
            info
        }
        Found::Nothing(head) => Info { status: head.status.0, headers: head.headers },
    }
}
