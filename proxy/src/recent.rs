//! Core: a bounded map that forgets what was used longest ago. No I/O, no clock, no async.

use std::collections::BTreeMap;

/// At most `max` entries.
#[derive(Clone, Debug)]
pub struct Recent<K, V> {
    max: usize,
    entries: BTreeMap<K, (V, u64)>,
    /// Number of the last use → key.
    by_use: BTreeMap<u64, K>,
    uses: u64,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    /// Empty.
    pub fn new(max: usize) -> Recent<K, V> {
        Recent { max: max.max(1), entries: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0 }
    }

    /// The entry, which counts as used.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        self.uses += 1;
        let (value, used) = self.entries.get_mut(key)?;
        self.by_use.remove(used);
        *used = self.uses;
        self.by_use.insert(self.uses, key.clone());
        Some(value)
    }

    /// Puts an entry, in the place of the one used longest ago when there is no room.
    pub fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        if self.entries.len() >= self.max
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(key, (value, self.uses));
    }

    /// Forgets an entry.
    pub fn remove(&mut self, key: &K) {
        if let Some((_, used)) = self.entries.remove(key) {
            self.by_use.remove(&used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_one_used_longest_ago_goes() {
        let mut recent = Recent::new(2);
        recent.insert("a", 1);
        recent.insert("b", 2);
        assert_eq!(recent.get(&"a"), Some(&1));
        recent.insert("c", 3);
        assert_eq!(recent.get(&"a"), Some(&1));
        assert_eq!(recent.get(&"b"), None);
    }

    proptest! {
        /// Against a list in the order of use.
        #[test]
        fn it_holds_the_last_used(operations in prop::collection::vec((0_u8..3, 0_u8..6, any::<u8>()), 0..200)) {
            let (mut recent, mut list) = (Recent::new(4), Vec::<(u8, u8)>::new());
            for (operation, key, value) in operations {
                let known = list.iter().position(|(known, _)| *known == key).map(|at| list.remove(at));
                match operation {
                    0 => {
                        recent.insert(key, value);
                        list.push((key, value));
                        if list.len() > 4 {
                            list.remove(0);
                        }
                    }
                    1 => recent.remove(&key),
                    _ => {
                        prop_assert_eq!(recent.get(&key).copied(), known.map(|(_, value)| value));
                        list.extend(known);
                    }
                }
                prop_assert_eq!(recent.entries.len(), list.len());
                prop_assert_eq!(recent.by_use.len(), list.len());
            }
        }
    }
}
