//! How far an unsealed segment counts.

use crate::error::Result;
use crate::log::footer::Totals;
use crate::log::record::{ALIGNMENT, MARK_LEN};
use crate::log::scan_event::EndState;
use crate::log::segment_header::HEADER_LEN;
use crate::log::{Event, Scanner, Segment};

/// How far an unsealed segment counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset in bytes behind the last record that counts.
    pub end: u64,
    /// Offset in bytes from which on nothing proves that the bytes are on the disk and not just in its cache.
    pub unproven_from: u64,
    /// The records up to `end`.
    pub totals: Totals,
    /// Whether a footer stands at `end` and the file has only not been cut behind it.
    pub has_footer: bool,
}

impl Extent {
    /// Whether nothing in the segment counts.
    pub fn is_empty(&self) -> bool {
        self.end == HEADER_LEN as u64
    }
}

/// The highest sequence number that `segment` itself proves to have been durable, by a mark or a footer.
pub fn proven_durable(segment: &Segment) -> Result<u64> {
    let mut scanner = Scanner::new(segment)?;
    loop {
        if let Event::End(end) = scanner.next_event()? {
            let mark = end.highest_durable_mark.unwrap_or(0);
            return Ok(match end.state {
                EndState::Sealed(footer) => mark.max(footer.totals.last_sequence),
                _ => mark,
            });
        }
    }
}

/// Measures `segment`, where everything up to the sequence number `proven` is known to have been durable: the first
/// invalid bytes after that end it. A batch of which a part is missing does not count at all.
pub fn measure(segment: &Segment, proven: u64) -> Result<Extent> {
    let mut extent = Extent {
        end: HEADER_LEN as u64,
        unproven_from: HEADER_LEN as u64,
        totals: Totals::default(),
        has_footer: false,
    };
    let mut before_batch = None;
    let mut scanner = Scanner::new(segment)?;
    loop {
        match scanner.next_event()? {
            Event::Record(record) => {
                if record.continues {
                    before_batch.get_or_insert(extent);
                }
                extent.end = record.offset + record.len;
                extent.totals.add(record.kind, record.sequence);
                if record.sequence <= proven {
                    extent.unproven_from = extent.end;
                }
                if !record.continues {
                    before_batch = None;
                }
            }
            Event::Mark { offset, .. } => extent.end = offset + MARK_LEN,
            Event::Damaged(span) => {
                if span.sequence_before >= proven {
                    break;
                }
                // What is damaged was durable, and so was the whole of a batch around it.
                before_batch = None;
                extent.end = (span.offset + span.len).next_multiple_of(ALIGNMENT);
            }
            Event::End(end) => {
                extent.has_footer = matches!(end.state, EndState::Sealed(_));
                break;
            }
        }
    }
    Ok(before_batch.unwrap_or(extent))
}
