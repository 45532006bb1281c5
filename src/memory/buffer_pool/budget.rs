//! The bound of the memory that waits in a pool for its next use.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that may wait if nobody says otherwise.
pub const STANDARD_LIMIT: usize = 16 << 20;

/// Counts bytes that may be idle: the room of magazines, empty spans that keep their memory, and large buffers kept
/// for reuse. Touched only where one of these changes, not by every get and release. It orders nothing: whoever takes
/// bytes only learns that they are there.
pub struct IdleBudget {
    limit: AtomicUsize,
    used: AtomicUsize,
}

impl IdleBudget {
    /// A budget of which nothing is used.
    pub fn new(limit: usize) -> Self {
        Self {
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
        }
    }

    /// Takes `bytes` if so many are left.
    pub fn try_take(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Relaxed);
        let taken = self.used.fetch_update(Relaxed, Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= limit)
        });
        taken.is_ok()
    }

    /// Gives back what was taken.
    pub fn give_back(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes);
    }

    /// Bytes taken.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Bytes that can be taken at most.
    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Changes the limit; what was taken above it stays until it is given back.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }
}
