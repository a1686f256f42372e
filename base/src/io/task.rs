//! Tasks of this core.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for a task. Dropping it detaches: the task goes on.
pub struct JoinHandle<T>(PhantomData<T>);

/// Starts a task on this core (in the simulator: on the current node). It is queued, never run inline. A panic in it
/// is caught and logged; its handle then answers `None`.
pub fn spawn<F>(_future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    todo!()
}

impl<T> Future for JoinHandle<T> {
    /// `None` when the task panicked or its node crashed.
    type Output = Option<T>;
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}
