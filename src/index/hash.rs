//! The hash of a key.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};

/// Turns a key into 64 bits, of which the upper ones must be as good as the lower ones. Equal keys must give
/// equal hashes for as long as an index lives; unequal keys may collide, which costs time only.
pub trait KeyHash: Send + Sync + 'static {
    /// The hash of `key`.
    fn hash(&self, key: &[u8]) -> u64;
}

/// rapidhash V3 (Nicolas De Carli) with all its secrets drawn from one seed, so that nobody who does not know the
/// seed can prepare keys that collide.
#[derive(Clone, Debug)]
pub struct SeededHash {
    secrets: RapidSecrets,
}

impl SeededHash {
    /// The hash function that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            secrets: RapidSecrets::seed(seed),
        }
    }
}

impl KeyHash for SeededHash {
    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        rapidhash_v3_inline::<true, false, false>(key, &self.secrets)
    }
}
