//! Entries by their locations: compaction moves them, and does not care for their keys.

use super::entry::Occupied;
use super::growth::{Newcomer, Shortage};
use super::hash::KeyHash;
use super::image::following;
use super::{Index, Location};
use crate::error::Result;
use crate::memory::epoch::{self, Guard};

impl<H: KeyHash> Index<H> {
    /// Whether there is an entry with `hash` that refers to `location`. The shard must be present.
    #[inline]
    pub fn refers_to(&self, guard: &Guard, hash: u64, location: Location) -> bool {
        let found = self.find(guard, hash, |found| (found == location).then_some(()));
        found.is_some()
    }

    /// Locks the shard of the entry with `hash` that refers to `location`, if there is one; its key has `key_length` bytes.
    /// The shard must be present. Waits for other writers of the shard.
    pub fn occupied_at<'i>(
        &'i self,
        guard: &'i Guard,
        hash: u64,
        location: Location,
        key_length: usize,
    ) -> Option<Occupied<'i, H>> {
        let locked = self.lock_table(guard, hash);
        let found = locked.table.first(hash, |found| found == location)?;
        Some(Occupied {
            locked,
            found,
            key_length,
        })
    }

    /// Makes every shard able to take locations of `location_bits` bits in the place of others. All shards must be present.
    ///
    /// # Errors
    /// `Memory`; some shards may have become able then.
    pub fn widen(&self, location_bits: u32) -> Result<()> {
        let mut next = Some(0);
        while let Some(hash) = next {
            let guard = epoch::pin();
            let (shard, mut writer) = self.lock(&guard, hash);
            next = following(hash, shard.depth());
            let table = shard.table().load(&guard);
            if table.encoding().location_bits() < location_bits {
                let newcomer = Newcomer {
                    hash,
                    location_bits,
                };
                let shortage = Shortage::LocationBits;
                self.make_room(shard, &mut writer, newcomer, shortage, &guard)?;
            }
        }
        Ok(())
    }
}
