//! What the store's own threads sleep on until it changes.
//!
//! The lock and the condition variable are the standard library's. parking_lot's keep all sleepers in one table of the
//! process: a forked child inherits it, with sleepers that it does not have, finds threads of its own in their places, which
//! makes the lists of the table circular, and searches them for ever.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A state, and the threads that wait for it to change.
#[derive(Default)]
pub struct Awaited<T> {
    state: Mutex<T>,
    changed: Condvar,
}

/// The state, and nobody else's as long as this lives.
pub type Held<'s, T> = MutexGuard<'s, T>;

impl<T> Awaited<T> {
    /// Waits until nobody else has the state. One that a panic left behind is as good as any: each change is a single store.
    pub fn lock(&self) -> Held<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes everybody who waits for that.
    pub fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.lock());
        self.notify();
    }

    /// Wakes everybody who waits, after changes that were made with the state [held](Self::lock).
    pub fn notify(&self) {
        self.changed.notify_all();
    }

    /// Lets go of the state until it has changed, or until it may have.
    pub fn wait<'s>(&'s self, held: Held<'s, T>) -> Held<'s, T> {
        let waited = self.changed.wait(held);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, but no longer than `longest`; answers whether that passed.
    pub fn wait_for<'s>(&'s self, held: Held<'s, T>, longest: Duration) -> (Held<'s, T>, bool) {
        let waited = self.changed.wait_timeout(held, longest);
        let (held, passed) = waited.unwrap_or_else(PoisonError::into_inner);
        (held, passed.timed_out())
    }
}
