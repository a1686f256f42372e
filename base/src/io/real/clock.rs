//! Time and chance of the real backend.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::cell::Cell;
use std::time::Duration;

pub(in crate::io) fn monotonic_nanos() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// Exact to a few milliseconds, for a quarter of the price.
pub(super) fn coarse_nanos() -> u64 {
    nanos(clock_gettime(ClockId::MonotonicCoarse))
}

pub(in crate::io) fn unix_time() -> Duration {
    Duration::from_nanos(nanos(clock_gettime(ClockId::Realtime)))
}

fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// SplitMix64 over a seed from the kernel, one per thread: chance for jitter, sampling and names, not for secrets.
pub(in crate::io) fn random_u64() -> u64 {
    thread_local! {
        static STATE: Cell<Option<u64>> = const { Cell::new(None) };
    }
    let state = STATE.get().unwrap_or_else(seed).wrapping_add(0x9E37_79B9_7F4A_7C15);
    STATE.set(Some(state));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn seed() -> u64 {
    let mut bytes = [0_u8; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_le_bytes(bytes),
        // Only before the kernel's pool is ready or under a filter: the clock and the thread's address differ enough.
        _ => monotonic_nanos() ^ (&raw const bytes).addr() as u64,
    }
}
