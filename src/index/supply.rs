//! Bringing keys into memory that an index opened from an image does not hold yet.

use super::growth::{Newcomer, Shortage};
use super::hash::KeyHash;
use super::probe::Comparison;
use super::shard::{Shard, Writer};
use super::table::{NO_REFERENCE, Position, Table};
use super::{Index, Location, epoch::Guard};
use crate::error::Result;

/// Whether the key of the entry at `position` belongs into memory and is not there. For the holder of the shard's lock.
#[inline(always)]
pub(super) fn is_missing(shard: &Shard, table: &Table, position: Position) -> bool {
    shard.missing_keys() > 0 && table.reference(position) == NO_REFERENCE
}

impl<H: KeyHash> Index<H> {
    /// Takes note that the record at `location` is one of `key`, whose hash is `hash`: if there is an entry of that
    /// record and its key belongs into memory but is not there yet, it is now. The key's shard must be present. Waits for
    /// other writers of the shard.
    ///
    /// # Errors
    /// As for an insertion: `Memory`; `TooLarge` if too many keys share one hash. The key stays on disk then.
    pub fn supply_key(
        &self,
        guard: &Guard,
        hash: u64,
        key: &[u8],
        location: Location,
    ) -> Result<()> {
        loop {
            // Keys never become missing, so that this needs no lock.
            if self.directory.load(guard).shard(hash).missing_keys() == 0 {
                return Ok(());
            }
            let (shard, mut writer) = self.lock(guard, hash);
            let table = shard.table().load(guard);
            let found = table.locate(hash, |reference, candidate| {
                match candidate == location && reference == NO_REFERENCE {
                    true => Comparison::Match(None),
                    false => Comparison::Other,
                }
            })?;
            let Some(found) = found else {
                return Ok(());
            };
            match self.supply(shard, &mut writer, table, found.position, key) {
                Ok(()) => return Ok(()),
                Err(shortage) => {
                    let newcomer = Newcomer {
                        hash,
                        location_bits: 0,
                    };
                    self.make_room(shard, &mut writer, newcomer, shortage, guard)?;
                }
            }
        }
    }

    /// How many keys belong into memory and are not there yet. Takes no lock; counts up all shards.
    pub fn missing_keys(&self) -> u64 {
        let guard = super::epoch::pin();
        let shards = self.directory.load(&guard).shards();
        shards.map(Shard::missing_keys).sum()
    }

    /// Brings `key` into memory, which belongs there and is that of the entry at `position`, one that [`is_missing`].
    #[inline(never)]
    pub(super) fn supply(
        &self,
        shard: &Shard,
        writer: &mut Writer,
        table: &Table,
        position: Position,
        key: &[u8],
    ) -> std::result::Result<(), Shortage> {
        if writer.is_slab_short(table, key.len()) {
            return Err(Shortage::Slab);
        }
        let Some(appender) = &mut writer.appender else {
            return Ok(());
        };
        // Without memory for it, the key stays on disk, and the next one who needs it tries again.
        if let Ok(reference) = appender.append(key) {
            table.supply_reference(position, reference);
            let mut totals = shard.totals();
            totals.supply(key.len());
            shard.set_totals(totals);
        }
        Ok(())
    }
}
