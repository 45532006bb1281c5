//! Giving memory back on demand: what waits for its next use, and what removed keys have left behind.

use super::Index;
use super::growth::is_wasteful;
use super::hash::KeyHash;
use super::image::following;
use super::merge::Merge;
use super::rebuild::Plan;
use super::shape::Shape;
use crate::memory::budget::MemoryBudget;
use crate::memory::epoch;

/// If one part in so many of a slab is dead, its keys move to a new one.
const DEAD_PARTS: usize = 16;

impl<H: KeyHash> Index<H> {
    /// Gives pages that wait for their next use back to the system, with a region that was made ready.
    pub fn release_idle_memory(&self) {
        self.memory.arena.trim();
    }

    /// Moves the keys of shards with much waste into slabs of their own size, makes tables smaller that few keys are left of, and
    /// merges small shards, one after the other from that of `first_hash` on, until `go_on` says no. Answers where to go on;
    /// `None` at the end. Others wait no longer than one shard takes. Where the reserve is too small for a shard, it stays as
    /// it is.
    pub fn evacuate(&self, first_hash: u64, go_on: impl Fn() -> bool) -> Option<u64> {
        let mut next = Some(first_hash);
        while let Some(hash) = next
            && go_on()
        {
            next = self.evacuate_shard(hash);
            // So that what was replaced is there for the next shard.
            epoch::pin().flush();
        }
        next
    }

    /// Answers the first hash behind the shard.
    fn evacuate_shard(&self, hash: u64) -> Option<u64> {
        let guard = epoch::pin();
        let (shard, mut writer) = self.lock(&guard, hash);
        let next = following(hash, shard.depth());
        let table = shard.table().load(&guard);
        if table.is_absent() {
            return next;
        }
        let merged = MemoryBudget::with_reserve(|| self.merge(hash, shard, &mut writer, &guard));
        if matches!(merged, Ok(Merge::Done)) {
            // What they have become may have a small sibling.
            return Some(hash);
        }
        let fitting = Shape::for_entries(shard.totals().keys);
        let is_sparse = fitting.pages() * 9 < table.shape().pages() * 8;
        let is_wasteful = is_wasteful(shard, table, DEAD_PARTS)
            && shard.totals().record_bytes as usize + self.memory.slab_page_bytes
                <= table.slab_bytes();
        if is_sparse || is_wasteful {
            let plan = Plan {
                shape: if is_sparse { fitting } else { table.shape() },
                location_bits: table.encoding().location_bits(),
                fresh_slab: is_wasteful,
            };
            // Without memory for it the shard stays as it was.
            let _ =
                MemoryBudget::with_reserve(|| self.replace_table(shard, &mut writer, plan, &guard));
        }
        next
    }
}
