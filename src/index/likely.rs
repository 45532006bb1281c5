//! Entries that are taken for a key's before their records have come from memory.

use super::entry::{Entry, Occupied, Vacant};
use super::hash::{KeyHash, SeededHash};
use super::reserve;
use crate::error::{Error, ErrorKind};

/// What [`super::Index::likely_entry`] found.
pub enum Prospect<'i, H: KeyHash = SeededHash> {
    /// What [`super::Index::entry`] finds.
    Sure(Entry<'i, H>),
    /// An entry that is the key's in all likelihood.
    Likely(Likely<'i, H>),
}

/// The entry that has the tag of a key, and whose record is on its way from memory. The key's shard is locked.
pub struct Likely<'i, H: KeyHash = SeededHash> {
    occupied: Occupied<'i, H>,
}

/// What confirming came to.
pub enum Confirmation<'i, H: KeyHash = SeededHash> {
    /// The key's entry.
    Entry(Entry<'i, H>),
    /// There is none, nor room for one.
    Refuted(Refuted<'i, H>),
}

/// Why a likely entry did not lead to one. The key's shard stays locked until this is dropped.
pub struct Refuted<'i, H: KeyHash = SeededHash> {
    _locked: Occupied<'i, H>,
    /// `None` if the key is certainly not there, and has no room; else why that cannot be known.
    pub error: Option<Error>,
}

impl<'i, H: KeyHash> Likely<'i, H> {
    pub(super) fn new(occupied: Occupied<'i, H>) -> Self {
        Self { occupied }
    }

    /// The entry of `key`, which must be the key that [`super::Index::likely_entry`] was given. Its shard has been locked all the time, and
    /// stays so. Takes no memory. As in [`super::Index::entry`], damaged records do not count.
    #[inline]
    pub fn confirm(self, key: &[u8]) -> Confirmation<'i, H> {
        let Occupied {
            index,
            guard,
            found,
            ..
        } = &self.occupied;
        match index.reads_as(guard, found.location, key) {
            true => Confirmation::Entry(Entry::Occupied(self.occupied)),
            false => self.confirm_exactly(key),
        }
    }

    #[cold]
    fn confirm_exactly(self, key: &[u8]) -> Confirmation<'i, H> {
        let mut occupied = self.occupied;
        let Occupied {
            index,
            guard,
            shard,
            writer,
            table,
            hash,
            found,
            key_length,
        } = &mut occupied;
        let error = match index.locate_to_replace(table, guard, *hash, key) {
            Ok(Some(exact)) => {
                *found = exact;
                return Confirmation::Entry(Entry::Occupied(occupied));
            }
            Err(error) if error.kind() != ErrorKind::Corrupt => Some(error),
            Ok(None) | Err(_) => match reserve(table, writer, *hash, key) {
                Ok(Ok((place, reference))) => {
                    return Confirmation::Entry(Entry::Vacant(Vacant {
                        shard,
                        table,
                        place,
                        reference,
                        key_length: *key_length,
                        writer: occupied.writer,
                    }));
                }
                Ok(Err(_)) | Err(_) => None,
            },
        };
        Confirmation::Refuted(Refuted {
            _locked: occupied,
            error,
        })
    }
}
