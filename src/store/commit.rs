//! Group commit: writers that wait for durability share syncs.

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;

/// Lets one waiting writer sync for all that appended before that sync began. Followers whose record was
/// appended later wait for the next sync, which one of them leads.
pub struct GroupCommit {
    durable: AtomicU64,
    syncing: Mutex<bool>,
    changed: Condvar,
}

/// Gives leadership back and wakes the others, also when the leader fails or panics.
struct Leadership<'c>(&'c GroupCommit);

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        *self.0.syncing.lock() = false;
        self.0.changed.notify_all();
    }
}

impl GroupCommit {
    /// A commit state in which everything up to `durable` is durable.
    pub fn new(durable: u64) -> Self {
        Self {
            durable: AtomicU64::new(durable),
            syncing: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    /// Everything with a sequence up to this one is durable.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Raises the durable mark. Only the leader of a sync, or recovery, calls this.
    pub fn advance(&self, durable: u64) {
        self.durable.fetch_max(durable, Ordering::AcqRel);
    }

    /// Returns when everything up to `sequence` is durable. If nobody is syncing, the caller does: `sync`
    /// must make all that was appended before it durable and call [`GroupCommit::advance`]. An error of
    /// `sync` goes to the leader; followers then try to lead and meet the stopped store themselves.
    pub fn wait(&self, sequence: u64, mut sync: impl FnMut() -> Result<()>) -> Result<()> {
        while self.durable() < sequence {
            match self.lead_unless(|| self.durable() >= sequence) {
                Some(leadership) => {
                    let result = sync();
                    drop(leadership);
                    result?;
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Waits for leadership and runs `sync` in any case, for callers that need a sync of their own.
    pub fn sync_now(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        match self.lead_unless(|| false) {
            Some(_leadership) => sync(),
            None => Ok(()),
        }
    }

    fn lead_unless(&self, done: impl Fn() -> bool) -> Option<Leadership<'_>> {
        let mut syncing = self.syncing.lock();
        loop {
            if done() {
                return None;
            }
            if !*syncing {
                *syncing = true;
                return Some(Leadership(self));
            }
            self.changed.wait(&mut syncing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn concurrent_writers_share_syncs_and_return_only_when_durable() {
        let commit = GroupCommit::new(0);
        let appended = AtomicU64::new(0);
        let syncs = AtomicUsize::new(0);
        let sync = || {
            let target = appended.load(Ordering::SeqCst);
            syncs.fetch_add(1, Ordering::SeqCst);
            // Long enough for the other writers to append meanwhile.
            std::thread::sleep(std::time::Duration::from_micros(200));
            commit.advance(target);
            Ok(())
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let sequence = appended.fetch_add(1, Ordering::SeqCst) + 1;
                        commit.wait(sequence, sync).unwrap();
                        assert!(commit.durable() >= sequence);
                    }
                });
            }
        });
        assert_eq!(commit.durable(), 400);
        let syncs = syncs.load(Ordering::SeqCst);
        assert!(syncs < 400, "{syncs} syncs for 400 writes by 8 threads");
    }

    #[test]
    fn a_failed_leader_wakes_the_followers_and_everyone_hears_of_it() {
        let commit = GroupCommit::new(0);
        let fail = || Err(Error::new(ErrorKind::Failed, "no"));
        std::thread::scope(|scope| {
            for sequence in 1..=8 {
                let commit = &commit;
                scope.spawn(move || assert!(commit.wait(sequence, fail).is_err()));
            }
        });
        assert_eq!(commit.durable(), 0);
    }
}
