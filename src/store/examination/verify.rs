//! Finding everything that is wrong with a store.

use std::path::Path;

use super::Listener;
use super::finding::{Finding, FindingKind, Severity};
use super::image_comparison::{self, Superseded};
use super::images;
use super::log_pass::{LogPass, LogState};
use super::report::VerifyReport;
use super::session::Session;
use crate::error::Result;
use crate::store::recovery::{Examined, NOT_A_FILE, Trouble, TroubleKind};
use crate::vfs::Vfs;
use crate::vfs::real::RealVfs;

/// Reads every byte of the store in the directory `path` and calls `listener` with everything that is not as it was written, and
/// with what a crash left. Changes nothing. Needs memory for an index of all keys with the keys themselves, twice if there is an image.
///
/// The store must not be open for writing anywhere. It is as good as new if [`VerifyReport::damages`] is 0.
///
/// # Errors
/// `NotFound` if there is no store; `Busy` if it is open for writing; `Version` if a newer version wrote it; `Memory`; `Io`
/// if the disk fails to read: copy the files as far as they can be read, and examine the copy.
pub fn verify(path: &Path, listener: &mut Listener<'_>) -> Result<VerifyReport> {
    verify_on(&RealVfs, path, listener)
}

/// As [`verify()`], on any file system.
pub fn verify_on(vfs: &dyn Vfs, path: &Path, listener: &mut Listener<'_>) -> Result<VerifyReport> {
    let session = Session::begin(vfs, path)?;
    let examined = session.examine()?;
    let verdict = examine(path, &examined, listener)?;
    session.end()?;
    Ok(verdict.report)
}

/// What is known of a store when all of it was read.
pub struct Verdict {
    /// What it amounts to.
    pub report: VerifyReport,
    /// Keys whose newest record is known to be damaged.
    pub lost_keys: Vec<Vec<u8>>,
    /// Keys of which the log seems to have the newest record, and an image shows that there was a newer one.
    pub superseded: Superseded,
}

/// Examines the store and tells `listener` of everything.
pub fn examine(
    path: &Path,
    examined: &Examined<'_>,
    listener: &mut Listener<'_>,
) -> Result<Verdict> {
    let mut report = VerifyReport::default();
    tell_of_files(examined, &mut report, listener);
    let witness = images::look(path, examined, &mut report, listener)?;
    let mut state = LogPass::read(examined, &mut report, listener)?;
    if ends_in_the_dark(examined) {
        state.uncertain = u64::MAX;
        report.keys_in_doubt = report.keys;
    }
    let mut superseded = Superseded::default();
    if let Some(witness) = witness {
        if state.uncertain <= witness.covered {
            report.keys_in_doubt = 0;
        }
        superseded = image_comparison::compare(witness, examined, &state, &mut report, listener)?;
    }
    report.keys_in_doubt = report.keys_in_doubt.min(report.keys);
    let LogState { lost_keys, .. } = state;
    Ok(Verdict {
        report,
        lost_keys,
        superseded,
    })
}

/// Whether the last file cannot be read, so that nobody knows how many records came after the others.
fn ends_in_the_dark(examined: &Examined<'_>) -> bool {
    let survey = &examined.survey;
    let last = survey.kept.last().map(|kept| kept.segment.path());
    let mut troubles = survey.troubles.iter();
    troubles.any(|it| it.kind == TroubleKind::Unusable && last.is_none_or(|last| *it.path > *last))
}

fn tell_of_files(examined: &Examined<'_>, report: &mut VerifyReport, listener: &mut Listener<'_>) {
    let mut tell = |finding: Finding| {
        report.add(&finding);
        listener(&finding);
    };
    for trouble in &examined.survey.troubles {
        tell(of_trouble(trouble));
    }
    for path in examined.strange() {
        let (kind, severity) = (FindingKind::NotAFile, Severity::Damage);
        tell(Finding::new(kind, severity, path, (0, 0), NOT_A_FILE));
    }
    for path in examined.unborn() {
        let message =
            "a segment whose creation was cut short; it holds nothing that was acknowledged";
        let (kind, severity) = (FindingKind::UnfinishedFile, Severity::Note);
        tell(Finding::new(kind, severity, path, (0, 0), message));
    }
    let torn = examined.survey.troubles.iter();
    let torn = torn.filter(|trouble| trouble.kind == TroubleKind::Torn);
    report.torn_bytes = torn.map(|trouble| trouble.length).sum();
}

fn of_trouble(trouble: &Trouble) -> Finding {
    let (kind, severity, message) = match trouble.kind {
        TroubleKind::Header => (
            FindingKind::DamagedHeader,
            Severity::Damage,
            "the header of the segment is damaged; its copy at the end of the file is intact, so nothing is lost",
        ),
        TroubleKind::Unusable => (
            FindingKind::UnusableFile,
            Severity::Loss,
            "neither the header of the segment nor the copy of it can be used, so that none of its records can be \
             read; put the file back from a backup",
        ),
        TroubleKind::OtherStore => (
            FindingKind::OtherStore,
            Severity::Damage,
            "the segment belongs to another store; move it away, and put back what was here",
        ),
        TroubleKind::Repeats => (
            FindingKind::RepeatedSegment,
            Severity::Damage,
            "the segment begins before the end of the one before it: a copy, or an older state of the file; its \
             records are not used",
        ),
        TroubleKind::FooterMissing => (
            FindingKind::MissingRecords,
            Severity::Loss,
            "the segment was complete and has no intact footer any more, so that nobody can tell whether records at its end are \
             missing; put the file back from a backup",
        ),
        TroubleKind::Torn => (
            FindingKind::TornTail,
            Severity::Note,
            "the end of the log as a crash left it; none of it was promised to survive, and the next open cuts it",
        ),
    };
    let place = (trouble.offset, trouble.length);
    Finding::new(kind, severity, &trouble.path, place, message)
}
