//! What an iterator collects of the index at a time: the keys of some neighbouring hashes.

use super::IterOptions;
use super::pins::Pins;
use super::places::Places;
use crate::error::{Error, Result};
use crate::index::ShardSnapshot;
use crate::memory::budget::Loan;
use crate::memory::epoch::{self, Guard};
use crate::store::contents::Contents;

/// At most about so many keys are collected at a time, which takes a tenth of a second, in which nothing is freed that was replaced.
const MOST_KEYS: u64 = 1 << 24;

/// The same where memory is limited, so that writers may have to wait until what was replaced is freed.
const MOST_KEYS_WITHIN_LIMIT: u64 = 1 << 22;

/// What a pass takes for its locations and the entries of a shard.
const BESIDES_PLACES: usize = 224 << 10;

/// With so much the places of one shard fit.
const LEAST_MEMORY: usize = 32 << 10;

/// How many locations are taken from the places at a time.
const LOCATIONS: usize = 4096;

/// The keys of some neighbouring hashes, as they were when the pass began: by the places of their records, in the order of
/// the disk, or the keys themselves where they are in memory and nothing else is wanted.
#[derive(Default)]
pub struct Pass {
    /// Raw locations of the records to be read next.
    pub locations: Vec<u64>,
    /// Segments of all records of the pass.
    pub pins: Pins,
    /// Keys that need no record.
    pub keys: ShardSnapshot,
    places: Places,
    /// How much memory the pass has, for the places, and besides.
    loan: Option<Loan>,
}

impl Pass {
    /// Collects the shards from the one of `first_hash` on that have room in the iterator's memory, one at least. Answers
    /// where the next pass begins; `None` if this is the last.
    ///
    /// # Errors
    /// `Memory`; those of loading a part of the index. The pass is then empty.
    pub fn collect(
        &mut self,
        contents: &Contents,
        first_hash: u64,
        options: &IterOptions,
    ) -> Result<Option<u64>> {
        let next = self.try_collect(contents, first_hash, options);
        if next.is_err() {
            self.release();
        }
        next
    }

    fn try_collect(
        &mut self,
        contents: &Contents,
        first_hash: u64,
        options: &IterOptions,
    ) -> Result<Option<u64>> {
        if self.loan.is_none() {
            let budget = contents.segments.budget();
            let memory = match budget.limit() {
                Some(_) => {
                    let spare = budget.available().saturating_sub(BESIDES_PLACES);
                    options.memory().min(spare / 2)
                }
                None => options.memory(),
            };
            self.loan = Some(budget.lend(memory.max(LEAST_MEMORY) + BESIDES_PLACES)?);
        }
        let memory = self.loan.as_ref().map_or(0, Loan::bytes);
        let memory = memory.saturating_sub(BESIDES_PLACES).min(options.memory());
        self.locations.clear();
        let reserved = self.locations.try_reserve_exact(LOCATIONS);
        reserved.map_err(|_| Error::memory("an iterator"))?;
        // Until the segments are pinned: what the index says under this guard stays meaningful under it.
        let guard = epoch::pin();
        let end = contents.segments.location_end();
        let most_keys = match contents.segments.budget().limit() {
            Some(_) => MOST_KEYS_WITHIN_LIMIT,
            None => MOST_KEYS,
        };
        let room = self.places.prepare(end, memory)?;
        let mut collected = 0;
        let mut next = Some(first_hash);
        while let Some(hash) = next {
            let expected = contents.index.keys_of_shard(&guard, hash);
            let is_full = collected + expected > most_keys
                || room.is_some_and(|room| self.places.listed() as u64 + expected > room as u64);
            if is_full && hash != first_hash {
                break;
            }
            next = contents
                .index
                .snapshot_shard(&guard, hash, &mut self.keys)?;
            collected += self.keys.entries().len() as u64;
            if !options.prefix.is_empty() {
                keep_prefix(&mut self.keys, &options.prefix)?;
            }
            self.take_places(contents, options, &guard)?;
            if !self.keys.entries().is_empty() {
                // Keys of one slab at a time.
                break;
            }
        }
        self.places.sort()?;
        self.pins.pin(&self.places, &contents.segments, &guard)?;
        Ok(next)
    }

    /// Moves those of the collected entries whose records are to be read to the places.
    fn take_places(
        &mut self,
        contents: &Contents,
        options: &IterOptions,
        guard: &Guard,
    ) -> Result<()> {
        let places = &mut self.places;
        if !options.keys_only {
            for entry in self.keys.entries() {
                places.add(entry.location)?;
            }
            self.keys.clear();
            return Ok(());
        }
        let mut scratch = Vec::new();
        self.keys.retain(|snapshot, entry| {
            let live = contents.segments.find(entry.location, guard);
            let may_expire = live.is_some_and(|live| live.segment.may_expire());
            let suffices = !may_expire && snapshot.key(entry, &mut scratch)?.is_some();
            if !suffices {
                places.add(entry.location)?;
            }
            Ok(suffices)
        })
    }

    /// Replaces the locations by those that come next in the pass; answers whether there are any.
    pub fn go_on(&mut self) -> bool {
        self.locations.clear();
        self.places.take(&mut self.locations);
        !self.locations.is_empty()
    }

    /// Lets go of everything.
    pub fn release(&mut self) {
        *self = Self::default();
    }
}

/// Takes out the keys that are in memory and do not begin with `prefix`.
fn keep_prefix(keys: &mut ShardSnapshot, prefix: &[u8]) -> Result<()> {
    let mut scratch = Vec::new();
    keys.retain(|keys, entry| {
        let key = keys.key(entry, &mut scratch)?;
        Ok(key.is_none_or(|key| key.starts_with(prefix)))
    })
}
