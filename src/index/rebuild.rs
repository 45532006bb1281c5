//! Building a table out of another one.

use super::hash::KeyHash;
use super::placement::Place;
use super::shape::Shape;
use super::shard::Totals;
use super::table::{Half, Stored, Table};
use super::{Index, Location};
use crate::error::{Error, Result};
use crate::memory::key_slab::{KeyAppender, KeySlab};

/// What is to be built out of an old table.
pub(super) struct Plan<'a> {
    pub(super) source: &'a Table,
    /// The half of the entries to take; `None` takes all.
    pub(super) half: Option<Half>,
    pub(super) shape: Shape,
    /// Copy the keys into a slab of their own, leaving dead ones behind, instead of sharing the old slab.
    pub(super) fresh_slab: bool,
}

/// A table with all that belongs to it.
pub(super) struct Built {
    pub(super) table: Table,
    /// The appender of the table's slab if that is a fresh one.
    pub(super) appender: Option<KeyAppender>,
    pub(super) totals: Totals,
}

impl<H: KeyHash> Index<H> {
    /// Builds what `plan` says out of a table of `totals`, with more room if hashes turn out to collide.
    pub(super) fn build(&self, mut plan: Plan<'_>, totals: Totals) -> Result<Built> {
        let source = plan.source;
        let depth = source.depth() + u32::from(plan.half.is_some());
        let same_places = plan.half.is_none() && plan.shape == source.shape();
        loop {
            let (slab, mut appender) = if plan.fresh_slab {
                let (slab, appender) = KeySlab::new(self.arena.clone(), self.slab_page_bytes)?;
                (slab, Some(appender))
            } else {
                (source.slab().clone(), None)
            };
            let table = Table::new(&self.arena, plan.shape, depth, slab)?;
            let (totals, homeless) = match &mut appender {
                Some(appender) if same_places => {
                    compact(source, &table, appender)?;
                    (totals, 0)
                }
                appender => Copier::new(&plan, &table, appender.as_mut())?.copy(self)?,
            };
            if homeless == 0 {
                return Ok(Built {
                    table,
                    appender,
                    totals,
                });
            }
            plan.shape = roomier(plan.shape, &table, totals.keys, homeless);
        }
    }
}

/// Copies all entries to the same places of a table over another slab.
fn compact(source: &Table, table: &Table, appender: &mut KeyAppender) -> Result<()> {
    let mut scratch = Vec::new();
    table.take_over(source, |reference| {
        appender.append(source.slab().key(reference, &mut scratch)?)
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

/// Entries whose keys are hashed together, so that the misses on the slab overlap.
const BATCH: usize = 64;

#[derive(Clone, Copy)]
struct Copied {
    location: Location,
    reference: u32,
    key_length: u32,
    hash: u64,
}

/// Carries entries from one table to another.
struct Copier<'a> {
    plan: &'a Plan<'a>,
    table: &'a Table,
    appender: Option<&'a mut KeyAppender>,
    batch: Vec<Copied>,
    /// Entries whose home was full when they came. They are placed last, so that few others lose theirs to them.
    displaced: Vec<Copied>,
    scratch: Vec<u8>,
    totals: Totals,
    homeless: u64,
}

impl<'a> Copier<'a> {
    fn new(
        plan: &'a Plan<'a>,
        table: &'a Table,
        appender: Option<&'a mut KeyAppender>,
    ) -> Result<Self> {
        let mut batch = Vec::new();
        let reserved = batch.try_reserve_exact(BATCH);
        reserved.map_err(|_| Error::memory("copying a table"))?;
        Ok(Self {
            plan,
            table,
            appender,
            batch,
            displaced: Vec::new(),
            scratch: Vec::new(),
            totals: Totals::default(),
            homeless: 0,
        })
    }

    /// Copies the planned entries; answers what was copied and how many entries found no place.
    fn copy<H: KeyHash>(mut self, index: &Index<H>) -> Result<(Totals, u64)> {
        let source = self.plan.source;
        source.for_each(|stored| {
            if self.may_want(&stored) {
                source.slab().prefetch(stored.reference);
                self.batch.push(Copied {
                    location: stored.location,
                    reference: stored.reference,
                    key_length: 0,
                    hash: 0,
                });
            }
            if self.batch.len() == BATCH {
                self.copy_batch(index)
            } else {
                Ok(())
            }
        })?;
        self.copy_batch(index)?;
        self.copy_displaced()?;
        Ok((self.totals, self.homeless))
    }

    /// Whether an entry belongs to the planned half, as far as that is known before its key is hashed.
    #[inline]
    fn may_want(&self, stored: &Stored) -> bool {
        let half = |wanted| {
            self.plan
                .source
                .half(stored)
                .is_none_or(|half| half == wanted)
        };
        self.plan.half.is_none_or(half)
    }

    /// Copies the batch, as far as entries fit into their homes, and empties it.
    fn copy_batch<H: KeyHash>(&mut self, index: &Index<H>) -> Result<()> {
        let source = self.plan.source;
        for entry in &mut self.batch {
            let key = source.slab().key(entry.reference, &mut self.scratch)?;
            entry.hash = index.hash(key);
            entry.key_length = key.len() as u32;
        }
        for number in 0..self.batch.len() {
            let entry = self.batch[number];
            if self
                .plan
                .half
                .is_some_and(|wanted| source.half_of(entry.hash) != wanted)
            {
                continue;
            }
            match self.table.reserve_home(entry.hash) {
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
            match self.table.reserve(entry.hash) {
                Some(place) => self.place(&entry, &place)?,
                None => self.homeless += 1,
            }
        }
        Ok(())
    }

    #[inline]
    fn place(&mut self, entry: &Copied, place: &Place) -> Result<()> {
        let reference = match &mut self.appender {
            Some(appender) => {
                let slab = self.plan.source.slab();
                appender.append(slab.key(entry.reference, &mut self.scratch)?)?
            }
            None => entry.reference,
        };
        self.table.fill(place, entry.location, reference);
        self.totals.add(entry.key_length as usize);
        Ok(())
    }
}
