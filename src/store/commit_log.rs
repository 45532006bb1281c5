//! The writing end of the log: appending in commit order, rotation, durability.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

use super::clock::ExpiryClock;
use super::closed;
use super::commit::GroupCommit;
use super::failure::Failure;
use super::live_segment::LiveSegment;
use super::options::{Options, SyncMode};
use super::recovery::Adoption;
use super::segment_set::{SegmentSet, location_limit};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Index, Location};
use crate::log::SegmentWriter;
use crate::log::record::Fields;
use crate::log::record::{MAX_SEQUENCE, encoded_len, most_encoded};
use crate::log::segment_header::{Origin, SegmentHeader};
use crate::log::writer::{Growth, exact_size};
use crate::memory::epoch;
use crate::vfs::Vfs;

mod batch;
mod pages;
mod successor;
mod sync;

use pages::{PagesAhead, Wanted};
use successor::Successors;

pub use sync::Scope;

/// Where a store's files are and how they are made.
pub struct Place {
    /// The file system.
    pub vfs: Arc<dyn Vfs>,
    /// Knows what has expired.
    pub clock: Arc<ExpiryClock>,
    /// The store's directory.
    pub directory: PathBuf,
    /// The store's identity, in every segment.
    pub store_id: [u8; 16],
    /// How the store was opened.
    pub options: Options,
}

/// Where recovery left off.
#[derive(Clone, Copy, Debug)]
pub struct Resume {
    /// Sequence number of the last record of the commit order.
    pub last_sequence: u64,
    /// Sequence number that the next record gets: above all ever seen.
    pub next_sequence: u64,
    /// Id that the next segment gets: above all ever seen.
    pub next_segment_id: u64,
}

/// A record, or the records of a batch, that has been appended.
#[derive(Clone, Copy, Debug)]
pub struct Appended {
    /// Where it lies, or the last of them.
    pub location: Location,
    /// Its sequence number, or that of the last; see [`CommitLog::wait`].
    pub sequence: u64,
    /// Whether it began a new segment and so left a full one behind.
    pub filled_a_segment: bool,
    /// How many full segments wait to be synced and sealed.
    pub full_segments: usize,
    /// How many bytes they have.
    pub full_bytes: u64,
}

/// Wakes somebody, quickly.
type Ask = OnceLock<Box<dyn Fn() + Send + Sync>>;

struct OpenSegment {
    writer: SegmentWriter,
    live: Arc<LiveSegment>,
    last_sequence: u64,
    /// Every sequence up to this one is proven durable by a mark or the header of this segment.
    proven: u64,
    /// What it counts for when it is sealed.
    share: u64,
    /// Whether the file's name is durable.
    is_named: bool,
}

impl OpenSegment {
    fn base_sequence(&self) -> u64 {
        self.live.segment.header().base_sequence
    }
}

struct Tail {
    active: Option<OpenSegment>,
    full: Vec<OpenSegment>,
    /// Bytes of those that are full.
    full_bytes: u64,
    successors: Successors,
    pages: PagesAhead,
    /// How many records were appended last, together.
    last_count: u64,
    /// A segment was begun, and no append has told of it yet.
    has_rotated: bool,
    last_sequence: u64,
    next_sequence: u64,
    next_segment_id: u64,
    written_bytes: u64,
    closed: bool,
}

impl Tail {
    /// Nothing more is written into `full`.
    fn fill(&mut self, full: Option<OpenSegment>) {
        self.full_bytes += full.as_ref().map_or(0, |it| it.writer.end());
        self.full.extend(full);
    }

    /// Counts `records`, of `bytes` together, that were just appended to the active segment, the last of them at `location`;
    /// the first said that all before were durable if it `follows_durable`.
    #[inline(always)]
    fn count(
        &mut self,
        records: u64,
        bytes: u64,
        follows_durable: bool,
        location: Location,
    ) -> Appended {
        let first = self.next_sequence;
        self.written_bytes += bytes;
        self.next_sequence += records;
        self.last_sequence = self.next_sequence - 1;
        self.last_count = records;
        if let Some(active) = &mut self.active {
            active.last_sequence = self.last_sequence;
            if follows_durable {
                active.proven = first - 1;
            }
        }
        Appended {
            location,
            sequence: self.last_sequence,
            filled_a_segment: std::mem::take(&mut self.has_rotated),
            full_segments: self.full.len(),
            full_bytes: self.full_bytes,
        }
    }
}

/// The log of a store that is open for writing. All methods may be called from any thread; appends are
/// serialised, and the order in which they happen is the commit order.
pub struct CommitLog {
    place: Place,
    segments: Arc<SegmentSet>,
    /// Only asked for the number of keys.
    index: Arc<Index>,
    failure: Arc<Failure>,
    /// What an earlier run left; durable before anything is written.
    adoption: Adoption,
    tail: Mutex<Tail>,
    ask_for_pages: Ask,
    ask_for_successor: Ask,
    /// Held while a successor is being made.
    making: Mutex<()>,
    /// Set when there may be something to do for who makes successors.
    wants_successor: AtomicBool,
    wanted_pages: Mutex<Vec<Wanted>>,
    /// Held while space is reserved for a segment that puts go on to write into.
    reserving: Mutex<()>,
    commit: GroupCommit,
    /// How many bits the locations of coming records take, as far as that is known.
    location_bits: AtomicU32,
    syncs: AtomicU64,
    sealed: AtomicU64,
    last_sync_ms: AtomicU64,
}

impl CommitLog {
    /// The log that goes on from where recovery left off. Everything that recovery kept is durable when `adoption` is
    /// finished.
    pub fn new(
        place: Place,
        segments: Arc<SegmentSet>,
        index: Arc<Index>,
        failure: Arc<Failure>,
        adoption: Adoption,
        resume: Resume,
    ) -> Self {
        let log = Self {
            place,
            segments,
            index,
            failure,
            adoption,
            tail: Mutex::new(Tail {
                active: None,
                full: Vec::new(),
                full_bytes: 0,
                successors: Successors::default(),
                pages: PagesAhead::default(),
                last_count: 1,
                has_rotated: false,
                last_sequence: resume.last_sequence,
                next_sequence: resume.next_sequence,
                next_segment_id: resume.next_segment_id,
                written_bytes: 0,
                closed: false,
            }),
            ask_for_pages: Ask::new(),
            ask_for_successor: Ask::new(),
            making: Mutex::new(()),
            wants_successor: AtomicBool::new(false),
            wanted_pages: Mutex::new(Vec::new()),
            reserving: Mutex::new(()),
            commit: GroupCommit::new(resume.last_sequence),
            location_bits: AtomicU32::new(0),
            syncs: AtomicU64::new(0),
            sealed: AtomicU64::new(0),
            last_sync_ms: AtomicU64::new(0),
        };
        log.last_sync_ms.store(log.now_ms(), Ordering::Relaxed);
        log
    }

    /// Appends one record; `fields.sequence` is set here. An error leaves the log as it was, or stops all writing.
    pub fn append(&self, fields: Fields<'_>) -> Result<Appended> {
        let appended = self.append_within(fields, Location::BITS)?;
        appended.ok_or_else(location_limit)
    }

    /// How many bits the location of the next record probably takes.
    pub fn location_bits(&self) -> u32 {
        self.location_bits.load(Ordering::Relaxed)
    }

    /// As [`CommitLog::append`], if the record's location takes at most `location_bits` bits. Else writes nothing and
    /// answers `None`; [`CommitLog::location_bits`] has become larger then.
    #[inline(always)]
    pub fn append_within(
        &self,
        mut fields: Fields<'_>,
        location_bits: u32,
    ) -> Result<Option<Appended>> {
        let mut tail = self.open_tail(1)?;
        fields.sequence = tail.next_sequence;
        // Costs nothing and saves a mark: with one writer at a time each record says it of all before.
        fields.follows_durable = self.commit.durable() >= tail.last_sequence;
        let most = most_encoded(&fields);
        let active = self.make_room(&mut tail, most, |base| encoded_len(&fields, base))?;
        // Known before anything is written, so that nothing can fail afterwards.
        let location = active.live.location(active.writer.end())?;
        if !self.is_within(location, location_bits) {
            return Ok(None);
        }
        let appended = active.writer.append(&fields);
        let offset = appended.map_err(|error| self.stop_if_failed(&active.writer, error))?;
        debug_assert_eq!(active.live.location(offset).ok(), Some(location));
        let follows_durable = fields.follows_durable;
        let bytes = active.writer.end() - offset;
        Ok(Some(self.count(tail, 1, bytes, follows_durable, location)))
    }

    /// As [`Tail::count`]; asks for pages, and for successors of the active segment, when it is time.
    #[inline(always)]
    fn count(
        &self,
        mut tail: MutexGuard<'_, Tail>,
        records: u64,
        bytes: u64,
        follows_durable: bool,
        location: Location,
    ) -> Appended {
        let appended = tail.count(records, bytes, follows_durable, location);
        let wants_successor = tail.wants_successor() && self.want_successor(&mut tail);
        let wants_pages = tail.wants_pages() && self.want_pages(&mut tail);
        // Whoever is woken while the lock is held soon waits for it.
        drop(tail);
        for (wants, ask) in [
            (wants_pages, &self.ask_for_pages),
            (wants_successor, &self.ask_for_successor),
        ] {
            if wants && let Some(ask) = ask.get() {
                ask();
            }
        }
        appended
    }

    /// Whether `location` takes at most `location_bits` bits; if not, [`CommitLog::location_bits`] becomes larger.
    fn is_within(&self, location: Location, location_bits: u32) -> bool {
        let within = location.bits() <= location_bits;
        if !within {
            self.location_bits
                .fetch_max(location.bits(), Ordering::Relaxed);
        }
        within
    }

    /// The end of the log, locked, ready for `count` more sequence numbers.
    #[inline(always)]
    fn open_tail(&self, count: u64) -> Result<MutexGuard<'_, Tail>> {
        self.failure.check_writable()?;
        let tail = self.tail.lock();
        if tail.closed {
            return Err(closed());
        }
        if tail.next_sequence + count - 1 > MAX_SEQUENCE {
            return Err(used_up());
        }
        Ok(tail)
    }

    /// The active segment, which has room for what takes `len` bytes in a segment of a given base sequence, and nowhere more than
    /// `most`: a new one if need be.
    #[inline(always)]
    fn make_room<'t>(
        &self,
        tail: &'t mut Tail,
        most: u64,
        len: impl Fn(u64) -> u64,
    ) -> Result<&'t mut OpenSegment> {
        let fits = |active: &OpenSegment| {
            active.writer.fits(most) || active.writer.fits(len(active.base_sequence()))
        };
        if !tail.active.as_ref().is_some_and(fits) || tail.successors.is_due(tail.next_sequence) {
            let len = len(tail.next_sequence);
            self.rotate(tail, len)?;
        }
        tail.active
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::Closed, "the store has no active segment"))
    }

    #[cold]
    fn stop_if_failed(&self, writer: &SegmentWriter, error: Error) -> Error {
        match writer.failed() {
            true => self.stop(error),
            // A full disk, say: nothing was exposed, and writing may go on when there is space.
            false => error,
        }
    }

    /// Makes durable and seals what an earlier run left, unless that has been done. A failure stops all writing, unless
    /// something has run out that may be there again the next time.
    pub fn finish_adoption(&self) -> Result<()> {
        let Place {
            vfs,
            directory,
            options,
            ..
        } = &self.place;
        let finished = self
            .adoption
            .finish(&**vfs, directory, &self.segments, options.read_mode);
        finished.map_err(|error| match self.adoption.has_failed() {
            true => self.stop(error),
            false => error,
        })
    }

    /// Begins a segment in which `len` bytes of records have room.
    #[cold]
    fn rotate(&self, tail: &mut Tail, len: u64) -> Result<()> {
        self.finish_adoption()?;
        tail.pages.begin_segment(0);
        let active = match self.take_successor(tail, len)? {
            Some(successor) => {
                tail.pages
                    .begin_segment(successor.writer.mapped_space().unwrap_or(0));
                successor
            }
            None => {
                let salt = self.salt()?;
                let header = self.next_header(tail, salt);
                let growth = tail.pages.growth(tail.written_bytes);
                self.create(&header, len, growth)?
            }
        };
        let full = tail.active.replace(active);
        tail.has_rotated |= full.is_some();
        tail.fill(full);
        Ok(())
    }

    /// The header of a segment that begins here, under a new id.
    fn next_header(&self, tail: &mut Tail, salt: u32) -> SegmentHeader {
        let id = tail.next_segment_id;
        tail.next_segment_id += 1;
        SegmentHeader {
            origin: Origin::Fresh,
            salt,
            store_id: self.place.store_id,
            segment_id: id,
            base_sequence: tail.next_sequence,
            predecessor_sequence: tail.last_sequence,
            durable_sequence: self.commit.durable(),
            expired_until_ms: self.place.clock.expired_until_ms(),
        }
    }

    /// A number at random for a new segment.
    pub fn salt(&self) -> Result<u32> {
        let random = self.place.vfs.random();
        let bytes =
            random.map_err(|error| Error::io("random bytes", &self.place.directory, &error))?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Creates a segment whose header and name are durable before any record goes into it: so an unreadable
    /// header is damage, never the trace of a crash.
    fn create(&self, header: &SegmentHeader, len: u64, growth: Growth) -> Result<OpenSegment> {
        let Place {
            vfs,
            directory,
            options,
            ..
        } = &self.place;
        let size = exact_size(len).max(self.usual_size());
        let (vfs, read_mode) = (&**vfs, options.read_mode);
        let created = SegmentWriter::create(vfs, directory, header, size, growth, read_mode);
        let (writer, _) = created.map_err(|error| self.stop_unless_short(error))?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.begin_segment(writer, true)
    }

    /// What a new segment usually grows to, in bytes.
    fn usual_size(&self) -> u64 {
        let content = self.segments.content_bytes();
        self.place.options.usual_segment_size(content)
    }

    fn stop_unless_short(&self, error: Error) -> Error {
        match is_shortage(&error) {
            true => error,
            false => self.stop(error),
        }
    }

    /// Makes a segment that has its final name part of the store.
    fn begin_segment(&self, writer: SegmentWriter, is_named: bool) -> Result<OpenSegment> {
        let segment = writer.segment().clone();
        let header = segment.header();
        let writer = writer.within(self.segments.budget().clone());
        let writer = match self.place.options.sync_mode {
            SyncMode::Always => writer.writing_by_calls(),
            SyncMode::Interval | SyncMode::None => writer,
        };
        match self
            .segments
            .add(segment.clone(), writer.size(), &epoch::pin())
        {
            Ok(live) => {
                self.place.clock.recorded(header.expired_until_ms);
                Ok(OpenSegment {
                    proven: header.durable_sequence,
                    last_sequence: header.predecessor_sequence,
                    share: sealed_share(self.usual_size(), &self.place.options),
                    is_named,
                    writer,
                    live,
                })
            }
            Err(error) => {
                // Nothing was written into it; recovery removes it if this fails.
                let _ = self.place.vfs.remove(segment.path());
                Err(error)
            }
        }
    }

    /// Stops all writing because of `error`, which it gives back.
    pub fn stop(&self, error: Error) -> Error {
        self.failure.stop_writing(&error);
        error
    }

    /// Refuses all further appends, makes everything durable and seals the active segment.
    /// Answers [`ErrorKind::Closed`] if that has been done before.
    pub fn close(&self) -> Result<()> {
        {
            let mut tail = self.tail.lock();
            if std::mem::replace(&mut tail.closed, true) {
                return Err(closed());
            }
            tail.successors.give_up();
        }
        self.remove_given_up();
        // Whoever opens the store next finds no file that comes or goes.
        drop(self.making.lock());
        self.commit.sync_now(|| {
            self.sync_as_leader(Scope::Everything)?;
            let Some(active) = self.last_segment()? else {
                return Ok(());
            };
            let segment = active.live.segment.clone();
            self.seal(active);
            self.sync_segment(&segment)
        })
    }

    /// The segment to seal when closing: the active one, or an empty one if without it nothing on disk would say what has
    /// expired.
    fn last_segment(&self) -> Result<Option<OpenSegment>> {
        let mut tail = self.tail.lock();
        if tail.active.is_none() && self.place.clock.has_news() {
            match self.rotate(&mut tail, 0) {
                Err(error) if is_shortage(&error) => {}
                rotated => rotated?,
            }
        }
        Ok(tail.active.take())
    }

    /// Sequence number of the newest record.
    pub fn last_sequence(&self) -> u64 {
        self.tail.lock().last_sequence
    }

    /// Bytes of records appended since the opening.
    pub fn written_bytes(&self) -> u64 {
        self.tail.lock().written_bytes
    }

    /// Everything up to this sequence number is durable.
    pub fn durable_sequence(&self) -> u64 {
        let proven = self.adoption.proven();
        proven.unwrap_or(self.commit.durable())
    }

    /// Syncs of log data so far.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Segments sealed so far, in parts of a segment of full size: [`FULL_SHARE`] for each of these, less for smaller ones.
    pub fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::Relaxed)
    }

    /// An id for a new segment, and those of the successors of the active segment that have been made or are being made: segments
    /// that will belong to the log though they have smaller ids.
    pub fn next_segment_id(&self) -> (u64, Vec<u64>) {
        let mut tail = self.tail.lock();
        tail.next_segment_id += 1;
        (tail.next_segment_id - 1, tail.successors.ids())
    }

    /// Takes note of a sealed segment of `length` bytes that was not written by appending.
    pub fn count_sealed(&self, length: u64) {
        let options = &self.place.options;
        let usual = options.usual_segment_size(self.segments.content_bytes());
        let share = sealed_share(usual.max(length), options);
        self.sealed.fetch_add(share, Ordering::Relaxed);
    }

    /// Lets the active segment count as full if anything in it is dead or may have expired, so that it can be sealed and
    /// compacted.
    pub fn retire_active_with_garbage(&self) -> Result<()> {
        let has_garbage = |active: &mut OpenSegment| {
            active.live.dead().bytes() > 0 || active.live.segment.may_expire()
        };
        self.end_active_if(&mut *self.open_tail(1)?, has_garbage);
        self.remove_given_up();
        Ok(())
    }

    /// Lets the segment `id` count as full if it is the active one, so that it can be sealed and compacted.
    pub fn retire_active(&self, id: u64) -> Result<()> {
        let is_meant = |active: &mut OpenSegment| active.live.segment.id() == id;
        self.end_active_if(&mut *self.open_tail(1)?, is_meant);
        self.remove_given_up();
        Ok(())
    }

    /// Lets the active segment count as full if `ends`. What was to follow it begins later than what will follow now.
    fn end_active_if(&self, tail: &mut Tail, ends: impl FnOnce(&mut OpenSegment) -> bool) {
        let ended = tail.active.take_if(ends);
        if ended.is_some() {
            self.give_up_successors(tail);
        }
        tail.fill(ended);
    }

    /// The store's file system, clock, directory and options.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

/// What a segment of the full size counts for in [`CommitLog::sealed`].
pub const FULL_SHARE: u64 = 1000;

/// What a segment of `size` bytes counts for.
fn sealed_share(size: u64, options: &Options) -> u64 {
    (size * FULL_SHARE)
        .div_ceil(options.segment_size)
        .min(FULL_SHARE)
}

#[cold]
fn used_up() -> Error {
    let message = "the store's sequence numbers are used up";
    Error::new(ErrorKind::TooLarge, message)
}

/// Whether `error` says that something has run out. Opening or creating a segment has then changed nothing, and may succeed
/// later.
pub fn is_shortage(error: &Error) -> bool {
    let shortages = [
        libc::ENOSPC,
        libc::EDQUOT,
        libc::EFBIG,
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOMEM,
    ];
    matches!(error.kind(), ErrorKind::Memory | ErrorKind::TooLarge)
        || shortages.contains(&error.os_code())
}
