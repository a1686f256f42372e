//! Core: the versions of one object, nearly always a single one, which needs no memory of its own. No I/O, no clock, no async.

use super::Held;
use std::ops::{Deref, DerefMut};

/// A short list, read as a slice.
#[derive(Clone, Debug, Default)]
pub enum Versions {
    /// Of what is forgotten, or has records that count no more.
    #[default]
    None,
    /// Of an object that nobody posts to.
    One(Held),
    /// Any number, after there was more than one.
    Several(Vec<Held>),
}

impl Versions {
    /// Adds one behind the others.
    pub fn push(&mut self, held: Held) {
        match self {
            Versions::None => *self = Versions::One(held),
            Versions::One(first) => *self = Versions::Several(vec![*first, held]),
            Versions::Several(list) => list.push(held),
        }
    }

    /// Takes the one at `position` out; it has to be there.
    pub fn remove(&mut self, position: usize) -> Held {
        match std::mem::take(self) {
            Versions::Several(mut list) => {
                let removed = list.remove(position);
                *self = Versions::Several(list);
                removed
            }
            Versions::One(held) if position == 0 => held,
            Versions::One(_) | Versions::None => panic!("there is no version {position}"),
        }
    }

    /// Keeps those for which `keep` is true, each asked once, in order.
    pub fn retain(&mut self, mut keep: impl FnMut(&Held) -> bool) {
        match self {
            Versions::None => {}
            Versions::One(held) => {
                if !keep(held) {
                    *self = Versions::None;
                }
            }
            Versions::Several(list) => list.retain(keep),
        }
    }
}

impl Deref for Versions {
    type Target = [Held];

    fn deref(&self) -> &[Held] {
        match self {
            Versions::None => &[],
            Versions::One(held) => std::slice::from_ref(held),
            Versions::Several(list) => list,
        }
    }
}

impl DerefMut for Versions {
    fn deref_mut(&mut self) -> &mut [Held] {
        match self {
            Versions::None => &mut [],
            Versions::One(held) => std::slice::from_mut(held),
            Versions::Several(list) => list,
        }
    }
}

impl PartialEq for Versions {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Versions {}

impl FromIterator<Held> for Versions {
    fn from_iter<I: IntoIterator<Item = Held>>(all: I) -> Self {
        let mut versions = Versions::None;
        all.into_iter().for_each(|held| versions.push(held));
        versions
    }
}

impl<'a> IntoIterator for &'a Versions {
    type Item = &'a Held;
    type IntoIter = std::slice::Iter<'a, Held>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::diskfile::Version;
    use crate::store::packed::entry::Place;
    use base::timestamp::Timestamp;
    use proptest::prelude::*;

    fn held(number: u8) -> Held {
        Held { version: Version::Data(Timestamp::from_raw(number.into(), 0)), place: Place::Stock }
    }

    proptest! {
        /// Numbers below 100 are pushed, the others take out: one, or all that are even.
        #[test]
        fn it_is_a_list(steps in proptest::collection::vec(0_u8..130, 0..30)) {
            let (mut versions, mut list) = (Versions::default(), Vec::new());
            for step in steps {
                match step {
                    0..100 => {
                        versions.push(held(step));
                        list.push(held(step));
                    }
                    100..120 if !list.is_empty() => {
                        let place = usize::from(step) % list.len();
                        prop_assert_eq!(versions.remove(place), list.remove(place));
                    }
                    _ => {
                        let is_odd = |held: &Held| held.version.timestamp().raw() % 2 == 1;
                        versions.retain(is_odd);
                        list.retain(is_odd);
                    }
                }
                prop_assert_eq!(&*versions, list.as_slice());
                prop_assert_eq!(&versions, &list.iter().copied().collect::<Versions>());
            }
        }
    }
}
