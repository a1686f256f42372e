//! Files mapped into memory whose pages a dying disk can no longer give.
//!
//! Touching such a page raises SIGBUS, which ends a process: one device would take down all others. The handler here puts a page of
//! our own in its place, so that the reader goes on, and marks the mapping as lost. Nothing that was read from a lost mapping may be
//! believed: whoever reads asks `is_lost` afterwards (docs/decisions/0004-lost-pages.md).
//!
//! # Invariants
//!
//! - The mark is set before a page of ours can be seen, and never taken back.
//! - A thread that says it is writing never sees a page of ours that it asked for itself: it is stopped for good where it stands, so that
//!   no invented byte gets into what it writes. It must hold no lock of the process while it touches the mapping.
//! - A fault anywhere else ends the process, as without us.
//!
//! What a page of ours holds keeps LMDB from stumbling over it: see `substitute`. Pages vanish one by one, and before they are first
//! touched by an operation; a page that goes between two looks of one operation (nanoseconds) may still end the process.

#![expect(unsafe_code, reason = "a signal handler and mappings have no safe form")]

mod substitute;

use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering};

pub(in crate::io) use substitute::Pages;

/// Mappings of a process that can be watched: two environments for each of more disks than a machine has. Those beyond are not watched.
const WATCHED_MAX: usize = 1024;

static SLOTS: [Slot; WATCHED_MAX] = [const { Slot::new() }; WATCHED_MAX];

/// What the handler knows of one environment. Atomics, because a handler may take no lock.
struct Slot {
    is_taken: AtomicBool,
    data: Part,
    lock: Part,
    is_lost: AtomicBool,
    /// The thread that writes now; zero when none does.
    writer: AtomicI32,
}

/// One mapping; empty when its end is zero.
struct Part {
    start: AtomicUsize,
    end: AtomicUsize,
    /// Bytes of a page of LMDB.
    page: AtomicUsize,
}

impl Part {
    const fn new() -> Part {
        Part { start: AtomicUsize::new(0), end: AtomicUsize::new(0), page: AtomicUsize::new(0) }
    }

    fn set(&self, range: Range<usize>, page: usize) {
        self.end.store(0, Ordering::SeqCst);
        self.start.store(range.start, Ordering::SeqCst);
        self.page.store(page, Ordering::SeqCst);
        self.end.store(range.end, Ordering::SeqCst);
    }

    fn has(&self, address: usize) -> bool {
        address < self.end.load(Ordering::SeqCst) && address >= self.start.load(Ordering::SeqCst)
    }
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            is_taken: AtomicBool::new(false),
            data: Part::new(),
            lock: Part::new(),
            is_lost: AtomicBool::new(false),
            writer: AtomicI32::new(0),
        }
    }
}

/// An environment's mappings under watch, until dropped. Drop it after they are unmapped.
pub(in crate::io) struct Watch(&'static Slot);

impl Watch {
    /// Starts to watch nothing yet; `None` when too many are watched.
    pub(in crate::io) fn new() -> io::Result<Option<Watch>> {
        catch_bus_errors()?;
        let slot = SLOTS.iter().find(|slot| !slot.is_taken.swap(true, Ordering::SeqCst));
        Ok(slot.map(|slot| {
            slot.is_lost.store(false, Ordering::SeqCst);
            Watch(slot)
        }))
    }

    /// Where the data are mapped, in pages of `page` bytes.
    pub(in crate::io) fn cover_data(&self, range: Range<usize>, page: usize) {
        self.0.data.set(range, page);
    }

    /// Where the lock file is mapped.
    pub(in crate::io) fn cover_lock(&self, range: Range<usize>) {
        self.0.lock.set(range, 0);
    }

    /// Whether a page could not be read since the watch began. What was read before this said no is what the disk gave.
    pub(in crate::io) fn is_lost(&self) -> bool {
        self.0.is_lost.load(Ordering::SeqCst)
    }

    /// This thread writes to the environment while the guard lives.
    pub(in crate::io) fn writing(&self) -> Writing<'_> {
        self.0.writer.store(thread_id(), Ordering::SeqCst);
        Writing(self)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.data.set(0..0, 0);
        self.0.lock.set(0..0, 0);
        self.0.is_taken.store(false, Ordering::SeqCst);
    }
}

/// See `Watch::writing`.
pub(in crate::io) struct Writing<'a>(&'a Watch);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.0.writer.store(0, Ordering::SeqCst);
    }
}

/// Where this process has the file at `path` (as the kernel names it) mapped.
pub(in crate::io) fn mapped_at(path: &std::path::Path) -> io::Result<Option<Range<usize>>> {
    let Some(path) = path.to_str() else { return Ok(None) };
    let mut found: Option<Range<usize>> = None;
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        // Addresses, permissions, offset, device, inode, and behind spaces the path.
        let mut words = line.splitn(6, ' ');
        let range = words.next().and_then(parse_range);
        if let (Some(range), Some(name)) = (range, words.nth(4))
            && name.trim_start() == path
        {
            // A mapping may be listed in pieces.
            found = Some(found.map_or(range.clone(), |known| known.start.min(range.start)..known.end.max(range.end)));
        }
    }
    Ok(found)
}

fn parse_range(text: &str) -> Option<Range<usize>> {
    let (start, end) = text.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

fn thread_id() -> i32 {
    // SAFETY: gettid(2) has no conditions.
    unsafe { libc::gettid() }
}

/// What the handler does with other faults: what was set before it. Never freed.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());

/// Sets the handler, once per process.
fn catch_bus_errors() -> io::Result<()> {
    static CAUGHT: OnceLock<Result<(), i32>> = OnceLock::new();
    let result = CAUGHT.get_or_init(|| set_handler().map_err(|error| error.raw_os_error().unwrap_or(0)));
    result.map_err(io::Error::from_raw_os_error)
}

fn set_handler() -> io::Result<()> {
    // SAFETY: all fields of the structure may be zero: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_bus_error;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: asks only; `before` lives.
    if unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The handler may run as soon as it is set.
    BEFORE.store(Box::into_raw(Box::new(before)), Ordering::SeqCst);
    // SAFETY: the handler takes three arguments, as SA_SIGINFO says, and does what a handler may: atomics and system calls.
    if unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a structure that lives as long as the call.
    let info = unsafe { &*info };
    // SAFETY: SIGBUS has an address; one that was sent by kill(2) has other bytes there, which are no address of ours.
    let address = unsafe { info.si_addr() } as usize;
    let is_fault = info.si_code > 0;
    for slot in SLOTS.iter().filter(|_| is_fault) {
        let pages = if slot.data.has(address) {
            let (start, page) = (slot.data.start.load(Ordering::SeqCst), slot.data.page.load(Ordering::SeqCst));
            Pages::Data { start, page }
        } else if slot.lock.has(address) {
            Pages::Lock
        } else {
            continue;
        };
        slot.is_lost.store(true, Ordering::SeqCst);
        if slot.writer.load(Ordering::SeqCst) == thread_id() {
            stop_for_good();
        }
        if substitute::replace(pages, address) {
            return;
        }
    }
    // What was set before ends the process, when the instruction is tried again.
    // SAFETY: set before this handler was, and never freed.
    unsafe { libc::sigaction(signal, BEFORE.load(Ordering::SeqCst), std::ptr::null_mut()) };
}

/// The thread is never heard of again; its process goes on.
fn stop_for_good() -> ! {
    loop {
        // SAFETY: pause(2) may be called in a signal handler.
        unsafe { libc::pause() };
    }
}
