//! A shard: the table of all keys whose hashes share some leading bits, and its writer's state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::shape::Shape;
use super::table::Table;
use crate::error::Result;
use crate::memory::epoch::EpochCell;
use crate::memory::key_slab::{KeyAppender, KeySlab, MAX_SLAB_BYTES, record_bytes};
use crate::memory::page_arena::PageArena;

/// A shard whose slab would grow beyond this splits, if its keys' hashes can be told apart.
const PREFERRED_SLAB_BYTES: usize = MAX_SLAB_BYTES / 2;

/// Readers load the table and never touch the lock.
pub(super) struct Shard {
    table: EpochCell<Table>,
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
    /// Appends to the slab of the current table.
    pub(super) appender: KeyAppender,
    /// The shard was split: its keys are to be looked for in the directory again.
    pub(super) retired: bool,
    /// Removals since the table was built, or since building a smaller one was tried in vain.
    pub(super) removals: u64,
    /// So many removals must come before a smaller table is tried.
    pub(super) patience: u64,
    /// How far the slab may grow.
    pub(super) slab_limit: usize,
}

/// What a set of keys amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) keys: u64,
    pub(super) key_bytes: u64,
    /// Slab bytes of the keys.
    pub(super) record_bytes: u64,
}

/// Totals that any thread may read and the holder of the shard's lock changes.
struct SharedTotals {
    keys: AtomicU64,
    key_bytes: AtomicU64,
    record_bytes: AtomicU64,
}

impl Totals {
    pub(super) fn add(&mut self, key_length: usize) {
        self.keys += 1;
        self.key_bytes += key_length as u64;
        self.record_bytes += record_bytes(key_length) as u64;
    }

    pub(super) fn remove(&mut self, key_length: usize) {
        self.keys -= 1;
        self.key_bytes -= key_length as u64;
        self.record_bytes -= record_bytes(key_length) as u64;
    }
}

impl Shard {
    /// A shard without keys.
    pub(super) fn empty(
        arena: &Arc<PageArena>,
        slab_page_bytes: usize,
        depth: u32,
        shape: Shape,
    ) -> Result<Self> {
        let (slab, appender) = KeySlab::new(arena.clone(), slab_page_bytes)?;
        let table = Table::new(arena, shape, depth, slab)?;
        Ok(Self::new(table, appender, Totals::default()))
    }

    pub(super) fn new(table: Table, appender: KeyAppender, totals: Totals) -> Self {
        Self {
            depth: table.depth(),
            table: EpochCell::new(table),
            written: Written {
                totals: SharedTotals {
                    keys: AtomicU64::new(totals.keys),
                    key_bytes: AtomicU64::new(totals.key_bytes),
                    record_bytes: AtomicU64::new(totals.record_bytes),
                },
                writer: Mutex::new(Writer {
                    appender,
                    retired: false,
                    removals: 0,
                    patience: 0,
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
    pub(super) fn table(&self) -> &EpochCell<Table> {
        &self.table
    }

    pub(super) fn writer(&self) -> &Mutex<Writer> {
        &self.written.writer
    }

    pub(super) fn totals(&self) -> Totals {
        let SharedTotals {
            keys,
            key_bytes,
            record_bytes,
        } = &self.written.totals;
        Totals {
            keys: keys.load(Ordering::Relaxed),
            key_bytes: key_bytes.load(Ordering::Relaxed),
            record_bytes: record_bytes.load(Ordering::Relaxed),
        }
    }

    /// For the holder of the lock only.
    pub(super) fn set_totals(&self, totals: Totals) {
        let SharedTotals {
            keys,
            key_bytes,
            record_bytes,
        } = &self.written.totals;
        keys.store(totals.keys, Ordering::Relaxed);
        key_bytes.store(totals.key_bytes, Ordering::Relaxed);
        record_bytes.store(totals.record_bytes, Ordering::Relaxed);
    }
}
