//! Tasks of this core.

use super::{real, sim, simulated};
use std::future::Future;
use std::io;
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

/// Lets other ready tasks go first; in the simulator perhaps.
pub(super) fn yield_now() -> impl Future<Output = ()> {
    let mut has_yielded = false;
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Runs what keeps a processor busy, and waits for nothing, on a thread beside this core (in the simulator: here). It is under way when this
/// returns, and dropped it goes on to its end. Who starts it waits for it before starting more: nothing else bounds them.
pub fn compute<T, F>(work: F) -> Computing<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    Computing(match simulated() {
        true => ComputingInner::Done(Some(work())),
        false => ComputingInner::Running(real::compute(work)),
    })
}

/// The same for background work: it gets what the foreground leaves of this core's processor, on one thread of the lowest priority.
pub fn compute_behind<T, F>(work: F) -> Computing<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    Computing(match simulated() {
        true => ComputingInner::Done(Some(work())),
        false => ComputingInner::Running(real::compute_behind(work)),
    })
}

/// Waits for what `compute` started. Fails only when that panicked or the core ends.
pub struct Computing<T>(ComputingInner<T>);

enum ComputingInner<T> {
    Done(Option<T>),
    Running(real::Running<T>),
}

impl<T: Unpin> Future for Computing<T> {
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match &mut self.get_mut().0 {
            ComputingInner::Done(done) => Poll::Ready(done.take().ok_or_else(|| io::Error::other("asked again"))),
            ComputingInner::Running(running) => Pin::new(running).poll(context),
        }
    }
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
