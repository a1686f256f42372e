//! Core: how fast tasks are begun, and how long one rests after its answer.
//!
//! Two bounds: `tasks_per_second` over all, and the cluster's own speed. Each of the tasks under way rests as long as its answer took
//! before the next takes its place: when the foreground keeps the nodes busy, the expirer gives way with the very latency it meets.
//! While servers fail it rests longer each time.

use base::io::Instant;
use std::time::Duration;

/// Longest rest after an answer that came.
const REST_MAX: Duration = Duration::from_secs(1);
/// Rest after the first failure; twice as long after each that follows.
const FAILED_REST: Duration = Duration::from_millis(100);
/// Longest rest after a failure.
const FAILED_REST_MAX: Duration = Duration::from_secs(10);
/// What was not begun in so long is not made up for (Swift's rate buffer).
const BUFFER: Duration = Duration::from_secs(5);

/// Of one pass.
pub(super) struct Pace {
    /// Between two tasks; zero is no bound.
    every: Duration,
    /// When the next may begin.
    next: Option<Instant>,
    /// Failures in a row.
    failures: u32,
}

impl Pace {
    pub(super) fn new(tasks_per_second: f64) -> Pace {
        let every = if tasks_per_second > 0.0 { 1.0 / tasks_per_second } else { 0.0 };
        let every = Duration::try_from_secs_f64(every).unwrap_or(Duration::MAX);
        Pace { every, next: None, failures: 0 }
    }

    /// Takes the next place: how long until the task may begin.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        if self.every.is_zero() {
            return Duration::ZERO;
        }
        let mut begin = self.next.unwrap_or(now);
        if now.since(begin) > BUFFER {
            begin = now;
        }
        self.next = Some(begin.after(self.every));
        begin.since(now)
    }

    /// How long to rest after an answer that took so long, or failed.
    pub(super) fn rest(&mut self, took: Duration, has_failed: bool) -> Duration {
        if !has_failed {
            self.failures = 0;
            return took.min(REST_MAX);
        }
        let rest = FAILED_REST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        rest.min(FAILED_REST_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_nanos(milliseconds * 1_000_000)
    }

    #[test]
    fn tasks_begin_at_the_rate_and_a_pause_is_made_up_for_only_so_far() {
        let mut pace = Pace::new(50.0);
        let waits = |pace: &mut Pace, now| (0..3).map(|_| pace.wait(at(now)).as_millis()).collect::<Vec<_>>();
        assert_eq!(waits(&mut pace, 1_000), [0, 20, 40]);
        assert_eq!(waits(&mut pace, 1_060), [0, 20, 40]);
        assert_eq!(waits(&mut pace, 2_000), [0, 0, 0], "what a slow task cost is made up for");
        assert_eq!(waits(&mut pace, 60_000), [0, 20, 40], "a minute is not");
        assert_eq!(waits(&mut Pace::new(0.0), 0), [0, 0, 0]);
    }

    #[test]
    fn it_rests_as_long_as_the_answer_took_and_longer_while_servers_fail() {
        let mut pace = Pace::new(0.0);
        let second = Duration::from_secs(1);
        assert_eq!(pace.rest(Duration::from_millis(3), false), Duration::from_millis(3));
        assert_eq!(pace.rest(second * 5, false), second);
        let rests: Vec<u128> = (0..9).map(|_| pace.rest(second, true).as_millis()).collect();
        assert_eq!(rests, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        pace.rest(second, false);
        assert_eq!(pace.rest(second, true), FAILED_REST);
    }
}
