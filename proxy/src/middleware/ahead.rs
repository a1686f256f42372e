//! What large objects do while the present segment goes out: the next one is opened, so that between the two nobody waits for
//! a backend. One is ahead at most, and only when little of the present one is left: a client that reads slowly keeps no second
//! backend waiting for hours.

use base::http::server::LocalFuture;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// So many bytes before the end of a segment the next one is opened: a fast client takes some milliseconds for them, a backend
/// is asked in one.
pub(super) const LEAD: u64 = 1024 * 1024;

/// Work that is done beside other work. Dropped, it ends, and what it holds is closed.
pub(super) enum Ahead<T> {
    Nothing,
    Running(LocalFuture<'static, T>),
    Done(T),
}

impl<T> Ahead<T> {
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Ahead::Nothing)
    }

    /// Does `work`, and goes on with what is ahead meanwhile.
    pub(super) async fn beside<W>(&mut self, work: impl Future<Output = W>) -> W {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Ahead::Running(running) = self
                && let Poll::Ready(done) = running.as_mut().poll(context)
            {
                *self = Ahead::Done(done);
            }
            work.as_mut().poll(context)
        })
        .await
    }

    /// What was ahead, when it is done; `None` where nothing was.
    pub(super) async fn take(&mut self) -> Option<T> {
        if let Ahead::Running(running) = self {
            // Dropped in between it goes on with the next call.
            let done = running.as_mut().await;
            *self = Ahead::Done(done);
        }
        match std::mem::replace(self, Ahead::Nothing) {
            Ahead::Done(done) => Some(done),
            Ahead::Nothing | Ahead::Running(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::io;
    use base::io::sim::{Sim, SimOptions};
    use std::time::Duration;

    fn second<T: 'static>(value: T) -> LocalFuture<'static, T> {
        Box::pin(async move {
            io::sleep(Duration::from_secs(1)).await;
            value
        })
    }

    #[test]
    fn both_are_done_in_the_time_of_the_longer_one() {
        Sim::new(1, SimOptions::default()).run(async {
            let mut ahead = Ahead::Running(second("ahead"));
            let start = io::monotonic();
            assert_eq!(ahead.beside(second("work")).await, "work");
            assert_eq!(ahead.take().await, Some("ahead"));
            assert_eq!(io::monotonic().since(start).as_millis(), 1000);
            assert!(ahead.is_nothing());
            assert_eq!(ahead.take().await, None);
        });
    }
}
