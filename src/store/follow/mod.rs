//! Brings a store that was opened read-only up to date with the process that writes it.
//!
//! What the writer appends is valid or it is not yet there: checksums and sequence numbers decide, as they do in recovery. Records are
//! taken in commit order, batches whole, so that what is seen is always a prefix of what was written, durable or not.
//!
//! Only fresh segments are followed. What compaction writes says nothing new: the segments that it replaces stay readable, as long as
//! they are open here. A reader that comes so late that it never opened them begins anew, and so does one that keeps more of them
//! on the disk than the store has: see [`anew`].

mod anew;
mod batch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::backup;
use super::contents::Contents;
use super::live_segment::{LiveSegment, Sealed};
use super::recovery::{self, Extent};
use super::segment_set::Recovered;
use super::{Shared, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::log::footer::Footer;
use crate::log::record::{ALIGNMENT, Kind, MARK_LEN};
use crate::log::segment_header::{HEADER_LEN, Origin, SegmentHeader};
use crate::log::{Event, OpenedSegment, ReadMode, Scanner, Segment, segment_name};
use crate::memory::epoch;
use crate::vfs::Vfs;
use batch::Batch;

/// How far a store that another process writes has been read.
pub struct Follower {
    vfs: Arc<dyn Vfs>,
    directory: PathBuf,
    state: Mutex<State>,
    last_sequence: AtomicU64,
}

struct State {
    /// The store's identity, unless it had no segment so far.
    store_id: Option<[u8; 16]>,
    /// Id of the last segment that was taken, of those that were written in commit order.
    newest_id: u64,
    /// Id of the last that compaction wrote.
    newest_output: u64,
    /// Ids of the segments that are not to be looked at again.
    known: BTreeSet<u64>,
    /// Up to which sequence number what is not seen here may have been taken away by compaction.
    compacted_until: u64,
    /// Segments that had no footer when they were read last, in the order of their ids.
    growing: Vec<Growing>,
    /// Whether the segments that only this reader keeps on the disk are more than the others.
    keeps_too_much: bool,
}

impl State {
    fn new(
        store_id: Option<[u8; 16]>,
        members: &[Arc<LiveSegment>],
        growing: &[(u64, Extent)],
    ) -> Self {
        let extent = |live: &LiveSegment| {
            let found = growing.iter().find(|(id, _)| *id == live.segment.id());
            found.map(|(_, extent)| extent)
        };
        let growing = members.iter().filter_map(|live| {
            let extent = extent(live)?;
            Some(Growing {
                live: live.clone(),
                end: extent.end.next_multiple_of(ALIGNMENT),
                last_sequence: match extent.totals.records {
                    0 => live.segment.header().base_sequence - 1,
                    _ => extent.totals.last_sequence,
                },
            })
        });
        let newest = |origin| {
            let mut headers = members.iter().rev().map(|live| live.segment.header());
            let last = headers.find(|header| header.origin == origin);
            last.map_or(0, |header| header.segment_id)
        };
        Self {
            store_id,
            newest_id: newest(Origin::Fresh),
            newest_output: newest(Origin::Compaction),
            known: members.iter().map(|live| live.segment.id()).collect(),
            compacted_until: 0,
            growing: growing.collect(),
            keeps_too_much: false,
        }
    }
}

struct Growing {
    live: Arc<LiveSegment>,
    /// Offset in bytes up to which it has been read.
    end: u64,
    /// Sequence number of the last record before.
    last_sequence: u64,
}

/// Where a segment stands in the log.
enum Place {
    /// Behind what has been taken.
    Next,
    /// It was cut off by a crash: nothing counts from there on until a writer has mended the store.
    NotYet,
    /// Behind what compaction has taken away.
    BehindCompacted,
}

/// What a refresh adds to.
struct Target<'f> {
    shared: &'f Shared,
    contents: Contents,
}

/// How far a look at the store came.
enum Outcome {
    /// All is seen that was there.
    UpToDate,
    /// It cannot go on from where it is.
    Late,
}

impl Store {
    /// Lets a store opened read-only see what another process has written since; answers the sequence number of the last record that
    /// is seen now. In a store that is open for writing there is nothing to do.
    ///
    /// What is seen is a prefix of the writes in their order, with no batch in part. The writes may not be durable yet. While this runs,
    /// other threads see one write after the other take place. After an error less may have been brought up to date.
    ///
    /// If compaction has taken away what was not read yet, or files that this reader keeps on the disk are more than the store has,
    /// the store is read as by opening it, which takes as long, and as much memory beside what is there; then other threads see all at
    /// once, and iterators that had begun go on with what they had. The reports of opening stay those of the opening.
    ///
    /// Errors: [`ErrorKind::Failed`] if this reader cannot go on and the store is to be opened again: the store has lost, by a failure
    /// of the disk, what was seen before; `Corrupt` if what is missing was durable; `Memory`; `Io`. What was seen before stays.
    pub fn refresh(&self) -> Result<u64> {
        let shared = &*self.shared;
        shared.check_open()?;
        match (&shared.follower, &shared.log) {
            (Some(follower), _) => follower.refresh(self),
            (None, Some(log)) => Ok(log.last_sequence()),
            (None, None) => Ok(shared.report.last_sequence),
        }
    }
}

impl Follower {
    /// A follower of the store `store_id` in `directory`, of which `shared` members have been read, all up to `last_sequence`; `growing`
    /// are those without a footer.
    pub fn new(
        vfs: Arc<dyn Vfs>,
        directory: PathBuf,
        store_id: Option<[u8; 16]>,
        members: &[Arc<LiveSegment>],
        growing: &[(u64, Extent)],
        last_sequence: u64,
    ) -> Self {
        Self {
            vfs,
            directory,
            state: Mutex::new(State::new(store_id, members, growing)),
            last_sequence: AtomicU64::new(last_sequence),
        }
    }

    /// Sequence number of the last record that is seen.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence.load(Ordering::Acquire)
    }

    fn refresh(&self, store: &Store) -> Result<u64> {
        let shared = &*store.shared;
        let mut state = self.state.lock();
        let target = Target {
            shared,
            contents: shared.share_contents(),
        };
        let outcome = recovery::settled(|| self.look(&mut state, &target));
        drop(target);
        let refreshed = match outcome {
            Ok(Outcome::UpToDate) => Ok(()),
            Ok(Outcome::Late) => recovery::settled(|| self.begin_anew(&mut state, store)),
            Err(error) => Err(error),
        };
        refreshed.inspect_err(|error| shared.failure.record(error))?;
        Ok(self.last_sequence())
    }

    fn look(&self, state: &mut State, target: &Target<'_>) -> Result<Outcome> {
        // Listed first: a segment before one that is listed is complete.
        let new = self.open_new(state, target)?;
        for growing in &mut state.growing {
            if let Outcome::Late = self.catch_up(growing, target)? {
                return Ok(Outcome::Late);
            }
        }
        for (segment, footer) in new {
            match self.place_of(segment.header(), state.compacted_until)? {
                Place::Next => {}
                Place::NotYet => break,
                Place::BehindCompacted => return Ok(Outcome::Late),
            }
            match footer {
                Some(footer) => self.take_sealed(&segment, &footer, target)?,
                None if !has_begun(&segment)? => break,
                None => {
                    if let Outcome::Late = self.take_growing(segment.clone(), state, target)? {
                        return Ok(Outcome::Late);
                    }
                }
            }
            state.newest_id = segment.id();
            state.known.insert(segment.id());
            state.store_id = Some(segment.header().store_id);
        }
        self.take_footers(state, target);
        // All that is listed and was not compacted has been read.
        let is_late = state.compacted_until > self.last_sequence();
        Ok(match is_late || state.keeps_too_much {
            true => Outcome::Late,
            false => Outcome::UpToDate,
        })
    }

    /// The fresh segments that have come since, in the order of their ids, with the footers of those that are sealed. Takes note of how
    /// far compaction may have taken segments away.
    fn open_new(
        &self,
        state: &mut State,
        target: &Target<'_>,
    ) -> Result<Vec<(Arc<Segment>, Option<Footer>)>> {
        let entries = self.vfs.list(&self.directory);
        let entries = entries.map_err(|error| Error::io("list", &self.directory, &error))?;
        if entries.iter().any(|it| it.name == backup::UNFINISHED) {
            return Err(backup::cut_short(&self.directory));
        }
        let ids = entries
            .iter()
            .filter_map(|it| segment_name::parse(&it.name));
        let mut ids: Vec<u64> = ids.collect();
        ids.sort_unstable();
        state.keeps_too_much = keeps_too_much(&target.contents.segments.members()?, &ids);
        ids.retain(|id| !state.known.contains(id));
        let mut new = Vec::new();
        for id in ids {
            let path = self.directory.join(segment_name::file_name(id));
            // A fresh segment has a higher id than all fresh ones before it, and if compaction wrote one with a higher id meanwhile, it
            // begins behind all that was read. Others are what compaction wrote, or of no use.
            let may_be_late = id <= state.newest_id.max(state.newest_output);
            let (segment, footer) = match Segment::open(&*self.vfs, &path, ReadMode::Pread) {
                Ok(OpenedSegment::Sealed {
                    segment, footer, ..
                }) => (segment, Some(footer)),
                Ok(OpenedSegment::Unsealed { segment }) => (segment, None),
                Ok(OpenedSegment::Headless { .. }) if may_be_late => {
                    state.known.insert(id);
                    continue;
                }
                Ok(OpenedSegment::Headless { fault, .. }) => return Err(fault.into_error(&path)),
                Err(error) => return Err(error),
            };
            let header = segment.header();
            if header.store_id != state.store_id.unwrap_or(header.store_id) {
                let what = "the segment belongs to another store; move it away";
                return Err(Error::corrupt(&path, 0, what));
            }
            if header.origin == Origin::Compaction {
                sabotage!(RefreshedOverCompaction, {
                    state.known.insert(id);
                    continue;
                });
                let until = &mut state.compacted_until;
                *until = header.durable_sequence.max(*until);
                state.newest_output = state.newest_output.max(id);
            } else if !may_be_late
                || id > state.newest_id && header.base_sequence > self.last_sequence()
            {
                new.push((segment, footer));
                continue;
            }
            state.known.insert(id);
        }
        Ok(new)
    }

    /// Whether everything before the segment with this header has been taken.
    fn place_of(&self, header: &SegmentHeader, compacted_until: u64) -> Result<Place> {
        sabotage!(RefreshedOverGap, return Ok(Place::Next));
        let last = self.last_sequence();
        let path = self
            .directory
            .join(segment_name::file_name(header.segment_id));
        if header.predecessor_sequence < last {
            return Err(lost_writes(&path));
        }
        if header.predecessor_sequence > last && compacted_until > last {
            return Ok(Place::BehindCompacted);
        }
        if header.predecessor_sequence > last && header.durable_sequence > last {
            let what = format!(
                "records before this segment are missing, from {} on",
                last + 1
            );
            return Err(Error::corrupt(&path, 0, what));
        }
        Ok(match header.predecessor_sequence == last {
            true => Place::Next,
            false => Place::NotYet,
        })
    }

    /// Takes all of a sealed segment, in which everything invalid is damage.
    fn take_sealed(&self, segment: &Segment, footer: &Footer, target: &Target<'_>) -> Result<()> {
        let (shared, segments) = (target.shared, &target.contents.segments);
        let end = footer.records_end();
        // An earlier attempt may have added it before it failed.
        let live = match segments.member(segment.id()) {
            Some(live) => live,
            None => {
                let segment = segment.reopen_sealed(footer, shared.options.read_mode)?;
                let guard = epoch::pin();
                let known = Recovered {
                    sealed: sealed_with(footer),
                    place: None,
                    footer_is_durable: false,
                };
                segments.add_recovered(segment, known, &guard)?
            }
        };
        let mut batch = Batch::new(self, target, &live);
        let mut scanner = Scanner::until(&live.segment, end)?;
        loop {
            match scanner.next_event()? {
                Event::Record(record) => batch.add(&record)?,
                Event::Damaged(span) => {
                    let what = "the bytes are damaged; restore the file from a backup";
                    let damage = Error::corrupt(segment.path(), span.offset, what);
                    shared.failure.record(&damage);
                    // Who asks for the key that the record seems to have had hears of the damage.
                    if let Some(record) = span.probable {
                        batch.push(span.offset, Kind::Put, record.sequence, record.key)?;
                    }
                }
                Event::End(_) => break,
                Event::Mark { .. } | Event::Hints { .. } | Event::Manifest { .. } => {}
            }
        }
        batch.apply()?;
        self.advance(footer.totals.last_sequence);
        Ok(())
    }

    /// Takes what there is of a segment that is being written.
    fn take_growing(
        &self,
        segment: Arc<Segment>,
        state: &mut State,
        target: &Target<'_>,
    ) -> Result<Outcome> {
        let (begin, before) = beginning(&segment);
        let capacity = target.shared.options.segment_size.max(segment.disk_bytes());
        // Readable as far as it has been taken.
        segment.limit(begin);
        let guard = epoch::pin();
        let live = target
            .contents
            .segments
            .add_growing(segment, capacity, None, &guard)?;
        state.growing.push(Growing {
            live,
            end: begin,
            last_sequence: before,
        });
        match state.growing.last_mut() {
            Some(growing) => self.catch_up(growing, target),
            None => Ok(Outcome::UpToDate),
        }
    }

    /// Takes what has come in a segment that is being written, up to the last complete batch.
    fn catch_up(&self, growing: &mut Growing, target: &Target<'_>) -> Result<Outcome> {
        let now = growing.live.segment.as_it_is_now()?;
        let mut scanner = Scanner::from(&now, growing.end, growing.last_sequence)?;
        let live = growing.live.clone();
        let mut batch = Batch::new(self, target, &live);
        let mut room = 0;
        loop {
            match scanner.next_in_line()? {
                Some(Event::Record(record)) => {
                    let end = record.offset + record.len;
                    if end > room {
                        let guard = epoch::pin();
                        let segments = &target.contents.segments;
                        match segments.enlarge(now.id(), end, &guard)? {
                            Some(enlarged) => room = enlarged,
                            None => return Ok(Outcome::Late),
                        }
                    }
                    // Before it can be found.
                    if !record.continues {
                        live.segment.extend(end);
                    }
                    batch.add(&record)?;
                    if !record.continues {
                        (growing.end, growing.last_sequence) = (end, record.sequence);
                    }
                }
                Some(Event::Mark { offset, .. }) if batch.is_empty() => {
                    growing.end = offset + MARK_LEN;
                }
                Some(Event::Mark { .. } | Event::Manifest { .. }) => {}
                // Nothing, or something that is not complete yet; or the end.
                None | Some(Event::Damaged(_) | Event::Hints { .. } | Event::End(_)) => {
                    return Ok(Outcome::UpToDate);
                }
            }
        }
    }

    /// Reads segments that have got their footers as sealed ones from now on.
    fn take_footers(&self, state: &mut State, target: &Target<'_>) {
        state
            .growing
            .retain_mut(|growing| match self.sealed_form(growing, target.shared) {
                Ok(Some(live)) => {
                    target
                        .contents
                        .segments
                        .replace(Arc::new(live), &epoch::pin());
                    false
                }
                // Compacted: what is open here is complete.
                Err(error) if error.os_code() == libc::ENOENT => {
                    !matches!(self.catch_up(growing, target), Ok(Outcome::UpToDate))
                }
                // What cannot be opened now is read as it is.
                Ok(None) | Err(_) => true,
            });
    }

    /// `growing` as a sealed segment, if it is one now and has been read to its end.
    fn sealed_form(&self, growing: &Growing, shared: &Shared) -> Result<Option<LiveSegment>> {
        let segment = &growing.live.segment;
        // Not mapped before it is known to be sealed.
        let OpenedSegment::Sealed {
            segment: sealed,
            footer,
            ..
        } = Segment::open(&*self.vfs, segment.path(), ReadMode::Pread)?
        else {
            return Ok(None);
        };
        let end = footer.records_end();
        if sealed.header() != segment.header() || end > growing.end {
            return Ok(None);
        }
        let sealed = sealed.reopen_sealed(&footer, shared.options.read_mode)?;
        Ok(Some(growing.live.replaced_by(sealed, sealed_with(&footer))))
    }

    fn advance(&self, sequence: u64) {
        self.last_sequence.fetch_max(sequence, Ordering::AcqRel);
    }
}

fn sealed_with(footer: &Footer) -> Sealed {
    Sealed {
        records_end: footer.records_end(),
        totals: footer.totals,
    }
}

/// Whether the `members` that are not among those listed are more, in bytes, than the others. So what is kept on the disk stays
/// bounded, and who keeps to it reads no more than twice what is written.
fn keeps_too_much(members: &[Arc<LiveSegment>], listed: &[u64]) -> bool {
    let (mut kept, mut others) = (0, 0);
    for live in members {
        match listed.binary_search(&live.segment.id()) {
            Ok(_) => others += live.content_end(),
            Err(_) => kept += live.content_end(),
        }
    }
    kept > others
}

/// Where the first record of `segment` begins, and the sequence number before it.
fn beginning(segment: &Segment) -> (u64, u64) {
    (HEADER_LEN as u64, segment.header().base_sequence - 1)
}

/// Whether there is anything in `segment`.
fn has_begun(segment: &Arc<Segment>) -> Result<bool> {
    let (begin, before) = beginning(segment);
    let first = Scanner::from(segment, begin, before)?
        .next_in_line()?
        .is_some_and(|event| matches!(event, Event::Record(_) | Event::Mark { .. }));
    Ok(first)
}

/// Says that a reader cannot go on from where it is.
fn lost_writes(path: &Path) -> Error {
    let message = format!(
        "{}: the store has lost writes that were seen here; close the store and open it again",
        path.display()
    );
    Error::new(ErrorKind::Failed, message)
}
