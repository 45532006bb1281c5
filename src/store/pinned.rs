//! Values that are read where they lie, for as long as their reader likes.

use std::sync::Arc;

use super::Store;
use super::live_segment::LiveSegment;
use crate::error::Result;
use crate::log::RecordView;
use crate::log::Segment;
use crate::memory::buffer_pool::{KeptCopy, process_pool};

/// A value that stays readable and as it is until this is dropped, whatever becomes of its key and of the store: overwritten,
/// compacted, closed. May be used and dropped in any thread.
///
/// Where segments are mapped it is the stored bytes themselves, and it keeps their whole segment mapped; if the segment leaves
/// the store meanwhile, its space on the disk comes back when this is dropped. Else it is a copy in a buffer of the
/// process's pool.
pub struct PinnedValue {
    held: Held,
}

enum Held {
    /// What is published of a mapping never changes.
    Mapped {
        segment: Arc<Segment>,
        offset: u64,
        length: usize,
    },
    Copied(KeptCopy<'static>),
}

impl Store {
    /// The value of `key`, verified, without a copy where segments are mapped; `None` if the key is not there. Fails as
    /// [`Store::get_with`] does, and with [`ErrorKind::Memory`](crate::ErrorKind::Memory).
    pub fn get_pinned(&self, key: &[u8]) -> Result<Option<PinnedValue>> {
        self.with_record(key, PinnedValue::of)?.transpose()
    }
}

impl PinnedValue {
    fn of(live: &LiveSegment, view: &RecordView<'_>) -> Result<Self> {
        let held = match live.segment.is_mapped() {
            true => Held::Mapped {
                segment: live.segment.clone(),
                offset: view.value_offset(),
                length: view.value().len(),
            },
            false => Held::Copied(process_pool()?.keep_copy(view.value())?),
        };
        Ok(Self { held })
    }

    /// The value's bytes, at the same address whenever this is called.
    pub fn bytes(&self) -> &[u8] {
        match &self.held {
            Held::Mapped {
                segment,
                offset,
                length,
            } => segment.mapped_range(*offset, *length).unwrap_or_default(),
            Held::Copied(copy) => copy.bytes(),
        }
    }
}
