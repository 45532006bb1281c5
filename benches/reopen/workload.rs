//! Keys and values, made on the fly.

use std::ops::RangeInclusive;

pub const KEY_BYTES: usize = 16;

/// The key of pair `number`: two bijections of it, so keys differ and have no order.
pub fn key(number: u64) -> [u8; KEY_BYTES] {
    let first = mix(number);
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&first.to_le_bytes());
    key[8..].copy_from_slice(&mix(first).to_le_bytes());
    key
}

/// How long the value of pair `number` is after `version` overwrites: anything in `lengths`, each as often.
pub fn value_length(number: u64, version: u64, lengths: &RangeInclusive<usize>) -> usize {
    let span = (lengths.end() - lengths.start()) as u64 + 1;
    lengths.start() + (mix(number ^ version << 40) % span) as usize
}

/// The finaliser of SplitMix64, a bijection.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
