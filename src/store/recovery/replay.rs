//! Fills the index from a segment that counts.

use std::sync::Arc;

use super::survey::Kept;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Entry, Index, Location};
use crate::log::record::Kind;
use crate::log::{Event, OpenedSegment, Scanner, Segment};
use crate::memory::epoch;
use crate::memory::epoch::Guard;
use crate::store::options::Options;
use crate::store::report::{DamagedSpan, RecoveryReport};
use crate::store::segment_set::{LiveSegment, SegmentSet};
use crate::vfs::Vfs;

/// Opens the segment that `kept` describes for reading by calls.
pub fn open(vfs: &dyn Vfs, kept: &Kept, options: &Options) -> Result<Arc<Segment>> {
    let path = kept.segment.path();
    match Segment::open(vfs, path, options.read_mode)? {
        OpenedSegment::Sealed { segment, .. } | OpenedSegment::Unsealed { segment } => Ok(segment),
        OpenedSegment::Headless { .. } => Err(Error::corrupt(
            path,
            0,
            "the header has changed while the store was opened",
        )),
    }
}

/// Adds the records of `live`, which `kept` describes, with sequence numbers above `after` to `index`. Damage goes into
/// `report`.
pub fn replay(
    kept: &Kept,
    live: &LiveSegment,
    after: u64,
    index: &Index,
    segments: &SegmentSet,
    report: &mut RecoveryReport,
) -> Result<()> {
    // A segment is only still unsealed where the store is opened read-only.
    let end = kept.unsealed.map_or(u64::MAX, |extent| extent.end);
    let path = kept.segment.path();
    let mut target = Target {
        index,
        segments,
        live,
        may_know_newer: after > 0,
    };
    let mut scanner = Scanner::new(&live.segment)?;
    loop {
        match scanner.next_event()? {
            Event::Record(record) if record.offset < end && record.sequence > after => {
                target.apply(record.offset, record.kind, record.sequence, record.key)?;
                report.records += 1;
            }
            Event::Damaged(span) if span.offset < end => {
                report.add_damage(DamagedSpan::new(path, span.offset, span.len));
                sabotage!(DamageForgotten, continue);
                // Whoever asks for the key that the record seems to have had hears of the damage, and does not
                // get an older version.
                if let Some(record) = span.probable.filter(|record| record.sequence > after) {
                    target.apply(span.offset, Kind::Put, record.sequence, record.key)?;
                }
            }
            Event::End(_) => return Ok(()),
            _ => {}
        }
    }
}

struct Target<'r> {
    index: &'r Index,
    segments: &'r SegmentSet,
    live: &'r LiveSegment,
    /// Whether the index comes from an image, which may hold records that have not been replayed yet.
    may_know_newer: bool,
}

impl Target<'_> {
    /// Lets the record at `offset` supersede whatever is known of its key, unless that is newer: records come in commit
    /// order.
    fn apply(&mut self, offset: u64, kind: Kind, sequence: u64, key: &[u8]) -> Result<()> {
        let guard = epoch::pin();
        let hash = self.index.hash(key);
        self.index.make_present(&guard, hash)?;
        let location = self.live.location(offset)?;
        match kind {
            Kind::Put => match self.index.entry(&guard, hash, key, location.bits())? {
                Entry::Occupied(occupied) => {
                    let known = occupied.location();
                    if known == location {
                        return Ok(());
                    }
                    if self.is_newer(known, offset, sequence, &guard) {
                        self.segments.bury(location, &guard);
                    } else {
                        self.segments.bury(known, &guard);
                        occupied.replace(location);
                    }
                }
                Entry::Vacant(vacant) => vacant.insert(location),
            },
            Kind::Tombstone => {
                let occupied = match self.index.occupied(&guard, hash, key) {
                    // A damaged record that may be the key's stays: who asks for the key hears of the damage.
                    Err(error) if error.kind() == ErrorKind::Corrupt => None,
                    occupied => occupied?,
                };
                if let Some(occupied) = occupied
                    && !self.is_newer(occupied.location(), offset, sequence, &guard)
                {
                    self.segments.bury(occupied.location(), &guard);
                    occupied.remove();
                }
                self.segments.bury(location, &guard);
            }
            Kind::Mark | Kind::Footer => {}
        }
        Ok(())
    }

    /// Whether the record at `known` comes after the one with `sequence` at `offset`. Where damage hides its sequence
    /// number, its place tells: what is replayed lies in commit order.
    fn is_newer(&self, known: Location, offset: u64, sequence: u64, guard: &Guard) -> bool {
        if !self.may_know_newer {
            return false;
        }
        let Some(live) = self.segments.find(known, guard) else {
            return false;
        };
        let place = live.offset(known);
        match live.segment.head_at(place) {
            Ok(head) => head.sequence > sequence,
            Err(_) => (live.segment.id(), place) > (self.live.segment.id(), offset),
        }
    }
}
