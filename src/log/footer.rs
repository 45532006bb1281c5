//! The last record of a sealed segment.
//!
//! A footer is written only after everything before it is durable, and the file is then cut behind it. A valid footer
//! is therefore the proof that the segment is complete: whatever is invalid before it is damage.

use crate::error::Result;
use crate::log::little_endian::{read_u64, write_u64};
use crate::log::record::{self, ALIGNMENT, Fields, Kind, SegmentContext};
use crate::log::segment_header::{HEADER_LEN, SegmentHeader};

/// Bytes of a footer record on disk; always the same, so that it is found from the end of the file.
pub const FOOTER_LEN: usize = 208;
/// Bytes of the value of a footer record. It ends where the record ends, without padding.
pub const VALUE_LEN: usize = FOOTER_LEN - HEAD_LEN;

// Checksum, kind, key length 0, value length in two bytes, sequence 0.
const HEAD_LEN: usize = 4 + 1 + 1 + 2 + 1;
const RECORD_COUNT_AT: usize = 0;
const TOMBSTONE_COUNT_AT: usize = 8;
const FIRST_SEQUENCE_AT: usize = 16;
const LAST_SEQUENCE_AT: usize = 24;
const OFFSET_AT: usize = 32;
const KEYS_AT: usize = 40;
const HINTS_AT: usize = 48;
const HEADER_COPY_AT: usize = 56;
const NOTHING_EXPIRES_AT: usize = HEADER_COPY_AT + HEADER_LEN;
const EXPIRED_UNTIL_AT: usize = NOTHING_EXPIRES_AT + 1;
/// As many milliseconds as there are until the year 10889.
const EXPIRED_UNTIL_LEN: usize = 6;
const MAGIC_AT: usize = VALUE_LEN - MAGIC.len();
const MAGIC: [u8; 8] = *b"FREYEND\x89";

/// What the records of a segment amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Puts and tombstones.
    pub records: u64,
    /// Tombstones alone.
    pub tombstones: u64,
    /// Sequence number of the first put or tombstone; 0 if there is none.
    pub first_sequence: u64,
    /// Sequence number of the last put or tombstone; 0 if there is none.
    pub last_sequence: u64,
}

impl Totals {
    /// Adds a record, of whichever kind, behind those counted so far.
    #[inline(always)]
    pub fn add(&mut self, kind: Kind, sequence: u64) {
        if !matches!(kind, Kind::Put | Kind::Tombstone) {
            return;
        }
        if self.records == 0 {
            self.first_sequence = sequence;
        }
        self.last_sequence = sequence;
        self.records += 1;
        self.tombstones += u64::from(kind == Kind::Tombstone);
    }
}

/// What a segment's footer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// What the records before the footer amount to.
    pub totals: Totals,
    /// Where the footer record begins, in bytes from the beginning of the file: where the other records end.
    pub offset: u64,
    /// How many keys the store had when the segment was sealed, or 0 if that was not known. Nothing depends on it: it
    /// tells the next open how large an index to prepare.
    pub keys: u64,
    /// Where the segment's hints begin, which end where the footer begins; `None` if there are none.
    pub hints_at: Option<u64>,
    /// Whether it is known that no record of the segment expires.
    pub nothing_expires: bool,
    /// As [`SegmentHeader::expired_until_ms`], when the segment was sealed. Goes to disk in 48 bits.
    pub expired_until_ms: u64,
    /// The segment's header, as it stands at the beginning of the file.
    pub header: [u8; HEADER_LEN],
}

impl Footer {
    /// Where the last record ends: where the hints begin, or the footer.
    pub fn records_end(&self) -> u64 {
        self.hints_at.unwrap_or(self.offset)
    }

    /// The footer record as it goes to disk, at the offset that it names.
    pub fn encode(&self, context: &SegmentContext) -> Result<[u8; FOOTER_LEN]> {
        let mut value = [0; VALUE_LEN];
        write_u64(&mut value, RECORD_COUNT_AT, self.totals.records);
        write_u64(&mut value, TOMBSTONE_COUNT_AT, self.totals.tombstones);
        write_u64(&mut value, FIRST_SEQUENCE_AT, self.totals.first_sequence);
        write_u64(&mut value, LAST_SEQUENCE_AT, self.totals.last_sequence);
        write_u64(&mut value, OFFSET_AT, self.offset);
        write_u64(&mut value, KEYS_AT, self.keys);
        write_u64(&mut value, HINTS_AT, self.hints_at.unwrap_or(0));
        value[HEADER_COPY_AT..HEADER_COPY_AT + HEADER_LEN].copy_from_slice(&self.header);
        value[NOTHING_EXPIRES_AT] = u8::from(self.nothing_expires);
        let expired_until = self
            .expired_until_ms
            .min((1 << (8 * EXPIRED_UNTIL_LEN)) - 1);
        value[EXPIRED_UNTIL_AT..MAGIC_AT]
            .copy_from_slice(&expired_until.to_le_bytes()[..EXPIRED_UNTIL_LEN]);
        value[MAGIC_AT..].copy_from_slice(&MAGIC);
        let fields = Fields {
            kind: Kind::Footer,
            continues: false,
            follows_durable: false,
            expires_at_ms: None,
            sequence: context.base_sequence,
            key: &[],
            value: &value,
        };
        let head = record::encode_head(&fields, self.offset, context)?;
        let mut bytes = [0; FOOTER_LEN];
        bytes[..HEAD_LEN].copy_from_slice(head.as_bytes());
        bytes[HEAD_LEN..].copy_from_slice(&value);
        Ok(bytes)
    }

    /// Reads the footer from the bytes of a record that begins at `offset`. The salt is that of the header copy
    /// within, which has a checksum of its own, so that a segment whose header is damaged can still be read.
    /// `None` if the bytes are not a footer written at that offset.
    pub fn decode(bytes: &[u8; FOOTER_LEN], offset: u64) -> Option<(Self, SegmentHeader)> {
        let value = &bytes[HEAD_LEN..];
        if value[MAGIC_AT..] != MAGIC || read_u64(value, OFFSET_AT) != offset {
            return None;
        }
        let mut header_bytes = [0; HEADER_LEN];
        header_bytes.copy_from_slice(&value[HEADER_COPY_AT..HEADER_COPY_AT + HEADER_LEN]);
        let header = SegmentHeader::decode(&header_bytes).ok()?;
        let head = record::decode_head(bytes, FOOTER_LEN as u64, &header.context()).ok()?;
        if head.kind != Kind::Footer || !record::checksum_matches(bytes, header.salt, offset) {
            return None;
        }
        let totals = Totals {
            records: read_u64(value, RECORD_COUNT_AT),
            tombstones: read_u64(value, TOMBSTONE_COUNT_AT),
            first_sequence: read_u64(value, FIRST_SEQUENCE_AT),
            last_sequence: read_u64(value, LAST_SEQUENCE_AT),
        };
        let footer = Self {
            totals,
            offset,
            keys: read_u64(value, KEYS_AT),
            hints_at: Some(read_u64(value, HINTS_AT)).filter(|&hints_at| {
                // Anything else is passed over: without hints the records are read.
                hints_at > HEADER_LEN as u64
                    && hints_at < offset
                    && hints_at.is_multiple_of(ALIGNMENT)
            }),
            nothing_expires: value[NOTHING_EXPIRES_AT] == 1,
            expired_until_ms: read_expired_until(value),
            header: header_bytes,
        };
        Some((footer, header))
    }
}

fn read_expired_until(value: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..EXPIRED_UNTIL_LEN].copy_from_slice(&value[EXPIRED_UNTIL_AT..MAGIC_AT]);
    u64::from_le_bytes(bytes)
}

const _: () = assert!(EXPIRED_UNTIL_AT + EXPIRED_UNTIL_LEN == MAGIC_AT);

#[cfg(test)]
mod tests;
