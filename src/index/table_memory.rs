//! What the tables of an index are made of.

use std::sync::Arc;

use super::encoding::Encoding;
use super::keys::KeyStorage;
use super::shape::Shape;
use super::table::{KeyMemory, Table};
use crate::error::Result;
use crate::memory::key_slab::{KeyAppender, KeySlab};
use crate::memory::page_arena::PageArena;
use crate::memory::reserve;

/// The memory of all tables of an index.
pub(super) struct TableMemory {
    pub(super) arena: Arc<PageArena>,
    pub(super) slab_page_bytes: usize,
    pub(super) key_storage: KeyStorage,
}

impl TableMemory {
    /// An empty table, and the appender of its own slab if keys are in memory.
    pub(super) fn table(
        &self,
        shape: Shape,
        depth: u32,
        encoding: Encoding,
    ) -> Result<(Table, Option<KeyAppender>)> {
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
        let table = Table::new(&self.arena, shape, depth, encoding, keys)?;
        Ok((table, appender))
    }

    /// An empty table that shares the slab of `source`.
    pub(super) fn table_sharing_keys(
        &self,
        source: &Table,
        shape: Shape,
        depth: u32,
        encoding: Encoding,
    ) -> Result<Table> {
        let keys = match source.keys() {
            Some(keys) => Some(KeyMemory::new(&self.arena, shape, keys.slab().clone())?),
            None => None,
        };
        Table::new(&self.arena, shape, depth, encoding, keys)
    }
}
