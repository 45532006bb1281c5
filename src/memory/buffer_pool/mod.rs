//! Buffers for values on their way to a caller, pooled by size class.
//!
//! A C caller gives a buffer back by its address alone, maybe twice, maybe one that never came from here. So
//! all buffers of the classes lie in one reserved range of addresses, and everything known of a
//! buffer lies outside it:
//!
//! ```text
//! BufferPool ─► Shared ─┬─► SpanTable: address ⇄ slot, and for each slot whether a caller holds it
//!                       ├─► ClassPool, one for each class: the free slots on a shelf, as bitmaps of spans
//!                       ├─► Extents: longer ones, whole pages of mapped regions, by address and by length
//!                       └─► IdleBudget: how many bytes may wait for their next use
//! thread ─► ThreadCache ─► Magazine, one for each class: the slots that this thread gave back last
//! ```
//!
//! A get takes from the magazine of its thread, a release puts there, whoever had got the buffer. Neither takes a lock
//! or writes what threads share, but for the note of who holds the buffer. An empty magazine is filled from the shelf
//! and a full one emptied to it by halves. It gets more room while it proves too small, and less when buffers in it
//! were not needed for long; all of that within the budget. A thread that ends leaves its buffers to the shelves.
//!
//! The idea of spans of one class with bitmaps follows Bonwick, "The slab allocator" (1994), that of magazines Bonwick and
//! Adams, "Magazines and Vmem" (2001).
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::Result;

mod address_range;
mod block;
mod budget;
mod class_pool;
mod extents;
mod fence;
mod kept_copy;
mod local;
mod magazine;
mod owners_lock;
mod process;
mod shared;
mod shelf;
mod size_class;
mod span_table;
mod statistics;
mod taken_over;
#[cfg(test)]
mod tests;
mod thread_cache;

pub use block::Block;
pub use extents::Fit;
pub use kept_copy::KeptCopy;
pub use process::{abandon_in_child, process_pool, process_pool_if_any, set_process_classes};
use shared::Shared;
use size_class::Classes;
pub use size_class::{LARGEST, MOST_CLASSES, SIZE_STEP, SMALLEST};
use span_table::{Place, SlotReference};
pub use statistics::{ClassStatistics, LargeStatistics, Statistics};
pub use taken_over::TakenOver;
use thread_cache::ThreadCache;

/// Addresses reserved for the classes where the system allows it; no memory stands behind them.
#[cfg(all(target_pointer_width = "64", not(miri)))]
const RANGE: usize = 64 << 30;
#[cfg(all(not(target_pointer_width = "64"), not(miri)))]
const RANGE: usize = 256 << 20;
#[cfg(miri)]
const RANGE: usize = 4 << 20;

/// Every buffer begins at a multiple of this many bytes.
pub const ALIGNMENT: usize = 16;

/// Why an address was not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No buffer of this pool begins or lies there, or it was a large one and has been released.
    Foreign,
    /// It lies inside the pool's memory, but no buffer begins there.
    Interior,
    /// A buffer begins there, but nobody holds it: it has been released before.
    NotInUse,
    /// The buffer is shorter than its holder says; so many bytes it has.
    TooShort(usize),
}

/// Whether a buffer was released.
pub type Released = std::result::Result<(), Refused>;

/// A pool of buffers. All methods may be called from any thread at once.
pub struct BufferPool {
    shared: Arc<Shared>,
}

impl BufferPool {
    /// A pool with the standard classes, without memory yet. [`ErrorKind::Memory`](crate::ErrorKind::Memory) if
    /// the system refuses even a few megabytes of addresses.
    pub fn new() -> Result<Self> {
        Self::with_range(Classes::standard(), RANGE)
    }

    /// A pool with classes of these sizes in bytes, by rising size: 1 to [`MOST_CLASSES`] multiples of [`SIZE_STEP`] from
    /// [`SMALLEST`] to [`LARGEST`]; others are [`ErrorKind::Invalid`](crate::ErrorKind::Invalid).
    pub fn with_classes(sizes: &[usize]) -> Result<Self> {
        Self::with_range(Classes::new(sizes)?, RANGE)
    }

    fn with_range(classes: Classes, bytes: usize) -> Result<Self> {
        let shared = Shared::new(classes, bytes, budget::STANDARD_LIMIT)?;
        let shared = Arc::new(shared);
        Ok(Self { shared })
    }

    /// A buffer of `length` bytes whose content is anything. It has an address even if `length` is 0.
    #[inline]
    pub fn get(&self, length: usize) -> Result<Buffer<'_>> {
        let shared = &*self.shared;
        let Some(class) = shared.classes().class_for(length) else {
            return self.get_oversize(length);
        };
        // SAFETY: the cache is this thread's.
        let popped = local::with_cache(&self.shared, |cache| unsafe { cache.pop(shared, class) });
        match popped.flatten() {
            Some(slot) => Ok(self.hand_out(class, slot, length)),
            None => self.get_missing(class, length),
        }
    }

    /// For a magazine that is empty.
    #[cold]
    #[inline(never)]
    fn get_missing(&self, class: usize, length: usize) -> Result<Buffer<'_>> {
        let shared = &*self.shared;
        // SAFETY: the cache is this thread's.
        let refill = |cache: &ThreadCache| unsafe { cache.refill(shared, class) };
        let slot = match local::with_cache(&self.shared, refill) {
            Some(slot) => slot?,
            None => shared.class_pool(class).get_uncached(shared, class)?,
        };
        match slot {
            Some(slot) => Ok(self.hand_out(class, slot, length)),
            None => self.get_large(length),
        }
    }

    #[cold]
    #[inline(never)]
    fn get_oversize(&self, length: usize) -> Result<Buffer<'_>> {
        self.shared.oversize.fetch_add(1, Ordering::Relaxed);
        self.get_large(length)
    }

    fn get_large(&self, length: usize) -> Result<Buffer<'_>> {
        let address = self.shared.large.get(length, self.shared.budget())?;
        Ok(Buffer {
            pool: self,
            address,
            length,
        })
    }

    #[inline]
    fn hand_out(&self, class: usize, slot: SlotReference, length: usize) -> Buffer<'_> {
        let shared = &*self.shared;
        shared.table().hand_out(slot);
        Buffer {
            pool: self,
            address: shared.table().address(shared.classes().get(class), slot),
            length,
        }
    }

    /// How many bytes a buffer for `length` has; `None` if `length` is more than the largest class holds.
    #[inline]
    pub fn class_size(&self, length: usize) -> Option<usize> {
        let classes = self.shared.classes();
        Some(classes.get(classes.class_for(length)?).size)
    }

    /// A buffer of `length` bytes that are 0.
    pub fn get_zeroed(&self, length: usize) -> Result<Buffer<'_>> {
        let buffer = self.get(length)?;
        // SAFETY: the buffer has room for as many bytes and is nobody else's.
        unsafe { buffer.address.as_ptr().write_bytes(0, length) };
        Ok(buffer)
    }

    /// A buffer with a copy of `bytes`.
    pub fn copy_of(&self, bytes: &[u8]) -> Result<Buffer<'_>> {
        let buffer = self.get(bytes.len())?;
        // SAFETY: the buffer has room for as many bytes, and it is nobody else's, so they cannot overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.address.as_ptr(), bytes.len());
        }
        Ok(buffer)
    }

    /// Takes back the buffer that begins at `address`, if a caller holds one there, else refuses. What lies at
    /// `address` is not looked at.
    ///
    /// # Safety
    /// If `address` is that of a buffer made by [`Buffer::into_raw`], then the caller gives it up: nobody uses
    /// its memory afterwards. It is not the address of a live [`Buffer`].
    #[inline]
    pub unsafe fn release(&self, address: *mut u8) -> Released {
        let shared = &*self.shared;
        let released = match shared.table().locate(shared.classes(), address.addr()) {
            Place::Slot(class, slot) => {
                if shared.table().take_back(slot) {
                    // SAFETY: the slot was handed out and has just been taken back, and the caller gave up the memory.
                    unsafe { self.put_slot(class, slot) };
                    return Ok(());
                }
                Err(Refused::NotInUse)
            }
            // SAFETY: the caller gave up the memory.
            Place::Outside => unsafe { shared.large.release(address.addr(), shared.budget()) },
            Place::Interior => Err(Refused::Interior),
        };
        released.inspect_err(|_| self.count_refused())
    }

    #[cold]
    fn count_refused(&self) {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// # Safety
    /// The slot was handed out, has been taken back by the caller, and nobody uses its memory.
    #[inline]
    unsafe fn put_slot(&self, class: usize, slot: SlotReference) {
        let shared = &*self.shared;
        // SAFETY: the cache is this thread's; the rest is promised to this function.
        let put = |cache: &ThreadCache| unsafe { cache.put(shared, class, slot) };
        if local::with_cache(&self.shared, put).is_none() {
            // SAFETY: as promised to this function.
            unsafe { shared.class_pool(class).put_uncached(shared, class, slot) };
        }
    }

    /// Gives the memory that waits for its next use back to the system, also what other threads keep in their
    /// magazines. What callers hold stays.
    pub fn trim(&self) {
        self.shared.trim();
    }

    /// Sets how many bytes may wait for their next use. What waits above that is given back now.
    pub fn set_idle_limit(&self, bytes: usize) {
        self.shared.budget().set_limit(bytes);
        if self.shared.budget().used() > bytes {
            self.trim();
        }
    }

    /// From now on large buffers are cut out of free memory by `fit`.
    pub fn set_fit(&self, fit: Fit) {
        self.shared.large.set_fit(fit);
    }

    /// What went through the pool so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }
}

impl Drop for BufferPool {
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Relaxed);
    }
}

/// A buffer, given back to its pool when dropped.
pub struct Buffer<'p> {
    pool: &'p BufferPool,
    address: NonNull<u8>,
    length: usize,
}

// SAFETY: a buffer owns its memory, and the pool may be used from any thread.
unsafe impl Send for Buffer<'_> {}

impl Buffer<'_> {
    /// The buffer's bytes, which may never have been written.
    #[inline]
    pub fn content(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the pool handed out at least `length` bytes at `address` to this buffer alone, and the
        // borrow of `self` keeps them from being released or borrowed twice.
        unsafe { std::slice::from_raw_parts_mut(self.address.cast().as_ptr(), self.length) }
    }

    /// Leaves the buffer to whoever holds the address, until [`BufferPool::release`].
    #[inline]
    pub fn into_raw(self) -> NonNull<u8> {
        let address = self.address;
        std::mem::forget(self);
        address
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        // SAFETY: the buffer owns its memory and is gone after this.
        let released = unsafe { self.pool.release(self.address.as_ptr()) };
        debug_assert_eq!(released, Ok(()));
    }
}
