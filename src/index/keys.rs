//! Where the keys are, and how an index that does not hold one learns of it.

use super::Location;
use super::hash::KeyHash;
use super::probe::{Comparison, Found};
use super::table::{NO_REFERENCE, Table};
use super::{Index, epoch::Guard};
use crate::error::{Error, ErrorKind, Result};

/// Where the keys live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyStorage {
    /// In memory, packed back to back: a miss or an overwrite reads no disk.
    #[default]
    InMemory,
    /// On disk only, in the records they belong to: some 7 bytes of RAM a key, however long it is. A get reads no
    /// more than with keys in memory; a put, a delete or an existence check of a key that is there reads its record.
    OnDisk,
}

/// Reads the keys of records, which is how an index compares keys that it does not hold. Calls may come from any
/// thread, also under the lock of a shard.
pub trait KeyReader: Send + Sync {
    /// Whether the record at `location` is one of `key`. Of a damaged record whose key reads as `key` it is.
    ///
    /// # Errors
    /// `Corrupt` if the record is damaged and does not read as one of `key`, so that it may or may not be; any other
    /// error means that it could not be looked at.
    fn matches(&self, guard: &Guard, location: Location, key: &[u8]) -> Result<bool>;

    /// Replaces the content of `key` by the key of the record at `location`, as it reads.
    ///
    /// # Errors
    /// `Corrupt` if no key can be read there, `Memory`, `Io`.
    fn read(&self, guard: &Guard, location: Location, key: &mut Vec<u8>) -> Result<()>;

    /// How many bytes the record at `location` takes on disk, if it can be seen in memory that it reads as a put of `key`, with nothing
    /// verified. `None` says nothing.
    fn reads_as(&self, _guard: &Guard, _location: Location, _key: &[u8]) -> Option<u64> {
        None
    }

    /// Asks for the beginning of the record at `location` to be brought near. Answers whether [`KeyReader::reads_as`] can see it.
    fn prefetch(&self, _guard: &Guard, _location: Location) -> bool {
        false
    }
}

impl<H: KeyHash> Index<H> {
    /// The entry of `key` in `table`.
    ///
    /// # Errors
    /// `Corrupt` if there is none but a damaged record may have been one of `key`; those of [`KeyReader::matches`].
    #[inline]
    pub(super) fn locate_in(
        &self,
        table: &Table,
        guard: &Guard,
        hash: u64,
        key: &[u8],
    ) -> Result<Option<Found>> {
        self.locate_before::<false>(table, guard, hash, key)
    }

    /// The same before the record is replaced. Its head will be read, and its key stands beside that, so that the one in memory
    /// need not be waited for.
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub(super) fn locate_to_replace(
        &self,
        table: &Table,
        guard: &Guard,
        hash: u64,
        key: &[u8],
    ) -> Result<Option<Found>> {
        self.locate_before::<true>(table, guard, hash, key)
    }

    /// The same, but the first entry whose record can be brought near passes for the one, and then it is not sure. `is_complete` says
    /// that all keys are in memory that belong there. For the holder of the lock.
    #[inline(always)]
    pub(super) fn locate_likely(
        &self,
        table: &Table,
        guard: &Guard,
        hash: u64,
        key: &[u8],
        is_complete: bool,
        is_sure: &mut bool,
    ) -> Result<Option<Found>> {
        if is_complete && table.encoding().has_many_tags() {
            let mut are_there_others = false;
            let likely = table.first(hash, |location| {
                let comes_near = self.reader.prefetch(guard, location);
                are_there_others |= !comes_near;
                comes_near
            });
            *is_sure = likely.is_none();
            if likely.is_some() || !are_there_others {
                return Ok(likely);
            }
        }
        self.locate_to_replace(table, guard, hash, key)
    }

    /// Asks for the records of all entries that may have `hash` to be brought near.
    #[inline]
    pub(super) fn prefetch_records(&self, guard: &Guard, hash: u64) {
        self.find(guard, hash, |location| {
            self.reader.prefetch(guard, location);
            None::<()>
        });
    }

    /// As [`KeyReader::reads_as`].
    #[inline]
    pub(super) fn reads_as(&self, guard: &Guard, location: Location, key: &[u8]) -> Option<u64> {
        self.reader.reads_as(guard, location, key)
    }

    #[inline(always)]
    fn locate_before<const REPLACES: bool>(
        &self,
        table: &Table,
        guard: &Guard,
        hash: u64,
        key: &[u8],
    ) -> Result<Option<Found>> {
        table.locate(hash, |reference, location| {
            self.compare::<REPLACES>(table, guard, reference, location, key)
        })
    }

    #[inline(always)]
    fn compare<const REPLACES: bool>(
        &self,
        table: &Table,
        guard: &Guard,
        reference: u32,
        location: Location,
        key: &[u8],
    ) -> Comparison {
        let matches = match table.keys() {
            Some(keys) if reference != NO_REFERENCE => {
                if REPLACES && let Some(bytes) = self.reader.reads_as(guard, location, key) {
                    return Comparison::Match(Some(bytes));
                }
                let matches = keys.slab().matches(reference, key);
                debug_assert!(matches.is_ok(), "a slot refers to a published key");
                Ok(matches.unwrap_or(false))
            }
            _ => self.reader.matches(guard, location, key),
        };
        Comparison::from(matches)
    }

    /// The key of the entry of `table` that has `location` and `reference`, in place or in `scratch`.
    ///
    /// # Errors
    /// Those of [`KeyReader::read`]; `Invalid` for an entry that is only reserved, if keys are on disk.
    pub(super) fn key_of<'a>(
        &self,
        table: &'a Table,
        guard: &Guard,
        location: Option<Location>,
        reference: u32,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8]> {
        match table.keys() {
            Some(keys) if reference != NO_REFERENCE => keys.slab().key(reference, scratch),
            _ => {
                let location = location.ok_or_else(|| {
                    Error::new(ErrorKind::Invalid, "a reserved entry's key is not known")
                })?;
                self.reader.read(guard, location, scratch)?;
                Ok(scratch)
            }
        }
    }
}
