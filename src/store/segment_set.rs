//! The segments of an open store, and what a location means.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::clock::ExpiryClock;
use super::live_segment::{Dead, LiveSegment, Sealed, Usage};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{KeyReader, Location};
use crate::log::footer::FOOTER_LEN;
use crate::log::record::Kind;
use crate::log::{Disposal, Segment};
use crate::memory::budget::{HeapCharge, MemoryBudget};
use crate::memory::epoch::{self, Guard};
use crate::memory::epoch_table::EpochTable;

/// Locations count in units of this many bytes; every record begins at a multiple of it.
pub(super) const UNIT: u64 = crate::log::record::ALIGNMENT;
/// A segment occupies whole chunks of the location space, so that a chunk number leads to its segment.
pub(super) const CHUNK_BITS: u32 = 16;
const CHUNK_BYTES: u64 = UNIT << CHUNK_BITS;
/// How many chunks the location space has.
pub const CHUNKS: u64 = 1 << (Location::BITS - CHUNK_BITS);

/// What is kept of a segment in memory, with its share of lists and tables.
const SEGMENT_BYTES: usize = 2048;

/// How many chunks a segment of `bytes` takes.
pub fn chunks_for(bytes: u64) -> u64 {
    bytes.div_ceil(CHUNK_BYTES).max(1)
}

/// How many bytes of a segment lie in so many chunks.
pub fn bytes_in(chunks: u32) -> u64 {
    u64::from(chunks) * CHUNK_BYTES
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

/// All segments of a store. Looking one up by location takes no lock and writes nothing; changes are
/// rare and serialised.
pub struct SegmentSet {
    by_chunk: EpochTable<LiveSegment>,
    members: Mutex<Members>,
    disposal: Arc<Disposal>,
    budget: Arc<MemoryBudget>,
}

/// What the segments of a store amount to.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetTotals {
    /// How many there are.
    pub segments: u64,
    /// Their size on disk, with what is allocated for coming records.
    pub disk_bytes: u64,
    /// Their bytes up to the end of the last record of each.
    pub content_bytes: u64,
    /// Bytes of dead records.
    pub dead_bytes: u64,
    /// Dead puts.
    pub dead_puts: u64,
    /// Of the dead bytes, those of tombstones.
    pub tombstone_bytes: u64,
}

#[derive(Default)]
struct Members {
    by_id: BTreeMap<u64, (Arc<LiveSegment>, Range<usize>)>,
    /// The chunks that are taken, those of removed segments too until nobody can look a location in them up any more: where
    /// each range begins, and where it ends.
    taken: BTreeMap<usize, usize>,
    /// Bytes up to the end of the last record of each that is complete, together.
    complete_bytes: u64,
    /// The ids of the others, which are few.
    incomplete: BTreeSet<u64>,
}

impl Members {
    fn insert(&mut self, live: Arc<LiveSegment>, chunks: Range<usize>) {
        let id = live.segment.id();
        self.remove(id);
        match &live.sealed {
            Some(sealed) => self.complete_bytes += sealed.records_end,
            None => {
                self.incomplete.insert(id);
            }
        }
        self.by_id.insert(id, (live, chunks));
    }

    fn remove(&mut self, id: u64) -> Option<Range<usize>> {
        let (live, chunks) = self.by_id.remove(&id)?;
        match &live.sealed {
            Some(sealed) => self.complete_bytes -= sealed.records_end,
            None => {
                self.incomplete.remove(&id);
            }
        }
        Some(chunks)
    }

    /// Takes the first free chunks for `capacity` bytes.
    fn take(&mut self, capacity: u64) -> Range<usize> {
        let count = usize::try_from(chunks_for(capacity)).unwrap_or(usize::MAX);
        let mut first = 0;
        for (start, end) in &self.taken {
            if start - first >= count {
                break;
            }
            first = *end;
        }
        self.take_at(first, capacity)
    }

    fn take_at(&mut self, first: usize, capacity: u64) -> Range<usize> {
        let count = usize::try_from(chunks_for(capacity)).unwrap_or(usize::MAX);
        let end = first.saturating_add(count);
        self.taken.insert(first, end);
        first..end
    }
}

/// What recovery knows of a segment of an earlier run.
#[derive(Clone, Copy, Debug)]
pub struct Recovered {
    /// Where its records end, and what they amount to.
    pub sealed: Sealed,
    /// If an index image knows it: where in the location space it was then, which must be free, and what of it was dead.
    pub place: Option<(u32, Dead)>,
    /// Whether its footer is known to be on the disk.
    pub footer_is_durable: bool,
}

/// A place in the location space for a segment that is still to come.
pub struct Reservation {
    chunks: Range<usize>,
    charge: HeapCharge,
}

impl Reservation {
    /// How many bits the locations there take at most.
    pub fn location_bits(&self) -> u32 {
        bits_below(self.chunks.end)
    }
}

/// A segment before it has a place.
struct Added {
    segment: Arc<Segment>,
    usage: Usage,
    sealed: Option<Sealed>,
    is_recovered: bool,
}

fn bits_below(end: usize) -> u32 {
    let behind = (end as u64) << CHUNK_BITS;
    let bits = u64::BITS - behind.saturating_sub(1).leading_zeros();
    bits.min(Location::BITS)
}

impl SegmentSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::within(Arc::default())
    }

    /// An empty set, whose bookkeeping takes its memory from `budget`.
    pub fn within(budget: Arc<MemoryBudget>) -> Self {
        Self {
            budget,
            by_chunk: EpochTable::default(),
            members: Mutex::default(),
            disposal: Arc::default(),
        }
    }

    /// The budget of the store that the segments are of.
    pub fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// For what is known of one more segment. It may come from the last of the reserve: a store must be able to delete when it
    /// is full.
    fn charge(&self) -> Result<HeapCharge> {
        MemoryBudget::with_last_reserve(|| self.budget.charge(SEGMENT_BYTES))
    }

    /// Where the segments go when they have left the set and nobody reads them any more.
    pub fn disposal(&self) -> &Arc<Disposal> {
        &self.disposal
    }

    /// Adds `segment`, whose records all begin below `capacity` bytes.
    pub fn add(
        &self,
        segment: Arc<Segment>,
        capacity: u64,
        guard: &Guard,
    ) -> Result<Arc<LiveSegment>> {
        let added = Added {
            segment,
            usage: Usage::default(),
            sealed: None,
            is_recovered: false,
        };
        Ok(self.publish_at(self.reserve(capacity)?, added, guard))
    }

    /// Adds a `segment` of an earlier run.
    pub fn add_recovered(
        &self,
        segment: Arc<Segment>,
        known: Recovered,
        guard: &Guard,
    ) -> Result<Arc<LiveSegment>> {
        // Hints behind the records take no place.
        let capacity = known.sealed.records_end + FOOTER_LEN as u64;
        let dead = known.place.map_or(Dead::default(), |(_, dead)| dead);
        let added = Added {
            segment,
            usage: Usage::new(dead, known.footer_is_durable),
            sealed: Some(known.sealed),
            is_recovered: true,
        };
        let first_chunk = known.place.map(|(first, _)| first);
        Ok(self.publish_at(self.reserve_at(first_chunk, capacity)?, added, guard))
    }

    /// Adds a `segment` of a store that another process writes. Its records all begin below `capacity` bytes; `first_chunk` is its
    /// place in the location space, which must be free, if an index image knows it.
    pub fn add_growing(
        &self,
        segment: Arc<Segment>,
        capacity: u64,
        first_chunk: Option<u32>,
        guard: &Guard,
    ) -> Result<Arc<LiveSegment>> {
        let added = Added {
            segment,
            usage: Usage::default(),
            sealed: None,
            is_recovered: true,
        };
        Ok(self.publish_at(self.reserve_at(first_chunk, capacity)?, added, guard))
    }

    /// The segment with that id.
    pub fn member(&self, id: u64) -> Option<Arc<LiveSegment>> {
        let members = self.members.lock();
        members.by_id.get(&id).map(|(live, _)| live.clone())
    }

    /// Makes room, at its place, for records of the segment `id` that begin below `capacity` bytes; answers how many bytes it has
    /// room for then; `None` if something else lies behind it. Errors: `Memory`.
    pub fn enlarge(&self, id: u64, capacity: u64, guard: &Guard) -> Result<Option<u64>> {
        let mut members = self.members.lock();
        let unknown = || Error::new(ErrorKind::Closed, "the segment is no longer there");
        let (live, chunks) = members.by_id.get(&id).ok_or_else(unknown)?;
        let count = usize::try_from(chunks_for(capacity)).unwrap_or(usize::MAX);
        if count <= chunks.len() {
            return Ok(Some(chunks.len() as u64 * CHUNK_BYTES));
        }
        let enlarged = chunks.start..chunks.start.saturating_add(count);
        if members
            .taken
            .range(chunks.end..enlarged.end)
            .next()
            .is_some()
        {
            return Ok(None);
        }
        let live = live.clone();
        self.by_chunk.reserve(enlarged.clone())?;
        members.taken.insert(enlarged.start, enlarged.end);
        self.publish(&mut members, live, enlarged, guard);
        Ok(Some(count as u64 * CHUNK_BYTES))
    }

    /// Reserves a place for a segment whose records all begin below `capacity` bytes, so that nothing can fail when it is
    /// added.
    pub fn reserve(&self, capacity: u64) -> Result<Reservation> {
        let chunks = self.members.lock().take(capacity);
        self.checked(chunks)
    }

    /// The same at `first_chunk`, which is free, if that is given.
    fn reserve_at(&self, first_chunk: Option<u32>, capacity: u64) -> Result<Reservation> {
        let Some(first) = first_chunk else {
            return self.reserve(capacity);
        };
        let chunks = self.members.lock().take_at(first as usize, capacity);
        self.checked(chunks)
    }

    fn checked(&self, chunks: Range<usize>) -> Result<Reservation> {
        let charged = self.charge();
        match charged.and_then(|charge| self.by_chunk.reserve(chunks.clone()).map(|()| charge)) {
            Ok(charge) => Ok(Reservation { chunks, charge }),
            Err(error) => {
                self.members.lock().taken.remove(&chunks.start);
                Err(error)
            }
        }
    }

    /// Gives a reserved place back.
    pub fn give_back(&self, reservation: &Reservation) {
        self.members.lock().taken.remove(&reservation.chunks.start);
    }

    /// Adds `segment`, which is complete and durable, footer included, at the reserved place.
    pub fn add_output(
        &self,
        segment: Arc<Segment>,
        sealed: Sealed,
        reservation: Reservation,
        guard: &Guard,
    ) -> Arc<LiveSegment> {
        let added = Added {
            segment,
            usage: Usage::new(Dead::default(), true),
            sealed: Some(sealed),
            is_recovered: false,
        };
        self.publish_at(reservation, added, guard)
    }

    fn publish_at(
        &self,
        reservation: Reservation,
        added: Added,
        guard: &Guard,
    ) -> Arc<LiveSegment> {
        let Reservation { chunks, charge } = reservation;
        let live = Arc::new(LiveSegment {
            segment: added.segment,
            usage: Arc::new(added.usage),
            first_chunk: chunks.start as u64,
            sealed: added.sealed,
            is_recovered: added.is_recovered,
            _charge: Arc::new(charge),
        });
        let mut members = self.members.lock();
        self.publish(&mut members, live.clone(), chunks, guard);
        live
    }

    /// Takes the segment `id` out of the set, if it is there. Nothing new may refer to it any more; whoever holds a guard
    /// already can still look its locations up, and its place is taken until all of them are gone.
    pub fn remove(self: &Arc<Self>, id: u64, guard: &Guard) {
        let Some(chunks) = self.members.lock().remove(id) else {
            return;
        };
        let set = self.clone();
        guard.defer(move || {
            let guard = epoch::pin();
            for chunk in chunks.clone() {
                let covered = set.by_chunk.set(chunk, None, &guard);
                debug_assert!(covered, "what is removed was there");
            }
            set.members.lock().taken.remove(&chunks.start);
        });
    }

    /// How many bits the locations in the segments take at most.
    pub fn location_bits(&self) -> u32 {
        bits_below(self.end_chunk())
    }

    /// All raw locations in the segments are below this.
    pub fn location_end(&self) -> u64 {
        (self.end_chunk() as u64) << CHUNK_BITS
    }

    fn end_chunk(&self) -> usize {
        let end = self.members.lock().taken.values().next_back().copied();
        end.unwrap_or(0)
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
        live.segment.leave_to(&self.disposal);
        for chunk in chunks.clone() {
            let covered = self.by_chunk.set(chunk, Some(live.clone()), guard);
            debug_assert!(covered, "chunks are reserved before they are set");
        }
        members.insert(live, chunks);
    }

    /// The segment that `location` lies in.
    #[inline(always)]
    pub fn find<'g>(&self, location: Location, guard: &'g Guard) -> Option<&'g LiveSegment> {
        self.by_chunk
            .get((location.raw() >> CHUNK_BITS) as usize, guard)
    }

    /// The same as a share, which keeps the segment readable whatever becomes of it here.
    pub fn share(&self, location: Location, guard: &Guard) -> Option<Arc<LiveSegment>> {
        self.by_chunk.share(chunk_of(location) as usize, guard)
    }

    /// Brings the record at `location` near, if there may be one.
    #[inline(always)]
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
    #[inline(always)]
    pub fn bury(&self, location: Location, guard: &Guard) {
        let Some(live) = self.find(location, guard) else {
            return;
        };
        let head = live.segment.head_at(live.offset(location));
        live.usage.bury(head.as_ref().ok());
    }

    /// The same of a record that is known to be a put of so many bytes on disk, if they are given.
    #[inline(always)]
    pub fn bury_seen(&self, location: Location, bytes: Option<u64>, guard: &Guard) {
        let Some(bytes) = bytes else {
            return self.bury(location, guard);
        };
        if let Some(live) = self.find(location, guard) {
            live.usage.bury_put(bytes);
        }
    }

    /// As [`SetTotals::content_bytes`], without a look at every segment.
    pub fn content_bytes(&self) -> u64 {
        let members = self.members.lock();
        let incomplete = members.incomplete.iter();
        let incomplete = incomplete.filter_map(|id| members.by_id.get(id));
        members.complete_bytes + incomplete.map(|(live, _)| live.content_end()).sum::<u64>()
    }

    /// What all segments amount to.
    pub fn totals(&self) -> SetTotals {
        let members = self.members.lock();
        let mut totals = SetTotals::default();
        for (live, _) in members.by_id.values() {
            let dead = live.dead();
            totals.segments += 1;
            totals.disk_bytes += live.segment.disk_bytes();
            totals.content_bytes += live.content_end();
            totals.dead_bytes += dead.bytes();
            totals.dead_puts += dead.puts;
            totals.tombstone_bytes += dead.tombstone_bytes;
        }
        totals
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

    #[inline(always)]
    fn reads_as(&self, guard: &Guard, location: Location, key: &[u8]) -> Option<u64> {
        let live = self.find(location, guard)?;
        let (head, own) = live.segment.mapped_head_and_key_at(live.offset(location))?;
        (own == key && head.kind == Kind::Put).then_some(head.total_len)
    }

    #[inline]
    fn prefetch(&self, guard: &Guard, location: Location) -> bool {
        let live = self.find(location, guard);
        live.is_some_and(|live| live.segment.prefetch_head(live.offset(location)))
    }
}

#[cfg(test)]
mod tests;
