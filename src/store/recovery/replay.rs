//! Reads the records of a segment that counts.

use std::sync::Arc;

use super::changes::Change;
use super::pipeline::Sink;
use super::survey::Kept;
use crate::error::{Error, Result};
use crate::log::hints::{self, Hints};
use crate::log::manifest::Manifest;
use crate::log::record::Kind;
use crate::log::segment_header::Origin;
use crate::log::{Event, OpenedSegment, Scanner, Segment};
use crate::store::live_segment::LiveSegment;
use crate::store::options::Options;
use crate::store::report::{DamagedSpan, RecoveryReport};
use crate::vfs::Vfs;

/// Opens the segment that `kept` describes for reading as the options say.
pub fn open(vfs: &dyn Vfs, kept: &Kept, options: &Options) -> Result<Arc<Segment>> {
    let path = kept.segment.path();
    // Through the open file: where another process writes the store, the name may be gone by now.
    if let Some(footer) = &kept.footer {
        return kept.segment.reopen_sealed(footer, options.read_mode);
    }
    match Segment::open(vfs, path, options.read_mode)? {
        OpenedSegment::Sealed { segment, .. } | OpenedSegment::Unsealed { segment } => Ok(segment),
        OpenedSegment::Headless { .. } => Err(Error::corrupt(
            path,
            0,
            "the header has changed while the store was opened",
        )),
    }
}

/// Reads the records of `live`, which `kept` describes, with sequence numbers above `after` into `sink`; `hash` is the index's
/// hash function. Answers how many bytes tombstones with other sequence numbers take, if it `counts_older`, else 0. Where there
/// are hints, and the manifest is intact, they stand for the records, and damage to these is not seen; else it goes into
/// `report`.
pub fn replay(
    kept: &Kept,
    live: &LiveSegment,
    after: u64,
    counts_older: bool,
    hash: &dyn Fn(&[u8]) -> u64,
    sink: &mut Sink<'_>,
    report: &mut RecoveryReport,
) -> Result<u64> {
    let mut reading = Reading {
        kept,
        live,
        after,
        counts_older,
        older_tombstones: 0,
        hash,
        sink,
        report,
    };
    let mut scratch = Vec::new();
    let hints = match &kept.footer {
        // No read ever comes upon it, so it is told now.
        _ if manifest_is_damaged(&kept.segment)? => Ok(None),
        Some(footer) => hints::read(&kept.segment, footer, &mut scratch),
        None => Ok(None),
    };
    match hints {
        Ok(Some(hints)) => {
            reading.take(hints)?;
            return Ok(reading.older_tombstones);
        }
        Ok(None) => {}
        // Damaged, or there is no memory for them: the records say the same.
        Err(_) => reading.report.hints_unusable += 1,
    }
    drop(scratch);
    reading.scan()?;
    Ok(reading.older_tombstones)
}

fn manifest_is_damaged(segment: &Segment) -> Result<bool> {
    let has_one = segment.header().origin == Origin::Compaction;
    Ok(has_one && Manifest::read(segment)?.is_none())
}

struct Reading<'r, 's> {
    kept: &'r Kept,
    live: &'r LiveSegment,
    after: u64,
    counts_older: bool,
    /// Bytes of tombstones that are not above `after`.
    older_tombstones: u64,
    hash: &'r dyn Fn(&[u8]) -> u64,
    sink: &'r mut Sink<'s>,
    report: &'r mut RecoveryReport,
}

impl Reading<'_, '_> {
    fn take(&mut self, hints: Hints<'_>) -> Result<()> {
        self.report.segments_from_hints += 1;
        let after = self.after;
        for hint in hints {
            if hint.sequence <= after {
                self.passed_over(hint.kind, hint.offset);
                continue;
            }
            self.found(hint.offset, hint.kind, hint.sequence, hint.key)?;
            self.report.records += 1;
        }
        Ok(())
    }

    fn scan(&mut self) -> Result<()> {
        self.report.segments_scanned += 1;
        let (live, after) = (self.live, self.after);
        let (counts_until, scan_until) = match self.kept.unsealed {
            // Only where the store is opened read-only.
            Some(extent) => (extent.end, u64::MAX),
            None => (self.kept.end, self.kept.end),
        };
        let mut scanner = Scanner::until(&live.segment, scan_until)?;
        loop {
            match scanner.next_event()? {
                Event::Record(record)
                    if record.offset < counts_until && record.sequence > after =>
                {
                    self.found(record.offset, record.kind, record.sequence, record.key)?;
                    self.report.records += 1;
                }
                Event::Record(record) if record.offset < counts_until => {
                    self.passed_over(record.kind, record.offset);
                }
                Event::Damaged(span) if span.offset < counts_until => {
                    let path = self.kept.segment.path();
                    self.report
                        .add_damage(DamagedSpan::new(path, span.offset, span.len));
                    sabotage!(DamageForgotten, continue);
                    // Whoever asks for the key that the record seems to have had hears of the damage, and does not
                    // get an older version.
                    if let Some(record) = span.probable.filter(|record| record.sequence > after) {
                        self.found(span.offset, Kind::Put, record.sequence, record.key)?;
                    }
                }
                Event::End(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// A record that is accounted for already.
    fn passed_over(&mut self, kind: Kind, offset: u64) {
        if self.counts_older && kind == Kind::Tombstone {
            let head = self.live.segment.head_at(offset);
            // Of what cannot be read nobody knows how long it is.
            self.older_tombstones += head.map_or(0, |head| head.total_len);
        }
    }

    #[inline]
    fn found(&mut self, offset: u64, kind: Kind, sequence: u64, key: &[u8]) -> Result<()> {
        (self.sink)(&Change {
            hash: (self.hash)(key),
            location: self.live.location(offset)?,
            sequence,
            removes: kind == Kind::Tombstone,
            key,
        })
    }
}
