//! Which manifest counts, and which segments are gone because of it.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::log::Segment;
use crate::log::manifest::Manifest;

/// The manifest of the newest output of compaction.
pub struct InForce {
    /// Id of the segment that it stands in.
    owner: u64,
    path: PathBuf,
    manifest: Manifest,
    /// Every record up to this sequence number was durable when the owner was written: in one of the segments listed, or in
    /// the owner, or it was not needed any more.
    durable: u64,
}

impl InForce {
    /// The manifest that counts among those of `segments`, which are of one store and in the order of their ids.
    pub fn choose<'s>(
        segments: impl DoubleEndedIterator<Item = &'s Segment>,
    ) -> Result<Option<Self>> {
        for segment in segments.rev() {
            if let Some(manifest) = Manifest::read(segment)? {
                return Ok(Some(Self {
                    owner: segment.id(),
                    path: segment.path().to_path_buf(),
                    manifest,
                    durable: segment.header().durable_sequence,
                }));
            }
        }
        Ok(None)
    }

    /// Whether the segment `id` of this store has been replaced.
    pub fn is_gone(&self, id: u64) -> bool {
        id < self.owner && self.manifest.find(id).is_none()
    }

    /// Whether the segment `id` was complete, its footer durable, when the manifest was written.
    pub fn is_known_complete(&self, id: u64) -> bool {
        let member = self.manifest.find(id);
        id == self.owner || member.is_some_and(|member| member.is_complete)
    }

    /// How many segments should be there and are not among `present`, which are in the order of their ids.
    pub fn missing(&self, present: &[u64]) -> u64 {
        let members = self.manifest.members.iter();
        let required = members.filter(|member| member.is_complete);
        let missing = required.filter(|member| present.binary_search(&member.id).is_err());
        missing.count() as u64
    }

    /// The file that the manifest stands in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything up to this sequence number needs no other explanation than the manifest if it is not there.
    pub fn durable(&self) -> u64 {
        self.durable
    }
}
