//! Time and chance, real or simulated.

use super::{real, sim, simulated};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
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

/// A random number from 0 to below 1, of the 53 bits that a double holds exactly.
pub fn chance() -> f64 {
    (random_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Waits.
pub fn sleep(duration: Duration) -> Sleep {
    let timer = if simulated() {
        Timer::Sim { timer: sim::clock::sleep(duration) }
    } else {
        Timer::Real { timer: real::timers::sleep(duration) }
    };
    Sleep { timer }
}

// Written out, and not `async fn`: those keep what they are given twice, once as the argument and once where it is polled. With a
// deadline around most waits, and one inside the other, futures would grow to many times their size.
pin_project! {
    /// See [`sleep`].
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Sleep {
        #[pin]
        timer: Timer,
    }
}

pin_project! {
    #[project = TimerProjection]
    enum Timer {
        Real { #[pin] timer: real::timers::Sleep },
        Sim { #[pin] timer: sim::clock::Sleep },
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.project().timer.project() {
            TimerProjection::Real { timer } => timer.poll(context),
            TimerProjection::Sim { timer } => timer.poll(context),
        }
    }
}

/// Runs `future` for at most `duration`; dropped past it.
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, deadline: sleep(duration) }
}

pin_project! {
    /// See [`timeout`].
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        deadline: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    /// The future goes first: one that is done when its deadline passes has made it.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        this.deadline.poll(context).map(|()| Err(Elapsed))
    }
}
