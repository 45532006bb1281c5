//! A bucket: ten slots and a header in one 64-byte line.
//!
//! Words 0–4 hold the lower 32 bits of ten fields; words 5, 6 and the lower half of word 7 hold ten
//! 16-bit lanes {12 tag bits | upper 4 bits of the field}; the upper half of word 7 is the header: ten bits "occupied", ten
//! bits "displaced" (the entry sits in its second bucket), and two 6-bit counts of entries whose home is this
//! bucket but that live in their second bucket or in the stash.
//!
//! Readers copy what they need, lanes and header first ([`Lanes`]), inside a version window; who has the table to himself copies a
//! bucket as a whole ([`Bucket`]). The writer changes single words in place ([`Slots`]).

use std::ops::Deref;
use std::sync::atomic::Ordering;

use crate::memory::lanes::equal_lanes;
use crate::memory::page_list::WordLine;

/// Slots of a bucket.
pub(super) const SLOTS: usize = 10;

/// Width of the part of a tag that is compared for all slots at once, in bits.
pub(super) const TAG_BITS: u32 = 12;

/// Width of what else a slot holds, of which a bucket knows nothing.
pub(super) const FIELD_BITS: u32 = 36;

/// The word that the lanes begin with.
const FIRST_LANES: usize = 5;

const ALL_SLOTS: u32 = (1 << SLOTS) - 1;
const HEADER_SHIFT: u32 = 32;
const DISPLACED_SHIFT: u32 = HEADER_SHIFT + SLOTS as u32;
const OVERFLOW_SHIFT: u32 = DISPLACED_SHIFT + SLOTS as u32;
const UPPER_FIELD_BITS: u32 = FIELD_BITS - 32;

/// Where an entry of the home bucket went instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    Second,
    Stash,
}

impl Overflow {
    pub(super) const MAXIMUM: u64 = 0x3f;

    fn shift(self) -> u32 {
        match self {
            Self::Second => OVERFLOW_SHIFT,
            Self::Stash => OVERFLOW_SHIFT + 6,
        }
    }
}

/// A copy of a bucket's lanes and header: all that tells which slots are worth a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lanes([u64; 3]);

impl Lanes {
    #[inline]
    pub(super) fn load(line: &WordLine) -> Self {
        Self(std::array::from_fn(|word| {
            line.0[FIRST_LANES + word].load(Ordering::Relaxed)
        }))
    }

    /// A bit for each occupied slot.
    #[inline]
    pub(super) fn occupied(&self) -> u32 {
        (self.0[2] >> HEADER_SHIFT) as u32 & ALL_SLOTS
    }

    /// A bit for each slot whose entry sits in its second bucket.
    #[inline]
    pub(super) fn displaced(&self) -> u32 {
        (self.0[2] >> DISPLACED_SHIFT) as u32 & ALL_SLOTS
    }

    /// A bit for each occupied slot with this tag.
    #[inline]
    pub(super) fn matches(&self, tag: u32) -> u32 {
        equal_lanes::<{ UPPER_FIELD_BITS as i32 }>(self.0, tag as u16) & self.occupied()
    }

    #[inline]
    fn lane(&self, slot: usize) -> u64 {
        self.0[slot / 4] >> (slot % 4 * 16) & 0xffff
    }

    #[inline]
    pub(super) fn tag(&self, slot: usize) -> u32 {
        (self.lane(slot) >> UPPER_FIELD_BITS) as u32
    }

    /// The field of a slot in `line`, whose lanes these are; 0 if it is free.
    #[inline]
    pub(super) fn field(&self, line: &WordLine, slot: usize) -> u64 {
        self.joined(line.0[slot / 2].load(Ordering::Relaxed), slot)
    }

    /// The field of a slot whose lower bits are in `word`.
    #[inline]
    fn joined(&self, word: u64, slot: usize) -> u64 {
        let lower = word >> (slot % 2 * 32) & 0xffff_ffff;
        let upper = self.lane(slot) & ((1 << UPPER_FIELD_BITS) - 1);
        upper << 32 | lower
    }

    /// How many entries of this home live elsewhere; at the counter's maximum, that many or more.
    #[inline]
    pub(super) fn overflow(&self, overflow: Overflow) -> u64 {
        self.0[2] >> overflow.shift() & Overflow::MAXIMUM
    }
}

/// A copy of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    fields: [u64; FIRST_LANES],
    lanes: Lanes,
}

impl Bucket {
    #[inline]
    pub(super) fn load(line: &WordLine) -> Self {
        Self {
            fields: std::array::from_fn(|word| line.0[word].load(Ordering::Relaxed)),
            lanes: Lanes::load(line),
        }
    }

    /// Puts the copy into another line.
    pub(super) fn store(&self, line: &WordLine) {
        for (word, value) in line.0.iter().zip(self.fields.iter().chain(&self.lanes.0)) {
            word.store(*value, Ordering::Relaxed);
        }
    }

    /// The field of a slot; 0 if it is free.
    #[inline]
    pub(super) fn field(&self, slot: usize) -> u64 {
        self.lanes.joined(self.fields[slot / 2], slot)
    }

    /// What is in the slots.
    #[inline]
    pub(super) fn contents(&self) -> [Content; SLOTS] {
        std::array::from_fn(|slot| {
            let lower = self.fields[slot / 2] >> (slot % 2 * 32) & 0xffff_ffff;
            Content(self.lane(slot) << 32 | lower)
        })
    }
}

/// What is in a slot, in one number: the tag above the field.
#[derive(Clone, Copy)]
pub(super) struct Content(u64);

impl Content {
    #[inline]
    pub(super) fn new(tag: u32, field: u64) -> Self {
        Self(u64::from(tag) << FIELD_BITS | field)
    }

    #[inline]
    pub(super) fn tag(self) -> u32 {
        (self.0 >> FIELD_BITS) as u32
    }

    #[inline]
    pub(super) fn field(self) -> u64 {
        self.0 & ((1 << FIELD_BITS) - 1)
    }
}

impl Deref for Bucket {
    type Target = Lanes;

    #[inline]
    fn deref(&self) -> &Lanes {
        &self.lanes
    }
}

/// A bucket that the writer changes.
#[derive(Clone, Copy)]
pub(super) struct Slots<'a>(pub(super) &'a WordLine);

impl Slots<'_> {
    /// The lowest free slot.
    #[inline]
    pub(super) fn free(self) -> Option<usize> {
        let slot = (!(self.word(7) >> HEADER_SHIFT)).trailing_zeros() as usize;
        (slot < SLOTS).then_some(slot)
    }

    #[inline]
    pub(super) fn set(self, slot: usize, content: Content, displaced: bool) {
        self.write(slot, content);
        let bits = 1 << HEADER_SHIFT | u64::from(displaced) << DISPLACED_SHIFT;
        self.update(7, 0, bits << slot);
    }

    /// Puts an entry of this home into a free slot that was never occupied.
    #[inline]
    pub(super) fn put_new(self, slot: usize, content: Content) {
        let (lane, lower) = (content.0 >> 32, content.0 & 0xffff_ffff);
        self.update(slot / 2, 0, lower << (slot % 2 * 32));
        self.update(FIRST_LANES + slot / 4, 0, lane << (slot % 4 * 16));
        self.update(7, 0, 1 << (HEADER_SHIFT as usize + slot));
    }

    #[inline(always)]
    pub(super) fn content(self, slot: usize) -> Content {
        let lower = self.word(slot / 2) >> (slot % 2 * 32) & 0xffff_ffff;
        let lane = self.word(FIRST_LANES + slot / 4) >> (slot % 4 * 16) & 0xffff;
        Content(lane << 32 | lower)
    }

    /// Replaces what is in an occupied slot.
    #[inline]
    pub(super) fn write(self, slot: usize, content: Content) {
        let (lane, lower) = (content.0 >> 32, content.0 & 0xffff_ffff);
        let shift = slot % 2 * 32;
        self.update(slot / 2, 0xffff_ffff << shift, lower << shift);
        let shift = slot % 4 * 16;
        self.update(FIRST_LANES + slot / 4, 0xffff << shift, lane << shift);
    }

    #[inline]
    pub(super) fn clear(self, slot: usize) {
        self.write(slot, Content(0));
        self.update(7, (1 << HEADER_SHIFT | 1 << DISPLACED_SHIFT) << slot, 0);
    }

    pub(super) fn add_overflow(self, overflow: Overflow) {
        if self.overflow(overflow) < Overflow::MAXIMUM {
            self.0.0[7].store(self.word(7) + (1 << overflow.shift()), Ordering::Relaxed);
        }
    }

    /// Takes back [`Slots::add_overflow`]. A count that reached its maximum stays there until the next
    /// rebuild: it no longer knows how many there are.
    pub(super) fn remove_overflow(self, overflow: Overflow) {
        let count = self.overflow(overflow);
        debug_assert!(count > 0, "an entry lived elsewhere, so it was counted");
        if count > 0 && count < Overflow::MAXIMUM {
            self.0.0[7].store(self.word(7) - (1 << overflow.shift()), Ordering::Relaxed);
        }
    }

    fn overflow(self, overflow: Overflow) -> u64 {
        self.word(7) >> overflow.shift() & Overflow::MAXIMUM
    }

    #[inline]
    fn word(self, word: usize) -> u64 {
        self.0.0[word].load(Ordering::Relaxed)
    }

    /// Only the writer changes words, so loading and storing apart loses nothing.
    #[inline]
    fn update(self, word: usize, clear: u64, set: u64) {
        self.0.0[word].store(self.word(word) & !clear | set, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(slot: usize) -> u64 {
        (slot as u64 + 1) * 0x7_6543_21f0_f1e1 % (1 << FIELD_BITS)
    }

    #[test]
    fn slots_keep_what_was_set_and_do_not_touch_each_other() {
        let line = WordLine::default();
        let slots = Slots(&line);
        for slot in [3, 0, 9, 8, 5, 1, 2, 7, 4, 6] {
            let content = Content::new(0xfff - slot as u32, field(slot));
            slots.set(slot, content, slot % 3 == 0);
        }
        assert_eq!(slots.free(), None);
        let bucket = Bucket::load(&line);
        assert_eq!(
            (bucket.occupied(), bucket.displaced()),
            (0x3ff, 0b10_0100_1001)
        );
        for slot in 0..SLOTS {
            assert_eq!(bucket.tag(slot), 0xfff - slot as u32);
            assert_eq!(bucket.field(slot), field(slot));
        }
        assert_eq!(
            (slots.content(6).tag(), slots.content(6).field()),
            (0xff9, field(6))
        );
        slots.write(6, Content::new(0xff9, field(60)));
        slots.clear(9);
        assert_eq!(slots.free(), Some(9));
        let bucket = Bucket::load(&line);
        assert_eq!((bucket.field(6), bucket.field(9)), (field(60), 0));
        assert_eq!((bucket.tag(6), bucket.displaced()), (0xff9, 0b00_0100_1001));
        assert_eq!(bucket.field(8), field(8));
    }

    #[test]
    fn putting_into_a_new_bucket_is_setting() {
        let (set, put) = (WordLine::default(), WordLine::default());
        for slot in 0..SLOTS {
            let tag = 0xabc ^ (slot as u32 * 0x111);
            assert_eq!(Slots(&put).free(), Some(slot));
            Slots(&set).set(slot, Content::new(tag, field(slot)), false);
            Slots(&put).put_new(slot, Content::new(tag, field(slot)));
            assert_eq!(Bucket::load(&put), Bucket::load(&set));
        }
        assert_eq!(Slots(&put).free(), None);
    }

    #[test]
    fn exactly_the_occupied_slots_with_the_tag_match() {
        for tag in 0..1_u32 << TAG_BITS {
            let line = WordLine::default();
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
                Slots(&line).set(slot, Content::new(tag, field(slot)), false);
            }
            assert_eq!(Bucket::load(&line).matches(tag), pattern);
            if pattern != 0 {
                let lowest = pattern.trailing_zeros();
                Slots(&line).clear(lowest as usize);
                let bucket = Bucket::load(&line);
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
        let line = WordLine::default();
        let slots = Slots(&line);
        let counts = || {
            [Overflow::Second, Overflow::Stash]
                .map(|overflow| Bucket::load(&line).overflow(overflow))
        };
        for count in 1..=62 {
            slots.add_overflow(Overflow::Stash);
            assert_eq!(counts(), [0, count]);
        }
        slots.add_overflow(Overflow::Second);
        slots.remove_overflow(Overflow::Stash);
        assert_eq!(counts(), [1, 61]);
        for _ in 0..1000 {
            slots.add_overflow(Overflow::Second);
        }
        slots.remove_overflow(Overflow::Second);
        assert_eq!(counts(), [63, 61]);
        let bucket = Bucket::load(&line);
        assert_eq!((bucket.occupied(), bucket.displaced()), (0, 0));
    }
}
