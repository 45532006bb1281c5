//! A shared value in a cell of a pool: what `Arc` is to the heap.
#![allow(unsafe_code)]

use std::mem::offset_of;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use super::cell_pool::{CellPool, GRANULE_BYTES, cell_bytes};
use super::epoch::Owner;
use super::page_arena::PAGE_BYTES;
use crate::error::Result;

#[repr(C)]
struct Cell<T> {
    owners: AtomicUsize,
    pool: Arc<CellPool>,
    value: T,
}

/// A share of a value, which is dropped with the last one.
pub struct Placed<T>(NonNull<Cell<T>>);

// SAFETY: it stands for an `Arc<T>`, which asks for the same.
unsafe impl<T: Send + Sync> Send for Placed<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Placed<T> {}

impl<T> Placed<T> {
    const FITS: () = assert!(
        size_of::<Cell<T>>() <= PAGE_BYTES && align_of::<Cell<T>>() <= GRANULE_BYTES,
        "a value that no cell is large enough for"
    );

    /// Bytes of the cell that it takes.
    pub const CELL_BYTES: usize = cell_bytes(size_of::<Cell<T>>());

    /// Places `value`.
    ///
    /// # Errors
    /// `Memory`, and the value is dropped.
    pub fn new(pool: &Arc<CellPool>, value: T) -> Result<Self> {
        const { Self::FITS };
        let cell = pool.allocate(size_of::<Cell<T>>())?.cast::<Cell<T>>();
        let content = Cell {
            owners: AtomicUsize::new(1),
            pool: pool.clone(),
            value,
        };
        // SAFETY: the cell is ours alone, and as long and as aligned as its content, as `FITS` says.
        unsafe { cell.write(content) };
        Ok(Self(cell))
    }

    fn cell(&self) -> &Cell<T> {
        // SAFETY: written by `new`, and dropped only with the last share.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Deref for Placed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.cell().value
    }
}

impl<T> Clone for Placed<T> {
    fn clone(&self) -> Self {
        // Shares do not overflow: each takes memory of its own.
        self.cell().owners.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl<T> Drop for Placed<T> {
    fn drop(&mut self) {
        if self.cell().owners.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // Whatever was done through other shares was done before.
        fence(Ordering::Acquire);
        let cell = self.0.as_ptr();
        // SAFETY: this was the last share. The pool's is moved out, and outlives the cell; the value is dropped once; then the
        // cell goes back with the length it was had with.
        unsafe {
            let pool = ptr::read(&raw const (*cell).pool);
            ptr::drop_in_place(&raw mut (*cell).value);
            pool.release(self.0.cast(), size_of::<Cell<T>>());
        }
    }
}

// SAFETY: the value stays where it is as long as there is a share, and `into_raw` keeps its share.
unsafe impl<T: Send + Sync + 'static> Owner<T> for Placed<T> {
    fn into_raw(self) -> *const T {
        let cell = self.0.as_ptr();
        std::mem::forget(self);
        // SAFETY: the cell is there as long as the share that was just kept.
        unsafe { &raw const (*cell).value }
    }

    unsafe fn from_raw(value: *const T) -> Self {
        // SAFETY: the caller's promise: `value` is in a cell, and never null.
        unsafe {
            let cell = value.byte_sub(offset_of!(Cell<T>, value));
            Self(NonNull::new_unchecked(cell.cast_mut().cast()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::page_arena::PageArena;

    fn pool() -> Arc<CellPool> {
        Arc::new(CellPool::new(Arc::new(PageArena::new(usize::MAX))))
    }

    #[test]
    fn a_value_is_dropped_with_its_last_share_and_its_memory_comes_back() {
        let pool = pool();
        let witness = Arc::new(());
        let first = Placed::new(&pool, (witness.clone(), [7_u64; 50])).unwrap();
        let second = first.clone();
        drop(first);
        assert_eq!(second.1, [7; 50]);
        assert_eq!(Arc::strong_count(&witness), 2);
        // SAFETY: what `into_raw` gave, once.
        let second = unsafe { Placed::from_raw(second.into_raw()) };
        assert_eq!(second.1, [7; 50]);
        drop(second);
        assert_eq!(Arc::strong_count(&witness), 1);
        assert_eq!(pool.allocated_bytes(), 0);
    }

    #[test]
    fn a_value_outlives_the_pools_other_owners() {
        let value = Placed::new(&pool(), String::from("here")).unwrap();
        assert_eq!(*value, "here");
    }

    #[test]
    fn shares_may_be_dropped_by_any_thread() {
        let pool = pool();
        let value = Placed::new(&pool, String::from("here")).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let value = value.clone();
                scope.spawn(move || assert_eq!(*value, "here"));
            }
            drop(value);
        });
        assert_eq!(pool.allocated_bytes(), 0);
    }

    #[test]
    fn a_value_that_has_no_room_is_dropped() {
        let arena = Arc::new(PageArena::new(0));
        let pool = Arc::new(CellPool::new(arena));
        let witness = Arc::new(());
        assert!(Placed::new(&pool, witness.clone()).is_err());
        assert_eq!(Arc::strong_count(&witness), 1);
    }
}
