//! Tasks of the simulator.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Must be `Unpin` for every `T`.
pub(in crate::io) struct JoinHandle<T>(PhantomData<fn() -> T>);

pub(in crate::io) fn spawn<F>(_future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    todo!()
}

impl<T> Future for JoinHandle<T> {
    type Output = Option<T>;
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}
