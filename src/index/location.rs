//! Where a record lies, as 36 bits.

use std::num::NonZeroU64;

/// A place in the log, opaque to the index: a nonzero number below 2^36. The store composes it from a
/// segment slot and an offset in 16-byte units; zero never occurs because a segment begins with its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location(NonZeroU64);

impl Location {
    /// Width in bits of a location.
    pub const BITS: u32 = 36;

    /// The location `raw`, or `None` if it is zero or does not fit into 36 bits.
    #[inline]
    pub fn new(raw: u64) -> Option<Self> {
        NonZeroU64::new(raw)
            .filter(|raw| raw.get() >> Self::BITS == 0)
            .map(Self)
    }

    /// The number behind the location: nonzero, below 2^36.
    #[inline]
    pub fn raw(self) -> u64 {
        self.0.get()
    }

    /// How many bits it takes to write the number down: the location is below 2 to the power of that.
    #[inline]
    pub fn bits(self) -> u32 {
        u64::BITS - self.0.leading_zeros()
    }
}
