//! Shards as bytes, and shards that are not there yet: what lets an index begin as a list of shards that are loaded
//! when they are first touched.
//!
//! A shard's bytes do not depend on where it lies in memory, nor on where the keys are: they are not among them. An index
//! that is to have its keys in memory works without them at once, and is given them by [`Index::supply_key`] or by
//! writes. [`super::Index`] keeps knowing no files: where the bytes come from is up to a [`ShardSource`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::bucket::{Bucket, Overflow, SLOTS};
use super::bulk::BulkIndex;
use super::copier::{Copier, Filled, Part, Source};
use super::directory::Directory;
use super::encoding::Encoding;
use super::hash::KeyHash;
use super::keys::{KeyReader, KeyStorage};
use super::pending::PendingShards;
use super::rebuild::roomier;
use super::shape::Shape;
use super::shard::{KeyPlace, Shard, Totals, Writer};
use super::table::{NO_REFERENCE, Position, Table};
use super::table_memory::TableMemory;
use super::{Index, IndexOptions, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::budget::MemoryBudget;
use crate::memory::epoch::{self, Guard};
use crate::memory::key_slab::KeyAppender;
use crate::memory::page_arena::PageArena;
use crate::memory::placed::Placed;
use crate::memory::scratch::Scratch;

/// Layout of a shard's bytes: head, 64-byte buckets as in memory, homes of the entries in the stash.
const LAYOUT: u32 = 2;

/// Layout, fingerprint bits, location bits, main buckets, stash buckets: a `u32` each.
const HEAD_BYTES: usize = 20;
const BUCKET_BYTES: usize = 64;
/// A `u16` for each slot of the stash.
const STASH_HOME_BYTES: usize = 2;

/// What is known of a shard without its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSummary {
    /// The lowest hash of the shard.
    pub first_hash: u64,
    /// How many leading bits all hashes of the shard share.
    pub depth: u32,
    /// Number of keys.
    pub keys: u64,
    /// Bytes of the keys; only the sum over all shards, modulo 2^64, means something.
    pub key_bytes: u64,
}

/// Where a record is to which an exported entry refers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Where it was.
    Here,
    /// It has been moved there.
    Moved(Location),
    /// Nowhere, so that there is no entry for it any more. Its key has so many bytes.
    Gone {
        /// The length.
        key_length: usize,
    },
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
    fn may_hold(&self, guard: &Guard, location: Location) -> bool;
    /// Where the record is now to which an exported entry with `location` refers; `None` if there never was one. Of what is
    /// [`Whereabouts::Here`] nothing more is claimed.
    fn whereabouts(&self, location: Location) -> Option<Whereabouts>;
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
    /// `Corrupt` unless `shards` cover every hash once; `Invalid` as [`Index::new`]; `Memory`, also if `budget` has no more.
    pub fn absent(
        options: &IndexOptions,
        hasher: H,
        reader: Arc<dyn KeyReader>,
        shards: &[ShardSummary],
        source: Arc<dyn ShardSource>,
        budget: Arc<MemoryBudget>,
    ) -> Result<Self> {
        check_cover(shards)?;
        let memory = TableMemory::new(options, PageArena::within(budget));
        let mut members = Vec::new();
        let reserved = members.try_reserve_exact(shards.len());
        reserved.map_err(|_| Error::memory("the index directory"))?;
        for shard in shards {
            let encoding = Encoding::new(0, shard.depth, 0, None);
            let (table, appender) = memory.table(Shape::absent(), encoding)?;
            let totals = totals_without_keys(shard, memory.key_storage);
            members.push(memory.shard(table, appender, totals)?);
        }
        let absent = Absent {
            shards: AtomicU64::new(shards.len() as u64),
            source: Mutex::new(Some(source)),
            pending: PendingShards::new(shards)?,
            ..Absent::default()
        };
        let directory = Directory::from_shards(members, memory.arena.budget())?;
        Ok(Self {
            directory: epoch::EpochCell::new(directory),
            hasher,
            memory,
            reader,
            restructuring: Mutex::new(()),
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
            // Loading is faster than any thread that would make memory ahead.
            self.prepare_memory();
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
        };
        // Whether all of it fits was looked at before; the reserve is for what that did not foresee.
        MemoryBudget::with_reserve(|| {
            // Not so where catching up failed after the content had been loaded.
            if shard.table().load(guard).is_absent() {
                self.load_content(shard, &summary, &*source, guard)?;
            }
            source.catch_up(&summary, self)
        })?;
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
            Some(bytes) => match self.import(&bytes, summary, source, guard) {
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

    /// Appends the content of the shard that `hash` leads to to `bytes`, as it is at one moment. Writers of that shard wait
    /// for the time of copying it in memory. The shard must be present. It begins before `hash` if it has been merged with its
    /// sibling since that began there: then it holds all of what was exported from its first hash on.
    ///
    /// # Errors
    /// `Memory`; `Invalid` if the shard is absent. `bytes` is as it was.
    pub fn export_shard(&self, hash: u64, bytes: &mut Scratch) -> Result<ShardSummary> {
        let guard = epoch::pin();
        let (shard, _writer) = self.lock(&guard, hash);
        let table = shard.table().load(&guard);
        if table.is_absent() {
            return Err(Error::new(ErrorKind::Invalid, "the shard is not loaded"));
        }
        export(table, bytes)?;
        let totals = shard.totals();
        Ok(ShardSummary {
            first_hash: first_of(hash, shard.depth()),
            depth: shard.depth(),
            keys: totals.keys,
            key_bytes: totals.key_bytes,
        })
    }

    fn import(
        &self,
        bytes: &[u8],
        summary: &ShardSummary,
        source: &dyn ShardSource,
        guard: &Guard,
    ) -> Result<(Placed<Table>, Option<KeyAppender>, Totals)> {
        let parts = Parts::new(bytes, summary.depth)?;
        let (table, appender) = self.memory.table(parts.shape, parts.encoding)?;
        parts.fill(&table);
        let checked = check(&table, source, guard)?;
        if checked.keys != summary.keys {
            return Err(wrong("it has more or fewer keys than the directory says"));
        }
        let mut totals = totals_without_keys(summary, self.memory.key_storage);
        if checked.elsewhere == 0 {
            return Ok((table, appender, totals));
        }
        let (table, appender) = match checked.location_bits > table.encoding().location_bits() {
            true => self.with_wider_locations(&table, checked.location_bits, guard)?,
            false => (table, appender),
        };
        move_entries(&table, source, &mut totals)?;
        Ok((table, appender, totals))
    }

    /// A table with the entries of `table`, which has no keys in memory, and room for locations of so many bits.
    fn with_wider_locations(
        &self,
        table: &Table,
        location_bits: u32,
        guard: &Guard,
    ) -> Result<(Placed<Table>, Option<KeyAppender>)> {
        let known = Some(table.encoding().fingerprint_bits());
        let part = Part::All;
        let mut shape = table.shape();
        loop {
            let encoding = Encoding::new(shape.main, table.depth(), location_bits, known);
            let (wider, mut appender) = self.memory.table(shape, encoding)?;
            let copier = Copier::new(self, &wider, appender.as_mut(), guard)?;
            // No key is hashed again: where the records are is not in the entries yet.
            match copier.copy(&[Source { table, part }], false)? {
                Filled::Placed { homeless: 0, .. } => return Ok((wider, appender)),
                Filled::Placed { totals, homeless } => {
                    shape = roomier(shape, &wider, totals.keys, homeless);
                }
                Filled::KeyUnreadable => return Err(wrong("its keys were to be read")),
            }
        }
    }

    fn rebuild_shard(
        &self,
        summary: &ShardSummary,
        source: &dyn ShardSource,
    ) -> Result<(Placed<Table>, Option<KeyAppender>, Totals)> {
        let depth = summary.depth;
        let belongs = |key: &[u8]| first_of(self.hash(key), depth) == summary.first_hash;
        let entries = source.rebuild(&belongs)?;
        let location_bits = entries.values().map(|location| location.bits()).max();
        let mut shape = Shape::for_entries(entries.len() as u64);
        loop {
            let encoding = Encoding::new(shape.main, depth, location_bits.unwrap_or(0), None);
            let (table, mut appender) = self.memory.table(shape, encoding)?;
            let mut totals = Totals::default();
            for (key, location) in &entries {
                let fingerprint = encoding.fingerprint_of(self.hash(key));
                let Some(place) = table.reserve(fingerprint) else {
                    break;
                };
                let reference = match &mut appender {
                    Some(appender) => appender.append(key)?,
                    None => NO_REFERENCE,
                };
                table.fill(&place, *location, reference);
                totals.add(key.len(), KeyPlace::of(&table, reference));
            }
            if totals.keys == entries.len() as u64 {
                return Ok((table, appender, totals));
            }
            shape = shape.larger().unwrap_or(shape).with_more_stash();
        }
    }
}

/// The totals of a shard none of whose keys is in memory.
fn totals_without_keys(summary: &ShardSummary, key_storage: KeyStorage) -> Totals {
    Totals {
        keys: summary.keys,
        key_bytes: summary.key_bytes,
        record_bytes: 0,
        missing: match key_storage {
            KeyStorage::InMemory => summary.keys,
            KeyStorage::OnDisk => 0,
        },
    }
}

fn install(
    shard: &Shard,
    writer: &mut Writer,
    table: Placed<Table>,
    appender: Option<KeyAppender>,
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

fn export(table: &Table, bytes: &mut Scratch) -> Result<()> {
    let buckets = table.stash().end;
    let shape = table.shape();
    let stash_bytes = shape.stash as usize * SLOTS * STASH_HOME_BYTES;
    let what = "the image of a shard";
    bytes.reserve(HEAD_BYTES + buckets * BUCKET_BYTES + stash_bytes, what)?;
    let encoding = table.encoding();
    for number in [
        LAYOUT,
        encoding.fingerprint_bits(),
        encoding.location_bits(),
        shape.main,
        shape.stash,
    ] {
        bytes.append(&number.to_le_bytes(), what)?;
    }
    for bucket in 0..buckets {
        let words = table.line(bucket).0.iter();
        let words = words.map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        let mut line = [0; BUCKET_BYTES];
        line.as_chunks_mut()
            .0
            .iter_mut()
            .zip(words)
            .for_each(|(bytes, word)| *bytes = word);
        bytes.append(&line, what)?;
    }
    for position in stash_positions(table) {
        // A table has fewer than 2^12 buckets that can be a home.
        bytes.append(&(table.stash_home(position) as u16).to_le_bytes(), what)?;
    }
    Ok(())
}

fn stash_positions(table: &Table) -> impl Iterator<Item = Position> {
    let slots = |bucket| (0..SLOTS).map(move |slot| Position { bucket, slot });
    table.stash().flat_map(slots)
}

/// A shard's bytes, taken apart; the lengths are those that the head says.
struct Parts<'a> {
    shape: Shape,
    encoding: Encoding,
    buckets: &'a [u8],
    stash_homes: &'a [u8],
}

impl<'a> Parts<'a> {
    fn new(bytes: &'a [u8], depth: u32) -> Result<Self> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Err(wrong("it ends within its head"));
        };
        let [layout, fingerprint_bits, location_bits, main, stash] =
            std::array::from_fn(|number| {
                let at = number * 4;
                u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
            });
        let shape = Shape { main, stash };
        let encoding = Encoding::checked(main, depth, location_bits, fingerprint_bits);
        let (LAYOUT, true, Some(encoding)) = (layout, shape.is_possible(), encoding) else {
            return Err(wrong("a number in its head is outside its range"));
        };
        let bucket_bytes = (u64::from(main) + u64::from(stash)) * BUCKET_BYTES as u64;
        let stash_bytes = u64::from(stash) * (SLOTS * STASH_HOME_BYTES) as u64;
        if rest.len() as u64 != bucket_bytes + stash_bytes {
            return Err(wrong("it is longer or shorter than its head says"));
        }
        let (buckets, stash_homes) = rest.split_at(bucket_bytes as usize);
        Ok(Self {
            shape,
            encoding,
            buckets,
            stash_homes,
        })
    }

    /// Fills `table`, which is new and of the same shape. Its entries have no keys yet.
    fn fill(&self, table: &Table) {
        let lines = self.buckets.as_chunks::<BUCKET_BYTES>().0;
        for (bucket, bytes) in lines.iter().enumerate() {
            let words = bytes.as_chunks::<8>().0;
            for (word, bytes) in table.line(bucket).0.iter().zip(words) {
                word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
            }
            for slot in 0..SLOTS {
                table.set_reference(Position { bucket, slot }, NO_REFERENCE);
            }
        }
        let homes = self.stash_homes.as_chunks::<STASH_HOME_BYTES>().0;
        for (position, home) in stash_positions(table).zip(homes) {
            table.set_stash_home(position, usize::from(u16::from_le_bytes(*home)));
        }
    }
}

/// Lets the entries of `table`, which nobody else sees yet, refer to where their records are now, and takes those out whose
/// records are nowhere.
fn move_entries(table: &Table, source: &dyn ShardSource, totals: &mut Totals) -> Result<()> {
    let place = KeyPlace::of(table, NO_REFERENCE);
    table.for_each(|stored| {
        match stored.location.and_then(|it| source.whereabouts(it)) {
            Some(Whereabouts::Here) | None => {}
            Some(Whereabouts::Moved(to)) => table.set_location(stored.position, to),
            Some(Whereabouts::Gone { key_length }) => {
                table.clear_at(stored.home, stored.position);
                totals.remove(key_length, place);
            }
        }
        Ok(())
    })
}

/// What [`check`] found.
#[derive(Default)]
struct Checked {
    keys: u64,
    /// Of these, how many have their records elsewhere now, or nowhere.
    elsewhere: u64,
    /// How many bits the locations take where the records are now.
    location_bits: u32,
}

/// Checks everything on which the table's own code relies, so that bytes that are wrong can make no more of it than a
/// wrong location or tag, which every reader of a record notices. Sets the count of the stash.
fn check(table: &Table, source: &dyn ShardSource, guard: &Guard) -> Result<Checked> {
    let (buckets, main) = (table.stash().end, table.stash().start);
    let mut in_second = Vec::new();
    let mut in_stash = Vec::new();
    for counts in [&mut in_second, &mut in_stash] {
        let reserved = counts.try_reserve_exact(main);
        reserved.map_err(|_| Error::memory("checking a shard"))?;
        counts.resize(main, 0_u64);
    }
    for number in 0..buckets {
        let bucket = Bucket::load(table.line(number));
        let stash = number >= main;
        if bucket.displaced() & !bucket.occupied() != 0 || stash && bucket.displaced() != 0 {
            return Err(wrong("a bucket's header contradicts itself"));
        }
        let occupied = (0..SLOTS).filter(|slot| bucket.occupied() >> slot & 1 == 1);
        if occupied
            .into_iter()
            .any(|slot| table.encoding().location(bucket.field(slot)).is_none())
        {
            return Err(wrong("an entry has no location"));
        }
    }
    let mut checked = Checked::default();
    table.for_each(|stored| {
        checked.keys += 1;
        let location = match stored.location.and_then(|it| source.whereabouts(it)) {
            Some(Whereabouts::Here) => stored.location,
            Some(Whereabouts::Moved(to)) => {
                checked.location_bits = checked.location_bits.max(to.bits());
                Some(to)
            }
            Some(Whereabouts::Gone { .. }) => None,
            None => return Err(wrong("a location is in no segment")),
        };
        checked.elsewhere += u64::from(location != stored.location);
        if location.is_some_and(|it| !source.may_hold(guard, it)) {
            return Err(wrong("a location is in no segment"));
        }
        let encoding = table.encoding();
        let fingerprint = stored.fingerprint;
        if stored.home >= main
            || fingerprint >> encoding.fingerprint_bits() != 0
            || encoding.home_and_tag(fingerprint) != (stored.home, stored.tag)
        {
            return Err(wrong(
                "an entry is in a bucket where its hash does not belong",
            ));
        }
        if stored.position.bucket >= main {
            in_stash[stored.home] += 1;
        } else if stored.position.bucket != stored.home {
            in_second[stored.home] += 1;
        }
        Ok(())
    })?;
    for home in 0..main {
        let bucket = Bucket::load(table.line(home));
        let fits = |overflow, number| {
            let count = bucket.overflow(overflow);
            count == number || count == Overflow::MAXIMUM
        };
        if !fits(Overflow::Second, in_second[home]) || !fits(Overflow::Stash, in_stash[home]) {
            return Err(wrong("its counts of displaced entries are wrong"));
        }
    }
    let in_stash: u64 = in_stash.iter().sum();
    let in_stash = u32::try_from(in_stash).map_err(|_| wrong("its stash is too large"))?;
    table.stash_entries.store(in_stash, Ordering::Relaxed);
    Ok(checked)
}
