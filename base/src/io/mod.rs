//! The only door to the outside: sockets, files, key-value environments, time, chance and tasks.
//!
//! Every handle is a concrete type over a real backend (`real`: monoio and a few threads per core) or the
//! simulator (`sim`). Code above cannot tell which. A thread is one core: either `real::run` or `sim::Sim::run`
//! set it up, and every function here finds its backend in a thread-local.
//!
//! # Invariants
//!
//! - A buffer given to an operation belongs to the kernel until it completes; operations take buffers by value.
//! - A `Stream` whose read or write was dropped unfinished is broken: every later call fails. Deadlines are made by
//!   `timeout` around a call, after which the stream is only good for dropping.
//! - No function blocks the core; what has no ring operation runs on the core's own blocking threads.

mod clock;
mod datagram;
pub mod fs;
pub mod hashing;
mod job;
pub mod kv;
mod lines;
pub mod maintenance;
pub mod post;
pub mod real;
mod resolve;
mod shutdown;
pub mod sim;
mod stream;
mod task;

pub use clock::{Elapsed, Instant, Sleep, Timeout, chance, monotonic, random_u64, sleep, timeout, unix_time};
pub use datagram::Datagrams;
pub use job::Job;
pub use real::log;
pub use real::page_bytes;
pub use resolve::resolve;
pub use shutdown::Shutdown;
pub use stream::{Listener, Pipe, Stream};
pub use task::{Computing, JoinHandle, compute, compute_behind, spawn};

use std::cell::Cell;

thread_local! {
    static SIMULATED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread belongs to the simulator. Every function of the door asks this and nothing else.
fn simulated() -> bool {
    SIMULATED.get()
}

/// Marks this thread as the simulator's until dropped.
struct Simulated(());

impl Simulated {
    fn enter() -> Simulated {
        assert!(!SIMULATED.replace(true), "one simulator per thread");
        Simulated(())
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATED.set(false);
    }
}
