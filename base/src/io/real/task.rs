//! Tasks of the real backend: panics are caught, slow polls are counted.

use super::blocking::panic_message;
use super::clock::coarse_nanos;
use std::any::{Any, type_name};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
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
    JoinHandle(monoio::spawn(async move {
        match watched(type_name::<F>(), future).await {
            Ok(output) => Some(output),
            Err(panic) => {
                tracing::error!(task = type_name::<F>(), message = panic_message(&*panic), "a task panicked");
                None
            }
        }
    }))
}

impl<T> Future for JoinHandle<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context)
    }
}

/// Runs `future` with its polls timed; a panic in one ends it as `Err`.
pub(in crate::io) async fn watched<F: Future>(name: &'static str, future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let start = coarse_nanos();
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        let taken = coarse_nanos().saturating_sub(start);
        if taken > SLOW_NANOS {
            SLOW_POLLS.set(SLOW_POLLS.get() + 1);
            tracing::warn!(task = name, taken_ms = taken / 1_000_000, "a task kept its core for too long");
        }
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}
