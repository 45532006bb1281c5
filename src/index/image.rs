//! Shards as bytes, and shards that are not there yet: what lets an index begin as a list of shards that are loaded
//! when they are first touched.
//!
//! A shard's bytes do not depend on where it lies in memory, nor on the slab's page size. [`super::Index`] keeps
//! knowing no files: where the bytes come from is up to a [`ShardSource`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::bucket::{Bucket, Overflow, SLOTS};
use super::bulk::BulkIndex;
use super::directory::Directory;
use super::hash::KeyHash;
use super::pending::PendingShards;
use super::shape::Shape;
use super::shard::{Shard, Totals, Writer};
use super::table::{Position, Table};
use super::{Index, IndexOptions, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::epoch::{self, Guard};
use crate::memory::key_slab::{KeyAppender, KeySlab, MAX_SLAB_BYTES};
use crate::memory::page_arena::PageArena;

/// Layout of a shard's bytes: 64-byte buckets with 12-bit tags and 36-bit locations, 24-bit references, slab.
const LAYOUT: u32 = 1;

/// Layout, main buckets, stash buckets, slab bytes: a `u32` each.
const HEAD_BYTES: usize = 16;
const BUCKET_BYTES: usize = 64;
const REFERENCE_BYTES: usize = 3;
const BYTES_PER_BUCKET: usize = BUCKET_BYTES + SLOTS * REFERENCE_BYTES;

/// What is known of a shard without its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSummary {
    /// The lowest hash of the shard.
    pub first_hash: u64,
    /// How many leading bits all hashes of the shard share.
    pub depth: u32,
    /// Number of keys.
    pub keys: u64,
    /// Bytes of all keys.
    pub key_bytes: u64,
    /// Slab bytes of the keys.
    pub record_bytes: u64,
}

/// Where the content of a shard comes from that is not loaded yet. Calls may come from any thread, each under the
/// lock of the shard that is wanted.
pub trait ShardSource: Send + Sync {
    /// The bytes that [`Index::export_shard`] made, or `None` if they can no longer be had.
    ///
    /// # Errors
    /// `Memory`; anything else is a reason to answer `None`.
    fn bytes(&self, shard: &ShardSummary) -> Result<Option<Vec<u8>>>;
    /// Whether a record may lie at `location`.
    fn may_hold(&self, location: Location) -> bool;
    /// All keys that `belongs` accepts, with their locations, from the truth that the index is a view of.
    ///
    /// # Errors
    /// If that cannot be read; the shard stays unloaded, and the next touch tries again.
    fn rebuild(&self, belongs: &dyn Fn(&[u8]) -> bool) -> Result<HashMap<Vec<u8>, Location>>;
    /// Makes those changes to the shard in `index` that its content does not show yet. Called after the content has been
    /// loaded and before anybody sees it, once; again after an error, to go on where that happened.
    ///
    /// # Errors
    /// The shard stays unseen, and the next touch tries again.
    fn catch_up(&self, shard: &ShardSummary, index: &dyn BulkIndex) -> Result<()>;
}

/// The shards of an index that are not loaded yet.
#[derive(Default)]
pub(super) struct Absent {
    /// How many; once 0 it stays so.
    shards: AtomicU64,
    source: Mutex<Option<Arc<dyn ShardSource>>>,
    loaded: AtomicU64,
    rebuilt: AtomicU64,
    pending: PendingShards,
}

impl<H: KeyHash> Index<H> {
    /// An index whose shards are loaded from `source` when [`Index::make_present`] first asks for them. `shards` are in
    /// the order of their hashes; `hasher` is what they were made with.
    ///
    /// # Errors
    /// `Corrupt` unless `shards` cover every hash once; `Invalid` as [`Index::new`]; `Memory`.
    pub fn absent(
        options: &IndexOptions,
        hasher: H,
        shards: &[ShardSummary],
        source: Arc<dyn ShardSource>,
    ) -> Result<Self> {
        check_cover(shards)?;
        let arena = Arc::new(PageArena::new(usize::MAX));
        let mut members = Vec::new();
        let reserved = members.try_reserve_exact(shards.len());
        reserved.map_err(|_| Error::memory("the index directory"))?;
        for shard in shards {
            let (slab, appender) = KeySlab::new(arena.clone(), options.slab_page_bytes)?;
            let table = Table::new(&arena, Shape::absent(), shard.depth, slab)?;
            let totals = Totals {
                keys: shard.keys,
                key_bytes: shard.key_bytes,
                record_bytes: shard.record_bytes,
            };
            members.push(Shard::new(table, appender, totals));
        }
        let absent = Absent {
            shards: AtomicU64::new(shards.len() as u64),
            source: Mutex::new(Some(source)),
            pending: PendingShards::new(shards)?,
            ..Absent::default()
        };
        Ok(Self {
            directory: epoch::EpochCell::new(Directory::from_shards(members)?),
            hasher,
            arena,
            slab_page_bytes: options.slab_page_bytes,
            splitting: Mutex::new(()),
            absent,
        })
    }

    /// Loads the shard that `hash` leads to if that has not been done yet. Every other method that takes a hash wants
    /// this to have been called before, with the same hash.
    ///
    /// # Errors
    /// `Memory`, or what the source's rebuilding fails with. The next call tries again.
    #[inline]
    pub fn make_present(&self, guard: &Guard, hash: u64) -> Result<()> {
        // Once it is 0, every table was stored before and will be seen.
        if self.absent.shards.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        self.load_shard(guard, hash).map(|_| ())
    }

    /// Loads all shards that are absent, until `go_on` says no.
    ///
    /// # Errors
    /// As [`Index::make_present`].
    pub fn make_all_present(&self, go_on: impl Fn() -> bool) -> Result<()> {
        let mut next = Some(0_u64);
        while let Some(hash) = next
            && self.absent.shards.load(Ordering::Acquire) > 0
            && go_on()
        {
            let guard = epoch::pin();
            let depth = self.load_shard(&guard, hash)?;
            next = following(hash, depth);
        }
        Ok(())
    }

    /// How many shards are not loaded yet.
    pub fn absent_shards(&self) -> u64 {
        self.absent.shards.load(Ordering::Acquire)
    }

    /// How many shards have been loaded, and how many of these had to be rebuilt.
    pub fn loaded_shards(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.absent.loaded), count(&self.absent.rebuilt))
    }

    /// Loads the shard of `hash` unless it is there; answers the depth that it had at the beginning.
    #[cold]
    fn load_shard(&self, guard: &Guard, hash: u64) -> Result<u32> {
        let Some(pending) = self.absent.pending.find(hash) else {
            return Ok(0);
        };
        if pending.is_present() {
            return Ok(pending.depth);
        }
        let _loading = pending.loading.lock();
        if pending.is_present() {
            return Ok(pending.depth);
        }
        let Some(source) = self.absent.source.lock().clone() else {
            return Ok(pending.depth);
        };
        let shard = self.directory.load(guard).shard(hash);
        let totals = shard.totals();
        let summary = ShardSummary {
            first_hash: first_of(hash, pending.depth),
            depth: pending.depth,
            keys: totals.keys,
            key_bytes: totals.key_bytes,
            record_bytes: totals.record_bytes,
        };
        // Not so where catching up failed after the content had been loaded.
        if shard.table().load(guard).is_absent() {
            self.load_content(shard, &summary, &*source, guard)?;
        }
        source.catch_up(&summary, self)?;
        pending.set_present();
        if self.absent.shards.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.absent.source.lock() = None;
        }
        Ok(pending.depth)
    }

    fn load_content(
        &self,
        shard: &Shard,
        summary: &ShardSummary,
        source: &dyn ShardSource,
        guard: &Guard,
    ) -> Result<()> {
        let imported = match source.bytes(summary)? {
            Some(bytes) => match self.import(&bytes, summary, source) {
                Err(error) if error.kind() == ErrorKind::Memory => return Err(error),
                imported => imported.ok(),
            },
            None => None,
        };
        let (table, appender, totals) = match imported {
            Some(imported) => imported,
            None => {
                let rebuilt = self.rebuild_shard(summary, source)?;
                self.absent.rebuilt.fetch_add(1, Ordering::Relaxed);
                rebuilt
            }
        };
        let mut writer = shard.writer().lock();
        install(shard, &mut writer, table, appender, totals, guard);
        self.absent.loaded.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Appends the content of the shard that `first_hash` leads to to `bytes`, as it is at one moment. Writers of
    /// that shard wait for the time of copying it in memory. The shard must be present.
    ///
    /// # Errors
    /// `Memory`; `Invalid` if the shard is absent. `bytes` is as it was.
    pub fn export_shard(&self, first_hash: u64, bytes: &mut Vec<u8>) -> Result<ShardSummary> {
        let guard = epoch::pin();
        let (shard, _writer) = self.lock(&guard, first_hash);
        let table = shard.table().load(&guard);
        if table.is_absent() {
            return Err(Error::new(ErrorKind::Invalid, "the shard is not loaded"));
        }
        export(table, bytes)?;
        let totals = shard.totals();
        Ok(ShardSummary {
            first_hash: first_of(first_hash, shard.depth()),
            depth: shard.depth(),
            keys: totals.keys,
            key_bytes: totals.key_bytes,
            record_bytes: totals.record_bytes,
        })
    }

    fn import(
        &self,
        bytes: &[u8],
        summary: &ShardSummary,
        source: &dyn ShardSource,
    ) -> Result<(Table, KeyAppender, Totals)> {
        let parts = Parts::new(bytes)?;
        let (slab, mut appender) = KeySlab::new(self.arena.clone(), self.slab_page_bytes)?;
        appender.extend(parts.slab)?;
        let table = Table::new(&self.arena, parts.shape, summary.depth, slab)?;
        parts.fill(&table);
        let totals = check(&table, source)?;
        let promised = Totals {
            keys: summary.keys,
            key_bytes: summary.key_bytes,
            record_bytes: summary.record_bytes,
        };
        if totals != promised {
            return Err(wrong("its totals are not those of the directory"));
        }
        Ok((table, appender, totals))
    }

    fn rebuild_shard(
        &self,
        summary: &ShardSummary,
        source: &dyn ShardSource,
    ) -> Result<(Table, KeyAppender, Totals)> {
        let depth = summary.depth;
        let belongs = |key: &[u8]| first_of(self.hash(key), depth) == summary.first_hash;
        let entries = source.rebuild(&belongs)?;
        let mut shape = Shape::for_entries(entries.len() as u64);
        loop {
            let (slab, mut appender) = KeySlab::new(self.arena.clone(), self.slab_page_bytes)?;
            let table = Table::new(&self.arena, shape, depth, slab)?;
            let mut totals = Totals::default();
            for (key, location) in &entries {
                let Some(place) = table.reserve(self.hash(key)) else {
                    break;
                };
                table.fill(&place, *location, appender.append(key)?);
                totals.add(key.len());
            }
            if totals.keys == entries.len() as u64 {
                return Ok((table, appender, totals));
            }
            shape = shape.larger().unwrap_or(shape).with_more_stash();
        }
    }
}

fn install(
    shard: &Shard,
    writer: &mut Writer,
    table: Table,
    appender: KeyAppender,
    totals: Totals,
    guard: &Guard,
) {
    writer.appender = appender;
    shard.set_totals(totals);
    shard.table().store(table, guard);
}

/// The lowest hash of a shard of `depth` that holds `hash`.
fn first_of(hash: u64, depth: u32) -> u64 {
    hash & !u64::MAX.checked_shr(depth).unwrap_or(0)
}

/// The lowest hash behind the shard of `depth` that holds `hash`; `None` behind the last.
pub fn following(hash: u64, depth: u32) -> Option<u64> {
    let span = 1_u64.checked_shl(u64::BITS - depth)?;
    first_of(hash, depth).checked_add(span)
}

fn wrong(why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the image of a shard: {why}"))
}

fn check_cover(shards: &[ShardSummary]) -> Result<()> {
    let mut next = Some(0);
    for shard in shards {
        if shard.depth > super::directory::MAX_DEPTH || next != Some(shard.first_hash) {
            return Err(wrong("the shards do not cover every hash once"));
        }
        next = following(shard.first_hash, shard.depth);
    }
    match next {
        None => Ok(()),
        Some(_) => Err(wrong("the shards do not cover every hash once")),
    }
}

fn export(table: &Table, bytes: &mut Vec<u8>) -> Result<()> {
    let buckets = table.stash().end;
    let slab = table.slab();
    let slab_bytes = slab.published_bytes();
    let reserved = bytes.try_reserve(HEAD_BYTES + buckets * BYTES_PER_BUCKET + slab_bytes);
    reserved.map_err(|_| Error::memory("the image of a shard"))?;
    let shape = table.shape();
    for number in [LAYOUT, shape.main, shape.stash, slab_bytes as u32] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for bucket in 0..buckets {
        for word in &table.line(bucket).0 {
            bytes.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
    }
    for bucket in 0..buckets {
        for slot in 0..SLOTS {
            let reference = table.reference(Position { bucket, slot }).to_le_bytes();
            bytes.extend_from_slice(&reference[..REFERENCE_BYTES]);
        }
    }
    slab.copy_to(bytes);
    Ok(())
}

/// A shard's bytes, taken apart; the lengths are those that the head says.
struct Parts<'a> {
    shape: Shape,
    buckets: &'a [u8],
    references: &'a [u8],
    slab: &'a [u8],
}

impl<'a> Parts<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Err(wrong("it ends within its head"));
        };
        let [layout, main, stash, slab_bytes] = std::array::from_fn(|number| {
            let at = number * 4;
            u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
        });
        let shape = Shape { main, stash };
        if layout != LAYOUT || !shape.is_possible() || slab_bytes as usize > MAX_SLAB_BYTES {
            return Err(wrong("a number in its head is outside its range"));
        }
        let buckets = (u64::from(main) + u64::from(stash)) as usize;
        let length = buckets as u64 * BYTES_PER_BUCKET as u64 + u64::from(slab_bytes);
        if rest.len() as u64 != length {
            return Err(wrong("it is longer or shorter than its head says"));
        }
        let (buckets, rest) = rest.split_at(buckets * BUCKET_BYTES);
        let (references, slab) = rest.split_at(rest.len() - slab_bytes as usize);
        Ok(Self {
            shape,
            buckets,
            references,
            slab,
        })
    }

    /// Fills `table`, which is new and of the same shape.
    fn fill(&self, table: &Table) {
        let lines = self.buckets.as_chunks::<BUCKET_BYTES>().0;
        let references = self.references.as_chunks::<REFERENCE_BYTES>().0;
        for (bucket, bytes) in lines.iter().enumerate() {
            let words = bytes.as_chunks::<8>().0;
            for (word, bytes) in table.line(bucket).0.iter().zip(words) {
                word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
            }
            for slot in 0..SLOTS {
                let [low, middle, high] = references[bucket * SLOTS + slot];
                let reference = u32::from_le_bytes([low, middle, high, 0]);
                table.set_reference(Position { bucket, slot }, reference);
            }
        }
    }
}

/// Checks everything on which the table's own code relies, so that bytes that are wrong can make no more of it than a
/// wrong location, which every reader of a record notices. Sets the count of the stash; answers the totals.
fn check(table: &Table, source: &dyn ShardSource) -> Result<Totals> {
    let buckets = table.stash().end;
    let mut totals = Totals::default();
    let mut in_stash = 0_u32;
    let mut elsewhere = Vec::new();
    let reserved = elsewhere.try_reserve_exact(buckets);
    reserved.map_err(|_| Error::memory("checking a shard"))?;
    elsewhere.resize(buckets, 0_u64);
    let mut claimed_in_stash = 0;
    for number in 0..buckets {
        let bucket = Bucket::load(table.line(number));
        let stash = table.stash().contains(&number);
        if bucket.displaced() & !bucket.occupied() != 0 || stash && bucket.displaced() != 0 {
            return Err(wrong("a bucket's header contradicts itself"));
        }
        claimed_in_stash += bucket.overflow(Overflow::Stash);
        for slot in 0..SLOTS {
            if bucket.occupied() >> slot & 1 == 0 {
                continue;
            }
            let location = bucket.location(slot);
            if !location.is_some_and(|location| source.may_hold(location)) {
                return Err(wrong("a location is in no segment"));
            }
            let reference = table.reference(Position {
                bucket: number,
                slot,
            });
            totals.add(table.slab().key_length(reference)?);
            if stash {
                in_stash += 1;
            } else if bucket.displaced() >> slot & 1 == 1 {
                elsewhere[table.other(number, bucket.tag(slot))] += 1;
            }
        }
    }
    let counts_fit = (0..buckets).all(|number| {
        let count = Bucket::load(table.line(number)).overflow(Overflow::Second);
        count == elsewhere[number] || count == Overflow::MAXIMUM
    });
    // Which home a stash entry has only its key tells; counts at their maximum no longer say how many.
    if !counts_fit || claimed_in_stash < u64::from(in_stash).min(Overflow::MAXIMUM) {
        return Err(wrong("its counts of displaced entries are wrong"));
    }
    if totals.record_bytes > table.slab().published_bytes() as u64 {
        return Err(wrong("two entries share a key"));
    }
    table.stash_entries.store(in_stash, Ordering::Relaxed);
    Ok(totals)
}
