//! The packed hash index: key → location in the log, in about 12 bytes besides the key.
//!
//! The index knows no files: a location is an opaque number that the store gives meaning to.
//!
//! ```text
//! directory ──leading hash bits──► shard ──► table: buckets   10 × {12-bit tag, 36-bit location} in 64 bytes
//!                                                   references 10 × 24 bits in 32 bytes, beside each bucket
//!                                                   key slab   {length, key} back to back
//! ```
//!
//! A lookup by [`Index::find`] reads one bucket, now and then two, and leaves it to the caller to compare the key with
//! the record he reads anyway. Exact answers without the log ([`Index::locate`]) compare with the key slab.
//!
//! Readers take no lock, write no shared memory and never wait for growth; they wait some nanoseconds for a
//! writer that is just changing the same shard. Writers lock the shard of their key. A shard of at most some
//! 35,000 keys grows by an eighth at a time and then splits, so that no more than one shard's memory is ever
//! needed twice.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::memory::epoch::{self, EpochCell, Guard};
use crate::memory::key_slab::{MAX_KEY_BYTES, record_bytes};
use crate::memory::page_arena::PageArena;

mod bucket;
mod bulk;
mod directory;
mod entry;
mod growth;
mod hash;
pub mod image;
pub mod location;
mod pending;
mod placement;
mod probe;
mod rebuild;
mod shape;
mod shard;
mod statistics;
mod table;

pub use bulk::{BulkIndex, Outcome};
pub use entry::{Entry, Occupied, Vacant};
pub use hash::{KeyHash, SeededHash};
pub use location::Location;
pub use statistics::IndexStatistics;

use directory::Directory;
use growth::Shortage;
use image::Absent;
use shape::Shape;
use shard::{Shard, Writer};
use table::Table;

/// An index is prepared for at most this many expected keys; with more it grows as usual.
const MAX_EXPECTED_KEYS: u64 = 1 << 32;

/// How to make an [`Index`].
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// Draws the hash function; should be random, so that nobody can prepare colliding keys.
    pub seed: u64,
    /// Size in bytes of the pages that keys are stored in: a power of two from 4 KiB to 1 MiB. Each shard has one
    /// page that is not full.
    pub slab_page_bytes: usize,
    /// How many keys to make room for at once; 0 if unknown.
    pub expected_keys: u64,
}

/// A map from keys to locations. All methods may be called from any thread.
pub struct Index<H: KeyHash = SeededHash> {
    hasher: H,
    arena: Arc<PageArena>,
    slab_page_bytes: usize,
    directory: EpochCell<Directory>,
    /// Held while the directory is replaced.
    splitting: Mutex<()>,
    absent: Absent,
}

impl Index {
    /// An empty index.
    ///
    /// # Errors
    /// `Invalid` if the slab page size is none of the possible ones; `Memory` if the expected keys do not fit.
    pub fn new(options: &IndexOptions) -> Result<Self> {
        Self::with_hash(options, SeededHash::new(options.seed), usize::MAX)
    }
}

impl<H: KeyHash> Index<H> {
    /// An empty index over a given hash function, which takes at most `limit_bytes` of pages from the system.
    ///
    /// # Errors
    /// Those of [`Index::new`].
    pub fn with_hash(options: &IndexOptions, hasher: H, limit_bytes: usize) -> Result<Self> {
        let arena = Arc::new(PageArena::new(limit_bytes));
        let expected = options.expected_keys.min(MAX_EXPECTED_KEYS);
        let depth = Shape::largest().depth_for(expected);
        let shape = Shape::for_expected(expected >> depth);
        let directory = Directory::new(depth, || {
            Shard::empty(&arena, options.slab_page_bytes, depth, shape)
        })?;
        Ok(Self {
            hasher,
            arena,
            slab_page_bytes: options.slab_page_bytes,
            directory: EpochCell::new(directory),
            splitting: Mutex::new(()),
            absent: Absent::default(),
        })
    }

    /// The hash of `key` for the other methods.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// Calls `candidate` with each location whose key may have `hash` until it answers, and passes the answer on.
    /// A key that is in the index throughout is always among them; a location may be tried more than once.
    #[inline]
    pub fn find<R>(
        &self,
        guard: &Guard,
        hash: u64,
        candidate: impl FnMut(Location) -> Option<R>,
    ) -> Option<R> {
        self.table(guard, hash).find(hash, candidate)
    }

    /// Whether `key` is in the index. Reads no log.
    #[inline]
    pub fn contains(&self, guard: &Guard, hash: u64, key: &[u8]) -> bool {
        self.locate(guard, hash, key).is_some()
    }

    /// The location of `key`. Reads no log.
    #[inline]
    pub fn locate(&self, guard: &Guard, hash: u64, key: &[u8]) -> Option<Location> {
        Some(self.table(guard, hash).locate(hash, key)?.location)
    }

    /// Locks the key's shard and finds the key's entry, or makes all ready for a new one, so that nothing can
    /// fail afterwards. Waits for other writers of the shard.
    ///
    /// Replaced tables are freed only after `guard` is gone: use a guard for one entry, or a few. A thread that holds an
    /// entry must not ask for another: it would wait for itself if both keys are of one shard.
    ///
    /// # Errors
    /// `TooLarge` if the key is longer than 64 KiB, or too many keys share one hash; `Memory` if there is none for
    /// the new entry. The index stays as it was.
    pub fn entry<'i>(&'i self, guard: &'i Guard, hash: u64, key: &[u8]) -> Result<Entry<'i, H>> {
        if key.len() > MAX_KEY_BYTES {
            let message = format!(
                "a key of {} bytes: at most {MAX_KEY_BYTES} are possible",
                key.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        self.table(guard, hash).prefetch(hash);
        loop {
            let (shard, mut writer) = self.lock(guard, hash);
            let table = shard.table().load(guard);
            if let Some(found) = table.locate(hash, key) {
                return Ok(Entry::Occupied(Occupied {
                    index: self,
                    guard,
                    shard,
                    writer,
                    table,
                    hash,
                    found,
                }));
            }
            let shortage =
                if table.slab().published_bytes() + record_bytes(key.len()) > writer.slab_limit {
                    Shortage::Slab
                } else if let Some(place) = table.reserve(hash) {
                    let reference = writer.appender.prepare(key)?;
                    let key_length = key.len();
                    return Ok(Entry::Vacant(Vacant {
                        shard,
                        writer,
                        table,
                        place,
                        reference,
                        key_length,
                    }));
                } else {
                    Shortage::Slots
                };
            self.make_room(shard, &mut writer, hash, shortage, guard)?;
        }
    }

    /// Locks the key's shard if the key is there, without reserving anything. Waits for other writers of the shard.
    pub fn occupied<'i>(
        &'i self,
        guard: &'i Guard,
        hash: u64,
        key: &[u8],
    ) -> Option<Occupied<'i, H>> {
        let (shard, writer) = self.lock(guard, hash);
        let table = shard.table().load(guard);
        let found = table.locate(hash, key)?;
        Some(Occupied {
            index: self,
            guard,
            shard,
            writer,
            table,
            hash,
            found,
        })
    }

    #[inline]
    fn table<'i>(&'i self, guard: &'i Guard, hash: u64) -> &'i Table {
        self.directory.load(guard).shard(hash).table().load(guard)
    }

    /// The shard that `hash` leads to, locked.
    fn lock<'i>(
        &'i self,
        guard: &'i Guard,
        hash: u64,
    ) -> (&'i Shard, parking_lot::MutexGuard<'i, Writer>) {
        loop {
            let shard = self.directory.load(guard).shard(hash);
            let writer = shard.writer().lock();
            if !writer.retired {
                return (shard, writer);
            }
        }
    }

    /// Calls `visit` with every key and its location, shard by shard under the shard's lock, in no particular order.
    /// Keys that come or go meanwhile may or may not be visited. `visit` must not write to this index.
    ///
    /// # Errors
    /// `Memory` if a key that lies across two pages cannot be put together; then not all keys were visited.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], Location)) -> Result<()> {
        self.make_all_present(|| true)?;
        let mut scratch = Vec::new();
        let mut hash = Some(0_u64);
        while let Some(first) = hash {
            let guard = epoch::pin();
            let (shard, _writer) = self.lock(&guard, first);
            let table = shard.table().load(&guard);
            table.for_each(|stored| {
                visit(
                    table.slab().key(stored.reference, &mut scratch)?,
                    stored.location,
                );
                Ok(())
            })?;
            let span = 1_u64.checked_shl(u64::BITS - shard.depth());
            hash = span.and_then(|span| first.checked_add(span));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
