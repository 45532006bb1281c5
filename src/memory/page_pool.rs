//! The regions of a page arena that serve runs of one length.
//!
//! Linux maps from the top down, so the region with the highest address is mostly the oldest. Taking from it first uses memory
//! again that is idle there, before memory is touched that the system has still to provide.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
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
    free_runs: usize,
}

/// A run that was taken.
pub(super) struct Taken {
    pub(super) run: NonNull<u8>,
    /// It may hold old bytes; else zeros.
    pub(super) used: bool,
    /// It was resident before.
    pub(super) resident: bool,
}

/// Idle memory that went back to the system.
#[derive(Default)]
pub(super) struct Given {
    pub(super) idle_bytes: usize,
    /// The part of it that never was handed out.
    pub(super) fresh_bytes: usize,
}

impl Given {
    fn add(&mut self, more: Given) {
        self.idle_bytes += more.idle_bytes;
        self.fresh_bytes += more.fresh_bytes;
    }
}

/// A region that nobody uses yet.
pub(super) struct Spare {
    base: NonNull<u8>,
    huge: bool,
}

// SAFETY: `base` is memory of its own, which nobody else knows.
unsafe impl Send for Spare {}

impl Spare {
    /// Maps a region; one with a huge page behind it, which takes the time of clearing 2 MiB, if `huge` and the system has one.
    pub(super) fn map(huge: bool) -> Result<Self> {
        let base = region::map(REGION_BYTES).ok_or_else(|| Error::memory("a region of pages"))?;
        // SAFETY: mapped just above, and known to nobody else.
        let huge = huge && unsafe { region::make_huge(base) };
        Ok(Self { base, huge })
    }

    /// What of it is resident, and so goes back to the system with it.
    pub(super) fn resident(&self) -> Given {
        let bytes = if self.huge { REGION_BYTES } else { 0 };
        Given {
            idle_bytes: bytes,
            fresh_bytes: bytes,
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // SAFETY: nobody uses the region. If the system refuses to unmap, it is left the address space.
        unsafe { region::unmap(self.base, REGION_BYTES) };
    }
}

/// A mapped region; dropping it unmaps it, so all its runs must be free then, or known to be unused.
struct Region {
    base: NonNull<u8>,
    /// A bit per run: not handed out.
    free: [u64; BITMAP_WORDS],
    /// A bit per run: was handed out since its memory was last fresh, so it may hold old bytes.
    used: [u64; BITMAP_WORDS],
    free_runs: usize,
    /// There is a huge page behind it: all runs are resident, also those that are not used yet.
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
            free_runs: 0,
        }
    }

    pub(super) fn run_bytes(&self) -> usize {
        self.run_bytes
    }

    /// How many bytes the runs have that are free.
    pub(super) fn free_bytes(&self) -> usize {
        self.free_runs * self.run_bytes
    }

    /// Takes a free run; `None` if there is none.
    pub(super) fn take(&mut self) -> Option<Taken> {
        while self.regions.get(self.first_free)?.free_runs == 0 {
            self.first_free += 1;
        }
        self.free_runs -= 1;
        Some(self.regions[self.first_free].take(self.run_bytes))
    }

    /// Takes a free run that is resident; `None` if there is none. Looks through all regions.
    pub(super) fn take_idle(&mut self) -> Option<Taken> {
        let mut regions = self.regions.iter_mut();
        let taken = regions.find_map(|region| region.take_idle(self.run_bytes))?;
        self.free_runs -= 1;
        Some(taken)
    }

    /// Undoes a take: nobody has touched the run.
    pub(super) fn put_back(&mut self, taken: &Taken) {
        let place = self.place(taken.run);
        self.regions[place].put(taken.run, self.run_bytes);
        if !taken.used {
            self.regions[place].note_unused(taken.run, self.run_bytes);
        }
        self.free_runs += 1;
        self.first_free = self.first_free.min(place);
    }

    /// Adds a region.
    pub(super) fn add_region(&mut self, spare: Spare) -> Result<()> {
        let reserved = self.regions.try_reserve(1);
        reserved.map_err(|_| Error::memory("the list of regions"))?;
        let region = Region::new(spare, self.run_bytes);
        let place = self.place(region.base);
        self.free_runs += region.free_runs;
        self.regions.insert(place, region);
        self.first_free = self.first_free.min(place);
        Ok(())
    }

    /// Marks a run free. If that leaves a second region wholly free, one of the two goes back to the
    /// system (the other is kept, against mapping back and forth); then that is the answer.
    pub(super) fn release(&mut self, run: NonNull<u8>) -> Option<Given> {
        let runs = REGION_BYTES / self.run_bytes;
        let place = self.place(run);
        self.regions[place].put(run, self.run_bytes);
        self.free_runs += 1;
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
        self.free_runs -= runs;
        Some(Given {
            idle_bytes: region.idle_runs() * self.run_bytes,
            fresh_bytes: region.fresh_runs() * self.run_bytes,
        })
    }

    /// Gives at least `surplus` bytes of idle memory back, if there is so much, the lowest first: the highest is
    /// used next. Of what was prepared and never used, only if the rest is not enough. Answers how much it was.
    pub(super) fn give_back(&mut self, surplus: usize) -> Given {
        let mut given = Given::default();
        for fresh in [false, true] {
            for region in self.regions.iter_mut().rev() {
                if given.idle_bytes >= surplus {
                    return given;
                }
                if fresh == (region.fresh_runs() > 0) {
                    given.add(region.give_back(self.run_bytes));
                }
            }
        }
        given
    }

    /// How many regions begin above `address`: where the region is, or belongs, that it lies in.
    fn place(&self, address: NonNull<u8>) -> usize {
        self.regions.partition_point(|region| region.base > address)
    }
}

impl Region {
    fn new(spare: Spare, run_bytes: usize) -> Self {
        let runs = REGION_BYTES / run_bytes;
        let mut free = [0; BITMAP_WORDS];
        for run in 0..runs {
            free[run / 64] |= 1 << (run % 64);
        }
        let spare = ManuallyDrop::new(spare);
        Self {
            base: spare.base,
            free,
            used: [0; BITMAP_WORDS],
            free_runs: runs,
            huge: spare.huge,
        }
    }

    /// Takes the lowest free run. Must not be called on a full region.
    fn take(&mut self, run_bytes: usize) -> Taken {
        let word = self.free.iter().position(|&word| word != 0);
        let word = word.expect("only regions with a free run are asked");
        let bit = self.free[word].trailing_zeros() as usize;
        self.take_run(word * 64 + bit, run_bytes)
    }

    /// Takes a free run that is resident.
    fn take_idle(&mut self, run_bytes: usize) -> Option<Taken> {
        let idle = |word: usize| match self.huge {
            true => self.free[word],
            false => self.free[word] & self.used[word],
        };
        let word = (0..BITMAP_WORDS).find(|&word| idle(word) != 0)?;
        let bit = idle(word).trailing_zeros() as usize;
        Some(self.take_run(word * 64 + bit, run_bytes))
    }

    fn take_run(&mut self, run: usize, run_bytes: usize) -> Taken {
        let (word, bit) = (run / 64, run % 64);
        let used = self.used[word] >> bit & 1 == 1;
        self.free[word] &= !(1 << bit);
        self.used[word] |= 1 << bit;
        self.free_runs -= 1;
        Taken {
            // SAFETY: `run` is below the number of runs, so the offset lies inside the region.
            run: unsafe { self.base.add(run * run_bytes) },
            used,
            resident: used || self.huge,
        }
    }

    fn number(&self, run: NonNull<u8>, run_bytes: usize) -> usize {
        (run.addr().get() - self.base.addr().get()) / run_bytes
    }

    fn note_unused(&mut self, run: NonNull<u8>, run_bytes: usize) {
        let run = self.number(run, run_bytes);
        self.used[run / 64] &= !(1 << (run % 64));
    }

    fn put(&mut self, run: NonNull<u8>, run_bytes: usize) {
        let run = self.number(run, run_bytes);
        debug_assert!(self.free[run / 64] >> (run % 64) & 1 == 0);
        self.free[run / 64] |= 1 << (run % 64);
        self.free_runs += 1;
    }

    /// Runs that are free and may be resident.
    fn idle_runs(&self) -> usize {
        if self.huge {
            return self.free_runs;
        }
        let idle = self
            .free
            .iter()
            .zip(&self.used)
            .map(|(free, used)| free & used);
        idle.map(|word| word.count_ones() as usize).sum()
    }

    /// Runs that are resident and were never handed out.
    fn fresh_runs(&self) -> usize {
        if !self.huge {
            return 0;
        }
        let fresh = self
            .free
            .iter()
            .zip(&self.used)
            .map(|(free, used)| free & !used);
        fresh.map(|word| word.count_ones() as usize).sum()
    }

    /// Gives the memory of all idle runs back to the system; answers how much of it that took.
    fn give_back(&mut self, run_bytes: usize) -> Given {
        let idle = self.idle_runs();
        let fresh = self.fresh_runs();
        if idle == 0 {
            return Given::default();
        }
        if self.huge {
            self.split_huge_page();
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
        Given {
            idle_bytes: (idle - self.idle_runs()) * run_bytes,
            fresh_bytes: fresh * run_bytes,
        }
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

    /// From now on only what is used is resident; what never was counts as used, until it is given back.
    fn split_huge_page(&mut self) {
        self.huge = false;
        let runs = self.used.iter_mut().zip(&self.free);
        runs.for_each(|(used, free)| *used |= free);
        // SAFETY: the region is mapped as long as it lives.
        unsafe { region::advise_huge(self.base, REGION_BYTES, false) };
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: a pool drops a region alone only if all its runs are free, and all its regions only with the
        // arena, which every owner of a run keeps alive. If the system refuses to unmap, it is left the address
        // space without the memory.
        unsafe {
            if !region::unmap(self.base, REGION_BYTES) {
                region::give_back(self.base, REGION_BYTES);
            }
        }
    }
}
