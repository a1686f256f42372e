//! Core: crc32c of long runs of bytes on processors that multiply without carries in registers of 256 bits and have no AVX-512.
//!
//! Two units of the processor work side by side. The one multiplies: a register holds 32 bytes of the message, and moving what it holds along by a
//! round's bytes is a multiplication by a power of x for each of its halves (V. Gopal et al., "Fast CRC Computation for Generic
//! Polynomials Using PCLMULQDQ Instruction", Intel, 2009). The other has an instruction for eight bytes of crc32c, whose answer comes three cycles
//! later, so three places of the message take turns. A stretch is therefore four regions: one that is folded, and three in front of
//! the instruction; at its end the four sums are moved along by what lies behind each, and added. With four registers and five words of each of the three places in a round both units
//! are busy all the time (measured: docs/PERFORMANCE.md).
//!
//! Polynomials are reflected as in crc32c itself: the lowest bit is the highest power.

#![expect(unsafe_code, reason = "the processor's wide registers")]

use std::arch::x86_64::{
    __m256i, _mm_clmulepi64_si128, _mm_crc32_u64, _mm_cvtsi32_si128, _mm_cvtsi128_si64, _mm256_clmulepi64_epi128,
    _mm256_extract_epi64, _mm256_loadu_si256, _mm256_set_epi64x, _mm256_setzero_si256, _mm256_xor_si256,
};

/// Registers that are folded.
const REGISTERS: usize = 4;
/// Bytes of a round in the region that is folded.
const FOLDED: usize = REGISTERS * 32;
/// Bytes of a round in each of the three others.
const TAKEN: usize = 5 * 8;
/// Bytes of a round.
const ROUND: usize = FOLDED + 3 * TAKEN;
/// Rounds of a stretch: one as long as fits a block of 64 KiB, as it is a stretch's end that costs, and one for what is shorter.
const LONG: usize = 64 * 1024 / ROUND;
const SHORT: usize = 16;

/// The polynomial without its highest power.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Goes on from the crc32c of the bytes before; `None` on processors that have another way, or not this one.
pub(super) fn append(crc: u32, bytes: &[u8]) -> Option<u32> {
    let has_better = is_x86_feature_detected!("avx512vl");
    // SAFETY: `is_possible` looked for each feature that `folded` is compiled with.
    (!has_better && is_possible()).then(|| unsafe { folded(crc, bytes) })
}

fn is_possible() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("sse4.2")
}

#[target_feature(enable = "avx2,vpclmulqdq,pclmulqdq,sse4.2")]
fn folded(crc: u32, bytes: &[u8]) -> u32 {
    let (sum, rest) = stretches::<LONG>(!crc, bytes);
    let (sum, rest) = stretches::<SHORT>(sum, rest);
    crc32c::crc32c_append(!sum, rest)
}

/// Takes stretches of `ROUNDS` from the front, as long as there are any; what is left. Sums are not inverted here.
#[target_feature(enable = "avx2,vpclmulqdq,pclmulqdq,sse4.2")]
fn stretches<const ROUNDS: usize>(mut sum: u32, mut bytes: &[u8]) -> (u32, &[u8]) {
    // Ends: every turn takes a stretch.
    while let Some((stretch, rest)) = bytes.split_at_checked(ROUNDS * ROUND) {
        sum = one_stretch::<ROUNDS>(sum, stretch);
        bytes = rest;
    }
    (sum, bytes)
}

#[target_feature(enable = "avx2,vpclmulqdq,pclmulqdq,sse4.2")]
fn one_stretch<const ROUNDS: usize>(sum: u32, stretch: &[u8]) -> u32 {
    let (folded, taken) = stretch.split_at(ROUNDS * FOLDED);
    let (first, others) = taken.split_at(ROUNDS * TAKEN);
    let (second, third) = others.split_at(ROUNDS * TAKEN);
    let rounds = folded.as_chunks::<FOLDED>().0.iter();
    let words = first.as_chunks::<TAKEN>().0.iter().zip(second.as_chunks::<TAKEN>().0);
    let words = words.zip(third.as_chunks::<TAKEN>().0);

    let [low, high] = const { folding(FOLDED) };
    let along = _mm256_set_epi64x(high, low, high, low);
    let mut registers = [_mm256_setzero_si256(); REGISTERS];
    let [mut one, mut two, mut three] = [0_u64; 3];
    for (folded, ((first, second), third)) in rounds.zip(words) {
        for (register, bytes) in registers.iter_mut().zip(folded.as_chunks::<32>().0) {
            let low = _mm256_clmulepi64_epi128::<0x00>(*register, along);
            let high = _mm256_clmulepi64_epi128::<0x11>(*register, along);
            *register = _mm256_xor_si256(_mm256_xor_si256(low, load(bytes)), high);
        }
        let words = first.as_chunks::<8>().0.iter().zip(second.as_chunks::<8>().0).zip(third.as_chunks::<8>().0);
        for ((first, second), third) in words {
            one = _mm_crc32_u64(one, u64::from_le_bytes(*first));
            two = _mm_crc32_u64(two, u64::from_le_bytes(*second));
            three = _mm_crc32_u64(three, u64::from_le_bytes(*third));
        }
    }
    let moved = along_by(sum, const { moving(ROUNDS * ROUND) })
        ^ along_by(sum_of(&registers), const { moving(ROUNDS * TAKEN * 3) })
        ^ along_by(low_half(one), const { moving(ROUNDS * TAKEN * 2) })
        ^ along_by(low_half(two), const { moving(ROUNDS * TAKEN) });
    low_half(_mm_crc32_u64(0, moved) ^ three)
}

/// The crc32c of what the registers hold, from zero and not inverted.
#[target_feature(enable = "avx2,sse4.2")]
fn sum_of(registers: &[__m256i; REGISTERS]) -> u32 {
    let mut sum = 0;
    for register in registers {
        sum = _mm_crc32_u64(sum, _mm256_extract_epi64::<0>(*register).cast_unsigned());
        sum = _mm_crc32_u64(sum, _mm256_extract_epi64::<1>(*register).cast_unsigned());
        sum = _mm_crc32_u64(sum, _mm256_extract_epi64::<2>(*register).cast_unsigned());
        sum = _mm_crc32_u64(sum, _mm256_extract_epi64::<3>(*register).cast_unsigned());
    }
    low_half(sum)
}

/// A sum times a power of x, to be brought below the polynomial by one more step of the instruction.
#[target_feature(enable = "pclmulqdq,sse2")]
fn along_by(sum: u32, power: u32) -> u64 {
    let [sum, power] = [sum, power].map(|word| _mm_cvtsi32_si128(word.cast_signed()));
    _mm_cvtsi128_si64(_mm_clmulepi64_si128::<0x00>(sum, power)).cast_unsigned()
}

#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the reference is to 32 bytes, and the instruction asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// What the halves of 16 bytes are multiplied by to move them along by so many bytes. The first half stands 64 powers higher; the product of reflected words
/// stands one lower than their reflection, hence the shift.
const fn folding(bytes: usize) -> [i64; 2] {
    [((power(bytes * 8 + 32) as u64) << 1).cast_signed(), ((power(bytes * 8 - 32) as u64) << 1).cast_signed()]
}

/// What a sum is multiplied by to move it along by so many bytes: the instruction moves by 32 more, and the product stands one lower.
const fn moving(bytes: usize) -> u32 {
    power(bytes * 8 - 33)
}

/// x to the power of `exponent`, below the polynomial.
const fn power(exponent: usize) -> u32 {
    let mut power = 1 << 31;
    let mut steps = exponent;
    // Ends: counts down.
    while steps > 0 {
        power = (power >> 1) ^ (POLYNOMIAL * (power & 1));
        steps -= 1;
    }
    power
}

fn low_half(word: u64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "that is what is meant: the instruction leaves the upper half empty"
    )]
    let half = word as u32;
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_crc32c_of_the_library(seed: u64, length in 0..3 * LONG * ROUND, before: u32) {
            if !is_possible() {
                return Ok(());
            }
            let mut word = seed | 1;
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                word.to_be_bytes()[0]
            }).take(length).collect();
            // SAFETY: the features were looked for.
            let sum = unsafe { folded(before, &bytes) };
            prop_assert_eq!(sum, crc32c::crc32c_append(before, &bytes));
        }
    }

    #[test]
    fn powers_are_those_of_the_polynomial() {
        assert_eq!(power(0), 1 << 31);
        assert_eq!(power(31), 1);
        assert_eq!(power(32), POLYNOMIAL);
        // A message of zeros moves the sum of what was before it along.
        let [before, after] = [&b"x"[..], b"x\0\0\0\0\0\0"].map(crc32c::crc32c);
        let zeros = crc32c::crc32c(&[0; 6]);
        assert_eq!(times(!before, power(48)) ^ times(u32::MAX, power(48)), !after ^ !zeros);
    }

    /// By hand, bit after bit.
    fn times(mut one: u32, mut other: u32) -> u32 {
        let mut product = 0;
        while one != 0 {
            if one & (1 << 31) != 0 {
                product ^= other;
            }
            one <<= 1;
            other = (other >> 1) ^ (POLYNOMIAL * (other & 1));
        }
        product
    }
}
