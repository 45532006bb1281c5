//! A lock that its owner, one thread, takes without an atomic read-modify-write, and others seldom.
//!
//! Biased locking as in Kawachiya, Koseki, Onodera, "Lock reservation" (2002), without ever changing the owner.

use super::fence;
use crate::memory::sync::atomic::{AtomicBool, Ordering};
use crate::memory::sync::{hint, thread};

/// Spins before a waiting thread lets others run.
const SPINS: u32 = 100;

/// The lock. It guards nothing by itself.
pub struct OwnersLock {
    /// Written by the owner only.
    inside: AtomicBool,
    /// Written by the one other thread that wants in or is in.
    wanted: AtomicBool,
}

impl OwnersLock {
    /// A lock that nobody holds.
    pub fn new() -> Self {
        Self {
            inside: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
        }
    }

    /// Takes the lock. Only the owner may call this, and not while it holds the lock.
    #[inline]
    pub fn enter(&self) -> Entered<'_> {
        loop {
            self.inside.store(true, Ordering::Relaxed);
            fence::light();
            // Acquire: what the other thread did before it left is seen.
            if !self.wanted.load(Ordering::Acquire) {
                return Entered(&self.inside);
            }
            self.give_way();
        }
    }

    #[cold]
    fn give_way(&self) {
        self.inside.store(false, Ordering::Release);
        wait_until_false(&self.wanted);
    }

    /// Takes the lock for another thread than the owner; such threads exclude each other by other means. `None` if the
    /// system refuses the fence that it takes.
    pub fn enter_as_other(&self) -> Option<Entered<'_>> {
        self.wanted.store(true, Ordering::Relaxed);
        let entered = Entered(&self.wanted);
        if !fence::heavy() {
            return None;
        }
        wait_until_false(&self.inside);
        Some(entered)
    }
}

/// Acquire: what was done before the flag was cleared is seen.
fn wait_until_false(flag: &AtomicBool) {
    let mut spins = 0;
    while flag.load(Ordering::Acquire) {
        spins += 1;
        if spins < SPINS && !cfg!(loom) {
            hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}

/// The lock is held until this is dropped.
pub struct Entered<'l>(&'l AtomicBool);

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod interleavings;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::UnsafeCell;
    use std::sync::atomic::AtomicBool as Stop;

    struct Counter(UnsafeCell<[u64; 4]>);

    #[allow(unsafe_code)]
    // SAFETY: the test touches the counter only inside the lock, which is what it tests.
    unsafe impl Sync for Counter {}

    #[allow(unsafe_code)]
    fn add_one(counter: &Counter) {
        // SAFETY: as above.
        let numbers = unsafe { &mut *counter.0.get() };
        assert!(numbers.iter().all(|number| *number == numbers[0]));
        numbers.iter_mut().for_each(|number| *number += 1);
    }

    #[cfg(not(loom))]
    #[test]
    fn the_owner_and_another_thread_are_never_inside_together() {
        fence::prepare();
        let (lock, counter) = (OwnersLock::new(), Counter(UnsafeCell::new([0; 4])));
        let stop = Stop::new(false);
        let others = if cfg!(miri) { 20 } else { 2000 };
        let owners = std::thread::scope(|scope| {
            let owner = scope.spawn(|| {
                let mut times = 0;
                while !stop.load(Ordering::Relaxed) {
                    let _inside = lock.enter();
                    add_one(&counter);
                    times += 1;
                }
                times
            });
            for _ in 0..others {
                let inside = lock.enter_as_other();
                assert!(inside.is_some());
                add_one(&counter);
            }
            stop.store(true, Ordering::Relaxed);
            owner.join().unwrap()
        });
        assert_eq!(counter.0.into_inner(), [owners + others; 4]);
    }
}
