//! Group commit under loom, which tries the interleavings of its writers: `make model`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64 as Count;
use std::time::Duration;

use loom::thread;

use super::GroupCommit;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a sync takes on the clock of the model: as long as a group may gather.
const SYNC: u64 = 1000;

/// What goes by between two looks at the clock. Two of them are less than a group may gather, three are more.
const LOOK: u64 = 400;

/// A log that knows what was appended and what is on its disk.
struct Log {
    commit: GroupCommit,
    appended: AtomicU64,
    on_disk: AtomicU64,
    /// How many syncs still fail.
    failures: AtomicUsize,
    /// Microseconds. No part of what is tried.
    clock: Count,
    syncs: Count,
}

impl Log {
    fn new(failures: usize) -> Arc<Self> {
        Arc::new(Self {
            commit: GroupCommit::new(0),
            appended: AtomicU64::new(0),
            on_disk: AtomicU64::new(0),
            failures: AtomicUsize::new(failures),
            clock: Count::new(0),
            syncs: Count::new(0),
        })
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.clock.fetch_add(LOOK, Ordering::Relaxed))
    }

    fn sync(&self) -> Result<()> {
        let target = self.appended.load(Ordering::Acquire);
        self.clock.fetch_add(SYNC, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            // Only the leader comes here.
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(Error::new(ErrorKind::Io, ""));
        }
        self.on_disk.store(target, Ordering::Release);
        self.commit.advance(target);
        Ok(())
    }

    fn write(&self, sequence: u64) -> bool {
        self.appended.fetch_max(sequence, Ordering::AcqRel);
        let written = self.commit.wait(sequence, || self.now(), || self.sync());
        if written.is_ok() {
            assert!(self.on_disk.load(Ordering::Acquire) >= sequence);
        }
        written.is_ok()
    }
}

#[test]
fn a_writer_returns_only_when_its_record_is_on_the_disk_in_all_interleavings() {
    let shared = Arc::new(Count::new(0));
    loom::model({
        let shared = shared.clone();
        move || {
            let log = Log::new(0);
            let other = log.clone();
            let writer = thread::spawn(move || other.write(2));
            // The second write may meet a group that waits for the other writer, which does not come back.
            assert!(log.write(1) && log.write(3));
            assert!(writer.join().unwrap());
            let saved = 3 - log.syncs.load(Ordering::Relaxed);
            shared.fetch_add(saved, Ordering::Relaxed);
        }
    });
    // The model is of no use if the threads never meet.
    let shared = shared.load(Ordering::Relaxed);
    println!("{shared} syncs were shared");
    assert!(shared > 0);
}

#[test]
fn a_failed_leader_leaves_nobody_waiting_in_any_interleaving() {
    loom::model(|| {
        let log = Log::new(1);
        let other = log.clone();
        let writer = thread::spawn(move || other.write(2));
        let own = log.write(1);
        let written = u32::from(own) + u32::from(writer.join().unwrap());
        assert_eq!(written, 1, "one sync failed, and one writer hears of it");
    });
}

#[test]
fn a_sync_of_its_own_waits_for_the_one_under_way_in_all_interleavings() {
    loom::model(|| {
        let log = Log::new(0);
        let other = log.clone();
        let writer = thread::spawn(move || other.write(1));
        log.commit.sync_now(|| log.sync()).unwrap();
        assert!(writer.join().unwrap());
    });
}
