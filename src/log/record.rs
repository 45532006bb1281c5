//! The record: how a key and its value, a deletion, a durability mark or a segment's end lie in a segment.
//!
//! `docs/format.md` describes the bytes. The checksum is started from the segment's salt and the record's
//! offset, so that bytes of an older file, another segment or another place never look valid; the kind of a
//! valid record is never zero, so that zeros never look valid either.

use std::fmt;

use crc32fast::Hasher;

use crate::error::{Error, ErrorKind, Result};
use crate::log::footer;
use crate::log::little_endian::{read_u32, read_u64, write_u32, write_u64};
use crate::log::varint;

/// Longest key in bytes.
pub const MAX_KEY_LEN: usize = 65_536;
/// Longest value in bytes.
pub const MAX_VALUE_LEN: usize = (1 << 31) - 1;
/// Greatest sequence number; it keeps every mark within [`ALIGNMENT`] bytes.
pub const MAX_SEQUENCE: u64 = (1 << 63) - 1;
/// Every record begins at a multiple of this many bytes.
pub const ALIGNMENT: u64 = 16;
/// Most bytes that a record has before its key: checksum, kind, three varints, expiry.
pub const MAX_HEAD_LEN: usize = CHECKSUM_LEN + 1 + 3 + 5 + varint::MAX_LEN + EXPIRY_LEN;
/// Bytes on disk of a mark.
pub const MARK_LEN: u64 = ALIGNMENT;

/// What stands between a record's end and the next one's beginning, at most.
pub const PADDING: [u8; ALIGNMENT as usize] = [0; ALIGNMENT as usize];

const CHECKSUM_LEN: usize = 4;
const EXPIRY_LEN: usize = 8;
const KIND_MASK: u8 = 0x0f;
const FLAG_EXPIRES: u8 = 0x10;
const FLAG_CONTINUES: u8 = 0x20;
const FLAG_FOLLOWS_DURABLE: u8 = 0x40;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A key and its value.
    Put,
    /// A key that was deleted.
    Tombstone,
    /// Says that every sequence number up to and including the record's was durable when it was written.
    Mark,
    /// The last record of a sealed segment; see [`footer`].
    Footer,
    /// What the index needs of the records before, without the values; see [`super::hints`].
    Hints,
    /// Which other segments there are; see [`super::manifest`].
    Manifest,
}

/// What a record says, for writing it.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// What the record is.
    pub kind: Kind,
    /// Whether the next put or tombstone of the segment belongs to the same atomic batch.
    pub continues: bool,
    /// Whether every smaller sequence number was durable when the record was written, which saves a mark; puts and
    /// tombstones only.
    pub follows_durable: bool,
    /// When the pair ceases to exist, in milliseconds since 1970-01-01 UTC; puts only.
    pub expires_at_ms: Option<u64>,
    /// The record's own sequence number, or the durable one of a mark.
    pub sequence: u64,
    /// The key; empty for marks and footers.
    pub key: &'a [u8],
    /// The value; empty for tombstones and marks.
    pub value: &'a [u8],
}

/// What a segment's header contributes to the reading and writing of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentContext {
    /// The segment's salt.
    pub salt: u32,
    /// The segment's base sequence.
    pub base_sequence: u64,
}

/// The bytes of a record before its key, checksum included.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHead {
    bytes: [u8; MAX_HEAD_LEN],
    len: usize,
}

/// What the bytes before a record's key say. The lengths have been checked against the space there is, the
/// record's checksum has not been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the record is.
    pub kind: Kind,
    /// Whether the next put or tombstone of the segment belongs to the same atomic batch.
    pub continues: bool,
    /// Whether every smaller sequence number was durable when the record was written.
    pub follows_durable: bool,
    /// When the pair ceases to exist, in milliseconds since 1970-01-01 UTC.
    pub expires_at_ms: Option<u64>,
    /// The record's own sequence number, or the durable one of a mark.
    pub sequence: u64,
    /// Bytes before the key.
    pub head_len: usize,
    /// Bytes of the key, at most [`MAX_KEY_LEN`].
    pub key_len: usize,
    /// Bytes of the value, at most [`MAX_VALUE_LEN`].
    pub value_len: usize,
    /// Bytes from this record's beginning to the next one's.
    pub total_len: u64,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The kind or its flags are not such as version 1 of the format knows.
    Kind,
    /// A number is not in its shortest form or exceeds its limit.
    Number,
    /// The lengths do not go with the kind.
    Shape,
    /// The record would reach beyond the end of the readable bytes.
    PastEnd,
    /// The sequence number is not one that can stand here.
    Sequence,
    /// The checksum does not match the bytes.
    Checksum,
}

/// `len` rounded up to where the next record begins.
#[inline]
pub fn padded(len: u64) -> u64 {
    len.next_multiple_of(ALIGNMENT)
}

/// What a record of `fields` takes on disk at most, in bytes, padding included.
#[inline]
pub fn most_encoded(fields: &Fields<'_>) -> u64 {
    (MAX_HEAD_LEN + fields.key.len() + fields.value.len() + PADDING.len()) as u64
}

/// Bytes on disk, padding included, of a record of `fields` in a segment that begins with `base_sequence`.
#[inline]
pub fn encoded_len(fields: &Fields<'_>, base_sequence: u64) -> u64 {
    let head_len = CHECKSUM_LEN
        + 1
        + varint::len(fields.key.len() as u64)
        + varint::len(fields.value.len() as u64)
        + varint::len(stored_sequence(fields, base_sequence))
        + if fields.expires_at_ms.is_some() {
            EXPIRY_LEN
        } else {
            0
        };
    padded((head_len + fields.key.len() + fields.value.len()) as u64)
}

// A mark holds its sequence number as it is, since that may lie before the segment's first record.
fn stored_sequence(fields: &Fields<'_>, base_sequence: u64) -> u64 {
    match fields.kind {
        Kind::Mark => fields.sequence,
        _ => fields.sequence.saturating_sub(base_sequence),
    }
}

/// A record that can be written, but for its place and its checksum.
#[derive(Clone, Copy)]
pub struct Prepared<'a> {
    fields: Fields<'a>,
    context: SegmentContext,
    /// What stands between checksum and key, the first byte lowest, if it is a usual head.
    usual: Option<u128>,
    head_len: usize,
    /// Bytes on disk, padding included.
    len: usize,
}

/// What will be written for `fields`. Inlined, so that a head can stay in registers.
/// Errors: `TooLarge` for a key or value beyond its limit, `Invalid` for fields that no record can have.
#[inline(always)]
pub fn prepare<'a>(fields: &Fields<'a>, context: &SegmentContext) -> Result<Prepared<'a>> {
    // Nothing else can be wrong with a put.
    let sequences = context.base_sequence..=MAX_SEQUENCE;
    let is_usual = fields.kind == Kind::Put && sequences.contains(&fields.sequence);
    if !is_usual || fields.key.len() > MAX_KEY_LEN || fields.value.len() > MAX_VALUE_LEN {
        check_fields(fields, context)?;
    }
    let (usual, head_len) = match usual_head(fields, context) {
        Some((head, head_len)) => (Some(head), head_len),
        None => (None, any_head(fields, context).len),
    };
    let unpadded_len = head_len + fields.key.len() + fields.value.len();
    Ok(Prepared {
        fields: *fields,
        context: *context,
        usual,
        head_len,
        len: padded(unpadded_len as u64) as usize,
    })
}

impl Prepared<'_> {
    /// Bytes on disk, padding included.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        self.len
    }

    /// Writes the whole record, as one that lies at `offset`, into `bytes`, which are as many as it has. Panics if they are fewer.
    #[inline(always)]
    pub fn write(&self, offset: u64, bytes: &mut [u8]) {
        let Fields { key, value, .. } = self.fields;
        match self.usual {
            // In one piece, of which the key overwrites what is not the head's.
            Some(head) if self.len >= CHECKED_FROM + size_of::<u128>() => {
                bytes[CHECKED_FROM..][..size_of::<u128>()].copy_from_slice(&head.to_le_bytes());
            }
            _ => self.write_head(bytes),
        }
        let key_end = self.head_len + key.len();
        bytes[self.head_len..key_end].copy_from_slice(key);
        let end = key_end + value.len();
        bytes[key_end..end].copy_from_slice(value);
        bytes[end..self.len].fill(0);
        let mut hasher = start_checksum(self.context.salt, offset);
        hasher.update(&bytes[CHECKED_FROM..end]);
        write_u32(bytes, 0, hasher.finalize());
    }

    #[cold]
    fn write_head(&self, bytes: &mut [u8]) {
        let head = any_head(&self.fields, &self.context);
        bytes[..head.len].copy_from_slice(head.as_bytes());
    }
}

/// Encodes what stands before the key of a record at `offset`, checksum included, so that the record can be written
/// as the parts head, key, value and padding without being assembled first.
/// Errors: `TooLarge` for a key or value beyond its limit, `Invalid` for fields that no record can have.
pub fn encode_head(
    fields: &Fields<'_>,
    offset: u64,
    context: &SegmentContext,
) -> Result<EncodedHead> {
    check_fields(fields, context)?;
    let mut head = any_head(fields, context);
    let mut hasher = start_checksum(context.salt, offset);
    hasher.update(&head.as_bytes()[CHECKED_FROM..]);
    hasher.update(fields.key);
    hasher.update(fields.value);
    write_u32(&mut head.bytes, 0, hasher.finalize());
    Ok(head)
}

/// What stands between checksum and key, the first byte lowest, and how many bytes are before the key, the checksum's among them. `None` if
/// the record expires, or has lengths or a sequence number of more than 28 bits.
#[inline(always)]
fn usual_head(fields: &Fields<'_>, context: &SegmentContext) -> Option<(u128, usize)> {
    if fields.expires_at_ms.is_some() {
        return None;
    }
    let (key_len, key_len_len) = varint::short(fields.key.len() as u64)?;
    let (value_len, value_len_len) = varint::short(fields.value.len() as u64)?;
    let (sequence, sequence_len) = varint::short(stored_sequence(fields, context.base_sequence))?;
    let lengths = u64::from(key_len) | u64::from(value_len) << (8 * key_len_len);
    let lengths_len = key_len_len + value_len_len;
    let numbers = u128::from(lengths) | u128::from(sequence) << (8 * lengths_len);
    let head = u128::from(kind_and_flags(fields)) | numbers << 8;
    Some((head, CHECKSUM_LEN + 1 + lengths_len + sequence_len))
}

/// Every head, with zeros in the place of the checksum.
fn any_head(fields: &Fields<'_>, context: &SegmentContext) -> EncodedHead {
    let mut bytes = [0; MAX_HEAD_LEN];
    let mut len = CHECKSUM_LEN + 1;
    bytes[CHECKSUM_LEN] = kind_and_flags(fields);
    varint::write(&mut bytes, &mut len, fields.key.len() as u64);
    varint::write(&mut bytes, &mut len, fields.value.len() as u64);
    varint::write(
        &mut bytes,
        &mut len,
        stored_sequence(fields, context.base_sequence),
    );
    if let Some(expiry) = fields.expires_at_ms {
        write_u64(&mut bytes, len, expiry);
        len += EXPIRY_LEN;
    }
    EncodedHead { bytes, len }
}

fn check_fields(fields: &Fields<'_>, context: &SegmentContext) -> Result<()> {
    if fields.key.len() > MAX_KEY_LEN {
        let message = format!(
            "a key of {} bytes exceeds the limit of {MAX_KEY_LEN}",
            fields.key.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    if fields.value.len() > MAX_VALUE_LEN {
        let message = format!(
            "a value of {} bytes exceeds the limit of {MAX_VALUE_LEN}",
            fields.value.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let smallest = if fields.kind == Kind::Mark {
        0
    } else {
        context.base_sequence
    };
    if !(smallest..=MAX_SEQUENCE).contains(&fields.sequence) {
        let message = format!(
            "sequence number {} is outside {smallest}..={MAX_SEQUENCE}",
            fields.sequence
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let stored = stored_sequence(fields, context.base_sequence);
    if !flags_fit(
        fields.kind,
        fields.expires_at_ms.is_some(),
        fields.continues || fields.follows_durable,
    ) || !shape_fits(fields.kind, fields.key.len(), fields.value.len(), stored)
    {
        let message = format!("a {:?} record cannot have these fields", fields.kind);
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(())
}

fn kind_and_flags(fields: &Fields<'_>) -> u8 {
    let kind = match fields.kind {
        Kind::Put => 1,
        Kind::Tombstone => 2,
        Kind::Mark => 3,
        Kind::Footer => 4,
        Kind::Hints => 5,
        Kind::Manifest => 6,
    };
    let expires = if fields.expires_at_ms.is_some() {
        FLAG_EXPIRES
    } else {
        0
    };
    let continues = if fields.continues { FLAG_CONTINUES } else { 0 };
    let follows_durable = if fields.follows_durable {
        FLAG_FOLLOWS_DURABLE
    } else {
        0
    };
    kind | expires | continues | follows_durable
}

#[inline]
fn flags_fit(kind: Kind, expires: bool, others: bool) -> bool {
    match kind {
        Kind::Put => true,
        Kind::Tombstone => !expires,
        Kind::Mark | Kind::Footer | Kind::Hints | Kind::Manifest => !expires && !others,
    }
}

#[inline]
fn shape_fits(kind: Kind, key_len: usize, value_len: usize, stored_sequence: u64) -> bool {
    match kind {
        Kind::Put => true,
        Kind::Tombstone => value_len == 0,
        Kind::Mark => key_len == 0 && value_len == 0,
        Kind::Footer => key_len == 0 && value_len == footer::VALUE_LEN && stored_sequence == 0,
        Kind::Hints | Kind::Manifest => key_len == 0 && stored_sequence == 0,
    }
}

/// Reads what stands before the key of the record that begins at `bytes[0]`, where `available` bytes are readable from
/// there on. `bytes` holds all of them or at least the first [`MAX_HEAD_LEN`].
#[inline]
pub fn decode_head(
    bytes: &[u8],
    available: u64,
    context: &SegmentContext,
) -> std::result::Result<Head, Invalid> {
    match decode_usual_head(bytes, available, context) {
        Some(head) => Ok(head),
        None => decode_any_head(bytes, available, context),
    }
}

/// The same for the head that most records have, that of a put without an expiry, with short lengths; `None` for every other
/// one, and for one that is not valid. Every get and every step of a scan comes by here: inlined, so that the head need not go
/// through memory.
#[inline(always)]
fn decode_usual_head(bytes: &[u8], available: u64, context: &SegmentContext) -> Option<Head> {
    const LENGTHS: usize = CHECKSUM_LEN + 1;
    const SEQUENCE: usize = LENGTHS + 2;
    let head: &[u8; SEQUENCE + 8] = bytes.first_chunk()?;
    let [kind, key_len, value_len] = [head[CHECKSUM_LEN], head[LENGTHS], head[LENGTHS + 1]];
    if kind & !(FLAG_CONTINUES | FLAG_FOLLOWS_DURABLE) != 1 || (key_len | value_len) & 0x80 != 0 {
        return None;
    }
    let (stored_sequence, sequence_len) = varint::read_short(read_u64(head, SEQUENCE))?;
    // No overflow: the base sequence is below 2^63.
    let sequence = context.base_sequence.wrapping_add(stored_sequence);
    let head_len = SEQUENCE + sequence_len;
    let len = (head_len + usize::from(key_len) + usize::from(value_len)) as u64;
    (sequence <= MAX_SEQUENCE && len <= available).then_some(Head {
        kind: Kind::Put,
        continues: kind & FLAG_CONTINUES != 0,
        follows_durable: kind & FLAG_FOLLOWS_DURABLE != 0,
        expires_at_ms: None,
        sequence,
        head_len,
        key_len: key_len.into(),
        value_len: value_len.into(),
        total_len: padded(len),
    })
}

#[inline(never)]
fn decode_any_head(
    bytes: &[u8],
    available: u64,
    context: &SegmentContext,
) -> std::result::Result<Head, Invalid> {
    let kind_byte = *bytes.get(CHECKSUM_LEN).ok_or(Invalid::PastEnd)?;
    let kind = match kind_byte & KIND_MASK {
        1 => Kind::Put,
        2 => Kind::Tombstone,
        3 => Kind::Mark,
        4 => Kind::Footer,
        5 => Kind::Hints,
        6 => Kind::Manifest,
        _ => return Err(Invalid::Kind),
    };
    let expires = kind_byte & FLAG_EXPIRES != 0;
    let continues = kind_byte & FLAG_CONTINUES != 0;
    let follows_durable = kind_byte & FLAG_FOLLOWS_DURABLE != 0;
    if kind_byte & !(KIND_MASK | FLAG_EXPIRES | FLAG_CONTINUES | FLAG_FOLLOWS_DURABLE) != 0
        || !flags_fit(kind, expires, continues || follows_durable)
    {
        return Err(Invalid::Kind);
    }
    let mut head_len = CHECKSUM_LEN + 1;
    let key_len = varint::read(bytes, &mut head_len).ok_or(Invalid::Number)?;
    let value_len = varint::read(bytes, &mut head_len).ok_or(Invalid::Number)?;
    let stored_sequence = varint::read(bytes, &mut head_len).ok_or(Invalid::Number)?;
    if key_len > MAX_KEY_LEN as u64 || value_len > MAX_VALUE_LEN as u64 {
        return Err(Invalid::Number);
    }
    let expires_at_ms = if expires {
        if bytes.len() < head_len + EXPIRY_LEN {
            return Err(Invalid::PastEnd);
        }
        head_len += EXPIRY_LEN;
        Some(read_u64(bytes, head_len - EXPIRY_LEN))
    } else {
        None
    };
    let (key_len, value_len) = (key_len as usize, value_len as usize);
    if !shape_fits(kind, key_len, value_len, stored_sequence) {
        return Err(Invalid::Shape);
    }
    let sequence = match kind {
        Kind::Mark => Some(stored_sequence),
        _ => context.base_sequence.checked_add(stored_sequence),
    };
    let sequence = sequence
        .filter(|&it| it <= MAX_SEQUENCE)
        .ok_or(Invalid::Number)?;
    // No overflow: the limits above keep the sum far below 2^32.
    let len = head_len as u64 + key_len as u64 + value_len as u64;
    if len > available {
        return Err(Invalid::PastEnd);
    }
    Ok(Head {
        kind,
        continues,
        follows_durable,
        expires_at_ms,
        sequence,
        head_len,
        key_len,
        value_len,
        total_len: padded(len),
    })
}

/// A checksum, to be fed with the bytes of the record at `offset` from its kind byte to the end of its value.
#[inline]
pub fn start_checksum(salt: u32, offset: u64) -> Hasher {
    Hasher::new_with_initial(initial_checksum(salt, offset))
}

/// What the checksum of the record at `offset` starts from.
#[inline]
pub fn initial_checksum(salt: u32, offset: u64) -> u32 {
    // Cutting the quotient to 32 bits is part of the format.
    salt ^ (offset / ALIGNMENT) as u32
}

/// Where, counted from the record's beginning, the bytes that its checksum covers begin.
pub const CHECKED_FROM: usize = CHECKSUM_LEN;

/// Whether the record at `offset`, whose bytes from the checksum to the end of the value are `bytes`, is what was
/// written there. `bytes` holds at least a checksum.
#[inline]
pub fn checksum_matches(bytes: &[u8], salt: u32, offset: u64) -> bool {
    let mut hasher = start_checksum(salt, offset);
    hasher.update(&bytes[CHECKSUM_LEN..]);
    hasher.finalize() == stored_checksum(bytes)
}

/// The checksum that a record's first bytes hold.
#[inline]
pub fn stored_checksum(bytes: &[u8]) -> u32 {
    read_u32(bytes, 0)
}

impl EncodedHead {
    /// The bytes, as they go to disk.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Head {
    /// Bytes from the record's beginning to the end of its value.
    #[inline]
    pub fn unpadded_len(&self) -> usize {
        self.head_len + self.key_len + self.value_len
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kind => "no record begins here",
            Self::Number => {
                "a length or sequence number of the record is malformed or exceeds its limit"
            }
            Self::Shape => "the record's lengths do not go with its kind",
            Self::PastEnd => "the record would reach beyond the end of the file",
            Self::Sequence => "the record's sequence number does not continue the one before",
            Self::Checksum => "the record's checksum does not match its bytes",
        })
    }
}

#[cfg(test)]
mod tests;
