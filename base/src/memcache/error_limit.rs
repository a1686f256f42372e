//! Core: when a server is left out, by Swift's rule.
//!
//! # Invariants
//!
//! - More than `limit` failures within `interval` leave it out for `interval` from the last of them. An interval of zero never does.
//! - Never remembers more than `limit` + 1 failures.

use std::collections::VecDeque;
use std::time::Duration;

/// The failures of one server, on any clock that goes forward.
#[derive(Clone, Debug)]
pub struct ErrorLimit {
    limit: usize,
    interval: Duration,
    failures: VecDeque<Duration>,
    until: Option<Duration>,
}

impl ErrorLimit {
    /// None yet.
    pub fn new(limit: usize, interval: Duration) -> ErrorLimit {
        ErrorLimit { limit, interval, failures: VecDeque::new(), until: None }
    }

    /// One failure at `now`; whether the server is left out from now on because of it.
    pub fn failed(&mut self, now: Duration) -> bool {
        if self.interval.is_zero() {
            return false;
        }
        self.failures.push_back(now);
        while self.failures.len() > self.limit + 1 {
            self.failures.pop_front();
        }
        let recent = self.failures.iter().filter(|&&at| at.saturating_add(self.interval) > now).count();
        if recent <= self.limit {
            return false;
        }
        let is_news = !self.is_limited(now);
        self.until = Some(now.saturating_add(self.interval));
        is_news
    }

    /// Whether the server is left out at `now`.
    pub fn is_limited(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn more_failures_than_the_limit_within_the_interval_leave_it_out_for_one() {
        let mut limit = ErrorLimit::new(2, at(60));
        assert!(!limit.failed(at(100)) && !limit.failed(at(110)));
        assert!(!limit.is_limited(at(110)));
        assert!(limit.failed(at(120)));
        assert!(limit.is_limited(at(179)) && !limit.is_limited(at(180)));
    }

    #[test]
    fn failures_far_apart_are_forgiven() {
        let mut limit = ErrorLimit::new(2, at(60));
        for round in 0..20 {
            assert!(!limit.failed(at(round * 31)), "{round}");
        }
    }

    #[test]
    fn an_interval_of_zero_never_leaves_it_out() {
        let mut limit = ErrorLimit::new(0, Duration::ZERO);
        assert!((0..100).all(|_| !limit.failed(at(1))));
    }
}
