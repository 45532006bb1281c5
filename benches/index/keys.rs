//! The keys, and the order in which they are looked up.

pub const KEY_BYTES: usize = 16;

pub type Key = [u8; KEY_BYTES];

pub fn key(number: u64) -> Key {
    let mut key = [0; KEY_BYTES];
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    key[..8].copy_from_slice(&number.to_le_bytes());
    key[8..].copy_from_slice(&mixed.to_le_bytes());
    key
}

/// Visits every number below `count` once, in an order that caches cannot guess.
pub fn scattered(count: u64) -> impl Iterator<Item = u64> {
    let mask = count.next_power_of_two() - 1;
    let half_bits = mask.count_ones() / 2;
    let numbers = (0..=mask).map(move |number| {
        // Odd multipliers and shifted differences are one-to-one on the numbers up to the mask.
        let mixed = number.wrapping_mul(0xd134_2543_de82_ef95) & mask;
        (mixed ^ mixed >> half_bits).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask
    });
    numbers.filter(move |&number| number < count)
}
