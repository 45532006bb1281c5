//! When a shard grows, shrinks, splits or compacts, or merges with its sibling: a new table is built aside and takes the old one's place,
//! which readers may go on using until their epoch ends.

use super::Index;
use super::copier::{Part, Source};
use super::directory::MAX_DEPTH;
use super::hash::KeyHash;
use super::merge::Merge;
use super::rebuild::{Built, Plan};
use super::shape::Shape;
use super::shard::{Shard, Writer};
use super::table::{Half, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::budget::MemoryBudget;
use crate::memory::epoch::Guard;
use crate::memory::key_slab::MAX_SLAB_BYTES;

/// One part in so many of a slab may be dead before it is compacted: so many keys are copied for each that was removed.
const DEAD_PARTS: usize = 10;

/// If a table is rebuilt anyway, its slab is compacted from less waste on.
const DEAD_PARTS_AT_REBUILD: usize = 64;

/// So many removals come between two looks at the sibling, whether the two can be merged.
const LOOK_EVERY: u64 = 64;

/// What a shard lacks for one more key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortage {
    Slots,
    Slab,
    LocationBits,
}

/// What a shard is to take next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer {
    pub(super) hash: u64,
    pub(super) location_bits: u32,
}

impl<H: KeyHash> Index<H> {
    /// Makes a locked shard able to take `newcomer`, as far as one step does; the caller tries again, in
    /// the shard that the directory then leads to.
    ///
    /// # Errors
    /// `Memory`, and the shard is as it was; `TooLarge` if too many keys have the same hash.
    pub(super) fn make_room(
        &self,
        shard: &Shard,
        writer: &mut Writer,
        newcomer: Newcomer,
        shortage: Shortage,
        guard: &Guard,
    ) -> Result<()> {
        let table = shard.table().load(guard);
        let location_bits = newcomer.location_bits.max(table.encoding().location_bits());
        let same = Plan {
            shape: table.shape(),
            location_bits,
            fresh_slab: false,
        };
        let compacted = Plan {
            fresh_slab: true,
            ..same
        };
        match shortage {
            Shortage::Slots => self.make_slots(shard, writer, newcomer, same, guard),
            // These two end with no more memory than there was.
            Shortage::LocationBits => {
                MemoryBudget::with_reserve(|| self.replace_table(shard, writer, same, guard))
            }
            Shortage::Slab if is_wasteful(shard, table, DEAD_PARTS) => {
                MemoryBudget::with_reserve(|| self.replace_table(shard, writer, compacted, guard))
            }
            Shortage::Slab if can_split(table) => {
                self.split(shard, writer, newcomer, location_bits, guard)
            }
            Shortage::Slab if writer.slab_limit < MAX_SLAB_BYTES => {
                writer.slab_limit = MAX_SLAB_BYTES;
                Ok(())
            }
            Shortage::Slab if dead_bytes(shard, table) > 0 => {
                self.replace_table(shard, writer, compacted, guard)
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
        newcomer: Newcomer,
        same: Plan,
        guard: &Guard,
    ) -> Result<()> {
        let table = shard.table().load(guard);
        let shape = table.shape();
        let in_stash = table.stash_entries();
        let more_stash = Plan {
            shape: shape.with_more_stash(),
            ..same
        };
        if !shape.is_crowded(shard.totals().keys - in_stash) {
            return self.replace_table(shard, writer, more_stash, guard);
        }
        if let Some(larger) = shape.larger() {
            let larger = Plan {
                shape: larger.with_stash_for(in_stash),
                fresh_slab: is_wasteful(shard, table, DEAD_PARTS_AT_REBUILD),
                ..same
            };
            return self.replace_table(shard, writer, larger, guard);
        }
        if can_split(table) {
            return self.split(shard, writer, newcomer, same.location_bits, guard);
        }
        self.replace_table(shard, writer, more_stash, guard)
    }

    /// After removals: merges the shard, to which `hash` leads, with its sibling, or makes it smaller, if that is worth it. If
    /// memory is short it stays as it is until a later removal. Answers whether it is to be merged once the sibling is free.
    pub(super) fn make_smaller(
        &self,
        hash: u64,
        shard: &Shard,
        writer: &mut Writer,
        guard: &Guard,
    ) -> bool {
        let table = shard.table().load(guard);
        let (shape, keys) = (table.shape(), shard.totals().keys);
        let sparse = shape.is_sparse(keys, writer.removals);
        let wasteful = is_wasteful(shard, table, DEAD_PARTS)
            && dead_bytes(shard, table) > self.memory.slab_page_bytes;
        let looks = shape.is_due(writer.removals) && writer.removals >= writer.look_after;
        if writer.removals < writer.patience || !(sparse || wasteful || looks) {
            return false;
        }
        writer.look_after = writer.removals + LOOK_EVERY;
        MemoryBudget::with_reserve(|| {
            let merge = self.merge(hash, shard, writer, guard).unwrap_or(Merge::No);
            if merge != Merge::Done && (sparse || wasteful) {
                self.replace_by_smaller(shard, writer, sparse, wasteful, guard);
            }
            merge == Merge::Later
        })
    }

    fn replace_by_smaller(
        &self,
        shard: &Shard,
        writer: &mut Writer,
        sparse: bool,
        wasteful: bool,
        guard: &Guard,
    ) {
        let table = shard.table().load(guard);
        let (shape, keys) = (table.shape(), shard.totals().keys);
        let fitting = Shape::for_entries(keys);
        let smaller = sparse || fitting.slots() < shape.slots();
        let plan = Plan {
            shape: if smaller { fitting } else { shape },
            location_bits: table.encoding().location_bits(),
            fresh_slab: wasteful || is_wasteful(shard, table, DEAD_PARTS_AT_REBUILD),
        };
        if let Err(error) = self.replace_table(shard, writer, plan, guard) {
            debug_assert_eq!(error.kind(), ErrorKind::Memory);
            (writer.removals, writer.patience, writer.look_after) = (0, shape.slots() / 8, 0);
        }
    }

    pub(super) fn replace_table(
        &self,
        shard: &Shard,
        writer: &mut Writer,
        plan: Plan,
        guard: &Guard,
    ) -> Result<()> {
        let table = shard.table().load(guard);
        let source = Source {
            table,
            part: Part::All,
        };
        let built = self.build(&[source], plan, shard.totals(), guard)?;
        if let Some(appender) = built.appender {
            writer.appender = Some(appender);
        }
        // A table that only gets other locations is as sparse as before, and as soon to be made smaller.
        if plan.fresh_slab || built.table.shape() != table.shape() {
            (writer.removals, writer.patience, writer.look_after) = (0, 0, 0);
        }
        shard.table().store(built.table, guard);
        // The replaced table is large: let it be freed as soon as its last reader is gone.
        guard.flush();
        Ok(())
    }

    fn split(
        &self,
        shard: &Shard,
        writer: &mut Writer,
        newcomer: Newcomer,
        location_bits: u32,
        guard: &Guard,
    ) -> Result<()> {
        let totals = shard.totals();
        let table = shard.table().load(guard);
        let half = |half| {
            let source = Source {
                table,
                part: Part::Half(half),
            };
            let plan = Plan {
                shape: Shape::for_entries(totals.keys / 2),
                location_bits,
                fresh_slab: true,
            };
            self.build(&[source], plan, totals, guard)
        };
        let (mut lower, mut upper) = (half(Half::Lower)?, half(Half::Upper)?);
        // Which half the bytes of keys belong to that are not in memory is not worth reading them. The sum stays right.
        let share = u128::from(totals.key_bytes) * u128::from(lower.totals.keys);
        lower.totals.key_bytes = (share / u128::from(totals.keys.max(1))) as u64;
        upper.totals.key_bytes = totals.key_bytes.wrapping_sub(lower.totals.key_bytes);
        let shard = |half: Built| {
            let Built {
                table,
                appender,
                totals,
            } = half;
            self.memory.shard(table, appender, totals)
        };
        let halves = [shard(lower)?, shard(upper)?];
        let _one_change_at_a_time = self.restructuring.lock();
        let directory = self.directory.load(guard).split(newcomer.hash, halves)?;
        self.directory.store(directory, guard);
        writer.retired = true;
        guard.flush();
        Ok(())
    }
}

/// Whether the next hash bit divides the table's keys into two parts worth a shard each.
fn can_split(table: &Table) -> bool {
    if table.depth() >= MAX_DEPTH || table.encoding().fingerprint_bits() < 2 {
        return false;
    }
    let [lower, upper] = table.homes_per_half();
    lower.min(upper) * 4 > lower.max(upper)
}

/// Slab bytes that belong to no key any more.
fn dead_bytes(shard: &Shard, table: &Table) -> usize {
    table.slab_bytes() - shard.totals().record_bytes as usize
}

/// Whether more than one part in `parts` of the slab is dead.
pub(super) fn is_wasteful(shard: &Shard, table: &Table, parts: usize) -> bool {
    dead_bytes(shard, table) * parts > table.slab_bytes()
}
