//! Iteration over all pairs.
//!
//! An iterator walks the index, not the log: by hash, some shards at a time. Of these it copies where the records lie, puts
//! that in the order of the disk, and reads. A key belongs to one pass by its hash and to one entry of its shard, so it
//! is met once without any list of what was met; and shards that split meanwhile are passed over in the same order.
//! The segments of a pass are kept readable until it is over, whatever becomes of them in the store.

mod pass;
mod pins;
mod places;
mod radix;

use std::sync::Arc;

use super::clock::ExpiryClock;
use super::contents::Contents;
use super::live_segment::LiveSegment;
use super::options::ReadChecks;
use super::{Shared, Store};
use crate::error::{ErrorKind, Result};
use crate::index::Location;
use crate::log::record::{Head, Kind};
use crate::log::{MappedRecords, Pair, RecordView};
use crate::memory::epoch;
use pass::Pass;

/// How many records ahead of the one that is read memory is brought near: as many as a processor can wait for at once.
const AHEAD: usize = 12;

/// When a longer record is read, all lines of the next one are asked for, and it is verified together with others.
const LONG_RECORD: u64 = 256;

/// About so many bytes of long records are verified one after the other before they are given away. Whoever copies each as soon as
/// it is verified has them come from memory half as fast: his writes are between the reads that the processor expects.
const VERIFIED_TOGETHER: u64 = 64 << 10;

/// Memory of an iterator if nothing else is asked for.
const DEFAULT_MEMORY: usize = 16 << 20;

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
    /// About how much memory in bytes the iterator may take; 0 for the usual 16 MiB. With M bytes a log of up to 128 · M bytes
    /// is gone through once for every 16 million keys, or for every 4 million if the store's memory is limited; a larger one
    /// also once for every M / 32 keys that lie behind 64 · M bytes. More helps where the log does not fit into RAM.
    pub memory: usize,
}

impl IterOptions {
    fn memory(&self) -> usize {
        match self.memory {
            0 => DEFAULT_MEMORY,
            memory => memory,
        }
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
    /// What is gone over from the first step to the last: the hashes of others would be others.
    contents: Contents,
    options: IterOptions,
    /// Where the next pass begins; `None` after the last.
    next_hash: Option<u64>,
    pass: Pass,
    /// How many of the pass's locations, or, when these are done with, of its keys have been dealt with.
    position: usize,
    /// Records at the pass's locations before this one have been verified, if they are long.
    verified: usize,
    /// Whether all locations of the pass are done with.
    at_keys: bool,
    /// Whether that one was answered with an error, so that the next step goes on behind it.
    passed_over: bool,
    /// Which of the pass's segments was read last.
    pin: usize,
    /// For records in segments that are not mapped, and keys across pages.
    scratch: Vec<u8>,
}

/// What whoever is given a pair makes of it.
enum Answer {
    /// He takes it, and wants the next.
    Another,
    /// He takes it, and no more now.
    Enough,
    /// He wants it later.
    Later,
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
            contents: self.shared.share_contents(),
            options,
            next_hash: Some(0),
            pass: Pass::default(),
            position: 0,
            verified: 0,
            at_keys: true,
            passed_over: false,
            pin: 0,
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
        let mut use_pair = Some(use_pair);
        let mut result = None;
        self.advance(|pair| {
            let (key, value) = (pair.key(), pair.value());
            result = use_pair.take().map(|use_pair| use_pair(key, value));
            Answer::Enough
        })?;
        Ok(result)
    }

    /// Offers one pair after the other to `take`, until it answers that it did not take one, which will come again, or none is
    /// left. Answers how many were taken: 0 only if the first was refused or none was left.
    ///
    /// # Errors
    /// As [`Iter::next_with`], if no pair was taken before; an error behind one that was taken is left to the next call.
    pub fn next_many(&mut self, mut take: impl FnMut(&[u8], &[u8]) -> bool) -> Result<usize> {
        self.next_pairs(|pair| take(pair.key(), pair.value()))
    }

    /// As [`Iter::next_many`], with each key and value in one piece.
    pub(crate) fn next_pairs(&mut self, mut take: impl FnMut(Pair<'_>) -> bool) -> Result<usize> {
        let mut taken = 0;
        let advanced = self.advance(|pair| {
            if !take(pair) {
                return Answer::Later;
            }
            taken += 1;
            Answer::Another
        });
        if advanced.is_err() && taken > 0 {
            self.passed_over = false;
            return Ok(taken);
        }
        advanced.map(|()| taken)
    }

    /// Gives one pair after the other to `take`, until that wants no more or none is left.
    fn advance(&mut self, mut take: impl FnMut(Pair<'_>) -> Answer) -> Result<()> {
        self.shared.check_open()?;
        self.position += usize::from(std::mem::take(&mut self.passed_over));
        loop {
            let stopped = if !self.at_keys && self.position < self.pass.locations.len() {
                self.read_records(&mut take)
            } else if !self.at_keys {
                (self.position, self.verified) = (0, 0);
                self.at_keys = !self.pass.go_on();
                continue;
            } else if self.position < self.pass.keys.entries().len() {
                self.give_keys(&mut take)
            } else if let Some(hash) = self.next_hash {
                (self.position, self.verified, self.pin) = (0, 0, 0);
                self.at_keys = true;
                let (pass, contents, options) = (&mut self.pass, &self.contents, &self.options);
                let collected = || pass.collect(contents, hash, options);
                self.next_hash = self.shared.relieved(collected)?;
                self.at_keys = false;
                continue;
            } else {
                self.pass.release();
                self.position = 0;
                return Ok(());
            };
            match stopped {
                Ok(false) => {}
                Ok(true) => return Ok(()),
                Err(error) => {
                    self.passed_over = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io);
                    self.shared.failure.record(&error);
                    return Err(error);
                }
            }
        }
    }

    /// Gives the pairs of the records at the locations that are left of a segment to `take`; answers whether that wants no
    /// more. After an error the position is that of the record concerned.
    fn read_records(&mut self, take: &mut impl FnMut(Pair<'_>) -> Answer) -> Result<bool> {
        let Self {
            shared,
            contents,
            options,
            pass,
            position,
            verified,
            pin,
            scratch,
            ..
        } = self;
        if scratch.capacity() > SCRATCH_KEPT {
            *scratch = Vec::new();
        }
        let Some((live, count)) = pass.pins.find(&pass.locations[*position..], pin) else {
            *position += 1;
            return Ok(false);
        };
        let end = *position + count;
        let segment = &*live.segment;
        let locations = pass.locations.get(..end).unwrap_or_default();
        if let (Some(records), false) = (segment.mapped_records(), options.keys_only) {
            let reading = MappedReading {
                records,
                live,
                locations,
                clock: &shared.clock,
                prefix: &options.prefix,
            };
            return match shared.options.read_checks {
                ReadChecks::Checksum => reading.read(position, verified, take),
                ReadChecks::Key => reading.read_trusting(position, take),
            };
        }
        while *position < end {
            if let Some(later) = locations.get(*position + AHEAD) {
                segment.prefetch(live.offset_of(*later));
            }
            let raw = locations[*position];
            let offset = live.offset_of(raw);
            let met = if options.keys_only {
                let (head, key) = segment.head_and_key_at(offset, scratch)?;
                let surely =
                    Location::new(raw).is_some_and(|it| contents.is_surely(it, &head, key));
                surely.then(|| offer(&options.prefix, Pair::of_key(key), take))
            } else {
                None
            };
            let answer = match met {
                Some(answer) => answer,
                None => {
                    let view = segment.record(offset, scratch)?;
                    let checks = match options.keys_only {
                        // The index does not agree with its head and key.
                        true => ReadChecks::Checksum,
                        false => shared.options.read_checks,
                    };
                    check(&view, checks)?;
                    let pair = match options.keys_only {
                        true => Pair::of_key(view.key()),
                        false => view.pair(),
                    };
                    match shared.clock.has_expired(view.expires_at_ms()) {
                        true => Answer::Another,
                        false => offer(&options.prefix, pair, take),
                    }
                }
            };
            match answer {
                Answer::Another => *position += 1,
                Answer::Enough => {
                    *position += 1;
                    return Ok(true);
                }
                Answer::Later => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Gives the keys that need no record to `take`; answers as [`Self::read_records`].
    fn give_keys(&mut self, take: &mut impl FnMut(Pair<'_>) -> Answer) -> Result<bool> {
        let keys = &self.pass.keys;
        let first = self.position;
        for (number, entry) in keys.entries().iter().enumerate().skip(first) {
            if let Some(later) = keys.entries().get(number + AHEAD) {
                keys.prefetch_key(*later);
            }
            // All of these are in memory, and begin with the prefix.
            let key = keys.key(*entry, &mut self.scratch)?.unwrap_or_default();
            match take(Pair::of_key(key)) {
                Answer::Another => self.position += 1,
                Answer::Enough => {
                    self.position += 1;
                    return Ok(true);
                }
                Answer::Later => return Ok(true),
            }
        }
        Ok(false)
    }
}

/// The records of a mapped segment that are read one after the other: where nearly all of the time of a scan goes.
#[derive(Clone, Copy)]
struct MappedReading<'r> {
    records: MappedRecords<'r>,
    live: &'r LiveSegment,
    locations: &'r [u64],
    clock: &'r ExpiryClock,
    prefix: &'r [u8],
}

impl MappedReading<'_> {
    /// As [`Iter::read_records`], of the locations from `position` on. The long records before `verified` have been verified.
    #[inline]
    fn read(
        self,
        position: &mut usize,
        verified: &mut usize,
        take: &mut impl FnMut(Pair<'_>) -> Answer,
    ) -> Result<bool> {
        match *position < *verified || self.seems_long(*position) {
            true => self.read_long(position, verified, take),
            false => self.read_checked(position, None, take, ReadChecks::Checksum),
        }
    }

    /// Whether the record at a location is long, as far as that can be told without a look at it.
    #[inline]
    fn seems_long(&self, number: usize) -> bool {
        let pair = self.locations.get(number..number + 2);
        pair.is_some_and(|pair| {
            let [first, next] = [0, 1].map(|at| self.live.offset_of(pair[at]));
            next.saturating_sub(first) > LONG_RECORD
        })
    }

    /// As [`Self::read`], where records are long. Apart, so that short ones are read as quickly as without it.
    #[inline(never)]
    fn read_long(
        self,
        position: &mut usize,
        verified: &mut usize,
        take: &mut impl FnMut(Pair<'_>) -> Answer,
    ) -> Result<bool> {
        self.read_checked(position, Some(verified), take, ReadChecks::Checksum)
    }

    /// As [`Self::read`] for who trusts the disk. Apart, too.
    #[inline(never)]
    fn read_trusting(
        self,
        position: &mut usize,
        take: &mut impl FnMut(Pair<'_>) -> Answer,
    ) -> Result<bool> {
        self.read_checked(position, None, take, ReadChecks::Key)
    }

    /// As [`Self::read`]. Long records are verified together if there is a place where to note how far that has been done.
    #[inline(always)]
    fn read_checked(
        &self,
        position: &mut usize,
        mut verified: Option<&mut usize>,
        take: &mut impl FnMut(Pair<'_>) -> Answer,
        checks: ReadChecks,
    ) -> Result<bool> {
        while let Some(raw) = self.locations.get(*position) {
            if verified.is_none()
                && let Some(later) = self.locations.get(*position + AHEAD)
            {
                self.records.prefetch(self.live.offset_of(*later));
            }
            let view = self.records.record(self.live.offset_of(*raw))?;
            let is_long = view.len_on_disk() > LONG_RECORD;
            match &mut verified {
                Some(verified) if is_long => {
                    if *position >= **verified {
                        **verified = self.verify_some(*position)?;
                    }
                }
                _ => {
                    if is_long {
                        self.prefetch_rest(*position, view.len_on_disk());
                    }
                    check(&view, checks)?;
                }
            }
            let answer = match self.clock.has_expired(view.expires_at_ms()) {
                true => Answer::Another,
                false => offer(self.prefix, view.pair(), take),
            };
            match answer {
                Answer::Another => *position += 1,
                Answer::Enough => {
                    *position += 1;
                    return Ok(true);
                }
                Answer::Later => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Verifies the record at the location `first`, and long ones behind it as long as they are as they should be. Answers which
    /// is the first that was not verified.
    ///
    /// # Errors
    /// `Corrupt` for the first.
    #[inline(never)]
    fn verify_some(&self, first: usize) -> Result<usize> {
        let mut bytes = 0;
        for (number, raw) in self.locations.iter().enumerate().skip(first) {
            let view = self.records.record(self.live.offset_of(*raw));
            let is_wanted = |view: &RecordView<'_>| view.len_on_disk() > LONG_RECORD;
            if number > first && (bytes >= VERIFIED_TOGETHER || !view.as_ref().is_ok_and(is_wanted))
            {
                return Ok(number);
            }
            let view = view?;
            self.prefetch_rest(number, view.len_on_disk());
            match view.verify() {
                Err(error) if number == first => return Err(error),
                Err(_) => return Ok(number),
                Ok(()) => bytes += view.len_on_disk(),
            }
        }
        Ok(self.locations.len())
    }

    /// Asks for all lines of the record behind the one at a location, of `length` bytes, as long as which it is most likely; unless
    /// they lie side by side: then the processor does better by itself.
    #[inline]
    fn prefetch_rest(&self, number: usize, length: u64) {
        if let Some([raw, next]) = self.locations.get(number..number + 2) {
            let next = self.live.offset_of(*next);
            if next != self.live.offset_of(*raw) + length {
                self.records.prefetch_rest(next, length);
            }
        }
    }
}

/// Checks as much of a record as is wanted.
#[inline(always)]
fn check(view: &RecordView<'_>, checks: ReadChecks) -> Result<()> {
    // Damage must not let a pair pass for expired.
    match checks == ReadChecks::Checksum || !view.is_plain_put() {
        true => view.verify(),
        false => Ok(()),
    }
}

/// Gives a pair to `take` if it is one of those wanted.
#[inline]
fn offer(prefix: &[u8], pair: Pair<'_>, take: &mut impl FnMut(Pair<'_>) -> Answer) -> Answer {
    match prefix.is_empty() || pair.key().starts_with(prefix) {
        true => take(pair),
        false => Answer::Another,
    }
}

impl Contents {
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
