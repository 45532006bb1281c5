//! Building a table out of another one: of each entry so much of the hash is known that its key is not needed.

use super::copier::{Copier, Filled, Part, Source};
use super::encoding::Encoding;
use super::hash::KeyHash;
use super::shape::Shape;
use super::shard::Totals;
use super::table::Table;
use super::{Index, epoch::Guard};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::key_slab::KeyAppender;
use crate::memory::placed::Placed;

/// What a new table is to be like.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    pub(super) location_bits: u32,
    /// Copy the keys into a slab of their own, leaving dead ones behind, instead of sharing the old slab.
    pub(super) fresh_slab: bool,
}

/// A table with all that belongs to it.
pub(super) struct Built {
    pub(super) table: Placed<Table>,
    /// The appender of the table's slab if that is a fresh one.
    pub(super) appender: Option<KeyAppender>,
    /// Those of the sources if all was taken; of a half, all but the bytes of the keys, which are left 0.
    pub(super) totals: Totals,
}

impl<H: KeyHash> Index<H> {
    /// Builds what `plan` says out of `sources`, one table or the two of siblings, whose entries amount to `totals`, with
    /// more room if hashes turn out to collide. The keys of more than one go into a fresh slab.
    ///
    /// Should the tags become few, which is rare, all keys are hashed again; if one of them cannot be read, they stay
    /// few instead: that costs time in comparing, not correctness.
    pub(super) fn build(
        &self,
        sources: &[Source<'_>],
        mut plan: Plan,
        totals: Totals,
        guard: &Guard,
    ) -> Result<Built> {
        let [Source { table: first, part }, ..] = *sources else {
            return Err(Error::new(ErrorKind::Invalid, "a table of nothing"));
        };
        debug_assert!(sources.len() == 1 || plan.fresh_slab);
        let depth = part.depth(first.depth());
        let known = sources.iter().map(Source::known_bits).min();
        let known = known.filter(|_| totals.keys > 0);
        let mut keys_are_readable = true;
        loop {
            let buckets = plan.shape.main;
            let mut encoding = Encoding::new(buckets, depth, plan.location_bits, known);
            let hash_again = keys_are_readable && encoding.is_poor();
            if hash_again {
                encoding = Encoding::new(buckets, depth, plan.location_bits, None);
            }
            let (table, mut appender) = if plan.fresh_slab {
                self.memory.table(plan.shape, encoding)?
            } else {
                let memory = &self.memory;
                let table = memory.table_sharing_keys(first, plan.shape, encoding)?;
                (table, None)
            };
            table.touch();
            let same_places =
                part == Part::All && plan.shape == first.shape() && encoding == *first.encoding();
            let filled = if same_places {
                table.take_over(first, appender.as_mut())?;
                Filled::Placed {
                    totals,
                    homeless: 0,
                }
            } else {
                Copier::new(self, &table, appender.as_mut(), guard)?.copy(sources, hash_again)?
            };
            match filled {
                Filled::Placed {
                    totals: copied,
                    homeless: 0,
                } => {
                    let totals = if part.is_half() { copied } else { totals };
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
pub(super) fn roomier(shape: Shape, table: &Table, placed: u64, homeless: u64) -> Shape {
    let in_stash = table.stash_entries();
    let larger = shape
        .larger()
        .filter(|_| shape.is_crowded(placed - in_stash));
    let shape = larger.unwrap_or(shape.with_more_stash());
    shape.with_stash_for(in_stash + homeless)
}
