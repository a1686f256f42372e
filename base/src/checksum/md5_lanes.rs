//! Core: MD5 (RFC 1321) of several messages side by side, a message in each lane of the processor's wide registers.
//!
//! One message is a chain: every step waits for the one before, so a core that hashes one after the other is idle most of the time. The
//! code is written over arrays of `N` words; compiled for AVX2 or AVX-512 (`io::hashing` chooses) an array is one register.

#![expect(
    clippy::indexing_slicing,
    reason = "every index is a constant below the length of its array, or a lane below N"
)]

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// The four words that are carried from block to block.
pub type State = [u32; 4];

/// Before the first block.
pub const START: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// Turns of each round's four steps.
const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The integer part of 2^32 times the sine of 1, 2, … 64.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// Hashes the first `blocks` blocks of every message into its lane of `states`. Every message must be as long.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it must become part of the function that is compiled for the wide registers")]
pub fn compress<const N: usize>(states: &mut [[u32; N]; 4], messages: &[&[u8]; N], blocks: usize) {
    for block in 0..blocks {
        let words = words_of(messages, block);
        let [mut a, mut b, mut c, mut d] = *states;
        // Step `i` of round `r` takes word `w`.
        macro_rules! step {
            ($f:expr, $a:ident, $b:ident, $c:ident, $d:ident, $w:expr, $i:expr, $s:expr) => {
                for lane in 0..N {
                    let mixed: u32 = $f($b[lane], $c[lane], $d[lane]);
                    let sum = $a[lane].wrapping_add(mixed).wrapping_add(SINES[$i]).wrapping_add(words[$w][lane]);
                    $a[lane] = sum.rotate_left($s).wrapping_add($b[lane]);
                }
            };
        }
        macro_rules! round {
            ($r:expr, $f:expr, $($w0:expr, $w1:expr, $w2:expr, $w3:expr => $i:expr);+) => {$(
                step!($f, a, b, c, d, $w0, $i, SHIFTS[$r][0]);
                step!($f, d, a, b, c, $w1, $i + 1, SHIFTS[$r][1]);
                step!($f, c, d, a, b, $w2, $i + 2, SHIFTS[$r][2]);
                step!($f, b, c, d, a, $w3, $i + 3, SHIFTS[$r][3]);
            )+};
        }
        let f = |b: u32, c: u32, d: u32| d ^ (b & (c ^ d));
        let g = |b: u32, c: u32, d: u32| c ^ (d & (b ^ c));
        let h = |b: u32, c: u32, d: u32| b ^ c ^ d;
        let i = |b: u32, c: u32, d: u32| c ^ (b | !d);
        round!(0, f, 0, 1, 2, 3 => 0; 4, 5, 6, 7 => 4; 8, 9, 10, 11 => 8; 12, 13, 14, 15 => 12);
        round!(1, g, 1, 6, 11, 0 => 16; 5, 10, 15, 4 => 20; 9, 14, 3, 8 => 24; 13, 2, 7, 12 => 28);
        round!(2, h, 5, 8, 11, 14 => 32; 1, 4, 7, 10 => 36; 13, 0, 3, 6 => 40; 9, 12, 15, 2 => 44);
        round!(3, i, 0, 7, 14, 5 => 48; 12, 3, 10, 1 => 52; 8, 15, 6, 13 => 56; 4, 11, 2, 9 => 60);
        for (state, sums) in states.iter_mut().zip([a, b, c, d]) {
            for lane in 0..N {
                state[lane] = state[lane].wrapping_add(sums[lane]);
            }
        }
    }
}

/// The sixteen words of a block of every message, turned so that a word of all messages lies side by side.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as `compress`")]
fn words_of<const N: usize>(messages: &[&[u8]; N], block: usize) -> [[u32; N]; 16] {
    let mut words = [[0; N]; 16];
    for lane in 0..N {
        let (quads, _) = messages[lane][block * BLOCK..(block + 1) * BLOCK].as_chunks::<4>();
        for word in 0..16 {
            words[word][lane] = u32::from_le_bytes(quads[word]);
        }
    }
    words
}

/// The digest of a message of `length` bytes, of which `tail` (less than a block) is not hashed yet.
pub fn finish(state: State, tail: &[u8], length: u64) -> [u8; 16] {
    let mut last = [0_u8; 2 * BLOCK];
    last[..tail.len()].copy_from_slice(tail);
    last[tail.len()] = 0x80;
    // Eight bytes of length must fit behind the mark.
    let blocks = if tail.len() < BLOCK - 8 { 1 } else { 2 };
    last[blocks * BLOCK - 8..blocks * BLOCK].copy_from_slice(&length.wrapping_mul(8).to_le_bytes());
    let mut states = state.map(|word| [word]);
    compress(&mut states, &[&last], blocks);
    let mut digest = [0; 16];
    for (quad, [word]) in digest.as_chunks_mut::<4>().0.iter_mut().zip(states) {
        *quad = word.to_le_bytes();
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::md5;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_lane_is_the_md5_of_its_message(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            let blocks = bytes.len() / BLOCK;
            let other: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x5a).collect();
            let mut states = START.map(|word| [word; 3]);
            compress(&mut states, &[&bytes, &other, &bytes], blocks);
            for (lane, message) in [&bytes, &other, &bytes].into_iter().enumerate() {
                let digest = finish(states.map(|words| words[lane]), &message[blocks * BLOCK..], message.len() as u64);
                prop_assert_eq!(digest, md5(message));
            }
        }
    }

    #[test]
    fn the_tests_of_rfc_1321_pass() {
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            let blocks = text.len() / BLOCK;
            let mut states = START.map(|word| [word]);
            compress(&mut states, &[text.as_bytes()], blocks);
            let digest_of = finish(states.map(|[word]| word), &text.as_bytes()[blocks * BLOCK..], text.len() as u64);
            assert_eq!(crate::checksum::hex(&digest_of), digest);
        }
    }
}
