//! Fills the index from a segment that counts.

use super::survey::Kept;
use crate::error::{Error, Result};
use crate::index::{Entry, Index};
use crate::log::record::Kind;
use crate::log::{Event, OpenedSegment, Scanner, Segment};
use crate::memory::epoch;
use crate::store::options::Options;
use crate::store::report::{DamagedSpan, RecoveryReport};
use crate::store::segment_set::{LiveSegment, SegmentSet};
use crate::vfs::Vfs;

/// Adds the records of `kept` to `index` and the segment itself to `segments`. Damage goes into `report`.
pub fn replay(
    vfs: &dyn Vfs,
    kept: &Kept,
    options: &Options,
    index: &Index,
    segments: &SegmentSet,
    report: &mut RecoveryReport,
) -> Result<()> {
    let path = kept.segment.path();
    let segment = match Segment::open(vfs, path, options.read_mode)? {
        OpenedSegment::Sealed { segment, .. } | OpenedSegment::Unsealed { segment } => segment,
        OpenedSegment::Headless { .. } => {
            return Err(Error::corrupt(
                path,
                0,
                "the header has changed while the store was opened",
            ));
        }
    };
    // A segment is only still unsealed where the store is opened read-only.
    let end = kept.unsealed.map_or(u64::MAX, |extent| extent.end);
    let live = segments.add(segment.clone(), segment.readable_end(), &epoch::pin())?;
    let mut target = Target {
        index,
        segments,
        live: &live,
    };
    let mut scanner = Scanner::new(&segment)?;
    loop {
        match scanner.next_event()? {
            Event::Record(record) if record.offset < end => {
                target.apply(record.offset, record.kind, record.key)?;
                report.records += 1;
            }
            Event::Damaged(span) if span.offset < end => {
                report.add_damage(DamagedSpan::new(path, span.offset, span.len));
                // Whoever asks for the key that the record seems to have had hears of the damage, and does not
                // get an older version.
                if let Some(record) = span.probable {
                    target.apply(span.offset, Kind::Put, record.key)?;
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
}

impl Target<'_> {
    /// Lets the record at `offset` supersede whatever is known of its key: records come in commit order.
    fn apply(&mut self, offset: u64, kind: Kind, key: &[u8]) -> Result<()> {
        let guard = epoch::pin();
        let hash = self.index.hash(key);
        let location = self.live.location(offset)?;
        match kind {
            Kind::Put => match self.index.entry(&guard, hash, key)? {
                Entry::Occupied(occupied) => {
                    self.segments.bury(occupied.location(), &guard);
                    occupied.replace(location);
                }
                Entry::Vacant(vacant) => vacant.insert(location),
            },
            Kind::Tombstone => {
                if let Some(occupied) = self.index.occupied(&guard, hash, key) {
                    self.segments.bury(occupied.location(), &guard);
                    occupied.remove();
                }
                self.segments.bury(location, &guard);
            }
            Kind::Mark | Kind::Footer => {}
        }
        Ok(())
    }
}
