//! The page arena: runs of 4 KiB pages out of 2 MiB regions.
//!
//! A region serves runs of one length only, so nothing is ever lost between runs; always the highest
//! region with room is used, so that low regions become empty and can go back to the system.
//!
//! A large arena has huge pages behind its regions: a look-up in them misses the processor's table of addresses less often, and
//! takes a quarter less time at ten million keys. The system needs a third of a millisecond for one, and ten where its memory
//! is itself virtual. So a background thread makes each before it is needed, if there is one; it is asked when the last
//! quarter of the newest region begins.
//!
//! What is resident, handed out or idle, is taken from a budget before. Where that has no more, idle memory serves first.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::budget::MemoryBudget;
use super::page_pool::{Given, Pool, Spare, Taken};
use super::region::REGION_BYTES;
use crate::error::{Error, ErrorKind, Result};

/// Smallest run: one page of 4 KiB.
pub const PAGE_BYTES: usize = 4096;

/// Largest run: 1 MiB.
pub const LARGEST_RUN_BYTES: usize = 1 << 20;

/// From this many mapped bytes on new regions have huge pages; below, a small store would pay for memory it does not use.
const HUGE_FROM_BYTES: usize = 32 << 20;

/// When so few bytes of pages are free, the next region is made.
const FEW_FREE_BYTES: usize = REGION_BYTES / 4;

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
    budget: Arc<MemoryBudget>,
    state: Mutex<State>,
    /// Tells a thread to call [`PageArena::prepare`].
    ask: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

struct State {
    /// Has given all that is resident, handed out or idle.
    budget: Arc<MemoryBudget>,
    /// One pool per length of run in use; an index uses at most two.
    pools: Vec<Pool>,
    statistics: ArenaStatistics,
    /// Idle bytes that the system refused to take back; not asked about again.
    stuck_bytes: usize,
    /// Idle bytes that were made resident ahead and never handed out: no sign of a surplus.
    fresh_bytes: usize,
    next: Next,
}

/// The region that is made ahead.
enum Next {
    None,
    Wanted,
    Ready(Spare),
}

impl PageArena {
    /// An arena that maps at most `limit_bytes` from the system.
    pub fn new(limit_bytes: usize) -> Self {
        Self::with_limits(limit_bytes, Arc::default())
    }

    /// An arena that has no more memory than `budget` gives it.
    pub fn within(budget: Arc<MemoryBudget>) -> Self {
        Self::with_limits(usize::MAX, budget)
    }

    fn with_limits(limit_bytes: usize, budget: Arc<MemoryBudget>) -> Self {
        Self {
            limit_bytes,
            budget: budget.clone(),
            state: Mutex::new(State {
                budget,
                pools: Vec::new(),
                statistics: ArenaStatistics::default(),
                stuck_bytes: 0,
                fresh_bytes: 0,
                next: Next::None,
            }),
            ask: OnceLock::new(),
        }
    }

    /// From now on `ask` is called when there is something to [prepare](PageArena::prepare). It must come back soon, and must
    /// not call the arena. Only the first call counts.
    pub fn ask_before_growth(&self, ask: impl Fn() + Send + Sync + 'static) {
        // Whoever was there first makes the regions just as well.
        let _ = self.ask.set(Box::new(ask));
    }

    /// Makes the next region, if it is needed soon: takes milliseconds, in which others go on.
    pub fn prepare(&self) {
        let lacks = |state: &State| {
            let mapped_bytes = state.statistics.mapped_bytes + REGION_BYTES;
            matches!(state.next, Next::Wanted) && mapped_bytes <= self.limit_bytes
        };
        if !lacks(&self.state.lock()) {
            return;
        }
        // If there is no memory, whoever needs the region hears of it; if the budget has no more, he takes small pages.
        let Ok(spare) = map_huge(&self.budget) else {
            return;
        };
        let mut state = self.state.lock();
        if lacks(&state) {
            state.note_mapped(&spare);
            state.next = Next::Ready(spare);
        } else {
            self.budget.give_back(spare.resident().idle_bytes);
        }
    }

    /// The budget that the arena's memory comes from.
    pub fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// Gives all idle memory back to the system, also what was made ready for growth.
    pub fn trim(&self) {
        let mut state = self.state.lock();
        state.drop_next();
        state.give_back(0);
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
        let ask = self.ask.get();
        let (taken, wanted) = {
            let mut state = self.state.lock();
            let number = state.pool_for(bytes)?;
            let taken = state.allocate(number, bytes, self.limit_bytes, ask.is_none())?;
            (taken, state.wants_region(number))
        };
        if let Some(ask) = ask.filter(|_| wanted) {
            ask();
        }
        if taken.used {
            // SAFETY: the run is `bytes` long, inside a mapped region, and was just made ours alone.
            unsafe { taken.run.write_bytes(0, bytes) };
        }
        Ok(taken.run)
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
    /// The number of the pool of runs of so many bytes, which there is then.
    fn pool_for(&mut self, bytes: usize) -> Result<usize> {
        match self.pool(bytes) {
            Some(number) => Ok(number),
            None => self.add_pool(bytes),
        }
    }

    /// A run of pool `number`. `alone` if nobody makes regions ahead.
    fn allocate(
        &mut self,
        number: usize,
        bytes: usize,
        limit_bytes: usize,
        alone: bool,
    ) -> Result<Taken> {
        let taken = match self.pools[number].take() {
            Some(taken) => taken,
            None => self.take_from_new_region(number, limit_bytes, alone)?,
        };
        let taken = match taken.resident {
            true => taken,
            false => self.pay(number, taken)?,
        };
        self.statistics.allocated_bytes += bytes;
        if taken.resident {
            self.remove_idle(Given {
                idle_bytes: bytes,
                fresh_bytes: if taken.used { 0 } else { bytes },
            });
        }
        Ok(taken)
    }

    /// Pays for a run of pool `number` that is not resident yet, or takes one instead that is.
    fn pay(&mut self, number: usize, taken: Taken) -> Result<Taken> {
        let bytes = self.pools[number].run_bytes();
        if self.budget.try_take(bytes) {
            return Ok(taken);
        }
        self.pools[number].put_back(&taken);
        if let Some(idle) = self.pools[number].take_idle() {
            return Ok(idle);
        }
        // What waits elsewhere.
        self.drop_next();
        if self.statistics.idle_bytes > self.stuck_bytes {
            self.give_back(0);
        }
        self.budget.take(bytes)?;
        let again = self.pools[number].take();
        again.ok_or_else(|| Error::memory("a run of pages"))
    }

    /// Whether somebody must be asked to make the next region, now that a run of pool `number` was taken.
    fn wants_region(&mut self, number: usize) -> bool {
        let wanted = matches!(self.next, Next::None)
            && self.statistics.mapped_bytes >= HUGE_FROM_BYTES
            && self.pools[number].free_bytes() < FEW_FREE_BYTES;
        if wanted {
            self.next = Next::Wanted;
        }
        wanted
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
        alone: bool,
    ) -> Result<Taken> {
        let spare = match std::mem::replace(&mut self.next, Next::None) {
            Next::Ready(spare) => spare,
            Next::Wanted | Next::None => {
                let mapped_bytes = self.statistics.mapped_bytes + REGION_BYTES;
                if mapped_bytes > limit_bytes {
                    return Err(Error::memory("pages: the arena's limit is reached"));
                }
                // Whoever is to make regions ahead was too slow, or the budget is too small: then this one has small pages.
                let huge = match alone && mapped_bytes > HUGE_FROM_BYTES {
                    true => map_huge(&self.budget).ok(),
                    false => None,
                };
                let spare = huge.map_or_else(|| Spare::map(false), Ok)?;
                self.note_mapped(&spare);
                spare
            }
        };
        let resident = spare.resident();
        if let Err(error) = self.pools[number].add_region(spare) {
            self.forget_region(resident);
            return Err(error);
        }
        let taken = self.pools[number].take();
        taken.ok_or_else(|| Error::memory("a run of pages"))
    }

    fn note_mapped(&mut self, spare: &Spare) {
        self.statistics.mapped_bytes += REGION_BYTES;
        let resident = spare.resident();
        self.statistics.idle_bytes += resident.idle_bytes;
        self.fresh_bytes += resident.fresh_bytes;
    }

    /// A region is unmapped, and its idle memory went with it.
    fn forget_region(&mut self, given: Given) {
        self.statistics.mapped_bytes -= REGION_BYTES;
        self.budget.give_back(given.idle_bytes);
        self.remove_idle(given);
    }

    fn release(&mut self, run: NonNull<u8>, bytes: usize) {
        let number = self.pool(bytes);
        let number = number.expect("a released run has the length it was allocated with");
        let unmapped = self.pools[number].release(run);
        self.statistics.allocated_bytes -= bytes;
        self.statistics.idle_bytes += bytes;
        if let Some(given) = unmapped {
            self.forget_region(given);
            self.drop_next();
        }
        let unavoidable = self.stuck_bytes + self.wanted_fresh_bytes();
        let allowance = idle_allowance(self.statistics.allocated_bytes);
        if self.statistics.idle_bytes > unavoidable + allowance {
            self.give_back(unavoidable + allowance / 2);
        }
    }

    /// What may stay of what was made ahead. An arena that has become small grows without.
    fn wanted_fresh_bytes(&self) -> usize {
        match self.statistics.mapped_bytes >= HUGE_FROM_BYTES {
            true => self.fresh_bytes,
            false => 0,
        }
    }

    /// An arena that becomes smaller needs no region ahead.
    fn drop_next(&mut self) {
        match std::mem::replace(&mut self.next, Next::None) {
            Next::Ready(spare) => self.forget_region(spare.resident()),
            next => self.next = next,
        }
    }

    fn remove_idle(&mut self, given: Given) {
        self.statistics.idle_bytes -= given.idle_bytes;
        self.fresh_bytes -= given.fresh_bytes;
        self.stuck_bytes = self.stuck_bytes.min(self.statistics.idle_bytes);
    }

    /// Gives idle memory back until at most `rest` is left.
    fn give_back(&mut self, rest: usize) {
        for number in 0..self.pools.len() {
            let surplus = self.statistics.idle_bytes.saturating_sub(rest);
            let given = self.pools[number].give_back(surplus);
            self.budget.give_back(given.idle_bytes);
            self.remove_idle(given);
        }
        if self.statistics.idle_bytes > rest {
            self.stuck_bytes = self.statistics.idle_bytes - self.fresh_bytes;
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let resident = self.statistics.allocated_bytes + self.statistics.idle_bytes;
        self.budget.give_back(resident);
    }
}

/// A region with a huge page if the system has one, taken from `budget` as a whole.
fn map_huge(budget: &MemoryBudget) -> Result<Spare> {
    if !budget.try_take(REGION_BYTES) {
        return Err(Error::memory("a huge page"));
    }
    let spare = Spare::map(true);
    let resident = spare.as_ref().map_or(0, |it| it.resident().idle_bytes);
    budget.give_back(REGION_BYTES - resident);
    spare
}

#[cfg(test)]
mod tests;
