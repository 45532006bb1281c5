//! Where absent shards come from: the image, or, if it is damaged there, the log.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::moves::Destination;
use super::read::Image;
use crate::error::{Error, Result};
use crate::index::image::{ShardSource, ShardSummary, Whereabouts};
use crate::index::{BulkIndex, Location};
use crate::log::record::{ALIGNMENT, Kind};
use crate::log::segment_header::HEADER_LEN;
use crate::log::{Event, Scanner};
use crate::memory::epoch::Guard;
use crate::store::live_segment::LiveSegment;
use crate::store::recovery::{Maker, Tail};
use crate::store::segment_set::SegmentSet;

/// The image of a store and the log beside it.
pub struct LogSource {
    image: Arc<Image>,
    segments: Arc<SegmentSet>,
    /// The segments of which recovery knew, in commit order, and up to which offset each counts.
    log: Vec<(Arc<LiveSegment>, u64)>,
    /// Those that merges have written since the image, by their ids.
    outputs: Vec<(u64, Arc<LiveSegment>)>,
    /// What the image does not account for.
    tail: OnceLock<Tail>,
}

/// A version of a key: a put's location, or none for a delete.
struct Version {
    sequence: u64,
    location: Option<Location>,
}

impl LogSource {
    /// A source for the shards of `image`, whose segments are in `segments`, and in `log` with the offsets up to which
    /// they count, in commit order.
    pub fn new(
        image: Arc<Image>,
        segments: Arc<SegmentSet>,
        log: Vec<(Arc<LiveSegment>, u64)>,
    ) -> Result<Arc<Self>> {
        let mut outputs = Vec::new();
        for (live, _) in &log {
            let id = live.segment.id();
            if image.moved.is_output(id) {
                let reserved = outputs.try_reserve(1);
                reserved.map_err(|_| Error::memory("the list of segments"))?;
                outputs.push((id, live.clone()));
            }
        }
        outputs.sort_unstable_by_key(|(id, _)| *id);
        Ok(Arc::new(Self {
            image,
            segments,
            log,
            outputs,
            tail: OnceLock::new(),
        }))
    }

    /// Says what waits for the shards. To be called once, before the first of them is loaded.
    pub fn set_tail(&self, tail: Tail) {
        let set = self.tail.set(tail);
        debug_assert!(set.is_ok(), "there is one tail");
    }
}

impl ShardSource for LogSource {
    fn bytes(&self, shard: &ShardSummary) -> Result<Option<Vec<u8>>> {
        let shards = &self.image.directory.shards;
        let found =
            shards.binary_search_by_key(&shard.first_hash, |shard| shard.summary.first_hash);
        let Some(place) = found.ok().and_then(|position| shards.get(position)) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let length = usize::try_from(place.length).unwrap_or(usize::MAX);
        bytes
            .try_reserve_exact(length)
            .map_err(|_| Error::memory("a shard of the index image"))?;
        bytes.resize(length, 0);
        let read = self.image.file.read_exact_at(&mut bytes, place.offset);
        sabotage!(UncheckedShard, return Ok(Some(bytes)));
        let intact = read.is_ok() && crc32fast::hash(&bytes) == place.checksum;
        Ok(intact.then_some(bytes))
    }

    fn may_hold(&self, guard: &Guard, location: Location) -> bool {
        self.segments.find(location, guard).is_some_and(|live| {
            let offset = live.offset(location);
            offset >= HEADER_LEN as u64 && offset + ALIGNMENT <= live.segment.readable_end()
        })
    }

    fn whereabouts(&self, location: Location) -> Option<Whereabouts> {
        match self.image.moved.destination(location)? {
            Destination::Here => Some(Whereabouts::Here),
            Destination::Moved { segment, offset } => {
                let found = self.outputs.binary_search_by_key(&segment, |(id, _)| *id);
                let (_, live) = self.outputs.get(found.ok()?)?;
                live.location(offset).ok().map(Whereabouts::Moved)
            }
            Destination::Gone { key_len } => Some(Whereabouts::Gone {
                key_length: key_len,
            }),
        }
    }

    fn rebuild(&self, belongs: &dyn Fn(&[u8]) -> bool) -> Result<HashMap<Vec<u8>, Location>> {
        let limit = self.image.directory.covered_sequence;
        // Of each key the version with the highest sequence number; what compaction wrote is not in commit order.
        let mut versions: HashMap<Vec<u8>, Version> = HashMap::new();
        let mut apply = |live: &LiveSegment, offset, kind, sequence, key: &[u8]| -> Result<()> {
            let is_newest = |known: &Version| known.sequence <= sequence;
            if !belongs(key) || !versions.get(key).is_none_or(is_newest) {
                return Ok(());
            }
            let location = match kind {
                Kind::Tombstone => None,
                _ => Some(live.location(offset)?),
            };
            let mut copy = Vec::new();
            let reserved = versions.try_reserve(1).is_ok();
            if !reserved || copy.try_reserve_exact(key.len()).is_err() {
                return Err(Error::memory("rebuilding a shard"));
            }
            copy.extend_from_slice(key);
            versions.insert(copy, Version { sequence, location });
            Ok(())
        };
        for (live, end) in &self.log {
            let mut scanner = Scanner::until(&live.segment, *end)?;
            loop {
                match scanner.next_event()? {
                    Event::Record(record) if record.offset < *end && record.sequence <= limit => {
                        apply(
                            live,
                            record.offset,
                            record.kind,
                            record.sequence,
                            record.key,
                        )?;
                    }
                    Event::Damaged(span) if span.offset < *end => {
                        // As in the replay of the log: its key answers with an error, not with an older version.
                        if let Some(record) = span.probable.filter(|it| it.sequence <= limit) {
                            apply(live, span.offset, Kind::Put, record.sequence, record.key)?;
                        }
                    }
                    Event::End(_) => break,
                    _ => {}
                }
            }
        }
        let entries = versions.into_iter();
        Ok(entries
            .filter_map(|(key, version)| Some((key, version.location?)))
            .collect())
    }

    fn catch_up(&self, shard: &ShardSummary, index: &dyn BulkIndex) -> Result<()> {
        let Some(tail) = self.tail.get() else {
            return Ok(());
        };
        let maker = Maker {
            index,
            segments: &self.segments,
            location_bits: self.segments.location_bits(),
            may_know_newer: true,
            graves: None,
        };
        tail.make(shard.first_hash, &maker)
    }
}
