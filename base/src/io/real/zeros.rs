//! Zeros written over reserved space, without a trace in the page cache; for the blocking threads.

use super::disk;
use bytes::Bytes;
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Zeros of one call: a disk is at its best rate, and a read waits behind it for less than a millisecond.
pub(super) const CHUNK_BYTES: u64 = 1024 * 1024;

/// FALLOC_FL_WRITE_ZEROES, since Linux 6.17: the device writes the zeros, where it can.
const WRITE_ZEROES: FallocateFlags = FallocateFlags::from_bits_retain(0x80);

/// What is written again and again; the memory must be as aligned as O_DIRECT wants it.
#[repr(align(4096))]
struct Page([u8; CHUNK_BYTES as usize]);

static PAGE: Page = Page([0; CHUNK_BYTES as usize]);

/// A file open for zeros.
pub(super) struct Zeros {
    file: File,
    /// Past the page cache; else each chunk is synced, so that little piles up there.
    is_direct: bool,
    /// The device can; until it says no.
    by_device: AtomicBool,
}

impl Zeros {
    pub(super) fn open(file: &File) -> io::Result<Zeros> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let open = |flags: OFlags| rustix::fs::open(&path, flags | OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let (file, is_direct) = match open(OFlags::DIRECT) {
            Err(Errno::INVAL) => (open(OFlags::empty())?, false),
            other => (other?, true),
        };
        Ok(Zeros { file: file.into(), is_direct, by_device: AtomicBool::new(true) })
    }

    /// At most `CHUNK_BYTES`.
    pub(super) fn write(&self, offset: u64, length: u64) -> io::Result<()> {
        if self.by_device.load(Ordering::Relaxed) {
            match rustix::fs::fallocate(&self.file, WRITE_ZEROES, offset, length) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.by_device.store(false, Ordering::Relaxed),
                other => return Ok(other?),
            }
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let zeros = Bytes::from_static(PAGE.0.get(..length).unwrap_or(&PAGE.0));
        disk::write_at(self.file.as_fd(), &[zeros], offset)?;
        if !self.is_direct {
            rustix::fs::fdatasync(&self.file)?;
        }
        Ok(())
    }

    /// What the file system noted about the blocks goes to the disk now, not with the first record.
    pub(super) fn finish(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.file)?)
    }
}
