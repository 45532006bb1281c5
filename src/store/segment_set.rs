//! The segments of an open store, and what a location means.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::clock::ExpiryClock;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{KeyReader, Location};
use crate::log::Segment;
use crate::log::footer::FOOTER_LEN;
use crate::memory::epoch::Guard;
use crate::memory::epoch_table::EpochTable;

/// Locations count in units of this many bytes; every record begins at a multiple of it.
const UNIT: u64 = crate::log::record::ALIGNMENT;
/// A segment occupies whole chunks of the location space, so that a chunk number leads to its segment.
const CHUNK_BITS: u32 = 16;
const CHUNK_BYTES: u64 = UNIT << CHUNK_BITS;
/// How many chunks the location space has.
pub const CHUNKS: u64 = 1 << (Location::BITS - CHUNK_BITS);

/// How many chunks a segment of `bytes` takes.
pub fn chunks_for(bytes: u64) -> u64 {
    bytes.div_ceil(CHUNK_BYTES).max(1)
}

/// The chunk that `location` lies in.
#[inline]
pub fn chunk_of(location: Location) -> u64 {
    location.raw() >> CHUNK_BITS
}

/// No location is left for a record.
pub fn location_limit() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "the store has reached its limit of 1 TiB of log",
    )
}

/// A segment with its place in the location space.
pub struct LiveSegment {
    /// The readable segment.
    pub segment: Arc<Segment>,
    /// How much of it is garbage; shared by the open and the sealed form of one segment.
    pub usage: Arc<Usage>,
    first_chunk: u64,
    /// Where the records of a sealed segment end.
    sealed_at: Option<u64>,
    is_recovered: bool,
}

/// What is known of a segment's content.
#[derive(Default)]
pub struct Usage {
    dead_bytes: AtomicU64,
}

impl LiveSegment {
    /// The location of the record at byte `offset` of this segment.
    pub fn location(&self, offset: u64) -> Result<Location> {
        let unit = (self.first_chunk << CHUNK_BITS) + offset / UNIT;
        Location::new(unit).ok_or_else(location_limit)
    }

    /// The byte offset in this segment that `location`, one of its own, stands for.
    pub fn offset(&self, location: Location) -> u64 {
        (location.raw() - (self.first_chunk << CHUNK_BITS)) * UNIT
    }

    /// Where the segment begins in the location space.
    pub fn first_chunk(&self) -> u32 {
        // A location has 36 bits, of which the chunk is the upper 20; a segment beyond gives no location.
        u32::try_from(self.first_chunk).unwrap_or(u32::MAX)
    }

    /// Offset behind the last of its records, as of now.
    pub fn content_end(&self) -> u64 {
        self.sealed_at.unwrap_or(self.segment.readable_end())
    }

    /// Whether it has its footer; what is left of an earlier run counts as sealed before it is adopted.
    pub fn is_sealed(&self) -> bool {
        self.sealed_at.is_some()
    }

    /// Whether it is from before the store was opened.
    pub fn is_recovered(&self) -> bool {
        self.is_recovered
    }

    /// How many of its bytes are dead.
    pub fn dead_bytes(&self) -> u64 {
        self.usage.dead_bytes.load(Ordering::Relaxed)
    }

    /// The same segment in its sealed form, with records up to `sealed_at`.
    pub fn replaced_by(&self, segment: Arc<Segment>, sealed_at: u64) -> Self {
        Self {
            sealed_at: Some(sealed_at),
            is_recovered: self.is_recovered,
            segment,
            usage: self.usage.clone(),
            first_chunk: self.first_chunk,
        }
    }
}

/// All segments of a store. Looking one up by location takes no lock and writes nothing; changes are
/// rare and serialised.
pub struct SegmentSet {
    by_chunk: EpochTable<LiveSegment>,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    by_id: BTreeMap<u64, (Arc<LiveSegment>, Range<usize>)>,
    next_chunk: usize,
}

impl SegmentSet {
    /// An empty set.
    pub fn new() -> Result<Self> {
        Ok(Self {
            by_chunk: EpochTable::new()?,
            members: Mutex::default(),
        })
    }

    /// Adds `segment`, whose records all begin below `capacity` bytes.
    pub fn add(
        &self,
        segment: Arc<Segment>,
        capacity: u64,
        guard: &Guard,
    ) -> Result<Arc<LiveSegment>> {
        let mut members = self.members.lock();
        let first = members.next_chunk;
        let live = |first_chunk| LiveSegment {
            segment,
            usage: Arc::default(),
            first_chunk,
            sealed_at: None,
            is_recovered: false,
        };
        self.insert(&mut members, first, capacity, live, guard)
    }

    /// Adds a `segment` of an earlier run, the records of which end at `sealed_at`. If an index image knows it, `place`
    /// says where in the location space it was then, which must be free, and how many of its bytes were dead.
    pub fn add_recovered(
        &self,
        segment: Arc<Segment>,
        sealed_at: u64,
        place: Option<(u32, u64)>,
        guard: &Guard,
    ) -> Result<Arc<LiveSegment>> {
        // Hints behind the records take no place.
        let capacity = sealed_at + FOOTER_LEN as u64;
        let mut members = self.members.lock();
        let (first, dead_bytes) = match place {
            Some((first, dead_bytes)) => (first as usize, dead_bytes),
            None => (members.next_chunk, 0),
        };
        let live = |first_chunk| LiveSegment {
            segment,
            usage: Arc::new(Usage {
                dead_bytes: AtomicU64::new(dead_bytes),
            }),
            first_chunk,
            sealed_at: Some(sealed_at),
            is_recovered: true,
        };
        self.insert(&mut members, first, capacity, live, guard)
    }

    fn insert(
        &self,
        members: &mut Members,
        first: usize,
        capacity: u64,
        live: impl FnOnce(u64) -> LiveSegment,
        guard: &Guard,
    ) -> Result<Arc<LiveSegment>> {
        let count = usize::try_from(chunks_for(capacity)).unwrap_or(usize::MAX);
        let chunks = first..first.saturating_add(count);
        self.by_chunk.reserve(chunks.clone())?;
        let live = Arc::new(live(chunks.start as u64));
        members.next_chunk = members.next_chunk.max(chunks.end);
        self.publish(members, live.clone(), chunks, guard);
        Ok(live)
    }

    /// How many bits the locations in the segments take at most.
    pub fn location_bits(&self) -> u32 {
        let behind = (self.members.lock().next_chunk as u64) << CHUNK_BITS;
        let bits = u64::BITS - behind.saturating_sub(1).leading_zeros();
        bits.min(Location::BITS)
    }

    /// All segments, in the order of their ids.
    pub fn members(&self) -> Result<Vec<Arc<LiveSegment>>> {
        let members = self.members.lock();
        let mut all = Vec::new();
        all.try_reserve_exact(members.by_id.len())
            .map_err(|_| Error::memory("the list of segments"))?;
        all.extend(members.by_id.values().map(|(live, _)| live.clone()));
        Ok(all)
    }

    /// Puts `live` in the place of the member with the same segment id.
    pub fn replace(&self, live: Arc<LiveSegment>, guard: &Guard) {
        let mut members = self.members.lock();
        let Some((_, chunks)) = members.by_id.get(&live.segment.id()) else {
            return;
        };
        let chunks = chunks.clone();
        self.publish(&mut members, live, chunks, guard);
    }

    fn publish(
        &self,
        members: &mut Members,
        live: Arc<LiveSegment>,
        chunks: Range<usize>,
        guard: &Guard,
    ) {
        for chunk in chunks.clone() {
            let covered = self.by_chunk.set(chunk, Some(live.clone()), guard);
            debug_assert!(covered, "chunks are reserved before they are set");
        }
        members.by_id.insert(live.segment.id(), (live, chunks));
    }

    /// The segment that `location` lies in.
    #[inline]
    pub fn find<'g>(&self, location: Location, guard: &'g Guard) -> Option<&'g LiveSegment> {
        self.by_chunk
            .get((location.raw() >> CHUNK_BITS) as usize, guard)
    }

    /// The same as a share, which keeps the segment readable whatever becomes of it here.
    pub fn share(&self, location: Location, guard: &Guard) -> Option<Arc<LiveSegment>> {
        self.by_chunk.share(chunk_of(location) as usize, guard)
    }

    /// Brings the record at `location` near, if there may be one.
    #[inline]
    pub fn prefetch(&self, location: Location, guard: &Guard) {
        if let Some(live) = self.find(location, guard) {
            live.segment.prefetch(live.offset(location));
        }
    }

    /// Whether the record at `location` has expired. Reads nothing in a segment without records that expire.
    ///
    /// # Errors
    /// `Corrupt` if it seems to have, but is damaged; those of [`Segment::record`].
    pub fn has_expired(
        &self,
        location: Location,
        clock: &ExpiryClock,
        guard: &Guard,
    ) -> Result<bool> {
        let Some(live) = self.find(location, guard) else {
            return Ok(false);
        };
        let offset = live.offset(location);
        if !live.segment.may_expire()
            || !clock.has_expired(live.segment.head_at(offset)?.expires_at_ms)
        {
            return Ok(false);
        }
        // The head alone proves nothing: damage must not pass for expiry.
        let mut scratch = Vec::new();
        live.segment.record(offset, &mut scratch)?.verify()?;
        Ok(true)
    }

    /// Counts the record at `location` as dead.
    pub fn bury(&self, location: Location, guard: &Guard) {
        let Some(live) = self.find(location, guard) else {
            return;
        };
        // A head that can't be read is damage, which whoever reads the record itself hears of.
        if let Ok(head) = live.segment.head_at(live.offset(location)) {
            live.usage
                .dead_bytes
                .fetch_add(head.total_len, Ordering::Relaxed);
        }
    }

    /// Number of segments, their size on disk, and the dead bytes in them.
    pub fn totals(&self) -> (u64, u64, u64) {
        let members = self.members.lock();
        let live = || members.by_id.values().map(|(live, _)| live);
        (
            members.by_id.len() as u64,
            live().map(|live| live.segment.disk_bytes()).sum(),
            live()
                .map(|live| live.usage.dead_bytes.load(Ordering::Relaxed))
                .sum(),
        )
    }
}

thread_local! {
    /// Where records are read to when segments are not mapped; kept, so that a comparison allocates nothing.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A scratch buffer larger than this is given back after use.
const SCRATCH_KEPT: usize = 1 << 17;

impl KeyReader for SegmentSet {
    fn matches(&self, guard: &Guard, location: Location, key: &[u8]) -> Result<bool> {
        let Some(live) = self.find(location, guard) else {
            return Ok(false);
        };
        let offset = live.offset(location);
        let mut scratch = SCRATCH.take();
        let compare = |scratch: &mut Vec<u8>| {
            if live.segment.key_at(offset, scratch)? == key {
                return Ok(true);
            }
            // Damage to the key must not make a stranger of the record.
            live.segment.record(offset, scratch)?.verify()?;
            Ok(false)
        };
        let matches = compare(&mut scratch);
        if scratch.capacity() <= SCRATCH_KEPT {
            SCRATCH.set(scratch);
        }
        matches
    }

    fn read(&self, guard: &Guard, location: Location, key: &mut Vec<u8>) -> Result<()> {
        let Some(live) = self.find(location, guard) else {
            let message = "a location in the index lies in no segment";
            return Err(Error::new(ErrorKind::Corrupt, message));
        };
        let mut scratch = SCRATCH.take();
        let mut read = |scratch: &mut Vec<u8>| {
            let found = live.segment.key_at(live.offset(location), scratch)?;
            key.clear();
            let reserved = key.try_reserve(found.len());
            reserved.map_err(|_| Error::memory("a copy of a key"))?;
            key.extend_from_slice(found);
            Ok(())
        };
        let result = read(&mut scratch);
        SCRATCH.set(scratch);
        result
    }
}
