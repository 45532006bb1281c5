//! Which shards of an index that began without content have got all of it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::image::ShardSummary;
use crate::error::{Error, Result};

/// A shard as the index began with it. It may since have been split.
pub(super) struct PendingShard {
    first_hash: u64,
    /// How many leading bits the hashes shared at the beginning.
    pub(super) depth: u32,
    present: AtomicBool,
    /// Held by who loads the shard. What is loaded shows to nobody else until the shard is present.
    pub(super) loading: Mutex<()>,
}

impl PendingShard {
    /// Whether everything is there.
    pub(super) fn is_present(&self) -> bool {
        self.present.load(Ordering::Acquire)
    }

    /// Lets everybody see what is there. For the holder of `loading`.
    pub(super) fn set_present(&self) {
        self.present.store(true, Ordering::Release);
    }
}

/// All shards that an index began with, by rising hashes; none if it began empty.
#[derive(Default)]
pub(super) struct PendingShards(Box<[PendingShard]>);

impl PendingShards {
    /// None of `shards`, which cover every hash once, is present.
    pub(super) fn new(shards: &[ShardSummary]) -> Result<Self> {
        let mut pending = Vec::new();
        let reserved = pending.try_reserve_exact(shards.len());
        reserved.map_err(|_| Error::memory("the index directory"))?;
        pending.extend(shards.iter().map(|shard| PendingShard {
            first_hash: shard.first_hash,
            depth: shard.depth,
            present: AtomicBool::new(false),
            loading: Mutex::new(()),
        }));
        Ok(Self(pending.into_boxed_slice()))
    }

    /// The shard that `hash` belonged to at the beginning.
    pub(super) fn find(&self, hash: u64) -> Option<&PendingShard> {
        let behind = self.0.partition_point(|shard| shard.first_hash <= hash);
        self.0.get(behind.checked_sub(1)?)
    }
}
