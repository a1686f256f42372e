//! Whether a look into mapped pages waited for the disk.
//!
//! A look-up in memory takes about a microsecond, but the clock alone cannot tell one that waited: a core that other threads push aside in
//! the middle of a look-up finds it slow as well, and sent the look-ups of the next moment to the threads for nothing. The kernel
//! counts for each thread the page faults that had to wait; it is asked only behind a look-up that was slow.

#![expect(unsafe_code, reason = "a system call that rustix does not have")]

use crate::io::{Instant, monotonic};
use std::cell::Cell;
use std::time::Duration;

/// One that takes this long may have waited for the disk.
const SLOW: Duration = Duration::from_micros(50);
/// How long look-ups go to the threads then: a core may lose some thousandth of its time in finding out that pages are cold.
const COLD_FOR: Duration = Duration::from_millis(50);

/// What the look-ups of one environment met. Belongs to a core.
pub(super) struct Waits {
    /// Faults of this thread that waited, when it was asked last.
    faults: Cell<u64>,
    /// Until then look-ups go to the threads: one just waited for the disk.
    cold_until: Cell<Instant>,
}

impl Waits {
    /// None yet. On the core that looks.
    pub(super) fn new() -> Waits {
        Waits { faults: Cell::new(faults()), cold_until: Cell::new(Instant::from_nanos(0)) }
    }

    /// Whether a look-up that begins now may run on the core.
    pub(super) fn is_warm(&self, now: Instant) -> bool {
        now >= self.cold_until.get()
    }

    /// A look-up that began then has ended on the core.
    pub(super) fn ended(&self, begun: Instant) {
        let now = monotonic();
        if now.since(begun) > SLOW {
            self.count(faults(), now);
        }
    }

    fn count(&self, faults: u64, now: Instant) {
        // A fault elsewhere on this core since the last time counts too: that costs a moment on the threads.
        if self.faults.replace(faults) != faults {
            self.cold_until.set(now.after(COLD_FOR));
        }
    }
}

/// Page faults of this thread that had to wait for a disk.
fn faults() -> u64 {
    // SAFETY: all fields of the structure may be zero.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes into the structure, which lives.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    debug_assert_eq!(result, 0, "a thread may ask about itself");
    u64::try_from(usage.ru_majflt).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups_leave_the_core_for_a_moment_when_one_met_a_fault_that_waited() {
        let waits = Waits::new();
        let (faults, now) = (waits.faults.get(), Instant::from_nanos(1_000_000_000));
        waits.count(faults, now);
        assert!(waits.is_warm(now), "no fault since");
        waits.count(faults + 1, now);
        assert!(!waits.is_warm(now));
        assert!(waits.is_warm(now.after(COLD_FOR)));
        waits.count(faults + 1, now.after(COLD_FOR));
        assert!(waits.is_warm(now.after(COLD_FOR)), "each fault counts once");
    }
}
