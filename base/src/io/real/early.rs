//! Submits what a busy core has prepared before the core has time to wait.
//!
//! The runtime submits when nothing is left to run: of sixty requests that arrive together all are looked up before the first read leaves, and
//! all are answered before the next read does, so core, disk and clients wait for each other in turn. While reads of a disk are under
//! way, the core therefore enters the ring itself every [`PREPARED`] operations, and what was prepared until then is worked on while it goes on.
//! Without such reads it does not: what is in memory gains nothing by more system calls.
//!
//! # Invariants
//!
//! - It is of no consequence whether an operation leaves early: the runtime submits what is left, and reaps everything.
//! - Only the core's own ring is entered, by its own thread; a core whose ring is not known, and one of epoll, does without.

use rustix::fd::RawFd;
use std::cell::Cell;

/// Reads and sends between two submissions. With half of it or twice of it cold downloads were no faster.
const PREPARED: u32 = 16;

/// More than are ever prepared: the kernel takes what there is.
const ALL: u32 = 1 << 15;

thread_local! {
    static RING: Cell<Option<RawFd>> = const { Cell::new(None) };
    static READS: Cell<u32> = const { Cell::new(0) };
    static SINCE: Cell<u32> = const { Cell::new(0) };
}

/// A read of a disk by the ring, from before it is prepared until it came or was given up.
pub(super) struct Reading(());

impl Reading {
    pub(super) fn begin() -> Reading {
        READS.set(READS.get() + 1);
        prepared();
        Reading(())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READS.set(READS.get() - 1);
    }
}

/// The core is about to prepare one more operation that others work on.
pub(super) fn prepared() {
    if READS.get() == 0 {
        return;
    }
    let since = SINCE.get() + 1;
    SINCE.set(since % PREPARED);
    if since == PREPARED
        && let Some(ring) = RING.get()
    {
        enter(ring);
    }
}

/// Whose operations these are: the ring that this thread's runtime was built with.
pub(super) fn set_ring(ring: Option<RawFd>) {
    RING.set(ring);
}

#[expect(unsafe_code, reason = "the runtime submits only when it is about to wait")]
fn enter(ring: RawFd) {
    let none: usize = 0;
    // SAFETY: the call takes no memory of ours; operations in the ring were prepared by the runtime, whose buffers they own until it reaps
    // them. A descriptor that is no ring is refused. Refused or interrupted, the runtime submits them later.
    unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, ALL, 0_u32, 0_u32, none, none) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use io_uring::{IoUring, opcode};

    /// Submissions that the kernel has not taken yet, after `count` calls of `prepared`, each with an operation.
    fn left_after(count: u32) -> usize {
        let mut ring = IoUring::new(64).expect("a ring");
        set_ring(Some(std::os::fd::AsRawFd::as_raw_fd(&ring)));
        SINCE.set(0);
        for _ in 0..count {
            prepared();
            // SAFETY: an operation that does nothing has no memory.
            #[expect(unsafe_code, reason = "a ring's own interface")]
            unsafe { ring.submission().push(&opcode::Nop::new().build()) }.expect("room");
        }
        set_ring(None);
        ring.submission().len()
    }

    #[test]
    fn operations_leave_early_only_while_a_disk_is_read() {
        assert_eq!(left_after(3 * PREPARED), 3 * PREPARED as usize);
        let reading = Reading::begin();
        // The operation of the call that enters is not prepared yet.
        assert_eq!(left_after(PREPARED - 1), PREPARED as usize - 1);
        assert_eq!(left_after(3 * PREPARED), 1);
        drop(reading);
        assert_eq!(left_after(PREPARED), PREPARED as usize);
    }
}
