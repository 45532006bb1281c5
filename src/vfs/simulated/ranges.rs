//! A set of byte positions: what was written to a file since its last sync.

use std::ops::Range;

use super::SECTOR;

/// Disjoint ranges in ascending order, no two of them touching.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn insert(&mut self, added: Range<u64>) {
        if added.is_empty() {
            return;
        }
        let first = self.0.partition_point(|range| range.end < added.start);
        let after = self.0.partition_point(|range| range.start <= added.end);
        if first == after {
            self.0.insert(first, added);
            return;
        }
        let start = added.start.min(self.0[first].start);
        let end = added.end.max(self.0[after - 1].end);
        self.0[first] = start..end;
        self.0.drain(first + 1..after);
    }

    /// The parts of the set that lie inside `window`, in ascending order.
    pub(super) fn inside(&self, window: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let first = self.0.partition_point(|range| range.end <= window.start);
        self.0[first..]
            .iter()
            .take_while(move |range| range.start < window.end)
            .map(move |range| range.start.max(window.start)..range.end.min(window.end))
    }

    /// Starts of all sectors that have at least one position of the set below `end`, in ascending order.
    pub(super) fn sectors(&self, end: u64) -> impl Iterator<Item = u64> {
        let mut next = 0;
        self.inside(0..end).flat_map(move |range| {
            let first = (range.start / SECTOR).max(next);
            next = range.end.div_ceil(SECTOR);
            (first..next).map(|sector| sector * SECTOR)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::simulated::random::Random;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_agree_with_a_set_of_positions() {
        for seed in 0..if cfg!(miri) { 1 } else { 200 } {
            let mut random = Random::new(seed);
            let mut ranges = Ranges::default();
            let mut positions = BTreeSet::new();
            for _ in 0..random.below(20) {
                let start = random.below(3000);
                let end = start + random.below(300);
                ranges.insert(start..end);
                positions.extend(start..end);
                let listed: Vec<u64> = ranges.0.iter().cloned().flatten().collect();
                assert!(listed.iter().eq(positions.iter()), "seed {seed}");
                let apart = ranges.0.windows(2).all(|pair| pair[0].end < pair[1].start);
                assert!(apart, "seed {seed}");
            }
            assert_eq!(ranges.is_empty(), positions.is_empty());
            let window = random.below(3300)..random.below(3300);
            let inside: Vec<u64> = ranges.inside(window.clone()).flatten().collect();
            let expected = positions.iter().filter(|at| window.contains(at));
            assert!(inside.iter().eq(expected), "seed {seed}");
            let sectors: Vec<u64> = ranges.sectors(window.end).collect();
            let touched = positions.iter().filter(|at| **at < window.end);
            let expected: BTreeSet<u64> = touched.map(|at| at / SECTOR * SECTOR).collect();
            assert!(sectors.iter().eq(expected.iter()), "seed {seed}");
        }
    }
}
