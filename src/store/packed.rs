//! Operations packed into one buffer: what a batch keeps, and what a caller who has none writes in one go.
//!
//! An operation is a head of 8 bytes, in a put that expires 8 more that say when, the key and the value; the next follows at
//! once. All numbers are little-endian. The head has the key's length in 32 bits, of which the highest says that the
//! key is deleted and the second highest that the put expires, and the value's length in 32.

use super::write::check_lengths;
use crate::error::{Error, ErrorKind, Result};
use crate::log::record::{Fields, Kind, MAX_HEAD_LEN};

/// Most bytes of a batch, where each operation counts [`OPERATION_BYTES`] besides its key and value.
pub const MAX_BATCH_BYTES: u64 = (1 << 32) - 1;

/// What an operation of a batch counts besides its key and value: no less than its record takes in the log.
pub const OPERATION_BYTES: u64 = 48;

const _: () = assert!(OPERATION_BYTES >= MAX_HEAD_LEN as u64 + 15);

const HEAD: usize = 8;
const EXPIRY: usize = 8;

/// The bit of a key's length that says that the operation deletes the key.
pub const DELETES: u32 = 1 << 31;

/// The bit of a key's length that says that the pair expires. Keys are far shorter than these two bits allow.
pub const EXPIRES: u32 = 1 << 30;

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

impl<'b> Operation<'b> {
    /// What it adds to the bytes that a batch counts.
    fn counted_bytes(&self) -> u64 {
        (self.key.len() + self.value.map_or(0, <[u8]>::len)) as u64 + OPERATION_BYTES
    }

    /// The first operation in `packed`, whose lengths have been looked at before, and what follows it.
    #[inline]
    fn split_from(packed: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (head, rest) = packed.split_first_chunk::<HEAD>()?;
        let [k0, k1, k2, k3, v0, v1, v2, v3] = *head;
        let key_len = u32::from_le_bytes([k0, k1, k2, k3]);
        let value_len = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
        let (expires_at_ms, rest) = match key_len & EXPIRES {
            0 => (None, rest),
            _ => {
                let (moment, rest) = rest.split_first_chunk::<EXPIRY>()?;
                (Some(u64::from_le_bytes(*moment)), rest)
            }
        };
        let (key, rest) = rest.split_at_checked((key_len & !(DELETES | EXPIRES)) as usize)?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        let operation = Self {
            key,
            value: (key_len & DELETES == 0).then_some(value),
            expires_at_ms: expires_at_ms.filter(|&moment| moment > 0),
        };
        Some((operation, rest))
    }
}

/// Operations that lie packed in memory of somebody else, looked at and counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackedOperations<'b> {
    packed: &'b [u8],
    count: u32,
    counted_bytes: u64,
}

impl<'b> PackedOperations<'b> {
    /// The operations in `packed`, which is read whole and keeps what is found.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if an operation does not end within `packed`, or is a deletion with a value or an expiry;
    /// [`ErrorKind::TooLarge`] for a key above [`MAX_KEY_LEN`](crate::log::record::MAX_KEY_LEN) or a value above
    /// [`MAX_VALUE_LEN`](crate::log::record::MAX_VALUE_LEN) bytes, and for all of them if they count more than
    /// [`MAX_BATCH_BYTES`]. The message says at which byte the operation begins.
    pub fn parse(packed: &'b [u8]) -> Result<Self> {
        let (mut count, mut counted_bytes) = (0, 0);
        let mut rest = packed;
        while !rest.is_empty() {
            let at = |what: &str| {
                let begin = packed.len() - rest.len();
                format!("the operation at byte {begin} of {}: {what}", packed.len())
            };
            let invalid = |what: &str| Error::new(ErrorKind::Invalid, at(what));
            let (operation, behind) = Operation::split_from(rest)
                .ok_or_else(|| invalid("it goes beyond the end of the buffer"))?;
            let is_plain = rest[..HEAD - 4] == (operation.key.len() as u32 | DELETES).to_le_bytes();
            if operation.value.is_none() && !(is_plain && rest[HEAD - 4..HEAD] == [0; 4]) {
                return Err(invalid("a deletion has neither a value nor an expiry"));
            }
            check_lengths(operation.key, operation.value.unwrap_or_default())
                .map_err(|error| Error::new(error.kind(), at(error.message())))?;
            counted_bytes += operation.counted_bytes();
            check_counted(counted_bytes)?;
            count += 1;
            rest = behind;
        }
        Ok(Self {
            packed,
            count,
            counted_bytes,
        })
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
    pub fn counted_bytes(&self) -> u64 {
        self.counted_bytes
    }

    /// The operations in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Operation<'b>> + Clone + use<'b> {
        let mut rest = self.packed;
        std::iter::from_fn(move || {
            let (operation, behind) = Operation::split_from(rest)?;
            rest = behind;
            Some(operation)
        })
    }

    /// The records of the operations, each but the last continued by the next; without sequence numbers.
    pub fn records(&self) -> impl Iterator<Item = Fields<'b>> + Clone + use<'b> {
        let last = self.count;
        (1..)
            .zip(self.iter())
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

/// Packed operations that grow, and shrink to what they were.
#[derive(Debug, Default)]
pub struct Packing {
    packed: Vec<u8>,
    end: End,
}

/// Where packed operations ended at some time.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    length: usize,
    count: u32,
    counted_bytes: u64,
}

impl Packing {
    /// Adds an operation, or fails as [`PackedOperations::parse`] does, or with [`ErrorKind::Memory`], and is as it was.
    pub fn add(&mut self, operation: &Operation<'_>) -> Result<()> {
        let (key, value) = (operation.key, operation.value.unwrap_or_default());
        check_lengths(key, value)?;
        let counted_bytes = self.end.counted_bytes + operation.counted_bytes();
        check_counted(counted_bytes)?;
        let reserved = self
            .packed
            .try_reserve(HEAD + EXPIRY + key.len() + value.len());
        reserved.map_err(|_| Error::memory("a batch"))?;
        let deletes = [0, DELETES][usize::from(operation.value.is_none())];
        let expires = [0, EXPIRES][usize::from(operation.expires_at_ms.is_some())];
        // No cut: both lengths are below 2^31.
        let key_len = key.len() as u32 | deletes | expires;
        self.packed.extend_from_slice(&key_len.to_le_bytes());
        let value_len = value.len() as u32;
        self.packed.extend_from_slice(&value_len.to_le_bytes());
        if let Some(moment) = operation.expires_at_ms {
            self.packed.extend_from_slice(&moment.to_le_bytes());
        }
        self.packed.extend_from_slice(key);
        self.packed.extend_from_slice(value);
        self.end = End {
            length: self.packed.len(),
            count: self.end.count + 1,
            counted_bytes,
        };
        Ok(())
    }

    /// Where the operations end now.
    pub fn end(&self) -> End {
        self.end
    }

    /// Takes out what was added since the operations ended at `end`.
    pub fn cut(&mut self, end: End) {
        self.packed.truncate(end.length);
        self.end = end;
    }

    /// Gives memory back beyond `kept` bytes, if it is not in use.
    pub fn shrink_to(&mut self, kept: usize) {
        self.packed.shrink_to(kept);
    }

    /// How many bytes there is memory for.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.packed.capacity()
    }

    /// The operations.
    pub fn operations(&self) -> PackedOperations<'_> {
        PackedOperations {
            packed: &self.packed,
            count: self.end.count,
            counted_bytes: self.end.counted_bytes,
        }
    }
}

fn check_counted(counted_bytes: u64) -> Result<()> {
    if counted_bytes > MAX_BATCH_BYTES {
        let message = format!(
            "the batch would count {counted_bytes} bytes; the limit is {MAX_BATCH_BYTES}: write it in parts"
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
