//! A shard: the table of all keys whose hashes share some leading bits, and its writer's state.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::table::{NO_REFERENCE, Table};
use crate::memory::epoch::EpochCell;
use crate::memory::key_slab::{KeyAppender, MAX_SLAB_BYTES, record_bytes};
use crate::memory::placed::Placed;

/// Two shards whose live keys take no more in their slabs may be merged: well below what splits one.
pub(super) const MERGED_SLAB_BYTES: u64 = PREFERRED_SLAB_BYTES as u64 / 8 * 5;

/// A shard whose slab would grow beyond this splits, if its keys' hashes can be told apart. The insertion that does it copies
/// so many bytes.
const PREFERRED_SLAB_BYTES: usize = MAX_SLAB_BYTES / 16;

/// Readers load the table and never touch the lock.
pub(super) struct Shard {
    table: EpochCell<Table, Placed<Table>>,
    depth: u32,
    written: Written,
}

/// What writers change all the time, on lines of its own, so that readers keep theirs.
#[repr(align(64))]
struct Written {
    totals: SharedTotals,
    writer: Mutex<Writer>,
}

/// What only the holder of the shard's lock may touch.
pub(super) struct Writer {
    /// Appends to the slab of the current table, if keys are in memory.
    pub(super) appender: Option<KeyAppender>,
    /// The shard was split or merged: its keys are to be looked for in the directory again.
    pub(super) retired: bool,
    /// Removals since the table was built, or since building a smaller one was tried in vain.
    pub(super) removals: u64,
    /// So many removals must come before a smaller table is tried.
    pub(super) patience: u64,
    /// So many removals must come before the sibling is looked at, whether it could be merged with.
    pub(super) look_after: u64,
    /// How far the slab may grow.
    pub(super) slab_limit: usize,
}

impl Writer {
    /// Whether the slab of the current `table` has no room for a key of this length.
    #[inline(always)]
    pub(super) fn is_slab_short(&self, table: &Table, key_length: usize) -> bool {
        self.appender.is_some() && table.slab_bytes() + record_bytes(key_length) > self.slab_limit
    }
}

/// What a set of keys amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) keys: u64,
    /// Bytes of the keys. Only the sum over all shards, modulo 2^64, means something: when a shard splits, how much of
    /// it belongs to which half is known only to who reads all keys.
    pub(super) key_bytes: u64,
    /// Slab bytes of those keys that are in memory.
    pub(super) record_bytes: u64,
    /// Keys that belong into memory and are not there yet.
    pub(super) missing: u64,
}

/// Totals that any thread may read and the holder of the shard's lock changes.
struct SharedTotals {
    keys: AtomicU64,
    key_bytes: AtomicU64,
    record_bytes: AtomicU64,
    missing: AtomicU64,
}

/// Where the key of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyPlace {
    /// In the slab of its table.
    Slab,
    /// It belongs there, but is only on disk so far.
    Missing,
    /// On disk, where keys of this index are.
    Disk,
}

impl KeyPlace {
    /// The place of the key of an entry of `table` that has `reference`.
    pub(super) fn of(table: &Table, reference: u32) -> Self {
        match table.keys() {
            None => Self::Disk,
            Some(_) if reference == NO_REFERENCE => Self::Missing,
            Some(_) => Self::Slab,
        }
    }
}

impl Totals {
    #[inline(always)]
    pub(super) fn add(&mut self, key_length: usize, place: KeyPlace) {
        self.keys += 1;
        self.key_bytes = self.key_bytes.wrapping_add(key_length as u64);
        match place {
            KeyPlace::Slab => self.record_bytes += record_bytes(key_length) as u64,
            KeyPlace::Missing => self.missing += 1,
            KeyPlace::Disk => {}
        }
    }

    pub(super) fn remove(&mut self, key_length: usize, place: KeyPlace) {
        self.keys -= 1;
        self.key_bytes = self.key_bytes.wrapping_sub(key_length as u64);
        match place {
            KeyPlace::Slab => self.record_bytes -= record_bytes(key_length) as u64,
            KeyPlace::Missing => self.missing -= 1,
            KeyPlace::Disk => {}
        }
    }

    /// Those of two sets together.
    pub(super) fn joined(self, other: Self) -> Self {
        Self {
            keys: self.keys + other.keys,
            key_bytes: self.key_bytes.wrapping_add(other.key_bytes),
            record_bytes: self.record_bytes + other.record_bytes,
            missing: self.missing + other.missing,
        }
    }

    /// A missing key has come into the slab.
    pub(super) fn supply(&mut self, key_length: usize) {
        self.missing -= 1;
        self.record_bytes += record_bytes(key_length) as u64;
    }
}

impl Shard {
    pub(super) fn new(table: Placed<Table>, appender: Option<KeyAppender>, totals: Totals) -> Self {
        Self {
            depth: table.depth(),
            table: EpochCell::new(table),
            written: Written {
                totals: SharedTotals {
                    keys: AtomicU64::new(totals.keys),
                    key_bytes: AtomicU64::new(totals.key_bytes),
                    record_bytes: AtomicU64::new(totals.record_bytes),
                    missing: AtomicU64::new(totals.missing),
                },
                writer: Mutex::new(Writer {
                    appender,
                    retired: false,
                    removals: 0,
                    patience: 0,
                    look_after: 0,
                    slab_limit: PREFERRED_SLAB_BYTES,
                }),
            },
        }
    }

    /// Leading hash bits that all keys of the shard share.
    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    #[inline]
    pub(super) fn table(&self) -> &EpochCell<Table, Placed<Table>> {
        &self.table
    }

    pub(super) fn writer(&self) -> &Mutex<Writer> {
        &self.written.writer
    }

    #[inline(always)]
    pub(super) fn totals(&self) -> Totals {
        let SharedTotals {
            keys,
            key_bytes,
            record_bytes,
            missing,
        } = &self.written.totals;
        Totals {
            keys: keys.load(Ordering::Relaxed),
            key_bytes: key_bytes.load(Ordering::Relaxed),
            record_bytes: record_bytes.load(Ordering::Relaxed),
            missing: missing.load(Ordering::Relaxed),
        }
    }

    /// How many keys there are.
    #[inline]
    pub(super) fn keys(&self) -> u64 {
        self.written.totals.keys.load(Ordering::Relaxed)
    }

    /// How many keys belong into memory and are not there yet; none if the keys are on disk.
    #[inline]
    pub(super) fn missing_keys(&self) -> u64 {
        self.written.totals.missing.load(Ordering::Relaxed)
    }

    /// For the holder of the lock only.
    #[inline(always)]
    pub(super) fn set_totals(&self, totals: Totals) {
        let SharedTotals {
            keys,
            key_bytes,
            record_bytes,
            missing,
        } = &self.written.totals;
        keys.store(totals.keys, Ordering::Relaxed);
        key_bytes.store(totals.key_bytes, Ordering::Relaxed);
        record_bytes.store(totals.record_bytes, Ordering::Relaxed);
        missing.store(totals.missing, Ordering::Relaxed);
    }
}
