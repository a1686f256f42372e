//! Driver: turns at a disk: how many reads it is given at a time, first come, first served.
//!
//! A disk that tells of its reads in bursts, and a core that answers bursts, work in turn and never together: all requests are at one of
//! them. With a bound there are two groups, one at the disk and one at the core.
//!
//! # Invariants
//!
//! - Never more than the bound have a turn; a turn that ends, or is dropped, goes to whoever has waited longest.
//! - Whoever stops waiting leaves the line, and passes on a turn that came too late.

use crate::io::task::yield_now;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The turns of one disk.
pub(super) struct Turns {
    free: Cell<usize>,
    line: RefCell<VecDeque<Rc<Place>>>,
}

/// Someone in the line.
struct Place {
    state: Cell<State>,
    waker: Cell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waiting,
    Called,
    /// Took the turn.
    Gone,
}

impl Turns {
    /// `bound` at a time.
    pub(super) fn new(bound: usize) -> Turns {
        Turns { free: Cell::new(bound), line: RefCell::default() }
    }

    /// Waits for a turn.
    pub(super) async fn next(&self) -> Turn<'_> {
        if let Some(free) = self.free.get().checked_sub(1) {
            self.free.set(free);
            return Turn { turns: self };
        }
        let place = Rc::new(Place { state: Cell::new(State::Waiting), waker: Cell::new(None) });
        self.line.borrow_mut().push_back(place.clone());
        Waiting { turns: self, place }.await
    }

    /// Gives a turn that ended to the next; false when nobody waits.
    fn pass_on(&self) -> bool {
        let next = self.line.borrow_mut().pop_front();
        match next {
            Some(place) => {
                place.state.set(State::Called);
                if let Some(waker) = place.waker.take() {
                    waker.wake();
                }
                true
            }
            None => {
                self.free.set(self.free.get() + 1);
                false
            }
        }
    }
}

/// One turn; ends when dropped.
pub(super) struct Turn<'t> {
    turns: &'t Turns,
}

impl Turn<'_> {
    /// Ends it, and lets whoever got it go first: the disk has work again before the core sees to what came from it.
    pub(super) async fn end(self) {
        let turns = self.turns;
        std::mem::forget(self);
        if turns.pass_on() {
            yield_now().await;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.pass_on();
    }
}

struct Waiting<'t> {
    turns: &'t Turns,
    place: Rc<Place>,
}

impl<'t> Future for Waiting<'t> {
    type Output = Turn<'t>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Turn<'t>> {
        if self.place.state.get() == State::Called {
            self.place.state.set(State::Gone);
            return Poll::Ready(Turn { turns: self.turns });
        }
        self.place.waker.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        match self.place.state.get() {
            State::Waiting => self.turns.line.borrow_mut().retain(|place| !Rc::ptr_eq(place, &self.place)),
            State::Called => drop(self.turns.pass_on()),
            State::Gone => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn poll<F: Future>(future: &mut Pin<&mut F>) -> Option<F::Output> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn turns_are_bounded_and_go_to_who_has_waited_longest() {
        let turns = Turns::new(2);
        let (first, second) = (poll(&mut pin!(turns.next())).unwrap(), poll(&mut pin!(turns.next())).unwrap());
        let (mut third, mut fourth) = (pin!(turns.next()), pin!(turns.next()));
        assert!(poll(&mut third).is_none() && poll(&mut fourth).is_none());
        drop(second);
        assert!(poll(&mut fourth).is_none());
        let third = poll(&mut third).unwrap();
        // The one that ends goes behind the one that was called.
        let mut ending = pin!(first.end());
        assert!(poll(&mut ending).is_none());
        let fourth = poll(&mut fourth).unwrap();
        assert!(poll(&mut ending).is_some());
        // Nobody waits: no turn of the core is lost.
        assert!(poll(&mut pin!(third.end())).is_some());
        drop(fourth);
        assert_eq!((turns.free.get(), turns.line.borrow().len()), (2, 0));
    }

    #[test]
    fn who_stops_waiting_takes_no_turn_along() {
        let turns = Turns::new(1);
        let first = poll(&mut pin!(turns.next())).unwrap();
        {
            let mut gives_up = pin!(turns.next());
            assert!(poll(&mut gives_up).is_none());
        }
        assert_eq!(turns.line.borrow().len(), 0);
        let mut last = pin!(turns.next());
        {
            let mut called = pin!(turns.next());
            assert!(poll(&mut called).is_none() && poll(&mut last).is_none());
            drop(first);
        }
        drop(poll(&mut last).unwrap());
        assert_eq!((turns.free.get(), turns.line.borrow().len()), (1, 0));
    }
}
