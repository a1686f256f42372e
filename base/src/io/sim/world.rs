//! What one simulation holds, and its executor.
//!
//! # Invariants
//!
//! - One world per thread; every function of the backend finds it in the thread-local `CURRENT`.
//! - The next task is one of the ready ones, picked by the generator. Time moves only when none is ready.
//! - No `RefCell` of the world is borrowed while a task is polled or a future is dropped: both call back.
//! - A task of a node that crashed is never polled again.

use super::datagram::Datagram;
use super::file_system::FileSystem;
use super::kv::Environment;
use super::random::Random;
use super::sockets::Sockets;
use super::step::Steps;
use super::trace::Trace;
use super::{NodeId, SimOptions};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Wall time at the start of every simulation, before skew: seconds since 1970.
const EPOCH_SECONDS: u64 = 1_750_000_000;

thread_local! {
    static CURRENT: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// The simulation of this thread, if there is one.
pub(crate) fn try_current() -> Option<Rc<World>> {
    CURRENT.try_with(|current| current.try_borrow().ok().and_then(|world| world.clone())).ok().flatten()
}

/// The simulation of this thread.
pub(crate) fn current() -> Rc<World> {
    try_current().expect("inside a simulation")
}

/// Everything of one simulation.
pub(crate) struct World {
    pub(crate) options: SimOptions,
    pub(crate) seed: u64,
    pub(crate) net: RefCell<Sockets>,
    pub(crate) nodes: RefCell<Vec<Node>>,
    pub(crate) faults: Cell<bool>,
    pub(crate) panics: RefCell<Vec<String>>,
    now: Cell<u64>,
    random: RefCell<Random>,
    trace: RefCell<Trace>,
    tasks: RefCell<BTreeMap<TaskId, Task>>,
    ready: RefCell<Ready>,
    timers: RefCell<BTreeMap<(u64, u64), Timer>>,
    next_number: Cell<u64>,
    current_node: Cell<NodeId>,
    steps: Cell<u64>,
    /// Loses its power as soon as the task that runs now waits.
    doomed: Cell<Option<NodeId>>,
}

/// One simulated machine.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
    pub(crate) up: bool,
    /// Goes up with each crash; handles of an earlier life do nothing.
    pub(crate) life: u64,
    /// After a silent crash peers learn nothing until it is back.
    pub(crate) silent: bool,
    pub(crate) next_port: u16,
    pub(crate) skew_nanos: i64,
    pub(crate) disk: FileSystem,
    pub(crate) steps: Steps,
    pub(crate) environments: BTreeMap<PathBuf, Rc<RefCell<Environment>>>,
    pub(crate) locks: BTreeSet<PathBuf>,
    pub(crate) mounts: BTreeSet<PathBuf>,
}

/// A task of the simulation; never used twice.
pub(crate) type TaskId = u64;

struct Task {
    node: NodeId,
    name: &'static str,
    /// Taken out while it is polled.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Waker,
}

#[derive(Default)]
struct Ready {
    list: Vec<TaskId>,
    queued: BTreeSet<TaskId>,
}

/// What happens at a point in time.
pub(crate) enum Timer {
    /// A sleeping task goes on.
    Wake(Waker),
    /// Segments of a connection reach the end `side`.
    Deliver {
        /// Which connection.
        connection: u64,
        /// Which end of it.
        side: usize,
    },
    /// A direction that lost packets has retransmitted them.
    Unstall {
        /// Which connection.
        connection: u64,
        /// The receiving end.
        side: usize,
    },
    /// A datagram arrives.
    Datagram(Box<Datagram>),
}

/// Wakes by number, so that a waker that outlives its task, or its world, harms nobody. `Wake` demands `Arc`; it is
/// never sent anywhere.
struct TaskWaker {
    world_seed: u64,
    task: TaskId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(world) = try_current()
            && world.seed == self.world_seed
        {
            world.make_ready(self.task);
        }
    }
}

impl World {
    /// Makes the world of this thread. Panics when it has one already.
    pub(crate) fn enter(seed: u64, options: SimOptions) -> Rc<World> {
        let world = Rc::new(World {
            net: RefCell::new(Sockets::new(options.stream_buffer)),
            nodes: RefCell::new(Vec::new()),
            faults: Cell::new(true),
            panics: RefCell::new(Vec::new()),
            now: Cell::new(1_000_000_000),
            random: RefCell::new(Random::new(seed)),
            trace: RefCell::new(Trace::new(options.trace_text)),
            tasks: RefCell::new(BTreeMap::new()),
            ready: RefCell::new(Ready::default()),
            timers: RefCell::new(BTreeMap::new()),
            next_number: Cell::new(1),
            current_node: Cell::new(NodeId(0)),
            steps: Cell::new(0),
            doomed: Cell::new(None),
            options,
            seed,
        });
        CURRENT.with(|current| {
            let before = current.borrow_mut().replace(Rc::clone(&world));
            assert!(before.is_none(), "one simulation per thread at a time");
        });
        world
    }

    /// Ends it: drops every task while the world can still be found, then forgets it.
    pub(crate) fn leave(&self) {
        let nodes = self.nodes.borrow().len();
        for node in self.nodes.borrow_mut().iter_mut() {
            node.up = false;
        }
        (0..nodes).for_each(|node| self.drop_tasks(NodeId(node)));
        drop(std::mem::take(&mut *self.timers.borrow_mut()));
        CURRENT.with(|current| current.borrow_mut().take());
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// The clock on the wall of the node that runs now, nanoseconds since 1970.
    pub(crate) fn wall_nanos(&self) -> u64 {
        let skew = self.nodes.borrow().get(self.current_node.get().0).map_or(0, |node| node.skew_nanos);
        (EPOCH_SECONDS * 1_000_000_000 + self.now.get()).saturating_add_signed(skew)
    }

    pub(crate) fn node(&self) -> NodeId {
        self.current_node.get()
    }

    /// Which life a node is in; `None` while it is down.
    pub(crate) fn life(&self, node: NodeId) -> Option<u64> {
        self.nodes.borrow().get(node.0).filter(|node| node.up).map(|node| node.life)
    }

    pub(crate) fn is_alive(&self, node: NodeId, life: u64) -> bool {
        self.life(node) == Some(life)
    }

    pub(crate) fn with_random<T>(&self, use_it: impl FnOnce(&mut Random) -> T) -> T {
        use_it(&mut self.random.borrow_mut())
    }

    /// True with this probability while faults are on.
    pub(crate) fn fault(&self, probability: f64) -> bool {
        self.faults.get() && probability > 0.0 && self.random.borrow_mut().chance(probability)
    }

    pub(crate) fn note(&self, what: &'static str, a: u64, b: u64) {
        self.trace.borrow_mut().note(self.now.get(), what, a, b);
    }

    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        self.trace.borrow_mut().say(self.now.get(), line);
    }

    pub(crate) fn with_trace<T>(&self, use_it: impl FnOnce(&Trace) -> T) -> T {
        use_it(&self.trace.borrow())
    }

    /// A number not given out before.
    pub(crate) fn number(&self) -> u64 {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        number
    }

    /// Queues a task on `node`; dropped at once when the node is down.
    pub(crate) fn spawn(&self, node: NodeId, name: &'static str, future: Pin<Box<dyn Future<Output = ()>>>) {
        if self.life(node).is_none() {
            return;
        }
        let task = self.number();
        self.note("spawn", task, u64::try_from(node.0).unwrap_or(u64::MAX));
        self.say(|| format!("task {task} is {name}"));
        let waker = Waker::from(Arc::new(TaskWaker { world_seed: self.seed, task }));
        self.tasks.borrow_mut().insert(task, Task { node, name, future: Some(future), waker });
        self.make_ready(task);
    }

    fn make_ready(&self, task: TaskId) {
        let mut ready = self.ready.borrow_mut();
        if ready.queued.insert(task) {
            ready.list.push(task);
        }
    }

    /// Arms a timer; the key takes it back.
    pub(crate) fn at(&self, time: u64, timer: Timer) -> (u64, u64) {
        let key = (time.max(self.now.get()), self.number());
        self.timers.borrow_mut().insert(key, timer);
        key
    }

    /// Replaces the waker of an armed timer; false when it has fired.
    pub(crate) fn rearm(&self, key: (u64, u64), waker: &Waker) -> bool {
        match self.timers.borrow_mut().get_mut(&key) {
            Some(Timer::Wake(armed)) => {
                armed.clone_from(waker);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn disarm(&self, key: (u64, u64)) {
        let taken = self.timers.borrow_mut().remove(&key);
        drop(taken);
    }

    /// Crashes the node as soon as the task that runs now waits.
    pub(crate) fn doom(&self, node: NodeId) {
        self.doomed.set(Some(node));
    }

    pub(crate) fn is_doomed(&self, node: NodeId) -> bool {
        self.doomed.get() == Some(node)
    }

    /// Cuts the power of a node that is up: tasks, connections and unsynced bytes are gone.
    pub(crate) fn crash(&self, node: NodeId) {
        if self.life(node).is_none() {
            return;
        }
        self.note("crash", super::as_u64(node), 0);
        let silent = self.with_random(|random| random.chance(self.options.silent_crash_chance));
        self.set_up(node, false);
        // First the sockets, so that dropped handles of a silent machine send no farewell.
        super::sockets::crash(self, node, silent);
        self.drop_tasks(node);
        let mut nodes = self.nodes.borrow_mut();
        let Some(state) = nodes.get_mut(node.0) else { return };
        state.silent = silent;
        state.life += 1;
        state.locks.clear();
        self.with_random(|random| state.disk.crash(random));
    }

    pub(crate) fn set_up(&self, node: NodeId, up: bool) {
        if let Some(state) = self.nodes.borrow_mut().get_mut(node.0) {
            state.up = up;
        }
    }

    /// Drops all tasks of a node, each with its node as the current one.
    pub(crate) fn drop_tasks(&self, node: NodeId) {
        // Ends: a node that is down starts no tasks, so each turn leaves one less.
        loop {
            let doomed = {
                let mut tasks = self.tasks.borrow_mut();
                let found = tasks.iter().find(|(_, task)| task.node == node).map(|(&id, _)| id);
                found.and_then(|id| tasks.remove(&id))
            };
            let Some(doomed) = doomed else { return };
            let before = self.current_node.replace(node);
            drop(doomed);
            self.current_node.set(before);
        }
    }

    /// Runs until `is_done`. Panics with the names of all tasks when nothing can happen any more, or a limit is passed.
    pub(crate) fn run_until(&self, is_done: &dyn Fn() -> bool) {
        // Ends: each turn is a step, and steps are limited.
        while !is_done() {
            self.steps.set(self.steps.get() + 1);
            if self.steps.get() > self.options.steps_max {
                self.fail("too many steps: a loop that never waits?");
            }
            match self.pick_ready() {
                Some(task) => self.poll(task),
                None => self.advance(),
            }
            if let Some(doomed) = self.doomed.take() {
                self.crash(doomed);
            }
        }
    }

    fn pick_ready(&self) -> Option<TaskId> {
        let mut ready = self.ready.borrow_mut();
        if ready.list.is_empty() {
            return None;
        }
        let at = match ready.list.len() {
            1 => 0,
            several => self.random.borrow_mut().index(several),
        };
        let task = ready.list.swap_remove(at);
        ready.queued.remove(&task);
        Some(task)
    }

    fn poll(&self, id: TaskId) {
        let taken = self
            .tasks
            .borrow_mut()
            .get_mut(&id)
            .and_then(|task| task.future.take().map(|future| (task.node, task.name, future, task.waker.clone())));
        let Some((node, name, mut future, waker)) = taken else { return };
        self.note("poll", id, 0);
        self.current_node.set(node);
        let polled =
            std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        match polled {
            Ok(Poll::Pending) => {
                let mut tasks = self.tasks.borrow_mut();
                match tasks.get_mut(&id) {
                    Some(task) => task.future = Some(future),
                    // Its node crashed while it ran.
                    None => {
                        drop(tasks);
                        drop(future);
                    }
                }
            }
            Ok(Poll::Ready(())) => {
                drop(future);
                let finished = self.tasks.borrow_mut().remove(&id);
                drop(finished);
            }
            Err(panic) => {
                self.note("panic", id, 0);
                let reason = panic.downcast_ref::<String>().map(String::as_str);
                let reason = reason.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                self.panics.borrow_mut().push(format!("{name}: {reason}"));
                drop(future);
                let finished = self.tasks.borrow_mut().remove(&id);
                drop(finished);
            }
        }
    }

    fn advance(&self) {
        let next = self.timers.borrow_mut().pop_first();
        let Some(((time, _), timer)) = next else { self.fail("deadlock: no task is ready and no timer armed") };
        self.now.set(time);
        if time > u64::try_from(self.options.time_max.as_nanos()).unwrap_or(u64::MAX) {
            self.fail("virtual time is over: something waits for ever");
        }
        match timer {
            Timer::Wake(waker) => waker.wake(),
            Timer::Deliver { connection, side } => super::sockets::deliver(self, connection, side),
            Timer::Unstall { connection, side } => super::sockets::unstall(self, connection, side),
            Timer::Datagram(datagram) => super::datagram::deliver(self, *datagram),
        }
    }

    fn fail(&self, why: &str) -> ! {
        let mut report = format!("simulation of seed {}: {why}\n", self.seed);
        for (id, task) in self.tasks.borrow().iter() {
            let node = self.nodes.borrow().get(task.node.0).map_or_else(String::new, |node| node.name.clone());
            report.push_str(&format!("  task {id} on {node}: {}\n", task.name));
        }
        let text = self.trace.borrow().text();
        for line in text.iter().rev().take(40).rev() {
            report.push_str(&format!("  {line}\n"));
        }
        panic!("{report}");
    }
}
