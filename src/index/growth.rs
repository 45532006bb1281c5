//! When a shard grows, shrinks, splits or compacts: a new table is built aside and takes the old one's place,
//! which readers may go on using until their epoch ends.

use super::Index;
use super::directory::MAX_DEPTH;
use super::hash::KeyHash;
use super::rebuild::Plan;
use super::shape::Shape;
use super::shard::{Shard, Writer};
use super::table::{Half, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::epoch::Guard;
use crate::memory::key_slab::MAX_SLAB_BYTES;

/// One part in so many of a slab may be dead before it is compacted. Compacting copies a table without hashing, so
/// that little waste costs little time.
const DEAD_PARTS: usize = 16;

/// If a table is rebuilt anyway, its slab is compacted from less waste on.
const DEAD_PARTS_AT_REBUILD: usize = 64;

/// What a shard lacks for one more key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortage {
    Slots,
    Slab,
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
            Shortage::Slots => self.make_slots(shard, writer, hash, guard),
            Shortage::Slab if is_wasteful(shard, table, DEAD_PARTS) => {
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

    fn make_slots(
        &self,
        shard: &Shard,
        writer: &mut Writer,
        hash: u64,
        guard: &Guard,
    ) -> Result<()> {
        let table = shard.table().load(guard);
        let shape = table.shape();
        let in_stash = table.stash_entries();
        if !shape.is_crowded(shard.totals().keys - in_stash) {
            return self.replace_table(shard, writer, shape.with_more_stash(), false, guard);
        }
        if let Some(larger) = shape.larger() {
            let larger = larger.with_stash_for(in_stash);
            let fresh_slab = is_wasteful(shard, table, DEAD_PARTS_AT_REBUILD);
            return self.replace_table(shard, writer, larger, fresh_slab, guard);
        }
        if self.can_split(table)? {
            return self.split(shard, writer, hash, guard);
        }
        self.replace_table(shard, writer, shape.with_more_stash(), false, guard)
    }

    /// After a removal: makes the shard smaller if that is worth it. If memory is short it stays as it is
    /// until a later removal.
    pub(super) fn make_smaller(&self, shard: &Shard, writer: &mut Writer, guard: &Guard) {
        let table = shard.table().load(guard);
        let (shape, keys) = (table.shape(), shard.totals().keys);
        let sparse = shape.is_sparse(keys) && writer.removals * 8 > shape.slots();
        let wasteful = is_wasteful(shard, table, DEAD_PARTS)
            && dead_bytes(shard, table) > self.slab_page_bytes;
        if writer.removals < writer.patience || !(sparse || wasteful) {
            return;
        }
        let fitting = Shape::for_entries(keys);
        let smaller = sparse || fitting.slots() < shape.slots();
        let shape = if smaller { fitting } else { shape };
        let fresh_slab = wasteful || is_wasteful(shard, table, DEAD_PARTS_AT_REBUILD);
        if let Err(error) = self.replace_table(shard, writer, shape, fresh_slab, guard) {
            debug_assert_eq!(error.kind(), ErrorKind::Memory);
            (writer.removals, writer.patience) = (0, shape.slots() / 8);
        }
    }

    pub(super) fn replace_table(
        &self,
        shard: &Shard,
        writer: &mut Writer,
        shape: Shape,
        fresh_slab: bool,
        guard: &Guard,
    ) -> Result<()> {
        let plan = Plan {
            source: shard.table().load(guard),
            half: None,
            shape,
            fresh_slab,
        };
        let built = self.build(plan, shard.totals())?;
        debug_assert_eq!(built.totals, shard.totals());
        if let Some(appender) = built.appender {
            writer.appender = appender;
        }
        (writer.removals, writer.patience) = (0, 0);
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
        table.for_each(|stored| {
            let half = match table.half(&stored) {
                Some(half) => half,
                None => table.half_of(self.hash(table.slab().key(stored.reference, &mut scratch)?)),
            };
            match half {
                Half::Lower => lower += 1,
                Half::Upper => upper += 1,
            }
            Ok(())
        })?;
        Ok(lower.min(upper) * 4 > lower.max(upper))
    }

    fn split(&self, shard: &Shard, writer: &mut Writer, hash: u64, guard: &Guard) -> Result<()> {
        let totals = shard.totals();
        let half = |half| -> Result<Shard> {
            let plan = Plan {
                source: shard.table().load(guard),
                half: Some(half),
                shape: Shape::for_entries(totals.keys / 2),
                fresh_slab: true,
            };
            let built = self.build(plan, totals)?;
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
}

/// Slab bytes that belong to no key any more.
fn dead_bytes(shard: &Shard, table: &Table) -> usize {
    table.slab().published_bytes() - shard.totals().record_bytes as usize
}

/// Whether more than one part in `parts` of the slab is dead.
fn is_wasteful(shard: &Shard, table: &Table, parts: usize) -> bool {
    dead_bytes(shard, table) * parts > table.slab().published_bytes()
}
