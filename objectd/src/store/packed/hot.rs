//! Core: small things that are read again and again, found by their place. No I/O, no clock, no async.
//!
//! The page cache has them too, but a read of it costs a turn of the ring and a copy, and the head of the record is verified and taken apart
//! each time. Of what is kept here that was done once; the bytes of the body are compared with their checksums each time all the same.
//!
//! # Invariants
//!
//! - A place never changes: a volume is only added to, and its number is never used again. Who asks has the place from the index.
//! - At most `BYTES_MAX` bytes of one store, and nothing of a store that is only written.
//! - What is asked for once takes no space: only a mark that it was. So a walk over all objects drives nothing out.

use super::entry::At;
use base::marks::Marks;
use std::collections::BTreeMap;

/// Of one store: a thousand objects of 4 KiB, which is little beside the page cache and enough for what is asked for all the time.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longer records gain little: their bytes cost more than their way.
pub(super) const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Beside the bytes of a record: its items, and the nodes of the maps.
const BESIDE_BYTES: usize = 1024;
/// Places that are remembered to have been asked for once: a power of two.
const MARKS: usize = 4096;

/// Two generations: what is asked for moves to the young one, and when that is full the old one goes.
pub(super) struct Hot<V> {
    young: BTreeMap<Spot, (V, usize)>,
    old: BTreeMap<Spot, (V, usize)>,
    young_bytes: usize,
    marks: Marks<MARKS>,
}

/// Volume and offset.
type Spot = (u32, u64);

impl<V> Default for Hot<V> {
    fn default() -> Self {
        Hot { young: BTreeMap::new(), old: BTreeMap::new(), young_bytes: 0, marks: Marks::new() }
    }
}

impl<V: Clone> Hot<V> {
    /// What is kept of this place.
    pub(super) fn get(&mut self, at: At) -> Option<V> {
        let spot = (at.volume, at.offset);
        if let Some((value, _)) = self.young.get(&spot) {
            return Some(value.clone());
        }
        let (value, bytes) = self.old.remove(&spot)?;
        self.add(spot, value.clone(), bytes);
        Some(value)
    }

    /// Whether what was just read of this place, so many bytes, is worth keeping: it was read before, as far as is remembered.
    pub(super) fn wants(&mut self, at: At, bytes: usize) -> bool {
        if bytes > RECORD_BYTES_MAX {
            return false;
        }
        self.marks.was_asked_for(at.volume, at.offset)
    }

    /// Keeps it, `bytes` long.
    pub(super) fn keep(&mut self, at: At, value: V, bytes: usize) {
        debug_assert!(bytes <= RECORD_BYTES_MAX, "only what it wants");
        let spot = (at.volume, at.offset);
        self.old.remove(&spot);
        if !self.young.contains_key(&spot) {
            self.add(spot, value, bytes + BESIDE_BYTES);
        }
    }

    fn add(&mut self, spot: Spot, value: V, bytes: usize) {
        if self.young_bytes + bytes > BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(spot, (value, bytes));
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.young.values().chain(self.old.values()).map(|(_, bytes)| bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> At {
        At { volume: 1, offset: number * 4096, length: 4096 }
    }

    #[test]
    fn what_is_asked_for_once_is_not_wanted() {
        let mut hot: Hot<u64> = Hot::default();
        assert!(!hot.wants(at(7), 4096));
        assert!(hot.wants(at(7), 4096));
        assert!(!hot.wants(At { volume: 2, ..at(7) }, 4096), "another volume");
        assert!(!hot.wants(at(8), RECORD_BYTES_MAX + 1));
        assert!(!hot.wants(at(8), RECORD_BYTES_MAX), "a long one leaves no mark");
    }

    #[test]
    fn what_is_asked_for_stays_however_much_comes_and_the_bytes_are_bounded() {
        let mut hot = Hot::default();
        hot.keep(at(0), 0_u64, 4096);
        for number in 1..10_000 {
            hot.keep(at(number), number, 4096);
            hot.keep(at(number), number, 4096);
            assert_eq!(hot.get(at(0)), Some(0));
            assert_eq!(hot.get(at(number)), Some(number));
            assert!(hot.bytes() <= BYTES_MAX);
        }
        assert!(hot.bytes() > BYTES_MAX / 4);
        assert_eq!(hot.get(at(1)), None, "nobody asked for it");
        assert_eq!(hot.get(At { volume: 2, ..at(0) }), None);
    }
}
