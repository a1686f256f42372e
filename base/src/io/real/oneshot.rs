//! One value from another thread to a task of this core.
//!
//! The lock is held for a few instructions and shared by two: a thread that belongs to the core, and the core.
//!
//! # Invariants
//!
//! - A dropped receiver takes its waker along, so that no foreign thread keeps a task alive.
//! - A dropped sender is told as `None`.

#![expect(clippy::disallowed_types, reason = "the one place where a core meets its own helper threads")]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A connected pair.
pub(in crate::io) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Empty) });
    (Sender { slot: Some(slot.clone()) }, Receiver { slot })
}

/// The thread's end.
pub(in crate::io) struct Sender<T> {
    slot: Option<Arc<Slot<T>>>,
}

impl<T> Sender<T> {
    /// Hands the value over and wakes who waits.
    pub(in crate::io) fn send(mut self, value: T) {
        if let Some(slot) = self.slot.take() {
            slot.put(State::Done(value));
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.put(State::Gone);
        }
    }
}

/// The core's end.
pub(in crate::io) struct Receiver<T> {
    slot: Arc<Slot<T>>,
}

impl<T> Future for Receiver<T> {
    /// `None` when the sender went without a word.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.slot.lock();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Done(value) => Poll::Ready(Some(value)),
            State::Gone => Poll::Ready(None),
            State::Empty => {
                *state = State::Waiting(context.waker().clone());
                Poll::Pending
            }
            State::Waiting(mut waker) => {
                waker.clone_from(context.waker());
                *state = State::Waiting(waker);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        if matches!(*state, State::Waiting(_)) {
            *state = State::Empty;
        }
    }
}

struct Slot<T> {
    state: Mutex<State<T>>,
}

enum State<T> {
    Empty,
    Waiting(Waker),
    Done(T),
    Gone,
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, new: State<T>) {
        // Bound before the match, so that the lock is free when the waker runs.
        let old = std::mem::replace(&mut *self.lock(), new);
        if let State::Waiting(waker) = old {
            waker.wake();
        }
    }
}
