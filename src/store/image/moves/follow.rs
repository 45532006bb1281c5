//! Following the entries of an image to where merges have moved their records.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::MoveList;
use super::format::SegmentName;
use super::list::Fate;
use crate::index::Location;
use crate::log::segment_header::Origin;
use crate::memory::budget::{Loan, MemoryBudget};
use crate::store::image::fault::ImageFault;
use crate::store::image::format::ImageSegment;
use crate::store::image::names::Names;
use crate::store::recovery::{Kept, Survey};
use crate::store::segment_set::{CHUNK_BITS, UNIT, chunks_for};
use crate::vfs::Vfs;

/// Where the record is now that an entry of an image refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Where it was.
    Here,
    /// At this offset in bytes of the segment with this id.
    Moved {
        /// The segment.
        segment: u64,
        /// The offset.
        offset: u64,
    },
    /// Nowhere: it was superseded, or had expired. Its key has so many bytes.
    Gone {
        /// The length.
        key_len: usize,
    },
}

/// The segments that an image names and that merges have replaced since, and where their records are.
#[derive(Default)]
pub struct MovedSegments {
    /// By where they began in the location space of the image.
    gone: Vec<ImageSegment>,
    lists: Vec<MoveList>,
    /// Of each replaced segment the number of the list that tells of it, and its number there.
    places: BTreeMap<u64, (usize, usize)>,
    _loan: Option<Loan>,
}

impl MovedSegments {
    /// What has become of `gone`, the segments of an image which `survey` says were replaced; `is_known` says which segments
    /// the image knows. `names` has the lists that are there.
    ///
    /// # Errors
    /// `MovesMissing` if not all of it can be told; `SegmentMissing` if records are no longer there.
    pub fn find(
        vfs: &dyn Vfs,
        directory: &Path,
        names: &Names,
        survey: &Survey,
        gone: Vec<ImageSegment>,
        is_known: impl Fn(u64) -> bool,
        budget: &Arc<MemoryBudget>,
    ) -> Result<Self, ImageFault> {
        let mut outputs = survey.kept.iter().filter(|kept| {
            let header = kept.segment.header();
            header.origin == Origin::Compaction && !is_known(header.segment_id)
        });
        if gone.is_empty() && outputs.clone().next().is_none() {
            return Ok(Self::default());
        }
        let kept: BTreeMap<u64, u32> = survey
            .kept
            .iter()
            .map(|kept| (kept.segment.id(), kept.segment.header().salt))
            .collect();
        let store_id = survey.store_id.ok_or(ImageFault::MovesMissing)?;
        let mut moved = Self {
            gone,
            ..Self::default()
        };
        moved.gone.sort_unstable_by_key(|it| it.first_chunk);
        // From the newest on: a list counts if its output is there, or was replaced as a list that counts says. What else there
        // may be is left of a merge that was never completed, or is older than the image.
        for output in names
            .moves
            .iter()
            .rev()
            .filter(|output| !is_known(**output))
        {
            if let Some(list) = MoveList::read(vfs, directory, &store_id, *output) {
                let is_there = kept.get(output) == Some(&list.output.salt);
                if is_there || moved.output_of(list.output).is_some() {
                    moved.add(list)?;
                }
            }
        }
        let is_whole = |kept: &Kept| {
            let list = moved.list_of(kept.segment.id());
            list.is_none_or(|list| {
                let end = kept.content_end;
                list.last_copy * UNIT < end && list.tombstone_bytes <= end
            })
        };
        if !survey.kept.iter().all(is_whole) {
            return Err(ImageFault::SegmentMissing);
        }
        let is_listed = |segment: &ImageSegment| {
            let (id, salt) = (segment.id, segment.salt);
            moved.output_of(SegmentName { id, salt }).is_some()
        };
        if !moved.gone.iter().all(is_listed)
            || !outputs.all(|kept| moved.is_output(kept.segment.id()))
        {
            return Err(ImageFault::MovesMissing);
        }
        if budget.limit().is_some() {
            let bytes = moved.lists.iter().map(MoveList::bytes).sum();
            let loan = budget.lend(bytes);
            moved._loan = Some(loan.map_err(|_| ImageFault::MovesMissing)?);
        }
        Ok(moved)
    }

    /// How many merges there have been.
    pub fn merges(&self) -> u64 {
        self.lists.len() as u64
    }

    /// Whether a merge since has written the segment with this id.
    pub fn is_output(&self, id: u64) -> bool {
        self.list_of(id).is_some()
    }

    /// Bytes of the tombstones in the output with this id; `None` if it is none of a merge since.
    pub fn tombstone_bytes(&self, output: u64) -> Option<u64> {
        self.list_of(output).map(|list| list.tombstone_bytes)
    }

    /// Where the record is that the image has at `location`; `None` if there never was one.
    pub fn destination(&self, location: Location) -> Option<Destination> {
        let raw = location.raw();
        let begins = |segment: &ImageSegment| u64::from(segment.first_chunk) << CHUNK_BITS;
        let units = |segment: &ImageSegment| chunks_for(segment.length) << CHUNK_BITS;
        let behind = self.gone.partition_point(|segment| begins(segment) <= raw);
        let Some(segment) = behind.checked_sub(1).and_then(|it| self.gone.get(it)) else {
            return Some(Destination::Here);
        };
        let mut unit = raw - begins(segment);
        if unit >= units(segment) {
            return Some(Destination::Here);
        }
        let mut id = segment.id;
        while let Some((list, source)) = self.places.get(&id) {
            let list = self.lists.get(*list)?;
            match list.fate(*source, unit)? {
                Fate::Copied(copy) => (id, unit) = (list.output.id, u64::from(copy)),
                Fate::LeftBehind(key_len) => {
                    let key_len = key_len as usize;
                    return Some(Destination::Gone { key_len });
                }
            }
        }
        Some(Destination::Moved {
            segment: id,
            offset: unit * UNIT,
        })
    }

    fn add(&mut self, list: MoveList) -> Result<(), ImageFault> {
        let number = self.lists.len();
        for (position, source) in list.sources().enumerate() {
            // An output has a higher id than what it replaces, so that following them ends.
            let is_new = self.places.insert(source.id, (number, position)).is_none();
            if source.id >= list.output.id || !is_new {
                return Err(ImageFault::MovesMissing);
            }
        }
        let reserved = self.lists.try_reserve(1);
        reserved.map_err(|_| ImageFault::MovesMissing)?;
        self.lists.push(list);
        Ok(())
    }

    fn list_of(&self, output: u64) -> Option<&MoveList> {
        self.lists.iter().find(|list| list.output.id == output)
    }

    /// The output that replaced the segment `name`.
    fn output_of(&self, name: SegmentName) -> Option<SegmentName> {
        let (list, source) = self.places.get(&name.id)?;
        let list = self.lists.get(*list)?;
        let same = list.sources().nth(*source) == Some(name);
        same.then_some(list.output)
    }
}
