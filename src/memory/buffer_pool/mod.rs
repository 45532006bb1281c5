//! Buffers for values on their way to a caller, pooled by size class.
//!
//! A C caller gives a buffer back by its address alone, maybe twice, maybe one that never came from here. So
//! all buffers of the classes lie in one reserved range of addresses, and everything known of a
//! buffer lies outside it:
//!
//! ```text
//! BufferPool ─► ClassPool (57 classes, 64 B to 1 MiB, four per doubling; made at first use)
//!    │             ├─ caches, one per few threads: the slots given back last
//!    │             └─ shelf: all other free slots, as bitmaps of spans
//!    ├────────► SpanTable: address ⇄ slot, and a bit for each slot that a caller holds
//!    └────────► LargeBuffers: longer ones, mapped one by one, by address
//! ```
//!
//! The idea of spans of one class with bitmaps follows Bonwick, "The slab allocator" (1994). Memory that
//! nobody uses is bounded: each class keeps at most [`EMPTY_SPANS_KEPT`] empty span and its caches' content;
//! other empty spans give their memory back at once.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

mod address_range;
mod class_pool;
mod large;
mod process;
mod shelf;
mod size_class;
mod span_table;
mod statistics;
#[cfg(test)]
mod tests;

use class_pool::ClassPool;
use large::LargeBuffers;
pub use process::{abandon_in_child, process_pool, process_pool_if_any};
pub use shelf::EMPTY_SPANS_KEPT;
use size_class::CLASS_COUNT;
use span_table::{Place, SpanTable};
pub use statistics::{ClassStatistics, LargeStatistics, Statistics};

/// Addresses reserved for the classes where the system allows it; no memory stands behind them.
#[cfg(all(target_pointer_width = "64", not(miri)))]
const RANGE: usize = 64 << 30;
#[cfg(all(not(target_pointer_width = "64"), not(miri)))]
const RANGE: usize = 256 << 20;
#[cfg(miri)]
const RANGE: usize = 4 << 20;

/// The least that is worth reserving.
const LEAST_RANGE: usize = 4 << 20;

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
}

/// Whether a buffer was released.
pub type Released = std::result::Result<(), Refused>;

/// A pool of buffers. All methods may be called from any thread at once.
pub struct BufferPool {
    table: SpanTable,
    classes: [OnceLock<Box<[ClassPool]>>; CLASS_COUNT],
    large: LargeBuffers,
    refused: AtomicU64,
}

impl BufferPool {
    /// A pool without memory yet. [`ErrorKind::Memory`](crate::ErrorKind::Memory) if
    /// the system refuses even a few megabytes of addresses.
    pub fn new() -> Result<Self> {
        Self::with_range(RANGE)
    }

    fn with_range(bytes: usize) -> Result<Self> {
        Ok(Self {
            table: span_table::largest_table(bytes, LEAST_RANGE)?,
            classes: [const { OnceLock::new() }; CLASS_COUNT],
            large: LargeBuffers::default(),
            refused: AtomicU64::new(0),
        })
    }

    /// A buffer of `length` bytes whose content is anything. It has an address even if `length` is 0.
    pub fn get(&self, length: usize) -> Result<Buffer<'_>> {
        let pooled = match size_class::class_for(length) {
            Some(class) => self
                .class_pool(class)?
                .get(&self.table)?
                .map(|slot| self.table.address(class, slot)),
            None => None,
        };
        let address = match pooled {
            Some(address) => address,
            None => self.large.get(length)?,
        };
        Ok(Buffer {
            pool: self,
            address,
            length,
        })
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
    pub unsafe fn release(&self, address: *mut u8) -> Released {
        // SAFETY: as promised to this function.
        let released = unsafe { self.try_release(address.addr()) };
        if released.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        released
    }

    /// # Safety
    /// As for [`BufferPool::release`].
    unsafe fn try_release(&self, address: usize) -> Released {
        match self.table.locate(address) {
            Place::Interior => Err(Refused::Interior),
            Place::Outside => match self.large.remove(address) {
                Some(range) => {
                    drop(range);
                    Ok(())
                }
                None => Err(Refused::Foreign),
            },
            Place::Slot(class, slot) => {
                let pool = self.classes[class].get().ok_or(Refused::NotInUse)?;
                if !self.table.take_back(slot) {
                    return Err(Refused::NotInUse);
                }
                // SAFETY: the slot was handed out by the only pool of its class, has just been taken back,
                // and the caller gave up the memory.
                unsafe { pool[0].put(&self.table, slot) };
                Ok(())
            }
        }
    }

    /// The pool of a class, made at its first use: most processes use a few classes only.
    fn class_pool(&self, class: usize) -> Result<&ClassPool> {
        let cell = &self.classes[class];
        if let Some(pool) = cell.get() {
            return Ok(&pool[0]);
        }
        let mut pool = Vec::new();
        pool.try_reserve_exact(1)
            .map_err(|_| Error::memory("a class of the buffer pool"))?;
        pool.push(ClassPool::new(class));
        // If another thread was faster, its pool is the one.
        Ok(&cell.get_or_init(|| pool.into_boxed_slice())[0])
    }

    /// What went through the pool so far.
    pub fn statistics(&self) -> Statistics {
        let pools = self.classes.iter().filter_map(|class| class.get());
        Statistics {
            classes: pools.map(|pool| pool[0].statistics()).collect(),
            large: self.large.statistics(),
            refused: self.refused.load(Ordering::Relaxed),
            span_bytes: self.table.bytes() as u64,
        }
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
    pub fn content(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the pool handed out at least `length` bytes at `address` to this buffer alone, and the
        // borrow of `self` keeps them from being released or borrowed twice.
        unsafe { std::slice::from_raw_parts_mut(self.address.cast().as_ptr(), self.length) }
    }

    /// Leaves the buffer to whoever holds the address, until [`BufferPool::release`].
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
