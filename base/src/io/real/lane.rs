//! Lanes: threads of their own for a part of the file system, as a rule one disk, so that what waits for that disk keeps nothing else
//! waiting.
//!
//! # Invariants
//!
//! - A path belongs to the one lane it lies under, else to the core's own threads; a handle stays in the lane of its path.
//! - A lane lives as long as its core.
//! - Silence is told from what must wait for the disk (writes that are synced, commits, reads past the page cache), never from what
//!   memory may answer.

use super::blocking::{End, Pool};
use super::turns::Turns;
use crate::io::{Instant, monotonic};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::cell::Cell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// The threads for one part of the file system.
pub(in crate::io) struct Lane {
    root: PathBuf,
    pub(super) pool: Pool,
    /// Turns of reads past the page cache.
    pub(super) turns: Turns,
    /// Reads and writes past the page cache that the ring has.
    reads: Cell<u32>,
    /// When the last of them came, or the first of them left.
    reads_heard: Cell<Instant>,
    is_probing: Cell<bool>,
}

/// Reads that a disk has at a time, of one core: what SATA's disks queue, and more than an NVMe needs for all that a core can answer.
const READS_MAX: usize = 32;
/// Sectors as disks have them at least.
pub(super) const SECTOR: usize = 512;
/// A read that was given up after this long may be one that the disk does not answer.
const SUSPICIOUS: Duration = Duration::from_secs(1);

impl Lane {
    /// Starts the threads, on any processor of `affinity`: a sync should not wait for the core it serves.
    pub(super) fn new(name: &str, threads: usize, root: &Path, affinity: Option<CpuSet>) -> io::Result<Lane> {
        let pool = Pool::start_threads(name, threads, move || {
            if let Some(affinity) = &affinity
                && let Err(error) = sched_setaffinity(None, affinity)
            {
                tracing::debug!(%error, "a thread stays on the processor of its core");
            }
        })?;
        Ok(Lane {
            root: root.to_owned(),
            pool,
            turns: Turns::new(READS_MAX),
            reads: Cell::new(0),
            reads_heard: Cell::new(Instant::from_nanos(0)),
            is_probing: Cell::new(false),
        })
    }

    /// Whether the path lies in it.
    pub(super) fn holds(&self, path: &Path) -> bool {
        let rest = path.as_os_str().as_bytes().strip_prefix(self.root.as_os_str().as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// Where it begins.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Counts a read or a write past the page cache, of `file` at `sector`, until it came or is given up.
    pub(super) fn reading<'f>(self: &Rc<Self>, file: BorrowedFd<'f>, sector: u64) -> Reading<'f> {
        let since = monotonic();
        if self.reads.replace(self.reads.get() + 1) == 0 {
            self.reads_heard.set(since);
        }
        Reading { lane: self.clone(), file, sector, since, came: false }
    }

    /// Asks for a sector on a thread, which cannot give up: so it stays known that the disk owes an answer. One at a time.
    fn probe(self: &Rc<Self>, file: OwnedFd, sector: u64) {
        if self.is_probing.replace(true) {
            return;
        }
        let asked = self.pool.start_disk(End::Heard, move || read_sector(&file, sector));
        let lane = self.clone();
        drop(super::task::spawn(async move {
            let _ = asked.await;
            lane.is_probing.set(false);
        }));
    }

    /// How long the disk has owed an answer without giving any; zero when it owes none.
    pub(in crate::io) fn silent_for(&self) -> Duration {
        let reads = match self.reads.get() {
            0 => Duration::ZERO,
            _ => monotonic().since(self.reads_heard.get()),
        };
        reads.max(self.pool.silent_for())
    }
}

/// A read or a write that the ring has.
pub(super) struct Reading<'f> {
    lane: Rc<Lane>,
    file: BorrowedFd<'f>,
    sector: u64,
    since: Instant,
    came: bool,
}

impl Reading<'_> {
    /// The disk gave an answer.
    pub(super) fn came(mut self) {
        self.came = true;
        self.lane.reads_heard.set(monotonic());
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let lane = &self.lane;
        lane.reads.set(lane.reads.get().saturating_sub(1));
        if !self.came
            && monotonic().since(self.since) >= SUSPICIOUS
            && let Ok(file) = self.file.try_clone_to_owned()
        {
            lane.probe(file, self.sector);
        }
    }
}

/// Past the page cache, as `file` is opened.
fn read_sector(file: &OwnedFd, sector: u64) -> io::Result<()> {
    let mut buffer = [0; 2 * SECTOR];
    let pad = buffer.as_ptr().align_offset(SECTOR).min(SECTOR);
    let aligned = buffer.get_mut(pad..pad + SECTOR).unwrap_or_default();
    rustix::io::pread(file, aligned, sector)?;
    Ok(())
}
