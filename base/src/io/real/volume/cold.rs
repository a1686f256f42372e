//! Reads of what is not in memory, past the page cache.
//!
//! The page cache reads whole pages: a record of 4 KiB and its head lie on two or three of them, and most of what a device holds is asked for
//! once in a long while. So a first read takes from the disk only the sectors it needs and leaves the cache to what is asked for again; the
//! second read of a record goes through the cache and stays there.
//!
//! # What holds
//!
//! - What is in the page cache is read from it: what was just written, and what others read. `cachestat` (Linux 6.5) says so; without it every read
//!   goes through the cache.
//! - A read sees every write that was answered before it began: writes to volumes are synced before they are answered, and the kernel writes
//!   out what is dirty in a range before it is read directly.
//! - Where sectors are larger than `SECTOR` the kernel refuses, and reads go through the page cache.
//! - Memory: `SEEN` words for each core.

#![expect(unsafe_code, reason = "a system call that rustix does not have")]

use crate::io::real::buffers::{Limited, Spare};
use crate::io::real::early;
use crate::io::real::fs::{borrow, once_more};
use crate::io::real::lane::{Lane, SECTOR};
use crate::marks::Marks;
use bytes::{Bytes, BytesMut};
use rustix::fs::OFlags;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;

/// Longer reads are bound by their bytes, and the pages at both ends do not matter.
pub(super) const BYTES_MAX: usize = 64 * 1024;
/// Records that are remembered to have been read once: a power of two. Some seconds of a busy disk.
const SEEN: usize = 64 * 1024;

thread_local! {
    /// What was read last, by a hash of its place.
    static READ_ONCE: RefCell<Marks<SEEN>> = const { RefCell::new(Marks::new()) };
    /// The kernel knows `cachestat`.
    static KNOWS_CACHE: Cell<bool> = const { Cell::new(true) };
    static NUMBERS: Cell<u32> = const { Cell::new(0) };
}

/// Reads of one volume. Belongs to a core.
pub(super) struct Cold {
    /// Tells volumes apart.
    number: u32,
    /// Past the page cache; opened at the first use. `None` where that cannot be.
    direct: RefCell<Direct>,
}

#[derive(Clone)]
enum Direct {
    Unopened,
    Open(Rc<monoio::fs::File>),
    Impossible,
}

/// Whether the kernel can say what is in memory.
#[cfg(test)]
pub(super) fn knows_cache() -> bool {
    KNOWS_CACHE.get()
}

impl Cold {
    pub(super) fn new() -> Cold {
        NUMBERS.set(NUMBERS.get().wrapping_add(1));
        Cold { number: NUMBERS.get(), direct: RefCell::new(Direct::Unopened) }
    }

    /// Reads past the page cache, if this is the first read of what is not in it; `None` when it should be read through it.
    pub(super) async fn read(
        &self,
        lane: &Rc<Lane>,
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
    ) -> Option<io::Result<Bytes>> {
        if length > BYTES_MAX || self.was_read(offset) || is_cached(file, offset, length as u64) {
            return None;
        }
        let direct = self.direct(file)?;
        match read_sectors(lane, &direct, offset, length).await {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                // Its sectors are larger, or its file system cannot.
                *self.direct.borrow_mut() = Direct::Impossible;
                None
            }
            result => Some(result),
        }
    }

    /// Whether it was read before, as far as is remembered; from now on it was.
    fn was_read(&self, offset: u64) -> bool {
        READ_ONCE.with_borrow_mut(|marks| marks.was_asked_for(self.number, offset))
    }

    fn direct(&self, file: BorrowedFd<'_>) -> Option<Rc<monoio::fs::File>> {
        let mut direct = self.direct.borrow_mut();
        if let Direct::Unopened = *direct {
            *direct = match once_more(file, OFlags::RDONLY | OFlags::DIRECT) {
                Ok(file) => Direct::Open(Rc::new(file)),
                Err(error) => {
                    tracing::debug!(%error, "no reads past the page cache");
                    Direct::Impossible
                }
            };
        }
        match &*direct {
            Direct::Open(file) => Some(file.clone()),
            Direct::Unopened | Direct::Impossible => None,
        }
    }
}

async fn read_sectors(lane: &Rc<Lane>, file: &monoio::fs::File, offset: u64, length: usize) -> io::Result<Bytes> {
    let skipped = usize::try_from(offset % SECTOR as u64).unwrap_or_default();
    let wanted = (skipped + length).next_multiple_of(SECTOR);
    let mut buffer = BytesMut::with_capacity(wanted + SECTOR);
    let pad = buffer.as_ptr().align_offset(SECTOR).min(SECTOR);
    buffer.resize(pad, 0);
    let mut from = offset - skipped as u64;
    let turn = lane.turns.next().await;
    // Ends: every turn reads at least a sector, or the end of the file was reached.
    while buffer.len() < pad + skipped + length {
        let left = pad + wanted - buffer.len();
        let reading = lane.reading(borrow(file), from);
        let on_disk = early::Reading::begin();
        let (result, limited) = file.read_at(Limited::new(Spare::new(buffer), left), from).await;
        drop(on_disk);
        reading.came();
        buffer = limited.into_buffer();
        match result {
            Ok(0) => break,
            Ok(read) => {
                from += read as u64;
                if !read.is_multiple_of(SECTOR) {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    turn.end().await;
    let bytes = buffer.freeze();
    let from = (pad + skipped).min(bytes.len());
    Ok(bytes.slice(from..(from + length).min(bytes.len())))
}

/// Whether all pages of the range are in the page cache. True when the kernel cannot tell.
pub(super) fn is_cached(file: BorrowedFd<'_>, offset: u64, length: u64) -> bool {
    const CACHESTAT: libc::c_long = 451;
    if !KNOWS_CACHE.get() {
        return true;
    }
    let range = [offset, length];
    // Pages: cached, dirty, under way to the disk, evicted, evicted a moment ago.
    let mut pages = [0_u64; 5];
    // SAFETY: both arrays have the layout of the kernel's `cachestat_range` and `cachestat` and outlive the call, which writes only the second.
    let result = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range.as_ptr(), pages.as_mut_ptr(), 0) };
    if result != 0 {
        KNOWS_CACHE.set(false);
        return true;
    }
    let page = rustix::param::page_size() as u64;
    let touched = (offset + length).div_ceil(page) - offset / page;
    pages.first().is_some_and(|cached| *cached >= touched)
}
