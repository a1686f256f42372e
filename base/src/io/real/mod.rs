//! The real backend: monoio on io_uring (epoll where the kernel or a sandbox forbids it), blocking threads per core.
//!
//! `run` makes the calling thread a core; `daemon` makes a whole server of cores and ends it on SIGTERM.
//!
//! # Invariants
//!
//! - What the kernel may still write to outlives the operation: at the end of a core every socket is shut down, and the
//!   ring is only closed when no buffer is out any more. If one stays out, the runtime is leaked instead.
//! - The blocking threads end before the runtime does, so no thread wakes a task of a runtime that is gone.

pub(super) mod behind;
mod blocking;
mod buffers;
pub(super) mod clock;
mod daemon;
pub(super) mod datagram;
pub(super) mod disk;
mod driver;
mod early;
pub(super) mod fs;
pub(super) mod kv;
pub(super) mod lane;
pub mod log;
mod mapped;
mod near;
pub(super) mod net;
pub(super) mod oneshot;
pub(super) mod pipe;
pub(super) mod task;
pub(super) mod timers;
mod turns;
pub(super) mod volume;
mod wheel;
mod zeros;

pub(super) use blocking::Running;
pub use daemon::daemon;
pub use task::slow_polls;

use lane::Lane;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::cell::{OnceCell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::panic::resume_unwind;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// How to set a core up.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    /// Name of the thread, shown by tools.
    pub name: String,
    /// Processor to pin to; `None` leaves it to the kernel.
    pub cpu: Option<usize>,
    /// Threads for operations the ring has none for.
    pub blocking_threads: usize,
}

impl Default for CoreOptions {
    /// Eight threads: a file system merges the syncs that are in flight together, and 8 to 16 is where that pays.
    fn default() -> Self {
        CoreOptions { name: "core".to_owned(), cpu: None, blocking_threads: 8 }
    }
}

/// Makes this thread a core and runs `main` on it to the end. Says in one line on stderr when io_uring is not to be had and
/// epoll is used. Errors name what to do (`RLIMIT_MEMLOCK` …). A panic in `main` comes out of here.
pub fn run<F: Future>(options: CoreOptions, main: impl FnOnce() -> F) -> io::Result<F::Output> {
    run_on(options, driver::build, main)
}

fn run_on<F: Future>(
    options: CoreOptions,
    build: impl FnOnce() -> io::Result<(driver::Runtime, bool)>,
    main: impl FnOnce() -> F,
) -> io::Result<F::Output> {
    // Before pinning: a sync should not wait for the core it serves.
    let affinity = sched_getaffinity(None).ok();
    let rest = Rc::new(Lane::new(&options.name, options.blocking_threads, Path::new(""), affinity)?);
    let cpu = options.cpu.filter(|&cpu| pin_to(cpu));
    let (mut runtime, epoll) = build()?;
    let core = Rc::new(Core {
        name: options.name,
        epoll,
        cpu,
        affinity,
        threads: options.blocking_threads,
        rest,
        lanes: RefCell::default(),
        behind: OnceCell::new(),
        sockets: RefCell::default(),
    });
    let installed = Installed::new(core.clone());
    let (output, idle) = runtime.block_on(async {
        let output = task::watched("main", async { main().await }).await;
        (output, core.drain().await)
    });
    core.rest.pool.close();
    for lane in core.lanes.take() {
        lane.pool.close();
    }
    if let Some(Some(behind)) = core.behind.get() {
        behind.close();
    }
    timers::end();
    drop(installed);
    if idle {
        drop(runtime);
    } else {
        std::mem::forget(runtime);
    }
    Ok(output.unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Whether it could be done.
fn pin_to(cpu: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(cpu);
    let pinned = sched_setaffinity(None, &set);
    if let Err(error) = &pinned {
        tracing::warn!(cpu, %error, "cannot pin this core to its processor, going on without");
    }
    pinned.is_ok()
}

/// The processor that this core is pinned to.
#[cfg(feature = "maintenance")]
pub(super) fn cpu() -> Option<usize> {
    core().cpu
}

/// What the handles of this thread share.
struct Core {
    name: String,
    epoll: bool,
    #[cfg_attr(not(feature = "maintenance"), expect(dead_code, reason = "only the second executor asks"))]
    cpu: Option<usize>,
    /// Where a thread may run that is not pinned.
    affinity: Option<CpuSet>,
    /// Threads of each lane.
    threads: usize,
    /// For what lies in none of `lanes`.
    rest: Rc<Lane>,
    lanes: RefCell<Vec<Rc<Lane>>>,
    /// For background work, from its first on; `None` when it could not be started.
    behind: OnceCell<Option<blocking::Pool>>,
    /// Descriptors to shut down at the end; each leaves when its handle does.
    sockets: RefCell<slab::Slab<RawFd>>,
}

thread_local! {
    static CORE: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// The core this thread is.
fn core() -> Rc<Core> {
    CORE.with_borrow(|core| core.clone()).expect("called on a thread that real::run made a core")
}

/// See [`super::compute`].
pub(super) fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Running<T> {
    core().rest.pool.start(move || Ok(work()))
}

/// See [`super::compute_behind`].
pub(super) fn compute_behind<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Running<T> {
    let core = core();
    let behind = core.behind.get_or_init(|| blocking::Pool::behind(&core.name).ok());
    behind.as_ref().unwrap_or(&core.rest.pool).start(move || Ok(work()))
}

/// The lane of a path.
fn lane_of(path: &Path) -> Rc<Lane> {
    let core = core();
    let lanes = core.lanes.borrow();
    lanes.iter().find(|lane| lane.holds(path)).unwrap_or(&core.rest).clone()
}

/// See [`super::fs::Lane`].
pub(super) fn open_lane(root: &Path) -> io::Result<Rc<Lane>> {
    let core = core();
    let mut lanes = core.lanes.borrow_mut();
    if let Some(lane) = lanes.iter().find(|lane| lane.root() == root) {
        return Ok(lane.clone());
    }
    let name = format!("{}-{}", core.name, lanes.len());
    let lane = Rc::new(Lane::new(&name, core.threads, root, core.affinity)?);
    lanes.push(lane.clone());
    Ok(lane)
}

/// Puts the core where the handles find it, until dropped.
struct Installed(());

impl Installed {
    fn new(core: Rc<Core>) -> Installed {
        let before = CORE.replace(Some(core));
        assert!(before.is_none(), "one core per thread");
        Installed(())
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        CORE.set(None);
    }
}

/// How often and how long the end of a core waits for the kernel to give its buffers back.
const DRAIN_ROUNDS: u32 = 200;
const DRAIN_PAUSE: Duration = Duration::from_millis(5);

impl Core {
    /// Ends every socket and waits until the kernel holds no buffer of ours. Answers whether it got there.
    #[expect(unsafe_code, reason = "descriptors are borrowed from handles of the runtime, which does not lend them")]
    async fn drain(&self) -> bool {
        for (_, &socket) in &*self.sockets.borrow() {
            // SAFETY: a descriptor is in `sockets` only while its handle, which keeps it open, lives.
            let socket = unsafe { BorrowedFd::borrow_raw(socket) };
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
        }
        for _ in 0..DRAIN_ROUNDS {
            // Also runs what the shutdown woke, so that tasks see the end and drop their handles.
            timers::sleep(DRAIN_PAUSE).await;
            if buffers::buffers_out() == 0 {
                return true;
            }
        }
        false
    }
}

/// Cores this process may run on; what a daemon takes when its configuration does not say.
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of a page of memory on this machine; the kernel counts in them.
pub fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests;
