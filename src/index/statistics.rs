//! What an index holds and costs.

use super::Index;
use super::hash::KeyHash;
use super::shard::Shard;
use super::table::Table;
use crate::memory::epoch;
use crate::memory::placed::Placed;

/// Figures of an index. With writers at work they are those of slightly different moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStatistics {
    /// Keys.
    pub keys: u64,
    /// Bytes of RAM for buckets, references, directory and shards: everything but the slabs' pages.
    pub index_bytes: u64,
    /// Keys that belong into memory and are not there yet.
    pub missing_keys: u64,
    /// Bytes of all keys.
    pub key_bytes: u64,
    /// Pages of all key slabs, each of the configured size.
    pub slab_count: u64,
    /// Bytes of RAM of those pages.
    pub slab_allocated_bytes: u64,
    /// Bytes in them that belong to a key, its length included.
    pub slab_live_bytes: u64,
    /// Bytes in them that do not: removed keys and the ends of last pages.
    pub slab_wasted_bytes: u64,
    /// Shards.
    pub shards: u64,
    /// Slots for entries; keys divided by this is the load.
    pub slots: u64,
    /// Entries that found no place in either of their buckets.
    pub stash_entries: u64,
    /// Bytes of freed memory that is kept for reuse and not yet given back to the system, and of replaced tables and shards
    /// that some reader may still see.
    pub idle_bytes: u64,
}

impl<H: KeyHash> Index<H> {
    /// Number of keys. Takes no lock; counts up all shards.
    pub fn len(&self) -> u64 {
        let guard = epoch::pin();
        let shards = self.directory.load(&guard).shards();
        shards.map(|shard| shard.totals().keys).sum()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Current figures. Takes no lock that writers hold for long; goes through all shards.
    pub fn statistics(&self) -> IndexStatistics {
        let guard = epoch::pin();
        let directory = self.directory.load(&guard);
        let mut sum = IndexStatistics {
            index_bytes: (size_of::<Self>() + directory.bytes()) as u64,
            ..IndexStatistics::default()
        };
        let mut page_bytes = 0;
        for shard in directory.shards() {
            let (totals, table) = (shard.totals(), shard.table().load(&guard));
            sum.shards += 1;
            sum.keys += totals.keys;
            sum.missing_keys += totals.missing;
            sum.key_bytes = sum.key_bytes.wrapping_add(totals.key_bytes);
            sum.slab_live_bytes += totals.record_bytes;
            if let Some(keys) = table.keys() {
                sum.slab_count += keys.slab().page_count() as u64;
                sum.slab_allocated_bytes += keys.slab().allocated_bytes() as u64;
            }
            sum.slots += table.shape().all_slots();
            sum.stash_entries += table.stash_entries();
            sum.index_bytes += table.overhead_bytes() as u64;
            page_bytes += (Placed::<Shard>::CELL_BYTES + Placed::<Table>::CELL_BYTES) as u64;
            page_bytes += table.page_bytes() as u64;
        }
        sum.index_bytes += page_bytes;
        sum.slab_wasted_bytes = sum.slab_allocated_bytes.saturating_sub(sum.slab_live_bytes);
        let arena = self.memory.arena.statistics();
        let replaced =
            (arena.allocated_bytes as u64).saturating_sub(page_bytes + sum.slab_allocated_bytes);
        sum.idle_bytes = arena.idle_bytes as u64 + replaced;
        sum
    }
}
