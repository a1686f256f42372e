//! Core: which nodes are left out because they failed too often lately.
//!
//! # Invariants
//!
//! - A node is left out once it failed more than `limit` times, or at once when it said 507, and comes back when its last
//!   failure is `interval` old.
//! - Counts are kept per device: a full disk says nothing about its neighbours.

use std::collections::BTreeMap;
use std::time::Duration;

/// Failures by node.
#[derive(Debug)]
pub struct ErrorLimits {
    limit: u32,
    interval: Duration,
    failures: BTreeMap<String, Failures>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Duration,
}

impl ErrorLimits {
    /// Nodes are left out after more than `limit` failures, for `interval`.
    pub fn new(limit: u32, interval: Duration) -> Self {
        Self { limit, interval, failures: BTreeMap::new() }
    }

    /// Whether `node` is left out at `now` (any clock that goes forward).
    pub fn is_limited(&mut self, node: &str, now: Duration) -> bool {
        let Some(failures) = self.failures.get(node) else { return false };
        if now.saturating_sub(failures.last) >= self.interval {
            self.failures.remove(node);
            return false;
        }
        failures.count > self.limit
    }

    /// One more failure.
    pub fn failed(&mut self, node: &str, now: Duration) {
        let failures = self.entry(node, now);
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    /// Leaves the node out from now on (it said 507).
    pub fn suppress(&mut self, node: &str, now: Duration) {
        let count = self.limit.saturating_add(1);
        let failures = self.entry(node, now);
        failures.count = count;
        failures.last = now;
    }

    fn entry(&mut self, node: &str, now: Duration) -> &mut Failures {
        self.failures.entry(node.to_owned()).or_insert(Failures { count: 0, last: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_node_is_left_out_after_more_failures_than_the_limit() {
        let mut limits = ErrorLimits::new(2, at(60));
        for _ in 0..2 {
            limits.failed("n", at(1));
            assert!(!limits.is_limited("n", at(1)));
        }
        limits.failed("n", at(2));
        assert!(limits.is_limited("n", at(2)));
        assert!(!limits.is_limited("other", at(2)));
    }

    #[test]
    fn it_comes_back_when_the_last_failure_is_old() {
        let mut limits = ErrorLimits::new(0, at(60));
        limits.failed("n", at(1));
        assert!(limits.is_limited("n", at(60)));
        assert!(!limits.is_limited("n", at(61)));
        limits.failed("n", at(62));
        assert!(limits.is_limited("n", at(62)));
    }

    #[test]
    fn a_full_disk_is_left_out_at_once() {
        let mut limits = ErrorLimits::new(10, at(60));
        limits.suppress("n", at(5));
        assert!(limits.is_limited("n", at(6)));
        assert!(!limits.is_limited("n", at(65)));
    }
}
