//! Entries that are found, or made, after the record has been written that they are to lead to, so that memory is waited for meanwhile.

use parking_lot::MutexGuard;

use super::entry::{Entry, Locked, Occupied, Vacant};
use super::hash::{KeyHash, SeededHash};
use super::shard::Writer;
use super::{Index, check_key_length, reserve};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::epoch::Guard;

/// What [`Index::likely_entry`] found.
pub enum Prospect<'i, H: KeyHash = SeededHash> {
    /// What [`Index::entry`] finds.
    Sure(Entry<'i, H>),
    /// An entry that is the key's in all likelihood.
    Likely(Likely<'i, H>),
    /// Nothing has been looked at yet.
    Unseen(Unseen<'i, H>),
}

/// The entry that has the tag of a key, and whose record is on its way from memory. The key's shard is locked.
pub struct Likely<'i, H: KeyHash = SeededHash> {
    occupied: Occupied<'i, H>,
}

/// The shard of a key that is new in all likelihood, locked. What a lookup of the key reads is on its way from memory.
pub struct Unseen<'i, H: KeyHash = SeededHash> {
    locked: Locked<'i, H>,
}

/// What confirming came to.
pub enum Confirmation<'i, H: KeyHash = SeededHash> {
    /// The key's entry.
    Entry(Entry<'i, H>),
    /// There is none, nor room for one.
    Refuted(Refuted<'i>),
}

/// Why a prospect did not lead to an entry. The key's shard stays locked until this is dropped.
pub struct Refuted<'i> {
    _locked: MutexGuard<'i, Writer>,
    /// `None` if the key is certainly not there, and has no room; else why that cannot be known.
    pub error: Option<Error>,
}

impl<H: KeyHash> Index<H> {
    /// As [`Index::likely_entry`] for a key that is new in all likelihood. `None` where that could not be confirmed without a failure, or
    /// might lack room: then the entry has to be made before the record is written.
    ///
    /// # Errors
    /// `TooLarge` as in [`Index::entry`].
    #[inline(always)]
    pub fn unseen_entry<'i>(
        &'i self,
        guard: &'i Guard,
        hash: u64,
        key: &[u8],
        location_bits: u32,
    ) -> Result<Option<Unseen<'i, H>>> {
        check_key_length(key)?;
        let table = self.table(guard, hash);
        // Where all keys are in memory, none is read from a record, which might fail.
        if table.keys().is_none() {
            return Ok(None);
        }
        table.prefetch_probe(hash);
        let locked = self.lock_table(guard, hash);
        let Locked {
            shard,
            writer,
            table,
            ..
        } = &locked;
        let has_room = table.encoding().location_bits() >= location_bits
            && table.shape().is_roomy(shard.keys())
            && !writer.is_slab_short(table, key.len());
        let is_fit = has_room && shard.missing_keys() == 0;
        Ok(is_fit.then_some(Unseen { locked }))
    }
}

impl<'i, H: KeyHash> Likely<'i, H> {
    pub(super) fn new(occupied: Occupied<'i, H>) -> Self {
        Self { occupied }
    }

    /// The entry of `key`, which must be the key that [`Index::likely_entry`] was given. Its shard has been locked all the time, and
    /// stays so. Takes no memory. As in [`Index::entry`], damaged records do not count.
    #[inline]
    pub fn confirm(self, key: &[u8]) -> Confirmation<'i, H> {
        let mut occupied = self.occupied;
        let Occupied { locked, found, .. } = &occupied;
        let stored_bytes = locked.index.reads_as(locked.guard, found.location, key);
        if stored_bytes.is_none() {
            return Self { occupied }.confirm_exactly(key);
        }
        occupied.found.stored_bytes = stored_bytes;
        Confirmation::Entry(Entry::Occupied(occupied))
    }

    #[cold]
    fn confirm_exactly(self, key: &[u8]) -> Confirmation<'i, H> {
        let locked = self.occupied.locked;
        Unseen { locked }.confirm(key)
    }
}

impl<'i, H: KeyHash> Unseen<'i, H> {
    /// As [`Likely::confirm`].
    #[inline(always)]
    pub fn confirm(self, key: &[u8]) -> Confirmation<'i, H> {
        let mut locked = self.locked;
        let Locked {
            index,
            guard,
            shard,
            table,
            hash,
            ..
        } = locked;
        let key_length = key.len();
        let error = match index.locate_to_replace(table, guard, hash, key) {
            Ok(Some(found)) => {
                return Confirmation::Entry(Entry::Occupied(Occupied {
                    locked,
                    found,
                    key_length,
                }));
            }
            Err(error) if error.kind() != ErrorKind::Corrupt => Some(error),
            Ok(None) | Err(_) => match reserve(table, &mut locked.writer, hash, key) {
                Ok(Ok((place, reference))) => {
                    return Confirmation::Entry(Entry::Vacant(Vacant {
                        shard,
                        table,
                        place,
                        reference,
                        key_length,
                        writer: locked.writer,
                    }));
                }
                Ok(Err(_)) | Err(_) => None,
            },
        };
        Confirmation::Refuted(Refuted {
            _locked: locked.writer,
            error,
        })
    }
}
