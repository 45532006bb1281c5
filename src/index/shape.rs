//! How large a table is.

use super::bucket::SLOTS;
use crate::memory::page_list::LINES;

/// Pages of buckets a table may have: each step is about a tenth, a page at least, and the last is where a shard splits
/// into two of a little more than half the size. Every step copies the whole table: smaller ones would take more time
/// and less memory. The last step is what a single insertion may have to copy, so it bounds how long one takes.
const STEPS: [u32; 18] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
];

/// Most pages of buckets, the stash of a shard with colliding hashes aside.
pub(super) const MAX_PAGES: usize = STEPS[STEPS.len() - 1] as usize;

/// Entries per thousand slots at most when a table is made for entries that are expected: a table takes about 970,
/// and chance gives some shards a few per cent more than others.
const EXPECTED: u64 = 940;

/// Entries per thousand slots at most when a table is made for entries that are there already, so that the
/// next insertions do not make it grow at once.
const COMFORTABLE: u64 = 920;

/// Below this many entries per thousand slots a failed placement is the fault of colliding hashes.
const CROWDED: u64 = 900;

/// Below this many entries per thousand slots a new one has always found a place: in tables that grow to a million keys, from 963 on
/// one in a thousand did not.
const ROOMY: u64 = 950;

/// Below this many entries per thousand slots a table is worth shrinking.
const SPARSE: u64 = 800;

/// But not before one entry for so many slots was removed: then so many are copied for each that was removed.
const SLOTS_PER_REMOVAL: u64 = 10;

/// Number of buckets that keys have as home or second bucket, and of stash buckets behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) main: u32,
    pub(super) stash: u32,
}

impl Shape {
    /// `pages` of buckets, of which one in 256 serves as stash, and `more_stash` pages of stash behind.
    const fn new(pages: u32, more_stash: u32) -> Self {
        let buckets = pages * LINES as u32;
        let stash = if buckets < 256 { 1 } else { buckets / 256 };
        Self {
            main: buckets - stash,
            stash: stash + more_stash * LINES as u32,
        }
    }

    /// No buckets at all: the table of a shard that is not loaded yet.
    pub(super) fn absent() -> Self {
        Self { main: 0, stash: 0 }
    }

    /// Whether a table may have this shape.
    pub(super) fn is_possible(self) -> bool {
        let is_step = STEPS
            .iter()
            .any(|&pages| Self::new(pages, 0).main == self.main);
        is_step
            && self.stash > 0
            && (self.main % LINES as u32 + self.stash).is_multiple_of(LINES as u32)
    }

    /// The largest table.
    pub(super) const fn largest() -> Self {
        Self::new(MAX_PAGES as u32, 0)
    }

    /// Two shards with so many entries together may be merged: less than two thirds of what one has when it splits.
    pub(super) fn most_to_merge() -> u64 {
        Self::largest().slots() / 8 * 5
    }

    /// How often to halve `entries` so that each part fits into such a table.
    pub(super) fn depth_for(self, entries: u64) -> u32 {
        let fits = |depth: &u32| (entries >> depth) * 1000 <= self.slots() * EXPECTED;
        (0..u64::BITS).find(fits).unwrap_or(0)
    }

    /// The smallest table in which `entries` leave room for more; the largest if there is none.
    pub(super) fn for_entries(entries: u64) -> Self {
        Self::at_load(entries, COMFORTABLE)
    }

    /// The smallest table in which `entries`, give or take a few per cent, are not too many.
    pub(super) fn for_expected(entries: u64) -> Self {
        Self::at_load(entries, EXPECTED)
    }

    fn at_load(entries: u64, per_thousand: u64) -> Self {
        let shapes = STEPS.iter().map(|&pages| Self::new(pages, 0));
        let mut fitting = shapes.filter(|shape| entries * 1000 <= shape.slots() * per_thousand);
        fitting.next().unwrap_or(Self::largest())
    }

    /// The next larger table; `None` from the largest.
    pub(super) fn larger(self) -> Option<Self> {
        let mut shapes = STEPS.iter().map(|&pages| Self::new(pages, 0));
        shapes.find(|shape| shape.main > self.main)
    }

    /// The same with about twice the stash.
    pub(super) fn with_more_stash(self) -> Self {
        let pages = self.stash.div_ceil(LINES as u32);
        Self {
            main: self.main,
            stash: self.stash + pages * LINES as u32,
        }
    }

    /// The same with room for `entries` in the stash.
    pub(super) fn with_stash_for(mut self, entries: u64) -> Self {
        while u64::from(self.stash) * (SLOTS as u64) < entries {
            self = self.with_more_stash();
        }
        self
    }

    /// Pages for 64-byte lines.
    pub(super) fn pages(self) -> usize {
        (self.main + self.stash) as usize / LINES
    }

    /// All slots.
    pub(super) fn all_slots(self) -> u64 {
        u64::from(self.main + self.stash) * SLOTS as u64
    }

    /// Slots outside the stash.
    pub(super) fn slots(self) -> u64 {
        u64::from(self.main) * SLOTS as u64
    }

    /// Whether one more than so many `entries` finds a place in all likelihood.
    #[inline]
    pub(super) fn is_roomy(self, entries: u64) -> bool {
        entries * 1000 < self.slots() * ROOMY
    }

    /// Whether so many `entries` outside the stash explain that one finds no place.
    pub(super) fn is_crowded(self, entries: u64) -> bool {
        entries * 1000 >= self.slots() * CROWDED
    }

    /// Whether `removals` since the table was made are so many that it may be replaced.
    pub(super) fn is_due(self, removals: u64) -> bool {
        removals * SLOTS_PER_REMOVAL > self.slots()
    }

    /// Whether so few `entries`, after so many `removals`, deserve a smaller table.
    pub(super) fn is_sparse(self, entries: u64, removals: u64) -> bool {
        self.is_due(removals)
            && entries * 1000 < self.slots() * SPARSE
            && self != Self::for_entries(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Shape> {
        std::iter::successors(Some(Shape::for_entries(0)), |shape| shape.larger())
    }

    #[test]
    fn tables_are_whole_pages_and_grow_by_an_eighth_or_a_page() {
        assert_eq!(all().count(), STEPS.len());
        for shape in all() {
            assert_eq!((shape.main + shape.stash) as usize, shape.pages() * LINES);
            if let Some(larger) = shape.larger() {
                let step = larger.pages() - shape.pages();
                assert!(step == 1 || step * 100 <= shape.pages() * 15);
            }
        }
    }

    #[test]
    fn only_shapes_of_a_step_are_possible() {
        assert!(all().all(Shape::is_possible));
        for pages in [19, 21, 23, 56] {
            assert!(!Shape::new(pages, 0).is_possible(), "{pages} pages");
        }
    }

    #[test]
    fn a_table_made_for_its_entries_has_room_for_more_and_is_not_sparse() {
        for entries in 0..Shape::largest().slots() * COMFORTABLE / 1000 {
            let shape = Shape::for_entries(entries);
            assert!(
                (entries + entries / 20) * 1000 <= shape.slots() * 970,
                "{entries}"
            );
            assert!(!shape.is_sparse(entries, u64::MAX >> 8), "{entries}");
            let removed = entries / 10;
            let is_sparse = shape.is_sparse(entries - removed, removed);
            assert!(!is_sparse, "{entries}");
        }
    }

    #[test]
    fn both_halves_of_a_full_shard_take_less_than_it_did() {
        let largest = Shape::largest();
        let half = Shape::for_entries(largest.slots() * 485 / 1000);
        assert!(2 * half.pages() <= largest.pages() * 9 / 8);
    }

    #[test]
    fn the_stash_grows_without_the_buckets() {
        let shape = Shape::for_entries(0).with_stash_for(5000);
        assert_eq!(shape.main, Shape::for_entries(0).main);
        assert!(shape.stash >= 500);
        assert_eq!((shape.main + shape.stash) as usize, shape.pages() * LINES);
    }
}
