//! Driver: tells the connections of a core to finish, and waits until they have.

use crate::io::{self as door, Stream};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Tells the connections of a core to finish: idle ones close at once, busy ones after their exchange. Clones share it.
#[derive(Clone, Default)]
pub struct Drain {
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    started: Cell<bool>,
    present: Cell<usize>,
    idle: RefCell<Slab<Stream>>,
    waiting: RefCell<Vec<Waker>>,
}

impl Drain {
    /// Not draining.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts to drain.
    pub fn start(&self) {
        self.shared.started.set(true);
        for (_, stream) in self.shared.idle.borrow().iter() {
            stream.shutdown();
        }
        self.shared.wake();
    }

    /// Whether it has started.
    pub fn is_started(&self) -> bool {
        self.shared.started.get()
    }

    /// Waits until every connection is gone, at most `deadline`; false when some were left.
    pub async fn finished(&self, deadline: Duration) -> bool {
        door::timeout(deadline, self.until(|shared| shared.present.get() == 0)).await.is_ok()
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.shared.present.get()
    }

    /// Counts a connection until the guard is dropped.
    pub(super) fn enter(&self) -> Present {
        self.shared.present.set(self.shared.present.get() + 1);
        Present(Rc::clone(&self.shared))
    }

    /// Marks a connection as waiting for a request until the guard is dropped.
    pub(super) fn idle(&self, stream: &Stream) -> Idle {
        let key = self.shared.idle.borrow_mut().insert(stream.clone());
        Idle { shared: Rc::clone(&self.shared), key }
    }

    /// Waits until there are fewer connections than `max`, or draining began.
    pub(super) async fn room(&self, max: usize) {
        self.until(|shared| shared.started.get() || shared.present.get() < max).await;
    }

    /// Waits until draining began.
    pub(super) async fn started(&self) {
        self.until(|shared| shared.started.get()).await;
    }

    async fn until(&self, done: impl Fn(&Shared) -> bool) {
        poll_fn(|context| {
            if done(&self.shared) {
                return Poll::Ready(());
            }
            let mut waiting = self.shared.waiting.borrow_mut();
            // The accept loop asks again and again: one entry for each task, not for each time.
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

impl Shared {
    fn wake(&self) {
        for waker in self.waiting.take() {
            waker.wake();
        }
    }
}

/// See [`Drain::enter`].
pub(super) struct Present(Rc<Shared>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.present.set(self.0.present.get().saturating_sub(1));
        self.0.wake();
    }
}

/// See [`Drain::idle`].
pub(super) struct Idle {
    shared: Rc<Shared>,
    key: usize,
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.shared.idle.borrow_mut().try_remove(self.key);
    }
}
