//! The packed hash index: key → location in the log, in about 7 bytes a key, and 4 besides the key itself where keys
//! are in memory.
//!
//! The index knows no files: a location is an opaque number that the store gives meaning to.
//!
//! ```text
//! directory ──leading hash bits──► shard ──► table: buckets    10 × 48 bits {tag, location} in 64 bytes
//!                                  with keys in memory:
//!                                                   references 10 × 24 bits in 32 bytes, beside each bucket
//!                                                   key slab   {length, key} back to back
//! ```
//!
//! A lookup by [`Index::find`] reads one bucket, now and then two, and leaves it to the caller to compare the key with
//! the record he reads anyway. Exact answers ([`Index::locate`]) compare with the key slab, or through a [`KeyReader`].
//!
//! Readers take no lock, write no shared memory and never wait for growth; they wait some nanoseconds for a
//! writer that is just changing the same shard. Writers lock the shard of their key. A shard of at most some
//! 11,000 keys grows by a tenth at a time and then splits, so that no more than one shard's memory is ever
//! needed twice. Two halves of which little is left are put together again.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{ErrorKind, Result};
use crate::memory::budget::MemoryBudget;
use crate::memory::epoch::{self, EpochCell, Guard};
use crate::memory::key_slab::check_key_length;
use crate::memory::page_arena::PageArena;

mod batch;
mod bucket;
mod bulk;
mod carried;
mod copier;
mod directory;
mod displaced;
mod encoding;
mod entry;
mod evacuate;
mod filling;
mod growth;
mod hash;
pub mod image;
mod keys;
mod likely;
pub mod location;
mod lookahead;
mod merge;
mod pending;
mod placement;
mod probe;
mod rebuild;
mod relocation;
mod shape;
mod shard;
mod snapshot;
mod statistics;
mod supply;
mod table;
mod table_memory;

pub use batch::{Change, Reserved};
pub use bulk::{BulkIndex, Outcome};
pub use entry::{Entry, Occupied, Vacant};
pub use hash::{KeyHash, SeededHash};
pub use keys::{KeyReader, KeyStorage};
pub use likely::{Confirmation, Likely, Prospect, Refuted, Unseen};
pub use location::Location;
pub use snapshot::{ShardSnapshot, SnapshotEntry};
pub use statistics::IndexStatistics;

use directory::Directory;
use encoding::Encoding;
use entry::Locked;
use growth::{Newcomer, Shortage};
use image::Absent;
use placement::Place;
use probe::Found;
use shape::Shape;
use shard::{Shard, Totals, Writer};
use supply::is_missing;
use table::{NO_REFERENCE, Table};
use table_memory::TableMemory;

/// An index is prepared for at most this many expected keys; with more it grows as usual.
const MAX_EXPECTED_KEYS: u64 = 1 << 32;

/// An index that is made for some keys has bits for so many locations, 16 bytes apart, for each of them from the beginning.
const LOCATIONS_PER_EXPECTED_KEY: u64 = 32;

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
    /// Where the keys live.
    pub key_storage: KeyStorage,
}

/// A map from keys to locations. All methods may be called from any thread.
pub struct Index<H: KeyHash = SeededHash> {
    hasher: H,
    memory: TableMemory,
    reader: Arc<dyn KeyReader>,
    directory: EpochCell<Directory>,
    /// Held while the directory is replaced.
    restructuring: Mutex<()>,
    absent: Absent,
}

impl Index {
    /// An empty index, which asks `reader` for keys that it does not hold.
    ///
    /// # Errors
    /// `Invalid` if the slab page size is none of the possible ones; `Memory` if the expected keys do not fit.
    pub fn new(options: &IndexOptions, reader: Arc<dyn KeyReader>) -> Result<Self> {
        Self::with_hash(options, SeededHash::new(options.seed), reader, usize::MAX)
    }

    /// The same with room for `most` keys, of which there may be far fewer than that, but hardly fewer than
    /// `options.expected_keys`. Shards are no more than a quarter of `most` needs, or the expected ones, so that not much
    /// is touched for keys that do not come; if all come, each splits a time or two.
    ///
    /// # Errors
    /// Those of [`Index::new`]; `Memory` as well if `budget` has no more.
    pub fn with_room_for_at_most(
        most: u64,
        options: &IndexOptions,
        reader: Arc<dyn KeyReader>,
        budget: Arc<MemoryBudget>,
    ) -> Result<Self> {
        let most = most.clamp(
            options.expected_keys,
            MAX_EXPECTED_KEYS.max(options.expected_keys),
        );
        let expected = options.expected_keys.max(most / 4).min(MAX_EXPECTED_KEYS);
        let depth = Shape::largest().depth_for(expected);
        let shape = Shape::for_expected(most >> depth);
        let hasher = SeededHash::new(options.seed);
        let arena = PageArena::within(budget);
        Self::prepared(options, hasher, reader, arena, expected, (depth, shape))
    }
}

impl<H: KeyHash> Index<H> {
    /// An empty index over a given hash function, which takes at most `limit_bytes` of pages from the system.
    ///
    /// # Errors
    /// Those of [`Index::new`].
    pub fn with_hash(
        options: &IndexOptions,
        hasher: H,
        reader: Arc<dyn KeyReader>,
        limit_bytes: usize,
    ) -> Result<Self> {
        let expected = options.expected_keys.min(MAX_EXPECTED_KEYS);
        let depth = Shape::largest().depth_for(expected);
        let shape = Shape::for_expected(expected >> depth);
        let arena = PageArena::new(limit_bytes);
        Self::prepared(options, hasher, reader, arena, expected, (depth, shape))
    }

    /// An empty index for `expected` keys, of 2^`depth` shards with tables of `shape`.
    fn prepared(
        options: &IndexOptions,
        hasher: H,
        reader: Arc<dyn KeyReader>,
        arena: PageArena,
        expected: u64,
        (depth, shape): (u32, Shape),
    ) -> Result<Self> {
        let memory = TableMemory::new(options, arena);
        // As the log grows, each doubling asks for a bit more, and all tables would be built anew that were made for what is
        // still to come.
        let location_bits = match expected {
            0 => 0,
            expected => (expected * LOCATIONS_PER_EXPECTED_KEY).ilog2() + 1,
        };
        let encoding = Encoding::new(shape.main, depth, location_bits, None);
        let directory = Directory::new(depth, memory.arena.budget(), || {
            let (table, appender) = memory.table(shape, encoding)?;
            memory.shard(table, appender, Totals::default())
        })?;
        Ok(Self {
            hasher,
            memory,
            reader,
            directory: EpochCell::new(directory),
            restructuring: Mutex::new(()),
            absent: Absent::default(),
        })
    }

    /// From now on `ask` is called when the index will soon need memory that [`Index::prepare_memory`] can make ready. It is
    /// called with locks held: it must come back soon and call nothing of the index. Only the first call counts.
    pub fn ask_before_growth(&self, ask: impl Fn() + Send + Sync + 'static) {
        self.memory.arena.ask_before_growth(ask);
    }

    /// Has the system clear the memory that the index will need next, if it needs any soon. Takes milliseconds, in which
    /// others go on; without it, a put takes them.
    pub fn prepare_memory(&self) {
        self.memory.arena.prepare();
    }

    /// The hash of `key` for the other methods.
    #[inline(always)]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// Calls `candidate` with each location whose key may have `hash` until it answers, and passes the answer on.
    /// A key that is in the index throughout is always among them; a location may be tried more than once.
    #[inline(always)]
    pub fn find<R>(
        &self,
        guard: &Guard,
        hash: u64,
        candidate: impl FnMut(Location) -> Option<R>,
    ) -> Option<R> {
        self.table(guard, hash).find(hash, candidate)
    }

    /// Whether `key` is in the index. Asks the reader only for keys that are not in memory and may be the one.
    ///
    /// # Errors
    /// `Corrupt` if the key is not found but a damaged record may be its; those of [`KeyReader::matches`].
    #[inline]
    pub fn contains(&self, guard: &Guard, hash: u64, key: &[u8]) -> Result<bool> {
        Ok(self.locate(guard, hash, key)?.is_some())
    }

    /// The location of `key`. Reads what [`Index::contains`] reads.
    ///
    /// # Errors
    /// Those of [`Index::contains`].
    #[inline]
    pub fn locate(&self, guard: &Guard, hash: u64, key: &[u8]) -> Result<Option<Location>> {
        let found = self.locate_in(self.table(guard, hash), guard, hash, key)?;
        Ok(found.map(|found| found.location))
    }

    /// Locks the key's shard and finds the key's entry, or makes all ready for a new one, so that nothing can
    /// fail afterwards: whatever location of at most `location_bits` bits it gets. Waits for other writers of the shard.
    ///
    /// A damaged record that may be the key's does not count: what is newer is found before it.
    ///
    /// Replaced tables are freed only after `guard` is gone: use a guard for one entry, or a few. A thread that holds an
    /// entry must not ask for another: it would wait for itself if both keys are of one shard.
    ///
    /// # Errors
    /// `TooLarge` if the key is longer than 64 KiB, or too many keys share one hash; `Memory` if there is none for
    /// the new entry; those of [`KeyReader::matches`] but for damage. The index stays as it was.
    pub fn entry<'i>(
        &'i self,
        guard: &'i Guard,
        hash: u64,
        key: &[u8],
        location_bits: u32,
    ) -> Result<Entry<'i, H>> {
        let (entry, _) = self.find_or_reserve::<false>(guard, hash, key, location_bits)?;
        Ok(entry)
    }

    /// As [`Index::entry`], but does not wait for the record of an entry that is in all likelihood the key's. The caller makes
    /// use of the time, then has it confirmed.
    ///
    /// # Errors
    /// Those of [`Index::entry`].
    pub fn likely_entry<'i>(
        &'i self,
        guard: &'i Guard,
        hash: u64,
        key: &[u8],
        location_bits: u32,
    ) -> Result<Prospect<'i, H>> {
        Ok(
            match self.find_or_reserve::<true>(guard, hash, key, location_bits)? {
                (Entry::Occupied(occupied), false) => Prospect::Likely(Likely::new(occupied)),
                (entry, _) => Prospect::Sure(entry),
            },
        )
    }

    /// The key's entry, and whether it is sure that it is the key's; if it need not be only likely, it is sure.
    #[inline(always)]
    fn find_or_reserve<'i, const LIKELY: bool>(
        &'i self,
        guard: &'i Guard,
        hash: u64,
        key: &[u8],
        location_bits: u32,
    ) -> Result<(Entry<'i, H>, bool)> {
        check_key_length(key)?;
        self.table(guard, hash).prefetch_home(hash);
        let newcomer = Newcomer {
            hash,
            location_bits,
        };
        loop {
            let (shard, mut writer) = self.lock(guard, hash);
            let table = shard.table().load(guard);
            let shortage = if table.encoding().location_bits() < location_bits {
                Shortage::LocationBits
            } else {
                let mut is_sure = true;
                let found = match LIKELY {
                    true => {
                        let is_complete = shard.missing_keys() == 0;
                        self.locate_likely(table, guard, hash, key, is_complete, &mut is_sure)
                    }
                    false => self.locate_to_replace(table, guard, hash, key),
                };
                let found = match found {
                    Err(error) if error.kind() == ErrorKind::Corrupt => None,
                    found => found?,
                };
                match found {
                    Some(found) => {
                        let Found { position, .. } = found;
                        // Without its key in memory the entry is as good.
                        if is_missing(shard, table, position)
                            && self.supply(shard, &mut writer, table, position, key)
                                == Err(Shortage::Slab)
                            && self
                                .make_room(shard, &mut writer, newcomer, Shortage::Slab, guard)
                                .is_ok()
                        {
                            continue;
                        }
                        let entry = Entry::Occupied(Occupied {
                            locked: Locked {
                                index: self,
                                guard,
                                shard,
                                writer,
                                table,
                                hash,
                            },
                            found,
                            key_length: key.len(),
                        });
                        return Ok((entry, is_sure));
                    }
                    None => match reserve(table, &mut writer, hash, key)? {
                        Ok((place, reference)) => {
                            table.prefetch_references(place.position().bucket);
                            let vacant = Entry::Vacant(Vacant {
                                shard,
                                writer,
                                table,
                                place,
                                reference,
                                key_length: key.len(),
                            });
                            return Ok((vacant, true));
                        }
                        Err(shortage) => shortage,
                    },
                }
            };
            self.make_room(shard, &mut writer, newcomer, shortage, guard)?;
        }
    }

    /// Locks the key's shard if the key is there, without reserving anything. Waits for other writers of the shard.
    ///
    /// # Errors
    /// Those of [`Index::contains`].
    pub fn occupied<'i>(
        &'i self,
        guard: &'i Guard,
        hash: u64,
        key: &[u8],
    ) -> Result<Option<Occupied<'i, H>>> {
        let locked = self.lock_table(guard, hash);
        let found = self.locate_to_replace(locked.table, guard, hash, key)?;
        Ok(found.map(|found| Occupied {
            locked,
            found,
            key_length: key.len(),
        }))
    }

    #[inline(always)]
    fn table<'i>(&'i self, guard: &'i Guard, hash: u64) -> &'i Table {
        self.directory.load(guard).shard(hash).table().load(guard)
    }

    /// The shard that `hash` leads to, locked, with its table.
    #[inline]
    fn lock_table<'i>(&'i self, guard: &'i Guard, hash: u64) -> Locked<'i, H> {
        let (shard, writer) = self.lock(guard, hash);
        Locked {
            index: self,
            guard,
            shard,
            writer,
            table: shard.table().load(guard),
            hash,
        }
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
    /// `Memory` if a key that lies across two pages cannot be put together; those of [`KeyReader::read`] for keys that are
    /// not in memory. Then not all keys were visited.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], Location)) -> Result<()> {
        self.make_all_present(|| true)?;
        let mut scratch = Vec::new();
        let mut hash = Some(0_u64);
        while let Some(first) = hash {
            let guard = epoch::pin();
            let (shard, _writer) = self.lock(&guard, first);
            let table = shard.table().load(&guard);
            // What comes before `first` was visited before the shard was merged with its sibling.
            let least = table.encoding().fingerprint_of(first);
            table.for_each(|stored| {
                if stored.fingerprint < least {
                    return Ok(());
                }
                if let Some(location) = stored.location {
                    let reference = stored.reference;
                    let key =
                        self.key_of(table, &guard, stored.location, reference, &mut scratch)?;
                    visit(key, location);
                }
                Ok(())
            })?;
            hash = image::following(first, shard.depth());
        }
        Ok(())
    }
}

/// Reserves a slot, and slab bytes where keys are in memory, or tells what is short.
#[inline(always)]
fn reserve(
    table: &Table,
    writer: &mut Writer,
    hash: u64,
    key: &[u8],
) -> Result<std::result::Result<(Place, u32), Shortage>> {
    if writer.is_slab_short(table, key.len()) {
        return Ok(Err(Shortage::Slab));
    }
    let fingerprint = table.encoding().fingerprint_of(hash);
    let Some(place) = table.reserve(fingerprint) else {
        return Ok(Err(Shortage::Slots));
    };
    let reference = match &mut writer.appender {
        Some(appender) => appender.prepare(key)?,
        None => NO_REFERENCE,
    };
    Ok(Ok((place, reference)))
}

#[cfg(all(test, loom))]
mod interleavings;

#[cfg(test)]
mod tests;
