//! Core: rates over the size of a container, and what a running time says about the next request.

use std::time::Duration;

/// Rates at some sizes; between two of them the rate lies on the line from one to the other, behind the last it stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve(Vec<(u64, f64)>);

impl Curve {
    /// Of points in any order.
    pub fn new(mut points: Vec<(u64, f64)>) -> Curve {
        points.sort_by_key(|(size, _)| *size);
        Curve(points)
    }

    /// In order.
    pub fn points(&self) -> &[(u64, f64)] {
        &self.0
    }

    /// Nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rate at a size; `None` in front of the first point, and for what is empty.
    pub fn at(&self, size: u64) -> Option<f64> {
        if size == 0 {
            return None;
        }
        let behind = self.0.partition_point(|(at, _)| *at <= size);
        let (from, rate) = *self.0.get(behind.checked_sub(1)?)?;
        let Some((to, other)) = self.0.get(behind) else { return Some(rate) };
        let slope = (other - rate) / (to - from) as f64;
        Some((size - from) as f64 * slope + rate)
    }
}

/// How fast requests of one kind may follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// A second.
    pub(super) rate: f64,
    /// Units of a second.
    pub(super) accuracy: u64,
    pub(super) buffer: Duration,
    pub(super) sleep_max: Duration,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It waits so long.
    Sleep(Duration),
    /// It is the first for long: the running time becomes this.
    Restart(u64),
    /// It would wait so long, which is too long.
    Refuse(Duration),
}

impl Pace {
    /// Units between two requests.
    pub(super) fn each(&self) -> u64 {
        (self.accuracy as f64 / self.rate).round() as u64
    }

    pub(super) fn units(&self, time: Duration) -> u64 {
        (time.as_secs_f64() * self.accuracy as f64).round() as u64
    }

    /// What the running time, this request counted, says at `now`.
    pub(super) fn judge(&self, now: u64, running: u64) -> Verdict {
        if now.saturating_sub(running) > self.units(self.buffer) {
            return Verdict::Restart(now.saturating_add(self.each()));
        }
        let wait = running.saturating_sub(now).saturating_sub(self.each());
        let sleep = Duration::from_secs_f64(wait as f64 / self.accuracy.max(1) as f64);
        // A hundredth of a second below the bound counts as the bound.
        let left = self.units(self.sleep_max) as f64 - wait as f64;
        if left <= self.accuracy as f64 * 0.01 { Verdict::Refuse(sleep) } else { Verdict::Sleep(sleep) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lies_on_the_line_between_two_points() {
        let curve = Curve::new(vec![(200, 60.0), (100, 100.0), (600, 0.0)]);
        for (size, rate) in [
            (0, None),
            (99, None),
            (100, Some(100.0)),
            (150, Some(80.0)),
            (200, Some(60.0)),
            (400, Some(30.0)),
            (601, Some(0.0)),
        ] {
            assert_eq!(curve.at(size), rate, "{size}");
        }
        assert_eq!(Curve::new(vec![(0, 5.0)]).at(0), None);
        assert_eq!(Curve::default().at(5), None);
    }

    #[test]
    fn requests_are_spaced_and_a_late_one_restarts_the_time() {
        let second = Duration::from_secs(1);
        let pace = Pace { rate: 5.0, accuracy: 1000, buffer: 5 * second, sleep_max: 60 * second };
        assert_eq!(pace.each(), 200);
        let now = 1_000_000;
        assert_eq!(pace.judge(now, 200), Verdict::Restart(now + 200));
        // Within the buffer a burst catches up.
        assert_eq!(pace.judge(now, now - 5000), Verdict::Sleep(Duration::ZERO));
        assert_eq!(pace.judge(now, now + 200), Verdict::Sleep(Duration::ZERO));
        assert_eq!(pace.judge(now, now + 400), Verdict::Sleep(Duration::from_millis(200)));
        assert_eq!(pace.judge(now, now + 60_189), Verdict::Sleep(Duration::from_millis(59_989)));
        assert_eq!(pace.judge(now, now + 60_190), Verdict::Refuse(Duration::from_millis(59_990)));
    }
}
