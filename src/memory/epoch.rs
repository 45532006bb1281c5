//! Deferred freeing: a value that readers may still hold is freed only after all of them have moved on.
//!
//! Epoch-based reclamation as in Fraser, "Practical lock-freedom" (2004), by the crossbeam-epoch crate.
//! This module is the only place that dereferences epoch-protected pointers; the rest of the crate uses
//! [`EpochCell`], whose interface is safe.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use crossbeam_epoch::Guard;
use crossbeam_epoch::{Atomic, Shared, unprotected};

/// Marks the calling thread as a reader until the guard is dropped. Cheap (a thread-local store and a
/// fence), re-entrant, and never waits. Do not hold a guard while waiting for input or output of unbounded
/// length: it delays the freeing of everything retired meanwhile.
#[inline(always)]
pub fn pin() -> Guard {
    crossbeam_epoch::pin()
}

/// How often [`outlast`] looks, and how long it sleeps before each of the later looks.
const LOOKS: u32 = 1100;
const LOOKS_WITHOUT_SLEEP: u32 = 100;
const SLEEP: Duration = Duration::from_micros(100);

/// Waits until every guard that is held now, by whichever thread, has been dropped or pinned anew; answers `false` if that has
/// not happened after a tenth of a second. The calling thread must hold none.
pub fn outlast() -> bool {
    let gone = Arc::new(AtomicBool::new(false));
    let guard = pin();
    guard.defer({
        let gone = gone.clone();
        move || gone.store(true, Ordering::Release)
    });
    drop(guard);
    for look in 0..LOOKS {
        pin().flush();
        if gone.load(Ordering::Acquire) {
            return true;
        }
        match look < LOOKS_WITHOUT_SLEEP {
            true => std::thread::yield_now(),
            false => std::thread::sleep(SLEEP),
        }
    }
    false
}

/// What an [`EpochCell`] may hold its value by.
///
/// # Safety
/// What [`Owner::into_raw`] answers points to the value, and stays valid until [`Owner::from_raw`] gets it.
pub unsafe trait Owner<T>: Send + 'static {
    /// Gives ownership up for a pointer that stands for it.
    fn into_raw(self) -> *const T;

    /// The owner again.
    ///
    /// # Safety
    /// `value` came from [`Owner::into_raw`], and this is called once for it.
    unsafe fn from_raw(value: *const T) -> Self;
}

// SAFETY: a box's value stays where it is.
unsafe impl<T: Send + 'static> Owner<T> for Box<T> {
    fn into_raw(self) -> *const T {
        Box::into_raw(self)
    }

    unsafe fn from_raw(value: *const T) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Box::from_raw(value.cast_mut()) }
    }
}

/// A pointer to an immutable `T` that is replaced as a whole. Readers load it under a [`Guard`] without
/// waiting; a replaced value is dropped, or given up, once no guard that could have seen it is left.
pub struct EpochCell<T: Send + Sync + 'static, O: Owner<T> = Box<T>> {
    pointer: Atomic<T>,
    owner: PhantomData<O>,
}

impl<T: Send + Sync + 'static, O: Owner<T>> EpochCell<T, O> {
    /// A cell that holds `value`.
    pub fn new(value: impl Into<O>) -> Self {
        Self {
            pointer: Atomic::from(value.into().into_raw()),
            owner: PhantomData,
        }
    }

    /// The current value, valid as long as `guard` is.
    pub fn load<'g>(&self, guard: &'g Guard) -> &'g T {
        let shared = self.pointer.load(Ordering::Acquire, guard);
        // SAFETY: the pointer is never null (it is set at construction and only ever replaced by another
        // owned value), and a replaced value is dropped through `defer_destroy`, which waits for `guard`.
        unsafe { shared.deref() }
    }

    /// Replaces the value; the old one is dropped when no reader can hold it any more.
    pub fn store(&self, value: impl Into<O>, guard: &Guard) {
        let new = Shared::from(value.into().into_raw());
        let old = self.pointer.swap(new, Ordering::AcqRel, guard).as_raw();
        // SAFETY: `old` has just been unlinked by the swap, which only one caller can do for it, and no
        // new reader can reach it; readers that loaded it earlier hold guards that defer the drop. An owner may be
        // dropped by any thread.
        unsafe { guard.defer_unchecked(move || drop(O::from_raw(old))) };
    }
}

impl<T: Send + Sync + 'static, O: Owner<T>> Drop for EpochCell<T, O> {
    fn drop(&mut self) {
        // SAFETY: nobody changes the cell meanwhile, as below.
        let pointer = self
            .pointer
            .load(Ordering::Acquire, unsafe { unprotected() });
        // SAFETY: `&mut self` proves that nobody else can load the cell, and a reference handed out by
        // `load` borrows the cell's value only through a guard taken while the cell was reachable; owners
        // of cells that readers reach (store, directory) are themselves dropped only after their epoch.
        drop(unsafe { O::from_raw(pointer.as_raw()) });
    }
}

#[cfg(all(test, loom))]
mod interleavings;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    struct CountsDrops(Arc<AtomicUsize>);
    impl Drop for CountsDrops {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_guard_that_is_held_is_outlasted_only_when_it_is_gone() {
        let (held, wait) = std::sync::mpsc::channel();
        let (let_go, waiting) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let guard = pin();
                held.send(()).unwrap();
                waiting.recv().unwrap();
                drop(guard);
            });
            wait.recv().unwrap();
            assert!(!outlast());
            let_go.send(()).unwrap();
            // Guards of other tests come and go meanwhile.
            assert!((0..600).any(|_| outlast()));
        });
    }

    #[test]
    fn a_replaced_value_outlives_the_guard_that_sees_it() {
        let drops = Arc::new(AtomicUsize::new(0));
        let cell = <EpochCell<CountsDrops>>::new(CountsDrops(drops.clone()));
        let guard = pin();
        let seen = cell.load(&guard);
        cell.store(CountsDrops(drops.clone()), &pin());
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        assert!(Arc::ptr_eq(&seen.0, &drops));
        drop(guard);
        drop(cell);
        assert!(drops.load(Ordering::SeqCst) >= 1);
    }
}
