//! The operations of a batch, as they grow and shrink to what they were.
//!
//! They lie in blocks of an arena, each whole. A batch is kept in memory only, so its heads are as short as they can be: the key's
//! length, four times, and 1 more if the key is deleted, 2 more if the put expires, as a [varint]; unless the key is deleted the
//! value's length as another; if the put expires 8 bytes that say when. Then come the key and the value.

use super::packed::{MAX_BATCH_BYTES, Operation, PackedOperations};
use super::write::check_lengths;
use crate::error::{Error, ErrorKind, Result};
use crate::log::record::{MAX_KEY_LEN, MAX_VALUE_LEN};
use crate::log::varint;
use crate::memory::batch_arena::{BatchArena, PREFIX_BYTES, Position, Profile};

const DELETES: u64 = 1;
const EXPIRES: u64 = 2;

/// How far a key's length is moved up for the two.
const KEY_SHIFT: u32 = 2;

const EXPIRY: usize = 8;

// A key's length takes 3 bytes, a value's 5.
const _: () = assert!(MAX_KEY_LEN << KEY_SHIFT < 1 << 21 && (MAX_VALUE_LEN as u64) < 1 << 35);
const _: () = assert!(3 + 5 + EXPIRY <= PREFIX_BYTES);

/// The operations of a batch.
#[derive(Debug)]
pub struct Packing {
    arena: BatchArena,
    end: End,
    limit_bytes: u64,
}

/// Where operations ended at some time, and what they were.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    position: Position,
    /// Number of operations.
    pub count: u32,
    /// Of these, how many are puts.
    pub puts: u32,
    /// Whether one of them expires.
    pub expiring: bool,
    /// Bytes that their records take in the log at most.
    pub counted_bytes: u64,
}

impl End {
    /// How many bytes count with one operation more; [`ErrorKind::TooLarge`] if they are more than `limit_bytes`.
    #[inline(always)]
    pub fn counted_with(&self, operation: &Operation<'_>, limit_bytes: u64) -> Result<u64> {
        let counted_bytes = self.counted_bytes + operation.counted_bytes();
        match counted_bytes <= limit_bytes {
            true => Ok(counted_bytes),
            false => Err(too_large(counted_bytes, limit_bytes)),
        }
    }

    /// Counts one operation more, with which `counted_bytes` count.
    #[inline(always)]
    pub fn count(&mut self, operation: &Operation<'_>, counted_bytes: u64) {
        self.count += 1;
        self.puts += u32::from(operation.value.is_some());
        self.expiring |= operation.expires_at_ms.is_some();
        self.counted_bytes = counted_bytes;
    }
}

impl Default for Packing {
    fn default() -> Self {
        Self::new(None, MAX_BATCH_BYTES)
    }
}

impl Packing {
    /// No operations, and no memory yet. They will count `limit_bytes` at most.
    pub fn new(profile: Option<Profile>, limit_bytes: u64) -> Self {
        Self {
            arena: BatchArena::new(profile),
            end: End::default(),
            limit_bytes,
        }
    }

    /// Adds an operation, or fails as [`PackedOperations::parse`] does, or with [`ErrorKind::Memory`], and is as it was.
    #[inline(always)]
    pub fn add(&mut self, operation: &Operation<'_>) -> Result<()> {
        let (key, value) = (operation.key, operation.value.unwrap_or_default());
        check_lengths(key, value)?;
        let counted_bytes = self.end.counted_with(operation, self.limit_bytes)?;
        let (head, head_len) = encode_head(operation);
        self.arena.append(head, head_len, [key, value])?;
        self.end.count(operation, counted_bytes);
        Ok(())
    }

    /// Where the operations end now.
    pub fn end(&self) -> End {
        End {
            position: self.arena.position(),
            ..self.end
        }
    }

    /// Takes out what was added since the operations ended at `end`. Frees nothing.
    pub fn cut(&mut self, end: End) {
        self.arena.cut(end.position);
        self.end = end;
    }

    /// Takes all operations out, and gives back most of the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.end = End::default();
    }

    /// How many bytes of memory the operations take, used or not.
    pub fn bytes(&self) -> usize {
        self.arena.bytes()
    }

    /// The operations.
    pub fn operations(&self) -> PackedOperations<'_> {
        PackedOperations::of_batch(self.arena.in_use(), self.end)
    }
}

/// The head of an operation in the lowest bytes of a number, and how many they are.
#[inline(always)]
fn encode_head(operation: &Operation<'_>) -> (u128, usize) {
    let key_len = operation.key.len();
    match (operation.value, operation.expires_at_ms) {
        // Most heads: a byte for each length.
        (Some(value), None) if key_len < 0x80 >> KEY_SHIFT && value.len() < 0x80 => {
            ((value.len() << 8 | key_len << KEY_SHIFT) as u128, 2)
        }
        _ => encode_long_head(operation),
    }
}

#[inline(never)]
fn encode_long_head(operation: &Operation<'_>) -> (u128, usize) {
    let deletes = u64::from(operation.value.is_none()) * DELETES;
    let expires = u64::from(operation.expires_at_ms.is_some()) * EXPIRES;
    let key_len = (operation.key.len() as u64) << KEY_SHIFT;
    let (mut head, mut len) = encode(key_len | deletes | expires);
    if let Some(value) = operation.value {
        let (value_len, more) = encode(value.len() as u64);
        head |= value_len << (8 * len);
        len += more;
    }
    let mut head = u128::from(head);
    if let Some(moment) = operation.expires_at_ms {
        head |= u128::from(moment) << (8 * len);
        len += EXPIRY;
    }
    (head, len)
}

/// A number below 2^35 as a varint in the lowest bytes, and how many they are.
#[inline]
fn encode(mut number: u64) -> (u64, usize) {
    let (mut encoded, mut len) = (0, 0);
    while number >= 0x80 {
        encoded |= (number & 0x7f | 0x80) << (8 * len);
        number >>= 7;
        len += 1;
    }
    (encoded | number << (8 * len), len + 1)
}

/// The first operation of a block's rest, and what follows it.
#[inline]
pub fn split_from(packed: &[u8]) -> Option<(Operation<'_>, &[u8])> {
    // Most heads, as above.
    if let [key_len @ ..0x80, value_len @ ..0x80, rest @ ..] = packed
        && u64::from(*key_len) & (DELETES | EXPIRES) == 0
    {
        let (key, rest) = rest.split_at_checked(usize::from(key_len >> KEY_SHIFT))?;
        let (value, rest) = rest.split_at_checked(usize::from(*value_len))?;
        let operation = Operation {
            key,
            value: Some(value),
            expires_at_ms: None,
        };
        return Some((operation, rest));
    }
    split_long_head(packed)
}

#[inline(never)]
fn split_long_head(packed: &[u8]) -> Option<(Operation<'_>, &[u8])> {
    let mut len = 0;
    let key_len = varint::read(packed, &mut len)?;
    let value_len = match key_len & DELETES {
        0 => varint::read(packed, &mut len)?,
        _ => 0,
    };
    let (_, mut rest) = packed.split_at_checked(len)?;
    let mut expires_at_ms = None;
    if key_len & EXPIRES != 0 {
        let (moment, behind) = rest.split_first_chunk::<EXPIRY>()?;
        (expires_at_ms, rest) = (Some(u64::from_le_bytes(*moment)), behind);
    }
    let (key, rest) = rest.split_at_checked((key_len >> KEY_SHIFT) as usize)?;
    let (value, rest) = rest.split_at_checked(value_len as usize)?;
    let operation = Operation {
        key,
        value: (key_len & DELETES == 0).then_some(value),
        expires_at_ms,
    };
    Some((operation, rest))
}

#[cold]
fn too_large(counted_bytes: u64, limit_bytes: u64) -> Error {
    let message = format!(
        "the batch would count {counted_bytes} bytes; the limit is {limit_bytes}: write it in parts"
    );
    Error::new(ErrorKind::TooLarge, message)
}

#[cfg(test)]
mod tests;
