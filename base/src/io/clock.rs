//! Time and chance, real or simulated.

use std::future::Future;
use std::time::Duration;

/// A point of the monotonic clock of this core, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// Nanoseconds since the clock's start.
    pub fn as_nanos(self) -> u64 {
        self.0
    }
    /// From nanoseconds since the clock's start; for backends and tests of cores.
    pub fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }
    /// The point `duration` later (saturating).
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
    /// Time since `earlier`, zero if that lies in the future.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The deadline passed before the future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl From<Elapsed> for std::io::Error {
    fn from(_: Elapsed) -> Self {
        std::io::Error::new(std::io::ErrorKind::TimedOut, "deadline passed")
    }
}

/// Now, on the monotonic clock.
pub fn monotonic() -> Instant {
    todo!()
}
/// Wall time since 1970 (the node's own, possibly skewed, clock).
pub fn unix_time() -> Duration {
    todo!()
}
/// A random number (from the seed in the simulator; from the system otherwise).
pub fn random_u64() -> u64 {
    todo!()
}
/// Waits.
pub async fn sleep(_duration: Duration) {
    todo!()
}
/// Runs `future` for at most `duration`; dropped past it.
pub async fn timeout<F: Future>(_duration: Duration, _future: F) -> Result<F::Output, Elapsed> {
    todo!()
}
