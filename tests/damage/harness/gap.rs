//! What is known not to be noticed, or not to be attributed, and why.

use std::collections::BTreeMap;

/// A known gap in what damage leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// Opening reads the log and reports the damage, but the bytes that tell whose record it was are damaged too: its
    /// key answers with its older version or as absent. An image, which knows the keys, closes this gap.
    KeyUnknown,
    /// The damaged record now spells another key, which answers with an error, because it cannot be known that the record is
    /// not its newest.
    SpelledKey,
    /// The damage takes the end of the log together with everything that would prove that it was durable: it looks
    /// like what a power loss leaves, and is cut. So is a last segment that is gone.
    UnprovenTail,
    /// The header of a segment is damaged and there is no footer with a copy, or it is, intact, the header of another
    /// segment: opening reports the file, all records of which are lost.
    HeaderUnusable,
}

/// How much was tried and how it went.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Damaged stores.
    pub stores: u64,
    /// Of these, opened from an image.
    pub from_image: u64,
    /// Keys that answered with an error instead of their newest value.
    pub errors: u64,
    /// Damaged stores that could not be opened.
    pub refused: u64,
    /// Keys in each gap.
    pub gaps: BTreeMap<Gap, u64>,
}

impl Tally {
    /// Counts a key in a gap.
    pub fn forgive(&mut self, gap: Gap) {
        *self.gaps.entry(gap).or_default() += 1;
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.stores += other.stores;
        self.from_image += other.from_image;
        self.errors += other.errors;
        self.refused += other.refused;
        for (gap, count) in &other.gaps {
            *self.gaps.entry(*gap).or_default() += count;
        }
    }
}
