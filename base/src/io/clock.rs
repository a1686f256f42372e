//! Time and chance, real or simulated.

use super::{real, sim, simulated};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
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
    Instant(if simulated() { sim::clock::monotonic_nanos() } else { real::clock::monotonic_nanos() })
}

/// Wall time since 1970 (the node's own, possibly skewed, clock).
pub fn unix_time() -> Duration {
    if simulated() { sim::clock::unix_time() } else { real::clock::unix_time() }
}

/// A random number (from the seed in the simulator; from the system otherwise).
pub fn random_u64() -> u64 {
    if simulated() { sim::clock::random_u64() } else { real::clock::random_u64() }
}

/// Waits.
pub async fn sleep(duration: Duration) {
    if simulated() {
        sim::clock::sleep(duration).await;
    } else {
        real::clock::sleep(duration).await;
    }
}

/// Runs `future` for at most `duration`; dropped past it.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    // A box would cost every deadline an allocation, so each backend's timer is pinned where it stands.
    if simulated() {
        race(pin!(future), pin!(sim::clock::sleep(duration))).await
    } else {
        race(pin!(future), pin!(real::clock::sleep(duration))).await
    }
}

/// The future goes first: one that is done when its deadline passes has made it.
async fn race<F: Future>(
    mut future: Pin<&mut F>,
    mut deadline: Pin<&mut impl Future<Output = ()>>,
) -> Result<F::Output, Elapsed> {
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        deadline.as_mut().poll(context).map(|()| Err(Elapsed))
    })
    .await
}
