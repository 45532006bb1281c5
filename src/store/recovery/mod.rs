//! Reading the log back in three steps: [`survey`] decides what counts, `mend` makes it durable and seals it, `replay`
//! fills the index.
//!
//! Segments are taken in the order of their ids, which is the commit order. Invalid bytes after everything that is
//! proven durable are a torn tail and end the log; invalid bytes before that are damage and cost only what they hit.
//! `docs/format.md` gives the rules with their reasons under "Recovery".

mod extent;
mod mend;
mod replay;
mod survey;

use std::path::{Path, PathBuf};

use super::commit_log::Resume;
use super::options::{OpenMode, Options};
use super::report::RecoveryReport;
use super::segment_set::SegmentSet;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::log::segment_name;
use crate::vfs::{EntryKind, Vfs};

/// What recovery hands to the store.
pub struct Recovered {
    /// Where the log goes on.
    pub resume: Resume,
    /// The store's identity, unless it has no segment yet.
    pub store_id: Option<[u8; 16]>,
    /// What was found.
    pub report: RecoveryReport,
}

/// The recovery of one store, in two steps so that the caller can look at what is there first.
pub struct Recovery<'r> {
    vfs: &'r dyn Vfs,
    directory: &'r Path,
    options: &'r Options,
    files: Vec<(u64, PathBuf)>,
    unborn: Vec<PathBuf>,
}

impl<'r> Recovery<'r> {
    /// Lists the segment files, in the order of their ids.
    pub fn list(vfs: &'r dyn Vfs, directory: &'r Path, options: &'r Options) -> Result<Self> {
        let entries = vfs
            .list(directory)
            .map_err(|error| Error::io("list", directory, &error))?;
        let mut files = Vec::new();
        let mut unborn = Vec::new();
        for entry in entries {
            if segment_name::is_new(&entry.name) {
                unborn.push(directory.join(&entry.name));
            }
            let Some(id) = segment_name::parse(&entry.name) else {
                continue;
            };
            let path = directory.join(&entry.name);
            if entry.kind != EntryKind::File {
                return Err(Error::corrupt(
                    &path,
                    0,
                    "a segment's name belongs to something that is not a regular file; move it away",
                ));
            }
            files.push((id, path));
        }
        files.sort_unstable();
        Ok(Self {
            vfs,
            directory,
            options,
            files,
            unborn,
        })
    }

    /// Whether there is any segment file.
    pub fn found_segments(&self) -> bool {
        !self.files.is_empty()
    }

    /// Reads everything back into `index` and `segments`, and, unless the store is opened read-only, cuts the torn
    /// tail, makes what is kept durable and seals it.
    pub fn run(self, index: &Index, segments: &SegmentSet) -> Result<Recovered> {
        let begun = self.vfs.monotonic();
        let mut report = RecoveryReport::default();
        let survey = survey::survey(self.vfs, &self.files, &mut report)?;
        if self.options.mode != OpenMode::ReadOnly {
            mend::mend(self.vfs, self.directory, &survey, &self.unborn)?;
        }
        for kept in &survey.kept {
            replay::replay(self.vfs, kept, self.options, index, segments, &mut report)?;
        }
        report.last_sequence = survey.last_sequence;
        report.microseconds = elapsed_since(self.vfs, begun);
        Ok(Recovered {
            resume: Resume {
                last_sequence: survey.last_sequence,
                next_sequence: survey.highest_sequence + 1,
                next_segment_id: self.files.last().map_or(0, |(id, _)| *id) + 1,
            },
            store_id: survey.store_id,
            report,
        })
    }
}

fn elapsed_since(vfs: &dyn Vfs, begun: std::time::Duration) -> u64 {
    let elapsed = vfs.monotonic().saturating_sub(begun);
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}
