//! Bringing near what lookups of several keys will need, so that their cache misses overlap.

use super::bucket::{Bucket, Overflow, TAG_BITS};
use super::encoding::lane;
use super::hash::KeyHash;
use super::{Index, Location};
use crate::memory::epoch::Guard;
use crate::memory::prefetch::prefetch;

impl<H: KeyHash> Index<H> {
    /// Brings the bucket near that a [`Index::find`] of `hash` reads first.
    #[inline]
    pub fn prefetch(&self, guard: &Guard, hash: u64) {
        self.table(guard, hash).prefetch_home(hash);
    }

    /// Brings both buckets near that a search for `hash` may read.
    #[inline]
    pub fn prefetch_search(&self, guard: &Guard, hash: u64) {
        self.table(guard, hash).prefetch_buckets(hash);
    }

    /// The location that [`Index::find`] of `hash` will probably offer first. Only a hint: it may be missing, or wrong
    /// while a writer is at work. Where it is missing, the bucket near that comes next is brought near.
    #[inline]
    pub fn probable(&self, guard: &Guard, hash: u64) -> Option<Location> {
        let table = self.table(guard, hash);
        let (home, tag) = table.home(hash);
        let bucket = Bucket::load(table.line(home));
        let mut slots = bucket.matches(lane(tag)) & !bucket.displaced();
        while slots != 0 {
            let field = bucket.field(slots.trailing_zeros() as usize);
            slots &= slots - 1;
            if table.encoding().upper_tag(field) == tag >> TAG_BITS {
                return table.encoding().location(field);
            }
        }
        if bucket.overflow(Overflow::Second) > 0 {
            prefetch(table.line(table.other(home, lane(tag))));
        }
        None
    }
}
