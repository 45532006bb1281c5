//! The writer's side of a table: finding a place for an entry, filling it, clearing it.

use std::sync::atomic::Ordering;

use super::Location;
use super::bucket::{Bucket, Content, Overflow, Slots};
use super::encoding::lane;
use super::table::{Position, Table};
use crate::memory::prefetch::prefetch;

/// So many entries of a full bucket are looked at together for one that can move, so that the misses overlap. More
/// would mostly be looked at in vain, after one that can.
const LOOKED_AT_TOGETHER: usize = 4;

/// A free slot chosen for a new entry.
pub(super) struct Place {
    home: usize,
    tag: u64,
    position: Position,
}

impl Place {
    /// Where the slot is.
    pub(super) fn position(&self) -> Position {
        self.position
    }
}

/// All of these are for the writer only, who holds the shard's lock or has the table to himself.
impl Table {
    /// Chooses a free slot for a new entry, moving another one out of the way if need be; `None` if there is
    /// no room.
    #[inline(always)]
    pub(super) fn reserve(&self, fingerprint: u64) -> Option<Place> {
        let (home, tag) = self.encoding().home_and_tag(fingerprint);
        let position = match self.free(home) {
            Some(position) => position,
            None => self.reserve_elsewhere(home, tag)?,
        };
        Some(Place {
            home,
            tag,
            position,
        })
    }

    fn reserve_elsewhere(&self, home: usize, tag: u64) -> Option<Position> {
        let second = self.other(home, lane(tag));
        self.free(second)
            .or_else(|| self.make_room(home))
            .or_else(|| self.make_room(second))
            .or_else(|| self.stash().find_map(|bucket| self.free(bucket)))
    }

    /// Puts an entry into a chosen slot; without a location, one that readers do not find yet.
    #[inline(always)]
    pub(super) fn fill(
        &self,
        place: &Place,
        location: impl Into<Option<Location>>,
        reference: u32,
    ) {
        let Place {
            home,
            tag,
            position,
        } = *place;
        let overflow = self.overflow_of(home, position.bucket);
        let field = match location.into() {
            Some(location) => self.encoding().field(tag, location),
            None => self.encoding().field_without_location(tag),
        };
        let content = Content::new(lane(tag), field);
        let displaced = overflow == Some(Overflow::Second);
        let change = self.change();
        self.slots(position.bucket)
            .set(position.slot, content, displaced);
        self.set_reference(position, reference);
        if overflow == Some(Overflow::Stash) {
            self.set_stash_home(position, home);
        }
        if let Some(overflow) = overflow {
            self.slots(home).add_overflow(overflow);
        }
        drop(change);
        self.count_stash(overflow, 1);
    }

    /// Replaces the location of an entry.
    #[inline(always)]
    pub(super) fn set_location(&self, position: Position, location: Location) {
        let slots = self.slots(position.bucket);
        let content = slots.content(position.slot);
        let field = self.encoding().with_location(content.field(), location);
        let content = Content::new(content.tag(), field);
        let _change = self.change();
        slots.write(position.slot, content);
    }

    /// Notes where in the slab the key of an entry is from now on.
    pub(super) fn supply_reference(&self, position: Position, reference: u32) {
        let _change = self.change();
        self.set_reference(position, reference);
    }

    /// Removes the entry with `hash` at `position`.
    pub(super) fn clear(&self, hash: u64, position: Position) {
        let (home, _) = self.home(hash);
        self.clear_at(home, position);
    }

    /// Removes the entry at `position` that has this home.
    pub(super) fn clear_at(&self, home: usize, position: Position) {
        let overflow = self.overflow_of(home, position.bucket);
        let change = self.change();
        self.slots(position.bucket).clear(position.slot);
        if let Some(overflow) = overflow {
            self.slots(home).remove_overflow(overflow);
        }
        drop(change);
        self.count_stash(overflow, -1);
    }

    #[inline]
    fn slots(&self, bucket: usize) -> Slots<'_> {
        Slots(self.line(bucket))
    }

    #[inline]
    fn overflow_of(&self, home: usize, bucket: usize) -> Option<Overflow> {
        if bucket == home {
            None
        } else if bucket < self.stash().start {
            Some(Overflow::Second)
        } else {
            Some(Overflow::Stash)
        }
    }

    #[inline]
    fn count_stash(&self, overflow: Option<Overflow>, change: i32) {
        if overflow == Some(Overflow::Stash) {
            let entries = self.stash_entries.load(Ordering::Relaxed);
            let entries = entries.saturating_add_signed(change);
            self.stash_entries.store(entries, Ordering::Relaxed);
        }
    }

    #[inline]
    fn free(&self, bucket: usize) -> Option<Position> {
        let slot = self.slots(bucket).free()?;
        Some(Position { bucket, slot })
    }

    /// Moves an entry of a full bucket to its other bucket, if one has room there.
    fn make_room(&self, crowded: usize) -> Option<Position> {
        let bucket = Bucket::load(self.line(crowded));
        // The homes of guests were full when they came, and few are not any more.
        let guests = bucket.displaced();
        let natives = bucket.occupied() & !guests;
        self.move_one_of(natives, &bucket, crowded)
            .or_else(|| self.move_one_of(guests, &bucket, crowded))
    }

    /// Moves an entry in one of the `slots` of a bucket to its other bucket, if one has room there.
    fn move_one_of(&self, mut slots: u32, bucket: &Bucket, crowded: usize) -> Option<Position> {
        let mut others = [self.place(crowded); LOOKED_AT_TOGETHER];
        while slots != 0 {
            let mut ahead = slots;
            for other in &mut others {
                // Once there are no more, the crowded bucket itself, which has no room.
                *other = self.place(match ahead {
                    0 => crowded,
                    _ => self.other(crowded, bucket.tag(ahead.trailing_zeros() as usize)),
                });
                prefetch(other.line);
                ahead &= ahead.wrapping_sub(1);
            }
            for other in &others {
                if let Some(slot) = Slots(other.line).free() {
                    let from = Position {
                        bucket: crowded,
                        slot: slots.trailing_zeros() as usize,
                    };
                    let to = Position {
                        bucket: other.bucket,
                        slot,
                    };
                    self.relocate(bucket, from, to);
                    return Some(from);
                }
                slots &= slots.wrapping_sub(1);
            }
        }
        None
    }

    fn relocate(&self, bucket: &Bucket, from: Position, to: Position) {
        let content = Content::new(bucket.tag(from.slot), bucket.field(from.slot));
        let was_displaced = bucket.displaced() >> from.slot & 1 == 1;
        let reference = self.reference(from);
        let home = if was_displaced {
            to.bucket
        } else {
            from.bucket
        };
        let _change = self.change();
        let moves = self.moves.load(Ordering::Relaxed);
        self.moves.store(moves.wrapping_add(1), Ordering::Relaxed);
        self.slots(to.bucket).set(to.slot, content, !was_displaced);
        self.set_reference(to, reference);
        self.slots(from.bucket).clear(from.slot);
        if was_displaced {
            self.slots(home).remove_overflow(Overflow::Second);
        } else {
            self.slots(home).add_overflow(Overflow::Second);
        }
    }
}
