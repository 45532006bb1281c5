//! Comparing the 16-bit lanes of three words at once.
#![allow(unsafe_code)]

/// Lanes of a word.
const LANES: u32 = 4;

/// A bit for each of the twelve lanes of `words`, the lowest lane of the first word first, whose upper bits, all but the lowest
/// `SKIPPED`, are `wanted`.
#[inline]
pub fn equal_lanes<const SKIPPED: i32>(words: [u64; 3], wanted: u16) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of every x86-64.
    unsafe {
        with_sse2::<SKIPPED>(words, wanted)
    }
    #[cfg(not(target_arch = "x86_64"))]
    with_words::<SKIPPED>(words, wanted)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn with_sse2<const SKIPPED: i32>(words: [u64; 3], wanted: u16) -> u32 {
    use std::arch::x86_64::*;
    let wanted = _mm_set1_epi16(wanted.cast_signed());
    let equal = |upper: u64, lower: u64| {
        let lanes = _mm_set_epi64x(upper.cast_signed(), lower.cast_signed());
        _mm_cmpeq_epi16(_mm_srli_epi16::<SKIPPED>(lanes), wanted)
    };
    let (first, last) = (equal(words[1], words[0]), equal(0, words[2]));
    // A byte for each lane, and a bit for each byte.
    let bits = _mm_movemask_epi8(_mm_packs_epi16(first, last));
    bits.cast_unsigned() & ((1 << (3 * LANES)) - 1)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn with_words<const SKIPPED: i32>(words: [u64; 3], wanted: u16) -> u32 {
    const { assert!(SKIPPED > 0, "a bit of each lane is left for borrowing") };
    const ONES: u64 = 0x0001_0001_0001_0001;
    // Multiplying by this brings the lowest bits of the four lanes together in bits 48 to 51.
    const GATHER: u64 = 1 << 48 | 1 << 33 | 1 << 18 | 1 << 3;
    let bits = 16 - SKIPPED;
    let wanted = u64::from(wanted) * ONES;
    let equal = |word: u64| {
        // Per lane a difference; the bit above it minus it stays only if it is zero, and never borrows.
        let difference = (word >> SKIPPED & (ONES * ((1 << bits) - 1))) ^ wanted;
        let zero = ((ONES << bits) - difference) >> bits & ONES;
        (zero.wrapping_mul(GATHER) >> 48) as u32
    };
    equal(words[0]) | equal(words[1]) << LANES | equal(words[2]) << (2 * LANES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_by_one(words: [u64; 3], wanted: u16) -> u32 {
        (0..3 * LANES).fold(0, |bits, lane| {
            let value = (words[(lane / LANES) as usize] >> (lane % LANES * 16)) as u16;
            bits | u32::from(value >> 4 == wanted) << lane
        })
    }

    #[test]
    fn exactly_the_lanes_with_the_wanted_upper_bits_are_told() {
        let mut state = 1_u64;
        for wanted in 0..1 << 12 {
            let words = [(); 3].map(|()| {
                state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) + 1;
                // Some lanes are the wanted one, some differ in one bit.
                [0, 16, 32, 48].into_iter().fold(0, |word, shift| {
                    let random = state >> shift & 0xffff;
                    let other_bit = 1 << (random / 4 % 12);
                    let lane = match random % 4 {
                        0 => random,
                        1 => (wanted ^ other_bit) << 4,
                        _ => (wanted << 4) | (random & 0xf),
                    };
                    word | (lane << shift)
                })
            });
            let expected = one_by_one(words, wanted as u16);
            assert_eq!(with_words::<4>(words, wanted as u16), expected);
            assert_eq!(equal_lanes::<4>(words, wanted as u16), expected);
        }
        assert_eq!(equal_lanes::<4>([0, 0, 1 << 52], 0), 0x7ff);
    }
}
