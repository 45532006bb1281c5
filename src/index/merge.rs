//! Two shards that have become small are put together again: the inverse of a split.
//!
//! The locks of both are held, the second one only if nobody has it, so that no two writers wait for each other; readers go on
//! in the old tables. Two shards are merged from five eighths of what a shard holds when it splits, so that a third of the keys
//! must come, or go, before what has been done is undone.

use super::copier::{Part, Source};
use super::directory::Directory;
use super::encoding::Encoding;
use super::hash::KeyHash;
use super::rebuild::Plan;
use super::shape::Shape;
use super::shard::{MERGED_SLAB_BYTES, Shard, Totals, Writer};
use super::table::Half;
use super::{Index, Location};
use crate::error::Result;
use crate::memory::budget::MemoryBudget;
use crate::memory::epoch::Guard;

/// What became of two shards that might be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merge {
    /// They are one.
    Done,
    /// They are as they were: too large, or one of them is split or not all there.
    No,
    /// They are as they were, because somebody writes to the sibling.
    Later,
}

impl<H: KeyHash> Index<H> {
    /// Merges a locked shard, to which `hash` leads, with its sibling, if both are small.
    ///
    /// # Errors
    /// `Memory`, and both are as they were.
    pub(super) fn merge(
        &self,
        hash: u64,
        shard: &Shard,
        writer: &mut Writer,
        guard: &Guard,
    ) -> Result<Merge> {
        let directory = self.directory.load(guard);
        // What is not loaded yet is looked for by the hashes it had from the beginning.
        if self.absent_shards() > 0 {
            return Ok(Merge::No);
        }
        let Some(sibling) = directory.sibling(hash, shard.depth()) else {
            return Ok(Merge::No);
        };
        if !are_small(shard.totals().joined(sibling.totals())) {
            return Ok(Merge::No);
        }
        let Some(mut of_sibling) = sibling.writer().try_lock() else {
            return Ok(Merge::Later);
        };
        let totals = shard.totals().joined(sibling.totals());
        let is_upper = hash >> (u64::BITS - shard.depth()) & 1 == 1;
        let [lower, upper] = match is_upper {
            false => [shard, sibling],
            true => [sibling, shard],
        };
        let sources = [(lower, Half::Lower), (upper, Half::Upper)].map(|(shard, half)| Source {
            table: shard.table().load(guard),
            part: Part::Into(half),
        });
        if of_sibling.retired || !are_small(totals) || !tells_all_shards_apart(&sources, directory)
        {
            return Ok(Merge::No);
        }
        let location_bits = sources.map(|source| source.table.encoding().location_bits());
        let in_stash = sources.map(|source| source.table.stash_entries());
        let plan = Plan {
            shape: Shape::for_entries(totals.keys).with_stash_for(in_stash[0] + in_stash[1]),
            location_bits: location_bits[0].max(location_bits[1]),
            fresh_slab: true,
        };
        let built = self.build(&sources, plan, totals, guard)?;
        let whole = self
            .memory
            .shard(built.table, built.appender, built.totals)?;
        let _one_change_at_a_time = self.restructuring.lock();
        let directory = self.directory.load(guard).merge(hash, whole)?;
        self.directory.store(directory, guard);
        (writer.retired, of_sibling.retired) = (true, true);
        guard.flush();
        Ok(Merge::Done)
    }

    /// The same for the shard of `hash`, which the thread has not locked. If memory is short nothing happens.
    #[cold]
    pub(super) fn merge_around(&self, hash: u64, guard: &Guard) {
        let (shard, mut writer) = self.lock(guard, hash);
        let _ = MemoryBudget::with_reserve(|| self.merge(hash, shard, &mut writer, guard));
    }
}

/// Whether what two shards hold is little enough for one.
fn are_small(totals: Totals) -> bool {
    totals.keys <= Shape::most_to_merge() && totals.record_bytes <= MERGED_SLAB_BYTES
}

/// Whether a table made of `sources` and all tables to come of it will know enough of its entries' hashes to tell in which of the shards
/// each would be that there ever were: who goes through the shards may have come to the end of any of them.
fn tells_all_shards_apart(sources: &[Source<'_>; 2], directory: &Directory) -> bool {
    let [lower, upper] = sources;
    let depth = lower.table.depth() - 1;
    let known = lower.known_bits().min(upper.known_bits());
    let smallest = Shape::for_entries(0).main;
    let least = Encoding::new(smallest, depth, Location::BITS, Some(known));
    depth + least.fingerprint_bits() >= directory.deepest()
}
