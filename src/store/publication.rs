//! Lets readers of several keys see a batch whole or not at all.

use std::sync::PoisonError;

use crate::memory::sync::atomic::{AtomicU64, Ordering, fence};
use crate::memory::sync::{Mutex, MutexGuard};

/// How often a reader looks again before it keeps batches from being published meanwhile.
const ATTEMPTS: usize = 3;

/// A sequence lock over the publication of batches. Whoever reads or writes single keys does not come near it.
#[derive(Default)]
pub struct Publication {
    /// Odd while a batch is being published.
    version: AtomicU64,
    /// Held by who publishes, and by readers whose looks were disturbed too often.
    lock: Mutex<()>,
}

/// Makes the version even again, also if the publishing panics.
struct Publishing<'p>(&'p AtomicU64);

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        let version = self.0.load(Ordering::Relaxed);
        self.0.store(version.wrapping_add(1), Ordering::Release);
    }
}

impl Publication {
    /// Does `publish` so that no [`Publication::observe`] sees a part of it. It should be short: others wait.
    pub fn publish(&self, publish: impl FnOnce()) {
        let _lock = self.lock();
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let _publishing = Publishing(&self.version);
        publish();
    }

    /// What `look` answers at a moment when no batch was being published. It may be called several times; the last time,
    /// if need be, batches wait for it.
    pub fn observe<T>(&self, mut look: impl FnMut() -> T) -> T {
        for _ in 0..ATTEMPTS {
            let before = self.version.load(Ordering::Acquire);
            if !before.is_multiple_of(2) {
                break;
            }
            let seen = look();
            // Pairs with the fence in `publish`: had `look` seen anything of it, the version would differ.
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == before {
                return seen;
            }
        }
        let _lock = self.lock();
        look()
    }

    /// Guards no data, so that a panic in another thread spoils nothing.
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, loom))]
mod interleavings;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn an_observer_sees_what_is_published_together_together() {
        let publication = Publication::default();
        let cells: [AtomicU64; 4] = Default::default();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        publication.publish(|| {
                            for cell in &cells {
                                cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                            }
                        });
                    }
                });
            }
            let rounds = if cfg!(miri) { 20 } else { 20_000 };
            for _ in 0..rounds {
                let seen = publication.observe(|| {
                    [0, 1, 2, 3].map(|cell: usize| cells[cell].load(Ordering::Relaxed))
                });
                assert!(seen.iter().all(|value| *value == seen[0]), "{seen:?}");
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_panic_while_publishing_stops_neither_observers_nor_publishers() {
        let publication = Publication::default();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            publication.publish(|| panic!("on the way"));
        }));
        assert!(outcome.is_err());
        let mut looks = 0;
        publication.observe(|| looks += 1);
        publication.publish(|| looks += 1);
        assert_eq!(looks, 2);
        assert!(
            publication
                .version
                .load(Ordering::Relaxed)
                .is_multiple_of(2)
        );
    }
}
