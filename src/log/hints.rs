//! Hints: what the index needs of a sealed segment, without the values.
//!
//! They stand between the last record and the footer, as the value of a record of their own, and are worth their bytes where
//! values are large. They are a shortcut and never the truth: where anything about them is wrong, the records are read instead.
//! `docs/format.md` describes them byte by byte.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::footer::{Footer, Totals};
use crate::log::record::{self, ALIGNMENT, Kind, MAX_KEY_LEN};
use crate::log::segment::Segment;
use crate::log::segment_header::HEADER_LEN;
use crate::log::varint;
use crate::memory::budget::MemoryBudget;
use crate::memory::scratch::Scratch;

/// Hints are written for segments whose records take at least so many bytes on the average.
const LEAST_MEAN_LEN: u64 = 1024;
/// Hints take at most one part in so many of their segment, or are not written.
const LARGEST_PART: u64 = 16;

/// What hints say of a put or tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint<'a> {
    /// Where the record begins.
    pub offset: u64,
    /// [`Kind::Put`] or [`Kind::Tombstone`].
    pub kind: Kind,
    /// The record's sequence number.
    pub sequence: u64,
    /// The key.
    pub key: &'a [u8],
}

/// The hints for `segment`, whose valid records amount to `totals` and end at `end`; `None` if they are not worth it. Reads
/// the heads and keys of all records. Memory: one part in sixteen of the segment at most.
/// Errors: `Memory`, also if `budget` has too little, `Io`, and `Corrupt` if the records are not what `totals` says.
pub fn collect(
    segment: &Segment,
    totals: &Totals,
    end: u64,
    budget: &Arc<MemoryBudget>,
) -> Result<Option<Scratch>> {
    let content = end - HEADER_LEN as u64;
    if totals.records == 0 || content / totals.records < LEAST_MEAN_LEN {
        return Ok(None);
    }
    let mut bytes = Scratch::within(budget.clone());
    let mut scratch = Vec::new();
    let mut previous = Position::before(segment);
    let mut offset = HEADER_LEN as u64;
    while offset < end {
        let head = segment.head_at(offset)?;
        if matches!(head.kind, Kind::Put | Kind::Tombstone) {
            let key = segment.key_at(offset, &mut scratch)?;
            let mut numbers = [0; 3 * varint::MAX_LEN];
            let mut len = 0;
            let units = (offset - previous.offset) / ALIGNMENT;
            let tombstone = u64::from(head.kind == Kind::Tombstone);
            varint::write(&mut numbers, &mut len, units << 1 | tombstone);
            let skipped = head.sequence.checked_sub(previous.sequence + 1);
            let Some(skipped) = skipped else {
                return Err(Error::corrupt(
                    segment.path(),
                    offset,
                    "sequence numbers fall",
                ));
            };
            varint::write(&mut numbers, &mut len, skipped);
            varint::write(&mut numbers, &mut len, key.len() as u64);
            if (bytes.len() + len + key.len()) as u64 > content / LARGEST_PART {
                return Ok(None);
            }
            bytes.append(&numbers[..len], "the hints of a segment")?;
            bytes.append(key, "the hints of a segment")?;
            previous = Position {
                offset,
                sequence: head.sequence,
            };
        }
        offset += head.total_len;
    }
    Ok(Some(bytes))
}

/// The hints of `segment`, which was sealed with `footer`, read into `scratch`; `None` if there are none.
/// Errors: `Memory`, `Io`, and `Corrupt` if anything about them is wrong. What this lets pass fits the segment and the
/// footer in every number.
pub fn read<'a>(
    segment: &Segment,
    footer: &Footer,
    scratch: &'a mut Vec<u8>,
) -> Result<Option<Hints<'a>>> {
    let start = footer.records_end();
    if start == footer.offset {
        return Ok(None);
    }
    let wrong = || Error::corrupt(segment.path(), start, "the hints are damaged");
    let len = usize::try_from(footer.offset - start).map_err(|_| wrong())?;
    let reserved = scratch.try_reserve(len.saturating_sub(scratch.len()));
    reserved.map_err(|_| Error::memory("the hints of a segment"))?;
    scratch.resize(len, 0);
    segment.read_exact_at(scratch, start)?;
    let context = segment.context();
    let head = record::decode_head(scratch, len as u64, context).map_err(|_| wrong())?;
    let bytes = &scratch[..head.unpadded_len()];
    if head.kind != Kind::Hints
        || head.total_len != len as u64
        || !record::checksum_matches(bytes, context.salt, start)
    {
        return Err(wrong());
    }
    let hints = Hints {
        bytes: &bytes[head.head_len..],
        previous: Position::before(segment),
        end: start,
    };
    // All of them, before anybody relies on the first.
    let mut checked = hints.clone();
    let mut totals = Totals::default();
    for hint in checked.by_ref() {
        totals.add(hint.kind, hint.sequence);
    }
    if !checked.bytes.is_empty() || totals != footer.totals {
        return Err(wrong());
    }
    Ok(Some(hints))
}

#[derive(Clone, Copy)]
struct Position {
    offset: u64,
    sequence: u64,
}

impl Position {
    /// What the first hint counts from.
    fn before(segment: &Segment) -> Self {
        Self {
            offset: 0,
            sequence: segment.header().base_sequence - 1,
        }
    }
}

/// The hints of a segment, in the order of its records.
#[derive(Clone)]
pub struct Hints<'a> {
    bytes: &'a [u8],
    previous: Position,
    /// Where the records end.
    end: u64,
}

impl<'a> Iterator for Hints<'a> {
    type Item = Hint<'a>;

    /// The next hint; `None` at the end, or where the bytes are none.
    fn next(&mut self) -> Option<Hint<'a>> {
        let mut position = 0;
        let units_and_kind = varint::read(self.bytes, &mut position)?;
        let skipped = varint::read(self.bytes, &mut position)?;
        let key_len = usize::try_from(varint::read(self.bytes, &mut position)?).ok()?;
        let key = self.bytes.get(position..position.checked_add(key_len)?)?;
        let distance = (units_and_kind >> 1).checked_mul(ALIGNMENT)?;
        let offset = self.previous.offset.checked_add(distance)?;
        let sequence = self
            .previous
            .sequence
            .checked_add(1)?
            .checked_add(skipped)?;
        let fits = offset > self.previous.offset
            && offset >= HEADER_LEN as u64
            && offset < self.end
            && key_len <= MAX_KEY_LEN;
        if !fits {
            return None;
        }
        self.bytes = &self.bytes[position + key_len..];
        self.previous = Position { offset, sequence };
        Some(Hint {
            offset,
            kind: match units_and_kind & 1 {
                0 => Kind::Put,
                _ => Kind::Tombstone,
            },
            sequence,
            key,
        })
    }
}

#[cfg(test)]
mod tests;
