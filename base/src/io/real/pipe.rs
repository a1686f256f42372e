//! Pipes through which bytes go from one socket to another without a copy in our memory.
//!
//! # Invariants
//!
//! - At most [`OUT_MAX`] pipes of a core are in use; who finds none copies.
//! - A pipe that goes back is empty: what is left in one is never seen by another connection.

use super::core;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::{Cell, RefCell};
use std::os::fd::{BorrowedFd, OwnedFd};

/// Bytes that fit: a sixteenth of it, what a pipe has by itself, is less than a socket delivers at once.
pub(in crate::io) const CAPACITY: usize = 512 * 1024;
/// Pipes in use, for each core: so many bodies of 512 KiB may wait for slow clients; more of them are copied in smaller pieces.
const OUT_MAX: usize = 64;
/// Empty ones that are kept.
const IDLE_MAX: usize = 16;

thread_local! {
    static IDLE: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
    static OUT: Cell<usize> = const { Cell::new(0) };
}

struct Ends {
    reading: OwnedFd,
    writing: OwnedFd,
}

/// One pipe.
pub(in crate::io) struct Pipe {
    /// There until dropped.
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    /// An empty pipe; `None` when there are too many, or the kernel gives none that is worth it.
    pub(in crate::io) fn take() -> Option<Pipe> {
        if OUT.get() >= OUT_MAX {
            return None;
        }
        let ends = IDLE.with_borrow_mut(Vec::pop).or_else(|| Ends::new().ok())?;
        OUT.set(OUT.get() + 1);
        Some(Pipe { ends: Some(ends), held: 0 })
    }

    /// Bytes in it.
    pub(in crate::io) fn len(&self) -> usize {
        self.held
    }

    /// Takes what came on a socket, `most` bytes at most, without waiting. The pipe must be empty.
    pub(super) fn take_from(&mut self, socket: BorrowedFd<'_>, most: usize) -> Result<usize, Errno> {
        debug_assert_eq!(self.held, 0, "a full pipe looks like a socket without bytes");
        let Some(ends) = &self.ends else { return Err(Errno::BADF) };
        let taken = without_waiting(socket, || {
            splice(socket, None, &ends.writing, None, most.min(CAPACITY), SpliceFlags::NONBLOCK)
        })?;
        self.held += taken;
        Ok(taken)
    }

    /// Gives some of its bytes to a socket, without waiting.
    pub(super) fn give_to(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let Some(ends) = &self.ends else { return Err(Errno::BADF) };
        let given =
            without_waiting(socket, || splice(&ends.reading, None, socket, None, self.held, SpliceFlags::NONBLOCK))?;
        self.held = self.held.saturating_sub(given);
        Ok(given)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        OUT.set(OUT.get().saturating_sub(1));
        let ends = self.ends.take().filter(|_| self.held == 0);
        IDLE.with_borrow_mut(|idle| {
            if idle.len() < IDLE_MAX {
                idle.extend(ends);
            }
        });
    }
}

impl Ends {
    fn new() -> Result<Ends, Errno> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Refused when this user has too many large pipes: a small one moves less at once than a copy.
        fcntl_setpipe_size(&writing, CAPACITY)?;
        Ok(Ends { reading, writing })
    }
}

/// The kernel waits in a `splice` for the socket unless the socket itself says no. The ring's sockets do not, for the ring takes that as "do not
/// wait for me", so it is said for the time of the call. Nothing of this core is submitted meanwhile, and operations under way have asked before.
fn without_waiting<T>(socket: BorrowedFd<'_>, call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    if core().epoll {
        return call();
    }
    rustix::fs::fcntl_setfl(socket, OFlags::RDWR | OFlags::NONBLOCK)?;
    let result = call();
    rustix::fs::fcntl_setfl(socket, OFlags::RDWR)?;
    result
}
