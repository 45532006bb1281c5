//! The page arena: runs of 4 KiB pages out of 2 MiB regions.
//!
//! A region serves runs of one length only, so nothing is ever lost between runs; always the highest
//! region with room is used, so that low regions become empty and can go back to the system.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use parking_lot::Mutex;

use super::page_pool::Pool;
use super::region::REGION_BYTES;
use crate::error::{Error, ErrorKind, Result};

/// Smallest run: one page of 4 KiB.
pub const PAGE_BYTES: usize = 4096;

/// Largest run: 1 MiB.
pub const LARGEST_RUN_BYTES: usize = 1 << 20;

/// From this many mapped bytes on full regions ask for huge pages; below, a small store would pay for memory
/// it does not use.
const HUGE_FROM_BYTES: usize = 16 << 20;

/// This much idle memory may stay resident for quick reuse in any arena, and so much in one of which a 16th part is as much.
const LEAST_IDLE_BYTES: usize = 128 << 10;
const IDLE_BYTES: usize = 512 << 10;

/// How much idle memory may stay resident where so many bytes are handed out; of more, all but half of that is given back.
fn idle_allowance(allocated_bytes: usize) -> usize {
    let of_small = (allocated_bytes / 16).clamp(LEAST_IDLE_BYTES, IDLE_BYTES);
    of_small.max(allocated_bytes / 32)
}

/// How much memory an arena holds; all figures in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArenaStatistics {
    /// Address space taken from the system.
    pub mapped_bytes: usize,
    /// Handed out and not yet released.
    pub allocated_bytes: usize,
    /// Resident, but not handed out: released and waiting to be used again or given back.
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
        self.state.lock().statistics
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

impl State {
    /// A run, and whether it may hold old bytes.
    fn allocate(&mut self, bytes: usize, limit_bytes: usize) -> Result<(NonNull<u8>, bool)> {
        let number = match self.pool(bytes) {
            Some(number) => number,
            None => self.add_pool(bytes)?,
        };
        let huge = self.statistics.mapped_bytes >= HUGE_FROM_BYTES;
        let (run, used) = match self.pools[number].take(huge) {
            Some(taken) => taken,
            None => self.take_from_new_region(number, limit_bytes)?,
        };
        self.statistics.allocated_bytes += bytes;
        self.remove_idle(if used { bytes } else { 0 });
        Ok((run, used))
    }

    fn pool(&self, run_bytes: usize) -> Option<usize> {
        let mut pools = self.pools.iter();
        pools.position(|pool| pool.run_bytes() == run_bytes)
    }

    fn add_pool(&mut self, run_bytes: usize) -> Result<usize> {
        let reserved = self.pools.try_reserve(1);
        reserved.map_err(|_| Error::memory("a pool of pages"))?;
        self.pools.push(Pool::new(run_bytes));
        Ok(self.pools.len() - 1)
    }

    fn take_from_new_region(
        &mut self,
        number: usize,
        limit_bytes: usize,
    ) -> Result<(NonNull<u8>, bool)> {
        let mapped_bytes = self.statistics.mapped_bytes + REGION_BYTES;
        if mapped_bytes > limit_bytes {
            return Err(Error::memory("pages: the arena's limit is reached"));
        }
        self.pools[number].add_region()?;
        self.statistics.mapped_bytes = mapped_bytes;
        let taken = self.pools[number].take(mapped_bytes > HUGE_FROM_BYTES);
        taken.ok_or_else(|| Error::memory("a run of pages"))
    }

    fn release(&mut self, run: NonNull<u8>, bytes: usize) {
        let number = self.pool(bytes);
        let number = number.expect("a released run has the length it was allocated with");
        let unmapped_idle_bytes = self.pools[number].release(run);
        self.statistics.allocated_bytes -= bytes;
        self.statistics.idle_bytes += bytes;
        if let Some(idle_bytes) = unmapped_idle_bytes {
            self.statistics.mapped_bytes -= REGION_BYTES;
            self.remove_idle(idle_bytes);
        }
        let allowance = idle_allowance(self.statistics.allocated_bytes);
        if self.statistics.idle_bytes - self.stuck_bytes > allowance {
            self.give_back(self.stuck_bytes + allowance / 2);
        }
    }

    fn remove_idle(&mut self, bytes: usize) {
        self.statistics.idle_bytes -= bytes;
        self.stuck_bytes = self.stuck_bytes.min(self.statistics.idle_bytes);
    }

    /// Gives idle memory back until at most `rest` is left.
    fn give_back(&mut self, rest: usize) {
        for number in 0..self.pools.len() {
            let surplus = self.statistics.idle_bytes.saturating_sub(rest);
            let given = self.pools[number].give_back(surplus);
            self.remove_idle(given);
        }
        if self.statistics.idle_bytes > rest {
            self.stuck_bytes = self.statistics.idle_bytes;
        }
    }
}

#[cfg(test)]
mod tests;
