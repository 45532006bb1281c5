//! Carrying entries from one table to another, new one.

use super::filling::copy_key;
use super::hash::KeyHash;
use super::shard::Totals;
use super::table::{Half, NO_REFERENCE, Stored, Table};
use super::{Index, Location, epoch::Guard};
use crate::error::{Error, Result};
use crate::memory::key_slab::KeyAppender;

/// What became of an attempt to fill a table.
pub(super) enum Filled {
    /// Besides those that are placed, so many entries found no place.
    Placed { totals: Totals, homeless: u64 },
    /// A key that had to be hashed could not be read.
    KeyUnreadable,
}

/// An entry whose home was full when it came, as the new table will know it.
struct Displaced {
    fingerprint: u64,
    location: Option<Location>,
    reference: u32,
}

/// Carries entries from one table to another.
pub(super) struct Copier<'a, H: KeyHash> {
    pub(super) index: &'a Index<H>,
    pub(super) source: &'a Table,
    /// The half of the entries to take; `None` takes all.
    pub(super) half: Option<Half>,
    pub(super) table: &'a Table,
    /// Takes copies of the keys, if the new table has a slab of its own.
    pub(super) appender: Option<&'a mut KeyAppender>,
    pub(super) guard: &'a Guard,
}

impl<H: KeyHash> Copier<'_, H> {
    /// Copies the planned entries, with fingerprints from their keys' hashes if these are to be had again.
    ///
    /// Fingerprints are in the order of the buckets, so that both tables are walked through from one end to the other.
    /// Only entries whose home is full are placed at the end, so that few others lose theirs to them.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn copy(mut self, hash_again: bool) -> Result<Filled> {
        let (source, table) = (self.source, self.table);
        let known_bits = source.encoding().fingerprint_bits() - u32::from(self.half.is_some());
        let dropped_bits = known_bits.saturating_sub(table.encoding().fingerprint_bits());
        let mut totals = Totals::default();
        let mut displaced = Vec::new();
        let mut scratch = Vec::new();
        let mut all_readable = true;
        let mut bucket = usize::MAX;
        source.for_each_of(self.half, |stored| {
            let fingerprint = source.fingerprint(&stored);
            // An entry that is only reserved belongs to no half: who reserves it does so again in the half it leads to.
            let is_wanted = |half| half == source.half(fingerprint) && stored.location.is_some();
            if !all_readable || !self.half.is_none_or(is_wanted) {
                return Ok(());
            }
            let fingerprint = if hash_again {
                let hashed = self.hash_again(&stored, fingerprint, &mut scratch);
                all_readable = hashed.is_some();
                match hashed {
                    Some(fingerprint) => fingerprint,
                    None => return Ok(()),
                }
            } else {
                // In a half, the first bit is the shard's.
                (fingerprint & ((1 << known_bits) - 1)) >> dropped_bits
            };
            let mut reference = stored.reference;
            if let Some(keys) = source.keys() {
                if self.appender.is_some() && bucket != stored.position.bucket {
                    bucket = stored.position.bucket;
                    source.prefetch_keys_ahead(self.half, bucket);
                }
                totals.missing += u64::from(reference == NO_REFERENCE);
                let appender = self.appender.as_deref_mut();
                reference = copy_key(keys.slab(), reference, appender, &mut scratch)?;
            }
            totals.keys += 1;
            if !table.put_home(fingerprint, stored.location, reference) {
                let reserved = displaced.try_reserve(1);
                reserved.map_err(|_| Error::memory("copying a table"))?;
                displaced.push(Displaced {
                    fingerprint,
                    location: stored.location,
                    reference,
                });
            }
            Ok(())
        })?;
        if !all_readable {
            return Ok(Filled::KeyUnreadable);
        }
        let homeless = self.place_elsewhere(&displaced);
        totals.keys -= homeless;
        if let Some(appender) = &self.appender {
            totals.record_bytes = appender.slab().published_bytes() as u64;
        }
        Ok(Filled::Placed { totals, homeless })
    }

    /// Places entries whose home is full, and answers for how many there is no place.
    fn place_elsewhere(&self, displaced: &[Displaced]) -> u64 {
        let mut homeless = 0;
        for entry in displaced {
            match self.table.reserve(entry.fingerprint) {
                Some(place) => self.table.fill(&place, entry.location, entry.reference),
                None => homeless += 1,
            }
        }
        homeless
    }

    /// The new fingerprint of an entry from its key, or `None` if that cannot be read: if it reads, but its hash is not
    /// the one that is known, it was damaged.
    fn hash_again(&self, stored: &Stored, fingerprint: u64, scratch: &mut Vec<u8>) -> Option<u64> {
        let source = self.source;
        let key = self.index.key_of(source, self.guard, stored, scratch);
        let hash = self.index.hash(key.ok()?);
        let known = source.encoding().fingerprint_of(hash, source.depth());
        let encoding = self.table.encoding();
        (known == fingerprint).then(|| encoding.fingerprint_of(hash, self.table.depth()))
    }
}
