//! A whole server: one thread per core, ended by SIGTERM or SIGINT.
//!
//! The signal handler writes a byte to a socket, whatever thread it hits; a thread of its own reads there. (A blocked mask would
//! have to be set before the first thread, and be inherited by every program we start.) The first signal asks every core to
//! end; the second ends the process at once, for an operator who has seen enough.

#![expect(unsafe_code, reason = "a signal handler has no safe form here")]

use super::oneshot::{self, oneshot};
use super::{CoreOptions, run};
use crate::io::Shutdown;
use rustix::thread::sched_getaffinity;
use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

/// What the main thread waits for.
enum Event {
    Signal,
    Ended(usize, io::Result<()>),
}

/// Runs `main` on `cores` threads until each is done; they are asked to end by SIGTERM or SIGINT, or when one of them fails.
/// Answers the first error. Once per process.
pub fn daemon<M, F>(cores: usize, name: &str, main: M) -> io::Result<()>
where
    M: Fn(usize, Shutdown) -> F + Send + Clone + 'static,
    F: Future<Output = io::Result<()>>,
{
    refuse_huge_pages();
    let signals = catch_signals()?;
    let (events, inbox) = mpsc::channel();
    let signalled = events.clone();
    thread::Builder::new().name(format!("{name}-signals")).spawn(move || wait_for_signals(signals, &signalled))?;

    let processors = processors();
    let mut asks = Vec::new();
    for number in 0..cores {
        let (ask, asked) = oneshot();
        asks.push(ask);
        let (main, events) = (main.clone(), events.clone());
        // Pinned only when the server has every processor: two servers pinned to the first of two would share it and leave
        // the other idle.
        let cpu = processors.get(number).copied().filter(|_| processors.len() == cores);
        let options = CoreOptions { name: format!("{name}-{number}"), cpu, ..CoreOptions::default() };
        thread::Builder::new().name(options.name.clone()).spawn(move || {
            let ended = Ended { number, events, result: Err(io::Error::other("the core panicked")) };
            ended.run(options, asked, main);
        })?;
    }
    drop(events);
    wait_for_cores(cores, asks, &inbox)
}

/// An allocator asks for huge pages, and every sort of block that is used a little then takes two megabytes: of a storage node's heap more than
/// half were such remains (21 MB against 9 with 30,000 objects on their way to the index).
fn refuse_huge_pages() {
    // SAFETY: it sets a flag of the process and touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } != 0 {
        tracing::debug!(error = %io::Error::last_os_error(), "the heap may use huge pages");
    }
}

/// Tells the main thread that a core has ended, however it did.
struct Ended {
    number: usize,
    events: mpsc::Sender<Event>,
    result: io::Result<()>,
}

impl Ended {
    fn run<M, F>(mut self, options: CoreOptions, asked: oneshot::Receiver<()>, main: M)
    where
        M: Fn(usize, Shutdown) -> F,
        F: Future<Output = io::Result<()>>,
    {
        let number = self.number;
        let ran = run(options, || {
            let shutdown = Shutdown::new();
            until_asked(asked, shutdown.clone(), main(number, shutdown))
        });
        self.result = ran.flatten();
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Ok(()));
        let _ = self.events.send(Event::Ended(self.number, result));
    }
}

/// Runs `main`, and passes the request to end on when it comes.
async fn until_asked<T>(asked: oneshot::Receiver<()>, shutdown: Shutdown, main: impl Future<Output = T>) -> T {
    let (mut asked, mut main) = (Some(asked), pin!(main));
    poll_fn(|context| {
        if let Some(waiting) = &mut asked
            && pin!(waiting).poll(context).is_ready()
        {
            asked = None;
            shutdown.request();
        }
        match main.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn wait_for_cores(cores: usize, mut asks: Vec<oneshot::Sender<()>>, inbox: &mpsc::Receiver<Event>) -> io::Result<()> {
    let mut first_error = Ok(());
    let mut running = cores;
    // Ends: every core sends its end once; a signal only comes twice before the process is gone.
    while running > 0 {
        let Ok(event) = inbox.recv() else { break };
        let stop = match event {
            Event::Signal => true,
            Event::Ended(number, result) => {
                running -= 1;
                if let Err(error) = &result {
                    tracing::error!(core = number, %error, "a core failed");
                }
                let failed = result.is_err();
                first_error = first_error.and(result);
                failed
            }
        };
        if stop {
            asks.drain(..).for_each(|ask| ask.send(()));
        }
    }
    first_error
}

/// The processors this process may use.
fn processors() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect(),
        Err(_) => Vec::new(),
    }
}

/// Where the handler writes; -1 before there is a daemon.
static SIGNALLED: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_signal(_signal: libc::c_int) {
    let socket = SIGNALLED.load(Ordering::Relaxed);
    // SAFETY: write(2) may be called in a signal handler; the byte lives in this frame and the descriptor is never closed. It
    // may change errno under the interrupted code, which only send on a full socket buffer does, after thousands of signals.
    unsafe { libc::write(socket, [0_u8].as_ptr().cast(), 1) };
}

fn catch_signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    SIGNALLED.store(writer.into_raw_fd(), Ordering::Relaxed);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: all fields of the structure may be zero: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler does nothing but write(2); the old action is not asked for.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(reader)
}

fn wait_for_signals(mut signals: UnixStream, events: &mpsc::Sender<Event>) {
    let mut byte = [0];
    if signals.read_exact(&mut byte).is_ok() {
        let _ = events.send(Event::Signal);
    }
    if signals.read_exact(&mut byte).is_ok() {
        // 128 + SIGINT, as a shell would say it.
        std::process::exit(130);
    }
}

#[cfg(test)]
mod tests;
