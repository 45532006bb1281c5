//! A bucket: ten slots and a header in one 64-byte line.
//!
//! Words 0–4 hold ten 32-bit lower halves of locations; words 5, 6 and the lower half of word 7 hold ten
//! 16-bit lanes {tag 12 | upper location bits 4}; the upper half of word 7 is the header: ten bits "occupied", ten
//! bits "displaced" (the entry sits in its second bucket), and two 6-bit counts of entries whose home is this
//! bucket but that live in their second bucket or in the stash.
//!
//! A `Bucket` is a private copy: readers take one inside a version window, writers change one and store it back.

use std::sync::atomic::Ordering;

use super::Location;
use crate::memory::page_list::Line;

/// Slots of a bucket.
pub(super) const SLOTS: usize = 10;

/// Width of a tag in bits.
pub(super) const TAG_BITS: u32 = 12;

const ALL_SLOTS: u32 = (1 << SLOTS) - 1;
const HEADER_SHIFT: u32 = 32;
const DISPLACED_SHIFT: u32 = HEADER_SHIFT + SLOTS as u32;
const UPPER_LOCATION_BITS: u32 = Location::BITS - 32;

/// One in each 16-bit lane.
const LANES: u64 = 0x0001_0001_0001_0001;

/// Multiplying by this brings the lowest bits of the four lanes together in bits 48 to 51.
const GATHER: u64 = 1 << 48 | 1 << 33 | 1 << 18 | 1 << 3;

/// Where an entry of the home bucket went instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    Second,
    Stash,
}

impl Overflow {
    const MAXIMUM: u64 = 0x3f;

    fn shift(self) -> u32 {
        match self {
            Self::Second => 52,
            Self::Stash => 58,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Bucket([u64; 8]);

impl Bucket {
    #[inline]
    pub(super) fn load(line: &Line) -> Self {
        Self(std::array::from_fn(|word| {
            line.0[word].load(Ordering::Relaxed)
        }))
    }

    #[inline]
    pub(super) fn store(&self, line: &Line) {
        for (word, value) in line.0.iter().zip(self.0) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// A bit for each occupied slot.
    #[inline]
    pub(super) fn occupied(&self) -> u32 {
        (self.0[7] >> HEADER_SHIFT) as u32 & ALL_SLOTS
    }

    /// A bit for each slot whose entry sits in its second bucket.
    #[inline]
    pub(super) fn displaced(&self) -> u32 {
        (self.0[7] >> DISPLACED_SHIFT) as u32 & ALL_SLOTS
    }

    /// The lowest free slot.
    #[inline]
    pub(super) fn free_slot(&self) -> Option<usize> {
        let slot = (!self.occupied()).trailing_zeros() as usize;
        (slot < SLOTS).then_some(slot)
    }

    /// A bit for each occupied slot with this tag: all lanes of a word compared at once.
    #[inline]
    pub(super) fn matches(&self, tag: u32) -> u32 {
        let tags = u64::from(tag) * LANES;
        let equal = |word: u64| {
            // Per lane a 12-bit difference; 0x1000 minus it keeps bit 12 only if it is zero, and never borrows.
            let difference = (word >> UPPER_LOCATION_BITS & (LANES * 0xfff)) ^ tags;
            let zero = (LANES * 0x1000 - difference) >> TAG_BITS & LANES;
            (zero.wrapping_mul(GATHER) >> 48) as u32
        };
        (equal(self.0[5]) | equal(self.0[6]) << 4 | equal(self.0[7]) << 8) & self.occupied()
    }

    #[inline]
    fn lane(&self, slot: usize) -> u64 {
        self.0[5 + slot / 4] >> (slot % 4 * 16) & 0xffff
    }

    #[inline]
    pub(super) fn tag(&self, slot: usize) -> u32 {
        (self.lane(slot) >> UPPER_LOCATION_BITS) as u32
    }

    /// The location in an occupied slot; `None` for a free one.
    #[inline]
    pub(super) fn location(&self, slot: usize) -> Option<Location> {
        let lower = self.0[slot / 2] >> (slot % 2 * 32) & 0xffff_ffff;
        let upper = self.lane(slot) & ((1 << UPPER_LOCATION_BITS) - 1);
        Location::new(upper << 32 | lower)
    }

    pub(super) fn set(&mut self, slot: usize, tag: u32, location: Location, displaced: bool) {
        self.write(slot, tag, location.raw());
        self.0[7] |= 1 << (HEADER_SHIFT + slot as u32);
        self.0[7] |= u64::from(displaced) << (DISPLACED_SHIFT + slot as u32);
    }

    pub(super) fn set_location(&mut self, slot: usize, location: Location) {
        self.write(slot, self.tag(slot), location.raw());
    }

    pub(super) fn clear(&mut self, slot: usize) {
        self.write(slot, 0, 0);
        self.0[7] &= !(1 << (HEADER_SHIFT + slot as u32) | 1 << (DISPLACED_SHIFT + slot as u32));
    }

    fn write(&mut self, slot: usize, tag: u32, location: u64) {
        let shift = slot % 2 * 32;
        let lower = location & 0xffff_ffff;
        self.0[slot / 2] = self.0[slot / 2] & !(0xffff_ffff << shift) | lower << shift;
        let shift = slot % 4 * 16;
        let lane = u64::from(tag) << UPPER_LOCATION_BITS | location >> 32;
        self.0[5 + slot / 4] = self.0[5 + slot / 4] & !(0xffff << shift) | lane << shift;
    }

    /// How many entries of this home live elsewhere; at the counter's maximum, that many or more.
    #[inline]
    pub(super) fn overflow(&self, overflow: Overflow) -> u64 {
        self.0[7] >> overflow.shift() & Overflow::MAXIMUM
    }

    pub(super) fn add_overflow(&mut self, overflow: Overflow) {
        if self.overflow(overflow) < Overflow::MAXIMUM {
            self.0[7] += 1 << overflow.shift();
        }
    }

    /// Takes back [`Bucket::add_overflow`]. A count that reached its maximum stays there until the next
    /// rebuild: it no longer knows how many there are.
    pub(super) fn remove_overflow(&mut self, overflow: Overflow) {
        let count = self.overflow(overflow);
        debug_assert!(count > 0, "an entry lived elsewhere, so it was counted");
        if count > 0 && count < Overflow::MAXIMUM {
            self.0[7] -= 1 << overflow.shift();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(slot: usize) -> Location {
        Location::new((slot as u64 + 1) * 0x0765_4321_f % (1 << 36)).unwrap()
    }

    #[test]
    fn slots_keep_what_was_set_and_do_not_touch_each_other() {
        let mut bucket = Bucket([0; 8]);
        for slot in [3, 0, 9, 8, 5, 1, 2, 7, 4, 6] {
            bucket.set(slot, 0xfff - slot as u32, location(slot), slot % 3 == 0);
        }
        assert_eq!(bucket.free_slot(), None);
        assert_eq!(bucket.displaced(), 0b10_0100_1001);
        for slot in 0..SLOTS {
            assert_eq!(bucket.tag(slot), 0xfff - slot as u32);
            assert_eq!(bucket.location(slot), Some(location(slot)));
        }
        bucket.set_location(6, location(60));
        bucket.clear(9);
        assert_eq!(bucket.free_slot(), Some(9));
        assert_eq!(
            (bucket.location(6), bucket.location(9)),
            (Some(location(60)), None)
        );
        assert_eq!((bucket.tag(6), bucket.displaced()), (0xff9, 0b00_0100_1001));
        assert_eq!(bucket.location(8), Some(location(8)));
    }

    #[test]
    fn exactly_the_occupied_slots_with_the_tag_match() {
        for tag in 0..1_u32 << TAG_BITS {
            let mut bucket = Bucket([0; 8]);
            let other = [
                tag ^ 1,
                tag ^ 0x800,
                (tag + 1) & 0xfff,
                (tag + 0xfff) & 0xfff,
            ];
            let pattern = tag.wrapping_mul(0x9e37_79b9) >> 22;
            for slot in 0..SLOTS {
                let equal = pattern >> slot & 1 == 1;
                let tag = if equal { tag } else { other[slot % 4] };
                bucket.set(slot, tag, location(slot), false);
            }
            assert_eq!(bucket.matches(tag), pattern);
            let lowest = pattern.trailing_zeros();
            if pattern != 0 {
                bucket.clear(lowest as usize);
                assert_eq!(bucket.matches(tag), pattern & (pattern - 1));
                assert_eq!(
                    bucket.matches(0) >> lowest & 1,
                    0,
                    "free slots match nothing"
                );
            }
        }
    }

    #[test]
    fn overflow_counts_are_separate_and_stick_at_their_maximum() {
        let mut bucket = Bucket([0; 8]);
        for count in 1..=62 {
            bucket.add_overflow(Overflow::Stash);
            assert_eq!(
                (
                    bucket.overflow(Overflow::Second),
                    bucket.overflow(Overflow::Stash)
                ),
                (0, count)
            );
        }
        bucket.add_overflow(Overflow::Second);
        bucket.remove_overflow(Overflow::Stash);
        assert_eq!(
            (
                bucket.overflow(Overflow::Second),
                bucket.overflow(Overflow::Stash)
            ),
            (1, 61)
        );
        for _ in 0..1000 {
            bucket.add_overflow(Overflow::Second);
        }
        bucket.remove_overflow(Overflow::Second);
        assert_eq!(
            (
                bucket.overflow(Overflow::Second),
                bucket.overflow(Overflow::Stash)
            ),
            (63, 61)
        );
        assert_eq!((bucket.occupied(), bucket.displaced()), (0, 0));
    }
}
