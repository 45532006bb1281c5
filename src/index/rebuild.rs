//! Building a table out of another one: of each entry so much of the hash is known that its key is not needed.

use super::copier::{Copier, Filled};
use super::encoding::Encoding;
use super::hash::KeyHash;
use super::shape::Shape;
use super::shard::Totals;
use super::table::{Half, Table};
use super::{Index, epoch::Guard};
use crate::error::Result;
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
                table.take_over(source, appender.as_mut())?;
                Filled::Placed {
                    totals,
                    homeless: 0,
                }
            } else {
                let copier = Copier {
                    index: self,
                    source,
                    half: plan.half,
                    table: &table,
                    appender: appender.as_mut(),
                    guard,
                };
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

/// A shape to try after one in which `homeless` of the entries found no place.
fn roomier(shape: Shape, table: &Table, placed: u64, homeless: u64) -> Shape {
    let in_stash = table.stash_entries();
    let larger = shape
        .larger()
        .filter(|_| shape.is_crowded(placed - in_stash));
    let shape = larger.unwrap_or(shape.with_more_stash());
    shape.with_stash_for(in_stash + homeless)
}
