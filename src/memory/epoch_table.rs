//! A sparse array of shared values that readers index without waiting and one writer at a time changes.
#![allow(unsafe_code)]

use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use memmap2::MmapMut;
use parking_lot::Mutex;

use super::epoch::Guard;
use crate::error::{Error, Result};

const LEAF: usize = 4096;
const LEAVES: usize = 256;

/// The first of the [`LEAF`] places of a leaf.
type Leaf<T> = AtomicPtr<T>;

/// A fixed-size sparse array of `Arc<T>`: 2^20 places, memory only for the pages of those that were touched. Reading
/// a place costs two dependent loads and writes nothing. A replaced value is released once no [`Guard`]
/// that could have seen it is left.
pub struct EpochTable<T: Send + Sync + 'static> {
    leaves: [AtomicPtr<Leaf<T>>; LEAVES],
    /// The memory of the leaves, zeroed in the beginning, which stands for empty places. It lives as long as the table.
    memory: Mutex<Vec<MmapMut>>,
}

impl<T: Send + Sync + 'static> Default for EpochTable<T> {
    /// A table whose places are all empty.
    fn default() -> Self {
        Self {
            leaves: [const { AtomicPtr::new(ptr::null_mut()) }; LEAVES],
            memory: Mutex::default(),
        }
    }
}

impl<T: Send + Sync + 'static> EpochTable<T> {
    /// Number of places.
    pub const CAPACITY: usize = LEAF * LEAVES;

    /// The value at `place`, valid as long as `guard` is; `None` if the place is empty or beyond the table.
    #[inline]
    pub fn get<'g>(&self, place: usize, _guard: &'g Guard) -> Option<&'g T> {
        let value = self.pointer(place)?;
        // SAFETY: the pointer came from `Arc::into_raw`, and the table's share of it is given up only
        // through a deferred drop that waits for `guard`.
        Some(unsafe { &*value })
    }

    /// The same as a share, which outlives the guard.
    pub fn share(&self, place: usize, _guard: &Guard) -> Option<Arc<T>> {
        let value = self.pointer(place)?;
        // SAFETY: as in `get`, so that there is a share to be counted up; the new one is owned by what is returned.
        Some(unsafe {
            Arc::increment_strong_count(value);
            Arc::from_raw(value)
        })
    }

    #[inline]
    fn pointer(&self, place: usize) -> Option<*const T> {
        let value = self.leaf(place / LEAF)?[place % LEAF].load(Ordering::Acquire);
        (!value.is_null()).then_some(value.cast_const())
    }

    #[inline]
    fn leaf(&self, index: usize) -> Option<&[AtomicPtr<T>]> {
        let leaf = self.leaves.get(index)?.load(Ordering::Acquire);
        if leaf.is_null() {
            return None;
        }
        // SAFETY: `add_leaf` has put the address of a mapping for so many pointers here, aligned to a page and full of zeros,
        // which are null pointers; it stays as long as the table, and is used in no other way.
        Some(unsafe { slice::from_raw_parts(leaf, LEAF) })
    }

    /// Makes sure that [`EpochTable::set`] on `places` will find memory.
    pub fn reserve(&self, places: std::ops::Range<usize>) -> Result<()> {
        if places.end > Self::CAPACITY {
            return Err(Error::new(
                crate::ErrorKind::TooLarge,
                "the store has reached its limit of 1 TiB of log",
            ));
        }
        for leaf in places.start / LEAF..places.end.div_ceil(LEAF) {
            if self.leaves[leaf].load(Ordering::Acquire).is_null() {
                self.add_leaf(leaf)?;
            }
        }
        Ok(())
    }

    fn add_leaf(&self, index: usize) -> Result<()> {
        let mut memory = self.memory.lock();
        if !self.leaves[index].load(Ordering::Acquire).is_null() {
            return Ok(());
        }
        let out_of_memory = || Error::memory("a table of segments");
        memory.try_reserve(1).map_err(|_| out_of_memory())?;
        let mapped = MmapMut::map_anon(LEAF * size_of::<Leaf<T>>());
        let mut leaf = mapped.map_err(|_| out_of_memory())?;
        self.leaves[index].store(leaf.as_mut_ptr().cast(), Ordering::Release);
        memory.push(leaf);
        Ok(())
    }

    /// Puts `value` at `place`, which [`EpochTable::reserve`] has covered. Answers whether it could.
    #[must_use]
    pub fn set(&self, place: usize, value: Option<Arc<T>>, guard: &Guard) -> bool {
        let Some(leaf) = self.leaf(place / LEAF) else {
            return false;
        };
        let new = value.map_or(ptr::null_mut(), |value| Arc::into_raw(value).cast_mut());
        let old = leaf[place % LEAF].swap(new, Ordering::AcqRel);
        if !old.is_null() {
            let old = Retired(old);
            // SAFETY: `old` has just been unlinked and no new reader can reach it; the share that the
            // table held is given up only after every guard that could have loaded it is gone.
            unsafe { guard.defer_unchecked(move || old.release()) };
        }
        true
    }
}

/// A share of an `Arc<T>` on its way to be released by whichever thread runs the deferred call.
struct Retired<T>(*const T);
// SAFETY: it stands for an `Arc<T>`, which may be sent where `T: Send + Sync`, as `EpochTable` demands.
unsafe impl<T: Send + Sync> Send for Retired<T> {}
impl<T> Retired<T> {
    fn release(self) {
        // SAFETY: the pointer came from `Arc::into_raw` and is released exactly once, here.
        drop(unsafe { Arc::from_raw(self.0) });
    }
}

impl<T: Send + Sync + 'static> Drop for EpochTable<T> {
    fn drop(&mut self) {
        for place in (0..LEAVES).filter_map(|leaf| self.leaf(leaf)).flatten() {
            let value = place.load(Ordering::Relaxed);
            if !value.is_null() {
                Retired(value.cast_const()).release();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::epoch;

    #[test]
    fn a_place_holds_what_was_set_and_empty_places_are_none() {
        let table = EpochTable::default();
        let guard = epoch::pin();
        assert!(table.get(5, &guard).is_none());
        assert!(!table.set(5, Some(Arc::new(1)), &guard), "not reserved");
        table.reserve(LEAF - 4..LEAF + 6).unwrap();
        assert!(table.set(LEAF - 1, Some(Arc::new(7)), &guard));
        assert!(table.set(LEAF, Some(Arc::new(8)), &guard));
        assert_eq!(table.get(LEAF - 1, &guard), Some(&7));
        assert_eq!(table.get(LEAF, &guard), Some(&8));
        assert!(table.get(LEAF + 1, &guard).is_none());
        assert!(table.get(usize::MAX, &guard).is_none());
    }

    #[test]
    fn a_replaced_value_outlives_the_guard_that_sees_it() {
        let table = EpochTable::default();
        table.reserve(0..1).unwrap();
        let value = Arc::new(41);
        let guard = epoch::pin();
        assert!(table.set(0, Some(value.clone()), &guard));
        let seen = table.get(0, &guard).unwrap();
        assert!(table.set(0, None, &epoch::pin()));
        assert!(table.get(0, &guard).is_none());
        assert_eq!(*seen, 41);
        assert_eq!(Arc::strong_count(&value), 2);
    }

    #[test]
    fn a_share_of_a_replaced_value_outlives_guard_and_table() {
        let table = EpochTable::default();
        table.reserve(0..1).unwrap();
        assert!(table.share(0, &epoch::pin()).is_none());
        assert!(table.set(0, Some(Arc::new(41)), &epoch::pin()));
        let guard = epoch::pin();
        let share = table.share(0, &guard).unwrap();
        assert_eq!(Arc::strong_count(&share), 2);
        assert!(table.set(0, None, &guard));
        drop(guard);
        drop(table);
        assert_eq!(*share, 41);
    }

    #[test]
    fn the_table_ends_at_its_capacity() {
        let table = EpochTable::<u8>::default();
        let end = EpochTable::<u8>::CAPACITY;
        assert!(table.reserve(end - 1..end).is_ok());
        assert!(table.reserve(end..end + 1).is_err());
    }

    #[test]
    fn dropping_the_table_releases_its_values() {
        let value = Arc::new(1);
        let table = EpochTable::default();
        table.reserve(0..3).unwrap();
        for place in 0..3 {
            assert!(table.set(place, Some(value.clone()), &epoch::pin()));
        }
        drop(table);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
