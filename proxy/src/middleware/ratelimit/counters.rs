//! Running times: when the next request of a kind would be on time. Kept by each core for itself, or by somebody for all.

use crate::facts::memcached::Memcached;
use crate::recent::Recent;
use base::http::server::LocalFuture;
use base::memcache::Value;
use std::cell::RefCell;
use std::time::Duration;

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
    /// One that nobody looked at lately has most likely been forgotten by its clients as well: at worst it may burst once.
    times: RefCell<Recent<String, u64>>,
}

impl OwnTimes {
    pub(super) fn new(cores: usize) -> Self {
        let cores = u32::try_from(cores).unwrap_or(u32::MAX).max(1);
        Self { cores, times: RefCell::new(Recent::new(TIMES_MAX)) }
    }

    fn change(&self, key: &str, change: impl FnOnce(u64) -> u64) -> u64 {
        let mut times = self.times.borrow_mut();
        if let Some(units) = times.get(key) {
            *units = change(*units);
            return *units;
        }
        let units = change(0);
        times.insert(key.to_owned(), units);
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

/// The times that all cores and proxies share, Swift's among them.
pub(super) struct CommonTimes(pub(super) Memcached);

impl RunningTimes for CommonTimes {
    fn shares(&self) -> u32 {
        1
    }

    fn add(&self, key: &str, units: u64) -> LocalFuture<'_, Option<u64>> {
        let key = key.to_owned();
        Box::pin(async move { self.0.count(key, i64::try_from(units).ok()?).await })
    }

    fn set(&self, key: &str, units: u64) -> LocalFuture<'_, ()> {
        let (key, value) = (key.to_owned(), Value::text(units.to_string()));
        Box::pin(async move {
            // For ever, as in Swift: memcached drops what nobody uses.
            let _ = self.0.set(key, value, Duration::ZERO).await;
        })
    }

    fn subtract(&self, key: &str, units: u64) -> LocalFuture<'_, ()> {
        let key = key.to_owned();
        Box::pin(async move {
            if let Ok(units) = i64::try_from(units) {
                let _ = self.0.count(key, -units).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_bounded_and_one_that_is_used_stays() {
        let times = OwnTimes::new(4);
        assert_eq!(times.shares(), 4);
        for number in 0..TIMES_MAX {
            times.change(&number.to_string(), |_| 7);
        }
        times.change("0", |time| time + 1);
        times.change("new", |time| time + 1);
        let mut table = times.times.borrow_mut();
        assert_eq!(table.len(), TIMES_MAX);
        assert_eq!(table.peek("0"), Some(&mut 8));
        assert_eq!(table.peek("1"), None);
    }
}
