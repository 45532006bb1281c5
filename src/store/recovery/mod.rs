//! Reading the log back in three steps: [`survey`] decides what counts, `mend` makes it durable and seals it, `fill`
//! fills the index.
//!
//! Segments are taken in the order of their ids, which is the commit order. Invalid bytes after everything that is
//! proven durable are a torn tail and end the log; invalid bytes before that are damage and cost only what they hit.
//! `docs/format.md` gives the rules with their reasons under "Recovery".

mod adoption;
mod changes;
mod examine;
mod extent;
mod fill;
mod graves;
mod in_force;
mod mend;
mod pipeline;
mod replay;
mod room;
mod survey;
mod tail;
mod trouble;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backup;
use super::commit_log::Resume;
use super::image::{self, Names};
use super::options::{OpenMode, Options};
use super::report::{RecoveryReport, RecoveryWay};
use super::segment_set::SegmentSet;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Index, IndexOptions};
use crate::log::segment_name;
use crate::vfs::{EntryKind, Vfs};

pub use adoption::Adoption;
pub use changes::{Change, Changes, Maker};
pub use examine::{Examined, View};
pub use extent::Extent;
pub use survey::{Kept, Survey};
pub use tail::Tail;
pub use trouble::{Trouble, TroubleKind};

use fill::Filling;

/// How often a store that another process writes is looked at until what is seen is taken for what is there.
const LOOKS: usize = 8;

/// What is said of an entry of the directory that has a segment's name and is not one.
pub const NOT_A_FILE: &str =
    "a segment's name belongs to something that is not a regular file; move it away";

/// What recovery hands to the store.
pub struct Recovered {
    /// Where the log goes on.
    pub resume: Resume,
    /// What is to be made durable before anything is written.
    pub adoption: Adoption,
    /// The store's identity, unless it has no segment yet.
    pub store_id: Option<[u8; 16]>,
    /// In a store opened read-only: the segments without a footer, and how far they counted.
    pub growing: Vec<(u64, Extent)>,
    /// Pairs with an expiry up to this moment have expired for good.
    pub expired_until_ms: u64,
    /// What was found.
    pub report: RecoveryReport,
    /// The index, of which shards may still be absent.
    pub index: Index,
    /// Seed of its hash function.
    pub seed: u64,
    /// The images in the directory.
    pub images: Names,
    /// Up to which sequence number the image that was opened covers the log, if one was.
    pub covered: Option<u64>,
    /// Size in bytes of that image, else 0.
    pub image_bytes: u64,
}

impl Recovered {
    /// Whether the index knows how many keys there are, though shards of it may be absent.
    pub fn is_counted(&self) -> bool {
        let is_unchanged = self.report.records == 0 && self.report.merges_followed == 0;
        is_unchanged || self.report.way == RecoveryWay::Scan
    }
}

/// The recovery of one store, in two steps so that the caller can look at what is there first.
pub struct Recovery<'r> {
    vfs: &'r dyn Vfs,
    directory: &'r Path,
    options: &'r Options,
    files: Vec<(u64, PathBuf)>,
    unborn: Vec<PathBuf>,
    /// Names of segments that belong to something else than a regular file.
    strange: Vec<PathBuf>,
    images: Names,
}

impl<'r> Recovery<'r> {
    /// Lists the segment files, in the order of their ids.
    pub fn list(vfs: &'r dyn Vfs, directory: &'r Path, options: &'r Options) -> Result<Self> {
        let entries = vfs
            .list(directory)
            .map_err(|error| Error::io("list", directory, &error))?;
        let mut files = Vec::new();
        let mut unborn = Vec::new();
        let mut strange = Vec::new();
        let mut images = Names::default();
        let listed = entries.len();
        let reserved = files.try_reserve(listed).and(unborn.try_reserve(listed));
        reserved.map_err(|_| Error::memory("the list of segments"))?;
        for entry in entries {
            if entry.name == backup::UNFINISHED {
                return Err(backup::cut_short(directory));
            }
            images.add(&entry.name);
            if segment_name::is_new(&entry.name) {
                unborn.push(directory.join(&entry.name));
            }
            let Some(id) = segment_name::parse(&entry.name) else {
                continue;
            };
            let path = directory.join(&entry.name);
            match entry.kind {
                EntryKind::File => files.push((id, path)),
                _ => strange.push(path),
            }
        }
        files.sort_unstable();
        Ok(Self {
            vfs,
            directory,
            options,
            files,
            unborn,
            strange,
            images,
        })
    }

    /// A survey of a store that another process may be writing: what looks like damage may be something that is just being written, or
    /// a file that has been removed since the listing. Damage that is seen twice is damage.
    fn settled_survey(&mut self) -> Result<(Survey, RecoveryReport)> {
        let mut before = None;
        for _ in 0..LOOKS {
            let mut report = RecoveryReport::default();
            match survey::survey(self.vfs, &self.files, &mut report) {
                Ok(survey) if report.first_failure().is_none() => return Ok((survey, report)),
                Ok(survey) if before.as_ref() == Some(&report) => return Ok((survey, report)),
                Ok(_) => before = Some(report),
                Err(error) if may_pass(&error) => {}
                Err(error) => return Err(error),
            }
            let Self { files, images, .. } = Self::list(self.vfs, self.directory, self.options)?;
            (self.files, self.images) = (files, images);
        }
        let mut report = RecoveryReport::default();
        let survey = survey::survey(self.vfs, &self.files, &mut report)?;
        Ok((survey, report))
    }

    /// Whether there is anything with a segment's name.
    pub fn found_segments(&self) -> bool {
        !self.files.is_empty() || !self.strange.is_empty()
    }

    /// Brings back the index, new with `index_options` if no image of it can be used, and fills `segments`. Unless the
    /// store is opened read-only, cuts the torn tail, makes what is kept durable and seals it.
    pub fn run(
        mut self,
        index_options: &IndexOptions,
        segments: &Arc<SegmentSet>,
    ) -> Result<Recovered> {
        let begun = self.vfs.monotonic();
        if let Some(path) = self.strange.first() {
            return Err(Error::corrupt(path, 0, NOT_A_FILE));
        }
        let read_only = self.options.mode == OpenMode::ReadOnly;
        let (survey, mut report) = match read_only {
            true => self.settled_survey()?,
            false => {
                let mut report = RecoveryReport::default();
                let survey = survey::survey(self.vfs, &self.files, &mut report)?;
                (survey, report)
            }
        };
        let mut waiting = Vec::new();
        if !read_only {
            let may_wait = self.options.background_threads > 0;
            let Self {
                vfs,
                directory,
                unborn,
                ..
            } = &self;
            waiting = mend::mend(*vfs, directory, &survey, unborn, may_wait)?;
        }
        let image = match image::choose(
            self.vfs,
            self.directory,
            &self.images,
            &survey,
            segments.budget(),
        ) {
            Ok((image, generation, fault)) => {
                report.image_fault = fault;
                report.way = RecoveryWay::Image;
                self.images.reject_above(Some(generation));
                Some(image)
            }
            Err(fault) => {
                report.image_fault = fault;
                self.images.reject_above(None);
                None
            }
        };
        if !read_only {
            // What does not fit the log now must not seem to fit it when the log has grown.
            self.images.remove_rejected(self.vfs, self.directory)?;
        }
        let covered = image.as_ref().map(|image| image.directory.covered_sequence);
        let image_bytes = image.as_ref().map_or(0, |image| image.length);
        let seed = image
            .as_ref()
            .map_or(index_options.seed, |image| image.directory.seed);
        let filling = Filling {
            vfs: self.vfs,
            options: self.options,
            survey: &survey,
            waiting: &waiting,
            segments,
        };
        let index = filling.fill(image, index_options, &mut report)?;
        report.last_sequence = survey.last_sequence;
        report.microseconds = elapsed_since(self.vfs, begun);
        let growing = survey.kept.iter().filter_map(|kept| {
            let extent = kept.unsealed.filter(|_| read_only)?;
            Some((kept.segment.id(), extent))
        });
        Ok(Recovered {
            growing: growing.collect(),
            resume: Resume {
                last_sequence: survey.last_sequence,
                next_sequence: survey.highest_sequence + 1,
                next_segment_id: self.files.last().map_or(0, |(id, _)| *id) + 1,
            },
            adoption: Adoption::new(waiting, survey.proven),
            store_id: survey.store_id,
            expired_until_ms: survey.expired_until_ms,
            report,
            index,
            seed,
            images: self.images,
            covered,
            image_bytes,
        })
    }
}

/// What `look` answers, at one of the next looks if an error may pass.
pub fn settled<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..LOOKS {
        match look() {
            Err(error) if may_pass(&error) => {}
            outcome => return outcome,
        }
    }
    look()
}

/// Whether `error` may come from reading what another process is changing, so that it is gone at the next look.
fn may_pass(error: &Error) -> bool {
    error.kind() == ErrorKind::Corrupt || error.os_code() == libc::ENOENT
}

fn elapsed_since(vfs: &dyn Vfs, begun: std::time::Duration) -> u64 {
    let elapsed = vfs.monotonic().saturating_sub(begun);
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}
