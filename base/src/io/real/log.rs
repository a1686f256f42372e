//! The process's log and the metrics it tells: every core gathers its lines, one thread writes them and sends those of metrics.
//!
//! A line costs a core a copy and no system call. The thread looks for lines every [`EVERY`] while there are any, and every
//! [`EVERY_QUIET`] after a quiet second; it never waits to be woken, which would cost the core that hands it a line a system call.
//!
//! # Invariants
//!
//! - Lines of one core stay in order and whole: one thread writes them, at most [`WRITE_MAX`] bytes at a time, which a pipe keeps
//!   together with what other processes write.
//! - Nothing is dropped: when the thread is [`QUEUE_MAX`] batches behind, the core writes itself, and waits as every program does whose
//!   log is not read.
//! - Metrics wait for nobody and nobody waits for them: those that the queue or the socket has no room for are lost.
//! - A line is on its way within [`EVERY`] and the thread's next look; `finish` waits for all of them. What a killed process had gathered since is lost.

use super::super::lines;
use super::{CORE, task};
use crate::digits;
use crate::http::date;
use rustix::net::SendFlags;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a core gathers, and how often the thread looks.
const EVERY: Duration = Duration::from_millis(20);
/// Looks in vain after which the thread looks less often.
const QUIET: u32 = 50;
/// How often it looks then.
const EVERY_QUIET: Duration = Duration::from_millis(100);
/// Bytes a core gathers at most.
const GATHERED_MAX: usize = 32 * 1024;
/// Space that a core begins to gather with.
const LINES_SPACE: usize = 4 * 1024;
/// Batches that wait for the thread.
const QUEUE_MAX: usize = 64;
/// Bytes of one write, unless a single line is longer: what Linux keeps together in a pipe.
const WRITE_MAX: usize = 4096;
/// Longest wait for the last lines at the end of the process.
const FINISH_MAX: Duration = Duration::from_secs(2);

static WRITER: OnceLock<Writer> = OnceLock::new();

struct Writer {
    queue: SyncSender<Batch>,
    file: File,
}

enum Batch {
    Lines(Vec<u8>),
    Metrics(Metrics),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

/// Whole lines for whoever a connected UDP socket speaks to.
pub(super) struct Metrics {
    pub(super) socket: Arc<OwnedFd>,
    pub(super) lines: Vec<u8>,
    /// Bytes of a datagram, unless a single line is longer.
    pub(super) datagram_max: usize,
}

impl Metrics {
    /// Sends them here and now; what the socket refuses is lost.
    pub(super) fn send(&self) {
        for datagram in lines::pieces(&self.lines, self.datagram_max) {
            let datagram = datagram.strip_suffix(b"\n").unwrap_or(datagram);
            let _ = rustix::net::send(&self.socket, datagram, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }
}

thread_local! {
    static GATHERED: RefCell<Gathered> = const { RefCell::new(Gathered { lines: Vec::new(), is_due: false }) };
}

/// What this core has not handed over yet.
struct Gathered {
    lines: Vec<u8>,
    /// A task will hand it over.
    is_due: bool,
}

impl Drop for Gathered {
    fn drop(&mut self) {
        hand_over(std::mem::take(&mut self.lines));
    }
}

/// Starts the thread, which writes to `file` from now on. Once per process.
pub fn start(file: File) -> io::Result<()> {
    let (queue, batches) = sync_channel(QUEUE_MAX);
    let target = file.try_clone()?;
    std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || write_batches(&target, &batches))?;
    let writer = Writer { queue, file };
    WRITER.set(writer).map_err(|_| io::Error::new(io::ErrorKind::AlreadyExists, "the log was started already"))
}

/// Whether lines go to the thread.
pub fn is_started() -> bool {
    WRITER.get().is_some()
}

/// Adds a whole line, its end included. Of no effect before `start`.
pub fn write(line: &[u8]) {
    append(|lines| lines.extend_from_slice(line));
}

/// Adds the line of an event at INFO, as `tracing` would write it; `message` appends its text.
pub fn write_with(target: &str, now: Duration, message: impl FnOnce(&mut Vec<u8>)) {
    append(|lines| {
        put_time(lines, now);
        lines.extend_from_slice(b"  INFO ");
        lines.extend_from_slice(target.as_bytes());
        lines.extend_from_slice(b": ");
        message(lines);
        lines.push(b'\n');
    });
}

fn append(write: impl FnOnce(&mut Vec<u8>)) {
    if CORE.with_borrow(Option::is_none) {
        let mut lines = Vec::new();
        write(&mut lines);
        return hand_over(lines);
    }
    GATHERED.with_borrow_mut(|gathered| {
        if gathered.lines.capacity() == 0 {
            gathered.lines.reserve(LINES_SPACE);
        }
        write(&mut gathered.lines);
        if gathered.lines.len() >= GATHERED_MAX {
            hand_over(std::mem::take(&mut gathered.lines));
        } else if !gathered.is_due {
            gathered.is_due = true;
            task::spawn(async {
                super::timers::sleep(EVERY).await;
                GATHERED.with_borrow_mut(|gathered| {
                    gathered.is_due = false;
                    hand_over(std::mem::take(&mut gathered.lines));
                });
            });
        }
    });
}

/// `2026-11-26T11:46:36.123456Z`
fn put_time(out: &mut Vec<u8>, now: Duration) {
    let seconds = now.as_secs();
    let (year, month, day) = date::civil(seconds);
    let of_day = seconds % 86_400;
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (of_day / 3600, 2, b':'),
        (of_day / 60 % 60, 2, b':'),
        (of_day % 60, 2, b'.'),
        (u64::from(now.subsec_micros()), 6, b'Z'),
    ];
    for (number, count, behind) in parts {
        out.extend(digits::last(number, count));
        out.push(behind);
    }
}

/// Adds a line that must not be lost even if the process dies now: it is written by the caller, behind what this core had gathered.
pub fn write_now(line: &[u8]) {
    let mut lines = GATHERED.with_borrow_mut(|gathered| std::mem::take(&mut gathered.lines));
    lines.extend_from_slice(line);
    if let Some(writer) = WRITER.get() {
        write_all(&writer.file, &lines);
    }
}

/// Waits, at most two seconds, until what was handed over is written. At the end of the process, when its cores have ended.
pub fn finish() {
    GATHERED.with_borrow_mut(|gathered| hand_over(std::mem::take(&mut gathered.lines)));
    let Some(writer) = WRITER.get() else { return };
    let (done, written) = sync_channel(1);
    if writer.queue.send(Batch::Flush(done)).is_ok() {
        // Past the deadline whoever reads the log has stopped doing so.
        let _: Result<(), RecvTimeoutError> = written.recv_timeout(FINISH_MAX);
    }
}

fn hand_over(lines: Vec<u8>) {
    let Some(writer) = WRITER.get().filter(|_| !lines.is_empty()) else { return };
    match writer.queue.try_send(Batch::Lines(lines)) {
        Ok(()) => {}
        Err(TrySendError::Full(Batch::Lines(lines)) | TrySendError::Disconnected(Batch::Lines(lines))) => {
            write_all(&writer.file, &lines);
        }
        Err(_) => {}
    }
}

/// Leaves metrics to the thread, at most [`EVERY_QUIET`] from now; the caller sends them itself where there is none.
pub(super) fn send_metrics(metrics: Metrics) {
    match WRITER.get() {
        // A thread that is this far behind has a log to write first.
        Some(writer) => drop(writer.queue.try_send(Batch::Metrics(metrics))),
        None => metrics.send(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, which may sleep")]
fn write_batches(file: &File, batches: &Receiver<Batch>) {
    let mut quiet = 0;
    // Ends with the process: the sender is never dropped.
    loop {
        let next = match batches.try_recv() {
            Err(TryRecvError::Empty) => {
                quiet = (quiet + 1).min(QUIET);
                std::thread::sleep(if quiet < QUIET { EVERY } else { EVERY_QUIET });
                continue;
            }
            next => next.ok(),
        };
        quiet = 0;
        match next {
            Some(Batch::Lines(lines)) => write_all(file, &lines),
            Some(Batch::Metrics(metrics)) => metrics.send(),
            Some(Batch::Flush(done)) => {
                // Nobody waits any more when this fails.
                let _ = done.try_send(());
            }
            None => return,
        }
    }
}

/// An error has nowhere to be told.
fn write_all(mut file: &File, lines: &[u8]) {
    for piece in lines::pieces(lines, WRITE_MAX) {
        let _ = file.write_all(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_tracing_does() {
        let mut out = Vec::new();
        put_time(&mut out, Duration::new(1_402_464_678, 1_234_999));
        assert_eq!(out, b"2014-06-11T05:31:18.001234Z");
    }
}
