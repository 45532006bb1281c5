//! Reads the records of several segments in the order of their sequence numbers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::{Step, Stop};
use crate::error::{Error, ErrorKind};
use crate::index::Index;
use crate::log::record::Kind;
use crate::log::scan_event::DamagedSpan;
use crate::log::{Event, Scanner};
use crate::memory::epoch;
use crate::store::live_segment::LiveSegment;

/// So many records at least are read before one is given away, and as many at a time: what the index has to say of them comes from
/// memory meanwhile.
const READ_AHEAD: usize = 16;

/// A put or tombstone, whose checksum was right.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Number of the segment among those that are merged.
    pub victim: usize,
    /// Where the record begins there.
    pub offset: u64,
    /// [`Kind::Put`] or [`Kind::Tombstone`].
    pub kind: Kind,
    /// Its sequence number.
    pub sequence: u64,
    /// The hash of its key.
    pub hash: u64,
    /// Bytes that it takes.
    pub length: u64,
    /// Bytes of its key.
    pub key_len: usize,
    /// When the pair ceases to exist.
    pub expires_at_ms: Option<u64>,
}

/// A merge of segments.
pub struct Merge<'v> {
    index: &'v Index,
    victims: &'v [Arc<LiveSegment>],
    scanners: Vec<Scanner<'v>>,
    /// Of each segment that has not come to its end the next record.
    next: BinaryHeap<Reverse<Next>>,
    /// What comes before these: [`READ_AHEAD`] records at least, unless there are no more.
    read: VecDeque<Found>,
}

struct Next(Found);

impl Next {
    fn key(&self) -> (u64, usize) {
        (self.0.sequence, self.0.victim)
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Next {}
impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Next {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl<'v> Merge<'v> {
    /// A merge of `victims`, which are sealed; `index` hashes their keys.
    pub fn new(victims: &'v [Arc<LiveSegment>], index: &'v Index) -> Step<Self> {
        let mut merge = Self {
            index,
            victims,
            scanners: Vec::new(),
            next: BinaryHeap::new(),
            read: VecDeque::with_capacity(2 * READ_AHEAD),
        };
        for victim in victims {
            let scanner = Scanner::until(&victim.segment, victim.content_end())?;
            merge.scanners.push(scanner);
        }
        for number in 0..victims.len() {
            merge.advance(number)?;
        }
        Ok(merge)
    }

    /// The record that comes next. Damage to any of the segments ends the merge: what is lost cannot be moved, and its
    /// segment has to stay.
    pub fn next(&mut self) -> Step<Option<Found>> {
        if self.read.len() <= READ_AHEAD {
            self.read_ahead()?;
        }
        Ok(self.read.pop_front())
    }

    fn read_ahead(&mut self) -> Step<()> {
        let before = self.read.len();
        while self.read.len() < before + READ_AHEAD
            && let Some(Reverse(Next(found))) = self.next.pop()
        {
            self.read.push_back(found);
            self.advance(found.victim)?;
        }
        let guard = epoch::pin();
        for found in self.read.range(before..) {
            self.index.prefetch_search(&guard, found.hash);
        }
        Ok(())
    }

    fn advance(&mut self, victim: usize) -> Step<()> {
        let live = &self.victims[victim];
        loop {
            let event = self.scanners[victim].next_event();
            let found = match event.map_err(|error| unreadable(live, error))? {
                Event::Record(record) => Found {
                    victim,
                    offset: record.offset,
                    kind: record.kind,
                    sequence: record.sequence,
                    hash: self.index.hash(record.key),
                    length: record.len,
                    key_len: record.key.len(),
                    expires_at_ms: record.expires_at_ms,
                },
                Event::Damaged(span) => match laundered(&span, victim, self.index) {
                    Some(found) => found,
                    None => return Err(damage(live, &span)),
                },
                Event::End(_) => return Ok(()),
                Event::Mark { .. } | Event::Hints { .. } | Event::Manifest { .. } => continue,
            };
            self.next.push(Reverse(Next(found)));
            return Ok(());
        }
    }
}

/// Why a merge ends that could not read `live`: for want of memory, or because of the segment.
pub fn unreadable(live: &Arc<LiveSegment>, error: Error) -> Stop {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Corrupt => Stop::Damaged(live.clone(), error),
        _ => Stop::Failed(error),
    }
}

fn damage(live: &Arc<LiveSegment>, span: &DamagedSpan<'_>) -> Stop {
    let error = Error::corrupt(
        live.segment.path(),
        span.offset,
        format_args!(
            "{} damaged bytes; the segment is kept as it is and not compacted, restore the file from a backup",
            span.len
        ),
    );
    Stop::Damaged(live.clone(), error)
}

/// What a compaction that does not care for checksums would take the damaged bytes for.
#[allow(
    unused_variables,
    reason = "it does something only where the store is broken on purpose"
)]
fn laundered(span: &DamagedSpan<'_>, victim: usize, index: &Index) -> Option<Found> {
    sabotage!(DamageLaundered, {
        return span.probable.map(|record| Found {
            victim,
            offset: span.offset,
            kind: record.kind,
            sequence: record.sequence,
            hash: index.hash(record.key),
            length: span.len,
            key_len: record.key.len(),
            expires_at_ms: None,
        });
    });
    None
}
