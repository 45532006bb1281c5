//! What one shard holds at one moment, copied out of it.

use std::sync::Arc;

use super::bucket::Bucket;
use super::hash::KeyHash;
use super::image::following;
use super::table::{NO_REFERENCE, Position, Table, load_reference};
use super::{Index, Location};
use crate::error::{Error, Result};
use crate::memory::epoch::Guard;
use crate::memory::key_slab::KeySlab;

/// How many entries ahead memory is brought near.
const AHEAD: usize = 12;

/// The entries of one shard at one moment, in no particular order. The keys in memory stay readable as long as this holds
/// them.
#[derive(Default)]
pub struct ShardSnapshot {
    slab: Option<Arc<KeySlab>>,
    entries: Vec<SnapshotEntry>,
}

/// An entry of a [`ShardSnapshot`].
#[derive(Clone, Copy, Debug)]
pub struct SnapshotEntry {
    /// Where the record of the key lay.
    pub location: Location,
    reference: u32,
}

impl ShardSnapshot {
    /// The entries.
    pub fn entries(&self) -> &[SnapshotEntry] {
        &self.entries
    }

    /// The key of `entry`, one of these, in place or in `scratch`; `None` if it is not in memory.
    ///
    /// # Errors
    /// `Memory` if a key that lies across two pages cannot be put together.
    #[inline]
    pub fn key<'a>(
        &'a self,
        entry: SnapshotEntry,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>> {
        match &self.slab {
            Some(slab) if entry.reference != NO_REFERENCE => {
                slab.key(entry.reference, scratch).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Brings the beginning of the key of `entry` near, if it is in memory.
    #[inline]
    pub fn prefetch_key(&self, entry: SnapshotEntry) {
        if let Some(slab) = &self.slab
            && entry.reference != NO_REFERENCE
        {
            slab.prefetch(entry.reference);
        }
    }

    /// Keeps those entries that `keep` accepts. After an error of it, which ends this, any of them are left.
    ///
    /// # Errors
    /// Those of `keep`.
    pub fn retain(
        &mut self,
        mut keep: impl FnMut(&Self, SnapshotEntry) -> Result<bool>,
    ) -> Result<()> {
        let mut kept = 0;
        for position in 0..self.entries.len() {
            if let Some(later) = self.entries.get(position + AHEAD) {
                self.prefetch_key(*later);
            }
            let entry = self.entries[position];
            if keep(self, entry)? {
                self.entries[kept] = entry;
                kept += 1;
            }
        }
        self.entries.truncate(kept);
        Ok(())
    }

    /// Lets go of the keys and entries.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.slab = None;
    }
}

impl<H: KeyHash> Index<H> {
    /// Number of keys in the shard that `hash` leads to.
    pub fn keys_of_shard(&self, guard: &Guard, hash: u64) -> u64 {
        self.directory.load(guard).shard(hash).totals().keys
    }

    /// Fills `snapshot` with the entries of the shard that `hash` leads to, loading it first if need be. Writers of that
    /// shard wait as long as it takes to copy the shard's buckets. Answers the lowest hash behind the shard; `None` behind
    /// the last. `hash` is 0 or such an answer; what the shard has got before it, by being merged with its sibling since, is
    /// left out. So, following these answers from 0 on, every hash is met once, whatever happens to the shards on the way.
    ///
    /// # Errors
    /// `Memory`; those of [`Index::make_present`].
    pub fn snapshot_shard(
        &self,
        guard: &Guard,
        hash: u64,
        snapshot: &mut ShardSnapshot,
    ) -> Result<Option<u64>> {
        self.make_present(guard, hash)?;
        snapshot.clear();
        let no_memory = |_| Error::memory("a snapshot of a part of the index");
        loop {
            // Reserved without the lock, so that no writer waits for the system to find memory.
            let expected = usize::try_from(self.keys_of_shard(guard, hash)).unwrap_or(usize::MAX);
            snapshot.entries.try_reserve(expected).map_err(no_memory)?;
            let (shard, _writer) = self.lock(guard, hash);
            if shard.totals().keys > snapshot.entries.capacity() as u64 {
                continue;
            }
            let table = shard.table().load(guard);
            let least = table.encoding().fingerprint_of(hash);
            for number in 0..table.stash().end {
                let bucket = Bucket::load(table.line(number));
                let references = table.keys().map(|keys| keys.references(number));
                let mut slots = bucket.occupied();
                while slots != 0 {
                    let slot = slots.trailing_zeros() as usize;
                    slots &= slots - 1;
                    if least > 0 && fingerprint(table, &bucket, number, slot) < least {
                        continue;
                    }
                    // Without a location it is only reserved, by a batch that is not written yet.
                    if let Some(location) = table.encoding().location(bucket.field(slot)) {
                        debug_assert!(snapshot.entries.len() < snapshot.entries.capacity());
                        snapshot.entries.push(SnapshotEntry {
                            location,
                            reference: references
                                .map_or(NO_REFERENCE, |bytes| load_reference(bytes, slot)),
                        });
                    }
                }
            }
            snapshot.slab = table.keys().map(|keys| keys.slab().clone());
            return Ok(following(hash, shard.depth()));
        }
    }
}

/// What is known of the hash of the entry in `slot` of a bucket.
#[cold]
fn fingerprint(table: &Table, bucket: &Bucket, number: usize, slot: usize) -> u64 {
    let position = Position {
        bucket: number,
        slot,
    };
    let home = table.home_of(bucket, position);
    let encoding = table.encoding();
    encoding.fingerprint(home, encoding.tag(bucket.tag(slot), bucket.field(slot)))
}
