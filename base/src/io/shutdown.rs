//! The wish that this core ends, told to every task that cares.
//!
//! `real::daemon` makes one per core and fulfils it when the process gets SIGTERM or SIGINT. Tests and the simulator use
//! `never` or `request` it themselves.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Clones are the same wish. Belongs to one core.
#[derive(Clone, Default)]
pub struct Shutdown {
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    requested: Cell<bool>,
    /// Those who wait. Grows with the tasks of the core only: each waiting future replaces its own entry.
    waiting: RefCell<slab::Slab<Waker>>,
}

impl Shutdown {
    /// One that nobody has requested yet.
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// One that is never requested, for tests and tools.
    pub fn never() -> Shutdown {
        Shutdown::default()
    }

    /// Wakes everyone who waits, now and from now on. Asking twice is the same as asking once.
    pub fn request(&self) {
        self.state.requested.set(true);
        let waiting = std::mem::take(&mut *self.state.waiting.borrow_mut());
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    /// Whether it was requested.
    pub fn is_requested(&self) -> bool {
        self.state.requested.get()
    }

    /// Waits for the request. May be dropped at any time.
    pub async fn requested(&self) {
        let mut place = Waiting { state: &self.state, key: None };
        poll_fn(|context| place.poll(context.waker())).await;
    }
}

/// One waiter's entry, taken out when its future goes.
struct Waiting<'a> {
    state: &'a State,
    key: Option<usize>,
}

impl Waiting<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        if self.state.requested.get() {
            self.key = None;
            return Poll::Ready(());
        }
        let mut waiting = self.state.waiting.borrow_mut();
        match self.key.and_then(|key| waiting.get_mut(key)) {
            Some(old) => old.clone_from(waker),
            None => self.key = Some(waiting.insert(waker.clone())),
        }
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // A request empties the slab, so a key counts only while nothing was requested.
        if let (Some(key), false) = (self.key, self.state.requested.get()) {
            self.state.waiting.borrow_mut().try_remove(key);
        }
    }
}
