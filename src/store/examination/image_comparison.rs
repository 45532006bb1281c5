//! Whether an image of the index says what the log says.
//!
//! The image was made when the records that it covers were intact. So where the log is damaged, it tells of keys that their
//! newest record is not the one that the log still shows.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::Listener;
use super::finding::{Finding, FindingKind, Severity};
use super::images::Witness;
use super::log_pass::LogState;
use super::pending::copied;
use super::report::VerifyReport;
use crate::error::{Error, Result};
use crate::index::Location;
use crate::memory::epoch;
use crate::store::live_segment::LiveSegment;
use crate::store::recovery::{Examined, View};

/// Keys whose newest record in the log is not the newest that there was.
#[derive(Default)]
pub struct Superseded {
    /// Their newest record is damaged.
    pub lost: Vec<Vec<u8>>,
    /// A damaged record deleted them.
    pub deleted: HashSet<Vec<u8>>,
}

/// Compares what an open would make of the image of `witness` with what the log shows.
pub fn compare(
    witness: Witness,
    examined: &Examined<'_>,
    state: &LogState,
    report: &mut VerifyReport,
    listener: &mut Listener<'_>,
) -> Result<Superseded> {
    let may_have_lost = state.first_lost <= witness.covered;
    let view = examined.view_of(witness.image)?;
    let mut comparison = Comparison {
        image: Places::new(&view)?,
        log: Places::new(&examined.log)?,
        path: witness.path,
        state,
        may_have_lost,
        wrong: 0,
        superseded: Superseded::default(),
        report,
        listener,
    };
    let mut result = Ok(());
    examined.log.index.for_each(|key, location| {
        if result.is_ok() {
            result = comparison.key(key, location);
        }
    })?;
    result?;
    comparison.finish(examined.log.index.len());
    Ok(comparison.superseded)
}

struct Comparison<'c, 'l> {
    image: Places<'c>,
    log: Places<'c>,
    /// The image's file.
    path: PathBuf,
    state: &'c LogState,
    /// Whether records are lost that were intact when the image was made.
    may_have_lost: bool,
    /// How many keys the image shows elsewhere though no record is lost.
    wrong: u64,
    superseded: Superseded,
    report: &'c mut VerifyReport,
    listener: &'c mut Listener<'l>,
}

impl Comparison<'_, '_> {
    /// Looks for a `key` that the log shows at `location`.
    fn key(&mut self, key: &[u8], location: Location) -> Result<()> {
        let Some(place) = self.log.of(location) else {
            return Ok(());
        };
        if self.is_damaged(place) {
            // Told already.
            return Ok(());
        }
        let others = match self.image.candidates(key, place) {
            Candidates::Same => return Ok(()),
            Candidates::Others(_) if !self.may_have_lost => {
                self.wrong += 1;
                return Ok(());
            }
            Candidates::Others(others) => others,
        };
        let mut others = others.into_iter();
        let damaged = others.find(|place| self.is_damaged(*place));
        self.report.keys = self.report.keys.saturating_sub(1);
        let finding = match damaged {
            Some((segment, offset)) => {
                self.report.lost_keys += 1;
                add(&mut self.superseded.lost, key)?;
                let path = self.log.path(segment);
                Finding::new(
                    FindingKind::DamagedRecord,
                    Severity::Loss,
                    path.as_ref().unwrap_or(&self.path),
                    (offset, 0),
                    "the image of the index shows that the newest record of this key lay here; put the key again, or \
                     restore it from a backup",
                )
            }
            None => {
                let deleted = &mut self.superseded.deleted;
                deleted.try_reserve(1).map_err(|_| no_memory())?;
                deleted.insert(copied(key)?);
                Finding::new(
                    FindingKind::DamagedRecord,
                    Severity::Damage,
                    &self.path,
                    (0, 0),
                    "this image of the index shows that a damaged record deleted this key",
                )
            }
        };
        self.tell(&finding.with_key(key));
        Ok(())
    }

    /// Says so if the image is wrong about a log of `keys` keys.
    fn finish(&mut self, keys: u64) {
        let shown = self.image.view.index.len();
        if self.may_have_lost || (self.wrong == 0 && shown == keys) {
            return;
        }
        self.tell(&Finding::new(
            FindingKind::WrongImage,
            Severity::Loss,
            &self.path,
            (0, 0),
            format!(
                "the image of the index is intact but shows {shown} keys, {} of them elsewhere than the log, which has {keys}; \
                 remove this file, and report it as a defect",
                self.wrong
            ),
        ));
    }

    fn tell(&mut self, finding: &Finding) {
        self.report.add(finding);
        (self.listener)(finding);
    }

    fn is_damaged(&self, (segment, offset): (u64, u64)) -> bool {
        let mut damaged = self.state.damaged.iter();
        damaged.any(|(id, range)| *id == segment && range.contains(&offset))
    }
}

fn add(keys: &mut Vec<Vec<u8>>, key: &[u8]) -> Result<()> {
    keys.try_reserve(1).map_err(|_| no_memory())?;
    keys.push(copied(key)?);
    Ok(())
}

fn no_memory() -> Error {
    Error::memory("a list of damaged keys")
}

enum Candidates {
    /// The key may lie where it should.
    Same,
    /// It lies at one of these places, by segment and offset, or is not there.
    Others(Vec<(u64, u64)>),
}

/// What the locations of a view mean.
struct Places<'v> {
    view: &'v View,
    by_id: BTreeMap<u64, Arc<LiveSegment>>,
}

impl<'v> Places<'v> {
    fn new(view: &'v View) -> Result<Self> {
        let members = view.segments.members()?.into_iter();
        Ok(Self {
            view,
            by_id: members.map(|live| (live.segment.id(), live)).collect(),
        })
    }

    /// Segment and offset that `location` stands for.
    fn of(&self, location: Location) -> Option<(u64, u64)> {
        let guard = epoch::pin();
        let live = self.view.segments.find(location, &guard)?;
        Some((live.segment.id(), live.offset(location)))
    }

    fn path(&self, segment: u64) -> Option<PathBuf> {
        let live = self.by_id.get(&segment)?;
        Some(live.segment.path().to_path_buf())
    }

    /// Whether the index shows `key` at `offset` of `segment`, or where else.
    fn candidates(&self, key: &[u8], (segment, offset): (u64, u64)) -> Candidates {
        let here = self.by_id.get(&segment);
        let expected = here.and_then(|live| live.location(offset).ok());
        let index = &self.view.index;
        let guard = epoch::pin();
        let mut others = Vec::new();
        let found = index.find(&guard, index.hash(key), |location| {
            if Some(location) == expected {
                return Some(());
            }
            others.extend(self.of(location));
            None
        });
        match found {
            Some(()) => Candidates::Same,
            None => Candidates::Others(others),
        }
    }
}
