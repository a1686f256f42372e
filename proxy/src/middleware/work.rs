//! Work on many objects: some requests at once, and blanks for a client who waits.

use base::http::server::{BodySource, LocalFuture};
use base::io;
use bytes::Bytes;
use std::task::Poll;
use std::time::Duration;

/// Futures of which a few run at once; results come as they are there. Dropped, all of them end.
pub(crate) struct Pile<T> {
    width: usize,
    running: Vec<LocalFuture<'static, T>>,
}

impl<T> Pile<T> {
    pub(crate) fn new(width: usize) -> Self {
        Self { width: width.max(1), running: Vec::new() }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.running.len() >= self.width
    }

    pub(crate) fn push(&mut self, future: LocalFuture<'static, T>) {
        self.running.push(future);
    }

    /// The next result; `None` when nothing runs.
    pub(crate) async fn next(&mut self) -> Option<T> {
        if self.running.is_empty() {
            return None;
        }
        std::future::poll_fn(|context| {
            let done =
                self.running.iter_mut().enumerate().find_map(|(place, future)| match future.as_mut().poll(context) {
                    Poll::Ready(result) => Some((place, result)),
                    Poll::Pending => None,
                });
            match done {
                Some((place, result)) => {
                    drop(self.running.remove(place));
                    Poll::Ready(Some(result))
                }
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// A body whose bytes come at the end of some work; until then a blank every so often keeps the connection.
pub(super) struct Heartbeat {
    work: Option<LocalFuture<'static, String>>,
    every: Duration,
    /// Sent at once when there.
    greeting: Option<&'static str>,
    /// What the first blank is instead.
    first: Option<&'static str>,
    /// Whether anything was sent.
    beaten: bool,
}

impl Heartbeat {
    pub(super) fn new(work: LocalFuture<'static, String>, every: Duration) -> Self {
        Self { work: Some(work), every, greeting: None, first: None, beaten: false }
    }

    /// The first blank goes out before the work begins.
    pub(super) fn greeting(self) -> Self {
        Self { greeting: Some(" "), ..self }
    }

    /// Begins with this, should it have to wait.
    pub(super) fn beginning(self, first: &'static str) -> Self {
        Self { first: Some(first), ..self }
    }

    async fn piece(&mut self) -> Option<std::io::Result<Bytes>> {
        if let Some(greeting) = self.greeting.take() {
            self.beaten = true;
            return Some(Ok(Bytes::from_static(greeting.as_bytes())));
        }
        let work = self.work.as_mut()?;
        let text = match io::timeout(self.every, work).await {
            Ok(text) => text,
            Err(io::Elapsed) => {
                self.beaten = true;
                return Some(Ok(Bytes::from_static(self.first.take().unwrap_or(" ").as_bytes())));
            }
        };
        self.work = None;
        let separator = if self.beaten { "\r\n\r\n" } else { "" };
        Some(Ok(Bytes::from(format!("{separator}{text}"))))
    }
}

impl BodySource for Heartbeat {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        Box::pin(self.piece())
    }
}
