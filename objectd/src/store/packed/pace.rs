//! Core: how fast background work may go beside the foreground. No I/O, no clock, no async.
//!
//! What a disk can do is not known and changes; what matters is whether those who wait for it notice. So the latency of foreground reads
//! and appends is smoothed, each beside its own quiet baseline, and work in the background rests the longer the more the one rises over
//! the other: after each piece of work the rest grows twofold while the foreground suffers, and shrinks slowly while it does not.
//!
//! The mean does not show what the slowest hundredth wait for. So work whose end nobody waits for (`Pace::gentle`) rests three times as long
//! as it works also when nothing is noticed: what it makes wait is then a fourth of what it could.
//!
//! # Invariants
//!
//! - With nobody there, or when space is needed at once, there is no rest.
//! - A rest is never longer than `REST_MAX`, nor than `FACTOR_MAX` times the work before it: the work comes to its end beside any foreground.

use std::time::Duration;

/// A foreground that was not heard of for so long is not there.
const PRESENT_NANOS: u64 = 250_000_000;
/// The foreground suffers above this multiple of its baseline, in sixteenths: a half more is beyond what varies by itself.
const SUFFERS_SIXTEENTHS: u64 = 24;
/// Rest as a multiple of the work before it, in sixteenths: at least, of gentle work at least, at most.
const FACTOR_MIN: u64 = 4;
const FACTOR_GENTLE: u64 = 3 * 16;
const FACTOR_MAX: u64 = 16 * 16;
/// Longest rest.
const REST_MAX: Duration = Duration::from_secs(2);
/// The smoothed latency follows an eighth of each difference: some ten operations, a few milliseconds of a busy device.
const RECENT_SHIFT: u32 = 3;
/// The baseline follows upwards this slowly: a thousand operations. Downwards it follows with an eighth.
const RISE_SHIFT: u32 = 10;

/// Latency of one kind of operation, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Latency {
    recent: u64,
    quiet: u64,
    last_seen: u64,
}

impl Latency {
    fn observe(&mut self, nanos: u64, now: u64) {
        if self.quiet == 0 {
            self.recent = nanos;
            self.quiet = nanos.max(1);
        }
        self.recent = toward(self.recent, nanos, RECENT_SHIFT);
        let shift = if self.recent < self.quiet { RECENT_SHIFT } else { RISE_SHIFT };
        self.quiet = toward(self.quiet, self.recent, shift).max(1);
        self.last_seen = now;
    }

    fn is_present(&self, now: u64) -> bool {
        self.quiet > 0 && now.saturating_sub(self.last_seen) < PRESENT_NANOS
    }

    fn suffers(&self) -> bool {
        self.recent.saturating_mul(16) > self.quiet.saturating_mul(SUFFERS_SIXTEENTHS)
    }
}

/// A step of the difference, and no less than one.
fn toward(from: u64, to: u64, shift: u32) -> u64 {
    match from <= to {
        true => from + ((to - from) >> shift).max(u64::from(from < to)),
        false => from - ((from - to) >> shift).max(1),
    }
}

/// What the foreground of a device feels. Plain words: it costs an operation two looks at the clock and some additions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Foreground {
    reads: Latency,
    appends: Latency,
}

impl Foreground {
    /// A read took so long.
    pub fn read(&mut self, nanos: u64, now: u64) {
        self.reads.observe(nanos, now);
    }

    /// An append took so long.
    pub fn append(&mut self, nanos: u64, now: u64) {
        self.appends.observe(nanos, now);
    }

    /// Somebody reads or writes.
    pub fn is_present(&self, now: u64) -> bool {
        self.reads.is_present(now) || self.appends.is_present(now)
    }

    /// Those who are there wait longer than they used to.
    pub fn suffers(&self, now: u64) -> bool {
        [self.reads, self.appends].iter().any(|latency| latency.is_present(now) && latency.suffers())
    }
}

/// The pace of one background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// In sixteenths of the work.
    factor: u64,
    /// The least of it.
    least: u64,
}

impl Default for Pace {
    fn default() -> Self {
        // As long as nothing is known, as much rest as work.
        Pace { factor: 16, least: FACTOR_MIN }
    }
}

impl Pace {
    /// Of work whose end nobody waits for.
    pub fn gentle() -> Self {
        Pace { factor: FACTOR_GENTLE, least: FACTOR_GENTLE }
    }

    /// How long to rest after a piece of work that took so long.
    pub fn rest(&mut self, foreground: &Foreground, now: u64, work: Duration, is_urgent: bool) -> Duration {
        if is_urgent || !foreground.is_present(now) {
            return Duration::ZERO;
        }
        self.factor = match foreground.suffers(now) {
            true => self.factor.saturating_mul(2).min(FACTOR_MAX),
            false => (self.factor - self.factor.div_ceil(8)).max(self.least),
        };
        let factor = u32::try_from(self.factor).unwrap_or(u32::MAX);
        (work.saturating_mul(factor) / 16).min(REST_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLISECOND: u64 = 1_000_000;
    const WORK: Duration = Duration::from_millis(4);

    fn steady(foreground: &mut Foreground, latency: u64, times: u64, now: &mut u64) {
        for _ in 0..times {
            *now += MILLISECOND;
            foreground.append(latency, *now);
        }
    }

    #[test]
    fn gentle_work_rests_beside_anybody_and_not_when_it_is_urgent() {
        let (mut foreground, mut pace, mut now) = (Foreground::default(), Pace::gentle(), 0);
        assert_eq!(pace.rest(&foreground, now, WORK, false), Duration::ZERO);
        for _ in 0..20 {
            steady(&mut foreground, MILLISECOND, 20, &mut now);
            assert_eq!(pace.rest(&foreground, now, WORK, false), WORK * 3);
            assert_eq!(pace.rest(&foreground, now, WORK, true), Duration::ZERO);
        }
        steady(&mut foreground, 3 * MILLISECOND, 20, &mut now);
        assert_eq!(pace.rest(&foreground, now, WORK, false), WORK * 6);
    }

    #[test]
    fn it_backs_off_when_the_foreground_waits_and_comes_back_when_it_does_not() {
        let (mut foreground, mut pace, mut now) = (Foreground::default(), Pace::default(), 0);
        assert_eq!(pace.rest(&foreground, now, WORK, false), Duration::ZERO);
        steady(&mut foreground, MILLISECOND, 100, &mut now);
        let calm = pace.rest(&foreground, now, WORK, false);
        assert!(calm <= WORK);
        let mut rest = calm;
        for _ in 0..8 {
            steady(&mut foreground, 3 * MILLISECOND, 20, &mut now);
            let next = pace.rest(&foreground, now, WORK, false);
            assert!(next >= rest);
            rest = next;
        }
        assert!(rest >= WORK * 10, "{rest:?}");
        assert_eq!(pace.rest(&foreground, now, WORK, true), Duration::ZERO);
        for _ in 0..40 {
            steady(&mut foreground, MILLISECOND, 20, &mut now);
            rest = pace.rest(&foreground, now, WORK, false);
        }
        assert_eq!(rest, WORK / 4);
        now += 2 * PRESENT_NANOS;
        assert_eq!(pace.rest(&foreground, now, WORK, false), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn rests_are_bounded_and_the_baseline_stays_between_what_was_seen(
            seen in proptest::collection::vec((1_u64..10_000 * MILLISECOND, any::<bool>(), 0_u64..1000), 1..200),
        ) {
            let (mut foreground, mut pace, mut now) = (Foreground::default(), Pace::default(), 0);
            for (nanos, is_read, later) in seen.iter().copied() {
                now += later * MILLISECOND / 4;
                if is_read { foreground.read(nanos, now) } else { foreground.append(nanos, now) }
                let rest = pace.rest(&foreground, now, WORK, false);
                prop_assert!(rest <= REST_MAX && rest <= WORK * 16 && rest >= WORK / 4);
            }
            for latency in [foreground.reads, foreground.appends] {
                let least = seen.iter().map(|(nanos, ..)| *nanos).min().unwrap();
                let most = seen.iter().map(|(nanos, ..)| *nanos).max().unwrap();
                prop_assert!(latency.quiet == 0 || (least..=most).contains(&latency.quiet));
                prop_assert!(latency.quiet == 0 || (least..=most).contains(&latency.recent));
            }
        }
    }
}
