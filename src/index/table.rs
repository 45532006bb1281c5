//! The packed table of one shard: an array of buckets, a parallel array of key references, and the slab the
//! references lead to.
//!
//! One writer at a time (the shard's lock) changes the table, always inside [`Table::change`]; any number of
//! readers look at it inside [`Table::stable`], without a lock and without writing. An entry is in its home
//! bucket, in its second bucket, or in the stash; the home bucket counts those that are elsewhere.
//!
//! The version scheme is a sequence lock over atomic words; the two-bucket placement is cuckoo hashing by
//! partial keys (Fan, Andersen and Kaminsky, "MemC3", 2013) with moves of depth one.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use super::Location;
use super::bucket::{Bucket, TAG_BITS};
use super::shape::{MAX_PAGES, Shape};
use crate::error::Result;
use crate::memory::key_slab::KeySlab;
use crate::memory::page_arena::{PAGE_BYTES, PageArena};
use crate::memory::page_list::{ByteLine, LINES, PageList, WordLine};
use crate::memory::prefetch::prefetch;

/// A reference is 24 bits, the lowest byte first; the ten of a bucket share half a line.
const REFERENCE_BYTES: usize = 3;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) bucket: usize,
    pub(super) slot: usize,
}

/// An entry met on the way through the whole table.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) location: Location,
    pub(super) reference: u32,
    pub(super) position: Position,
    tag: u32,
    displaced: bool,
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
    /// Leading hash bits that all keys of the shard share.
    depth: u32,
    shape: Shape,
    pub(super) stash_entries: AtomicU32,
    hot: PageList<WordLine, MAX_PAGES>,
    cold: PageList<ByteLine, { MAX_PAGES / 2 }>,
    slab: Arc<KeySlab>,
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

    /// Whether this stands for a table that is not loaded yet.
    pub(super) fn is_absent(&self) -> bool {
        self.shape == Shape::absent()
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

    /// Calls `visit` with every entry, in the order of the buckets, until it fails.
    /// For the writer, or on a table that has no writer any more.
    pub(super) fn for_each(&self, mut visit: impl FnMut(Stored) -> Result<()>) -> Result<()> {
        for number in 0..self.stash().end {
            let bucket = Bucket::load(self.line(number));
            let references = self.references(number);
            let mut slots = bucket.occupied();
            while slots != 0 {
                let slot = slots.trailing_zeros() as usize;
                slots &= slots - 1;
                if let Some(location) = bucket.location(slot) {
                    visit(Stored {
                        location,
                        reference: load_reference(references, slot),
                        position: Position {
                            bucket: number,
                            slot,
                        },
                        tag: bucket.tag(slot),
                        displaced: bucket.displaced() >> slot & 1 == 1,
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The half of the shard that `hash` belongs to.
    pub(super) fn half_of(&self, hash: u64) -> Half {
        let upper = hash << self.depth >> (u64::BITS - 1) == 1;
        if upper { Half::Upper } else { Half::Lower }
    }

    /// The half of the shard that an entry belongs to, as far as that is known without its key: buckets and tags are
    /// in the order of the hashes, but an entry in the stash does not tell its home.
    pub(super) fn half(&self, stored: &Stored) -> Option<Half> {
        if self.stash().contains(&stored.position.bucket) {
            return None;
        }
        let home = if stored.displaced {
            self.other(stored.position.bucket, stored.tag)
        } else {
            stored.position.bucket
        };
        let lower =
            (home << TAG_BITS | stored.tag as usize) < (self.shape.main as usize) << (TAG_BITS - 1);
        Some(if lower { Half::Lower } else { Half::Upper })
    }

    /// Brings near what a lookup of `hash` touches first, and what a comparison or an insertion touches next.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let (home, _) = self.home(hash);
        prefetch(self.line(home));
        prefetch(self.reference_line(home));
    }

    /// Home bucket and tag: the leading bits of the hash below the shard's own, in a mixed radix.
    #[inline]
    pub(super) fn home(&self, hash: u64) -> (usize, u32) {
        let local = u128::from(hash << self.depth);
        let scaled = ((local * u128::from(self.shape.main << TAG_BITS)) >> 64) as u32;
        (
            (scaled >> TAG_BITS) as usize,
            scaled & ((1 << TAG_BITS) - 1),
        )
    }

    /// The other of the two buckets of an entry. Its own inverse, and it takes only the tag, so that entries
    /// move without their keys.
    #[inline]
    pub(super) fn other(&self, bucket: usize, tag: u32) -> usize {
        let mixed = u64::from((tag + 1).wrapping_mul(0x9e37_79b1));
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
        &self.hot.lines(bucket / LINES)[bucket % LINES]
    }

    #[inline]
    fn reference_line(&self, bucket: usize) -> &ByteLine {
        &self.cold.lines(bucket / (2 * LINES))[bucket / 2 % LINES]
    }

    #[inline]
    pub(super) fn references(&self, bucket: usize) -> &[AtomicU8] {
        let (lower, upper) = self.reference_line(bucket).0.split_at(32);
        if bucket.is_multiple_of(2) {
            lower
        } else {
            upper
        }
    }

    pub(super) fn reference(&self, position: Position) -> u32 {
        load_reference(self.references(position.bucket), position.slot)
    }

    #[inline]
    pub(super) fn set_reference(&self, position: Position, reference: u32) {
        let bytes = &self.references(position.bucket)[position.slot * REFERENCE_BYTES..];
        for (byte, value) in bytes[..REFERENCE_BYTES].iter().zip(reference.to_le_bytes()) {
            byte.store(value, Ordering::Relaxed);
        }
    }

    /// What `read` answers at a moment when the writer was not changing anything.
    #[inline]
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

    /// Does `write` while the version is odd. For the writer only; short, and must not panic.
    #[inline]
    pub(super) fn change(&self, write: impl FnOnce()) {
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
pub(super) fn load_reference(bytes: &[AtomicU8], slot: usize) -> u32 {
    let bytes = &bytes[slot * REFERENCE_BYTES..][..REFERENCE_BYTES];
    let [low, middle, high] = std::array::from_fn(|byte| bytes[byte].load(Ordering::Relaxed));
    u32::from_le_bytes([low, middle, high, 0])
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
