//! Reads the records of a segment that counts.

use std::sync::Arc;

use super::changes::Change;
use super::pipeline::Sink;
use super::survey::Kept;
use crate::error::{Error, Result};
use crate::log::record::Kind;
use crate::log::{Event, OpenedSegment, Scanner, Segment};
use crate::store::options::Options;
use crate::store::report::{DamagedSpan, RecoveryReport};
use crate::store::segment_set::LiveSegment;
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

/// Reads the records of `live`, which `kept` describes, with sequence numbers above `after` into `sink`; `hash` is the index's
/// hash function. Damage goes into `report`.
pub fn replay(
    kept: &Kept,
    live: &LiveSegment,
    after: u64,
    hash: &dyn Fn(&[u8]) -> u64,
    sink: &mut Sink<'_>,
    report: &mut RecoveryReport,
) -> Result<()> {
    // A segment is only still unsealed where the store is opened read-only.
    let end = kept.unsealed.map_or(u64::MAX, |extent| extent.end);
    let path = kept.segment.path();
    let mut found = |offset, kind, sequence, key: &[u8]| {
        sink(&Change {
            hash: hash(key),
            location: live.location(offset)?,
            sequence,
            removes: kind == Kind::Tombstone,
            key,
        })
    };
    let mut scanner = Scanner::new(&live.segment)?;
    loop {
        match scanner.next_event()? {
            Event::Record(record) if record.offset < end && record.sequence > after => {
                found(record.offset, record.kind, record.sequence, record.key)?;
                report.records += 1;
            }
            Event::Damaged(span) if span.offset < end => {
                report.add_damage(DamagedSpan::new(path, span.offset, span.len));
                // Whoever asks for the key that the record seems to have had hears of the damage, and does not
                // get an older version.
                if let Some(record) = span.probable.filter(|record| record.sequence > after) {
                    found(span.offset, Kind::Put, record.sequence, record.key)?;
                }
            }
            Event::End(_) => return Ok(()),
            _ => {}
        }
    }
}
