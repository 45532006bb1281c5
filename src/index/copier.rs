//! Carrying entries from one table, or two, to another, new one.

use super::displaced::{Displaced, DisplacedList};
use super::filling::copy_key;
use super::hash::KeyHash;
use super::shard::Totals;
use super::table::{Half, NO_REFERENCE, Stored, Table};
use super::{Index, epoch::Guard};
use crate::error::Result;
use crate::memory::key_slab::KeyAppender;

/// What became of an attempt to fill a table.
pub(super) enum Filled {
    /// Besides those that are placed, so many entries found no place.
    Placed { totals: Totals, homeless: u64 },
    /// A key that had to be hashed could not be read.
    KeyUnreadable,
}

/// Which entries of a table are taken into a new one, and for which shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All, for the same shard.
    All,
    /// Those of a half of the shard, which becomes one of its own.
    Half(Half),
    /// All, for a shard of which the table's is this half.
    Into(Half),
}

impl Part {
    /// The depth of the new shard if the old one has `depth`.
    pub(super) fn depth(self, depth: u32) -> u32 {
        match self {
            Self::All => depth,
            Self::Half(_) => depth + 1,
            Self::Into(_) => depth - 1,
        }
    }

    pub(super) fn is_half(self) -> bool {
        matches!(self, Self::Half(_))
    }

    /// The half whose entries it is enough to meet.
    fn half(self) -> Option<Half> {
        match self {
            Self::Half(half) => Some(half),
            Self::All | Self::Into(_) => None,
        }
    }
}

/// A table from which entries are taken.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) table: &'a Table,
    pub(super) part: Part,
}

impl Source<'_> {
    /// How many bits of a hash below those of the new shard are known of each entry.
    pub(super) fn known_bits(&self) -> u32 {
        let bits = self.table.encoding().fingerprint_bits();
        match self.part {
            Part::All => bits,
            Part::Half(_) => bits - 1,
            Part::Into(_) => bits + 1,
        }
    }

    /// What is known of an entry's hash below the bits of the new shard, from its `fingerprint` here.
    #[inline]
    fn known(&self, fingerprint: u64) -> u64 {
        let bits = self.table.encoding().fingerprint_bits();
        match self.part {
            Part::All | Part::Into(Half::Lower) => fingerprint,
            // The first bit is the shard's now.
            Part::Half(_) => fingerprint & ((1 << (bits - 1)) - 1),
            // The shard's last bit comes before the others.
            Part::Into(Half::Upper) => fingerprint | 1 << bits,
        }
    }
}

/// Carries entries to a new table.
pub(super) struct Copier<'a, H: KeyHash> {
    index: &'a Index<H>,
    table: &'a Table,
    /// Takes copies of the keys, if the new table has a slab of its own.
    appender: Option<&'a mut KeyAppender>,
    guard: &'a Guard,
    totals: Totals,
    /// Entries whose home was full when they came.
    displaced: DisplacedList,
    scratch: Vec<u8>,
}

impl<'a, H: KeyHash> Copier<'a, H> {
    pub(super) fn new(
        index: &'a Index<H>,
        table: &'a Table,
        appender: Option<&'a mut KeyAppender>,
        guard: &'a Guard,
    ) -> Result<Self> {
        Ok(Self {
            index,
            table,
            appender,
            guard,
            totals: Totals::default(),
            displaced: DisplacedList::new(index.memory.arena.clone())?,
            scratch: Vec::new(),
        })
    }

    /// Copies the entries of all `sources`, with fingerprints from their keys' hashes if these are to be had again.
    ///
    /// Only entries whose home is full are placed at the end, so that few others lose theirs to them.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn copy(mut self, sources: &[Source<'_>], hash_again: bool) -> Result<Filled> {
        for source in sources {
            if !self.copy_homes(source, hash_again)? {
                return Ok(Filled::KeyUnreadable);
            }
        }
        let homeless = self.place_elsewhere();
        let mut totals = self.totals;
        totals.keys -= homeless;
        if let Some(appender) = &self.appender {
            totals.record_bytes = appender.slab().published_bytes() as u64;
        }
        Ok(Filled::Placed { totals, homeless })
    }

    /// Copies those entries of `source` whose homes have room, and notes the others; `false` if a key that was to be hashed
    /// could not be read.
    ///
    /// Fingerprints are in the order of the buckets, so that both tables are walked through from one end to the other.
    fn copy_homes(&mut self, source: &Source<'_>, hash_again: bool) -> Result<bool> {
        let Source { table: old, part } = *source;
        let table = self.table;
        let dropped_bits = source
            .known_bits()
            .saturating_sub(table.encoding().fingerprint_bits());
        let mut all_readable = true;
        let mut bucket = usize::MAX;
        old.for_each_of(part.half(), |stored| {
            let fingerprint = old.fingerprint(&stored);
            // An entry that is only reserved belongs to no half: who reserves it does so again in the half it leads to.
            let is_wanted = |half| half == old.half(fingerprint) && stored.location.is_some();
            if !all_readable || !part.half().is_none_or(is_wanted) {
                return Ok(());
            }
            let fingerprint = if hash_again {
                let hashed = self.hash_again(old, &stored, fingerprint);
                all_readable = hashed.is_some();
                match hashed {
                    Some(fingerprint) => fingerprint,
                    None => return Ok(()),
                }
            } else {
                source.known(fingerprint) >> dropped_bits
            };
            let mut reference = stored.reference;
            if let Some(keys) = old.keys() {
                if self.appender.is_some() && bucket != stored.position.bucket {
                    bucket = stored.position.bucket;
                    old.prefetch_keys_ahead(part.half(), bucket);
                }
                self.totals.missing += u64::from(reference == NO_REFERENCE);
                let appender = self.appender.as_deref_mut();
                reference = copy_key(keys.slab(), reference, appender, &mut self.scratch)?;
            }
            self.totals.keys += 1;
            if !table.put_home(fingerprint, stored.location, reference) {
                self.displaced.push(Displaced {
                    fingerprint,
                    location: stored.location,
                    reference,
                })?;
            }
            Ok(())
        })?;
        Ok(all_readable)
    }

    /// Places entries whose home is full, and answers for how many there is no place.
    fn place_elsewhere(&self) -> u64 {
        let mut homeless = 0;
        for entry in self.displaced.iter() {
            match self.table.reserve(entry.fingerprint) {
                Some(place) => self.table.fill(&place, entry.location, entry.reference),
                None => homeless += 1,
            }
        }
        homeless
    }

    /// The new fingerprint of an entry of `old` from its key, or `None` if that cannot be read: if it reads, but its hash is
    /// not the one that is known, it was damaged.
    fn hash_again(&mut self, old: &Table, stored: &Stored, fingerprint: u64) -> Option<u64> {
        let key = self
            .index
            .key_of(old, self.guard, stored, &mut self.scratch);
        let hash = self.index.hash(key.ok()?);
        let known = old.encoding().fingerprint_of(hash);
        let encoding = self.table.encoding();
        (known == fingerprint).then(|| encoding.fingerprint_of(hash))
    }
}
