//! Core: which volume is compacted next. No I/O, no clock, no async.
//!
//! Volumes are preallocated, so all of a volume's file is taken from the disk whatever is in it. What its living records would take when
//! they are written anew is all that has to stay.

use super::record::{BODY_BYTES_MAX, RECORD_ALIGNMENT};

/// The end of a volume may stay unused, because the next record does not fit: so much a volume that was just compacted may lack again.
const TAIL_BYTES: u64 = BODY_BYTES_MAX / 2;

/// A volume that is no longer written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub volume: u32,
    /// Bytes of its file.
    pub bytes: u64,
    /// Bytes of the records in it that count.
    pub live_bytes: u64,
    /// Records in it that count.
    pub live_records: u64,
}

impl Candidate {
    /// Bytes that compaction gives back, at least: every record may need its alignment anew. Otherwise what was compacted could be chosen
    /// again for ever.
    pub fn garbage(&self) -> u64 {
        if self.live_records == 0 {
            return self.bytes;
        }
        let padding = self.live_records.saturating_mul(RECORD_ALIGNMENT - 1).saturating_add(TAIL_BYTES);
        self.bytes.saturating_sub(self.live_bytes).saturating_sub(padding)
    }
}

/// The volume that gives most for what has to be moved: one without living records first, then the greatest share of garbage, if it is
/// half or more; on a disk that is nearly full a tenth.
pub fn choose(candidates: &[Candidate], is_nearly_full: bool) -> Option<u32> {
    let least_parts = if is_nearly_full { 10 } else { 2 };
    let is_worth_it =
        |candidate: &&Candidate| candidate.garbage() > 0 && candidate.garbage() >= candidate.bytes / least_parts;
    // Among equals the oldest. Shares are compared without division: a/b > c/d when a*d > c*b.
    let better = |one: &&Candidate, other: &&Candidate| {
        let share = |a: &Candidate, b: &Candidate| u128::from(a.garbage()) * u128::from(b.bytes);
        let emptiness = (one.live_records == 0).cmp(&(other.live_records == 0));
        emptiness.then(share(one, other).cmp(&share(other, one))).then(other.volume.cmp(&one.volume))
    };
    candidates.iter().filter(is_worth_it).max_by(better).map(|candidate| candidate.volume)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(volume: u32, live_bytes: u64, live_records: u64) -> Candidate {
        Candidate { volume, bytes: 1 << 28, live_bytes, live_records }
    }

    #[test]
    fn an_empty_one_first_then_the_greatest_share_of_garbage() {
        let half = 1 << 27;
        assert_eq!(choose(&[], true), None);
        assert_eq!(choose(&[candidate(1, half + 1, 1)], false), None);
        assert_eq!(choose(&[candidate(1, half + 1, 1)], true), Some(1));
        assert_eq!(choose(&[candidate(1, 1000, 9), candidate(2, 0, 0), candidate(3, 0, 0)], false), Some(2));
        assert_eq!(choose(&[candidate(1, 5000, 9), candidate(2, 1000, 9), candidate(3, 1000, 9)], false), Some(2));
        // Full of records that are small: moving them would give nothing.
        assert_eq!(choose(&[candidate(1, 1 << 27, 1 << 21)], true), None);
    }

    proptest! {
        #[test]
        fn what_is_chosen_gives_space_and_no_other_gives_a_greater_share(
            volumes in proptest::collection::vec((1_u64..1 << 28, 0_u64..1 << 28, 0_u64..10_000), 0..20),
            is_nearly_full in any::<bool>(),
        ) {
            let candidates: Vec<Candidate> = volumes
                .iter()
                .zip(1..)
                .map(|((bytes, live_bytes, live_records), volume)| Candidate {
                    volume, bytes: *bytes, live_bytes: *live_bytes, live_records: *live_records,
                })
                .collect();
            let share = |candidate: &Candidate| candidate.garbage() as f64 / candidate.bytes as f64;
            match choose(&candidates, is_nearly_full) {
                Some(number) => {
                    let chosen = candidates[number as usize - 1];
                    prop_assert!(chosen.garbage() > 0);
                    let is_best = candidates.iter().all(|other| share(other) <= share(&chosen) + 1e-9);
                    prop_assert!(chosen.live_records == 0 || is_best);
                }
                None => prop_assert!(candidates.iter().all(|other| other.garbage() == 0 || share(other) < 0.5)),
            }
        }
    }
}
