//! Core: how fast the segments of one large object are opened: a manifest of a million small ones is a million requests.

use base::io::Instant;
use std::time::Duration;

/// Swift's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many are free.
    pub after: u64,
    /// Then so many a second; 0: as many as the client takes.
    pub per_second: u64,
    /// Only smaller ones count; `None`: all.
    pub under: Option<u64>,
    /// After so long the answer ends, done or not.
    pub max_get_time: Duration,
}

/// Behind so much idle time nothing is caught up.
const BUFFER: Duration = Duration::from_secs(5);

/// The segments of one answer.
#[derive(Clone, Debug)]
pub(super) struct SegmentRate {
    limits: Limits,
    free: u64,
    /// When the next one may be opened.
    next: Option<Instant>,
    /// When the first byte was asked for.
    began: Option<Instant>,
}

impl SegmentRate {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, free: limits.after, next: None, began: None }
    }

    /// Whether the answer has taken too long. Counts from the first time it is asked.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        now.since(*self.began.get_or_insert(now)) > self.limits.max_get_time
    }

    /// How long to wait before a segment of so many bytes is opened.
    pub(super) fn wait(&mut self, bytes: u64, now: Instant) -> Duration {
        if self.limits.per_second == 0 || self.limits.under.is_some_and(|under| bytes >= under) {
            return Duration::ZERO;
        }
        if self.free > 0 {
            self.free -= 1;
            return Duration::ZERO;
        }
        let each = Duration::from_nanos(1_000_000_000 / self.limits.per_second);
        let next = self.next.filter(|next| now.since(*next) <= BUFFER).unwrap_or(now);
        self.next = Some(next.after(each));
        next.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_free_large_ones_always_and_the_others_spaced() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut rate =
            SegmentRate::new(Limits { after: 2, per_second: 4, under: Some(100), max_get_time: Duration::MAX });
        let waits = |rate: &mut SegmentRate, now: u64| rate.wait(10, at(now)).as_millis();
        assert_eq!((waits(&mut rate, 9_000), waits(&mut rate, 9_000)), (0, 0));
        assert_eq!((waits(&mut rate, 9_000), waits(&mut rate, 9_000), waits(&mut rate, 9_000)), (0, 250, 500));
        assert_eq!(rate.wait(100, at(9_000)), Duration::ZERO);
        // Within the buffer it catches up, behind it starts anew.
        assert_eq!((waits(&mut rate, 10_250), waits(&mut rate, 10_250), waits(&mut rate, 10_250)), (0, 0, 0));
        assert_eq!((waits(&mut rate, 10_250), waits(&mut rate, 30_000), waits(&mut rate, 30_000)), (250, 0, 250));
        let mut free = SegmentRate::new(Limits { after: 0, per_second: 0, under: None, max_get_time: Duration::MAX });
        assert_eq!((waits(&mut free, 0), waits(&mut free, 0)), (0, 0));
    }

    #[test]
    fn an_answer_is_over_when_its_time_is() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let limits = Limits { after: 0, per_second: 0, under: None, max_get_time: Duration::from_secs(2) };
        let mut rate = SegmentRate::new(limits);
        assert!(!rate.is_over(at(9_000)));
        assert!(!rate.is_over(at(11_000)));
        assert!(rate.is_over(at(11_001)));
    }
}
