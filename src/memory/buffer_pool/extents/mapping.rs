//! A mapped region, and which of its free pages have memory behind them.
#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr::NonNull;

use crate::error::{Error, Result};
use crate::memory::page_arena::PAGE_BYTES;
use crate::memory::region::{self, REGION_BYTES};

/// A region; dropping it unmaps it, so all its extents must be free then, or known to be unused.
pub struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    /// A bit a page: it is free, and waits for its next use with the memory of the last one.
    idle: Vec<u64>,
    idle_pages: usize,
    /// For each 2 MiB: the system is asked for a huge page there.
    huge: Vec<bool>,
}

// SAFETY: `base` is the region's own memory, which other threads reach only through extents that were handed to one owner.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `bytes`, a multiple of 2 MiB.
    pub fn new(bytes: usize) -> Result<Self> {
        let no_memory = || Error::memory("a buffer");
        // First, as what is known of it depends on its length, which nobody has checked.
        let mut mapping = Self {
            base: region::map(bytes).ok_or_else(no_memory)?,
            bytes,
            idle: Vec::new(),
            idle_pages: 0,
            huge: Vec::new(),
        };
        let words = (bytes / PAGE_BYTES).div_ceil(64);
        let reserved = mapping.idle.try_reserve_exact(words);
        reserved.map_err(|_| no_memory())?;
        mapping.idle.resize(words, 0);
        let chunks = bytes / REGION_BYTES;
        let reserved = mapping.huge.try_reserve_exact(chunks);
        reserved.map_err(|_| no_memory())?;
        mapping.huge.resize(chunks, false);
        Ok(mapping)
    }

    /// Its addresses.
    pub fn addresses(&self) -> Range<usize> {
        let base = self.base.addr().get();
        base..base + self.bytes
    }

    /// The memory at one of its addresses.
    pub fn memory(&self, address: usize) -> NonNull<u8> {
        let offset = self.offset(address);
        // SAFETY: the offset lies inside the region.
        unsafe { self.base.add(offset) }
    }

    /// Bytes of free pages that have memory.
    pub fn idle_bytes(&self) -> usize {
        self.idle_pages * PAGE_BYTES
    }

    /// Whether an extent has pages with memory that waits.
    pub fn has_idle(&self, address: usize, length: usize) -> bool {
        let mut words = words(self.pages(address, length));
        words.any(|(word, mask)| self.idle[word] & mask != 0)
    }

    /// Notes that an extent is in use from now on; answers how many bytes of idle memory it has got.
    pub fn hand_out(&mut self, address: usize, length: usize) -> usize {
        self.advise(address, length);
        self.take_idle(address, length)
    }

    /// Notes that an extent has no memory that waits any more; answers how many bytes it had.
    fn take_idle(&mut self, address: usize, length: usize) -> usize {
        let mut pages = 0;
        for (word, mask) in words(self.pages(address, length)) {
            pages += (self.idle[word] & mask).count_ones() as usize;
            self.idle[word] &= !mask;
        }
        self.idle_pages -= pages;
        pages * PAGE_BYTES
    }

    /// Notes that an extent is free and keeps its memory.
    pub fn keep_idle(&mut self, address: usize, length: usize) {
        for (word, mask) in words(self.pages(address, length)) {
            debug_assert!(self.idle[word] & mask == 0);
            self.idle[word] |= mask;
        }
        self.idle_pages += length / PAGE_BYTES;
    }

    /// Gives what memory a free extent has back to the system; answers how many bytes.
    pub fn give_idle_back(&mut self, address: usize, length: usize) -> usize {
        let pages = self.pages(address, length);
        let is_idle = |page: usize| self.idle[page / 64] >> (page % 64) & 1 == 1;
        let mut page = pages.start;
        while let Some(begin) = (page..pages.end).find(|&page| is_idle(page)) {
            let end = (begin..pages.end).find(|&page| !is_idle(page));
            page = end.unwrap_or(pages.end);
            // SAFETY: the page lies inside the region.
            let start = unsafe { self.base.add(begin * PAGE_BYTES) };
            // SAFETY: idle pages are free.
            unsafe { give_back(start, (page - begin) * PAGE_BYTES) };
        }
        self.take_idle(address, length)
    }

    /// Asks for huge pages where an extent has 2 MiB for itself, and for none where it has a part.
    fn advise(&mut self, address: usize, length: usize) {
        let (begin, end) = (self.offset(address), self.offset(address) + length);
        for chunk in begin / REGION_BYTES..end.div_ceil(REGION_BYTES) {
            let start = chunk * REGION_BYTES;
            let wanted = begin <= start && start + REGION_BYTES <= end;
            if self.huge[chunk] != wanted {
                self.huge[chunk] = wanted;
                // SAFETY: the 2 MiB lie inside the region.
                unsafe { region::advise_huge(self.base.add(start), REGION_BYTES, wanted) };
            }
        }
    }

    fn offset(&self, address: usize) -> usize {
        let offset = address - self.base.addr().get();
        assert!(offset < self.bytes, "an address outside its region");
        offset
    }

    fn pages(&self, address: usize, length: usize) -> Range<usize> {
        let begin = self.offset(address) / PAGE_BYTES;
        begin..begin + length / PAGE_BYTES
    }
}

/// Gives the memory of some pages back to the system. A refusal, as of memory that the host has locked, leaves it as it is,
/// which is allowed too.
///
/// # Safety
/// The pages lie in a mapping that lives, and nobody relies on their content.
pub unsafe fn give_back(start: NonNull<u8>, length: usize) {
    // SAFETY: the caller's promise.
    unsafe { region::give_back(start, length) };
}

/// The words of a map with a bit a page that have bits of `pages`, and which these are.
fn words(pages: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    (pages.start / 64..pages.end.div_ceil(64)).map(move |word| {
        let begin = pages.start.saturating_sub(word * 64);
        let end = (pages.end - word * 64).min(64);
        (word, u64::MAX << begin & u64::MAX >> (64 - end))
    })
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: whoever drops it knows that nobody uses its memory. If the system refuses to unmap, it is left the address
        // space without the memory.
        unsafe {
            if !region::unmap(self.base, self.bytes) {
                region::give_back(self.base, self.bytes);
            }
        }
    }
}
