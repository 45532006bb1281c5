//! Reading what can be read of a store, without opening it.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::Listener;
use super::finding::{Finding, FindingKind, Severity};
use super::log_pass::{bounds, for_each_segment};
use super::report::RepairReport;
use super::session::Session;
use super::verify;
use crate::error::{Error, Result};
use crate::log::record::Kind;
use crate::log::scan_event::ScannedRecord;
use crate::log::{Event, Scanner};
use crate::memory::epoch;
use crate::store::live_segment::LiveSegment;
use crate::store::recovery::{Examined, Kept};
use crate::vfs::Vfs;
use crate::vfs::real::RealVfs;

/// What [`salvage()`] and [`repair()`](super::repair()) save.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    /// For a key whose newest record is known to be damaged, saves the newest intact version, and says so with a
    /// [`FindingKind::OlderVersion`]. Without it such a key is left out.
    pub older_versions: bool,
}

/// A key with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'p> {
    /// The key.
    pub key: &'p [u8],
    /// Its value.
    pub value: &'p [u8],
    /// When the pair ceases to exist, in milliseconds since 1970-01-01 UTC.
    pub expires_at_ms: Option<u64>,
}

/// Gets each pair once, in no particular order.
pub type Sink<'s> = dyn FnMut(Pair<'_>) -> Result<()> + 's;

/// Gives `sink` every pair of the store in the directory `path` of which the newest version is intact, as
/// [`repair()`](super::repair()) saves them, and `listener` what [`verify()`](super::verify()) finds. Changes nothing.
///
/// # Errors
/// Those of [`verify()`](super::verify()); those of `sink`, after which it is not called again.
pub fn salvage(
    path: &Path,
    options: &Salvage,
    listener: &mut Listener<'_>,
    sink: &mut Sink<'_>,
) -> Result<RepairReport> {
    salvage_on(&RealVfs, path, options, listener, sink)
}

/// As [`salvage()`], on any file system.
pub fn salvage_on(
    vfs: &dyn Vfs,
    path: &Path,
    options: &Salvage,
    listener: &mut Listener<'_>,
    sink: &mut Sink<'_>,
) -> Result<RepairReport> {
    let session = Session::begin(vfs, path)?;
    let examined = session.examine()?;
    let report = salvage_to(path, &examined, options, listener, sink)?;
    session.end()?;
    Ok(report)
}

/// As [`salvage()`], of a store that has been read once.
pub fn salvage_to(
    path: &Path,
    examined: &Examined<'_>,
    options: &Salvage,
    listener: &mut Listener<'_>,
    sink: &mut Sink<'_>,
) -> Result<RepairReport> {
    let verdict = verify::examine(path, examined, listener)?;
    let mut saving = Saving {
        examined,
        sink,
        deleted: verdict.superseded.deleted,
        older: HashMap::new(),
        wants_older: options.older_versions,
        report: RepairReport {
            found: verdict.report,
            ..RepairReport::default()
        },
        scratch: Vec::new(),
    };
    saving.expect_older(verdict.lost_keys)?;
    saving.expect_older(verdict.superseded.lost)?;
    for_each_segment(examined, &examined.log, |kept, live| {
        saving.segment(kept, live)
    })?;
    saving.save_older(listener)?;
    Ok(saving.report)
}

/// A version of a key: segment, offset, sequence number, and whether it is a put.
type Version = Option<(Arc<LiveSegment>, u64, u64, bool)>;

struct Saving<'r> {
    examined: &'r Examined<'r>,
    sink: &'r mut Sink<'r>,
    /// Keys that were deleted though the log does not show it.
    deleted: HashSet<Vec<u8>>,
    /// The newest intact version of each key that is not saved as it should be.
    older: HashMap<Vec<u8>, Version>,
    wants_older: bool,
    report: RepairReport,
    scratch: Vec<u8>,
}

impl Saving<'_> {
    fn expect_older(&mut self, lost_keys: Vec<Vec<u8>>) -> Result<()> {
        self.older
            .try_reserve(lost_keys.len())
            .map_err(|_| Error::memory("a list of damaged keys"))?;
        self.older
            .extend(lost_keys.into_iter().map(|key| (key, None)));
        self.report.keys_left_out = self.older.len() as u64;
        Ok(())
    }

    fn segment(&mut self, kept: &Kept, live: &Arc<LiveSegment>) -> Result<()> {
        let (counts_until, scan_until) = bounds(kept);
        let mut scanner = Scanner::until(&live.segment, scan_until)?;
        loop {
            match scanner.next_event()? {
                Event::Record(record) if record.offset < counts_until => {
                    self.record(live, &record)?;
                }
                Event::End(_) => return Ok(()),
                _ => {}
            }
        }
    }

    fn record(&mut self, live: &Arc<LiveSegment>, record: &ScannedRecord<'_>) -> Result<()> {
        if let Some(version) = self.older.get_mut(record.key) {
            let is_newer = version
                .as_ref()
                .is_none_or(|(_, _, sequence, _)| *sequence < record.sequence);
            if is_newer {
                let is_put = record.kind == Kind::Put;
                *version = Some((live.clone(), record.offset, record.sequence, is_put));
            }
            return Ok(());
        }
        if record.kind != Kind::Put || self.deleted.contains(record.key) {
            return Ok(());
        }
        let index = &self.examined.log.index;
        let newest = {
            let guard = epoch::pin();
            index.locate(&guard, index.hash(record.key), record.key)?
        };
        if newest != Some(live.location(record.offset)?) {
            return Ok(());
        }
        self.save(live, record.offset)
    }

    fn save(&mut self, live: &LiveSegment, offset: u64) -> Result<()> {
        let record = live.segment.record(offset, &mut self.scratch)?;
        record.verify()?;
        let (key, value) = (record.key(), record.value());
        let expires_at_ms = record.expires_at_ms();
        // What a reader was told is gone stays gone, whatever the clock says where the pair ends up. Nothing is left out
        // for what the clock says now, which may be wrong.
        if expires_at_ms.is_some_and(|moment| moment <= self.examined.survey.expired_until_ms) {
            self.report.keys_expired += 1;
            return Ok(());
        }
        (self.sink)(Pair {
            key,
            value,
            expires_at_ms,
        })?;
        self.report.keys_saved += 1;
        self.report.bytes_saved += (key.len() + value.len()) as u64;
        Ok(())
    }

    fn save_older(&mut self, listener: &mut Listener<'_>) -> Result<()> {
        if !self.wants_older {
            return Ok(());
        }
        for (key, version) in std::mem::take(&mut self.older) {
            let Some((live, offset, sequence, true)) = version else {
                continue;
            };
            self.save(&live, offset)?;
            self.report.keys_left_out -= 1;
            self.report.older_versions += 1;
            let finding = Finding::new(
                FindingKind::OlderVersion,
                Severity::Loss,
                live.segment.path(),
                (offset, 0),
                "this older version of the key was saved",
            );
            listener(&finding.with_sequences(sequence, sequence).with_key(&key));
        }
        Ok(())
    }
}
