//! What a reader has read of a batch, until it is complete and can be seen.

use super::{Follower, Target};
use crate::error::Result;
use crate::log::record::Kind;
use crate::log::scan_event::ScannedRecord;
use crate::memory::epoch;
use crate::store::contents::Contents;
use crate::store::live_segment::LiveSegment;
use crate::store::recovery::{Change, Changes, Maker};

/// The changes of a batch, until it is complete.
pub struct Batch<'f> {
    follower: &'f Follower,
    target: &'f Target<'f>,
    live: &'f LiveSegment,
    changes: Changes,
    last_sequence: u64,
}

impl<'f> Batch<'f> {
    /// A batch in `live`, still empty.
    pub fn new(follower: &'f Follower, target: &'f Target<'f>, live: &'f LiveSegment) -> Self {
        Self {
            follower,
            target,
            live,
            changes: Changes::default(),
            last_sequence: 0,
        }
    }

    /// Whether nothing is waiting.
    pub fn is_empty(&self) -> bool {
        self.changes.len() == 0
    }

    /// Adds `record`, and makes the changes if it completes a batch, be it of one.
    pub fn add(&mut self, record: &ScannedRecord<'_>) -> Result<()> {
        self.push(record.offset, record.kind, record.sequence, record.key)?;
        sabotage!(RefreshedInParts, return self.apply());
        match record.continues {
            true => Ok(()),
            false => self.apply(),
        }
    }

    /// Adds a change.
    pub fn push(&mut self, offset: u64, kind: Kind, sequence: u64, key: &[u8]) -> Result<()> {
        self.last_sequence = sequence;
        self.changes.push(&Change {
            hash: self.target.contents.index.hash(key),
            location: self.live.location(offset)?,
            sequence,
            removes: kind == Kind::Tombstone,
            key,
        })
    }

    /// Makes the changes, which are a whole batch, or belong to none.
    pub fn apply(&mut self) -> Result<()> {
        let Contents {
            index, segments, ..
        } = &self.target.contents;
        let guard = epoch::pin();
        let changes = (0..self.changes.len()).filter_map(|position| self.changes.get(position));
        for change in changes {
            index.make_present(&guard, change.hash)?;
        }
        let maker = Maker {
            index: &**index,
            segments,
            location_bits: segments.location_bits(),
            // After a failed attempt the same changes come again.
            may_know_newer: true,
            graves: None,
        };
        match self.changes.get(0) {
            Some(change) if self.changes.len() == 1 => maker.make(&change, &guard)?,
            _ => {
                let mut made = Ok(());
                let publication = &self.target.shared.publication;
                publication.publish(|| made = maker.make_all(&self.changes));
                made?;
            }
        }
        self.changes.clear();
        self.follower.advance(self.last_sequence);
        Ok(())
    }
}
