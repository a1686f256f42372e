//! Disk space of an environment: a reserve beyond what it uses, and telling a full disk from a broken one.
//!
//! The reserve is space after the end of the file (fallocate that keeps its size): LMDB grows into it without asking the file
//! system for more.
//!
//! Belongs to the writer thread.

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a transaction asks of a file system at a time, roughly; where even this is not to be had, the disk is full.
const PROBE_BYTES: u64 = 1024 * 1024;

pub(super) struct Reserve {
    file: File,
    bytes: u64,
    /// Where the space set aside ends, as far as we know. Atomics because the environment is shared; one thread changes them.
    end: AtomicU64,
    missing: AtomicBool,
}

impl Reserve {
    /// For the environment in `path`, which exists. None is kept when `bytes` is 0.
    pub(super) fn open(path: &Path, bytes: u64) -> io::Result<Reserve> {
        let file = File::options().read(true).write(true).open(path.join("data.mdb"))?;
        Ok(Reserve { file, bytes, end: AtomicU64::new(0), missing: AtomicBool::new(false) })
    }

    /// Fills the reserve up when more than half of it is used. Call it after each commit.
    pub(super) fn keep(&self) {
        if self.bytes == 0 {
            return;
        }
        let Ok(used) = self.used() else { return };
        if used + self.bytes / 2 <= self.end.load(Ordering::Relaxed) {
            return;
        }
        match self.allocate(used, self.bytes) {
            Ok(()) => {
                self.end.store(used + self.bytes, Ordering::Relaxed);
                self.missing.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                if !self.missing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, bytes = self.bytes, "cannot keep space in reserve for an index");
                }
            }
        }
    }

    /// Makes the error of a commit say that the disk is full, if it is: a write that was cut short for want of space is EIO to LMDB.
    pub(super) fn explain(&self, error: io::Error) -> io::Error {
        if error.raw_os_error() != Some(Errno::IO.raw_os_error()) {
            return error;
        }
        match self.used().and_then(|used| self.allocate(used, PROBE_BYTES)) {
            Err(full) if full.kind() == io::ErrorKind::StorageFull => full,
            _ => error,
        }
    }

    fn used(&self) -> io::Result<u64> {
        Ok(u64::try_from(rustix::fs::fstat(&self.file)?.st_size).unwrap_or(0))
    }

    fn allocate(&self, from: u64, bytes: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, bytes)?)
    }
}
