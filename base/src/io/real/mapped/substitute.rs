//! The page that takes the place of one that cannot be read.
//!
//! It runs in a signal handler: no allocation, no lock, only system calls.
//!
//! # What LMDB makes of it
//!
//! It believes what it reads, checks little and asserts the rest (`mdb.c` of 0.9 and of the branch that heed takes). So a page is one that
//! all its reading functions can take:
//!
//! - One of the first two, which say where the trees begin: an environment without trees. Every search ends at once.
//! - Any other: a leaf with one key (a byte of ones) and an empty value. A descent ends there, as at a leaf; a cursor finds one pair and goes on
//!   with the next page, so a walk stays as long as it was. (Of zeros `mdb_cursor_next` would assert that they are a leaf.)
//! - As the continuation of a long value: bytes, which are not believed either.
//! - Of the lock file: zeros, which are a free mutex and no readers.

#![expect(clippy::host_endian_bytes, reason = "LMDB's files are in the order of the machine that made them")]

/// Of which mapping a page is.
#[derive(Clone, Copy)]
pub(in crate::io) enum Pages {
    /// The trees, mapped at `start` in LMDB's pages of `page` bytes.
    Data { start: usize, page: usize },
    /// Mutexes and readers.
    Lock,
}

/// Pages of the system are at least this large, and so are LMDB's.
const LEAST_PAGE: usize = 4096;

/// Puts a page of ours where `address` is. False when the system refuses.
pub(super) fn replace(pages: Pages, address: usize) -> bool {
    // SAFETY: sysconf(3) reads a constant.
    let Ok(size) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) else { return false };
    if size < LEAST_PAGE {
        return false;
    }
    let target = address - address % size;
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping where nothing is.
    let fresh = unsafe { libc::mmap(std::ptr::null_mut(), size, access, flags, -1, 0) };
    if fresh == libc::MAP_FAILED {
        return false;
    }
    if let Pages::Data { start, page } = pages {
        // SAFETY: mapped above, of that size, zeroed, and nobody else knows of it.
        let bytes = unsafe { std::slice::from_raw_parts_mut(fresh.cast::<u8>(), size) };
        fill(bytes, target.wrapping_sub(start), page);
    }
    // In one step: no thread sees a page that is half made.
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: `target` is a page of a mapping that is under watch, so LMDB's for as long as somebody can touch it; it is only read, or holds
    // locks that are void now.
    let moved = unsafe { libc::mremap(fresh, size, size, flags, target as *mut libc::c_void) };
    moved != libc::MAP_FAILED
}

/// Makes LMDB's pages in a page of the system, which is `position` bytes behind the first.
fn fill(bytes: &mut [u8], position: usize, page: usize) {
    if page < LEAST_PAGE {
        return;
    }
    let stride = page.min(bytes.len());
    for (number, target) in bytes.chunks_exact_mut(stride).enumerate() {
        let at = position.wrapping_add(number * stride);
        match at / page {
            _ if !at.is_multiple_of(page) => {}
            0 | 1 => empty_environment(target, page),
            number => leaf(target, number),
        }
    }
}

/// No page; in place of a tree's root there is no tree.
const NO_PAGE: [u8; 8] = [0xff; 8];

/// A page that says where the trees begin.
fn empty_environment(target: &mut [u8], page: usize) {
    const META: u16 = 0x08;
    put(target, 10, &META.to_ne_bytes());
    put(target, 16, &0xbeef_c0de_u32.to_ne_bytes());
    put(target, 20, &1_u32.to_ne_bytes());
    // Two trees of 48 bytes from 40 on: the size of a page in the first, each root at the end.
    put(target, 40, &u32::try_from(page).unwrap_or(4096).to_ne_bytes());
    put(target, 80, &NO_PAGE);
    put(target, 128, &NO_PAGE);
    // The last page in use.
    put(target, 136, &1_u64.to_ne_bytes());
}

/// A leaf with one key and no value, at its end.
fn leaf(target: &mut [u8], number: usize) {
    const LEAF: u16 = 0x02;
    const HEADER: u16 = 16;
    const NODE: u16 = 10;
    let upper = u16::try_from(LEAST_PAGE).unwrap_or(NODE) - NODE;
    put(target, 0, &(number as u64).to_ne_bytes());
    put(target, 10, &LEAF.to_ne_bytes());
    put(target, 12, &(HEADER + 2).to_ne_bytes());
    put(target, 14, &upper.to_ne_bytes());
    put(target, 16, &upper.to_ne_bytes());
    // A node: length of the value u32, flags u16, length of the key u16, key.
    put(target, usize::from(upper) + 6, &1_u16.to_ne_bytes());
    put(target, usize::from(upper) + 8, &[0xff]);
}

fn put(target: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = target.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
