//! Waits of the real backend: one wheel per core, and one task that lets the runtime wake it when the next timer is due.
//!
//! The runtime has timers of its own. Each of those takes 384 bytes in every future that waits with a deadline, 128 bytes aligned, and the
//! clock each time; here it is 16 bytes.
//!
//! # Invariants
//!
//! - No wait ends early. One of at least [`LONG`] may end [`GRAIN`] late.
//! - The task sleeps at most until the first timer is due: who arms an earlier one wakes it.

use super::clock::{coarse_nanos, monotonic_nanos};
use super::wheel::{Key, Wheel};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A tick is 2^20 nanoseconds, some more than a millisecond.
const TICK_BITS: u32 = 20;
/// From here on the coarse clock will do.
const LONG: Duration = Duration::from_secs(1);
/// The coarse clock is not more than this behind: a hundredth of a second is the longest a kernel lets it stand.
const GRAIN: Duration = Duration::from_millis(10);

thread_local! {
    static TIMERS: RefCell<Timers> =
        RefCell::new(Timers { wheel: Wheel::new(), keeper: Keeper::None, wakes_at: u64::MAX });
}

struct Timers {
    wheel: Wheel,
    keeper: Keeper,
    /// The tick at which the keeper will run by itself.
    wakes_at: u64,
}

/// The task that hands out what is due.
enum Keeper {
    None,
    Starting,
    Asleep(Waker),
}

/// Waits; see [`crate::io::sleep`]. On the core that made it.
pub(in crate::io) struct Sleep {
    /// Nanoseconds of the monotonic clock.
    deadline: u64,
    key: Option<Key>,
    here: PhantomData<Rc<()>>,
}

pub(in crate::io) fn sleep(duration: Duration) -> Sleep {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let deadline = if duration.is_zero() {
        0
    } else if duration >= LONG {
        coarse_nanos().saturating_add(nanos(duration.saturating_add(GRAIN)))
    } else {
        monotonic_nanos().saturating_add(nanos(duration))
    };
    Sleep { deadline, key: None, here: PhantomData }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(key) = self.key else {
            if self.deadline == 0 {
                return Poll::Ready(());
            }
            self.key = Some(arm(self.deadline.div_ceil(1 << TICK_BITS), context.waker()));
            return Poll::Pending;
        };
        let (is_due, before) = TIMERS.with_borrow_mut(|timers| timers.wheel.look(key, context.waker()));
        drop(before);
        if !is_due {
            return Poll::Pending;
        }
        self.disarm();
        self.deadline = 0;
        Poll::Ready(())
    }
}

impl Sleep {
    fn disarm(&mut self) {
        if let Some(key) = self.key.take() {
            // At the end of the thread there may be no wheel any more. The waker goes outside of the borrow: see `Wheel`.
            let waker = TIMERS.try_with(|timers| timers.borrow_mut().wheel.disarm(key));
            drop(waker);
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

fn arm(due: u64, waker: &Waker) -> Key {
    let (key, must_start) = TIMERS.with_borrow_mut(|timers| {
        let key = timers.wheel.arm(due, waker.clone());
        let must_start = matches!(timers.keeper, Keeper::None);
        if must_start {
            timers.keeper = Keeper::Starting;
        } else if due < timers.wakes_at
            && let Keeper::Asleep(keeper) = &timers.keeper
        {
            // Not again before it has run.
            timers.wakes_at = 0;
            keeper.wake_by_ref();
        }
        (key, must_start)
    });
    if must_start {
        drop(monoio::spawn(keep()));
    }
    key
}

/// Hands out what is due, for ever.
async fn keep() {
    let mut pause = pin!(monoio::time::sleep(Duration::ZERO));
    let mut due = Vec::new();
    poll_fn(|context| {
        // Ends: each turn but the last has passed another tick.
        loop {
            let now = monotonic_nanos();
            let next = TIMERS.with_borrow_mut(|timers| {
                timers.wheel.advance(now >> TICK_BITS, &mut due);
                let next = timers.wheel.next();
                timers.wakes_at = next.unwrap_or(u64::MAX);
                if !matches!(&timers.keeper, Keeper::Asleep(known) if known.will_wake(context.waker())) {
                    timers.keeper = Keeper::Asleep(context.waker().clone());
                }
                next
            });
            due.drain(..).for_each(Waker::wake);
            let Some(next) = next else { return Poll::<()>::Pending };
            let left = Duration::from_nanos((next << TICK_BITS).saturating_sub(now));
            pause.as_mut().reset(monoio::time::Instant::now() + left);
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// The core ends: no timer wakes anybody any more.
pub(super) fn end() {
    let mut due = Vec::new();
    let keeper = TIMERS.with_borrow_mut(|timers| {
        timers.wheel.clear(&mut due);
        timers.wakes_at = u64::MAX;
        std::mem::replace(&mut timers.keeper, Keeper::None)
    });
    drop((due, keeper));
}

#[cfg(test)]
mod tests {
    use super::super::tests::on_both;
    use super::*;
    use crate::io;

    fn timers_in_use() -> usize {
        TIMERS.with_borrow(|timers| timers.wheel.in_use())
    }

    #[test]
    fn no_wait_ends_early_and_one_that_is_given_up_leaves_nothing() {
        on_both(|| async {
            // With the deadline of the test itself, which is armed when this waits for the first time.
            io::sleep(Duration::from_micros(1)).await;
            let before = timers_in_use();
            // The long one first: the keeper must be woken for those that come after it.
            let waits = [LONG + Duration::from_millis(30), Duration::from_millis(40), Duration::from_micros(1)];
            let waits = waits.map(|wait| {
                io::spawn(async move {
                    let begun = monotonic_nanos();
                    io::sleep(wait).await;
                    assert!(u128::from(monotonic_nanos() - begun) >= wait.as_nanos(), "{wait:?}");
                })
            });
            for _ in 0..20 {
                let given_up = io::timeout(Duration::from_millis(1), io::sleep(LONG * 3600)).await;
                assert!(given_up.is_err());
            }
            for wait in waits {
                wait.await.expect("it did not panic");
            }
            assert_eq!(timers_in_use(), before);
        });
    }
}
