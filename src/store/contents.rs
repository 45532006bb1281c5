//! What a store shows: an index and the segments that it leads to.

use std::sync::Arc;

use super::Shared;
use super::segment_set::SegmentSet;
use crate::index::Index;
use crate::memory::epoch::{EpochCell, Guard};

/// An index and the segments that its locations lie in: they mean something only together. Cloning shares them.
#[derive(Clone)]
pub struct Contents {
    /// Leads from keys to locations.
    pub index: Arc<Index>,
    /// Leads from locations to records.
    pub segments: Arc<SegmentSet>,
    /// Whether the index knew from the beginning how many keys there are, or does so only when all of it is loaded.
    pub is_counted: bool,
}

/// The contents that calls go to. In a store that is open for writing they stay the same. A store opened read-only may replace them as a
/// whole; who has taken them before goes on with what he has.
pub struct Current(EpochCell<Contents>);

impl Current {
    /// These `contents` for now.
    pub fn new(contents: Contents) -> Self {
        Self(EpochCell::new(contents))
    }

    /// Lets calls that begin from now on go to `contents`.
    pub fn replace(&self, contents: Contents, guard: &Guard) {
        self.0.store(contents, guard);
    }
}

impl Shared {
    /// The contents as of now. A call takes them once: when it asks again it may get others.
    #[inline]
    pub(super) fn contents<'g>(&'g self, guard: &'g Guard) -> &'g Contents {
        self.current.0.load(guard)
    }

    /// The same as a share, for who needs them longer than a guard may be held.
    pub(super) fn share_contents(&self) -> Contents {
        let guard = crate::memory::epoch::pin();
        self.contents(&guard).clone()
    }
}
