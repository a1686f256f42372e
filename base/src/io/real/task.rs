//! Tasks of the real backend: panics are caught, slow polls are counted.

use super::blocking::panic_message;
use super::clock::coarse_nanos;
use pin_project_lite::pin_project;
use std::any::{Any, type_name};
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A poll longer than this keeps every other connection of the core waiting. The clock's grain is up to 4 ms.
const SLOW_NANOS: u64 = 10_000_000;

thread_local! {
    static SLOW_POLLS: Cell<u64> = const { Cell::new(0) };
}

/// How many polls of this core's tasks took longer than 10 ms.
pub fn slow_polls() -> u64 {
    SLOW_POLLS.get()
}

pub(in crate::io) struct JoinHandle<T>(monoio::task::JoinHandle<Option<T>>);

/// See [`crate::io::spawn`]. A dropped handle detaches.
pub(in crate::io) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    JoinHandle(monoio::spawn(Task { watched: watched(type_name::<F>(), future) }))
}

pin_project! {
    struct Task<F> {
        #[pin]
        watched: Watched<F>,
    }
}

impl<F: Future> Future for Task<F> {
    /// `None` when it panicked.
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().watched.poll(context).map(|ended| match ended {
            Ok(output) => Some(output),
            Err(panic) => {
                tracing::error!(task = type_name::<F>(), message = panic_message(&*panic), "a task panicked");
                None
            }
        })
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context)
    }
}

/// Runs `future` with its polls timed; a panic in one ends it as `Err`.
pub(in crate::io) fn watched<F: Future>(name: &'static str, future: F) -> Watched<F> {
    Watched { name, future }
}

// Written out, and not an `async fn`, which would keep the future twice: a connection's task is most of what an idle one costs.
pin_project! {
    /// See [`watched`].
    pub(in crate::io) struct Watched<F> {
        name: &'static str,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let start = coarse_nanos();
        let polled = catch_unwind(AssertUnwindSafe(|| this.future.poll(context)));
        let taken = coarse_nanos().saturating_sub(start);
        if taken > SLOW_NANOS {
            SLOW_POLLS.set(SLOW_POLLS.get() + 1);
            tracing::warn!(task = *this.name, taken_ms = taken / 1_000_000, "a task kept its core for too long");
        }
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
