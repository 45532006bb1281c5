//! How far an unsealed segment counts. One reading tells, unless invalid bytes are met.

use crate::error::Result;
use crate::log::footer::Totals;
use crate::log::record::{ALIGNMENT, MARK_LEN};
use crate::log::scan_event::{EndState, ScannedRecord};
use crate::log::segment_header::{HEADER_LEN, Origin};
use crate::log::{Event, Scanner, Segment};

/// How far an unsealed segment counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset in bytes behind the last record that counts.
    pub end: u64,
    /// Whether nothing proves of a part of that that it is on the disk and not just in its cache.
    pub unproven: bool,
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

/// What a first reading of an unsealed segment tells.
#[derive(Clone, Copy, Debug)]
pub struct FirstReading {
    /// The highest sequence number that the segment itself proves to have been durable, by a mark or a footer.
    pub proven: u64,
    /// The highest sequence number of a valid record, whether it counts or not; 0 if there is none.
    pub highest: u64,
    /// What there is, if no invalid bytes were met and no record is missing.
    whole: Option<Whole>,
}

impl FirstReading {
    /// Whether no invalid bytes were met and no record is missing between others.
    pub fn is_whole(&self) -> bool {
        self.whole.is_some()
    }
}

/// A segment without invalid bytes.
#[derive(Clone, Copy, Debug)]
struct Whole {
    progress: Progress,
    /// A batch whose end is not there: its first sequence number, and how far the segment went before it.
    torn_batch: Option<(u64, Progress)>,
}

impl Whole {
    /// What counts of it: durable is durable as a whole, and what is missing of a proven batch is damage.
    fn counting(&self, proven: u64) -> Progress {
        sabotage!(HalfBatchKept, return self.progress);
        let torn = self.torn_batch.filter(|(sequence, _)| *sequence > proven);
        torn.map_or(self.progress, |(_, before)| before)
    }
}

/// How far a reading has come.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Offset behind all that counts so far.
    end: u64,
    /// Offset behind the last record.
    records_end: u64,
    totals: Totals,
    has_footer: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            end: HEADER_LEN as u64,
            records_end: HEADER_LEN as u64,
            totals: Totals::default(),
            has_footer: false,
        }
    }

    fn add(&mut self, record: &ScannedRecord<'_>) {
        self.end = record.offset + record.len;
        self.records_end = self.end;
        self.totals.add(record.kind, record.sequence);
    }

    fn extent(&self, proven: u64) -> Extent {
        let all_proven = self.totals.last_sequence <= proven && self.end == self.records_end;
        Extent {
            end: self.end,
            unproven: !all_proven,
            totals: self.totals,
            has_footer: self.has_footer,
        }
    }
}

/// Reads `segment` for the first time.
pub fn read(segment: &Segment) -> Result<FirstReading> {
    let mut progress = Progress::new();
    let mut torn_batch = None;
    let mut valid = true;
    let fresh = segment.header().origin == Origin::Fresh;
    let mut next_sequence = segment.header().base_sequence;
    let mut scanner = Scanner::new(segment)?;
    loop {
        match scanner.next_event()? {
            Event::Record(record) => {
                valid &= !fresh || record.sequence == next_sequence;
                next_sequence = record.sequence + 1;
                if record.continues {
                    torn_batch.get_or_insert((record.sequence, progress));
                }
                progress.add(&record);
                if !record.continues {
                    torn_batch = None;
                }
            }
            Event::Mark { offset, .. } => progress.end = offset + MARK_LEN,
            Event::Hints { end } | Event::Manifest { end } => progress.end = end,
            Event::Damaged(_) => valid = false,
            Event::End(end) => {
                let mark = end.highest_durable_mark.unwrap_or(0);
                let proven = match end.state {
                    EndState::Sealed(footer) => mark.max(footer.totals.last_sequence),
                    _ => mark,
                };
                progress.has_footer = matches!(end.state, EndState::Sealed(_));
                let whole = valid.then_some(Whole {
                    progress,
                    torn_batch,
                });
                return Ok(FirstReading {
                    proven,
                    highest: end.totals.last_sequence,
                    whole,
                });
            }
        }
    }
}

/// Measures `segment`, of which `first` was read, where everything up to the sequence number `proven` is known to have been
/// durable: the first invalid bytes after that end it. A batch that is not proven durable and of which a part is missing
/// does not count at all.
pub fn measure(segment: &Segment, first: &FirstReading, proven: u64) -> Result<Extent> {
    if let Some(whole) = &first.whole {
        return Ok(whole.counting(proven).extent(proven));
    }
    let mut progress = Progress::new();
    let fresh = segment.header().origin == Origin::Fresh;
    let mut next_sequence = segment.header().base_sequence;
    let mut before_batch = None;
    let mut scanner = Scanner::new(segment)?;
    loop {
        match scanner.next_event()? {
            // The damage before it took records that were never proven durable: what follows those is no prefix, and
            // may be the rest of a batch.
            Event::Record(record)
                if fresh && record.sequence > next_sequence && record.sequence - 1 > proven =>
            {
                break;
            }
            Event::Record(record) => {
                next_sequence = record.sequence + 1;
                // Durable is durable as a whole: what is missing of a proven batch is damage.
                if record.continues && record.sequence > proven {
                    before_batch.get_or_insert(progress);
                }
                progress.add(&record);
                if !record.continues {
                    before_batch = None;
                }
            }
            Event::Mark { offset, .. } => progress.end = offset + MARK_LEN,
            Event::Hints { end } | Event::Manifest { end } => progress.end = end,
            Event::Damaged(span) => {
                if span.sequence_before >= proven {
                    break;
                }
                // What is damaged was durable, and so was the whole of a batch around it.
                before_batch = None;
                progress.end = (span.offset + span.len).next_multiple_of(ALIGNMENT);
            }
            Event::End(end) => {
                progress.has_footer = matches!(end.state, EndState::Sealed(_));
                break;
            }
        }
    }
    sabotage!(HalfBatchKept, return Ok(progress.extent(proven)));
    Ok(before_batch.unwrap_or(progress).extent(proven))
}

#[cfg(test)]
mod tests;
