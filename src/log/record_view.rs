//! One record, as it lies in a segment.

use crate::error::Result;
use crate::log::record::{self, Head, Invalid, Kind};
use crate::log::segment::Segment;

/// A record found by [`Segment::record`]. Key and value are what the bytes say until [`Self::verify`] has shown that
/// the bytes are what was written.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    segment: &'a Segment,
    offset: u64,
    // From the checksum to the end of the value.
    bytes: &'a [u8],
    head: Head,
}

/// A key and the value right behind it.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    bytes: &'a [u8],
    key_len: usize,
}

impl<'a> Pair<'a> {
    /// Of the first `key_len` of `bytes`, which has as many at least, and the others.
    #[inline]
    pub fn new(bytes: &'a [u8], key_len: usize) -> Self {
        Self { bytes, key_len }
    }

    /// A key without a value.
    #[inline]
    pub fn of_key(key: &'a [u8]) -> Self {
        Self::new(key, key.len())
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        &self.bytes[..self.key_len]
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &'a [u8] {
        &self.bytes[self.key_len..]
    }

    /// Both, one behind the other.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> RecordView<'a> {
    #[inline]
    pub(super) fn new(segment: &'a Segment, offset: u64, bytes: &'a [u8], head: Head) -> Self {
        Self {
            segment,
            offset,
            bytes,
            head,
        }
    }

    /// The record's key.
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        &self.bytes[self.head.head_len..self.head.head_len + self.head.key_len]
    }

    /// The record's value.
    #[inline]
    pub fn value(&self) -> &'a [u8] {
        &self.bytes[self.head.head_len + self.head.key_len..]
    }

    /// Its key and value, which lie side by side.
    #[inline]
    pub fn pair(&self) -> Pair<'a> {
        Pair::new(&self.bytes[self.head.head_len..], self.head.key_len)
    }

    /// Where the record begins in its segment, in bytes.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the value begins in its segment, in bytes.
    #[inline]
    pub fn value_offset(&self) -> u64 {
        self.offset + (self.head.head_len + self.head.key_len) as u64
    }

    /// What the record is.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.head.kind
    }

    /// The record's sequence number.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.head.sequence
    }

    /// When the pair ceases to exist, in milliseconds since 1970-01-01 UTC.
    #[inline]
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.head.expires_at_ms
    }

    /// Whether the next put or tombstone of the segment belongs to the same atomic batch.
    #[inline]
    pub fn continues(&self) -> bool {
        self.head.continues
    }

    /// Bytes that the record takes in its segment, padding included.
    #[inline]
    pub fn len_on_disk(&self) -> u64 {
        self.head.total_len
    }

    /// Whether it is a put that does not expire, as the bytes say.
    #[inline]
    pub fn is_plain_put(&self) -> bool {
        self.head.kind == Kind::Put && self.head.expires_at_ms.is_none()
    }

    /// Checks that the bytes are what was written at this place of this segment; `Corrupt` if not.
    #[inline]
    pub fn verify(&self) -> Result<()> {
        sabotage!(UncheckedRead, return Ok(()));
        if record::checksum_matches(self.bytes, self.segment.context().salt, self.offset) {
            return Ok(());
        }
        Err(self.segment.invalid_record(self.offset, Invalid::Checksum))
    }
}
