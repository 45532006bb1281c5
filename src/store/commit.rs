//! Group commit: writers that wait for durability share syncs.
//!
//! One of the waiting writers syncs for all that appended before. When a sync has ended, the writers that it released
//! usually come back with their next record a little later than the first of them does. Were the first to sync at once,
//! each group would fall into two, and half of all syncs would be for one record. So the next sync begins with the
//! arrival of the last one expected, whose thread then leads it, or when waiting has lasted as long as a sync
//! takes: even then no fewer are served than by two syncs, each for half of them.
//! PostgreSQL's `commit_delay` is the same idea with a fixed time.
//!
//! The lock is the standard library's, not parking_lot's as elsewhere: its condition variable wakes all waiters by one
//! system call, where parking_lot's has each wake the next, which takes a group of eight a sixth longer. A poisoned state
//! is as good as any: nothing that can panic runs while the lock is held.

use std::sync::PoisonError;
use std::time::Duration;

use crate::error::Result;
use crate::memory::sync::atomic::{AtomicU64, Ordering};
use crate::memory::sync::{Condvar, Mutex, MutexGuard};

/// On a slow disk nobody waits longer than this for others.
const LONGEST_GATHERING: Duration = Duration::from_millis(1);

/// Who waits for which sync.
pub struct GroupCommit {
    durable: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

type Locked<'c> = MutexGuard<'c, State>;

#[derive(Default)]
struct State {
    syncing: bool,
    /// Number of the group that gathers for the next sync.
    group: u64,
    /// Writers in that group.
    waiting: usize,
    /// How many make the group complete: those that the last sync released and those that came while it ran.
    expected: usize,
    /// Until when a group that is not complete is waited for, on the store's clock.
    until: Duration,
    /// Whether one of the group sees to it that `until` is kept.
    timed: bool,
    /// Callers that want a sync of their own. They go first.
    urgent: usize,
    /// Threads that wait for a change.
    asleep: usize,
}

/// The right to sync, and the duty to wake the others afterwards, also when the sync fails or panics.
struct Leadership<'c> {
    commit: &'c GroupCommit,
    /// Writers that are released by the end of the sync.
    group_size: usize,
    /// How long the next group may gather.
    gathering_until: Duration,
}

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        let mut state = self.commit.lock();
        state.syncing = false;
        state.expected = self.group_size + state.waiting;
        state.until = self.gathering_until;
        let asleep = state.asleep;
        drop(state);
        // A lone writer is spared the system call.
        if asleep > 0 {
            self.commit.changed.notify_all();
        }
    }
}

impl GroupCommit {
    /// A commit state in which everything up to `durable` is durable.
    pub fn new(durable: u64) -> Self {
        Self {
            durable: AtomicU64::new(durable),
            state: Mutex::default(),
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

    /// Returns when everything up to `sequence` is durable. If it falls to the caller, it syncs: `sync` must make all that was
    /// appended before it durable and call [`GroupCommit::advance`]. An error of `sync` goes to the leader; followers
    /// then try to lead and meet the stopped store themselves. `clock` is the store's, which never steps backwards.
    pub fn wait(
        &self,
        sequence: u64,
        clock: impl Fn() -> Duration,
        mut sync: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        while self.durable() < sequence {
            let Some(mut leadership) = self.lead_unless_durable(sequence, &clock) else {
                return Ok(());
            };
            let began = clock();
            let result = sync();
            let ended = clock();
            let lasted = ended.saturating_sub(began);
            leadership.gathering_until = ended + lasted.min(LONGEST_GATHERING);
            drop(leadership);
            result?;
        }
        Ok(())
    }

    /// Waits until nobody else syncs and runs `sync` in any case, for callers that need a sync of their own.
    pub fn sync_now(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut state = self.lock();
        state.urgent += 1;
        while state.syncing {
            state = self.wait_for_change(state);
        }
        state.urgent -= 1;
        let leadership = self.lead(&mut state);
        drop(state);
        let result = sync();
        drop(leadership);
        result
    }

    /// The leadership, as soon as nobody else syncs and the group is complete or its time is over; or `None` when
    /// everything up to `sequence` is durable.
    fn lead_unless_durable(
        &self,
        sequence: u64,
        clock: &impl Fn() -> Duration,
    ) -> Option<Leadership<'_>> {
        let mut state = self.lock();
        let mut joined = None;
        loop {
            if self.durable() >= sequence {
                if joined == Some(state.group) {
                    state.waiting -= 1;
                }
                return None;
            }
            // Who is in the group that is being synced does not count as one of the next.
            let is_served = state.syncing && joined.is_some();
            if joined != Some(state.group) && !is_served {
                state.waiting += 1;
                joined = Some(state.group);
            }
            if state.syncing || state.urgent > 0 {
                state = self.wait_for_change(state);
                continue;
            }
            let left = match state.waiting >= state.expected {
                true => Duration::ZERO,
                false => state.until.saturating_sub(clock()),
            };
            if left.is_zero() {
                return Some(self.lead(&mut state));
            }
            if state.timed {
                state = self.wait_for_change(state);
                continue;
            }
            state.timed = true;
            let group = state.group;
            state.asleep += 1;
            state = self.wait_for_time(state, left);
            state.asleep -= 1;
            if state.group == group {
                state.timed = false;
            }
        }
    }

    /// Begins the sync of the group that has gathered. Nobody is syncing.
    fn lead(&self, state: &mut State) -> Leadership<'_> {
        state.syncing = true;
        state.timed = false;
        state.group += 1;
        Leadership {
            commit: self,
            group_size: std::mem::take(&mut state.waiting),
            gathering_until: Duration::ZERO,
        }
    }

    fn lock(&self) -> Locked<'_> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_change<'c>(&'c self, mut state: Locked<'c>) -> Locked<'c> {
        state.asleep += 1;
        let mut state = self
            .changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
        state.asleep -= 1;
        state
    }

    /// Waits for a change, or until the time is over.
    #[cfg(not(loom))]
    fn wait_for_time<'c>(&'c self, state: Locked<'c>, time: Duration) -> Locked<'c> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Loom knows no time: this ends at any moment, as a wait that ends for no reason does.
    #[cfg(loom)]
    fn wait_for_time<'c>(&'c self, state: Locked<'c>, _time: Duration) -> Locked<'c> {
        drop(state);
        crate::memory::sync::thread::yield_now();
        self.lock()
    }
}

#[cfg(all(test, loom))]
mod interleavings;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    #[allow(clippy::disallowed_methods)] // there is no store here, whose clock could be asked
    fn now() -> Instant {
        Instant::now()
    }

    /// A commit state, a clock that moves when told, and a count of syncs.
    struct Standing {
        commit: GroupCommit,
        milliseconds: AtomicU64,
        syncs: AtomicUsize,
    }

    impl Standing {
        /// One writer has been synced for, and the next sync is expected to be for that one and the one that waits, for
        /// sequence 2, in the thread that `scope` runs.
        fn between_syncs<'s>(&'s self, scope: &'s std::thread::Scope<'s, '_>) {
            let gather = || {
                scope.spawn(|| self.wait(2, 3));
                while self.commit.lock().waiting == 0 {
                    std::thread::yield_now();
                }
                self.milliseconds.store(100, Ordering::SeqCst);
                self.synced(1)
            };
            let mut gather = Some(gather);
            let synced = self.commit.wait(
                1,
                || self.now(),
                || gather.take().map_or(Ok(()), |gather| gather()),
            );
            synced.unwrap();
        }

        fn wait(&self, sequence: u64, all: u64) {
            let synced = self
                .commit
                .wait(sequence, || self.now(), || self.synced(all));
            synced.unwrap();
            assert!(self.commit.durable() >= sequence);
        }

        fn synced(&self, all: u64) -> Result<()> {
            self.syncs.fetch_add(1, Ordering::SeqCst);
            self.commit.advance(all);
            Ok(())
        }

        fn now(&self) -> Duration {
            Duration::from_millis(self.milliseconds.load(Ordering::SeqCst))
        }

        fn new() -> Self {
            Self {
                commit: GroupCommit::new(0),
                milliseconds: AtomicU64::new(0),
                syncs: AtomicUsize::new(0),
            }
        }
    }

    #[test]
    fn a_writer_that_comes_back_shares_a_sync_with_those_that_waited_for_it() {
        let standing = Standing::new();
        std::thread::scope(|scope| {
            standing.between_syncs(scope);
            // The clock stands, so that the other one waits for as long as it takes.
            standing.wait(3, 3);
        });
        assert_eq!(standing.syncs.into_inner(), 2);
    }

    #[test]
    fn writers_that_do_not_come_back_are_not_waited_for_for_longer_than_a_sync() {
        let standing = Standing::new();
        std::thread::scope(|scope| {
            standing.between_syncs(scope);
            assert_eq!(standing.syncs.load(Ordering::SeqCst), 1);
            let until = standing.commit.lock().until;
            assert_eq!(until, standing.now() + LONGEST_GATHERING);
            standing.milliseconds.store(101, Ordering::SeqCst);
            // The scope ends when the one that waits has synced without the other.
        });
        assert_eq!(standing.syncs.into_inner(), 2);
    }

    #[test]
    fn a_sync_that_somebody_asks_for_does_not_wait_for_a_group() {
        let standing = Standing::new();
        std::thread::scope(|scope| {
            standing.between_syncs(scope);
            standing.commit.sync_now(|| standing.synced(3)).unwrap();
        });
        assert_eq!(standing.syncs.into_inner(), 2);
    }

    #[test]
    fn concurrent_writers_share_syncs_and_return_only_when_durable() {
        let commit = GroupCommit::new(0);
        let appended = AtomicU64::new(0);
        let began = now();
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
                        commit.wait(sequence, || began.elapsed(), sync).unwrap();
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
                scope.spawn(move || {
                    assert!(commit.wait(sequence, Duration::default, fail).is_err())
                });
            }
        });
        assert_eq!(commit.durable(), 0);
    }
}
