//! Packed operations: what a batch keeps, and what a caller who has none writes in one go.
//!
//! An operation is a head, in a put that expires 8 bytes that say when, the key and the value; the next follows at once. All
//! numbers are little-endian. A caller's head has 8 bytes: the key's length in 32 bits, of which the highest says that the key is
//! deleted and the second highest that the put expires, and the value's length in 32. That of a batch is
//! [shorter](super::packing).

use super::packing::{self, End};
use super::write::check_lengths;
use crate::error::{Error, ErrorKind, Result};
use crate::log::record::{Fields, Kind, MAX_HEAD_LEN};
use crate::memory::batch_arena::Part;

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
    pub(super) fn counted_bytes(&self) -> u64 {
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
#[derive(Clone, Copy, Debug)]
pub struct PackedOperations<'b> {
    operations: Operations<'b>,
    totals: End,
}

/// Where packed operations lie that are still to be seen.
#[derive(Clone, Copy, Debug)]
enum Operations<'b> {
    /// A caller's, with long heads.
    OfCaller(&'b [u8]),
    /// A batch's: the rest of a block, the full blocks behind it, and what is in the last one.
    OfBatch(&'b [u8], &'b [Part], &'b [u8]),
}

impl<'b> Iterator for Operations<'b> {
    type Item = Operation<'b>;

    #[inline]
    fn next(&mut self) -> Option<Operation<'b>> {
        match self {
            Operations::OfCaller(rest) => {
                let (operation, behind) = Operation::split_from(rest)?;
                *rest = behind;
                Some(operation)
            }
            Operations::OfBatch(rest, full, last) => {
                if rest.is_empty() {
                    match full.split_first() {
                        Some((part, behind)) => (*rest, *full) = (part.bytes(), behind),
                        None => *rest = std::mem::take(last),
                    }
                }
                let (operation, behind) = packing::split_from(rest)?;
                *rest = behind;
                Some(operation)
            }
        }
    }
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
        let mut totals = End::default();
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
            let counted_bytes = totals.counted_with(&operation, MAX_BATCH_BYTES)?;
            totals.count(&operation, counted_bytes);
            rest = behind;
        }
        let operations = Operations::OfCaller(packed);
        Ok(Self { operations, totals })
    }

    /// Operations of a batch in blocks, of which there are so many.
    pub(super) fn of_batch((full, last): (&'b [Part], &'b [u8]), totals: End) -> Self {
        let operations = Operations::OfBatch(&[], full, last);
        Self { operations, totals }
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.totals.count as usize
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.totals.count == 0
    }

    /// Bytes that the records of the operations take in the log at most.
    pub fn counted_bytes(&self) -> u64 {
        self.totals.counted_bytes
    }

    /// How many of the operations are puts.
    pub fn puts(&self) -> usize {
        self.totals.puts as usize
    }

    /// Whether a pair expires.
    pub fn has_expiring(&self) -> bool {
        self.totals.expiring
    }

    /// The operations in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Operation<'b>> + Clone + use<'b> {
        self.operations
    }

    /// The records of the operations, each but the last continued by the next; without sequence numbers.
    pub fn records(&self) -> impl Iterator<Item = Fields<'b>> + Clone + use<'b> {
        let last = self.totals.count;
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

#[cfg(test)]
pub(super) mod tests;
