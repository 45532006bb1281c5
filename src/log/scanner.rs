//! Reads a segment from front to back, as recovery does, and finds its way again behind invalid bytes.
//!
//! Behind invalid bytes every multiple of sixteen is tried. A place counts as a record only if its checksum, which
//! depends on the segment and the place, and its sequence number fit. The whole search is bounded: whatever the file
//! holds, no more than some thousand bytes are looked at for each of its bytes, because the checksums of long claims
//! come from a [`ChecksumIndex`]; for random bytes it is about one. Memory is bounded by a window of 1 MiB and, once
//! invalid bytes were met, a thousandth of the file.

use crate::error::Result;
use crate::log::byte_source::{ASIDE_LEN, ByteSource, WINDOW_LEN};
use crate::log::checksum_index::ChecksumIndex;
use crate::log::footer::{FOOTER_LEN, Footer, Totals};
use crate::log::record::{self, ALIGNMENT, CHECKED_FROM, Head, Invalid, Kind, MAX_HEAD_LEN};
use crate::log::scan_event::{DamagedSpan, End, EndState, Event, ProbableRecord, ScannedRecord};
use crate::log::segment::Segment;
use crate::log::segment_header::{HEADER_LEN, Origin};

/// Yields what a segment holds, in the order of its bytes: see [`Scanner::next_event`].
pub struct Scanner<'s> {
    segment: &'s Segment,
    source: ByteSource<'s>,
    /// Where the valid records so far end.
    valid_end: u64,
    /// Where to go on.
    resume: u64,
    /// How many invalid bytes were skipped since the last valid put or tombstone.
    skipped: u64,
    /// Made when the first invalid bytes are met.
    checksums: Option<ChecksumIndex>,
    totals: Totals,
    last_sequence: u64,
    highest_durable_mark: Option<u64>,
    /// Where the zeros at the end begin; known once invalid bytes were met.
    zeros_at_end: Option<u64>,
    end: Option<End>,
}

// Enough for any writer, and little enough that following them costs nothing.
const MOST_MARKS_IN_A_ROW: usize = 16;

type Checked = std::result::Result<Head, Invalid>;

/// Where to read from: where the scan goes on, or elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Along,
    Aside,
}

/// Which valid fresh record stands behind a place, marks aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Following {
    /// A put or tombstone with this sequence number.
    Record(u64),
    /// A footer that names this last sequence number.
    Footer(u64),
    /// None, or it cannot be told.
    Unknown,
}

impl<'s> Scanner<'s> {
    /// A scan of all bytes of `segment` that are readable now. Errors: `Memory`.
    pub fn new(segment: &'s Segment) -> Result<Self> {
        Self::until(segment, u64::MAX)
    }

    /// As [`Self::new`], but as if the segment ended at `end`. Errors: `Memory`.
    pub fn until(segment: &'s Segment, end: u64) -> Result<Self> {
        let first = HEADER_LEN as u64;
        Ok(Self {
            segment,
            source: ByteSource::new(segment, end)?,
            valid_end: first,
            resume: first,
            skipped: 0,
            checksums: None,
            totals: Totals::default(),
            last_sequence: segment.header().base_sequence - 1,
            highest_durable_mark: None,
            zeros_at_end: None,
            end: None,
        })
    }

    /// A scan from `offset` on, behind a record or mark, where `last_sequence` is that of the last put or tombstone before, or the
    /// segment's base sequence less one. Errors: `Memory`.
    pub fn from(segment: &'s Segment, offset: u64, last_sequence: u64) -> Result<Self> {
        Ok(Self {
            valid_end: offset,
            resume: offset,
            last_sequence,
            ..Self::new(segment)?
        })
    }

    /// What comes next if it is valid. `None` where it is not: in a segment that another process is writing that means no more than
    /// that it has not come further, and a search for what follows would be in vain. Errors as [`Self::next_event`].
    pub fn next_in_line(&mut self) -> Result<Option<Event<'_>>> {
        if self.end.is_none()
            && self.resume < self.source.end()
            && self.check(self.resume, Look::Along)?.is_err()
        {
            return Ok(None);
        }
        self.next_event().map(Some)
    }

    /// What comes next; after the end, the end again. Invalid bytes are events, not errors.
    /// Errors: `Memory`, `Io`, and `Corrupt` if the file was cut during the scan.
    pub fn next_event(&mut self) -> Result<Event<'_>> {
        if let Some(end) = self.end {
            return Ok(Event::End(end));
        }
        if self.resume >= self.source.end() {
            return Ok(self.finish(EndState::Clean));
        }
        match self.check(self.resume, Look::Along)? {
            Ok(head) => self.accept(self.resume, &head),
            Err(reason) => self.skip_invalid(reason),
        }
    }

    fn finish(&mut self, state: EndState) -> Event<'_> {
        let end = self.end_with(state);
        self.end = Some(end);
        Event::End(end)
    }

    fn end_with(&self, state: EndState) -> End {
        End {
            state,
            valid_end: self.valid_end.min(self.source.end()),
            totals: self.totals,
            last_sequence: self.last_sequence,
            highest_durable_mark: self.highest_durable_mark,
        }
    }

    // Here as everywhere, all that can fail comes before the scanner's state changes, so that after an error the
    // scan goes on where it was.
    fn accept(&mut self, offset: u64, head: &Head) -> Result<Event<'_>> {
        if head.kind == Kind::Footer {
            return self.accept_footer(offset);
        }
        let durable_before = self.durable_before(head);
        let key = self
            .source
            .bytes(offset + head.head_len as u64, head.key_len)?;
        self.valid_end = offset + head.total_len;
        self.resume = self.valid_end;
        if matches!(head.kind, Kind::Hints | Kind::Manifest) {
            let end = self.valid_end;
            return Ok(match head.kind {
                Kind::Hints => Event::Hints { end },
                _ => Event::Manifest { end },
            });
        }
        if head.kind == Kind::Mark {
            self.highest_durable_mark = self.highest_durable_mark.max(Some(head.sequence));
            return Ok(Event::Mark {
                offset,
                durable_sequence: head.sequence,
            });
        }
        self.skipped = 0;
        self.highest_durable_mark = self.highest_durable_mark.max(durable_before);
        self.last_sequence = head.sequence;
        self.totals.add(head.kind, head.sequence);
        Ok(Event::Record(ScannedRecord {
            offset,
            len: head.total_len,
            kind: head.kind,
            continues: head.continues,
            expires_at_ms: head.expires_at_ms,
            sequence: head.sequence,
            key,
            value_len: head.value_len,
        }))
    }

    fn accept_footer(&mut self, offset: u64) -> Result<Event<'_>> {
        let Some(footer) = self.footer_at(offset, Look::Along)? else {
            return self.skip_invalid(Invalid::Shape);
        };
        let behind = offset + FOOTER_LEN as u64;
        let zeros = self.zeros_at_end()?;
        self.valid_end = offset;
        self.finish(EndState::Sealed(footer));
        if zeros <= behind {
            return self.next_event();
        }
        Ok(Event::Damaged(DamagedSpan {
            offset: behind,
            len: self.span_end(zeros) - behind,
            sequence_before: self.last_sequence,
            reason: Invalid::Kind,
            probable: None,
        }))
    }

    fn footer_at(&mut self, offset: u64, look: Look) -> Result<Option<Footer>> {
        let mut bytes = [0; FOOTER_LEN];
        bytes.copy_from_slice(self.look(look, offset, FOOTER_LEN)?);
        let footer = Footer::decode(&bytes, offset).map(|(footer, _)| footer);
        Ok(footer.filter(|footer| footer.header == *self.segment.header_bytes()))
    }

    // Goes on at the next valid record, or ends the scan.
    fn skip_invalid(&mut self, reason: Invalid) -> Result<Event<'_>> {
        let start = self.resume;
        let zeros = self.zeros_at_end()?;
        if start >= zeros {
            return Ok(self.finish(EndState::Clean));
        }
        self.checksums
            .get_or_insert_with(|| ChecksumIndex::new(start));
        let head = self.decode(start, Look::Along)?.ok();
        let head = head.filter(|head| matches!(head.kind, Kind::Put | Kind::Tombstone));
        let next = self.next_after(start, head.as_ref(), zeros)?;
        let at_end = next >= zeros;
        let leads_on = |head: &Head| match start + head.total_len {
            end if at_end => end >= zeros,
            end => end == next,
        };
        let probable = match (head.filter(leads_on), self.following(next, zeros)?) {
            // If no sequence number is missing, the bytes were a mark, whatever they look like.
            (Some(_), Following::Record(sequence)) if sequence == self.last_sequence + 1 => None,
            (Some(head), Following::Record(_)) => Some(head),
            // Nothing shows which sequence numbers are missing. The footer does not, since recovery may have sealed
            // a segment that was damaged before: it counts what was valid then.
            (head, _) => head.filter(|head| self.sequence_fits(start, head)),
        };
        let end = if at_end { self.span_end(zeros) } else { next };
        let ending = at_end.then(|| self.end_with(EndState::Invalid { at: start }));
        let probable = match probable {
            None => None,
            Some(head) => Some(ProbableRecord {
                kind: head.kind,
                sequence: head.sequence,
                key: self
                    .source
                    .bytes(start + head.head_len as u64, head.key_len)?,
            }),
        };
        self.end = ending;
        self.resume = next;
        self.skipped += next - start;
        Ok(Event::Damaged(DamagedSpan {
            offset: start,
            len: end - start,
            sequence_before: self.last_sequence,
            reason,
            probable,
        }))
    }

    // Where the next valid record behind the invalid one at `start` begins, or `zeros` if there is none.
    fn next_after(&mut self, start: u64, head: Option<&Head>, zeros: u64) -> Result<u64> {
        let mut place = start;
        if let Some(head) = head
            && self.is_the_missing_record(start, head, zeros)?
        {
            let next = start + head.total_len;
            self.collect_marks(start, next)?;
            return Ok(next);
        }
        let found = self.next_valid(&mut place, zeros)?;
        Ok(if found.is_some() { place } else { zeros })
    }

    // Whether `head`, at `start`, has the very sequence number that is missing before what it leads to. Then valid-looking
    // records between are part of its value. If the damage is to its lengths, so that it swallows records that
    // do not belong to it, their sequence numbers are missing as well.
    fn is_the_missing_record(&mut self, start: u64, head: &Head, zeros: u64) -> Result<bool> {
        let missing = self.last_sequence + 1;
        Ok(head.sequence == missing
            && match self.following(start + head.total_len, zeros)? {
                Following::Record(sequence) => sequence == missing + 1,
                Following::Footer(last_sequence) => last_sequence == missing,
                Following::Unknown => false,
            })
    }

    // What the valid records at `place` go on with.
    fn following(&mut self, mut place: u64, zeros: u64) -> Result<Following> {
        if self.segment.header().origin != Origin::Fresh {
            return Ok(Following::Unknown);
        }
        for _ in 0..MOST_MARKS_IN_A_ROW {
            if place >= zeros {
                break;
            }
            let Ok(head) = self.check(place, Look::Aside)? else {
                break;
            };
            match head.kind {
                Kind::Put | Kind::Tombstone => return Ok(Following::Record(head.sequence)),
                Kind::Mark | Kind::Hints | Kind::Manifest => place += head.total_len,
                Kind::Footer => {
                    let footer = self.footer_at(place, Look::Aside)?;
                    let last = footer.map(|footer| footer.totals.last_sequence);
                    return Ok(last.map_or(Following::Unknown, Following::Footer));
                }
            }
        }
        Ok(Following::Unknown)
    }

    /// The last sequence number before the record, if that says that it is durable.
    fn durable_before(&self, head: &Head) -> Option<u64> {
        let header = self.segment.header();
        if !head.follows_durable {
            return None;
        }
        Some(match head.sequence == header.base_sequence {
            // Numbers that an earlier run has given away, and that nothing has, may lie between.
            true => header.predecessor_sequence,
            false => head.sequence - 1,
        })
    }

    // Marks count even where they may be part of a value: to take torn bytes for damage loses nothing, the
    // contrary might.
    fn collect_marks(&mut self, start: u64, end: u64) -> Result<()> {
        let mut place = start;
        while let Some(head) = self.next_valid(&mut place, end)? {
            let durable = match head.kind {
                Kind::Mark => Some(head.sequence),
                _ => self.durable_before(&head),
            };
            self.highest_durable_mark = self.highest_durable_mark.max(durable);
        }
        Ok(())
    }

    // Moves `place` on, by at least one step, to the next valid record before `end`.
    fn next_valid(&mut self, place: &mut u64, end: u64) -> Result<Option<Head>> {
        loop {
            *place += ALIGNMENT;
            if *place >= end {
                return Ok(None);
            }
            if let Ok(head) = self.check(*place, Look::Along)? {
                return Ok(Some(head));
            }
        }
    }

    fn zeros_at_end(&mut self) -> Result<u64> {
        if let Some(zeros) = self.zeros_at_end {
            return Ok(zeros);
        }
        let zeros = self.source.zeros_at_end()?;
        self.zeros_at_end = Some(zeros);
        Ok(zeros)
    }

    // The end of invalid bytes behind which only the zeros from `zeros` on stand.
    fn span_end(&self, zeros: u64) -> u64 {
        record::padded(zeros).min(self.source.end())
    }

    fn decode(&mut self, offset: u64, look: Look) -> Result<Checked> {
        let available = self.source.end() - offset;
        let context = *self.segment.context();
        let bytes = self.look(look, offset, MAX_HEAD_LEN)?;
        Ok(record::decode_head(bytes, available, &context))
    }

    fn look(&mut self, look: Look, offset: u64, len: usize) -> Result<&[u8]> {
        match look {
            Look::Along => self.source.bytes(offset, len),
            Look::Aside => self.source.bytes_aside(offset, len),
        }
    }

    // Whether a valid record begins at `offset`, which is `resume` or, behind invalid bytes, lies further on.
    fn check(&mut self, offset: u64, look: Look) -> Result<Checked> {
        let head = match self.decode(offset, look)? {
            Ok(head) => head,
            invalid => return Ok(invalid),
        };
        if !self.sequence_fits(offset, &head) {
            return Ok(Err(Invalid::Sequence));
        }
        if !self.checksum_matches(offset, &head, look)? {
            return Ok(Err(Invalid::Checksum));
        }
        Ok(Ok(head))
    }

    fn sequence_fits(&self, offset: u64, head: &Head) -> bool {
        if !matches!(head.kind, Kind::Put | Kind::Tombstone) {
            return true;
        }
        // As many records as the invalid bytes had room for may be missing.
        let missing = (self.skipped + offset - self.resume) / ALIGNMENT;
        let next = self.last_sequence + 1;
        match self.segment.header().origin {
            Origin::Fresh => (next..=next + missing).contains(&head.sequence),
            Origin::Compaction => head.sequence >= next,
        }
    }

    fn checksum_matches(&mut self, offset: u64, head: &Head, look: Look) -> Result<bool> {
        let salt = self.segment.context().salt;
        let len = head.unpadded_len();
        if len <= ASIDE_LEN {
            let bytes = self.look(look, offset, len)?;
            return Ok(record::checksum_matches(bytes, salt, offset));
        }
        let stored = record::stored_checksum(self.look(look, offset, MAX_HEAD_LEN)?);
        let start = offset + CHECKED_FROM as u64;
        let end = offset + len as u64;
        let checksum = match &mut self.checksums {
            Some(index) => {
                let initial = record::initial_checksum(salt, offset);
                index.checksum(&mut self.source, initial, start, end)?
            }
            None => self.checksum_by_pieces(offset, start, end)?,
        };
        Ok(checksum == stored)
    }

    fn checksum_by_pieces(&mut self, offset: u64, start: u64, end: u64) -> Result<u32> {
        let mut hasher = record::start_checksum(self.segment.context().salt, offset);
        let mut position = start;
        while position < end {
            let piece = self
                .source
                .bytes(position, (end - position).min(WINDOW_LEN as u64) as usize)?;
            hasher.update(piece);
            position += piece.len() as u64;
        }
        Ok(hasher.finalize())
    }
}

#[cfg(test)]
mod tests;
