//! When pairs expire, by a clock that may step back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::vfs::Vfs;

/// Decides whether a pair has expired, once and for all: a pair has expired when the system's clock has reached its
/// expiry, or when a pair with the same or a later expiry was found to have expired before. So what a reader was told is
/// gone stays gone, whatever becomes of the clock; and a clock that was far ahead for a while does no lasting harm to
/// pairs that live longer than those which were looked at meanwhile.
///
/// An expired pair still shadows what was under its key before: like a tombstone, its record must not be dropped while an
/// older put of the key may be on the disk, or the next recovery would bring that one back. Whoever drops records asks
/// [`ExpiryClock::has_expired`] with [`RecordView::expires_at_ms`](crate::log::RecordView::expires_at_ms), and then treats
/// the record as a tombstone.
///
/// A pair that expires costs a reading of the clock, others nothing.
pub struct ExpiryClock {
    vfs: Arc<dyn Vfs>,
    /// The latest expiry of a pair that was found to have expired.
    expired_until_ms: AtomicU64,
    /// What of that is on disk.
    recorded_ms: AtomicU64,
}

impl ExpiryClock {
    /// The clock of `vfs`. Pairs with an expiry up to `expired_until_ms`, in milliseconds since 1970-01-01 UTC, have expired.
    pub fn new(vfs: Arc<dyn Vfs>, expired_until_ms: u64) -> Self {
        Self {
            vfs,
            expired_until_ms: AtomicU64::new(expired_until_ms),
            recorded_ms: AtomicU64::new(expired_until_ms),
        }
    }

    /// What it reads the time from.
    pub fn vfs(&self) -> &dyn Vfs {
        &*self.vfs
    }

    /// Whether a pair has expired that ceases to exist at this moment, in milliseconds since 1970-01-01 UTC.
    #[inline]
    pub fn has_expired(&self, expires_at_ms: Option<u64>) -> bool {
        expires_at_ms.is_some_and(|moment| self.has_come(moment))
    }

    fn has_come(&self, moment: u64) -> bool {
        if moment <= self.expired_until_ms.load(Ordering::Relaxed) {
            return true;
        }
        let come = moment <= self.vfs.wall_clock_ms();
        sabotage!(ExpiryForgotten, return come);
        if come {
            self.expired_until_ms.fetch_max(moment, Ordering::Relaxed);
        }
        come
    }

    /// Pairs with an expiry up to this moment have expired; 0 if none was found to have.
    pub fn expired_until_ms(&self) -> u64 {
        sabotage!(ExpiryUnrecorded, return 0);
        self.expired_until_ms.load(Ordering::Relaxed)
    }

    /// Tells the clock of pairs with an expiry up to `moment_ms` that somebody else has found to have expired.
    pub fn has_heard(&self, moment_ms: u64) {
        self.expired_until_ms
            .fetch_max(moment_ms, Ordering::Relaxed);
    }

    /// Tells the clock that `moment_ms`, an earlier answer of [`Self::expired_until_ms`], is on disk.
    pub fn recorded(&self, moment_ms: u64) {
        self.recorded_ms.fetch_max(moment_ms, Ordering::Relaxed);
    }

    /// Whether [`Self::expired_until_ms`] is later than what is on disk.
    pub fn has_news(&self) -> bool {
        self.expired_until_ms() > self.recorded_ms.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::SimulatedDisk;

    #[test]
    fn what_has_expired_stays_so_when_the_clock_steps_back() {
        let disk = SimulatedDisk::new(1);
        disk.set_wall_clock_ms(100);
        let clock = ExpiryClock::new(Arc::new(disk.clone()), 20);
        assert!(!clock.has_expired(None) && clock.has_expired(Some(100)));
        assert!(!clock.has_expired(Some(101)));
        disk.set_wall_clock_ms(50);
        assert!(clock.has_expired(Some(100)) && clock.has_expired(Some(99)));
        assert!(!clock.has_expired(Some(101)));
        assert_eq!(clock.expired_until_ms(), 100);
    }

    #[test]
    fn a_clock_that_was_ahead_harms_only_pairs_that_were_to_expire_by_what_was_found_expired() {
        let disk = SimulatedDisk::new(1);
        disk.set_wall_clock_ms(1_000_000);
        let clock = ExpiryClock::new(Arc::new(disk.clone()), 0);
        assert!(clock.has_expired(Some(500)));
        disk.set_wall_clock_ms(100);
        assert!(clock.has_expired(Some(400)) && !clock.has_expired(Some(501)));
    }

    #[test]
    fn news_are_what_has_expired_since_it_was_recorded() {
        let clock = ExpiryClock::new(Arc::new(SimulatedDisk::new(1)), u64::MAX - 1);
        assert!(clock.has_expired(Some(7)) && !clock.has_news());
        let disk = SimulatedDisk::new(1);
        disk.set_wall_clock_ms(30);
        let clock = ExpiryClock::new(Arc::new(disk), 10);
        assert!(!clock.has_news() && clock.has_expired(Some(30)) && clock.has_news());
        clock.recorded(30);
        assert!(!clock.has_news());
    }
}
