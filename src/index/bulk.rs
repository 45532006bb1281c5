//! Many changes in a row, as recovery makes them.

use super::hash::KeyHash;
use super::image::following;
use super::merge::Merge;
use super::rebuild::Plan;
use super::shape::Shape;
use super::{Entry, Index, Location};
use crate::error::{ErrorKind, Result};
use crate::memory::budget::MemoryBudget;
use crate::memory::epoch::{self, Guard};

/// What became of a key that [`BulkIndex::supersede`] was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key was not there before.
    New,
    /// The key was at this location, which is superseded.
    Superseded(Location),
    /// The key stays at this location, which is not older.
    Kept(Location),
}

/// An index, whatever its hash function, for many changes in a row.
pub trait BulkIndex: Sync {
    /// Brings near what [`BulkIndex::supersede`] touches first for the key with `hash`.
    fn prefetch(&self, guard: &Guard, hash: u64);

    /// Gives the key the location `by`, or removes it if that is `None`; but not if it is there already and
    /// `is_older` says no of its location. The shard must be present, or be the one that is just being loaded. `by` and the
    /// locations of calls to come take at most `location_bits` bits.
    ///
    /// # Errors
    /// As [`Index::entry`]; then nothing has changed.
    fn supersede(
        &self,
        guard: &Guard,
        hash: u64,
        key: &[u8],
        by: Option<Location>,
        location_bits: u32,
        is_older: &mut dyn FnMut(Location) -> bool,
    ) -> Result<Outcome>;
}

impl<H: KeyHash> BulkIndex for Index<H> {
    #[inline]
    fn prefetch(&self, guard: &Guard, hash: u64) {
        self.table(guard, hash).prefetch(hash);
    }

    fn supersede(
        &self,
        guard: &Guard,
        hash: u64,
        key: &[u8],
        by: Option<Location>,
        location_bits: u32,
        is_older: &mut dyn FnMut(Location) -> bool,
    ) -> Result<Outcome> {
        let occupied = match by {
            // Without an entry nothing is to be reserved.
            None => match self.occupied(guard, hash, key) {
                // A damaged record that may be the key's stays: who asks for the key hears of the damage.
                Err(error) if error.kind() == ErrorKind::Corrupt => None,
                occupied => occupied?,
            },
            Some(location) => match self.entry(guard, hash, key, location_bits)? {
                Entry::Occupied(occupied) => Some(occupied),
                Entry::Vacant(vacant) => {
                    vacant.insert(location);
                    None
                }
            },
        };
        let Some(occupied) = occupied else {
            return Ok(Outcome::New);
        };
        let known = occupied.location();
        if !is_older(known) {
            return Ok(Outcome::Kept(known));
        }
        match by {
            Some(location) => occupied.replace(location),
            None => occupied.remove(),
        }
        Ok(Outcome::Superseded(known))
    }
}

impl<H: KeyHash> Index<H> {
    /// Merges shards that are small, and makes those smaller that were prepared for more keys than came, where that frees more
    /// than one page in nine: growing leaves as much unused. If memory is short they stay as they are. Ends early when `go_on` says
    /// no.
    pub fn trim(&self, go_on: impl Fn() -> bool) {
        let mut next = Some(0);
        while let Some(hash) = next
            && go_on()
        {
            let guard = epoch::pin();
            let (shard, mut writer) = self.lock(&guard, hash);
            // Then what they have become may have a small sibling.
            let merged =
                MemoryBudget::with_reserve(|| self.merge(hash, shard, &mut writer, &guard));
            if matches!(merged, Ok(Merge::Done)) {
                continue;
            }
            next = following(hash, shard.depth());
            let table = shard.table().load(&guard);
            let fitting = Plan {
                shape: Shape::for_entries(shard.totals().keys),
                location_bits: table.encoding().location_bits(),
                fresh_slab: false,
            };
            if fitting.shape.pages() * 9 < table.shape().pages() * 8
                && let Err(error) = MemoryBudget::with_reserve(|| {
                    self.replace_table(shard, &mut writer, fitting, &guard)
                })
            {
                debug_assert_eq!(error.kind(), ErrorKind::Memory);
            }
        }
    }
}
