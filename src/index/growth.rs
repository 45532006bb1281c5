//! Growing, shrinking, splitting and compacting: a new table is built aside and takes the old one's place,
//! which readers may go on using until their epoch ends.

use super::Index;
use super::directory::MAX_DEPTH;
use super::hash::KeyHash;
use super::shape::Shape;
use super::shard::{Shard, Totals, Writer};
use super::table::{Half, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::epoch::Guard;
use crate::memory::key_slab::{KeyAppender, KeySlab, MAX_SLAB_BYTES};

/// What a shard lacks for one more key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortage {
    Slots,
    Slab,
}

/// A table with all that belongs to it.
struct Built {
    table: Table,
    /// The appender of the table's slab if that is a fresh one.
    appender: Option<KeyAppender>,
    totals: Totals,
}

/// What is to be built out of an old table.
struct Plan<'a> {
    source: &'a Table,
    /// The half of the entries to take; `None` takes all.
    half: Option<Half>,
    shape: Shape,
    /// Copy the keys into a slab of their own, leaving dead ones behind, instead of sharing the old slab.
    fresh_slab: bool,
}

impl<H: KeyHash> Index<H> {
    /// Makes a locked shard able to take one more key, as far as one step does; the caller tries again, in
    /// the shard that the directory then leads to.
    ///
    /// # Errors
    /// `Memory`, and the shard is as it was; `TooLarge` if too many keys have the same hash.
    pub(super) fn make_room(
        &self,
        shard: &Shard,
        writer: &mut Writer,
        hash: u64,
        shortage: Shortage,
        guard: &Guard,
    ) -> Result<()> {
        let table = shard.table().load(guard);
        match shortage {
            Shortage::Slots => {
                let shape = table.shape();
                let crowded = shape.is_crowded(shard.totals().keys - table.stash_entries());
                match shape.larger() {
                    Some(larger) if crowded => {
                        let larger = larger.with_stash_for(table.stash_entries());
                        self.replace_table(
                            shard,
                            writer,
                            larger,
                            worth_compacting(shard, table, 16),
                            guard,
                        )
                    }
                    None if crowded && self.can_split(table)? => {
                        self.split(shard, writer, hash, guard)
                    }
                    _ => self.replace_table(shard, writer, shape.with_more_stash(), false, guard),
                }
            }
            Shortage::Slab if worth_compacting(shard, table, 8) => {
                self.replace_table(shard, writer, table.shape(), true, guard)
            }
            Shortage::Slab if self.can_split(table)? => self.split(shard, writer, hash, guard),
            Shortage::Slab if writer.slab_limit < MAX_SLAB_BYTES => {
                writer.slab_limit = MAX_SLAB_BYTES;
                Ok(())
            }
            Shortage::Slab if dead_bytes(shard, table) > 0 => {
                self.replace_table(shard, writer, table.shape(), true, guard)
            }
            Shortage::Slab => Err(Error::new(
                ErrorKind::TooLarge,
                "too many bytes of keys with the same hash: open the store anew to draw another seed",
            )),
        }
    }

    /// After a removal: makes the shard smaller if that is worth it. If memory is short it stays as it is
    /// until a later removal.
    pub(super) fn make_smaller(&self, shard: &Shard, writer: &mut Writer, guard: &Guard) {
        let table = shard.table().load(guard);
        let (shape, keys) = (table.shape(), shard.totals().keys);
        let dead = dead_bytes(shard, table);
        let sparse = shape.is_sparse(keys) && writer.removals * 8 > shape.slots();
        let compact = dead > self.slab_page_bytes && worth_compacting(shard, table, 8);
        if sparse || compact {
            let fitting = Shape::for_entries(keys);
            let shape = if sparse || fitting.slots() < shape.slots() {
                fitting
            } else {
                shape
            };
            let fresh = compact || worth_compacting(shard, table, 16);
            let short = self.replace_table(shard, writer, shape, fresh, guard).err();
            debug_assert!(short.is_none_or(|error| error.kind() == ErrorKind::Memory));
        }
    }

    fn replace_table(
        &self,
        shard: &Shard,
        writer: &mut Writer,
        shape: Shape,
        fresh_slab: bool,
        guard: &Guard,
    ) -> Result<()> {
        let source = shard.table().load(guard);
        let built = self.build(Plan {
            source,
            half: None,
            shape,
            fresh_slab,
        })?;
        debug_assert_eq!(built.totals, shard.totals());
        if let Some(appender) = built.appender {
            writer.appender = appender;
        }
        writer.removals = 0;
        shard.table().store(built.table, guard);
        // The replaced table is large: let it be freed as soon as its last reader is gone.
        guard.flush();
        Ok(())
    }

    /// Whether the next hash bit divides the table's keys into two parts worth a shard each.
    fn can_split(&self, table: &Table) -> Result<bool> {
        if table.depth() >= MAX_DEPTH {
            return Ok(false);
        }
        let (mut lower, mut upper) = (0_u64, 0_u64);
        let mut scratch = Vec::new();
        table.for_each(|half, _, reference| {
            match self.known_half(table, half, reference, &mut scratch)? {
                Half::Lower => lower += 1,
                _ => upper += 1,
            }
            Ok(())
        })?;
        Ok(lower.min(upper) * 4 > lower.max(upper))
    }

    fn known_half(
        &self,
        table: &Table,
        half: Half,
        reference: u32,
        scratch: &mut Vec<u8>,
    ) -> Result<Half> {
        if half != Half::Unknown {
            return Ok(half);
        }
        let hash = self.hash(table.slab().key(reference, scratch)?);
        let upper = hash << table.depth() >> (u64::BITS - 1) == 1;
        Ok(if upper { Half::Upper } else { Half::Lower })
    }

    fn split(&self, shard: &Shard, writer: &mut Writer, hash: u64, guard: &Guard) -> Result<()> {
        let source = shard.table().load(guard);
        let entries = shard.totals().keys / 2;
        let half = |half| -> Result<Shard> {
            let plan = Plan {
                source,
                half: Some(half),
                shape: Shape::for_entries(entries),
                fresh_slab: true,
            };
            let built = self.build(plan)?;
            let appender = built.appender.expect("a fresh slab was asked for");
            Ok(Shard::new(built.table, appender, built.totals))
        };
        let halves = [half(Half::Lower)?, half(Half::Upper)?];
        let _one_split_at_a_time = self.splitting.lock();
        let directory = self.directory.load(guard).split(hash, halves)?;
        self.directory.store(directory, guard);
        writer.retired = true;
        guard.flush();
        Ok(())
    }

    /// Builds what `plan` says, with more room if hashes turn out to collide.
    fn build(&self, mut plan: Plan<'_>) -> Result<Built> {
        let depth = plan.source.depth() + u32::from(plan.half.is_some());
        loop {
            let (slab, mut appender) = if plan.fresh_slab {
                let (slab, appender) = KeySlab::new(self.arena.clone(), self.slab_page_bytes)?;
                (slab, Some(appender))
            } else {
                (plan.source.slab().clone(), None)
            };
            let table = Table::new(&self.arena, plan.shape, depth, slab)?;
            let (totals, homeless) = self.copy(&plan, &table, appender.as_mut())?;
            if homeless == 0 {
                return Ok(Built {
                    table,
                    appender,
                    totals,
                });
            }
            let in_stash = table.stash_entries();
            let larger = plan.shape.larger();
            let larger = larger.filter(|_| plan.shape.is_crowded(totals.keys - in_stash));
            let shape = larger.unwrap_or(plan.shape.with_more_stash());
            plan.shape = shape.with_stash_for(in_stash + homeless);
        }
    }

    /// Copies the planned entries into `table`; answers what was copied and how many entries found no place.
    fn copy(
        &self,
        plan: &Plan<'_>,
        table: &Table,
        mut appender: Option<&mut KeyAppender>,
    ) -> Result<(Totals, u64)> {
        let source = plan.source;
        let mut scratch = Vec::new();
        let mut totals = Totals::default();
        let mut homeless = 0;
        source.for_each(|half, location, reference| {
            if plan.half.is_some()
                && Some(self.known_half(source, half, reference, &mut scratch)?) != plan.half
            {
                return Ok(());
            }
            let key = source.slab().key(reference, &mut scratch)?;
            let Some(place) = table.reserve(self.hash(key)) else {
                homeless += 1;
                return Ok(());
            };
            let reference = match &mut appender {
                Some(appender) => appender.append(key)?,
                None => reference,
            };
            table.fill(&place, location, reference);
            totals.add(key.len());
            Ok(())
        })?;
        Ok((totals, homeless))
    }
}

/// Slab bytes that belong to no key any more.
pub(super) fn dead_bytes(shard: &Shard, table: &Table) -> usize {
    table.slab().published_bytes() - shard.totals().record_bytes as usize
}

/// Whether more than one part in `parts` of the slab is dead.
fn worth_compacting(shard: &Shard, table: &Table, parts: usize) -> bool {
    dead_bytes(shard, table) * parts > table.slab().published_bytes()
}
