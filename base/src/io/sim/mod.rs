//! The simulator: one thread, one seed. It picks the next ready task by its random generator, moves time only when nothing
//! is ready, and injects faults.
//!
//! ```text
//! let sim = Sim::new(seed, SimOptions::default());
//! let storage = sim.node("storage", "10.0.0.2".parse().unwrap());
//! sim.start(storage, || async { serve().await });
//! let outcome = sim.run({ let sim = sim.handle(); async move { …; sim.crash(storage); … } });
//! assert_eq!(sim.trace_hash(), …);
//! ```
//!
//! - A **node** has a name, an ip, a disk, a wall clock of its own, and tasks. `crash` drops its tasks, breaks its
//!   connections and loses what its disk had not synced; `start` goes on with what is durable.
//! - Node 0 is the **client**: `run` drives the whole simulation until the future it was given, a task of that node, is done.
//! - Every **decision** goes into `trace_hash`. The same seed gives the same hash.
//! - **Faults** have probabilities in `SimOptions`, and stop with `set_faults(false)`. Others are planned: see `damage`.

pub(super) mod clock;
mod content;
mod damage;
pub(super) mod datagram;
pub(super) mod disk;
mod file_system;
pub(super) mod kv;
pub(super) mod net;
mod random;
mod sockets;
mod step;
pub(super) mod task;
mod trace;
pub(super) mod volume;
mod world;

#[cfg(test)]
mod tests;

pub use random::Random;
pub use step::{Defects, Planned};

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use world::World;

/// One simulated machine; an index, good only in the simulation that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

/// The node of the client future.
pub const CLIENT: NodeId = NodeId(0);

/// What the world is like. Probabilities are 0.0 to 1.0, per operation.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Time of a segment from node to node, shortest and longest.
    pub latency: (Duration, Duration),
    /// A read or write moves only a part of what it could.
    pub split_chance: f64,
    /// Bytes one direction of a connection holds before its writer waits.
    pub stream_buffer: usize,
    /// A segment is lost and retransmitted after `stall`.
    pub stall_chance: f64,
    /// Shortest and longest such time.
    pub stall: (Duration, Duration),
    /// A direction goes dead for ever: half-open.
    pub lost_chance: f64,
    /// A segment becomes a reset.
    pub reset_chance: f64,
    /// A node that crashes says nothing to its peers.
    pub silent_crash_chance: f64,
    /// Time of an operation of a disk, shortest and longest.
    pub disk_time: (Duration, Duration),
    /// An operation of a disk takes up to `slow_disk`.
    pub slow_disk_chance: f64,
    /// See above.
    pub slow_disk: Duration,
    /// A read fails with EIO.
    pub read_error_chance: f64,
    /// A write, a new name fails with EIO.
    pub write_error_chance: f64,
    /// A sync fails with EIO.
    pub sync_error_chance: f64,
    /// A commit of a key-value environment fails with EIO, nothing of it done.
    pub commit_error_chance: f64,
    /// Bytes of every disk.
    pub disk_capacity: u64,
    /// Wall clocks differ from the true time by at most this.
    pub clock_skew_max: Duration,
    /// Steps after which a run fails.
    pub steps_max: u64,
    /// Virtual time after which a run fails.
    pub time_max: Duration,
    /// Keep the text of the trace.
    pub trace_text: bool,
}

impl Default for SimOptions {
    /// A quiet world: latencies and odd chunks, no faults.
    fn default() -> Self {
        Self {
            latency: (Duration::from_micros(50), Duration::from_millis(1)),
            split_chance: 0.1,
            stream_buffer: 128 * 1024,
            stall_chance: 0.0,
            stall: (Duration::from_millis(200), Duration::from_secs(3)),
            lost_chance: 0.0,
            reset_chance: 0.0,
            silent_crash_chance: 0.5,
            disk_time: (Duration::from_micros(20), Duration::from_micros(400)),
            slow_disk_chance: 0.0,
            slow_disk: Duration::from_secs(2),
            read_error_chance: 0.0,
            write_error_chance: 0.0,
            sync_error_chance: 0.0,
            commit_error_chance: 0.0,
            disk_capacity: 1 << 30,
            clock_skew_max: Duration::ZERO,
            steps_max: 20_000_000,
            time_max: Duration::from_secs(24 * 3600),
            trace_text: false,
        }
    }
}

/// A simulation, one per thread at a time. Dropped, it drops all its tasks.
pub struct Sim {
    handle: SimHandle,
    _simulated: crate::io::Simulated,
}

/// What can be done to a simulation, also from inside it. Clones are the same one.
#[derive(Clone)]
pub struct SimHandle {
    world: Rc<World>,
}

impl Deref for Sim {
    type Target = SimHandle;
    fn deref(&self) -> &SimHandle {
        &self.handle
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.world.leave();
    }
}

impl Sim {
    /// The world of this seed. Panics if this thread has one already.
    pub fn new(seed: u64, options: SimOptions) -> Sim {
        let _simulated = crate::io::Simulated::enter();
        let sim = Sim { handle: SimHandle { world: World::enter(seed, options) }, _simulated };
        let client = sim.node("client", IpAddr::V4(Ipv4Addr::new(10, 255, 255, 1)));
        debug_assert_eq!(client, CLIENT, "the client is the first node");
        sim.world.set_up(client, true);
        sim
    }
    /// For use inside tasks.
    pub fn handle(&self) -> SimHandle {
        self.handle.clone()
    }
    /// Drives everything until `client` is done. Panics with the names of all tasks on a deadlock or past a limit.
    pub fn run<F: Future + 'static>(&self, client: F) -> F::Output {
        let join = task::spawn_on(&self.world, CLIENT, client);
        self.world.run_until(&|| join.is_over());
        join.take().unwrap_or_else(|| {
            panic!("seed {}: the client panicked: {:?}", self.world.seed, self.world.panics.borrow())
        })
    }
}

impl SimHandle {
    /// A new machine with an empty disk; it is down until started.
    pub fn node(&self, name: &str, ip: IpAddr) -> NodeId {
        let skew_max = i64::try_from(self.world.options.clock_skew_max.as_nanos()).unwrap_or(i64::MAX);
        let skew_nanos = self.world.with_random(|random| {
            let skew = random.between(0, skew_max.unsigned_abs().saturating_mul(2));
            i64::try_from(skew).unwrap_or(i64::MAX).saturating_sub(skew_max)
        });
        let mut nodes = self.world.nodes.borrow_mut();
        assert!(nodes.iter().all(|node| node.ip != ip), "an ip belongs to one node");
        nodes.push(world::Node {
            name: name.to_owned(),
            ip,
            up: false,
            life: 0,
            silent: false,
            next_port: 0,
            skew_nanos,
            disk: file_system::FileSystem::new(self.world.options.disk_capacity),
            steps: step::Steps::default(),
            environments: BTreeMap::new(),
            locks: BTreeSet::new(),
            mounts: BTreeSet::new(),
        });
        NodeId(nodes.len() - 1)
    }

    /// Starts the node, if it is down, and a task on it.
    pub fn start<F: Future<Output = ()> + 'static>(&self, node: NodeId, main: impl FnOnce() -> F + 'static) {
        if !self.is_up(node) {
            self.world.note("start", as_u64(node), 0);
            self.world.set_up(node, true);
            sockets::unblock(&self.world, node, None);
        }
        // Polled later, never inline: the caller may be another node's task.
        drop(task::spawn_on(&self.world, node, async move { main().await }));
    }

    /// Runs a future on a node (which must be up) and gives its value; `None` when the node crashed meanwhile.
    pub async fn run_on<F: Future + 'static>(&self, node: NodeId, future: F) -> Option<F::Output> {
        task::spawn_on(&self.world, node, future).await
    }

    /// Cuts the power: tasks, connections and unsynced bytes of the node are gone. Not for the node that calls it.
    pub fn crash(&self, node: NodeId) {
        self.world.crash(node);
    }

    /// Whether the node runs.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.world.life(node).is_some()
    }

    /// Cuts or mends the network between two nodes. Connections stand still while it is cut.
    pub fn partition(&self, a: NodeId, b: NodeId, on: bool) {
        self.world.note("partition", as_u64(a) << 32 | as_u64(b), u64::from(on));
        let pair = (a.min(b), a.max(b));
        if on {
            self.world.net.borrow_mut().partitions.insert(pair);
        } else if self.world.net.borrow_mut().partitions.remove(&pair) {
            sockets::unblock(&self.world, a, Some(b));
        }
    }

    /// Packets between these two are never lost, stalled or turned into resets. Crashes and partitions still are.
    pub fn make_reliable(&self, a: NodeId, b: NodeId) {
        self.world.net.borrow_mut().reliable.insert((a.min(b), a.max(b)));
    }

    /// Declares a path of a node a mount point: another device than its parent.
    pub fn mount(&self, node: NodeId, path: &Path) {
        if let Some(state) = self.world.nodes.borrow_mut().get_mut(node.0) {
            state.mounts.insert(path.to_owned());
        }
    }

    /// Connections to `address` that are open on the connecting side, and the most there ever were at one time.
    pub fn connections_to(&self, address: SocketAddr) -> (usize, usize) {
        let net = self.world.net.borrow();
        (net.open_to(address), net.most_open.get(&address).copied().unwrap_or(0))
    }

    /// Turns the faults of the options on (as at the start) or off.
    pub fn set_faults(&self, on: bool) {
        self.world.note("faults", u64::from(on), 0);
        self.world.faults.set(on);
    }

    /// Makes a random choice, part of the seed's run.
    pub fn random<T>(&self, choose: impl FnOnce(&mut Random) -> T) -> T {
        self.world.with_random(choose)
    }

    /// Puts a fact about the workload into the trace.
    pub fn note(&self, what: &'static str, a: u64, b: u64) {
        self.world.note(what, a, b);
    }

    /// A line for readers of the trace's text.
    pub fn say(&self, line: impl FnOnce() -> String) {
        self.world.say(line);
    }

    /// Virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.world.now())
    }

    /// Everything decided so far, as one number.
    pub fn trace_hash(&self) -> u64 {
        self.world.with_trace(|trace| trace.hash())
    }

    /// How many decisions there were.
    pub fn trace_events(&self) -> u64 {
        self.world.with_trace(|trace| trace.events())
    }

    /// The last lines of the trace, if the options asked for them.
    pub fn trace_text(&self) -> Vec<String> {
        self.world.with_trace(|trace| trace.text())
    }

    /// Tasks that panicked, with their messages.
    pub fn panics(&self) -> Vec<String> {
        self.world.panics.borrow().clone()
    }
}

fn as_u64(node: NodeId) -> u64 {
    u64::try_from(node.0).unwrap_or(u64::MAX)
}
