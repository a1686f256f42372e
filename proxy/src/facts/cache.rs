//! Core: the facts one core remembers, bounded, found without an allocation (`recent`).
//!
//! # Invariants
//!
//! - At most [`ENTRIES_MAX`].
//! - An entry is good for the time it was given, counted from when it was put, and never longer.

use super::Info;
use crate::recent::Recent;
use base::io::Instant;
use base::memcache::Witness;
use base::names::Path;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::rc::Rc;
use std::time::Duration;

/// Facts one core remembers: about 1 KiB each.
pub(super) const ENTRIES_MAX: usize = 10_000;

/// What is asked for: an account, or a container in one.
pub(super) trait Named {
    fn parts(&self) -> (&str, Option<&str>);
}

/// A name as it is looked up.
impl Named for (&str, Option<&str>) {
    fn parts(&self) -> (&str, Option<&str>) {
        *self
    }
}

/// A name as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    account: Box<str>,
    container: Option<Box<str>>,
}

impl Name {
    pub(super) fn of(path: &Path) -> Name {
        Name { account: path.account.as_str().into(), container: path.container.as_deref().map(Into::into) }
    }
}

impl Named for Name {
    fn parts(&self) -> (&str, Option<&str>) {
        (&self.account, self.container.as_deref())
    }
}

impl<'a> Borrow<dyn Named + 'a> for Name {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Named + '_ {}

impl PartialOrd for dyn Named + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Named + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

/// The facts.
pub(super) struct Cache {
    entries: Recent<Name, Entry>,
}

impl Default for Cache {
    fn default() -> Self {
        Cache { entries: Recent::new(ENTRIES_MAX) }
    }
}

struct Entry {
    info: Rc<Info>,
    since: Instant,
    /// When the second level was last asked whether it still holds.
    confirmed: Instant,
    witness: Option<Witness>,
}

/// A fact that is good.
pub(super) struct Known {
    pub(super) info: Rc<Info>,
    /// Time since it was last confirmed.
    pub(super) unconfirmed: Duration,
}

impl Cache {
    /// What is known, if it is younger than `life`.
    pub(super) fn get(&mut self, name: &dyn Named, now: Instant, life: Duration) -> Option<Known> {
        let entry = self.entries.get(name)?;
        if now.since(entry.since) >= life {
            self.remove(name);
            return None;
        }
        Some(Known { info: entry.info.clone(), unconfirmed: now.since(entry.confirmed) })
    }

    /// A new fact.
    pub(super) fn put(&mut self, name: Name, info: Rc<Info>, witness: Option<Witness>, now: Instant) {
        self.entries.insert(name, Entry { info, since: now, confirmed: now, witness });
    }

    /// The second level has this now; how long the fact is good does not change.
    pub(super) fn confirm(&mut self, name: &dyn Named, info: Rc<Info>, witness: Witness, now: Instant) {
        if let Some(entry) = self.entries.peek(name) {
            entry.info = info;
            entry.witness = Some(witness);
            entry.confirmed = now;
        }
    }

    /// The second level was asked, or is being asked.
    pub(super) fn touch(&mut self, name: &dyn Named, now: Instant) {
        if let Some(entry) = self.entries.peek(name) {
            entry.confirmed = now;
        }
    }

    /// Which server had the fact.
    pub(super) fn witness(&mut self, name: &dyn Named) -> Option<Witness> {
        self.entries.peek(name)?.witness
    }

    /// Notes which server has the fact.
    pub(super) fn set_witness(&mut self, name: &dyn Named, witness: Witness) {
        if let Some(entry) = self.entries.peek(name) {
            entry.witness = Some(witness);
        }
    }

    /// Forgets.
    pub(super) fn remove(&mut self, name: &dyn Named) {
        self.entries.remove(name);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::http::Headers;

    const LIFE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn name(account: &str, container: Option<&str>) -> Name {
        Name { account: account.into(), container: container.map(Into::into) }
    }

    fn info(status: u16) -> Rc<Info> {
        Rc::new(Info { status, headers: Headers::new() })
    }

    #[test]
    fn a_fact_is_good_for_its_time_whatever_confirms_it() {
        let mut cache = Cache::default();
        cache.put(name("a", Some("c")), info(200), None, at(100));
        let key: &dyn Named = &("a", Some("c"));
        assert_eq!(cache.get(key, at(159), LIFE).unwrap().unconfirmed, Duration::from_secs(59));
        cache.touch(key, at(159));
        assert_eq!(cache.get(key, at(159), LIFE).unwrap().unconfirmed, Duration::ZERO);
        assert!(cache.get(&("a", None), at(100), LIFE).is_none());
        assert!(cache.get(&("a", Some("d")), at(100), LIFE).is_none());
        assert!(cache.get(key, at(160), LIFE).is_none());
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let mut cache = Cache::default();
        for number in 0..3 * ENTRIES_MAX {
            cache.put(name(&number.to_string(), None), info(200), None, at(1));
            assert!(cache.get(&("0", None), at(1), LIFE).is_some(), "{number}");
            assert!(cache.len() <= ENTRIES_MAX);
        }
        assert_eq!(cache.len(), ENTRIES_MAX);
    }
}
