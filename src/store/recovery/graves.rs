//! Deletes that a reading of the log keeps in the index until all of the log has been read.
//!
//! What compaction wrote lies in the order of the sequence numbers only within one segment. So a delete may be met before
//! an older put of its key, which it must hide.

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::index::{Index, Location};
use crate::memory::epoch;
use crate::store::segment_set::SegmentSet;

/// Deletes whose records the index refers to, or did so when they came in.
#[derive(Default)]
pub struct Graves(Mutex<Vec<(u64, Location)>>);

impl Graves {
    /// Takes note of the delete at `location`, the key of which has `hash`. Errors: `Memory`.
    pub fn add(&self, hash: u64, location: Location) -> Result<()> {
        let mut graves = self.0.lock();
        let reserved = graves.try_reserve(1);
        reserved.map_err(|_| Error::memory("the deletes in the log"))?;
        graves.push((hash, location));
        Ok(())
    }

    /// Takes the deletes out of `index`. Errors: those of reading the heads of their records, which were just read.
    pub fn clear(self, index: &Index, segments: &SegmentSet) -> Result<()> {
        for (hash, location) in self.0.into_inner() {
            let guard = epoch::pin();
            let Some(live) = segments.find(location, &guard) else {
                continue;
            };
            let head = live.segment.head_at(live.offset(location))?;
            if let Some(entry) = index.occupied_at(&guard, hash, location, head.key_len) {
                entry.remove();
            }
        }
        Ok(())
    }
}
