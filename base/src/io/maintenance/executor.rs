//! A second executor for a core's background scans: glommio, on a thread of its own.
//!
//! It streams files through O_DIRECT in a task queue of few shares, so that an audit neither evicts the foreground's page
//! cache nor holds its disk. One scan at a time; scans queue. The serving core stays the only owner of index and volumes:
//! what crosses over is a path, a visitor or a range, and the result. Its threads are on the processor of that core, at the lowest priority:
//! shares are kept within an executor only, between the two it is for the kernel to let the serving one go first.
//!
//! Started it costs a core two threads, 1.5 MB of memory and 3 MiB of locked memory; idle it never wakes up.
//!
//! Where it cannot start, one line says so and every caller gets `Unsupported`; the caller then reads through `fs` instead
//! (`Reader` does both).

#![expect(clippy::disallowed_types, reason = "the inbox is shared by two threads")]

use crate::io::fs::Entry;
use crate::io::real::oneshot::{self, oneshot};
use crate::io::real::task::watched;
use crate::io::real::{behind, disk};
use crate::io::{simulated, timeout};
use glommio::io::{DmaFile, DmaStreamReaderBuilder};
use glommio::{Latency, LocalExecutorBuilder, Placement, Shares};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Registered with the kernel three times and locked; the buffers of one scan fit.
const IO_MEMORY: usize = 1024 * 1024;

/// One read; at this size a disk is near its best rate and a foreground read waits a fraction of a millisecond behind it.
const CHUNK_BYTES: usize = 256 * 1024;

/// Reads under way beyond the one being visited.
const READ_AHEAD: usize = 2;

/// Larger than any sector; every range is widened to it.
const ALIGNMENT: u64 = 4096;

/// Of 1000, the share of the executor's other queue.
const SCAN_SHARES: usize = 50;

/// After so long without an answer the executor is woken once more. It can sleep through a wake-up from another thread: seen under load with
/// glommio-ng 0.12, asleep in its ring with work in the inbox until a signal came.
const NUDGE_AFTER: Duration = Duration::from_millis(250);

/// Between two reads of a scan the executor looks by itself whether there is another, for so long before it sleeps.
const LOOK_FOR: Duration = Duration::from_secs(2);
/// How often. A look costs it some 50 µs of its processor: twice in a millisecond that was a tenth of a core that others were served by.
const LOOK_EVERY: Duration = Duration::from_micros(500);
const LOOK_EVERY_BEHIND: Duration = Duration::from_millis(5);

/// Scans that may wait. Background loops wait for each, so this is far off.
const QUEUED_MAX: usize = 64;

type Work = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The executor of one core. Dropping it ends the thread after the scan it is at.
pub struct Maintenance {
    inbox: Arc<Inbox>,
}

impl Maintenance {
    /// Starts the thread, on the processor that the calling core is pinned to. `is_behind` one that others want goes to them.
    pub async fn start(name: &str, is_behind: bool) -> io::Result<Maintenance> {
        if simulated() {
            return Err(unsupported("not in the simulator"));
        }
        let cpu = crate::io::real::cpu();
        let inbox = Arc::new(Inbox::default());
        let (started, starting) = oneshot();
        let (name, theirs) = (format!("{name}-m"), inbox.clone());
        std::thread::Builder::new().name(name.clone()).spawn(move || run(&name, cpu, is_behind, theirs, started))?;
        let result = starting.await.unwrap_or_else(|| Err("the thread panicked".to_owned()));
        result.map_err(|reason| {
            tracing::warn!(reason, "no maintenance executor: background scans go through the page cache");
            unsupported(&reason)
        })?;
        Ok(Maintenance { inbox })
    }

    /// Streams the file at `path` through `visit` on the other thread, until its end or until it answers false. Gives the bytes
    /// visited. Dropped, the scan goes on to its end.
    pub async fn scan(
        &self,
        path: &Path,
        visit: impl FnMut(&[u8]) -> io::Result<bool> + Send + 'static,
    ) -> io::Result<u64> {
        let path = path.to_owned();
        self.run(move || async move { stream(&path, visit).await }).await
    }

    /// Reads `length` bytes from `offset` of the file at `path`, past the page cache; fewer only at the end of the file.
    /// `InvalidInput` when it is more than `READ_BYTES_MAX`. The disk is kept at `depth` chunks.
    pub async fn read(&self, path: &Path, offset: u64, length: usize, depth: usize) -> io::Result<Vec<u8>> {
        super::check_length(length)?;
        let path = path.to_owned();
        self.run(move || async move { read(&path, offset, length, depth).await }).await
    }

    /// What is in the directory at `path`, sorted. A walk waits for the disk here and not on the threads of the foreground; other scans of this
    /// core wait with it. (Not through glommio's own blocking threads: their last wake-up can be slept through as well.)
    pub async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let path = path.to_owned();
        self.run(move || async move { disk::read_dir(&path) }).await
    }

    /// Queues `work` for the other thread and waits for what it gives.
    async fn run<T, F>(&self, work: impl FnOnce() -> F + Send + 'static) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = io::Result<T>> + 'static,
    {
        let (answer, answered) = oneshot();
        let work: Work = Box::new(move || {
            Box::pin(async move {
                let result = watched("maintenance scan", work()).await;
                answer.send(result.unwrap_or_else(|_| Err(io::Error::other("the scan panicked"))));
            })
        });
        self.inbox.push(work)?;
        let mut answered = pin!(answered);
        // Ends: with the answer, which the executor owes until it ends.
        loop {
            match timeout(NUDGE_AFTER, answered.as_mut()).await {
                Ok(answer) => return answer.unwrap_or_else(|| Err(unsupported("the executor ended"))),
                Err(_) => self.inbox.nudge(),
            }
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

fn unsupported(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("no maintenance executor: {reason}"))
}

/// The thread. It panics or fails at start where rings or locked memory are refused; both are told.
fn run(
    name: &str,
    cpu: Option<usize>,
    is_behind: bool,
    inbox: Arc<Inbox>,
    started: oneshot::Sender<Result<(), String>>,
) {
    // And of those it starts.
    if is_behind {
        behind::give_way();
    }
    let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
    let builder = LocalExecutorBuilder::new(placement).name(name).io_memory(IO_MEMORY).ring_depth(128);
    let made = catch_unwind(AssertUnwindSafe(|| builder.make()));
    let executor = match made {
        Ok(Ok(executor)) => executor,
        Ok(Err(error)) => return started.send(Err(error.to_string())),
        Err(_) => return started.send(Err("creating it panicked".to_owned())),
    };
    started.send(Ok(()));
    executor.run(async move {
        let latency = Latency::Matters(Duration::from_millis(100));
        let queue = glommio::executor().create_task_queue(Shares::Static(SCAN_SHARES), latency, "scans");
        let look_every = if is_behind { LOOK_EVERY_BEHIND } else { LOOK_EVERY };
        while let Some(work) = next(&inbox, look_every).await {
            match glommio::spawn_local_into(work(), queue) {
                Ok(task) => task.await,
                Err(error) => tracing::error!(%error, "cannot start a scan"),
            }
        }
    });
}

/// The next scan; `None` at the end. For a while it is looked for by the executor's own timer, see `NUDGE_AFTER`; then the executor sleeps.
async fn next(inbox: &Inbox, look_every: Duration) -> Option<Work> {
    let mut looked_for = Duration::ZERO;
    while looked_for < LOOK_FOR {
        match inbox.poll_next(&Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => return next,
            Poll::Pending => glommio::timer::sleep(look_every).await,
        }
        looked_for += look_every;
    }
    poll_fn(|context| inbox.poll_next(context)).await
}

async fn stream(path: &Path, mut visit: impl FnMut(&[u8]) -> io::Result<bool>) -> io::Result<u64> {
    let file = DmaFile::open(path).await?;
    let builder = DmaStreamReaderBuilder::new(file).with_buffer_size(CHUNK_BYTES).with_read_ahead(READ_AHEAD);
    let mut reader = builder.build();
    // Ends: every turn moves on by at least a byte, or the file or the visitor ended.
    loop {
        let chunk = reader.get_buffer_aligned(CHUNK_BYTES as u64).await?;
        if chunk.is_empty() || !visit(&chunk)? {
            break;
        }
    }
    let visited = reader.current_pos();
    reader.close().await?;
    Ok(visited)
}

async fn read(path: &Path, offset: u64, length: usize, depth: usize) -> io::Result<Vec<u8>> {
    let file = Rc::new(DmaFile::open(path).await?);
    let mut bytes = Vec::with_capacity(length);
    let result = fill(&file, offset, length, depth, &mut bytes).await;
    file.close_rc().await?;
    result.map(|()| bytes)
}

async fn fill(file: &Rc<DmaFile>, offset: u64, length: usize, depth: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    let end = offset.saturating_add(length as u64).next_multiple_of(ALIGNMENT);
    let mut at = offset - offset % ALIGNMENT;
    let (mut asked, mut reading) = (at, VecDeque::new());
    // Ends: every turn moves on by at least a block, or the file ended.
    while at < end {
        while reading.len() < depth.max(1) && asked < end {
            let wanted = usize::try_from(end - asked).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            let (file, from) = (file.clone(), asked);
            reading.push_back(glommio::spawn_local(async move { file.read_at_aligned(from, wanted).await }));
            asked += wanted as u64;
        }
        let Some(chunk) = reading.pop_front() else { break };
        let chunk = chunk.await?;
        let skipped = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
        let fresh = chunk.get(skipped..).unwrap_or_default();
        bytes.extend_from_slice(fresh.get(..length - bytes.len()).unwrap_or(fresh));
        at += chunk.len() as u64;
        // What is asked for behind the end of the file is not waited for: it holds a handle of its own and gives nothing.
        if chunk.is_empty() || !at.is_multiple_of(ALIGNMENT) {
            break;
        }
    }
    for reading in reading {
        reading.cancel().await;
    }
    Ok(())
}

/// What waits for the thread.
#[derive(Default)]
struct Inbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    work: VecDeque<Work>,
    waiting: Option<Waker>,
    closed: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, work: Work) -> io::Result<()> {
        let mut state = self.lock();
        if state.work.len() >= QUEUED_MAX {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "too many scans wait"));
        }
        state.work.push_back(work);
        wake(state);
        Ok(())
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        wake(state);
    }

    /// Wakes the thread whatever it does; it looks at all that it waits for.
    fn nudge(&self) {
        wake(self.lock());
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Work>> {
        let mut state = self.lock();
        if state.closed {
            // It belongs to this thread, which ends.
            state.waiting = None;
            return Poll::Ready(None);
        }
        // Kept also while it works: a nudge may be needed then.
        state.waiting = Some(context.waker().clone());
        match state.work.pop_front() {
            Some(work) => Poll::Ready(Some(work)),
            None => Poll::Pending,
        }
    }
}

/// Frees the lock, then wakes.
fn wake(state: MutexGuard<'_, State>) {
    let waker = state.waiting.clone();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests write what is scanned from outside the door")]

    use super::Maintenance;
    use crate::io::real::{CoreOptions, run};
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn files_are_streamed_on_the_other_executor() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("volume");
        let content: Vec<u8> = (0..1_234_567_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let sum = content.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        run(CoreOptions::default(), async || {
            let executor = match Maintenance::start("test", true).await {
                Ok(executor) => executor,
                Err(error) => return assert_eq!(error.kind(), io::ErrorKind::Unsupported),
            };
            for _ in 0..3 {
                let total = Arc::new(AtomicU64::new(0));
                let counted = total.clone();
                let visit = move |chunk: &[u8]| {
                    counted.fetch_add(chunk.iter().map(|&byte| u64::from(byte)).sum(), Ordering::Relaxed);
                    Ok(true)
                };
                assert_eq!(executor.scan(&path, visit).await.unwrap(), content.len() as u64);
                assert_eq!(total.load(Ordering::Relaxed), sum);
            }
            let refused = executor.scan(&path, |_| Err(io::Error::other("enough"))).await.unwrap_err();
            assert_eq!(refused.to_string(), "enough");
            assert!(executor.scan(&path, |_| panic!("on purpose")).await.is_err());
            let missing = executor.scan(&dir.path().join("none"), |_| Ok(true)).await.unwrap_err();
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
            assert!(executor.scan(&path, |_| Ok(false)).await.is_ok());
            let end = content.len();
            for (offset, length) in
                [(0, 1), (0, 4096), (1, 4096), (5000, 900_000), (end - 10, 100), (end, 9), (9 << 20, 9)]
            {
                let expected = content.get(offset..end.min(offset + length)).unwrap_or_default();
                for depth in [1, 4] {
                    let read = executor.read(&path, offset as u64, length, depth).await.unwrap();
                    assert_eq!(read, expected, "{offset} {length} {depth}");
                }
            }
            let refused = executor.read(&path, 0, super::super::READ_BYTES_MAX + 1, 1).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
            let missing = executor.read(&dir.path().join("none"), 0, 1, 1).await.unwrap_err();
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        })
        .unwrap();
    }
}
