//! Carrying entries from one table, or two, to another, new one.

use super::carried::{Carriage, Carried};
use super::displaced::DisplacedList;
use super::filling::copy_key;
use super::hash::KeyHash;
use super::shard::Totals;
use super::table::{Half, NO_REFERENCE, Table};
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

    /// Which bits of an entry's fingerprint here are not known below those of the new shard, because it has them itself, and
    /// which are known besides.
    fn dropped_and_added(&self) -> (u64, u64) {
        let bits = self.table.encoding().fingerprint_bits();
        match self.part {
            Part::All | Part::Into(Half::Lower) => (0, 0),
            // The first bit is the shard's now.
            Part::Half(_) => (1 << (bits - 1), 0),
            // The shard's last bit comes before the others.
            Part::Into(Half::Upper) => (0, 1 << bits),
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
        let (old_encoding, encoding) = (old.encoding(), self.table.encoding());
        assert!(
            old_encoding.location_bits() <= encoding.location_bits(),
            "the new table has room for all locations"
        );
        let too_many = source
            .known_bits()
            .saturating_sub(encoding.fingerprint_bits());
        let (dropped, added) = source.dropped_and_added();
        let keys = old.keys().filter(|_| self.appender.is_some());
        let slab = keys.map(|keys| keys.slab().view()).transpose()?;
        let mut carriage = Carriage::new();
        for number in 0..old.stash().end {
            carriage.load(old, number, part.half());
            let entries = carriage.entries();
            self.totals.keys += entries.len() as u64;
            if hash_again && !self.hash_again(old, entries) {
                return Ok(false);
            }
            if let (Some(appender), Some(slab)) = (&mut self.appender, &slab) {
                // Of a whole shard it is known.
                if part.is_half() {
                    self.totals.missing += missing(entries);
                }
                old.prefetch_keys_ahead(part.half(), number, slab);
                for entry in &mut *entries {
                    entry.reference = copy_key(slab, entry.reference, appender, &mut self.scratch)?;
                }
            }
            for entry in entries {
                if !hash_again {
                    let known = entry.fingerprint & !dropped | added;
                    entry.fingerprint = known.wrapping_shr(too_many);
                }
                if !self.table.put_home(entry) {
                    self.displaced.push(*entry)?;
                }
            }
        }
        Ok(true)
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

    /// Gives `entries` of `old` the fingerprints of their keys' hashes; `false` if one cannot be read, or reads, but has not the
    /// hash that is known of it: then it was damaged.
    #[cold]
    fn hash_again(&mut self, old: &Table, entries: &mut [Carried]) -> bool {
        let encoding = self.table.encoding();
        entries.iter_mut().all(|entry| {
            let (location, reference) = (entry.location, entry.reference);
            let scratch = &mut self.scratch;
            let key = self
                .index
                .key_of(old, self.guard, location, reference, scratch);
            let Ok(key) = key else {
                return false;
            };
            let hash = self.index.hash(key);
            let known = entry.fingerprint;
            entry.fingerprint = encoding.fingerprint_of(hash);
            known == old.encoding().fingerprint_of(hash)
        })
    }
}

/// How many of `entries` have no key in memory.
#[inline]
fn missing(entries: &[Carried]) -> u64 {
    let missing = entries
        .iter()
        .filter(|entry| entry.reference == NO_REFERENCE);
    missing.count() as u64
}
