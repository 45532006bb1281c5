//! The entries for which a table under construction has no place in their homes.

use std::sync::Arc;

use super::Location;
use super::carried::Carried;
use crate::error::Result;
use crate::memory::page_arena::PageArena;
use crate::memory::page_list::{LINES, PageList, WordLine};
use crate::memory::sync::atomic::{AtomicU64, Ordering};

/// Words of an entry: its fingerprint; its location, 0 for none, and above it its reference.
const ENTRY_WORDS: usize = 2;
const ENTRIES_PER_LINE: usize = 8 / ENTRY_WORDS;
const ENTRIES_PER_PAGE: usize = LINES * ENTRIES_PER_LINE;

/// A list of entries, in pages that the index has anyway: on the C library's heap the largest of these lists would leave its length
/// behind in every thread.
pub(super) struct DisplacedList {
    pages: PageList<WordLine, 8>,
    length: usize,
}

impl DisplacedList {
    /// An empty list, which takes no page yet.
    pub(super) fn new(arena: Arc<PageArena>) -> Result<Self> {
        let pages = PageList::new(arena, 0)?;
        Ok(Self { pages, length: 0 })
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// `Memory`, and the list is as it was.
    pub(super) fn push(&mut self, entry: Carried) -> Result<()> {
        if self.length == self.pages.count() * ENTRIES_PER_PAGE {
            self.pages.add()?;
        }
        let raw = entry.location.map_or(0, Location::raw);
        let words = [
            entry.fingerprint,
            u64::from(entry.reference) << Location::BITS | raw,
        ];
        for (word, value) in self.words(self.length).iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
        self.length += 1;
        Ok(())
    }

    /// All entries, in the order in which they were appended.
    pub(super) fn iter(&self) -> impl Iterator<Item = Carried> {
        (0..self.length).map(|number| {
            let words = self.words(number);
            let [fingerprint, packed] =
                std::array::from_fn(|word| words[word].load(Ordering::Relaxed));
            Carried {
                fingerprint,
                location: Location::new(packed & ((1 << Location::BITS) - 1)),
                reference: (packed >> Location::BITS) as u32,
            }
        })
    }

    fn words(&self, number: usize) -> &[AtomicU64] {
        let line = number % ENTRIES_PER_PAGE / ENTRIES_PER_LINE;
        let first = number % ENTRIES_PER_LINE * ENTRY_WORDS;
        let lines = self.pages.lines(number / ENTRIES_PER_PAGE);
        &lines[line].0[first..first + ENTRY_WORDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::table::NO_REFERENCE;

    #[test]
    fn entries_come_back_as_they_were_and_in_their_order() {
        let arena = Arc::new(PageArena::new(usize::MAX));
        let mut list = DisplacedList::new(arena.clone()).unwrap();
        let entry = |number: u64| Carried {
            fingerprint: u64::MAX - number,
            location: Location::new(number * 0x5_1234_5678 % (1 << Location::BITS)),
            reference: [number as u32, NO_REFERENCE][(number % 2) as usize],
        };
        assert_eq!(entry(0).location, None);
        assert_eq!(arena.statistics().allocated_bytes, 0);
        for number in 0..3000 {
            list.push(entry(number)).unwrap();
        }
        assert!(list.iter().eq((0..3000).map(entry)));
        drop(list);
        assert_eq!(arena.statistics().allocated_bytes, 0);
    }

    // It fills a region of the arena, which takes Miri minutes.
    #[cfg(not(miri))]
    #[test]
    fn without_a_page_the_list_is_as_it_was() {
        let arena = Arc::new(PageArena::new(2 << 20));
        let mut list = DisplacedList::new(arena.clone()).unwrap();
        let entry = Carried {
            fingerprint: 1,
            location: Location::new(2),
            reference: 3,
        };
        let all = (2 << 20) / 4096 * ENTRIES_PER_PAGE;
        (0..all).for_each(|_| list.push(entry).unwrap());
        let refused = list.push(entry).unwrap_err();
        assert_eq!(refused.kind(), crate::ErrorKind::Memory);
        assert_eq!(list.iter().filter(|found| *found == entry).count(), all);
    }
}
