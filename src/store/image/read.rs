//! Choosing an image at open: only header, trailer and directory are read.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::fault::ImageFault;
use super::format::{self, Directory, HEADER_LEN, ImageSegment, TRAILER_LEN};
use super::moves::MovedSegments;
use super::names::{self, Names};
use crate::log::footer::FOOTER_LEN;
use crate::log::segment_header::Origin;
use crate::memory::budget::MemoryBudget;
use crate::store::recovery::{Kept, Survey};
use crate::store::segment_set::{CHUNKS, chunks_for};
use crate::vfs::{Access, File, Vfs};

/// An image that belongs to the log.
pub struct Image {
    /// The open file, from which shards are read later.
    pub file: Arc<dyn File>,
    /// Its length in bytes.
    pub length: u64,
    /// What is in it.
    pub directory: Directory,
    /// Which of its segments have been replaced since, and where their records are.
    pub moved: MovedSegments,
}

impl Image {
    /// What the image knows of the segment `id`.
    pub fn segment(&self, id: u64) -> Option<&ImageSegment> {
        let segments = &self.directory.segments;
        let position = segments
            .binary_search_by_key(&id, |segment| segment.id)
            .ok()?;
        segments.get(position)
    }
}

/// The newest image among `names`, with its generation, that belongs to the log that `survey` describes, or why the newest does not.
/// Where memory is limited, `budget` lends what following its entries takes.
pub fn choose(
    vfs: &dyn Vfs,
    directory: &Path,
    names: &Names,
    survey: &Survey,
    budget: &Arc<MemoryBudget>,
) -> Result<(Image, u64, ImageFault), ImageFault> {
    let mut fault = ImageFault::Absent;
    for generation in names.complete.iter().rev() {
        let path = directory.join(names::file_name(*generation));
        match read(vfs, &path, survey).and_then(|mut image| {
            let gone = fits(&image.directory, survey)?;
            let is_known = |id| image.segment(id).is_some();
            let moved = MovedSegments::find(vfs, directory, names, survey, gone, is_known, budget)?;
            image.moved = moved;
            Ok(image)
        }) {
            Ok(image) if fault == ImageFault::Absent => {
                return Ok((image, *generation, ImageFault::None));
            }
            Ok(image) => return Ok((image, *generation, fault)),
            Err(why) if fault == ImageFault::Absent => fault = why,
            Err(_) => {}
        }
    }
    Err(fault)
}

fn read(vfs: &dyn Vfs, path: &Path, survey: &Survey) -> Result<Image, ImageFault> {
    let store_id = survey.store_id.ok_or(ImageFault::SegmentMissing)?;
    let damaged = |_: io::Error| ImageFault::Damaged;
    let file: Arc<dyn File> = Arc::from(vfs.open(path, Access::Read).map_err(damaged)?);
    let length = file.len().map_err(damaged)?;
    if length < (HEADER_LEN + TRAILER_LEN) as u64 {
        return Err(ImageFault::Damaged);
    }
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, 0).map_err(damaged)?;
    format::check_header(&header, &store_id)?;
    let mut trailer = [0; TRAILER_LEN];
    file.read_exact_at(&mut trailer, length - TRAILER_LEN as u64)
        .map_err(damaged)?;
    let trailer = format::decode_trailer(&trailer, length).ok_or(ImageFault::Damaged)?;
    let mut bytes = Vec::new();
    let size = usize::try_from(trailer.length).map_err(|_| ImageFault::Damaged)?;
    bytes
        .try_reserve_exact(size)
        .map_err(|_| ImageFault::Damaged)?;
    bytes.resize(size, 0);
    file.read_exact_at(&mut bytes, trailer.offset)
        .map_err(damaged)?;
    let directory = Directory::decode(&bytes, &trailer).ok_or(ImageFault::Damaged)?;
    Ok(Image {
        file,
        length,
        directory,
        moved: MovedSegments::default(),
    })
}

/// Whether the image that `directory` belongs to was made of the log that `survey` describes; answers which of its segments
/// compaction has replaced since.
fn fits(directory: &Directory, survey: &Survey) -> Result<Vec<ImageSegment>, ImageFault> {
    let covered = directory.covered_sequence;
    let mut gone = Vec::new();
    sabotage!(ImageAheadOfLog, return Ok(gone));
    if covered > directory.newest_sequence {
        return Err(ImageFault::Damaged);
    }
    if directory.newest_sequence > survey.last_sequence {
        return Err(ImageFault::NewerThanLog);
    }
    let kept: BTreeMap<u64, &Kept> = survey
        .kept
        .iter()
        .map(|kept| (kept.segment.id(), kept))
        .collect();
    let mut previous_id = 0;
    let mut places = Vec::new();
    let reserved = places.try_reserve_exact(directory.segments.len());
    reserved.map_err(|_| ImageFault::Damaged)?;
    for segment in &directory.segments {
        if segment.id <= previous_id {
            return Err(ImageFault::Damaged);
        }
        previous_id = segment.id;
        let Some(kept) = kept.get(&segment.id) else {
            if !survey.is_replaced(segment.id) {
                return Err(ImageFault::SegmentMissing);
            }
            gone.try_reserve(1).map_err(|_| ImageFault::Damaged)?;
            gone.push(*segment);
            places.push((u64::from(segment.first_chunk), chunks_for(segment.length)));
            continue;
        };
        if kept.segment.header().salt != segment.salt || kept.content_end < segment.length {
            return Err(ImageFault::SegmentMissing);
        }
        // With its footer, for which an unsealed segment had room too.
        let chunks = chunks_for(kept.content_end + FOOTER_LEN as u64);
        places.push((u64::from(segment.first_chunk), chunks));
    }
    places.sort_unstable();
    let mut free_from = 0;
    for (first, count) in places {
        if first < free_from || first + count > CHUNKS {
            return Err(ImageFault::Damaged);
        }
        free_from = first + count;
    }
    let unknown = |id: &u64| {
        directory
            .segments
            .binary_search_by_key(id, |segment| segment.id)
            .is_err()
    };
    // What merges have written since is another matter.
    let strange = kept.iter().any(|(id, kept)| {
        let header = kept.segment.header();
        header.origin == Origin::Fresh && header.base_sequence <= covered && unknown(id)
    });
    match strange {
        true => Err(ImageFault::SegmentUnknown),
        false => Ok(gone),
    }
}
