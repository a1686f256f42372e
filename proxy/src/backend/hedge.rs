//! Core: when a read is asked of a second node because the first one keeps it waiting: after a time that is measured, or one that
//! the operator chose (`concurrent_gets`, `concurrency_timeout`). The measured kind follows Dean and Barroso, "The Tail at Scale"
//! (2013): asked again past a high percentile of what reads take, so that the second questions are few.
//!
//! # Invariants
//!
//! - Measured, the second questions are at most one in [`READS_PER_HEDGE`] reads, beside [`SAVED_MAX`] that may be saved up: where
//!   everything is slow they add next to nothing.
//! - Nothing is asked twice before [`FIRST_LOOK`] reads were measured.
//! - A node that was overtaken is the last primary to be tried for a while, a longer one each time; it comes back when it answers in
//!   time, or when the while is over.

use super::nodes::Node;
use std::collections::BTreeMap;
use std::time::Duration;

/// When a second node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedging {
    /// Past what nearly all reads of objects take, in turns that the load allows; accounts and containers have their caches.
    Measured,
    /// Never: `concurrent_gets = off`.
    Off,
    /// After this time, and again after it, until as many as there are replicas are asked: `concurrent_gets = on`.
    After(Duration),
}

/// Answers that are measured before the first second question, and between two looks at the percentile.
const FIRST_LOOK: u32 = 256;
/// Past it older answers count half.
const WINDOW: u32 = 4096;
/// Of 1,000 reads, those that answer sooner than the second question comes.
const PER_MILLE: u32 = 990;
/// No second question sooner: asking costs as much as such a wait.
const SOONEST: Duration = Duration::from_millis(2);
/// Reads that pay for one second question.
const READS_PER_HEDGE: u32 = 50;
/// Second questions that may be saved up: enough for all that wait when a device falls silent.
const SAVED_MAX: u32 = 64;
/// The first while for which an overtaken node is tried last; it doubles up to `LAST_LONGEST`.
const LAST_FIRST: Duration = Duration::from_secs(1);
const LAST_LONGEST: Duration = Duration::from_secs(32);
/// Four buckets an octave of microseconds, up to 2^30.
const BUCKETS: usize = 4 * 30;

/// What one core has seen of the reads from one ring's nodes.
#[derive(Debug)]
pub struct Hedge {
    /// How many answers took how long.
    counts: [u32; BUCKETS],
    total: u32,
    until_look: u32,
    delay: Option<Duration>,
    /// Reads that no second question was asked for.
    saved: u32,
    /// By the device's id; bounded by the ring.
    overtaken: BTreeMap<u32, Overtaken>,
}

#[derive(Debug)]
struct Overtaken {
    last_until: Duration,
    next_while: Duration,
}

impl Default for Hedge {
    fn default() -> Self {
        let counts = [0; BUCKETS];
        Hedge { counts, total: 0, until_look: FIRST_LOOK, delay: None, saved: 0, overtaken: BTreeMap::new() }
    }
}

impl Hedge {
    /// A node answered; what it took is counted.
    pub fn answered(&mut self, node: &Node, took: Duration) {
        if let Some(count) = self.counts.get_mut(bucket(took)) {
            *count += 1;
            self.total += 1;
        }
        self.saved = (self.saved + 1).min(SAVED_MAX * READS_PER_HEDGE);
        self.until_look -= 1;
        if self.until_look == 0 {
            self.look();
        }
        if !self.overtaken.is_empty() && self.delay.is_none_or(|delay| took <= delay) {
            self.overtaken.remove(&node.id);
        }
    }

    fn look(&mut self) {
        self.until_look = FIRST_LOOK;
        let wanted = u64::from(self.total) * u64::from(PER_MILLE) / 1000;
        let mut seen = 0;
        let sooner = self.counts.iter().take_while(|count| {
            seen += u64::from(**count);
            seen < wanted
        });
        self.delay = Some(upper_edge(sooner.count()).max(SOONEST));
        if self.total >= WINDOW {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
    }

    /// How long a node may take before another one is asked; `None` while too little is known.
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// Takes one second question from what was saved; false when there is none.
    pub fn may_ask(&mut self) -> bool {
        let enough = self.saved >= READS_PER_HEDGE;
        if enough {
            self.saved -= READS_PER_HEDGE;
        }
        enough
    }

    /// Another node was asked later and answered sooner.
    pub fn overtook(&mut self, node: &Node, now: Duration) {
        let known =
            self.overtaken.entry(node.id).or_insert(Overtaken { last_until: Duration::ZERO, next_while: LAST_FIRST });
        // Those that waited at the same time are one time.
        if known.last_until <= now {
            known.last_until = now + known.next_while;
            known.next_while = (known.next_while * 2).min(LAST_LONGEST);
        }
    }

    /// Puts overtaken nodes behind the others.
    pub fn sort(&self, nodes: &mut [Node], now: impl FnOnce() -> Duration) {
        if !self.overtaken.is_empty() {
            let now = now();
            nodes.sort_by_key(|node| self.overtaken.get(&node.id).is_some_and(|known| known.last_until > now));
        }
    }
}

/// Bounds are 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20 … microseconds: four an octave, whole numbers below eight.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let octave = micros.ilog2();
    let quarter = if octave >= 2 { (micros >> (octave - 2)) & 3 } else { (micros << (2 - octave)) & 3 };
    (octave as usize * 4 + usize::try_from(quarter).unwrap_or(0)).min(BUCKETS - 1)
}

/// The first time that is in a later bucket.
fn upper_edge(bucket: usize) -> Duration {
    let (octave, quarter) = ((bucket + 1) / 4, (bucket + 1) % 4);
    Duration::from_micros(((4 + quarter as u64) << octave).div_ceil(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32) -> Node {
        let address = "10.0.0.1:6200".parse().unwrap();
        Node { id, region: 1, zone: 1, address, device: "d".into(), primary: true, name: "n".into() }
    }

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_bucket_ends_where_the_next_begins() {
        for took in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 100, 1000, 4095, 4096, 1 << 20, (1 << 29) + 7] {
            let edge = upper_edge(bucket(micros(took)));
            assert!(micros(took) < edge && edge <= micros(took * 5 / 4 + 1), "{took}: {edge:?}");
            assert!(bucket(edge) > bucket(micros(took)), "{took}");
        }
        assert_eq!((bucket(Duration::ZERO), bucket(Duration::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn nothing_is_asked_twice_before_enough_is_known_and_then_past_the_percentile() {
        let mut hedge = Hedge::default();
        for _ in 0..FIRST_LOOK - 1 {
            hedge.answered(&node(1), micros(8_000));
        }
        assert_eq!(hedge.delay(), None);
        hedge.answered(&node(1), micros(8_000));
        let delay = hedge.delay().unwrap();
        assert!(delay > micros(8_000) && delay <= micros(10_241), "{delay:?}");
    }

    #[test]
    fn one_slow_read_in_a_hundred_is_past_it_and_two_are_not() {
        for (slow, later) in [(2, false), (30, true)] {
            let mut hedge = Hedge::default();
            for read in 0..1024 {
                hedge.answered(&node(1), if read % 1024 < slow { seconds(1) } else { micros(3_000) });
            }
            assert_eq!(hedge.delay().unwrap() > seconds(1), later, "{slow}");
        }
    }

    #[test]
    fn quick_answers_do_not_make_it_nervous_and_old_ones_are_forgotten() {
        let mut hedge = Hedge::default();
        for _ in 0..WINDOW {
            hedge.answered(&node(1), seconds(2));
        }
        assert!(hedge.delay().unwrap() > seconds(2));
        for _ in 0..20 * WINDOW {
            hedge.answered(&node(1), micros(100));
        }
        assert_eq!(hedge.delay(), Some(SOONEST));
    }

    #[test]
    fn second_questions_are_a_small_part_of_all_whatever_happens() {
        let mut hedge = Hedge::default();
        assert!(!hedge.may_ask());
        let mut asked = 0;
        for _ in 0..100_000 {
            hedge.answered(&node(1), seconds(3));
            asked += u32::from(hedge.may_ask());
        }
        assert_eq!(asked, 100_000 / READS_PER_HEDGE);
        for _ in 0..100_000 {
            hedge.answered(&node(1), seconds(3));
        }
        assert_eq!((0..1_000).filter(|_| hedge.may_ask()).count(), SAVED_MAX as usize);
    }

    #[test]
    fn an_overtaken_node_is_tried_last_for_longer_each_time_and_comes_back() {
        let order = |hedge: &Hedge, now: Duration| {
            let mut nodes = vec![node(1), node(2), node(3)];
            hedge.sort(&mut nodes, || now);
            nodes.iter().map(|node| node.id).collect::<Vec<_>>()
        };
        let mut hedge = Hedge::default();
        hedge.overtook(&node(1), seconds(10));
        hedge.overtook(&node(1), seconds(10));
        assert_eq!(order(&hedge, seconds(10)), [2, 3, 1]);
        assert_eq!(order(&hedge, seconds(11)), [1, 2, 3]);
        hedge.overtook(&node(1), seconds(11));
        assert_eq!((order(&hedge, seconds(12)), order(&hedge, seconds(13))), (vec![2, 3, 1], vec![1, 2, 3]));
        hedge.overtook(&node(1), seconds(20));
        hedge.answered(&node(1), micros(50));
        assert_eq!(order(&hedge, seconds(20)), [1, 2, 3]);
        for round in 0..10 {
            hedge.overtook(&node(2), seconds(1_000 * round));
        }
        assert_eq!(order(&hedge, seconds(9_000) + LAST_LONGEST), [1, 2, 3]);
    }
}
