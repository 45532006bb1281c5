//! The packed table of one shard: an array of buckets, a parallel array of key references, and the slab the
//! references lead to.
//!
//! One writer at a time (the shard's lock) changes the table, always inside [`Table::change`]; any number of
//! readers look at it inside [`Table::stable`], without a lock and without writing. An entry is in its home
//! bucket, in its second bucket, or in the stash; the home bucket counts those that are elsewhere.
//!
//! The version scheme is a sequence lock over atomic words; the two-bucket placement is cuckoo hashing by
//! partial keys (Fan, Andersen and Kaminsky, "MemC3", 2013) with moves of depth one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::Location;
use super::bucket::{Bucket, Overflow, SLOTS, TAG_BITS};
use super::shape::{MAX_PAGES, Shape};
use crate::error::Result;
use crate::memory::key_slab::KeySlab;
use crate::memory::page_arena::{PAGE_BYTES, PageArena};
use crate::memory::page_list::{LINES, Line, PageList};

/// References of one bucket: ten of 24 bits, in half a line.
const REFERENCE_BITS: usize = 24;
const REFERENCE_WORDS: usize = 4;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    bucket: usize,
    slot: usize,
}

/// A free slot chosen for a new entry.
pub(super) struct Place {
    home: usize,
    tag: u32,
    position: Position,
}

/// An entry whose key was compared.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) position: Position,
    pub(super) location: Location,
    pub(super) reference: u32,
}

/// Which half of its shard's hashes an entry belongs to; a table whose bucket count is known tells that
/// without the key, but not for entries in the stash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Lower,
    Upper,
    Unknown,
}

pub(super) struct Table {
    /// Odd while the writer is changing something.
    version: AtomicU64,
    /// Counts moves of entries between buckets.
    moves: AtomicU64,
    /// Leading hash bits that all keys of the shard share.
    depth: u32,
    shape: Shape,
    stash_entries: AtomicU32,
    hot: PageList<MAX_PAGES>,
    cold: PageList<{ MAX_PAGES / 2 }>,
    slab: Arc<KeySlab>,
}

/// A bucket as it was at one moment.
struct Picture {
    bucket: Bucket,
    /// A bit for each slot with the wanted tag.
    matches: u32,
    /// Filled only if asked for and something matches.
    references: [u64; REFERENCE_WORDS],
    moves: u64,
}

impl Table {
    pub(super) fn new(
        arena: &Arc<PageArena>,
        shape: Shape,
        depth: u32,
        slab: Arc<KeySlab>,
    ) -> Result<Self> {
        let pages = shape.pages();
        Ok(Self {
            version: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            depth,
            shape,
            stash_entries: AtomicU32::new(0),
            hot: PageList::new(arena.clone(), pages)?,
            cold: PageList::new(arena.clone(), pages.div_ceil(2))?,
            slab,
        })
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn slab(&self) -> &Arc<KeySlab> {
        &self.slab
    }

    pub(super) fn stash_entries(&self) -> u64 {
        u64::from(self.stash_entries.load(Ordering::Relaxed))
    }

    /// Bytes of buckets and references.
    pub(super) fn page_bytes(&self) -> usize {
        (self.hot.count() + self.cold.count()) * PAGE_BYTES
    }

    /// Calls `visit` with the location of every entry that may have `hash`, until it answers.
    #[inline]
    pub(super) fn find<R>(
        &self,
        hash: u64,
        mut visit: impl FnMut(Location) -> Option<R>,
    ) -> Option<R> {
        self.probe::<false, R>(hash, |picture, position| {
            visit(picture.bucket.location(position.slot)?)
        })
    }

    /// The entry of `key`, whose hash is `hash`; compares with the slab.
    #[inline]
    pub(super) fn locate(&self, hash: u64, key: &[u8]) -> Option<Found> {
        self.probe::<true, Found>(hash, |picture, position| {
            let reference = reference(&picture.references, position.slot);
            let matches = self.slab.matches(reference, key);
            debug_assert!(matches.is_ok(), "a slot refers to a published key");
            let location = picture.bucket.location(position.slot)?;
            matches.unwrap_or(false).then_some(Found {
                position,
                location,
                reference,
            })
        })
    }

    /// Calls `visit` for every slot whose tag fits `hash`, until it answers. A slot is visited again if an
    /// entry moved meanwhile: an entry that was there throughout is never missed.
    #[inline]
    fn probe<const REFERENCES: bool, R>(
        &self,
        hash: u64,
        mut visit: impl FnMut(&Picture, Position) -> Option<R>,
    ) -> Option<R> {
        let (home, tag) = self.home(hash);
        loop {
            let picture = self.picture::<REFERENCES>(home, tag);
            let fits = picture.matches & !picture.bucket.displaced();
            if let Some(answer) = visit_slots(&picture, home, fits, &mut visit) {
                return Some(answer);
            }
            if picture.bucket.overflow(Overflow::Second) == 0
                && picture.bucket.overflow(Overflow::Stash) == 0
            {
                return None;
            }
            match self.probe_elsewhere::<REFERENCES, R>(&picture, home, tag, &mut visit) {
                (None, moves) if moves != picture.moves => {}
                (answer, _) => return answer,
            }
        }
    }

    /// Probes second bucket and stash, as far as the picture of the home bucket says that they matter; also
    /// answers the count of moves as it was at the end.
    fn probe_elsewhere<const REFERENCES: bool, R>(
        &self,
        home_picture: &Picture,
        home: usize,
        tag: u32,
        visit: &mut impl FnMut(&Picture, Position) -> Option<R>,
    ) -> (Option<R>, u64) {
        let mut moves = home_picture.moves;
        if home_picture.bucket.overflow(Overflow::Second) > 0 {
            let second = self.other(home, tag);
            let picture = self.picture::<REFERENCES>(second, tag);
            moves = picture.moves;
            let fits = picture.matches & picture.bucket.displaced();
            if let Some(answer) = visit_slots(&picture, second, fits, visit) {
                return (Some(answer), moves);
            }
        }
        if home_picture.bucket.overflow(Overflow::Stash) > 0 {
            for bucket in self.stash() {
                let picture = self.picture::<REFERENCES>(bucket, tag);
                moves = picture.moves;
                if let Some(answer) = visit_slots(&picture, bucket, picture.matches, visit) {
                    return (Some(answer), moves);
                }
            }
        }
        (None, moves)
    }

    /// Chooses a free slot for a new entry, moving another one out of the way if need be; `None` if there is
    /// no room. For the writer only.
    pub(super) fn reserve(&self, hash: u64) -> Option<Place> {
        let (home, tag) = self.home(hash);
        let second = self.other(home, tag);
        let position = self
            .free(home)
            .or_else(|| self.free(second))
            .or_else(|| self.make_room(home))
            .or_else(|| self.make_room(second))
            .or_else(|| self.stash().find_map(|bucket| self.free(bucket)))?;
        Some(Place {
            home,
            tag,
            position,
        })
    }

    /// Puts an entry into a reserved slot. For the writer only.
    pub(super) fn fill(&self, place: &Place, location: Location, reference: u32) {
        let Place {
            home,
            tag,
            position,
        } = *place;
        self.change(|| {
            let overflow = self.overflow_of(home, position.bucket);
            self.edit(position.bucket, |bucket| {
                bucket.set(
                    position.slot,
                    tag,
                    location,
                    overflow == Some(Overflow::Second),
                )
            });
            self.set_reference(position, reference);
            if let Some(overflow) = overflow {
                self.edit(home, |bucket| bucket.add_overflow(overflow));
            }
        });
        self.count_stash(position, 1);
    }

    /// Replaces the location of an entry. For the writer only.
    pub(super) fn set_location(&self, position: Position, location: Location) {
        self.change(|| {
            self.edit(position.bucket, |bucket| {
                bucket.set_location(position.slot, location)
            })
        });
    }

    /// Removes the entry with `hash` at `position`. For the writer only.
    pub(super) fn clear(&self, hash: u64, position: Position) {
        let (home, _) = self.home(hash);
        self.change(|| {
            self.edit(position.bucket, |bucket| bucket.clear(position.slot));
            if let Some(overflow) = self.overflow_of(home, position.bucket) {
                self.edit(home, |bucket| bucket.remove_overflow(overflow));
            }
        });
        self.count_stash(position, -1);
    }

    /// Calls `visit` with half, location and reference of every entry, in the order of the buckets, until it fails.
    /// For the writer, or on a table that has no writer any more.
    pub(super) fn for_each(
        &self,
        mut visit: impl FnMut(Half, Location, u32) -> Result<()>,
    ) -> Result<()> {
        for number in 0..(self.shape.main + self.shape.stash) as usize {
            let bucket = Bucket::load(self.line(number));
            let references = self.references(number);
            let mut slots = bucket.occupied();
            while slots != 0 {
                let slot = slots.trailing_zeros() as usize;
                slots &= slots - 1;
                if let Some(location) = bucket.location(slot) {
                    visit(
                        self.half(number, &bucket, slot),
                        location,
                        reference(&references, slot),
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Home bucket and tag: the leading bits of the hash below the shard's own, in a mixed radix.
    #[inline]
    fn home(&self, hash: u64) -> (usize, u32) {
        let local = u128::from(hash << self.depth);
        let scaled = (local * u128::from(self.shape.main << TAG_BITS) >> 64) as u32;
        (
            (scaled >> TAG_BITS) as usize,
            scaled & ((1 << TAG_BITS) - 1),
        )
    }

    /// The other of the two buckets of an entry. Its own inverse, and it takes only the tag, so that entries
    /// move without their keys.
    #[inline]
    fn other(&self, bucket: usize, tag: u32) -> usize {
        let mixed = u64::from((tag + 1).wrapping_mul(0x9e37_79b1));
        let sum = (mixed * u64::from(self.shape.main) >> 32) as usize;
        if sum >= bucket {
            sum - bucket
        } else {
            sum + self.shape.main as usize - bucket
        }
    }

    fn half(&self, number: usize, bucket: &Bucket, slot: usize) -> Half {
        if number >= self.shape.main as usize {
            return Half::Unknown;
        }
        let tag = bucket.tag(slot);
        let displaced = bucket.displaced() >> slot & 1 == 1;
        let home = if displaced {
            self.other(number, tag)
        } else {
            number
        };
        if (home << TAG_BITS | tag as usize) < (self.shape.main as usize) << (TAG_BITS - 1) {
            Half::Lower
        } else {
            Half::Upper
        }
    }

    fn overflow_of(&self, home: usize, bucket: usize) -> Option<Overflow> {
        if bucket == home {
            None
        } else if bucket < self.shape.main as usize {
            Some(Overflow::Second)
        } else {
            Some(Overflow::Stash)
        }
    }

    fn stash(&self) -> std::ops::Range<usize> {
        self.shape.main as usize..(self.shape.main + self.shape.stash) as usize
    }

    fn count_stash(&self, position: Position, change: i32) {
        if position.bucket >= self.shape.main as usize {
            let entries = self.stash_entries.load(Ordering::Relaxed);
            let entries = entries.saturating_add_signed(change);
            self.stash_entries.store(entries, Ordering::Relaxed);
        }
    }

    fn free(&self, bucket: usize) -> Option<Position> {
        let slot = Bucket::load(self.line(bucket)).free_slot()?;
        Some(Position { bucket, slot })
    }

    /// Moves an entry of a full bucket to its other bucket, if one has room there.
    fn make_room(&self, crowded: usize) -> Option<Position> {
        let bucket = Bucket::load(self.line(crowded));
        for slot in 0..SLOTS {
            let other = self.other(crowded, bucket.tag(slot));
            if other != crowded
                && let Some(to) = self.free(other)
            {
                let from = Position {
                    bucket: crowded,
                    slot,
                };
                self.relocate(&bucket, from, to);
                return Some(from);
            }
        }
        None
    }

    fn relocate(&self, bucket: &Bucket, from: Position, to: Position) {
        let Some(location) = bucket.location(from.slot) else {
            return;
        };
        let tag = bucket.tag(from.slot);
        let was_displaced = bucket.displaced() >> from.slot & 1 == 1;
        let reference = reference(&self.references(from.bucket), from.slot);
        self.change(|| {
            let moves = self.moves.load(Ordering::Relaxed);
            self.moves.store(moves.wrapping_add(1), Ordering::Relaxed);
            self.edit(to.bucket, |bucket| {
                bucket.set(to.slot, tag, location, !was_displaced);
                if was_displaced {
                    bucket.remove_overflow(Overflow::Second);
                }
            });
            self.set_reference(to, reference);
            self.edit(from.bucket, |bucket| {
                bucket.clear(from.slot);
                if !was_displaced {
                    bucket.add_overflow(Overflow::Second);
                }
            });
        });
    }

    #[inline]
    fn line(&self, bucket: usize) -> &Line {
        &self.hot.lines(bucket / LINES)[bucket % LINES]
    }

    #[inline]
    fn reference_words(&self, bucket: usize) -> &[AtomicU64] {
        let line = &self.cold.lines(bucket / (2 * LINES))[bucket / 2 % LINES];
        &line.0[bucket % 2 * REFERENCE_WORDS..][..REFERENCE_WORDS]
    }

    #[inline]
    fn references(&self, bucket: usize) -> [u64; REFERENCE_WORDS] {
        let words = self.reference_words(bucket);
        std::array::from_fn(|word| words[word].load(Ordering::Relaxed))
    }

    fn set_reference(&self, position: Position, reference: u32) {
        let words = self.reference_words(position.bucket);
        let mask = (1 << REFERENCE_BITS) - 1;
        let (word, shift) = (
            position.slot * REFERENCE_BITS / 64,
            position.slot * REFERENCE_BITS % 64,
        );
        let lower = words[word].load(Ordering::Relaxed) & !(mask << shift);
        words[word].store(lower | u64::from(reference) << shift, Ordering::Relaxed);
        if shift + REFERENCE_BITS > 64 {
            let upper = words[word + 1].load(Ordering::Relaxed) & !(mask >> (64 - shift));
            words[word + 1].store(
                upper | u64::from(reference) >> (64 - shift),
                Ordering::Relaxed,
            );
        }
    }

    fn edit(&self, bucket: usize, edit: impl FnOnce(&mut Bucket)) {
        let line = self.line(bucket);
        let mut copy = Bucket::load(line);
        edit(&mut copy);
        copy.store(line);
    }

    #[inline]
    fn picture<const REFERENCES: bool>(&self, bucket: usize, tag: u32) -> Picture {
        self.stable(|| {
            let copy = Bucket::load(self.line(bucket));
            let matches = copy.matches(tag);
            let wanted = REFERENCES && matches != 0;
            Picture {
                bucket: copy,
                matches,
                references: if wanted {
                    self.references(bucket)
                } else {
                    [0; REFERENCE_WORDS]
                },
                moves: self.moves.load(Ordering::Relaxed),
            }
        })
    }

    /// What `read` answers at a moment when the writer was not changing anything.
    #[inline]
    fn stable<T>(&self, read: impl Fn() -> T) -> T {
        let mut attempts = 0;
        loop {
            let before = self.version.load(Ordering::Acquire);
            if before % 2 == 0 {
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

    /// Does `write` while the version is odd. For the writer only; short, and must not panic.
    #[inline]
    fn change(&self, write: impl FnOnce()) {
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        write();
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }
}

#[inline]
fn visit_slots<R>(
    picture: &Picture,
    bucket: usize,
    mut slots: u32,
    visit: &mut impl FnMut(&Picture, Position) -> Option<R>,
) -> Option<R> {
    while slots != 0 {
        let slot = slots.trailing_zeros() as usize;
        slots &= slots - 1;
        if let Some(answer) = visit(picture, Position { bucket, slot }) {
            return Some(answer);
        }
    }
    None
}

#[inline]
fn reference(words: &[u64; REFERENCE_WORDS], slot: usize) -> u32 {
    let (word, shift) = (slot * REFERENCE_BITS / 64, slot * REFERENCE_BITS % 64);
    let mut reference = words[word] >> shift;
    if shift + REFERENCE_BITS > 64 {
        reference |= words[word + 1] << (64 - shift);
    }
    (reference & ((1 << REFERENCE_BITS) - 1)) as u32
}

/// A writer is inside for some tens of nanoseconds, unless it lost its processor there.
#[cold]
fn back_off(attempts: &mut u32) {
    *attempts += 1;
    if *attempts < 64 {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}
