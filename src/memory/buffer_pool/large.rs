//! Buffers that are mapped one by one, registered by address, and a few of them kept for reuse.

use std::ptr::NonNull;

use parking_lot::Mutex;

use super::Refused;
use super::address_range::AddressRange;
use super::budget::IdleBudget;
use super::statistics::LargeStatistics;
use crate::error::{Error, Result};

/// A length is rounded up to this many bytes.
const GRANULE: usize = 4096;

/// Buffers kept for reuse at most.
const MOST_KEPT: usize = 16;

/// The large buffers that callers hold, and those that wait.
#[derive(Default)]
pub struct LargeBuffers {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By rising address. They are few: a megabyte each, with the standard classes.
    buffers: Vec<LargeBuffer>,
    /// Released ones, the oldest first. Has room for [`MOST_KEPT`] or is empty.
    kept: Vec<AddressRange>,
    statistics: LargeStatistics,
}

struct LargeBuffer {
    range: AddressRange,
    /// `false` while it is taken over: see [`LargeBuffers::take_over`].
    held: bool,
}

impl Inner {
    /// Where the range that begins at `address` is, or else would have to be put.
    fn find(&self, address: usize) -> std::result::Result<usize, usize> {
        self.buffers
            .binary_search_by_key(&address, |buffer| buffer.range.base().addr().get())
    }

    /// The shortest kept buffer of at least `length` bytes that wastes no more than a quarter of it.
    fn take_kept(&mut self, length: usize) -> Option<AddressRange> {
        let fits = |range: &AddressRange| (length..=length + length / 4).contains(&range.length());
        let kept = self.kept.iter().enumerate();
        let (place, _) = kept
            .filter(|(_, range)| fits(range))
            .min_by_key(|(_, range)| range.length())?;
        Some(self.kept.remove(place))
    }

    /// Keeps `range` if it may be kept. The answer is what is to be unmapped, if anything.
    fn keep(&mut self, range: AddressRange, budget: &IdleBudget) -> Option<AddressRange> {
        let reserved = self.kept.capacity() > 0 || self.kept.try_reserve_exact(MOST_KEPT).is_ok();
        if !reserved || !budget.try_take(range.length()) {
            return Some(range);
        }
        let oldest = (self.kept.len() == MOST_KEPT).then(|| self.kept.remove(0));
        self.kept.push(range);
        oldest.inspect(|oldest| budget.give_back(oldest.length()))
    }
}

impl LargeBuffers {
    /// A buffer of `length` bytes, at least one page.
    pub fn get(&self, length: usize, budget: &IdleBudget) -> Result<NonNull<u8>> {
        let rounded = length
            .max(1)
            .checked_next_multiple_of(GRANULE)
            .filter(|rounded| *rounded <= isize::MAX as usize / 2)
            .ok_or_else(|| Error::memory("a buffer"))?;
        let kept = self.inner.lock().take_kept(rounded);
        let is_hit = kept.is_some();
        let range = match kept {
            Some(range) => {
                budget.give_back(range.length());
                range
            }
            None => AddressRange::usable(rounded)?,
        };
        let (address, length) = (range.base(), range.length());
        let mut inner = self.inner.lock();
        inner
            .buffers
            .try_reserve(1)
            .map_err(|_| Error::memory("the register of large buffers"))?;
        let (Ok(place) | Err(place)) = inner.find(address.addr().get());
        inner
            .buffers
            .insert(place, LargeBuffer { range, held: true });
        inner.statistics.gets += 1;
        inner.statistics.hits += u64::from(is_hit);
        inner.statistics.in_use += 1;
        inner.statistics.bytes_in_use += length as u64;
        Ok(address)
    }

    /// Takes back the buffer at `address`, if a caller holds one there.
    pub fn release(&self, address: usize, budget: &IdleBudget) -> std::result::Result<(), Refused> {
        let mut inner = self.inner.lock();
        let place = inner.find(address).map_err(|_| Refused::Foreign)?;
        if !inner.buffers[place].held {
            return Err(Refused::NotInUse);
        }
        let LargeBuffer { range, .. } = inner.buffers.remove(place);
        inner.statistics.in_use -= 1;
        inner.statistics.bytes_in_use -= range.length() as u64;
        let surplus = inner.keep(range, budget);
        drop(inner);
        // Unmapping takes its time, and needs no lock.
        drop(surplus);
        Ok(())
    }

    /// Takes the buffer at `address` from its holder, so that nobody can release it until it is handed back; answers its
    /// length.
    pub fn take_over(&self, address: usize) -> std::result::Result<usize, Refused> {
        let mut inner = self.inner.lock();
        let place = inner.find(address).map_err(|_| Refused::Foreign)?;
        let buffer = &mut inner.buffers[place];
        match std::mem::replace(&mut buffer.held, false) {
            true => Ok(buffer.range.length()),
            false => Err(Refused::NotInUse),
        }
    }

    /// Gives a buffer that was taken over back to its holder.
    pub fn hand_back(&self, address: usize) {
        let mut inner = self.inner.lock();
        if let Ok(place) = inner.find(address) {
            inner.buffers[place].held = true;
        }
    }

    /// Unmaps all that wait.
    pub fn trim(&self, budget: &IdleBudget) {
        let kept = std::mem::take(&mut self.inner.lock().kept);
        for range in kept {
            budget.give_back(range.length());
        }
    }

    /// Counts of large buffers.
    pub fn statistics(&self) -> LargeStatistics {
        let inner = self.inner.lock();
        LargeStatistics {
            pooled: inner.kept.len() as u64,
            ..inner.statistics
        }
    }
}
