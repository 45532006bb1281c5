//! The regions of a page arena that serve runs of one length.
//!
//! Linux maps from the top down, so the region with the highest address is mostly the oldest. Taking from it first uses memory
//! again that is idle there, before memory is touched that the system has still to provide.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::page_arena::PAGE_BYTES;
use super::region::{self, REGION_BYTES};
use crate::error::{Error, Result};

const BITMAP_WORDS: usize = REGION_BYTES / PAGE_BYTES / 64;

/// Hands out runs of one length, always from the highest region that has one.
pub(super) struct Pool {
    run_bytes: usize,
    /// From high addresses to low ones.
    regions: Vec<Region>,
    /// No region before this one has a free run.
    first_free: usize,
}

/// A mapped region; dropping it unmaps it, so all its runs must be free then, or known to be unused.
struct Region {
    base: NonNull<u8>,
    /// A bit per run: not handed out.
    free: [u64; BITMAP_WORDS],
    /// A bit per run: was handed out since its memory was last fresh, so it may hold old bytes.
    used: [u64; BITMAP_WORDS],
    free_runs: usize,
    huge: bool,
}

// SAFETY: `base` is the region's own memory, reached by any thread only through the arena's lock or through
// a run that the arena handed to one owner.
unsafe impl Send for Region {}

impl Pool {
    /// A pool without regions for runs of `run_bytes`, a power of two from a page to half a region.
    pub(super) fn new(run_bytes: usize) -> Self {
        Self {
            run_bytes,
            regions: Vec::new(),
            first_free: 0,
        }
    }

    pub(super) fn run_bytes(&self) -> usize {
        self.run_bytes
    }

    /// Takes a free run and tells whether it may hold old bytes; `None` if there is none. With `huge`, a region of which
    /// this was the last one asks for huge pages.
    pub(super) fn take(&mut self, huge: bool) -> Option<(NonNull<u8>, bool)> {
        while self.regions.get(self.first_free)?.free_runs == 0 {
            self.first_free += 1;
        }
        Some(self.regions[self.first_free].take(self.run_bytes, huge))
    }

    /// Maps another region.
    pub(super) fn add_region(&mut self) -> Result<()> {
        let reserved = self.regions.try_reserve(1);
        reserved.map_err(|_| Error::memory("the list of regions"))?;
        let base = region::map().ok_or_else(|| Error::memory("a region of pages"))?;
        let place = self.place(base);
        self.regions
            .insert(place, Region::new(base, self.run_bytes));
        self.first_free = self.first_free.min(place);
        Ok(())
    }

    /// Marks a run free. If that leaves a second region wholly free, one of the two goes back to the
    /// system (the other is kept, against mapping back and forth); then its idle bytes are the answer.
    pub(super) fn release(&mut self, run: NonNull<u8>) -> Option<usize> {
        let runs = REGION_BYTES / self.run_bytes;
        let place = self.place(run);
        self.regions[place].put(run, self.run_bytes);
        self.first_free = self.first_free.min(place);
        if self.regions[place].free_runs < runs {
            return None;
        }
        let mut empty = self
            .regions
            .iter()
            .filter(|region| region.free_runs == runs);
        let second = empty.nth(1)?.base;
        let region = self.regions.remove(self.place(second));
        Some(region.idle_runs() * self.run_bytes)
    }

    /// Gives at least `surplus` bytes of idle memory back, if there is so much, the lowest first: the highest is
    /// used next. Answers how much it was.
    pub(super) fn give_back(&mut self, surplus: usize) -> usize {
        let mut given = 0;
        for region in self.regions.iter_mut().rev() {
            if given >= surplus {
                break;
            }
            given += region.give_back(self.run_bytes);
        }
        given
    }

    /// How many regions begin above `address`: where the region is, or belongs, that it lies in.
    fn place(&self, address: NonNull<u8>) -> usize {
        self.regions.partition_point(|region| region.base > address)
    }
}

impl Region {
    fn new(base: NonNull<u8>, run_bytes: usize) -> Self {
        let runs = REGION_BYTES / run_bytes;
        let mut free = [0; BITMAP_WORDS];
        for run in 0..runs {
            free[run / 64] |= 1 << (run % 64);
        }
        Self {
            base,
            free,
            used: [0; BITMAP_WORDS],
            free_runs: runs,
            huge: false,
        }
    }

    /// Takes the lowest free run and tells whether it may hold old bytes. Must not be called on a full region.
    fn take(&mut self, run_bytes: usize, huge: bool) -> (NonNull<u8>, bool) {
        let word = self.free.iter().position(|&word| word != 0);
        let word = word.expect("only regions with a free run are asked");
        let bit = self.free[word].trailing_zeros();
        let used = self.used[word] >> bit & 1 == 1;
        self.free[word] &= !(1 << bit);
        self.used[word] |= 1 << bit;
        self.free_runs -= 1;
        // Only once it is full: then the system fills no holes, and, as most of it has been touched by now, makes the huge
        // page behind the scenes instead of in the put that touches the region first, for milliseconds.
        if huge && !self.huge && self.free_runs == 0 {
            self.advise_huge(true);
        }
        let run = word * 64 + bit as usize;
        // SAFETY: `run` is below the number of runs, so the offset lies inside the region.
        (unsafe { self.base.add(run * run_bytes) }, used)
    }

    fn put(&mut self, run: NonNull<u8>, run_bytes: usize) {
        let run = (run.addr().get() - self.base.addr().get()) / run_bytes;
        debug_assert!(self.free[run / 64] >> (run % 64) & 1 == 0);
        self.free[run / 64] |= 1 << (run % 64);
        self.free_runs += 1;
    }

    /// Runs that are free and may be resident.
    fn idle_runs(&self) -> usize {
        let idle = self
            .free
            .iter()
            .zip(&self.used)
            .map(|(free, used)| free & used);
        idle.map(|word| word.count_ones() as usize).sum()
    }

    /// Gives the memory of all idle runs back to the system; answers how many bytes of them it took.
    fn give_back(&mut self, run_bytes: usize) -> usize {
        let idle = self.idle_runs();
        if idle == 0 {
            return 0;
        }
        if self.huge {
            self.advise_huge(false);
        }
        let mut given = self.free;
        given
            .iter_mut()
            .zip(&self.used)
            .for_each(|(given, used)| *given &= used);
        let runs = REGION_BYTES / run_bytes;
        let is_given = |run: usize| given[run / 64] >> (run % 64) & 1 == 1;
        let mut start = 0;
        while start < runs {
            let end = (start..runs).find(|&run| !is_given(run)).unwrap_or(runs);
            if end > start {
                self.give_back_runs(start, end, run_bytes);
            }
            start = end + 1;
        }
        (idle - self.idle_runs()) * run_bytes
    }

    fn give_back_runs(&mut self, start: usize, end: usize, run_bytes: usize) {
        let bytes = (end - start) * run_bytes;
        // SAFETY: runs below the number of runs lie in the region, they are free, and runs are whole pages.
        if unsafe { region::give_back(self.base.add(start * run_bytes), bytes) } {
            for run in start..end {
                self.used[run / 64] &= !(1 << (run % 64));
            }
        }
    }

    fn advise_huge(&mut self, huge: bool) {
        self.huge = huge;
        // SAFETY: the region is mapped as long as it lives.
        unsafe { region::advise_huge(self.base, huge) };
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: a pool drops a region alone only if all its runs are free, and all its regions only with the
        // arena, which every owner of a run keeps alive. If the system refuses to unmap, it is left the address
        // space without the memory.
        unsafe {
            if !region::unmap(self.base) {
                region::give_back(self.base, REGION_BYTES);
            }
        }
    }
}
