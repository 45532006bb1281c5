//! Building a table out of another one: of each entry so much of the hash is known that its key is not needed.

use super::encoding::Encoding;
use super::hash::KeyHash;
use super::placement::Place;
use super::shape::Shape;
use super::shard::Totals;
use super::table::{Half, NO_REFERENCE, Stored, Table};
use super::{Index, epoch::Guard};
use crate::error::{Error, Result};
use crate::memory::key_slab::KeyAppender;

/// What is to be built out of an old table.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// The half of the entries to take; `None` takes all.
    pub(super) half: Option<Half>,
    pub(super) shape: Shape,
    pub(super) location_bits: u32,
    /// Copy the keys into a slab of their own, leaving dead ones behind, instead of sharing the old slab.
    pub(super) fresh_slab: bool,
}

/// A table with all that belongs to it.
pub(super) struct Built {
    pub(super) table: Table,
    /// The appender of the table's slab if that is a fresh one.
    pub(super) appender: Option<KeyAppender>,
    /// Those of the source if all was taken; of a half, all but the bytes of the keys, which are left 0.
    pub(super) totals: Totals,
}

/// What became of an attempt to fill a table.
enum Filled {
    /// Besides those that are placed, so many entries found no place.
    Placed { totals: Totals, homeless: u64 },
    /// A key that had to be hashed could not be read.
    KeyUnreadable,
}

impl<H: KeyHash> Index<H> {
    /// Builds what `plan` says out of `source`, whose entries amount to `totals`, with more room if hashes turn out to
    /// collide.
    ///
    /// Should the tags become few, which is rare, all keys are hashed again; if one of them cannot be read, they stay
    /// few instead: that costs time in comparing, not correctness.
    pub(super) fn build(
        &self,
        source: &Table,
        mut plan: Plan,
        totals: Totals,
        guard: &Guard,
    ) -> Result<Built> {
        let halving = u32::from(plan.half.is_some());
        let depth = source.depth() + halving;
        let known = source.encoding().fingerprint_bits() - halving;
        let known = (totals.keys > 0).then_some(known);
        let mut keys_are_readable = true;
        loop {
            let buckets = plan.shape.main;
            let mut encoding = Encoding::new(buckets, depth, plan.location_bits, known);
            let hash_again = keys_are_readable && encoding.is_poor(depth);
            if hash_again {
                encoding = Encoding::new(buckets, depth, plan.location_bits, None);
            }
            let (table, mut appender) = if plan.fresh_slab {
                self.memory.table(plan.shape, depth, encoding)?
            } else {
                let memory = &self.memory;
                let table = memory.table_sharing_keys(source, plan.shape, depth, encoding)?;
                (table, None)
            };
            let same_places = plan.half.is_none()
                && plan.shape == source.shape()
                && encoding == *source.encoding();
            let filled = if same_places {
                take_over(source, &table, appender.as_mut())?;
                Filled::Placed {
                    totals,
                    homeless: 0,
                }
            } else {
                let copier = Copier::new(self, source, &plan, &table, appender.as_mut(), guard)?;
                copier.copy(hash_again)?
            };
            match filled {
                Filled::Placed {
                    totals: copied,
                    homeless: 0,
                } => {
                    let totals = if plan.half.is_some() { copied } else { totals };
                    debug_assert_eq!(totals.keys, copied.keys);
                    return Ok(Built {
                        table,
                        appender,
                        totals,
                    });
                }
                Filled::Placed { totals, homeless } => {
                    plan.shape = roomier(plan.shape, &table, totals.keys, homeless);
                }
                Filled::KeyUnreadable => keys_are_readable = false,
            }
        }
    }
}

/// Copies all entries to the same places of another table, and their keys to its slab if that is another one.
fn take_over(source: &Table, table: &Table, mut appender: Option<&mut KeyAppender>) -> Result<()> {
    let mut scratch = Vec::new();
    table.take_over(source, |reference| match (&mut appender, source.keys()) {
        (Some(appender), Some(keys)) => appender.append(keys.slab().key(reference, &mut scratch)?),
        _ => Ok(reference),
    })
}

/// A shape to try after one in which `homeless` of the entries found no place.
fn roomier(shape: Shape, table: &Table, placed: u64, homeless: u64) -> Shape {
    let in_stash = table.stash_entries();
    let larger = shape
        .larger()
        .filter(|_| shape.is_crowded(placed - in_stash));
    let shape = larger.unwrap_or(shape.with_more_stash());
    shape.with_stash_for(in_stash + homeless)
}

/// Entries that are copied together, so that the misses on the slab overlap.
const BATCH: usize = 64;

/// An entry on its way, with its fingerprint in the new table.
#[derive(Clone, Copy)]
struct Copied {
    stored: Stored,
    fingerprint: u64,
}

/// Carries entries from one table to another.
struct Copier<'a, H: KeyHash> {
    index: &'a Index<H>,
    source: &'a Table,
    half: Option<Half>,
    table: &'a Table,
    appender: Option<&'a mut KeyAppender>,
    guard: &'a Guard,
    batch: Vec<Copied>,
    /// Entries whose home was full when they came. They are placed last, so that few others lose theirs to them.
    displaced: Vec<Copied>,
    scratch: Vec<u8>,
    totals: Totals,
    homeless: u64,
}

impl<'a, H: KeyHash> Copier<'a, H> {
    fn new(
        index: &'a Index<H>,
        source: &'a Table,
        plan: &Plan,
        table: &'a Table,
        appender: Option<&'a mut KeyAppender>,
        guard: &'a Guard,
    ) -> Result<Self> {
        let mut batch = Vec::new();
        let reserved = batch.try_reserve_exact(BATCH);
        reserved.map_err(|_| Error::memory("copying a table"))?;
        Ok(Self {
            index,
            source,
            half: plan.half,
            table,
            appender,
            guard,
            batch,
            displaced: Vec::new(),
            scratch: Vec::new(),
            totals: Totals::default(),
            homeless: 0,
        })
    }

    /// Copies the planned entries, with fingerprints from their keys' hashes if these are to be had again.
    fn copy(mut self, hash_again: bool) -> Result<Filled> {
        let source = self.source;
        let known_bits = source.encoding().fingerprint_bits() - u32::from(self.half.is_some());
        let mut all_readable = true;
        source.for_each(|stored| {
            let fingerprint = source.fingerprint(&stored);
            if self
                .half
                .is_some_and(|half| half != source.half(fingerprint))
                || !all_readable
            {
                return Ok(());
            }
            let fingerprint = if hash_again {
                match self.hash_again(&stored, fingerprint) {
                    Some(fingerprint) => fingerprint,
                    None => {
                        all_readable = false;
                        return Ok(());
                    }
                }
            } else {
                // In a half, the first bit is the shard's.
                let known = fingerprint & ((1 << known_bits) - 1);
                known >> (known_bits - self.table.encoding().fingerprint_bits())
            };
            if self.appender.is_some()
                && let Some(keys) = source.keys()
            {
                keys.slab().prefetch(stored.reference);
            }
            self.batch.push(Copied {
                stored,
                fingerprint,
            });
            match self.batch.len() {
                BATCH => self.copy_batch(),
                _ => Ok(()),
            }
        })?;
        if !all_readable {
            return Ok(Filled::KeyUnreadable);
        }
        self.copy_batch()?;
        self.copy_displaced()?;
        if let Some(appender) = &self.appender {
            self.totals.record_bytes = appender.slab().published_bytes() as u64;
        }
        Ok(Filled::Placed {
            totals: self.totals,
            homeless: self.homeless,
        })
    }

    /// The new fingerprint of an entry from its key, or `None` if that cannot be read: if it reads, but its hash is not
    /// the one that is known, it was damaged.
    fn hash_again(&mut self, stored: &Stored, fingerprint: u64) -> Option<u64> {
        let source = self.source;
        let key = self
            .index
            .key_of(source, self.guard, stored, &mut self.scratch);
        let hash = self.index.hash(key.ok()?);
        let known = source.encoding().fingerprint_of(hash, source.depth());
        let encoding = self.table.encoding();
        (known == fingerprint).then(|| encoding.fingerprint_of(hash, self.table.depth()))
    }

    /// Copies the batch, as far as entries fit into their homes, and empties it.
    fn copy_batch(&mut self) -> Result<()> {
        for number in 0..self.batch.len() {
            let entry = self.batch[number];
            match self.table.reserve_home(entry.fingerprint) {
                Some(place) => self.place(&entry, &place)?,
                None => {
                    let reserved = self.displaced.try_reserve(1);
                    reserved.map_err(|_| Error::memory("copying a table"))?;
                    self.displaced.push(entry);
                }
            }
        }
        self.batch.clear();
        Ok(())
    }

    fn copy_displaced(&mut self) -> Result<()> {
        for entry in std::mem::take(&mut self.displaced) {
            match self.table.reserve(entry.fingerprint) {
                Some(place) => self.place(&entry, &place)?,
                None => self.homeless += 1,
            }
        }
        Ok(())
    }

    #[inline]
    fn place(&mut self, entry: &Copied, place: &Place) -> Result<()> {
        let stored = &entry.stored;
        let has_key = stored.reference != NO_REFERENCE;
        let reference = match (&mut self.appender, self.source.keys()) {
            (Some(appender), Some(keys)) if has_key => {
                appender.append(keys.slab().key(stored.reference, &mut self.scratch)?)?
            }
            _ => stored.reference,
        };
        self.table.fill(place, stored.location, reference);
        self.totals.keys += 1;
        self.totals.missing += u64::from(!has_key && self.source.keys().is_some());
        Ok(())
    }
}
