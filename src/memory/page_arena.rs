//! The page arena: runs of 4 KiB pages out of 2 MiB regions.
//!
//! A region serves runs of one length only, so nothing is ever lost between runs; always the lowest
//! region with room is used, so that high regions become empty and can go back to the system.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use parking_lot::Mutex;

use super::region::{self, REGION_BYTES};
use crate::error::{Error, ErrorKind, Result};

/// Smallest run: one page of 4 KiB.
pub const PAGE_BYTES: usize = 4096;

/// Largest run: 1 MiB.
pub const LARGEST_RUN_BYTES: usize = 1 << 20;

/// From this many mapped bytes on regions ask for huge pages; below, a small store would pay for memory
/// it does not use.
const HUGE_FROM_BYTES: usize = 16 << 20;

/// This much idle memory, or the arena's 32nd part if that is more, may stay resident for quick reuse; of more, all
/// but half of that is given back.
const IDLE_BYTES: usize = 512 << 10;

const BITMAP_WORDS: usize = REGION_BYTES / PAGE_BYTES / 64;

/// How much memory an arena holds; all figures in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArenaStatistics {
    /// Address space taken from the system.
    pub mapped_bytes: usize,
    /// Handed out and not yet released.
    pub allocated_bytes: usize,
    /// Resident, but not handed out: released and waiting to be used again or given back, or part of a huge page.
    pub idle_bytes: usize,
}

/// Hands out runs of pages. All methods may be called from any thread.
pub struct PageArena {
    limit_bytes: usize,
    state: Mutex<State>,
}

struct State {
    /// One pool per length of run in use; an index uses at most two.
    pools: Vec<Pool>,
    statistics: ArenaStatistics,
    /// Idle bytes that the system refused to take back; not asked about again.
    stuck_bytes: usize,
}

struct Pool {
    run_bytes: usize,
    /// Sorted by address.
    regions: Vec<Region>,
    /// No region before this one has a free run.
    first_free: usize,
}

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

impl PageArena {
    /// An arena that maps at most `limit_bytes` from the system.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            state: Mutex::new(State {
                pools: Vec::new(),
                statistics: ArenaStatistics::default(),
                stuck_bytes: 0,
            }),
        }
    }

    /// Current figures.
    pub fn statistics(&self) -> ArenaStatistics {
        let state = self.state.lock();
        let mut statistics = state.statistics;
        for pool in &state.pools {
            let fresh = pool
                .regions
                .iter()
                .filter(|region| region.huge)
                .map(Region::fresh_runs);
            statistics.idle_bytes += fresh.sum::<usize>() * pool.run_bytes;
        }
        statistics
    }

    /// A zeroed run of `bytes`, aligned to its own length.
    ///
    /// # Errors
    /// `Invalid` unless `bytes` is a power of two from [`PAGE_BYTES`] to [`LARGEST_RUN_BYTES`]; `Memory`
    /// if the limit is reached or the system has no more.
    pub(super) fn allocate(&self, bytes: usize) -> Result<NonNull<u8>> {
        if !bytes.is_power_of_two() || !(PAGE_BYTES..=LARGEST_RUN_BYTES).contains(&bytes) {
            let message =
                format!("a run of {bytes} bytes: give a power of two from 4096 to 1048576");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let (run, used) = self.state.lock().allocate(bytes, self.limit_bytes)?;
        if used {
            // SAFETY: the run is `bytes` long, inside a mapped region, and was just made ours alone.
            unsafe { run.write_bytes(0, bytes) };
        }
        Ok(run)
    }

    /// Takes a run back.
    ///
    /// # Safety
    /// `run` came from [`PageArena::allocate`] of this arena with the same `bytes`, was not released since,
    /// and nobody uses its memory any more.
    pub(super) unsafe fn release(&self, run: NonNull<u8>, bytes: usize) {
        self.state.lock().release(run, bytes);
    }
}

impl Drop for PageArena {
    fn drop(&mut self) {
        for region in self
            .state
            .get_mut()
            .pools
            .iter()
            .flat_map(|pool| &pool.regions)
        {
            // SAFETY: every owner of a run keeps the arena alive, so no run is in use. A refusal leaks
            // address space only.
            unsafe { region::unmap(region.base) };
        }
    }
}

impl State {
    fn allocate(&mut self, bytes: usize, limit_bytes: usize) -> Result<(NonNull<u8>, bool)> {
        let number = match self.pools.iter().position(|pool| pool.run_bytes == bytes) {
            Some(number) => number,
            None => self.add_pool(bytes)?,
        };
        if !self.pools[number].has_free() {
            self.add_region(number, limit_bytes)?;
        }
        let large = self.statistics.mapped_bytes > HUGE_FROM_BYTES;
        let pool = &mut self.pools[number];
        let run = pool.regions[pool.first_free].take(bytes, large);
        self.statistics.allocated_bytes += bytes;
        if run.1 {
            self.statistics.idle_bytes -= bytes;
            self.stuck_bytes = self.stuck_bytes.min(self.statistics.idle_bytes);
        }
        Ok(run)
    }

    fn add_pool(&mut self, run_bytes: usize) -> Result<usize> {
        self.pools
            .try_reserve(1)
            .map_err(|_| Error::memory("a pool of pages"))?;
        self.pools.push(Pool {
            run_bytes,
            regions: Vec::new(),
            first_free: 0,
        });
        Ok(self.pools.len() - 1)
    }

    fn add_region(&mut self, number: usize, limit_bytes: usize) -> Result<()> {
        let mapped_bytes = self.statistics.mapped_bytes + REGION_BYTES;
        if mapped_bytes > limit_bytes {
            return Err(Error::memory("pages: the arena's limit is reached"));
        }
        let pool = &mut self.pools[number];
        pool.regions
            .try_reserve(1)
            .map_err(|_| Error::memory("the list of regions"))?;
        let base = region::map().ok_or_else(|| Error::memory("a region of pages"))?;
        pool.insert(Region::new(base, pool.run_bytes));
        self.statistics.mapped_bytes = mapped_bytes;
        Ok(())
    }

    fn release(&mut self, run: NonNull<u8>, bytes: usize) {
        let number = self.pools.iter().position(|pool| pool.run_bytes == bytes);
        let number = number.expect("a released run has the length it was allocated with");
        let unmapped = self.pools[number].release(run);
        self.statistics.allocated_bytes -= bytes;
        self.statistics.idle_bytes += bytes;
        if let Some(idle_bytes) = unmapped {
            self.statistics.mapped_bytes -= REGION_BYTES;
            self.statistics.idle_bytes -= idle_bytes;
            self.stuck_bytes = self.stuck_bytes.min(self.statistics.idle_bytes);
        }
        let allowance = IDLE_BYTES.max(self.statistics.allocated_bytes / 32);
        if self.statistics.idle_bytes - self.stuck_bytes > allowance {
            self.give_back(self.stuck_bytes + allowance / 2);
        }
    }

    /// Gives idle memory back until at most `rest` is left, the highest first: the lowest is used next.
    fn give_back(&mut self, rest: usize) {
        for pool in &mut self.pools {
            for region in pool.regions.iter_mut().rev() {
                if self.statistics.idle_bytes <= rest {
                    return;
                }
                self.statistics.idle_bytes -= region.give_back(pool.run_bytes);
            }
        }
        self.stuck_bytes = self.statistics.idle_bytes;
    }
}

impl Pool {
    /// Whether a run is free; moves `first_free` to the region that has it.
    fn has_free(&mut self) -> bool {
        while self
            .regions
            .get(self.first_free)
            .is_some_and(|region| region.free_runs == 0)
        {
            self.first_free += 1;
        }
        self.first_free < self.regions.len()
    }

    fn insert(&mut self, region: Region) {
        let place = self
            .regions
            .partition_point(|other| other.base < region.base);
        self.regions.insert(place, region);
        self.first_free = self.first_free.min(place);
    }

    /// Marks a run free. If that leaves a second region wholly free, one of the two goes back to the
    /// system (the other is kept, against mapping back and forth); then its idle bytes are the answer.
    fn release(&mut self, run: NonNull<u8>) -> Option<usize> {
        let place = self.regions.partition_point(|region| region.base <= run) - 1;
        let runs = REGION_BYTES / self.run_bytes;
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
        // SAFETY: all of the region's runs are free, so nobody uses its memory.
        if !unsafe { region::unmap(second) } {
            return None;
        }
        let place = self.regions.partition_point(|region| region.base < second);
        let region = self.regions.remove(place);
        Some(region.idle_runs() * self.run_bytes)
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
    fn take(&mut self, run_bytes: usize, large: bool) -> (NonNull<u8>, bool) {
        let word = self.free.iter().position(|&word| word != 0);
        let word = word.expect("only regions with a free run are asked");
        let bit = self.free[word].trailing_zeros();
        let used = self.used[word] >> bit & 1 == 1;
        self.free[word] &= !(1 << bit);
        self.used[word] |= 1 << bit;
        self.free_runs -= 1;
        // A region from which pages were given back asks again only once it is full: otherwise the system
        // might fill its holes with huge pages.
        let fresh = self.used.iter().map(|word| word.count_ones()).sum::<u32>() == 1;
        if large && !self.huge && (fresh || self.free_runs == 0) {
            self.huge = true;
            // SAFETY: the region is mapped as long as it is in a pool.
            unsafe { region::advise_huge(self.base, true) };
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

    /// Runs that were never handed out since their memory was fresh.
    fn fresh_runs(&self) -> usize {
        let fresh = self
            .free
            .iter()
            .zip(&self.used)
            .map(|(free, used)| free & !used);
        fresh.map(|word| word.count_ones() as usize).sum()
    }

    fn idle_runs(&self) -> usize {
        let idle = self
            .free
            .iter()
            .zip(&self.used)
            .map(|(free, used)| free & used);
        idle.map(|word| word.count_ones() as usize).sum()
    }

    /// Gives the memory of all idle runs back to the system; answers how many bytes it took.
    fn give_back(&mut self, run_bytes: usize) -> usize {
        if self.idle_runs() == 0 {
            return 0;
        }
        if self.huge {
            self.huge = false;
            // SAFETY: the region is mapped as long as it is in a pool.
            unsafe { region::advise_huge(self.base, false) };
        }
        let runs = REGION_BYTES / run_bytes;
        let mut given = 0;
        let mut start = 0;
        while start < runs {
            let end = (start..runs)
                .find(|&run| !self.is_idle(run))
                .unwrap_or(runs);
            if end > start {
                given += self.give_back_runs(start, end, run_bytes);
            }
            start = end + 1;
        }
        given
    }

    fn is_idle(&self, run: usize) -> bool {
        (self.free[run / 64] & self.used[run / 64]) >> (run % 64) & 1 == 1
    }

    fn give_back_runs(&mut self, start: usize, end: usize, run_bytes: usize) -> usize {
        let bytes = (end - start) * run_bytes;
        // SAFETY: runs below the number of runs lie in the region, they are free, and runs are whole pages.
        if !unsafe { region::give_back(self.base.add(start * run_bytes), bytes) } {
            return 0;
        }
        for run in start..end {
            self.used[run / 64] &= !(1 << (run % 64));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: usize = REGION_BYTES / PAGE_BYTES;

    fn take(arena: &PageArena, count: usize, bytes: usize) -> Vec<NonNull<u8>> {
        (0..count).map(|_| arena.allocate(bytes).unwrap()).collect()
    }

    fn give(arena: &PageArena, runs: impl IntoIterator<Item = NonNull<u8>>, bytes: usize) {
        for run in runs {
            // SAFETY: the tests release what `take` returned, once.
            unsafe { arena.release(run, bytes) };
        }
    }

    fn fill(run: NonNull<u8>, bytes: usize, value: u8) {
        // SAFETY: the run is `bytes` long and ours.
        unsafe { run.write_bytes(value, bytes) };
    }

    fn holds(run: NonNull<u8>, bytes: usize, value: u8) -> bool {
        // SAFETY: the run is `bytes` long, initialised and ours.
        let run = unsafe { std::slice::from_raw_parts(run.as_ptr(), bytes) };
        run == vec![value; bytes]
    }

    #[test]
    fn runs_are_aligned_zeroed_and_do_not_overlap() {
        let arena = PageArena::new(usize::MAX);
        let sizes = [PAGE_BYTES, 1 << 16, LARGEST_RUN_BYTES];
        let runs: Vec<_> = sizes
            .iter()
            .flat_map(|&bytes| {
                take(&arena, 5, bytes)
                    .into_iter()
                    .map(move |run| (run, bytes))
            })
            .collect();
        for (number, &(run, bytes)) in runs.iter().enumerate() {
            assert_eq!(run.addr().get() % bytes, 0);
            assert!(holds(run, bytes, 0));
            fill(run, bytes, number as u8 + 1);
        }
        for (number, &(run, bytes)) in runs.iter().enumerate() {
            assert!(holds(run, bytes, number as u8 + 1));
        }
        let expected = 5 * sizes.iter().sum::<usize>();
        assert_eq!(arena.statistics().allocated_bytes, expected);
        for (run, bytes) in runs {
            give(&arena, [run], bytes);
        }
        assert_eq!(arena.statistics().allocated_bytes, 0);
    }

    #[test]
    fn released_runs_are_used_again_and_zeroed() {
        let arena = PageArena::new(usize::MAX);
        let runs = take(&arena, 8, PAGE_BYTES);
        runs.iter().for_each(|&run| fill(run, PAGE_BYTES, 0xaa));
        give(&arena, runs.clone(), PAGE_BYTES);
        assert_eq!(arena.statistics().idle_bytes, 8 * PAGE_BYTES);
        let again = take(&arena, 8, PAGE_BYTES);
        assert_eq!(again, runs);
        assert!(again.iter().all(|&run| holds(run, PAGE_BYTES, 0)));
        assert_eq!(arena.statistics().idle_bytes, 0);
        give(&arena, again, PAGE_BYTES);
    }

    #[test]
    fn wholly_free_regions_go_back_but_one() {
        let arena = PageArena::new(usize::MAX);
        let runs = take(&arena, 4 * RUNS, PAGE_BYTES);
        assert_eq!(arena.statistics().mapped_bytes, 4 * REGION_BYTES);
        give(&arena, runs, PAGE_BYTES);
        assert_eq!(arena.statistics().mapped_bytes, REGION_BYTES);
        assert_eq!(arena.statistics().allocated_bytes, 0);
        assert!(
            arena.statistics().idle_bytes <= IDLE_BYTES.max(REGION_BYTES * cfg!(miri) as usize)
        );
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn idle_memory_is_given_back_in_bulk_and_reads_as_zeros_again() {
        let arena = PageArena::new(usize::MAX);
        let runs = take(&arena, RUNS, PAGE_BYTES);
        runs.iter().for_each(|&run| fill(run, PAGE_BYTES, 0xaa));
        let (kept, dropped): (Vec<_>, Vec<_>) = runs
            .iter()
            .partition(|run| (run.addr().get() / PAGE_BYTES).is_multiple_of(4));
        give(&arena, dropped, PAGE_BYTES);
        assert!(arena.statistics().idle_bytes <= IDLE_BYTES);
        assert!(kept.iter().all(|&run| holds(run, PAGE_BYTES, 0xaa)));
        let again = take(&arena, RUNS - kept.len(), PAGE_BYTES);
        assert!(again.iter().all(|&run| holds(run, PAGE_BYTES, 0)));
        give(&arena, again.into_iter().chain(kept), PAGE_BYTES);
    }

    #[test]
    fn the_limit_is_an_error_and_releasing_makes_room() {
        let arena = PageArena::new(REGION_BYTES);
        let mut runs = take(&arena, RUNS, PAGE_BYTES);
        for bytes in [PAGE_BYTES, LARGEST_RUN_BYTES] {
            let refused = arena.allocate(bytes).err().map(|error| error.kind());
            assert_eq!(refused, Some(ErrorKind::Memory));
        }
        give(&arena, runs.pop(), PAGE_BYTES);
        runs.extend(take(&arena, 1, PAGE_BYTES));
        give(&arena, runs, PAGE_BYTES);
    }

    #[test]
    fn lengths_that_are_no_run_are_refused() {
        let arena = PageArena::new(usize::MAX);
        for bytes in [0, 1, 4095, 4097, 12288, 2 * LARGEST_RUN_BYTES, usize::MAX] {
            let refused = arena.allocate(bytes).err().map(|error| error.kind());
            assert_eq!(refused, Some(ErrorKind::Invalid), "{bytes}");
        }
    }

    #[test]
    fn threads_share_an_arena_without_sharing_a_run() {
        let arena = PageArena::new(usize::MAX);
        let rounds = if cfg!(miri) { 20 } else { 2000 };
        std::thread::scope(|scope| {
            for thread in 1..=4u8 {
                let arena = &arena;
                scope.spawn(move || {
                    let mut held = std::collections::VecDeque::new();
                    for _ in 0..rounds {
                        let run = arena.allocate(PAGE_BYTES).unwrap();
                        assert!(holds(run, PAGE_BYTES, 0));
                        fill(run, PAGE_BYTES, thread);
                        held.push_back(run);
                        if held.len() > 7 {
                            let oldest = held.pop_front().unwrap();
                            assert!(holds(oldest, PAGE_BYTES, thread));
                            give(arena, [oldest], PAGE_BYTES);
                        }
                    }
                    give(arena, held, PAGE_BYTES);
                });
            }
        });
        assert_eq!(arena.statistics().allocated_bytes, 0);
    }
}
