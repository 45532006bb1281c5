//! Iteration over all pairs.
//!
//! An iterator walks the index, not the log: by hash, some shards at a time. Of these it copies where the records lie, puts
//! that in the order of the disk, and reads. A key belongs to one pass by its hash and to one entry of its shard, so it
//! is met once without any list of what was met; and shards that split meanwhile are passed over in the same order.
//! The segments of a pass are kept readable until it is over, whatever becomes of them in the store.

mod pass;
mod pins;
mod radix;

use std::sync::Arc;

use super::{Shared, Store};
use crate::error::{ErrorKind, Result};
use crate::index::{Location, SnapshotEntry};
use crate::log::record::{Head, Kind};
use crate::memory::epoch;
use pass::Pass;
use pins::Reach;

/// How many records ahead of the one that is read memory is brought near: as many as a processor can wait for at once.
const AHEAD: usize = 12;

/// How much is brought near before the first record is read.
const DEFAULT_MEMORY: usize = 16 << 20;

/// Where a record is noted while its pass is under way, and sorted: a location in each of two lists.
const BYTES_A_LOCATION: usize = 16;

/// Records longer than this are read into memory that is given back afterwards, where segments are not mapped.
const SCRATCH_KEPT: usize = 1 << 20;

/// What is iterated over.
#[derive(Clone, Debug, Default)]
pub struct IterOptions {
    /// Only keys that begin with this.
    pub prefix: Vec<u8>,
    /// Leave out the values, which are empty then. Keys in memory are given without reading the disk, unless pairs that
    /// expire were written to their segments; other keys without reading their values.
    pub keys_only: bool,
    /// About how much memory in bytes the iterator may take; 0 for the usual 16 MiB. One pass over the log is made for
    /// every 16 bytes times as many keys as fit. More helps where the log does not fit into memory.
    pub memory: usize,
}

impl IterOptions {
    fn locations_at_a_time(&self) -> usize {
        let memory = match self.memory {
            0 => DEFAULT_MEMORY,
            memory => memory,
        };
        memory / BYTES_A_LOCATION
    }
}

/// Goes over the pairs of a store, in no particular order.
///
/// Every key that is in the store from the first step to the last is met exactly once, with a value that it had
/// meanwhile. A key that is put or deleted on the way is met once or not at all. Batches are not seen as a whole. Writers wait no
/// longer than it takes to copy a part of the index, some tens of microseconds.
///
/// An iterator holds about as much memory as its options say, however large the store is, and nothing that keeps the store
/// from being closed: after that it answers [`ErrorKind::Closed`]. Until it is dropped or done it may keep some files
/// that were removed from the store on the disk.
pub struct Iter {
    shared: Arc<Shared>,
    options: IterOptions,
    /// Where the next pass begins; `None` after the last.
    next_hash: Option<u64>,
    pass: Pass,
    /// How many of the pass's locations, and of its keys behind them, have been dealt with.
    position: usize,
    /// Whether that one was answered with an error, so that the next step goes on behind it.
    passed_over: bool,
    /// Where among the segments the next record is, and the next one to be brought near, and how many have been.
    reach: Reach,
    reach_ahead: Reach,
    ahead: usize,
    /// For records in segments that are not mapped, and keys across pages.
    scratch: Vec<u8>,
}

/// What became of a step.
enum Step<R> {
    /// The pair was taken; the iterator has gone on.
    Taken(R),
    /// The pair was not wanted yet; it comes again.
    Refused,
    /// There is none left.
    Done,
}

impl Store {
    /// An iterator over the pairs of the store.
    ///
    /// # Errors
    /// `Closed`.
    pub fn iter(&self, options: IterOptions) -> Result<Iter> {
        self.shared.check_open()?;
        Ok(Iter {
            shared: self.shared.clone(),
            options,
            next_hash: Some(0),
            pass: Pass::default(),
            position: 0,
            passed_over: false,
            reach: Reach::default(),
            reach_ahead: Reach::default(),
            ahead: 0,
            scratch: Vec::new(),
        })
    }
}

impl Iter {
    /// Calls `use_pair` with the next key and value, verified, and goes on; `None` if there is none left. The bytes stay where
    /// they are until the next call on this iterator.
    ///
    /// # Errors
    /// `Corrupt` for a damaged record, `Io` for one that could not be read: the next call goes on behind it. `Memory`, and
    /// what loading a part of the index fails with: the next call tries again. `Closed`.
    pub fn next_with<R>(&mut self, use_pair: impl FnOnce(&[u8], &[u8]) -> R) -> Result<Option<R>> {
        match self.step(|key, value| Some(use_pair(key, value)))? {
            Step::Taken(result) => Ok(Some(result)),
            Step::Refused | Step::Done => Ok(None),
        }
    }

    /// Offers one pair after the other to `take`, until it answers that it did not take one, which will come again, or none is
    /// left. Answers how many were taken: 0 only if the first was refused or none was left.
    ///
    /// # Errors
    /// As [`Iter::next_with`], if no pair was taken before; an error behind one that was taken is left to the next call.
    pub fn next_many(&mut self, mut take: impl FnMut(&[u8], &[u8]) -> bool) -> Result<usize> {
        let mut taken = 0;
        loop {
            match self.step(|key, value| take(key, value).then_some(())) {
                Ok(Step::Taken(())) => taken += 1,
                Ok(Step::Refused | Step::Done) => return Ok(taken),
                Err(_) if taken > 0 => {
                    self.passed_over = false;
                    return Ok(taken);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn step<R>(&mut self, use_pair: impl FnOnce(&[u8], &[u8]) -> Option<R>) -> Result<Step<R>> {
        self.shared.check_open()?;
        self.position += usize::from(std::mem::take(&mut self.passed_over));
        let mut use_pair = Some(use_pair);
        let mut used = None;
        let mut use_once = |key: &[u8], value: &[u8]| {
            used = use_pair.take().and_then(|use_pair| use_pair(key, value));
        };
        loop {
            let met = if let Some(location) = self.pass.location(self.position) {
                self.bring_near();
                self.read(location, &mut use_once)
            } else if let Some(entry) = self.key_entry() {
                let key = self.pass.keys.key(entry, &mut self.scratch)?;
                key.map_or(Ok(false), |key| {
                    use_once(key, &[]);
                    Ok(true)
                })
            } else if let Some(hash) = self.next_hash {
                self.begin_pass(hash)?;
                continue;
            } else {
                self.pass.release();
                return Ok(Step::Done);
            };
            match met {
                Ok(true) => {
                    let Some(result) = used else {
                        return Ok(Step::Refused);
                    };
                    self.position += 1;
                    return Ok(Step::Taken(result));
                }
                Ok(false) => self.position += 1,
                Err(error) => {
                    self.passed_over = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io);
                    self.shared.failure.record(&error);
                    return Err(error);
                }
            }
        }
    }

    fn key_entry(&self) -> Option<SnapshotEntry> {
        let behind = self.position.checked_sub(self.pass.locations.len())?;
        let entries = self.pass.keys.entries();
        if let Some(later) = entries.get(behind + AHEAD) {
            self.pass.keys.prefetch_key(*later);
        }
        entries.get(behind).copied()
    }

    fn begin_pass(&mut self, hash: u64) -> Result<()> {
        (self.position, self.ahead) = (0, 0);
        (self.reach, self.reach_ahead) = Default::default();
        let next = self.pass.collect(&self.shared, hash, &self.options);
        self.next_hash = next?;
        Ok(())
    }

    #[inline]
    fn bring_near(&mut self) {
        while self.ahead <= self.position + AHEAD {
            let Some(location) = self.pass.location(self.ahead) else {
                return;
            };
            if let Some(live) = self.pass.pins.find(location, &mut self.reach_ahead) {
                live.segment.prefetch(live.offset(location));
            }
            self.ahead += 1;
        }
    }

    /// Gives the pair of the record at `location` to `use_pair`; answers whether there was one.
    #[inline]
    fn read(
        &mut self,
        location: Location,
        use_pair: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<bool> {
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
        // Every location of the index lies in a segment.
        let Some(live) = self.pass.pins.find(location, &mut self.reach) else {
            return Ok(false);
        };
        let offset = live.offset(location);
        let segment = &*live.segment;
        let clock = &self.shared.clock;
        if self.options.keys_only {
            let (head, key) = segment.head_and_key_at(offset, &mut self.scratch)?;
            if self.shared.is_surely(location, &head, key) {
                let wanted = key.starts_with(&self.options.prefix);
                if wanted {
                    use_pair(key, &[]);
                }
                return Ok(wanted);
            }
        }
        let view = segment.record(offset, &mut self.scratch)?;
        view.verify()?;
        let (key, value) = (view.key(), view.value());
        if clock.has_expired(view.expires_at_ms()) || !key.starts_with(&self.options.prefix) {
            return Ok(false);
        }
        use_pair(key, if self.options.keys_only { &[] } else { value });
        Ok(true)
    }
}

impl Shared {
    /// Whether the index, which knows a good part of the key's hash, agrees that the record at `location`, of which only `head`
    /// and `key` were read, is one of `key`, and it does not expire. If not, nothing is wrong: the record may just be
    /// out of date by now.
    fn is_surely(&self, location: Location, head: &Head, key: &[u8]) -> bool {
        let guard = epoch::pin();
        let known = || {
            let hash = self.index.hash(key);
            self.index
                .find(&guard, hash, |it| (it == location).then_some(()))
        };
        head.kind == Kind::Put && head.expires_at_ms.is_none() && known().is_some()
    }
}

const _: () = {
    const fn may_move<T: Send + Sync>() {}
    may_move::<Iter>();
};
