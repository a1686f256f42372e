//! Tasks of the simulation.

use super::NodeId;
use super::world::{World, current};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Waits for a task; dropping it detaches.
pub(in crate::io) struct JoinHandle<T> {
    state: Rc<RefCell<JoinState<T>>>,
}

struct JoinState<T> {
    value: Option<T>,
    is_over: bool,
    waker: Option<Waker>,
}

impl<T> JoinHandle<T> {
    /// Whether the task is over, whatever became of it.
    pub(crate) fn is_over(&self) -> bool {
        self.state.borrow().is_over
    }
    /// The value, if the task came to its end.
    pub(crate) fn take(&self) -> Option<T> {
        self.state.borrow_mut().value.take()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Option<T>;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.state.borrow_mut();
        if state.is_over {
            return Poll::Ready(state.value.take());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Marks the task as over however it ends: done, panicked or crashed.
struct Over<T>(Rc<RefCell<JoinState<T>>>);

impl<T> Drop for Over<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.borrow_mut();
            state.is_over = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Starts a task on the node that runs now.
pub(in crate::io) fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    let world = current();
    spawn_on(&world, world.node(), future)
}

/// Starts a task on `node`.
pub(crate) fn spawn_on<F: Future + 'static>(world: &World, node: NodeId, future: F) -> JoinHandle<F::Output> {
    let state = Rc::new(RefCell::new(JoinState { value: None, is_over: false, waker: None }));
    let over = Over(Rc::clone(&state));
    let wrapped = async move {
        let value = future.await;
        over.0.borrow_mut().value = Some(value);
        drop(over);
    };
    world.spawn(node, std::any::type_name::<F>(), Box::pin(wrapped));
    JoinHandle { state }
}
