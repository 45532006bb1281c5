//! Batches: operations that are written together or not at all.

use super::packed::{MAX_BATCH_BYTES, Operation, PackedOperations};
use super::packing::{End, Packing};
use crate::error::{Error, ErrorKind, Result};
#[cfg(doc)]
use crate::log::record::MAX_VALUE_LEN;

pub use crate::memory::batch_arena::Profile as BatchProfile;

/// Puts and deletes to be written together by [`Store::write`](super::Store::write), in order: of several operations on
/// one key the last one counts.
///
/// A batch belongs to no store. It keeps copies of what it is given, may be written again, and to another store.
///
/// ```
/// use freyja::store::{Batch, Options, Store};
///
/// # fn main() -> freyja::Result<()> {
/// # let directory = tempfile::tempdir().expect("a temporary directory");
/// # let path = directory.path();
/// let store = Store::open(path, &Options::default())?;
/// let mut batch = Batch::new();
/// batch.put(b"from", b"90")?;
/// let before = batch.savepoint()?;
/// batch.put(b"to", b"1000")?;
/// batch.rollback_to(before)?; // a slip of the pen
/// batch.put(b"to", b"110")?;
/// store.write(&batch)?; // both or none, whatever happens
/// assert_eq!(store.get(b"to")?.as_deref(), Some(&b"110"[..]));
/// # store.close()
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Batch {
    packing: Packing,
    savepoints: Vec<Mark>,
    next_savepoint: u64,
}

/// A state of a batch, to come back to with [`Batch::rollback_to`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint(u64);

/// What a batch was at a savepoint.
#[derive(Clone, Copy, Debug)]
struct Mark {
    savepoint: Savepoint,
    end: End,
}

impl Batch {
    /// An empty batch, which needs no memory yet. Earlier batches of the process tell how much it will take at first, and it may
    /// grow to [`MAX_BATCH_BYTES`].
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch that is expected to be as large as `profile` says, as others were if that is `None`, and may count
    /// `limit_bytes` as [`MAX_BATCH_BYTES`] counts them. Without a limit that is [`BatchProfile::limit_bytes`] if there is a
    /// profile, and [`MAX_BATCH_BYTES`], which it never exceeds, if there is none.
    pub fn with(profile: Option<BatchProfile>, limit_bytes: Option<u64>) -> Self {
        let limit_bytes = limit_bytes.or(profile.map(BatchProfile::limit_bytes));
        let limit_bytes = limit_bytes.map_or(MAX_BATCH_BYTES, |it| it.min(MAX_BATCH_BYTES));
        Self {
            packing: Packing::new(profile, limit_bytes),
            ..Self::default()
        }
    }

    /// Adds a put of a copy of `value` under a copy of `key`. Both may be empty.
    ///
    /// Fails with [`ErrorKind::TooLarge`] for a key above [`MAX_KEY_LEN`](crate::log::record::MAX_KEY_LEN) or a value above
    /// [`MAX_VALUE_LEN`] bytes, and if the batch would exceed its limit; with [`ErrorKind::Memory`]. The batch is
    /// then as it was.
    #[inline(always)]
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_expiring(key, value, 0)
    }

    /// Adds a put as [`Batch::put`] does, of a pair that expires at the moment `expires_at_ms`, in milliseconds since
    /// 1970-01-01 UTC; 0 stands for never. See [`Store::put_expiring`](super::Store::put_expiring).
    #[inline(always)]
    pub fn put_expiring(&mut self, key: &[u8], value: &[u8], expires_at_ms: u64) -> Result<()> {
        self.packing.add(&Operation {
            key,
            value: Some(value),
            expires_at_ms: Some(expires_at_ms).filter(|&moment| moment > 0),
        })
    }

    /// Adds a deletion of `key`, whether it is there or not. Fails as [`Batch::put`] does.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.packing.add(&Operation {
            key,
            value: None,
            expires_at_ms: None,
        })
    }

    /// Takes out all operations and forgets all savepoints. Memory for operations of a mebibyte at most is kept.
    pub fn clear(&mut self) {
        self.packing.clear();
        self.savepoints.clear();
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.packed().len()
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.packed().is_empty()
    }

    /// Remembers the batch as it is now. Savepoints nest. Fails with [`ErrorKind::Memory`].
    pub fn savepoint(&mut self) -> Result<Savepoint> {
        let reserved = self.savepoints.try_reserve(1);
        reserved.map_err(|_| Error::memory("a savepoint"))?;
        let savepoint = Savepoint(self.next_savepoint);
        // Never the same twice, so that one that has been forgotten is recognised.
        self.next_savepoint += 1;
        self.savepoints.push(Mark {
            savepoint,
            end: self.packing.end(),
        });
        Ok(savepoint)
    }

    /// Takes out all operations added since `savepoint`, which stays, and forgets later savepoints.
    /// Fails with [`ErrorKind::Invalid`] if it is none of this batch or was forgotten.
    pub fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        let found = self
            .savepoints
            .binary_search_by_key(&savepoint.0, |mark| mark.savepoint.0);
        let Ok(place) = found else {
            let message = format!(
                "savepoint {} is not one of this batch, or an earlier rollback or clearing has forgotten it",
                savepoint.0
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        self.packing.cut(self.savepoints[place].end);
        self.savepoints.truncate(place + 1);
        Ok(())
    }

    /// The operations in order.
    pub fn operations(&self) -> impl Iterator<Item = Operation<'_>> + Clone {
        self.packed().iter()
    }

    /// Bytes of memory that the batch takes for its operations, used or not yet, with all that it needs to know of them.
    pub fn memory_bytes(&self) -> usize {
        self.packing.bytes()
    }

    /// The operations as they lie in memory.
    pub fn packed(&self) -> PackedOperations<'_> {
        self.packing.operations()
    }
}

impl From<Savepoint> for u64 {
    fn from(savepoint: Savepoint) -> Self {
        savepoint.0
    }
}

impl From<u64> for Savepoint {
    /// The savepoint that was turned into `number`, if it was one.
    fn from(number: u64) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests;
