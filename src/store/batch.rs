//! Batches: operations that are written together or not at all.

use crate::error::{Error, ErrorKind, Result};
#[cfg(doc)]
use crate::log::record::MAX_VALUE_LEN;
use crate::log::record::{Fields, Kind, MAX_HEAD_LEN};

use super::write::check_lengths;

/// Most bytes of a batch, where each operation counts [`OPERATION_BYTES`] besides its key and value.
pub const MAX_BATCH_BYTES: u64 = (1 << 32) - 1;

/// What an operation of a batch counts besides its key and value: no less than its record takes in the log.
pub const OPERATION_BYTES: u64 = 48;

const _: () = assert!(OPERATION_BYTES >= MAX_HEAD_LEN as u64 + 15);

/// Before each key: the key's length and, in the highest bits, whether it is a deletion or expires; the value's length.
const HEAD: usize = 8;
const DELETES: u32 = 1 << 31;
/// Behind the head of a put that expires: when. Keys are far shorter than these two bits allow.
const EXPIRES: u32 = 1 << 30;
const EXPIRY: usize = 8;

/// How much memory an emptied batch keeps for the next use.
const KEPT: usize = 1 << 20;

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
    /// The operations back to back: head, key, value.
    staged: Vec<u8>,
    count: u32,
    /// Bytes of keys and values, and [`OPERATION_BYTES`] for each operation.
    bytes: u64,
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
    staged: usize,
    count: u32,
    bytes: u64,
}

/// An operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation<'b> {
    /// The key.
    pub key: &'b [u8],
    /// Its new value; `None` if it is deleted.
    pub value: Option<&'b [u8]>,
    /// When the pair expires, in milliseconds since 1970-01-01 UTC; `None` if never.
    pub expires_at_ms: Option<u64>,
}

impl Batch {
    /// An empty batch, which needs no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put of a copy of `value` under a copy of `key`. Both may be empty.
    ///
    /// Fails with [`ErrorKind::TooLarge`] for a key above [`MAX_KEY_LEN`](crate::log::record::MAX_KEY_LEN) or a value above
    /// [`MAX_VALUE_LEN`] bytes, and if the batch would exceed [`MAX_BATCH_BYTES`]; with [`ErrorKind::Memory`]. The batch is
    /// then as it was.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.add(key, value, 0, None)
    }

    /// Adds a put as [`Batch::put`] does, of a pair that expires at the moment `expires_at_ms`, in milliseconds since
    /// 1970-01-01 UTC; 0 stands for never. See [`Store::put_expiring`](super::Store::put_expiring).
    pub fn put_expiring(&mut self, key: &[u8], value: &[u8], expires_at_ms: u64) -> Result<()> {
        match expires_at_ms {
            0 => self.put(key, value),
            moment => self.add(key, value, EXPIRES, Some(moment)),
        }
    }

    /// Adds a deletion of `key`, whether it is there or not. Fails as [`Batch::put`] does.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.add(key, &[], DELETES, None)
    }

    fn add(
        &mut self,
        key: &[u8],
        value: &[u8],
        flag: u32,
        expires_at_ms: Option<u64>,
    ) -> Result<()> {
        check_lengths(key, value)?;
        let bytes = self.bytes + (key.len() + value.len()) as u64 + OPERATION_BYTES;
        if bytes > MAX_BATCH_BYTES {
            let message = format!(
                "the batch would count {bytes} bytes; the limit is {MAX_BATCH_BYTES}: write it in parts"
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let most = HEAD + EXPIRY + key.len() + value.len();
        let reserved = self.staged.try_reserve(most);
        reserved.map_err(|_| Error::memory("a batch"))?;
        // No cut: both lengths are below 2^31.
        let key_len = key.len() as u32 | flag;
        self.staged.extend_from_slice(&key_len.to_le_bytes());
        self.staged
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        if let Some(moment) = expires_at_ms {
            self.staged.extend_from_slice(&moment.to_le_bytes());
        }
        self.staged.extend_from_slice(key);
        self.staged.extend_from_slice(value);
        self.bytes = bytes;
        self.count += 1;
        Ok(())
    }

    /// Takes out all operations and forgets all savepoints.
    pub fn clear(&mut self) {
        self.staged.clear();
        self.staged.shrink_to(KEPT);
        self.savepoints.clear();
        (self.count, self.bytes) = (0, 0);
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes that the records of the operations take in the log at most.
    pub(super) fn counted_bytes(&self) -> u64 {
        self.bytes
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
            staged: self.staged.len(),
            count: self.count,
            bytes: self.bytes,
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
        let mark = self.savepoints[place];
        self.savepoints.truncate(place + 1);
        self.staged.truncate(mark.staged);
        (self.count, self.bytes) = (mark.count, mark.bytes);
        Ok(())
    }

    /// The operations in order.
    pub fn operations(&self) -> impl Iterator<Item = Operation<'_>> + Clone {
        Operations { rest: &self.staged }
    }

    /// The records of the operations, each but the last continued by the next; without sequence numbers.
    pub(super) fn records(&self) -> impl Iterator<Item = Fields<'_>> + Clone {
        let last = self.count;
        (1..)
            .zip(self.operations())
            .map(move |(number, operation)| Fields {
                kind: match operation.value {
                    Some(_) => Kind::Put,
                    None => Kind::Tombstone,
                },
                continues: number < last,
                follows_durable: false,
                expires_at_ms: operation.expires_at_ms,
                sequence: 0,
                key: operation.key,
                value: operation.value.unwrap_or_default(),
            })
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

#[derive(Clone)]
struct Operations<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for Operations<'b> {
    type Item = Operation<'b>;

    #[inline]
    fn next(&mut self) -> Option<Operation<'b>> {
        let (head, rest) = self.rest.split_first_chunk::<HEAD>()?;
        let [k0, k1, k2, k3, v0, v1, v2, v3] = *head;
        let key_len = u32::from_le_bytes([k0, k1, k2, k3]);
        let value_len = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
        let (expires_at_ms, rest) = match (key_len & EXPIRES, rest.split_first_chunk::<EXPIRY>()) {
            (EXPIRES, Some((moment, rest))) => (Some(u64::from_le_bytes(*moment)), rest),
            _ => (None, rest),
        };
        let (key, rest) = rest.split_at((key_len & !(DELETES | EXPIRES)) as usize);
        let (value, rest) = rest.split_at(value_len);
        self.rest = rest;
        Some(Operation {
            key,
            value: (key_len & DELETES == 0).then_some(value),
            expires_at_ms,
        })
    }
}

#[cfg(test)]
mod tests;
