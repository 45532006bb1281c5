//! The place of one key in the index, under the lock of its shard.

use parking_lot::MutexGuard;

use super::hash::{KeyHash, SeededHash};
use super::placement::Place;
use super::probe::Found;
use super::shard::{KeyPlace, Shard, Writer};
use super::table::Table;
use super::{Index, Location};
use crate::memory::epoch::Guard;

/// What [`Index::entry`] found. The key's shard stays locked until this is used up or dropped: other writers
/// of the shard wait, readers do not.
pub enum Entry<'i, H: KeyHash = SeededHash> {
    /// The key is there.
    Occupied(Occupied<'i, H>),
    /// The key is not there; all it needs is reserved.
    Vacant(Vacant<'i>),
}

/// The shard that a hash leads to, locked.
pub(super) struct Locked<'i, H: KeyHash> {
    pub(super) index: &'i Index<H>,
    pub(super) guard: &'i Guard,
    pub(super) shard: &'i Shard,
    pub(super) writer: MutexGuard<'i, Writer>,
    pub(super) table: &'i Table,
    pub(super) hash: u64,
}

/// A key that is in the index.
pub struct Occupied<'i, H: KeyHash = SeededHash> {
    pub(super) locked: Locked<'i, H>,
    pub(super) found: Found,
    pub(super) key_length: usize,
}

/// A key that is not in the index, with a slot and slab bytes reserved for it. Dropping it instead of
/// inserting gives both back.
pub struct Vacant<'i> {
    pub(super) shard: &'i Shard,
    pub(super) writer: MutexGuard<'i, Writer>,
    pub(super) table: &'i Table,
    pub(super) place: Place,
    pub(super) reference: u32,
    pub(super) key_length: usize,
}

impl<H: KeyHash> Occupied<'_, H> {
    /// The key's location.
    #[inline(always)]
    pub fn location(&self) -> Location {
        self.found.location
    }

    /// How many bytes the key's record, a put, takes on disk; `None` if nobody has looked at it yet.
    #[inline(always)]
    pub fn stored_bytes(&self) -> Option<u64> {
        self.found.stored_bytes
    }

    /// Gives the key another location, which has no more bits than [`Index::entry`] was told.
    #[inline(always)]
    pub fn replace(self, location: Location) {
        self.locked
            .table
            .set_location(self.found.position, location);
    }

    /// Removes the key. Now and then this makes the shard smaller or merges it with its sibling, in less time than an
    /// insertion takes that splits one.
    pub fn remove(self) {
        let Locked {
            index,
            guard,
            shard,
            mut writer,
            table,
            hash,
        } = self.locked;
        let position = self.found.position;
        table.clear(hash, position);
        let place = KeyPlace::of(table, table.reference(position));
        let mut totals = shard.totals();
        totals.remove(self.key_length, place);
        shard.set_totals(totals);
        writer.removals += 1;
        index.make_smaller(hash, shard, &mut writer, guard);
    }
}

impl Vacant<'_> {
    /// Puts the key into the index. `location` has no more bits than [`Index::entry`] was told.
    #[inline(always)]
    pub fn insert(mut self, location: Location) {
        // The key first: whoever sees the slot can follow its reference.
        if let Some(appender) = &mut self.writer.appender {
            appender.publish();
        }
        self.table.fill(&self.place, location, self.reference);
        let mut totals = self.shard.totals();
        totals.add(self.key_length, KeyPlace::of(self.table, self.reference));
        self.shard.set_totals(totals);
    }
}
