//! Backends: nodes of a partition in the order to try, exchanges with deadlines, pooled connections, error limits.
//!
//! Two ways to ask: `gather` sends one write to every replica and lets `quorum` decide; `read` asks one node after the other
//! until one has a good answer, and a second one beside the first that takes too long (`hedge`). `object::put` drives its exchanges
//! itself, because a body flows through them.

pub mod affinity;
pub mod error_limit;
pub mod exchange;
pub mod gather;
pub mod hedge;
pub mod nodes;
pub mod outgoing;
pub mod pool;
pub mod queue;
pub mod quorum;
pub mod read;
pub mod rings;

use crate::config::Config;
use affinity::{Preference, Timings};
use base::hash_path::NameHash;
use base::http::Status;
use base::io;
use base::names::Path;
use error_limit::ErrorLimits;
use hedge::Hedging;
use nodes::{Candidates, Node, Nodes};
use pool::Pool;
use rings::{Rings, Service};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Rings, pooled connections and error limits of one core.
pub struct Backend {
    rings: Rings,
    pool: Pool,
    limits: RefCell<ErrorLimits>,
    timings: RefCell<Timings>,
    /// Nodes of the rings that answered the field of `body_check` when they were asked last.
    checking: RefCell<BTreeSet<SocketAddr>>,
    request_node_count: Option<usize>,
    hedges: Hedges,
    log_handoffs: bool,
}

/// Second questions of reads, counted.
#[derive(Debug, Default)]
pub struct Hedges {
    /// Asked because the first node kept the read waiting.
    pub asked: Cell<u64>,
    /// Reads that another node than the first answered sooner.
    pub won: Cell<u64>,
}

/// Where a name lives: its ring and its partition there.
#[derive(Clone)]
pub struct Placement {
    /// The ring.
    pub ring: Rc<Nodes>,
    /// The partition.
    pub partition: u32,
    /// The storage policy, for an object.
    pub policy: Option<u32>,
}

impl Placement {
    /// The primaries, in the ring's order.
    pub fn primaries(&self) -> Vec<Node> {
        self.ring.primaries(self.partition).collect()
    }
}

impl Backend {
    /// Loads the rings.
    pub async fn load(config: &Config) -> std::io::Result<Backend> {
        Ok(Backend {
            rings: Rings::load(&config.swift_dir, config.policies.iter().map(|policy| policy.index)).await?,
            pool: Pool::default(),
            limits: RefCell::new(ErrorLimits::new(config.error_suppression_limit, config.error_suppression_interval)),
            timings: RefCell::default(),
            checking: RefCell::default(),
            request_node_count: config.request_node_count,
            hedges: Hedges::default(),
            log_handoffs: config.log_handoffs,
        })
    }

    /// Whether a node takes the MD5 of a body from us (`body_check`), as far as we know.
    pub fn checks_bodies(&self, node: &Node) -> bool {
        self.checking.borrow().contains(&node.address)
    }

    /// Remembers what a node said when it was asked.
    pub fn note_checks(&self, node: &Node, checks: bool) {
        let mut checking = self.checking.borrow_mut();
        if checks {
            checking.insert(node.address);
        } else {
            checking.remove(&node.address);
        }
    }

    /// Where the account or container of `path` lives.
    pub fn place(&self, config: &Config, path: &Path) -> Placement {
        let path = Path { object: None, ..path.clone() };
        let service = if path.container.is_some() { Service::Container } else { Service::Account };
        self.place_in(service, config, &path).expect("rings of accounts and containers are always loaded")
    }

    /// Where the object `path` lives under a storage policy; `None` for one that is not configured.
    pub fn place_object(&self, config: &Config, path: &Path, policy: u32) -> Option<Placement> {
        self.place_in(Service::Object(policy), config, path)
    }

    fn place_in(&self, service: Service, config: &Config, path: &Path) -> Option<Placement> {
        let ring = self.rings.get(service)?;
        let NameHash(hash) = config.hash_path.hash(&path.account, path.container.as_deref(), path.object.as_deref());
        let partition = ring.partition(&hash);
        let policy = if let Service::Object(policy) = service { Some(policy) } else { None };
        Some(Placement { ring, partition, policy })
    }

    /// The nodes to try for a request, primaries in the order of `sorting_method`.
    pub fn candidates(&self, config: &Config, placement: &Placement) -> Candidates {
        self.candidates_after(config.preference(placement.policy), placement, Vec::new())
    }

    /// The same for the PUT of an object: nodes of `write_affinity` first.
    pub fn candidates_for_put(&self, config: &Config, placement: &Placement) -> Candidates {
        let preference = config.preference(placement.policy);
        let (ring, partition) = (&placement.ring, placement.partition);
        if preference.write.is_empty() {
            return self.candidates_after(preference, placement, Vec::new());
        }
        let first = preference.first_for_put(&placement.primaries(), ring.handoffs(partition));
        self.candidates_after(preference, placement, first)
    }

    /// The same for the DELETE of an object, and how many nodes are asked beside the primaries.
    pub fn candidates_for_delete(&self, config: &Config, placement: &Placement) -> (Candidates, usize) {
        let preference = config.preference(placement.policy);
        if preference.write.is_empty() {
            return (self.candidates_after(preference, placement, Vec::new()), 0);
        }
        let (ring, partition) = (&placement.ring, placement.partition);
        let primaries = placement.primaries();
        let more = preference.handoffs_of_delete(&primaries);
        let first =
            if more > 0 { preference.first_for_delete(&primaries, ring.handoffs(partition)) } else { Vec::new() };
        (self.candidates_after(preference, placement, first).with_more(more), more)
    }

    fn candidates_after(&self, preference: &Preference, placement: &Placement, first: Vec<Node>) -> Candidates {
        let sort = |nodes: &mut [Node]| {
            preference.sort(nodes, &self.timings.borrow(), now);
            placement.ring.hedge().sort(nodes, now);
        };
        let (ring, tries) = (placement.ring.clone(), self.request_node_count);
        Candidates::new(ring, placement.partition, tries, io::random_u64, sort, first)
    }

    /// Takes down how long a node took to answer a read: that sorts the next ones, and says when a second node is asked.
    pub fn timed(&self, config: &Config, placement: &Placement, node: &Node, took: Duration) {
        if config.sorts_by_timing() {
            self.timings.borrow_mut().set(node.address.ip(), took, now(), config.timing_expiry);
        }
        placement.ring.hedge_mut().answered(node, took);
    }

    /// How long the first node may take before a second one is asked; `None`: as long as it likes.
    pub fn patience(&self, config: &Config, placement: &Placement) -> Option<Duration> {
        match config.preference(placement.policy).hedging {
            Hedging::Off => None,
            Hedging::After(time) => Some(time),
            Hedging::Measured => placement.policy.and_then(|_| placement.ring.hedge().delay()),
        }
    }

    /// The next candidate for a second question, if the load allows one now.
    pub fn next_hedge(&self, config: &Config, placement: &Placement, candidates: &mut Candidates) -> Option<Node> {
        let allowed = match config.preference(placement.policy).hedging {
            Hedging::Off => false,
            Hedging::After(_) => true,
            Hedging::Measured => placement.ring.hedge_mut().may_ask(),
        };
        let node = if allowed { self.next(candidates) } else { None };
        if node.is_some() {
            self.hedges.asked.set(self.hedges.asked.get() + 1);
        }
        node
    }

    /// A node was asked first and has not answered, where a later one has.
    pub fn overtaken(&self, placement: &Placement, node: &Node) {
        tracing::debug!(node = %node.name, "another node answered sooner");
        self.hedges.won.set(self.hedges.won.get() + 1);
        placement.ring.hedge_mut().overtook(node, now());
    }

    /// What was counted.
    pub fn hedges(&self) -> &Hedges {
        &self.hedges
    }

    /// The next candidate that is not error-limited.
    pub fn next(&self, candidates: &mut Candidates) -> Option<Node> {
        let now = now();
        let node = candidates.next(|node| self.limits.borrow_mut().is_limited(&node.name, now))?;
        if self.log_handoffs
            && !node.primary
            && let Some(given) = candidates.unexpected_handoffs()
        {
            tracing::warn!(node = %node.name, "Handoff requested ({given})");
        }
        Some(node)
    }

    /// Counts what an answer says about its node; true when the answer can be used (anything but 5xx).
    pub fn judge(&self, node: &Node, status: Status) -> bool {
        if status.0 == 507 {
            tracing::warn!(node = %node.name, "the node says 507, it is left out for a while");
            self.limits.borrow_mut().suppress(&node.name, now());
        } else if status.is_server_error() {
            self.limits.borrow_mut().failed(&node.name, now());
        }
        !status.is_server_error()
    }

    /// Counts a node that could not be reached or went away.
    pub fn failed(&self, node: &Node, error: &std::io::Error) {
        tracing::info!(node = %node.name, %error, "no answer from the node");
        self.limits.borrow_mut().failed(&node.name, now());
    }
}

fn now() -> Duration {
    Duration::from_nanos(io::monotonic().as_nanos())
}
