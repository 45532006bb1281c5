//! Atomics, locks, and what a thread does while it waits: those of the standard library, or those of loom, which tries all that
//! threads may do to each other, in the builds of `make model`.

#[cfg(not(loom))]
pub use std::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(loom))]
pub use std::{hint, thread};

#[cfg(loom)]
pub use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(loom)]
pub use loom::{hint, thread};

/// Loom's atomics.
#[cfg(loom)]
pub mod atomic {
    pub use loom::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering, fence,
    };

    /// Loom tries another order of two accesses only if they conflict, and remembers for that the last access to each
    /// atomic. If a thread loads before it stores, its own load is the last, and what others loaded before is
    /// forgotten. So every access to this one is made to conflict with every other.
    #[derive(Debug, Default)]
    pub struct AtomicU64 {
        value: loom::sync::atomic::AtomicU64,
        touched: AtomicBool,
    }

    impl AtomicU64 {
        /// That of the standard library.
        pub fn new(value: u64) -> Self {
            Self {
                value: loom::sync::atomic::AtomicU64::new(value),
                touched: AtomicBool::new(false),
            }
        }

        /// That of the standard library.
        pub fn load(&self, order: Ordering) -> u64 {
            self.touch();
            self.value.load(order)
        }

        /// That of the standard library.
        pub fn store(&self, value: u64, order: Ordering) {
            self.touch();
            self.value.store(value, order);
        }

        /// That of the standard library.
        pub fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
            self.touch();
            self.value.fetch_max(value, order)
        }

        /// An exchange that fails conflicts with all others and tells the other threads nothing.
        fn touch(&self) {
            let order = Ordering::Relaxed;
            let exchanged = self.touched.compare_exchange(true, false, order, order);
            assert!(exchanged.is_err());
        }
    }
}
