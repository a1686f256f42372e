//! Time and chance of the simulation.

use super::world::{Timer, current, try_current};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub(in crate::io) fn monotonic_nanos() -> u64 {
    current().now()
}

pub(in crate::io) fn unix_time() -> Duration {
    Duration::from_nanos(current().wall_nanos())
}

pub(in crate::io) fn random_u64() -> u64 {
    current().with_random(|random| random.bits())
}

/// Waits for `duration` of virtual time.
pub(in crate::io) fn sleep(duration: Duration) -> Sleep {
    let deadline = current().now().saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    Sleep { deadline, armed: None }
}

/// See [`sleep`].
pub(in crate::io) struct Sleep {
    deadline: u64,
    armed: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let world = current();
        if world.now() >= self.deadline {
            return Poll::Ready(());
        }
        let is_armed = self.armed.is_some_and(|key| world.rearm(key, context.waker()));
        if !is_armed {
            self.armed = Some(world.at(self.deadline, Timer::Wake(context.waker().clone())));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some(key), Some(world)) = (self.armed, try_current()) {
            world.disarm(key);
        }
    }
}
