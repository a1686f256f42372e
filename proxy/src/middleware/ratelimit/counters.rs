//! Running times: when the next request of a kind would be on time. Kept by each core for itself, or by somebody for all.

use base::http::server::LocalFuture;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Where running times are kept. Each call is one of memcached's: `incr` (which makes what is missing), `set`, `decr`.
pub trait RunningTimes {
    /// By how many a rate is shared: those who count for themselves.
    fn shares(&self) -> u32;
    /// Adds to a time and gives it; `None` when nobody knows.
    fn add(&self, key: &str, units: u64) -> LocalFuture<'_, Option<u64>>;
    /// Makes it this.
    fn set(&self, key: &str, units: u64) -> LocalFuture<'_, ()>;
    /// Takes from it.
    fn subtract(&self, key: &str, units: u64) -> LocalFuture<'_, ()>;
}

/// Times one core keeps, each below a hundred bytes beside its name of at most half a KiB.
const TIMES_MAX: usize = 10_000;

/// The times of this core. One per core.
pub(super) struct OwnTimes {
    cores: u32,
    table: RefCell<Table>,
}

#[derive(Default)]
struct Table {
    times: BTreeMap<String, Entry>,
    /// Use number → key, for the one used longest ago.
    by_use: BTreeMap<u64, String>,
    uses: u64,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    units: u64,
    used: u64,
}

impl OwnTimes {
    pub(super) fn new(cores: usize) -> Self {
        Self { cores: u32::try_from(cores).unwrap_or(u32::MAX).max(1), table: RefCell::default() }
    }

    fn change(&self, key: &str, change: impl FnOnce(u64) -> u64) -> u64 {
        let mut table = self.table.borrow_mut();
        table.uses += 1;
        let used = table.uses;
        let old = table.times.remove(key).unwrap_or_default();
        table.by_use.remove(&old.used);
        // The one used longest ago has most likely been forgotten by its clients as well: at worst it may burst once.
        if table.times.len() >= TIMES_MAX
            && let Some((_, oldest)) = table.by_use.pop_first()
        {
            table.times.remove(&oldest);
        }
        let units = change(old.units);
        table.times.insert(key.to_owned(), Entry { units, used });
        table.by_use.insert(used, key.to_owned());
        units
    }
}

impl RunningTimes for OwnTimes {
    fn shares(&self) -> u32 {
        self.cores
    }

    fn add(&self, key: &str, units: u64) -> LocalFuture<'_, Option<u64>> {
        let time = self.change(key, |time| time.saturating_add(units));
        Box::pin(std::future::ready(Some(time)))
    }

    fn set(&self, key: &str, units: u64) -> LocalFuture<'_, ()> {
        self.change(key, |_| units);
        Box::pin(std::future::ready(()))
    }

    fn subtract(&self, key: &str, units: u64) -> LocalFuture<'_, ()> {
        self.change(key, |time| time.saturating_sub(units));
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_bounded_and_the_one_used_longest_ago_goes() {
        let times = OwnTimes::new(4);
        assert_eq!(times.shares(), 4);
        for number in 0..TIMES_MAX {
            times.change(&number.to_string(), |_| 7);
        }
        times.change("0", |time| time + 1);
        times.change("new", |time| time + 1);
        let table = times.table.borrow();
        assert_eq!((table.times.len(), table.by_use.len()), (TIMES_MAX, TIMES_MAX));
        assert_eq!(table.times.get("0").map(|entry| entry.units), Some(8));
        assert!(!table.times.contains_key("1"));
    }
}
