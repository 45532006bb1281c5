//! The packed table of one shard: an array of buckets and, if keys are in memory, a parallel array of references to
//! them and the slab the references lead to.
//!
//! One writer at a time (the shard's lock) changes the table, always inside [`Table::change`]; any number of
//! readers look at it inside [`Table::stable`], without a lock and without writing. An entry is in its home
//! bucket, in its second bucket, or in the stash; the home bucket counts those that are elsewhere. Where an entry is and
//! what its slot holds tell its home and its fingerprint (see `encoding`); only in the stash does the place not tell the
//! home, which is therefore noted beside it.
//!
//! The version scheme is a sequence lock over atomic words; the two-bucket placement is cuckoo hashing by
//! partial keys (Fan, Andersen and Kaminsky, "MemC3", 2013) with moves of depth one.

use std::ops::Range;
use std::sync::Arc;

use super::Location;
use super::bucket::{Bucket, Lanes, SLOTS};
use super::encoding::{Encoding, lane};
use super::shape::{MAX_PAGES, Shape};
use crate::error::{Error, Result};
use crate::memory::budget::HeapCharge;
use crate::memory::key_slab::KeySlab;
use crate::memory::page_arena::{PAGE_BYTES, PageArena};
use crate::memory::page_list::{ByteLine, LINE_BYTES, LINES, PageList, WordLine};
use crate::memory::prefetch::prefetch;
use crate::memory::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
use crate::memory::sync::{hint, thread};

/// A reference is 24 bits, the lowest byte first; the ten of a bucket share half a line.
const REFERENCE_BYTES: usize = 3;

/// Ten references, and two bytes that are left.
pub(super) type References = [AtomicU8; LINE_BYTES / 2];

/// The reference of an entry whose key is not in memory.
pub(super) const NO_REFERENCE: u32 = 0xff_ffff;

/// Slots of the stash of the largest table, before one that is crowded gets more.
const STASH_SLOTS: usize = Shape::largest().stash as usize * SLOTS;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) bucket: usize,
    pub(super) slot: usize,
}

/// An entry met on the way through the whole table.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    /// `None` for an entry that is reserved and has no location yet.
    pub(super) location: Option<Location>,
    pub(super) reference: u32,
    pub(super) position: Position,
    pub(super) home: usize,
    pub(super) tag: u64,
    /// What home and tag tell of the entry's hash.
    pub(super) fingerprint: u64,
}

/// References to keys in memory, ten beside each bucket, and the slab they lead to.
pub(super) struct KeyMemory {
    references: PageList<ByteLine, { MAX_PAGES / 2 }>,
    slab: Arc<KeySlab>,
}

impl KeyMemory {
    pub(super) fn new(arena: &Arc<PageArena>, shape: Shape, slab: Arc<KeySlab>) -> Result<Self> {
        let pages = shape.pages().div_ceil(2);
        Ok(Self {
            references: PageList::new(arena.clone(), pages)?,
            slab,
        })
    }

    pub(super) fn slab(&self) -> &Arc<KeySlab> {
        &self.slab
    }

    #[inline(always)]
    fn line(&self, bucket: usize) -> &ByteLine {
        &self.references.lines(bucket / (2 * LINES))[bucket / 2 % LINES]
    }

    /// The bytes of the ten references beside `bucket`.
    #[inline]
    pub(super) fn references(&self, bucket: usize) -> &References {
        let (halves, _) = self.line(bucket).0.as_chunks();
        &halves[bucket % 2]
    }
}

/// A half of a shard's hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Lower,
    Upper,
}

pub(super) struct Table {
    /// Odd while the writer is changing something.
    version: AtomicU64,
    /// Counts moves of entries between buckets.
    pub(super) moves: AtomicU64,
    shape: Shape,
    encoding: Encoding,
    pub(super) stash_entries: AtomicU32,
    /// The home bucket of each entry in the stash, and of those beyond a stash of ordinary length.
    stash_homes: [AtomicU16; STASH_SLOTS],
    more_stash_homes: Box<[AtomicU16]>,
    buckets: PageList<WordLine, MAX_PAGES>,
    /// `None` if the keys are on disk only.
    keys: Option<KeyMemory>,
    /// For the table and the shard that it is of, besides pages.
    _charge: Option<HeapCharge>,
}

impl Table {
    pub(super) fn new(
        arena: &Arc<PageArena>,
        shape: Shape,
        encoding: Encoding,
        keys: Option<KeyMemory>,
    ) -> Result<Self> {
        let more = (shape.stash as usize * SLOTS).saturating_sub(STASH_SLOTS);
        let charge = match more {
            0 => None,
            more => Some(arena.budget().charge(more * size_of::<u16>())?),
        };
        let mut more_stash_homes = Vec::new();
        let reserved = more_stash_homes.try_reserve_exact(more);
        reserved.map_err(|_| Error::memory("the stash of a table"))?;
        more_stash_homes.resize_with(more, AtomicU16::default);
        Ok(Self {
            version: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            shape,
            encoding,
            stash_entries: AtomicU32::new(0),
            stash_homes: std::array::from_fn(|_| AtomicU16::default()),
            more_stash_homes: more_stash_homes.into_boxed_slice(),
            buckets: PageList::new(arena.clone(), shape.pages())?,
            keys,
            _charge: charge,
        })
    }

    /// Has the system put memory behind all pages of a new table, by writing to each. A read would be answered with a page of
    /// zeros that many share; the first write then replaces it, and interrupts all processors to tell them.
    pub(super) fn touch(&self) {
        for page in 0..self.buckets.count() {
            self.buckets.lines(page)[0].0[0].store(0, Ordering::Relaxed);
        }
        let Some(KeyMemory { references, .. }) = &self.keys else {
            return;
        };
        for page in 0..references.count() {
            references.lines(page)[0].0[0].store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn depth(&self) -> u32 {
        self.encoding.depth()
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether this stands for a table that is not loaded yet.
    pub(super) fn is_absent(&self) -> bool {
        self.shape == Shape::absent()
    }

    #[inline]
    pub(super) fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// The keys in memory; `None` if they are on disk only.
    #[inline]
    pub(super) fn keys(&self) -> Option<&KeyMemory> {
        self.keys.as_ref()
    }

    /// How far the slab is filled; 0 without one.
    pub(super) fn slab_bytes(&self) -> usize {
        self.keys
            .as_ref()
            .map_or(0, |keys| keys.slab.published_bytes())
    }

    pub(super) fn stash_entries(&self) -> u64 {
        u64::from(self.stash_entries.load(Ordering::Relaxed))
    }

    /// Bytes of buckets and references.
    pub(super) fn page_bytes(&self) -> usize {
        let references = self.keys.as_ref().map_or(0, |keys| keys.references.count());
        (self.buckets.count() + references) * PAGE_BYTES
    }

    /// Bytes of the table's own administration outside the table itself.
    pub(super) fn overhead_bytes(&self) -> usize {
        let slab = self
            .keys
            .as_ref()
            .map_or(0, |keys| keys.slab.overhead_bytes());
        size_of_val(&*self.more_stash_homes) + slab
    }

    /// Calls `visit` with every entry, in the order of the buckets, until it fails.
    /// For the writer, or on a table that has no writer any more.
    pub(super) fn for_each(&self, mut visit: impl FnMut(Stored) -> Result<()>) -> Result<()> {
        for number in 0..self.stash().end {
            let bucket = Bucket::load(self.line(number));
            let references = self.keys.as_ref().map(|keys| keys.references(number));
            let contents = bucket.contents();
            let mut slots = bucket.occupied();
            while slots != 0 {
                let slot = slots.trailing_zeros() as usize;
                slots &= slots - 1;
                let content = contents[slot];
                let position = Position {
                    bucket: number,
                    slot,
                };
                let tag = self.encoding.tag(content.tag(), content.field());
                let home = self.home_of(&bucket, position);
                visit(Stored {
                    location: self.encoding.location(content.field()),
                    reference: references.map_or(NO_REFERENCE, |bytes| load_reference(bytes, slot)),
                    position,
                    home,
                    tag,
                    fingerprint: self.encoding.fingerprint(home, tag),
                })?;
            }
        }
        Ok(())
    }

    /// How many entries have their home in each half of the buckets, which is the half of the shard that they belong to but
    /// for those of the bucket in the middle.
    pub(super) fn homes_per_half(&self) -> [u64; 2] {
        let middle = self.shape.main as usize / 2;
        let mut homes = [0; 2];
        for number in 0..self.stash().end {
            let bucket = Bucket::load(self.line(number));
            let displaced = self.homed_elsewhere(number, &bucket);
            let natives = bucket.occupied() & !displaced;
            homes[usize::from(number >= middle)] += u64::from(natives.count_ones());
            let mut slots = displaced;
            while slots != 0 {
                let slot = slots.trailing_zeros() as usize;
                slots &= slots - 1;
                let home = self.home_of(
                    &bucket,
                    Position {
                        bucket: number,
                        slot,
                    },
                );
                homes[usize::from(home >= middle)] += 1;
            }
        }
        homes
    }

    /// The home of the entry at `position`, which is in `bucket`.
    #[inline]
    pub(super) fn home_of(&self, bucket: &Bucket, position: Position) -> usize {
        if position.bucket >= self.stash().start {
            self.stash_home(position)
        } else if bucket.displaced() >> position.slot & 1 == 1 {
            self.other(position.bucket, bucket.tag(position.slot))
        } else {
            position.bucket
        }
    }

    /// The slots of bucket `number` whose entries have their homes elsewhere.
    #[inline]
    pub(super) fn homed_elsewhere(&self, number: usize, lanes: &Lanes) -> u32 {
        if number >= self.stash().start {
            lanes.occupied()
        } else {
            lanes.displaced()
        }
    }

    /// The slots of bucket `number` in which entries of a half may be; all that are occupied, if it is of none.
    #[inline]
    pub(super) fn slots_of(&self, half: Option<Half>, number: usize, lanes: &Lanes) -> u32 {
        // Fingerprints are in the order of the buckets. That in the middle may be home to both halves.
        let middle = self.shape.main as usize / 2;
        let has_natives = number >= self.stash().start
            || match half {
                None => true,
                Some(Half::Lower) => number <= middle,
                Some(Half::Upper) => number >= middle,
            };
        match has_natives {
            true => lanes.occupied(),
            false => lanes.occupied() & lanes.displaced(),
        }
    }

    /// The half of the shard that a fingerprint belongs to.
    #[inline]
    pub(super) fn half(&self, fingerprint: u64) -> Half {
        if fingerprint >> (self.encoding.fingerprint_bits() - 1) == 1 {
            Half::Upper
        } else {
            Half::Lower
        }
    }

    /// Brings near what a lookup of `hash` touches first, and what a comparison or an insertion touches next.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let (home, _) = self.home(hash);
        prefetch(self.line(home));
        self.prefetch_references(home);
    }

    /// Brings near all that a lookup of `hash` may touch, and an insertion touches next.
    #[inline]
    pub(super) fn prefetch_probe(&self, hash: u64) {
        self.prefetch_buckets(hash);
        self.prefetch_references(self.home(hash).0);
    }

    /// Brings near all that a lookup of `hash` may touch, and nothing else.
    #[inline]
    pub(super) fn prefetch_buckets(&self, hash: u64) {
        let (home, tag) = self.home(hash);
        prefetch(self.line(home));
        prefetch(self.line(self.other(home, lane(tag))));
    }

    /// Brings near what a lookup of `hash` touches first, and nothing else.
    #[inline]
    pub(super) fn prefetch_home(&self, hash: u64) {
        let (home, _) = self.home(hash);
        prefetch(self.line(home));
    }

    /// Brings near what tells where the keys of a bucket's entries are, if they are in memory.
    #[inline]
    pub(super) fn prefetch_references(&self, bucket: usize) {
        if let Some(keys) = &self.keys {
            prefetch(keys.line(bucket));
        }
    }

    /// Home bucket and tag.
    #[inline]
    pub(super) fn home(&self, hash: u64) -> (usize, u64) {
        let fingerprint = self.encoding.fingerprint_of(hash);
        self.encoding.home_and_tag(fingerprint)
    }

    /// The other of the two buckets of an entry. Its own inverse, and it takes only the tag's lane, so that entries
    /// move without their keys.
    #[inline]
    pub(super) fn other(&self, bucket: usize, lane: u32) -> usize {
        let mixed = u64::from((lane + 1).wrapping_mul(0x9e37_79b1));
        let sum = ((mixed * u64::from(self.shape.main)) >> 32) as usize;
        let wrap = if sum >= bucket {
            0
        } else {
            self.shape.main as usize
        };
        sum + wrap - bucket
    }

    /// The buckets for entries that found no place in either of theirs.
    pub(super) fn stash(&self) -> Range<usize> {
        self.shape.main as usize..(self.shape.main + self.shape.stash) as usize
    }

    #[inline]
    pub(super) fn line(&self, bucket: usize) -> &WordLine {
        &self.buckets.lines(bucket / LINES)[bucket % LINES]
    }

    /// The reference of an entry, or [`NO_REFERENCE`].
    pub(super) fn reference(&self, position: Position) -> u32 {
        self.keys.as_ref().map_or(NO_REFERENCE, |keys| {
            load_reference(keys.references(position.bucket), position.slot)
        })
    }

    /// Does nothing if the keys are on disk only.
    #[inline(always)]
    pub(super) fn set_reference(&self, position: Position, reference: u32) {
        let Some(keys) = &self.keys else {
            return;
        };
        let bytes = reference_bytes(keys.references(position.bucket), position.slot);
        for (byte, value) in bytes.iter().zip(reference.to_le_bytes()) {
            byte.store(value, Ordering::Relaxed);
        }
    }

    /// The home bucket of an entry in the stash.
    #[inline]
    pub(super) fn stash_home(&self, position: Position) -> usize {
        usize::from(self.stash_place(position).load(Ordering::Relaxed))
    }

    pub(super) fn set_stash_home(&self, position: Position, home: usize) {
        // A table has fewer than 2^12 buckets that can be a home.
        self.stash_place(position)
            .store(home as u16, Ordering::Relaxed);
    }

    /// Notes the home of each entry in the stash as `source`, a table of the same shape, does.
    pub(super) fn take_over_stash_homes(&self, source: &Self) {
        let homes = self.stash_homes.iter().chain(&self.more_stash_homes);
        let of_source = source.stash_homes.iter().chain(&source.more_stash_homes);
        for (home, of_source) in homes.zip(of_source) {
            home.store(of_source.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    #[inline]
    fn stash_place(&self, position: Position) -> &AtomicU16 {
        let slot = (position.bucket - self.stash().start) * SLOTS + position.slot;
        match self.stash_homes.get(slot) {
            Some(home) => home,
            None => &self.more_stash_homes[slot - STASH_SLOTS],
        }
    }

    /// What `read` answers at a moment when the writer was not changing anything.
    #[inline(always)]
    pub(super) fn stable<T>(&self, read: impl Fn() -> T) -> T {
        let mut attempts = 0;
        loop {
            let before = self.version.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let value = read();
                // Pairs with the fence in `change`: had `read` seen one of its stores, the version would differ.
                fence(Ordering::Acquire);
                if self.version.load(Ordering::Relaxed) == before {
                    return value;
                }
            }
            back_off(&mut attempts);
        }
    }

    /// Readers look again at what they see until the answer is dropped. For the writer only, and for a short time.
    #[inline(always)]
    pub(super) fn change(&self) -> Change<'_> {
        let before = self.version.load(Ordering::Relaxed);
        self.version
            .store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let version = &self.version;
        Change { version, before }
    }
}

/// The writer is changing something: the version is odd.
#[must_use]
pub(super) struct Change<'t> {
    version: &'t AtomicU64,
    before: u64,
}

impl Drop for Change<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.version
            .store(self.before.wrapping_add(2), Ordering::Release);
    }
}

#[inline]
fn reference_bytes(references: &References, slot: usize) -> &[AtomicU8; REFERENCE_BYTES] {
    &references.as_chunks().0[slot]
}

#[inline]
pub(super) fn load_reference(references: &References, slot: usize) -> u32 {
    let [low, middle, high] = reference_bytes(references, slot)
        .each_ref()
        .map(|byte| byte.load(Ordering::Relaxed));
    u32::from_le_bytes([low, middle, high, 0])
}

/// A writer is inside for some tens of nanoseconds, unless it lost its processor there.
#[cold]
fn back_off(attempts: &mut u32) {
    *attempts += 1;
    if *attempts < 64 {
        hint::spin_loop();
    } else {
        thread::yield_now();
    }
}
