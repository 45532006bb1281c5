//! Reading every byte of the log and telling what is wrong with it.
//!
//! Invalid bytes are kept pending until what follows tells which sequence numbers are missing: the next record, the
//! footer, the next segment, or whatever proves that more was durable.

use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

use super::Listener;
use super::finding::{Finding, FindingKind, Severity};
use super::pending::{LostRecord, PendingSpan, copied};
use super::report::VerifyReport;
use crate::error::{Error, ErrorKind, Result};
use crate::log::hints::{self, Hint, Hints};
use crate::log::record::Kind;
use crate::log::scan_event::{EndState, ScannedRecord};
use crate::log::segment_header::Origin;
use crate::log::{Event, Scanner};
use crate::memory::epoch;
use crate::store::live_segment::LiveSegment;
use crate::store::recovery::{Examined, Kept, View};

/// What the log shows once it was read.
#[derive(Default)]
pub struct LogState {
    /// The highest sequence number of a lost record of which nobody can tell for sure whose it was; 0 if there is none.
    pub uncertain: u64,
    /// The lowest sequence number of a lost record; `u64::MAX` if there is none.
    pub first_lost: u64,
    /// Damaged parts of segments, by segment and offset.
    pub damaged: Vec<(u64, Range<u64>)>,
    /// Keys whose newest record is known to be damaged.
    pub lost_keys: Vec<Vec<u8>>,
}

/// Calls `visit` with every segment that counts and its place among the locations of `view`.
pub fn for_each_segment(
    examined: &Examined<'_>,
    view: &View,
    mut visit: impl FnMut(&Kept, &Arc<LiveSegment>) -> Result<()>,
) -> Result<()> {
    let members = view.segments.members()?;
    for kept in &examined.survey.kept {
        let id = kept.segment.id();
        if let Ok(position) = members.binary_search_by_key(&id, |live| live.segment.id()) {
            visit(kept, &members[position])?;
        }
    }
    Ok(())
}

/// Up to where the records of `kept` count, and up to where they are to be scanned to know that.
pub fn bounds(kept: &Kept) -> (u64, u64) {
    match kept.unsealed {
        Some(extent) => (extent.end, u64::MAX),
        None => (kept.end, kept.end),
    }
}

/// Whether `kept` holds records as they were written, one sequence number after the other.
fn is_fresh(kept: &Kept) -> bool {
    kept.segment.header().origin == Origin::Fresh
}

/// The reading of the whole log.
pub struct LogPass<'p> {
    view: &'p View,
    report: &'p mut VerifyReport,
    listener: &'p mut Listener<'p>,
    state: LogState,
    /// The sequence number that comes next if nothing is missing.
    expected: u64,
    /// Up to which sequence number compaction explains what is not where it was written.
    explained: u64,
    pending: Option<PendingSpan>,
}

impl<'p> LogPass<'p> {
    /// Reads the log of `examined`.
    pub fn read(
        examined: &'p Examined<'_>,
        report: &'p mut VerifyReport,
        listener: &'p mut Listener<'p>,
    ) -> Result<LogState> {
        let mut pass = LogPass {
            view: &examined.log,
            report,
            listener,
            state: LogState {
                first_lost: u64::MAX,
                ..LogState::default()
            },
            expected: 1,
            explained: examined.survey.explained(),
            pending: None,
        };
        for_each_segment(examined, pass.view, |kept, live| pass.segment(kept, live))?;
        pass.finish(examined)?;
        Ok(pass.state)
    }

    fn tell(&mut self, finding: &Finding) {
        self.report.add(finding);
        (self.listener)(finding);
    }

    fn segment(&mut self, kept: &Kept, live: &Arc<LiveSegment>) -> Result<()> {
        self.report.segments += 1;
        let header = kept.segment.header();
        if is_fresh(kept) {
            let before = header.predecessor_sequence;
            if self.pending.is_none() {
                // What compaction has moved, or dropped, is not missing.
                self.expected = self.expected.max(before.min(self.explained) + 1);
            }
            self.missing_up_to(
                before,
                kept,
                "before this segment; put the file back from a backup",
            )?;
            self.settle(self.expected.saturating_sub(1), true)?;
            self.expected = header.base_sequence;
        }
        let mut scratch = Vec::new();
        let hints = match &kept.footer {
            Some(footer) => hints::read(&kept.segment, footer, &mut scratch),
            None => Ok(None),
        };
        let hints = match hints {
            Ok(hints) => hints,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let footer_at = kept.footer.map_or(kept.content_end, |footer| footer.offset);
                let place = (kept.content_end, footer_at - kept.content_end);
                self.tell(&Finding::new(
                    FindingKind::DamagedHints,
                    Severity::Damage,
                    kept.segment.path(),
                    place,
                    "the hints are damaged; nothing is lost, opening reads the records instead",
                ));
                None
            }
            Err(error) => return Err(error),
        };
        let before = self.report.damages;
        // What compaction wrote stands beside the order of the fresh segments: what is pending there is not settled by it.
        let held = match is_fresh(kept) {
            true => None,
            false => Some(self.pending.take()),
        };
        let agrees = self.scan(kept, live, hints.map(Iterator::peekable))?;
        if let Some(held) = held {
            self.settle(self.explained, false)?;
            self.pending = held;
        }
        if !agrees && self.report.damages == before && self.pending.is_none() {
            self.tell(&Finding::new(
                FindingKind::WrongFooter,
                Severity::Damage,
                kept.segment.path(),
                (kept.content_end, 0),
                "the footer or the hints speak of other records than there are",
            ));
        }
        Ok(())
    }

    /// Answers whether footer and hints agree with the records.
    fn scan(
        &mut self,
        kept: &Kept,
        live: &Arc<LiveSegment>,
        mut hints: Option<Peekable<Hints<'_>>>,
    ) -> Result<bool> {
        let (counts_until, scan_until) = bounds(kept);
        let mut agrees = true;
        let lost_before = self.report.lost_records;
        let mut scanner = Scanner::until(&live.segment, scan_until)?;
        loop {
            match scanner.next_event()? {
                Event::Record(record) if record.offset < counts_until => {
                    if let Some(hints) = &mut hints {
                        self.note_hints(hints, record.offset)?;
                        let hint = hints.next_if(|hint| hint.offset == record.offset);
                        agrees &= hint.is_some_and(|hint| says_the_same(&hint, &record));
                    }
                    self.record(kept, live, &record)?;
                }
                Event::Damaged(span) if span.offset < counts_until => {
                    if let Some(hints) = &mut hints {
                        self.note_hints(hints, span.offset)?;
                    }
                    self.settle(self.expected.saturating_sub(1), is_fresh(kept))?;
                    let path = kept.segment.path().to_path_buf();
                    let pending = PendingSpan::new(path, kept.segment.id(), &span)?;
                    self.pending = Some(pending);
                }
                Event::End(end) => {
                    if let Some(hints) = &mut hints {
                        self.note_hints(hints, u64::MAX)?;
                    }
                    self.report.bytes += end.valid_end;
                    let footer = kept.footer.or(match end.state {
                        EndState::Sealed(footer) => Some(footer),
                        _ => None,
                    });
                    let Some(footer) = footer else {
                        return Ok(agrees);
                    };
                    agrees &= footer.totals == end.totals;
                    if is_fresh(kept) {
                        let last = footer.totals.last_sequence;
                        self.missing_up_to(last, kept, "though the footer counts them")?;
                    } else {
                        self.settle(footer.totals.last_sequence, false)?;
                        let lost = self.report.lost_records - lost_before;
                        let found = end.totals.records + lost;
                        if lost > 0 && found < footer.totals.records {
                            self.report.lost_records += footer.totals.records - found;
                            self.report.unidentified_records += footer.totals.records - found;
                        }
                    }
                    return Ok(agrees);
                }
                _ => {}
            }
        }
    }

    fn record(
        &mut self,
        kept: &Kept,
        live: &LiveSegment,
        record: &ScannedRecord<'_>,
    ) -> Result<()> {
        self.settle(record.sequence - 1, is_fresh(kept))?;
        if is_fresh(kept) {
            self.expected = record.sequence + 1;
        }
        self.report.records += 1;
        if record.kind == Kind::Put && self.is_newest(live, record.offset, record.key)? {
            self.report.keys += 1;
            // Where the records do not come in the order of their numbers, this counts too many rather than too few.
            if self.state.uncertain > record.sequence {
                self.report.keys_in_doubt += 1;
            }
        }
        Ok(())
    }

    /// Whether the log shows no newer record of `key` than the one at `offset`.
    fn is_newest(&self, live: &LiveSegment, offset: u64, key: &[u8]) -> Result<bool> {
        let index = &self.view.index;
        let guard = epoch::pin();
        let found = index.locate(&guard, index.hash(key), key)?;
        Ok(found == Some(live.location(offset)?))
    }

    /// Takes from `hints` those for records before `offset`, which were not found there.
    fn note_hints(&mut self, hints: &mut Peekable<Hints<'_>>, offset: u64) -> Result<()> {
        while let Some(hint) = hints.next_if(|hint| hint.offset < offset) {
            let Some(pending) = &mut self.pending else {
                continue;
            };
            if (pending.offset..pending.end()).contains(&hint.offset) {
                pending.add(LostRecord {
                    offset: hint.offset,
                    sequence: hint.sequence,
                    deletes: hint.kind == Kind::Tombstone,
                    key: copied(hint.key)?,
                    certain: true,
                })?;
            }
        }
        Ok(())
    }

    /// Takes note that there were records up to the sequence number `last`.
    fn missing_up_to(&mut self, last: u64, kept: &Kept, where_and_what: &str) -> Result<()> {
        if last < self.expected {
            return Ok(());
        }
        if self.pending.is_some() {
            self.settle(last, true)?;
        } else {
            let missing = Finding::new(
                FindingKind::MissingRecords,
                Severity::Loss,
                kept.segment.path(),
                (0, 0),
                format!("records are missing {where_and_what}"),
            );
            self.missing(&missing.with_sequences(self.expected, last), last);
        }
        self.expected = last + 1;
        Ok(())
    }

    fn missing(&mut self, finding: &Finding, last: u64) {
        let count = (last + 1).saturating_sub(self.expected);
        self.report.lost_records += count;
        self.report.unidentified_records += count;
        self.lose(self.expected, last, false);
        self.tell(finding);
    }

    fn lose(&mut self, first: u64, last: u64, certain: bool) {
        self.state.first_lost = self.state.first_lost.min(first);
        if !certain && self.state.uncertain < last {
            self.state.uncertain = last;
            // All that were found before are older.
            self.report.keys_in_doubt = self.report.keys;
        }
    }

    /// Says what the pending span was, of which the last record had the sequence number `last` or, if that is not `exact`, a smaller one.
    fn settle(&mut self, last: u64, exact: bool) -> Result<()> {
        let Some(span) = self.pending.take() else {
            return Ok(());
        };
        self.state
            .damaged
            .try_reserve(1)
            .map_err(|_| Error::memory("a list of damaged records"))?;
        let range = span.offset..span.end();
        self.state.damaged.push((span.segment, range));
        for (position, lost) in span.known.iter().enumerate() {
            let next = span.known.get(position + 1);
            let end = next.map_or(span.end(), |next| next.offset);
            self.lost_record(&span, lost, end)?;
        }
        let known = span.known.len() as u64;
        let unknown = match exact {
            true => (last + 1)
                .saturating_sub(self.expected)
                .saturating_sub(known),
            // At least one, unless that is known.
            false => u64::from(known == 0),
        };
        if unknown > 0 {
            self.report.lost_records += unknown;
            self.report.unidentified_records += unknown;
            let first = if exact { self.expected } else { last.min(1) };
            self.lose(first, last, false);
        }
        if unknown > 0 || known == 0 {
            let (severity, message) = match unknown {
                0 => (Severity::Damage, "no record is lost by it".to_string()),
                1 if !exact => (
                    Severity::Loss,
                    "one record or more are lost whose keys cannot be told; restore them from a backup".into(),
                ),
                1 => (
                    Severity::Loss,
                    "a record is lost, and its key cannot be told; restore it from a backup".into(),
                ),
                count => (
                    Severity::Loss,
                    format!(
                        "{count} records are lost whose keys cannot be told; restore them from a backup"
                    ),
                ),
            };
            let finding = Finding::new(
                FindingKind::DamagedRecord,
                severity,
                &span.path,
                (span.offset, span.length),
                format!("{}: {message}", span.reason),
            );
            let first = if exact { self.expected } else { 0 };
            self.tell(&finding.with_sequences(first, last));
        }
        Ok(())
    }

    fn lost_record(&mut self, span: &PendingSpan, lost: &LostRecord, end: u64) -> Result<()> {
        self.report.lost_records += 1;
        let members = self.view.segments.members()?;
        let position = members.binary_search_by_key(&span.segment, |live| live.segment.id());
        let is_newest = match position.ok().map(|position| &members[position]) {
            Some(live) => !lost.deletes && self.is_newest(live, lost.offset, &lost.key)?,
            None => false,
        };
        let (severity, message) = match (is_newest, lost.deletes, lost.certain) {
            (true, _, true) => (
                Severity::Loss,
                "the newest record of this key is lost; put the key again, or restore it from a backup",
            ),
            (true, _, false) => (
                Severity::Loss,
                "the newest record of this key is lost, if its damaged bytes tell the key; put the key again, or restore it \
                 from a backup",
            ),
            (false, true, _) => (
                Severity::Damage,
                "the record deleted this key, which is known",
            ),
            (false, false, true) => (
                Severity::Damage,
                "the key has a newer record, so nothing is lost",
            ),
            (false, false, false) => (
                Severity::Damage,
                "the key has a newer record, so nothing is lost if its damaged bytes tell the key",
            ),
        };
        if is_newest {
            self.report.lost_keys += 1;
            self.state
                .lost_keys
                .try_reserve(1)
                .map_err(|_| Error::memory("a list of damaged keys"))?;
            self.state.lost_keys.push(copied(&lost.key)?);
        }
        self.lose(lost.sequence, lost.sequence, lost.certain);
        let finding = Finding::new(
            FindingKind::DamagedRecord,
            severity,
            &span.path,
            (lost.offset, end - lost.offset),
            format!("{}: {message}", span.reason),
        );
        let finding = finding.with_sequences(lost.sequence, lost.sequence);
        self.tell(&finding.with_key(&lost.key));
        Ok(())
    }

    fn finish(&mut self, examined: &Examined<'_>) -> Result<()> {
        let survey = &examined.survey;
        if survey.missing_members > 0
            && let Some(in_force) = &survey.in_force
        {
            self.tell(&Finding::new(
                FindingKind::MissingRecords,
                Severity::Loss,
                in_force.path(),
                (0, 0),
                format!(
                    "{} segments are missing that this one names; put the files back from a backup",
                    survey.missing_members
                ),
            ));
            // Nobody knows what was in them.
            self.lose(1, self.explained, false);
        }
        if self.pending.is_none() {
            self.expected = self.expected.max(self.explained + 1);
        }
        match survey.kept.last() {
            Some(kept) => {
                let what =
                    "at the end of the log, though they were durable; restore them from a backup";
                self.missing_up_to(survey.proven, kept, what)?;
            }
            None => self.expected = survey.proven + 1,
        }
        self.settle(self.expected.saturating_sub(1), true)
    }
}

fn says_the_same(hint: &Hint<'_>, record: &ScannedRecord<'_>) -> bool {
    (hint.kind, hint.sequence, hint.key) == (record.kind, record.sequence, record.key)
}
