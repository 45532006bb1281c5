//! What the tables of an index are made of.

use std::sync::Arc;

use super::IndexOptions;
use super::encoding::Encoding;
use super::keys::KeyStorage;
use super::shape::Shape;
use super::shard::{Shard, Totals};
use super::table::{KeyMemory, Table};
use crate::error::Result;
use crate::memory::cell_pool::CellPool;
use crate::memory::key_slab::{KeyAppender, KeySlab};
use crate::memory::page_arena::PageArena;
use crate::memory::placed::Placed;
use crate::memory::reserve;

/// The memory of all tables of an index.
pub(super) struct TableMemory {
    pub(super) arena: Arc<PageArena>,
    /// Tables and shards themselves.
    pub(super) cells: Arc<CellPool>,
    pub(super) slab_page_bytes: usize,
    pub(super) key_storage: KeyStorage,
}

impl TableMemory {
    /// What takes its pages from `arena`.
    pub(super) fn new(options: &IndexOptions, arena: PageArena) -> Self {
        let arena = Arc::new(arena);
        Self {
            cells: Arc::new(CellPool::new(arena.clone())),
            arena,
            slab_page_bytes: options.slab_page_bytes,
            key_storage: options.key_storage,
        }
    }

    /// A shard of `table`, which `appender` adds keys to, with `totals`.
    pub(super) fn shard(
        &self,
        table: Placed<Table>,
        appender: Option<KeyAppender>,
        totals: Totals,
    ) -> Result<Placed<Shard>> {
        Placed::new(&self.cells, Shard::new(table, appender, totals))
    }

    /// An empty table, and the appender of its own slab if keys are in memory.
    pub(super) fn table(
        &self,
        shape: Shape,
        encoding: Encoding,
    ) -> Result<(Placed<Table>, Option<KeyAppender>)> {
        // A store may make thousands of tables in one call.
        reserve::check()?;
        let (keys, appender) = match self.key_storage {
            KeyStorage::InMemory => {
                let (slab, appender) = KeySlab::new(self.arena.clone(), self.slab_page_bytes)?;
                (
                    Some(KeyMemory::new(&self.arena, shape, slab)?),
                    Some(appender),
                )
            }
            KeyStorage::OnDisk => (None, None),
        };
        let table = Table::new(&self.arena, shape, encoding, keys)?;
        Ok((Placed::new(&self.cells, table)?, appender))
    }

    /// An empty table that shares the slab of `source`.
    pub(super) fn table_sharing_keys(
        &self,
        source: &Table,
        shape: Shape,
        encoding: Encoding,
    ) -> Result<Placed<Table>> {
        let keys = match source.keys() {
            Some(keys) => Some(KeyMemory::new(&self.arena, shape, keys.slab().clone())?),
            None => None,
        };
        let table = Table::new(&self.arena, shape, encoding, keys)?;
        Placed::new(&self.cells, table)
    }
}
