//! What an iterator collects of the index at a time: the keys of some neighbouring hashes.

use super::IterOptions;
use super::pins::Pins;
use super::radix;
use crate::error::{Error, Result};
use crate::index::{Location, ShardSnapshot};
use crate::memory::epoch;
use crate::store::Shared;

/// Where in a piece of so many bytes a record lies does not matter for its place in the order: what is read together
/// comes together.
const PIECE_BITS: u32 = 6; // of 16 bytes each: 1 KiB

/// The keys of some neighbouring hashes, as they were when the pass began: by the places of their records, in the order of
/// the disk, or the keys themselves where they are in memory and nothing else is wanted.
#[derive(Default)]
pub struct Pass {
    /// Raw locations of records to be read.
    pub locations: Vec<u64>,
    /// Segments of these.
    pub pins: Pins,
    /// Keys that need no record.
    pub keys: ShardSnapshot,
    spare: Vec<u64>,
}

impl Pass {
    /// Collects the shards from the one of `first_hash` on that have room in the iterator's memory, one at least. Answers
    /// where the next pass begins; `None` if this is the last.
    ///
    /// # Errors
    /// `Memory`; those of loading a part of the index. The pass is then empty.
    pub fn collect(
        &mut self,
        shared: &Shared,
        first_hash: u64,
        options: &IterOptions,
    ) -> Result<Option<u64>> {
        let next = self.try_collect(shared, first_hash, options);
        if next.is_err() {
            self.release();
        }
        next
    }

    fn try_collect(
        &mut self,
        shared: &Shared,
        first_hash: u64,
        options: &IterOptions,
    ) -> Result<Option<u64>> {
        self.locations.clear();
        // Until the segments are pinned: what the index says under this guard stays meaningful under it.
        let guard = epoch::pin();
        let room = options.locations_at_a_time();
        self.reserve(room.min(usize::try_from(shared.index.len()).unwrap_or(room)))?;
        let mut next = Some(first_hash);
        while let Some(hash) = next {
            let expected = shared.index.keys_of_shard(&guard, hash);
            let is_first = hash == first_hash;
            if !is_first && self.locations.len() as u64 + expected > room as u64 {
                break;
            }
            next = shared.index.snapshot_shard(&guard, hash, &mut self.keys)?;
            if !options.prefix.is_empty() {
                keep_prefix(&mut self.keys, &options.prefix)?;
            }
            self.take_locations(shared, options, &guard)?;
            if !self.keys.entries().is_empty() {
                // Keys of one slab at a time.
                break;
            }
        }
        radix::sort(&mut self.locations, &mut self.spare, PIECE_BITS);
        self.pins.pin(&self.locations, &shared.segments, &guard)?;
        Ok(next)
    }

    /// Moves those of the collected entries whose records are to be read to the locations.
    fn take_locations(
        &mut self,
        shared: &Shared,
        options: &IterOptions,
        guard: &epoch::Guard,
    ) -> Result<()> {
        self.reserve(self.keys.entries().len())?;
        let locations = &mut self.locations;
        if !options.keys_only {
            locations.extend(self.keys.entries().iter().map(|it| it.location.raw()));
            self.keys.clear();
            return Ok(());
        }
        let mut scratch = Vec::new();
        self.keys.retain(|snapshot, entry| {
            let live = shared.segments.find(entry.location, guard);
            let may_expire = live.is_some_and(|live| live.segment.may_expire());
            let suffices = !may_expire && snapshot.key(entry, &mut scratch)?.is_some();
            if !suffices {
                locations.push(entry.location.raw());
            }
            Ok(suffices)
        })
    }

    /// Makes room for so many more locations, to be sorted.
    fn reserve(&mut self, more: usize) -> Result<()> {
        let no_memory = |_| Error::memory("an iterator");
        self.locations.try_reserve_exact(more).map_err(no_memory)?;
        let wanted = self.locations.len() + more;
        let missing = wanted.saturating_sub(self.spare.len());
        self.spare.try_reserve_exact(missing).map_err(no_memory)
    }

    /// Lets go of everything.
    pub fn release(&mut self) {
        *self = Self::default();
    }

    /// The location number `position`, if there are so many.
    #[inline]
    pub fn location(&self, position: usize) -> Option<Location> {
        self.locations
            .get(position)
            .copied()
            .and_then(Location::new)
    }
}

/// Takes out the keys that are in memory and do not begin with `prefix`.
fn keep_prefix(keys: &mut ShardSnapshot, prefix: &[u8]) -> Result<()> {
    let mut scratch = Vec::new();
    keys.retain(|keys, entry| {
        let key = keys.key(entry, &mut scratch)?;
        Ok(key.is_none_or(|key| key.starts_with(prefix)))
    })
}
