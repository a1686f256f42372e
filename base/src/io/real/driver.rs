//! Builds the runtime of one core: io_uring with the flags that pay, else epoll.
//!
//! SINGLE_ISSUER and COOP_TASKRUN save a quarter of the CPU of a small request. DEFER_TASKRUN would save more, but
//! monoio only reaps completions when its run queue is empty, so a busy core would starve its sockets.

use super::early;
use monoio::time::TimeDriver;
use monoio::{FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder};
use rustix::fd::RawFd;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) type Runtime = FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>;

/// Submissions between two enters; a full queue costs an extra enter, a larger one locked memory.
const RING_ENTRIES: u32 = 2048;

/// The kernel gives back the memory of a killed predecessor's ring late, so the first refusals may pass.
const ENOMEM_TRIES: u32 = 6;

/// The runtime, and whether it is the epoll one.
pub(super) fn build() -> io::Result<(Runtime, bool)> {
    if std::env::var_os("MARTLET_NO_IO_URING").is_some_and(|value| value == "1") {
        return epoll();
    }
    match ring() {
        Ok(runtime) => Ok((runtime, false)),
        Err(error) if is_forbidden(&error) => {
            say_once(&error);
            epoll()
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            "cannot create the io_uring: the kernel counts its memory against RLIMIT_MEMLOCK; raise the limit \
             (LimitMEMLOCK=infinity in the unit, or ulimit -l) or set MARTLET_NO_IO_URING=1",
        )),
        Err(error) => Err(io::Error::new(error.kind(), format!("cannot create the io_uring: {error}"))),
    }
}

/// The slower one, on request.
pub(super) fn epoll() -> io::Result<(Runtime, bool)> {
    early::set_ring(None);
    Ok((RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?.into(), true))
}

fn ring() -> io::Result<Runtime> {
    let mut flags = true;
    let mut pause = Duration::from_millis(10);
    let mut tries = 0;
    // Ends: every turn but the one that gives up the flags counts as a try.
    loop {
        let error = match ring_with(flags) {
            Ok(runtime) => return Ok(runtime),
            Err(error) => error,
        };
        match error.raw_os_error() {
            // Kernels before 6.0 do not know the flags.
            Some(libc::EINVAL) if flags => flags = false,
            Some(libc::ENOMEM) if tries < ENOMEM_TRIES => {
                tries += 1;
                wait(pause);
                pause *= 2;
            }
            _ => return Err(error),
        }
    }
}

fn ring_with(flags: bool) -> io::Result<Runtime> {
    let mut ring = io_uring::IoUring::builder();
    if flags {
        ring.setup_single_issuer().setup_coop_taskrun();
    }
    let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(RING_ENTRIES).uring_builder(ring);
    let (runtime, ring) = with_its_ring(|| builder.enable_timer().build())?;
    early::set_ring(ring);
    Ok(runtime.into())
}

/// What `build` makes, and the descriptor of the ring in it, which the runtime keeps to itself: the one that was not there before. `None`
/// when that cannot be told.
fn with_its_ring<T>(build: impl FnOnce() -> io::Result<T>) -> io::Result<(T, Option<RawFd>)> {
    /// Cores start together; each must see its own ring appear.
    #[expect(clippy::disallowed_types, reason = "taken once by a core, before it runs")]
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let turn = ONE_AT_A_TIME.lock();
    let before = rings();
    let built = build()?;
    let mut new = rings();
    new.retain(|ring| !before.contains(ring));
    drop(turn);
    match new[..] {
        [ring] => Ok((built, Some(ring))),
        _ => Ok((built, None)),
    }
}

/// Descriptors of all rings of this process.
#[expect(clippy::disallowed_methods, reason = "the core does not run yet")]
fn rings() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let is_ring =
        |path: &PathBuf| std::fs::read_link(path).is_ok_and(|target| target.ends_with("anon_inode:[io_uring]"));
    paths.filter(is_ring).filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect()
}

#[expect(clippy::disallowed_methods, reason = "the core does not run yet")]
fn wait(pause: Duration) {
    std::thread::sleep(pause);
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS | libc::EACCES | libc::EOPNOTSUPP))
}

/// To stderr and not only to the log: an operator must see it before any logging is set up.
#[expect(clippy::print_stderr, reason = "the one line an operator must see")]
fn say_once(error: &io::Error) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        eprintln!("martlet: io_uring is not available here ({error}); going on with epoll, which is slower on disks");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_knows_its_ring_even_when_many_start_together() {
        let rings: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                let (_ring, found) = with_its_ring(|| io_uring::IoUring::new(8)).expect("a ring");
                // Others of this process may make rings at the same time; what is found is a ring then, or nothing.
                assert!(found.is_none_or(|found| rings().contains(&found)));
                found
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(rings.iter().any(Option::is_some), "{rings:?}");
    }
}
