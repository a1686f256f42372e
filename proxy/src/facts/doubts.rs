//! Core: names of which memcached is not believed for a while, because somebody wrote to them through this proxy.
//!
//! A value that was on its way to memcached before the write may arrive after the write's delete: from another core or proxy, or from
//! the buffer of a server that was frozen. It then lives there for its time to live. So for a little longer than that nobody here
//! reads the name from memcached; the backends are asked, once per core.
//!
//! # Invariants
//!
//! - A name stays doubted until its time is over, or everything is doubted until then: a full table forgets no promise.

use super::cache::{Name, Named};
use base::io::Instant;
use std::collections::BTreeMap;

/// Names remembered one by one. Past it, memcached is not read at all until the oldest of them would be over.
const NAMES_MAX: usize = 10_000;

/// One per core.
#[derive(Default)]
pub(super) struct Doubts {
    until: BTreeMap<Name, Instant>,
    all_until: Option<Instant>,
}

impl Doubts {
    /// Doubts a name until then.
    pub(super) fn add(&mut self, name: Name, now: Instant, until: Instant) {
        if self.until.len() >= NAMES_MAX {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= NAMES_MAX {
            // All of them end by the latest.
            let latest = self.until.values().copied().max().unwrap_or(until).max(until);
            self.all_until = Some(self.all_until.map_or(latest, |all| all.max(latest)));
            self.until.clear();
            return;
        }
        let held = self.until.entry(name).or_insert(until);
        *held = until.max(*held);
    }

    /// Whether memcached may not be believed about it.
    pub(super) fn has(&mut self, name: &dyn Named, now: Instant) -> bool {
        if self.all_until.is_some_and(|until| until > now) {
            return true;
        }
        match self.until.get(name) {
            Some(until) if *until > now => true,
            Some(_) => {
                self.until.remove(name);
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::names::Path;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn name(account: &str) -> Name {
        Name::of(&Path { account: account.into(), container: None, object: None })
    }

    #[test]
    fn a_doubt_lasts_its_time_and_a_later_one_longer() {
        let mut doubts = Doubts::default();
        doubts.add(name("a"), at(1), at(10));
        doubts.add(name("a"), at(2), at(5));
        assert!(doubts.has(&("a", None), at(9)) && !doubts.has(&("b", None), at(9)));
        assert!(!doubts.has(&("a", None), at(10)));
    }

    #[test]
    fn a_full_table_doubts_everything_rather_than_forget_one() {
        let mut doubts = Doubts::default();
        for number in 0..=NAMES_MAX {
            doubts.add(name(&number.to_string()), at(1), at(10));
        }
        assert!(doubts.has(&("0", None), at(9)) && doubts.has(&("other", None), at(9)));
        assert!(!doubts.has(&("0", None), at(10)));
    }
}
