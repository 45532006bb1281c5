//! Keys and values, made on the fly so that the harness itself hardly touches memory.

pub const KEY_LEN: usize = 16;
pub const VALUE_LEN: usize = 100;

/// Size of the pool that values are cut from; small enough for the second-level cache.
const POOL_LEN: usize = 1 << 18;

pub struct Workload {
    pub pairs: usize,
    /// Every number below `pairs` once, shuffled.
    pub shuffled: Vec<u32>,
    pool: Vec<u8>,
}

impl Workload {
    pub fn new(pairs: usize) -> Workload {
        let mut shuffled: Vec<u32> = (0..pairs as u32).collect();
        for last in (1..pairs).rev() {
            shuffled.swap(last, (mix(last as u64) % (last as u64 + 1)) as usize);
        }
        let pool = (0..(POOL_LEN + VALUE_LEN) as u64)
            .map(|at| mix(at) as u8)
            .collect();
        Workload {
            pairs,
            shuffled,
            pool,
        }
    }

    /// The key of pair `number`: two bijections of the number, so keys differ and have no order. Numbers from
    /// `pairs` on are keys that no pair has.
    pub fn key(&self, number: usize) -> [u8; KEY_LEN] {
        let first = mix(number as u64);
        let mut key = [0; KEY_LEN];
        key[..8].copy_from_slice(&first.to_le_bytes());
        key[8..].copy_from_slice(&mix(first).to_le_bytes());
        key
    }

    /// The value of pair `number` after it has been overwritten `version` times.
    pub fn value(&self, number: usize, version: u64) -> &[u8] {
        let start = mix(number as u64 ^ (version << 40)) as usize % POOL_LEN;
        &self.pool[start..start + VALUE_LEN]
    }
}

/// The finaliser of SplitMix64, a bijection.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
