//! The real backend: monoio on io_uring (epoll where the kernel or a sandbox forbids it), blocking threads per core.

pub(super) mod clock;
pub(super) mod fs;
pub(super) mod kv;
pub(super) mod net;
pub(super) mod task;

use std::future::Future;
use std::io;

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

/// Makes this thread a core and runs `main` on it to the end. Says in one line on stderr when io_uring is not to be had and
/// epoll is used. Errors name what to do (`RLIMIT_MEMLOCK` …).
pub fn run<F: Future>(_options: CoreOptions, _main: impl FnOnce() -> F) -> io::Result<F::Output> {
    todo!()
}
