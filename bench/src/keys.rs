//! Core: which object a request is for. No I/O, no clock, chance only from the number of the request.
//!
//! - `Keys::Uniform` visits all objects once, in an order that no cache or disk can guess, before any is visited again.
//! - `Keys::Zipf` asks for the object of rank r with a probability in proportion to r^-exponent, by rejection and inversion (Hörmann and Derflinger,
//!   1996), so that it costs the same for ten objects and for ten million. Popular objects lie as scattered as all others.
//!
//! The same request of the same load is always for the same object.

/// Coprime to every count below it: steps by it visit all objects once.
const STRIDE: u64 = 2_654_435_761;

/// Objects by number: `first`, `first + step`, … Uploads visit them in this order, the other verbs in that of the load's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objects {
    /// Number of the first.
    pub first: u64,
    /// How many; at least one, below 2³¹.
    pub count: u64,
    /// From one to the next: above one where no neighbour on the disk is to be visited.
    pub step: u64,
}

/// How often each of the objects is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keys {
    /// All alike.
    Uniform,
    /// A few often, most seldom: rank to the power of minus this, above zero and not one.
    Zipf(f64),
}

impl Objects {
    /// `count` of them from `first` on.
    pub fn new(first: u64, count: u64) -> Objects {
        Objects { first, count, step: 1 }
    }

    /// Every `step`th of them.
    pub fn sparse(self, step: u64) -> Objects {
        Objects { count: (self.count / step).max(1), step: self.step * step, ..self }
    }

    /// The object of an upload.
    pub(crate) fn in_order(self, turn: u64) -> u64 {
        self.first + turn % self.count.max(1) * self.step
    }

    /// The object of any other request.
    pub(crate) fn chosen(self, keys: Keys, turn: u64) -> u64 {
        let rank = match keys {
            Keys::Uniform => turn,
            Keys::Zipf(exponent) => zipf(self.count.max(1), exponent, turn),
        };
        self.in_order(rank.wrapping_mul(STRIDE))
    }
}

/// A rank from 0 to `count - 1`.
#[expect(clippy::cast_precision_loss, reason = "ranks below 2^31")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held between 1 and count")]
fn zipf(count: u64, exponent: f64, turn: u64) -> u64 {
    let power = 1.0 - exponent;
    // The integral of x^-exponent, and its inverse.
    let area = |x: f64| (x.powf(power) - 1.0) / power;
    let inverse = |area: f64| (1.0 + area * power).powf(1.0 / power);
    let (low, high) = (area(1.5) - 1.0, area(count as f64 + 0.5));
    // Ends: a draw is refused with a probability far below one half; the last one is taken as it is.
    let mut rank = 1.0;
    for draw in 0..64 {
        let point = high + unit(turn.wrapping_mul(64).wrapping_add(draw)) * (low - high);
        let x = inverse(point);
        rank = x.round().clamp(1.0, count as f64);
        if point >= area(rank + 0.5) - rank.powf(-exponent) {
            break;
        }
    }
    rank as u64 - 1
}

/// From 0 to 1: `number` scattered (SplitMix64).
#[expect(clippy::cast_precision_loss, reason = "53 bits")]
fn unit(number: u64) -> f64 {
    (scattered(number) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number as chance would choose it, the same for the same `number` (SplitMix64).
pub(crate) fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_object_is_visited_once_before_any_is_again() {
        for count in [1, 2, 7, 256, 100_003, 1 << 20] {
            let objects = Objects::new(10, count);
            let seen: BTreeSet<u64> = (0..count).map(|turn| objects.chosen(Keys::Uniform, turn)).collect();
            assert_eq!(seen.len() as u64, count);
            assert!(seen.first() == Some(&10) && seen.last() == Some(&(9 + count)));
        }
    }

    #[test]
    fn popular_objects_are_asked_for_as_often_as_their_rank_says() {
        for (count, exponent) in [(1_u64, 0.99), (10, 0.99), (1000, 0.99), (1000, 1.2)] {
            const DRAWS: u64 = 200_000;
            let mut asked = vec![0_u64; count as usize];
            for turn in 0..DRAWS {
                asked[zipf(count, exponent, turn) as usize] += 1;
            }
            let weights: Vec<f64> = (1..=count).map(|rank| (rank as f64).powf(-exponent)).collect();
            let sum: f64 = weights.iter().sum();
            for (asked, weight) in asked.iter().zip(&weights).take(10) {
                let expected = weight / sum * DRAWS as f64;
                let error = (*asked as f64 - expected).abs();
                assert!(error < 5.0 * expected.sqrt() + 1.0, "{asked} for {expected} of {count}, {exponent}");
            }
        }
    }
}
