//! Core: a bounded map that forgets what nobody looked at, found without an allocation. No I/O, no clock, no async.
//!
//! # Invariants
//!
//! - At most `max` entries; past it goes one that was not looked at since the hand came by last (the clock of page caches).
//! - Looking up allocates nothing: a key is compared where it lies, and that it was looked at is one flag.

use slab::Slab;
use std::borrow::Borrow;
use std::collections::BTreeMap;

/// At most `max` entries.
#[derive(Clone, Debug)]
pub struct Recent<K, V> {
    max: usize,
    places: BTreeMap<K, usize>,
    entries: Slab<Entry<K, V>>,
    hand: usize,
}

#[derive(Clone, Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    was_used: bool,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    /// Empty.
    pub fn new(max: usize) -> Recent<K, V> {
        Recent { max: max.max(1), places: BTreeMap::new(), entries: Slab::new(), hand: 0 }
    }

    /// The entry, which counts as looked at.
    pub fn get<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get_mut(*self.places.get(key)?)?;
        entry.was_used = true;
        Some(&mut entry.value)
    }

    /// The entry, for who only keeps it in order.
    pub fn peek<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(*self.places.get(key)?).map(|entry| &mut entry.value)
    }

    /// Puts an entry, in the place of one that nobody looked at when there is no room.
    pub fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        if self.entries.len() >= self.max {
            self.make_room();
        }
        let place = self.entries.insert(Entry { key: key.clone(), value, was_used: false });
        self.places.insert(key, place);
    }

    /// Forgets an entry.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.places.remove(key)?;
        self.entries.try_remove(place).map(|entry| entry.value)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes the first entry the hand finds unused; at its second round all are.
    fn make_room(&mut self) {
        // Ends: each turn of the first round clears a flag, so the second round finds one.
        for _ in 0..=2 * self.max {
            self.hand = if self.hand + 1 < self.max { self.hand + 1 } else { 0 };
            let Some(entry) = self.entries.get_mut(self.hand) else { continue };
            if !std::mem::take(&mut entry.was_used) {
                let entry = self.entries.remove(self.hand);
                self.places.remove::<K>(&entry.key);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_that_nobody_looked_at_goes() {
        let mut recent = Recent::new(2);
        recent.insert("a", 1);
        recent.insert("b", 2);
        assert_eq!(recent.get("a"), Some(&mut 1));
        recent.insert("c", 3);
        assert_eq!(recent.get("a"), Some(&mut 1));
        assert_eq!(recent.get("b"), None);
        // What is only kept in order is not looked at.
        assert_eq!(recent.peek("c"), Some(&mut 3));
        recent.insert("d", 4);
        assert_eq!(recent.peek("a"), Some(&mut 1));
        assert_eq!(recent.peek("c"), None);
    }

    #[test]
    fn what_is_looked_at_stays_however_much_comes() {
        let mut recent = Recent::new(100);
        for number in 0..1_000 {
            recent.insert(number, number);
            assert_eq!(recent.get(&0), Some(&mut 0));
            assert!(recent.len() <= 100);
        }
        assert_eq!(recent.len(), 100);
    }

    proptest! {
        /// Against a map without bounds: what is there is right, and what was put last is there.
        #[test]
        fn it_is_bounded_and_never_wrong(operations in prop::collection::vec((0_u8..3, 0_u8..6, any::<u8>()), 0..200)) {
            let (mut recent, mut all) = (Recent::new(4), BTreeMap::new());
            for (operation, key, value) in operations {
                match operation {
                    0 => {
                        recent.insert(key, value);
                        all.insert(key, value);
                        prop_assert_eq!(recent.peek(&key).copied(), Some(value));
                    }
                    1 => {
                        let (held, known) = (recent.remove(&key), all.remove(&key));
                        prop_assert!(held.is_none() || held == known);
                    }
                    _ => {
                        let held = recent.get(&key).copied();
                        prop_assert!(held.is_none() || held == all.get(&key).copied());
                    }
                }
                prop_assert!(recent.len() <= 4);
                prop_assert_eq!(recent.entries.len(), recent.places.len());
            }
        }
    }
}
