//! Keys and values, made on the fly so that the harness itself hardly touches memory.

/// Length in bytes of every key.
pub const KEY_LEN: usize = 16;

/// Size of the pool that values are cut from; small enough for the second-level cache.
const POOL_LEN: usize = 1 << 18;

/// The values of one length, and the keys.
pub struct Pairs {
    value_len: usize,
    pool: Vec<u8>,
}

impl Pairs {
    /// Pairs with values of `value_len` bytes.
    pub fn new(value_len: usize) -> Self {
        let pool = (0..(POOL_LEN + value_len) as u64).map(|at| mix(at) as u8);
        Self {
            value_len,
            pool: pool.collect(),
        }
    }

    /// Length in bytes of every value.
    pub fn value_len(&self) -> usize {
        self.value_len
    }

    /// The key of pair `number`: two bijections of the number, so keys differ and have no order.
    pub fn key(&self, number: u64) -> [u8; KEY_LEN] {
        let first = mix(number);
        let mut key = [0; KEY_LEN];
        key[..8].copy_from_slice(&first.to_le_bytes());
        key[8..].copy_from_slice(&mix(first).to_le_bytes());
        key
    }

    /// The value of pair `number` after it has been overwritten `version` times.
    pub fn value(&self, number: u64, version: u64) -> &[u8] {
        let start = mix(number ^ (version << 40)) as usize % POOL_LEN;
        &self.pool[start..start + self.value_len]
    }
}

/// A number that follows from all bytes of a pair, though not from the order of a value's words. The sum over the pairs of a store
/// tells whether all are there with their values, whatever their order; it costs a few nanoseconds a pair and touches no other memory.
#[inline]
pub fn fold(key: &[u8], value: &[u8]) -> u64 {
    let lengths = (key.len() as u64) << 32 | value.len() as u64;
    let sum = |bytes: &[u8]| {
        let (words, rest) = bytes.as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        words.fold(u64::from_le_bytes(last), u64::wrapping_add)
    };
    mix(mix(sum(key) ^ lengths).wrapping_add(sum(value)))
}

/// The finaliser of SplitMix64, a bijection; also a source of numbers without visible order.
pub const fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_tells_apart_pairs_that_differ_in_any_byte_or_in_where_the_key_ends() {
        let pairs = Pairs::new(100);
        let (key, value) = (pairs.key(1), pairs.value(1, 1));
        let right = fold(&key, value);
        for at in 0..value.len() {
            let mut other = value.to_vec();
            other[at] ^= 1;
            assert_ne!(fold(&key, &other), right);
            assert_ne!(fold(&key, &value[..at]), right);
        }
        assert_ne!(fold(&pairs.key(2), value), right);
        assert_ne!(fold(b"a", b"bc"), fold(b"ab", b"c"));
    }
}
