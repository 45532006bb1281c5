//! Places of records, put in the order of the disk.

use super::radix;
use crate::error::{Error, Result};
use crate::index::Location;

/// Where in a page a record lies does not matter for its place in a sorted list: what is read together comes together.
const PAGE_BITS: u32 = 8; // of 16 bytes each: 4 KiB

/// Memory in bytes of a location in the list, and to sort it.
const BYTES_LISTED: usize = 2 * size_of::<u64>();

/// A set of locations that is filled, and then emptied from the lowest on.
///
/// Locations up to a limit that memory sets are bits of a map, which costs nothing to sort, and hardly any memory where
/// the log is not much larger than RAM; the others are listed and sorted.
#[derive(Default)]
pub struct Places {
    map: Vec<u64>,
    /// No word of the map before this one has a bit.
    first_word: usize,
    list: Vec<u64>,
    /// How many of the list have been taken.
    taken: usize,
    spare: Vec<u64>,
}

impl Places {
    /// Makes an empty set for locations below `end`, mostly, in about `memory` bytes. Answers how many locations it can be
    /// given within that; `None` if as many as there are.
    pub fn prepare(&mut self, end: u64, memory: usize) -> Result<Option<usize>> {
        self.clear();
        let words = end.div_ceil(u64::from(u64::BITS));
        let words = usize::try_from(words).unwrap_or(usize::MAX);
        // Where the map has room for all, nothing is listed.
        let most = match memory / size_of::<u64>() {
            all if words <= all => words,
            all => all / 2,
        };
        let reserved = self.map.try_reserve_exact(words.min(most));
        reserved.map_err(|_| no_memory())?;
        self.map.resize(words.min(most), 0);
        Ok((words > most).then_some(memory / 2 / BYTES_LISTED))
    }

    /// Adds a location.
    #[inline]
    pub fn add(&mut self, location: Location) -> Result<()> {
        let (word, bit) = (location.raw() / 64, location.raw() % 64);
        match self.map.get_mut(word as usize) {
            Some(word) => *word |= 1 << bit,
            None => {
                self.list.try_reserve(1).map_err(|_| no_memory())?;
                self.list.push(location.raw());
            }
        }
        Ok(())
    }

    /// How many locations are listed.
    pub fn listed(&self) -> usize {
        self.list.len()
    }

    /// Sorts what was added, so that it can be taken.
    pub fn sort(&mut self) -> Result<()> {
        let missing = self.list.len().saturating_sub(self.spare.len());
        let reserved = self.spare.try_reserve_exact(missing);
        reserved.map_err(|_| no_memory())?;
        radix::sort(&mut self.list, &mut self.spare, PAGE_BITS);
        Ok(())
    }

    /// Calls `visit` with one location of each piece of 2^`bits` locations, at least 64, that has any, from the lowest piece on.
    pub fn for_each_piece(
        &self,
        bits: u32,
        mut visit: impl FnMut(Location) -> Result<()>,
    ) -> Result<()> {
        for (piece, words) in self.map.chunks(1 << (bits - 6)).enumerate() {
            if let Some(word) = words.iter().position(|word| *word != 0) {
                let raw = ((piece as u64) << bits)
                    + word as u64 * 64
                    + u64::from(words[word].trailing_zeros());
                Location::new(raw).map_or(Ok(()), &mut visit)?;
            }
        }
        let mut rest = &self.list[..];
        while let Some(first) = rest.first() {
            let behind = rest.partition_point(|raw| raw >> bits == first >> bits);
            Location::new(*first).map_or(Ok(()), &mut visit)?;
            rest = &rest[behind..];
        }
        Ok(())
    }

    /// Moves some of the lowest locations to the end of `locations`, about as many as that has room for. Within a page they
    /// may come in any order.
    pub fn take(&mut self, locations: &mut Vec<u64>) {
        while let Some(word) = self.map.get_mut(self.first_word) {
            if locations.capacity() - locations.len() < u64::BITS as usize {
                return;
            }
            let first = self.first_word as u64 * 64;
            let mut bits = std::mem::take(word);
            while bits != 0 {
                locations.push(first + u64::from(bits.trailing_zeros()));
                bits &= bits - 1;
            }
            self.first_word += 1;
        }
        let room = locations.capacity() - locations.len();
        let end = self.list.len().min(self.taken + room);
        locations.extend_from_slice(&self.list[self.taken..end]);
        self.taken = end;
    }

    /// Empties the set and keeps its memory.
    pub fn clear(&mut self) {
        self.map.clear();
        self.list.clear();
        (self.first_word, self.taken) = (0, 0);
    }
}

fn no_memory() -> Error {
    Error::memory("the places that an iterator goes to")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_added_is_taken_once_in_order_whatever_part_of_it_fits_the_map() {
        for (end, memory) in [(1 << 20, 1 << 17), (1 << 20, 1 << 10), (1, 1 << 20), (0, 0)] {
            let mut places = Places::default();
            for round in 1..4_u64 {
                let limited = places.prepare(end, memory).unwrap();
                assert_eq!(limited.is_some(), end / 8 > memory as u64);
                let added: BTreeSet<u64> = (1..5000)
                    .map(|number: u64| number * number * round % 1_000_003 + 1)
                    .collect();
                for raw in added.iter().rev() {
                    places.add(Location::new(*raw).unwrap()).unwrap();
                }
                places.sort().unwrap();
                let mut pieces = Vec::new();
                let visit = |it: Location| {
                    pieces.push(it.raw() >> 10);
                    Ok(())
                };
                places.for_each_piece(10, visit).unwrap();
                let expected: BTreeSet<u64> = added.iter().map(|raw| raw >> 10).collect();
                pieces.dedup();
                assert_eq!(pieces, expected.into_iter().collect::<Vec<_>>());
                let mut taken = Vec::new();
                loop {
                    let mut some = Vec::with_capacity(100);
                    places.take(&mut some);
                    if some.is_empty() {
                        break;
                    }
                    assert!(some.len() <= 100);
                    taken.extend(some);
                }
                assert!(taken.is_sorted_by_key(|raw| raw >> PAGE_BITS));
                assert_eq!(taken.len(), added.len());
                assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), added);
            }
        }
    }
}
