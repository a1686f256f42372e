//! Tasks of this core.

use super::{real, sim, simulated};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for a task. Dropping it detaches: the task goes on.
pub struct JoinHandle<T>(JoinInner<T>);

enum JoinInner<T> {
    Real(real::task::JoinHandle<T>),
    Sim(sim::task::JoinHandle<T>),
}

/// Starts a task on this core (in the simulator: on the current node). It is queued, never run inline. A panic in it
/// is caught and logged; its handle then answers `None`.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    JoinHandle(if simulated() {
        JoinInner::Sim(sim::task::spawn(future))
    } else {
        JoinInner::Real(real::task::spawn(future))
    })
}

impl<T> Future for JoinHandle<T> {
    /// `None` when the task panicked or its node crashed.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            JoinInner::Real(handle) => Pin::new(handle).poll(context),
            JoinInner::Sim(handle) => Pin::new(handle).poll(context),
        }
    }
}
