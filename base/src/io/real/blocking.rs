//! Threads of one core for everything that blocks: what the ring has no operation for, and LMDB.
//!
//! # Invariants
//!
//! - What was started runs to its end, whether or not anyone still waits for it.
//! - A panic in a closure is an error of that closure; the thread lives on.
//! - At most `QUEUED_MAX` closures wait for a thread; `run` waits for room. `start` skips that wait and is for the few that
//!   must not be lost (each is owned by a task that waits for it, so tasks bound them).

#![expect(clippy::disallowed_types, reason = "the queue between a core and its own threads")]

use super::oneshot::{self, oneshot};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::{Duration, Instant};

/// More than a disk can have in flight with profit; below it tasks wait with their own state only.
const QUEUED_MAX: usize = 1024;

/// The threads and their queue. Owned by the core; dropping it waits for all that was started.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: RefCell<Vec<thread::JoinHandle<()>>>,
}

impl Pool {
    /// Starts one thread of the lowest priority, on the processor of the calling thread if that is pinned: what works behind the core.
    pub(super) fn behind(name: &str) -> io::Result<Pool> {
        Pool::start_threads(&format!("{name}-behind"), 1, super::behind::give_way)
    }

    /// Starts `count` threads (at least one), each of which runs `prepare` first.
    pub(super) fn start_threads(
        name: &str,
        count: usize,
        prepare: impl Fn() + Clone + Send + 'static,
    ) -> io::Result<Pool> {
        let shared = Arc::new(Shared { queue: Mutex::default(), filled: Condvar::new() });
        let pool = Pool { shared, threads: RefCell::default() };
        for number in 0..count.max(1) {
            let (shared, prepare) = (pool.shared.clone(), prepare.clone());
            let work = move || {
                prepare();
                shared.work();
            };
            let thread = thread::Builder::new().name(format!("{name}-b{number}")).spawn(work)?;
            pool.threads.borrow_mut().push(thread);
        }
        Ok(pool)
    }

    /// Runs `body` on a thread, as soon as the queue has room.
    pub(super) async fn run<T, F>(&self, body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        poll_fn(|context| self.shared.poll_room(context)).await;
        self.start(body).await
    }

    /// Queues `body` at once; the future only waits for its answer.
    pub(super) fn start<T, F>(&self, body: F) -> Running<T>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot();
        let job = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(body));
            sender.send(result.unwrap_or_else(|panic| Err(panicked(&*panic))));
        });
        self.shared.push(job);
        Running { receiver }
    }

    /// [`start`](Self::start) for what may have to wait for the disk, which owes an answer until it has run.
    pub(super) fn start_disk<T, F>(&self, end: End, body: F) -> Running<T>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let disk = self.disk();
        self.start(move || disk.wait_for(end, body))
    }

    /// [`run`](Self::run) for what may have to wait for the disk.
    pub(super) async fn run_disk<T, F>(&self, end: End, body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let disk = self.disk();
        self.run(move || disk.wait_for(end, body)).await
    }

    /// For threads of others that wait for the same disk.
    pub(super) fn disk(&self) -> Disk {
        Disk(self.shared.clone())
    }

    /// How long the disk has owed an answer without giving any; zero when it owes none.
    pub(super) fn silent_for(&self) -> Duration {
        let queue = self.shared.lock();
        let since = queue.owed.iter().min().map(|&since| since.max(queue.heard.unwrap_or(since)));
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Waits for all that was started and ends the threads. What is started afterwards fails.
    pub(super) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_all();
        for thread in self.threads.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

/// Waits for a started closure; dropping it lets the closure go on.
pub(in crate::io) struct Running<T> {
    receiver: oneshot::Receiver<io::Result<T>>,
}

impl<T> Future for Running<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let answer = ready!(Pin::new(&mut self.receiver).poll(context));
        Poll::Ready(answer.unwrap_or_else(|| Err(io::Error::other("a blocking thread went away"))))
    }
}

/// Turns what a panic carried into an error and reports it.
pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> io::Error {
    let message = panic_message(panic);
    tracing::error!(message, "a blocking closure panicked");
    io::Error::other(format!("panicked: {message}"))
}

/// The text of a panic, where it has one.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// What the end of a wait for the disk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// That the disk answered: something was synced, or read past the page cache.
    Heard,
    /// Nothing: memory may have had it all.
    Unclear,
}

/// What a pool's disk owes. Held by who waits for it.
#[derive(Clone)]
pub(super) struct Disk(Arc<Shared>);

impl Disk {
    /// Runs what may wait for the disk.
    pub(super) fn wait_for<T>(&self, end: End, body: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        self.0.lock().owed.push(since);
        let _owed = Owed { shared: &self.0, since, end };
        body()
    }
}

/// A wait under way.
struct Owed<'d> {
    shared: &'d Shared,
    since: Instant,
    end: End,
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        if let Some(place) = queue.owed.iter().position(|since| *since == self.since) {
            queue.owed.swap_remove(place);
        }
        if self.end == End::Heard {
            queue.heard = Some(Instant::now());
        }
    }
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn FnOnce() + Send>>,
    waiting: Vec<Waker>,
    closed: bool,
    /// Since when each thread that waits for the disk does; a few.
    owed: Vec<Instant>,
    /// When it last gave an answer.
    heard: Option<Instant>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Box<dyn FnOnce() + Send>) {
        let mut queue = self.lock();
        if queue.closed {
            // Dropped after the lock: it tells its waiter.
            drop(queue);
            drop(job);
            return;
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.filled.notify_one();
    }

    fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let mut queue = self.lock();
        if queue.jobs.len() < QUEUED_MAX {
            return Poll::Ready(());
        }
        queue.waiting.push(context.waker().clone());
        Poll::Pending
    }

    /// Ends: when the pool is closed and empty.
    fn work(&self) {
        loop {
            let mut queue = self.lock();
            let job = loop {
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                if queue.closed {
                    return;
                }
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            // All of them at half: one that was woken and dropped must not keep the others asleep.
            let woken =
                if queue.jobs.len() <= QUEUED_MAX / 2 { std::mem::take(&mut queue.waiting) } else { Vec::new() };
            drop(queue);
            woken.into_iter().for_each(Waker::wake);
            job();
        }
    }
}
