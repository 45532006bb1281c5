//! Saving what can be saved of a store, to another place.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Listener;
use super::finding::{Finding, FindingKind, Severity};
use super::log_pass::{bounds, for_each_segment};
use super::report::RepairReport;
use super::session::{self, Session};
use super::verify;
use crate::error::{Error, ErrorKind, Result};
use crate::log::record::Kind;
use crate::log::scan_event::ScannedRecord;
use crate::log::{Event, Scanner};
use crate::memory::epoch;
use crate::store::open::{self, INCOMPLETE_FILE};
use crate::store::options::{OpenMode, Options, SyncMode};
use crate::store::recovery::Examined;
use crate::store::segment_set::LiveSegment;
use crate::store::{Store, recovery::Kept};
use crate::vfs::Vfs;
use crate::vfs::real::RealVfs;

/// What [`repair`] saves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairOptions {
    /// For a key whose newest record is known to be damaged, saves the newest intact version, and says so with a
    /// [`FindingKind::OlderVersion`]. Without it such a key is left out.
    pub older_versions: bool,
}

/// Saves what can be saved of the store in the directory `path` in a new store in `destination`, which must not exist or
/// be empty. The original is read as by [`verify()`](super::verify()) and not changed; `listener` hears the same findings.
///
/// Of each key the newest version is saved, with its expiry, if it is intact. Keys of which it is known to be damaged are left
/// out, or saved in an older version if `options` ask for it; each is named by a finding. Deleted keys stay deleted. Where nobody can
/// tell whose a damaged record was, [`VerifyReport::keys_in_doubt`](super::VerifyReport::keys_in_doubt) says how many keys
/// it may have been.
///
/// The new store can be opened when this has returned without an error, and not before: what an interrupted repair
/// leaves is refused by an open, and is to be removed.
///
/// # Errors
/// Those of [`verify()`](super::verify()); `Exists` if there is something in `destination`; those of writing.
pub fn repair(
    path: &Path,
    destination: &Path,
    options: &RepairOptions,
    listener: &mut Listener<'_>,
) -> Result<RepairReport> {
    repair_on(Arc::new(RealVfs), path, destination, options, listener)
}

/// As [`repair()`], on any file system.
pub fn repair_on(
    vfs: Arc<dyn Vfs>,
    path: &Path,
    destination: &Path,
    options: &RepairOptions,
    listener: &mut Listener<'_>,
) -> Result<RepairReport> {
    let session = Session::begin(&*vfs, path)?;
    let reading = session::options();
    let index_options = session::index_options(&*vfs, path)?;
    let examined = session.recovery(&reading)?.examine(&index_options)?;
    let store = begin(&vfs, destination)?;
    let verdict = verify::examine(path, &examined, listener)?;
    let mut rescue = Rescue {
        examined: &examined,
        store: &store,
        deleted: verdict.superseded.deleted,
        older: HashMap::new(),
        wants_older: options.older_versions,
        report: RepairReport {
            found: verdict.report,
            ..RepairReport::default()
        },
        scratch: Vec::new(),
    };
    rescue.expect_older(verdict.lost_keys)?;
    rescue.expect_older(verdict.superseded.lost)?;
    for_each_segment(&examined, &examined.log, |kept, live| {
        rescue.segment(kept, live)
    })?;
    rescue.save_older(listener)?;
    let report = rescue.report;
    session.end()?;
    store.close()?;
    finish(&*vfs, destination)?;
    Ok(report)
}

/// Makes the directory and a store in it that cannot be opened yet.
fn begin(vfs: &Arc<dyn Vfs>, destination: &Path) -> Result<Store> {
    match vfs.create_directory(destination) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("create directory", destination, &error)),
    }
    let entries = vfs
        .list(destination)
        .map_err(|error| Error::io("list", destination, &error))?;
    if !entries.is_empty() {
        return Err(Error::new(
            ErrorKind::Exists,
            format!(
                "{}: the directory is not empty; name one that does not exist",
                destination.display()
            ),
        ));
    }
    let marker = destination.join(INCOMPLETE_FILE);
    vfs.create_new(&marker)
        .and_then(|file| file.sync())
        .map_err(|error| Error::io("create", &marker, &error))?;
    open::sync_parent(&**vfs, destination)?;
    sync_directory(&**vfs, destination)?;
    let options = Options {
        mode: OpenMode::MustBeNew,
        // Closing makes everything durable, and nothing counts before.
        sync_mode: SyncMode::None,
        background_threads: 0,
        ..Options::default()
    };
    open::open_as_it_is(vfs.clone(), destination, &options)
}

fn finish(vfs: &dyn Vfs, destination: &Path) -> Result<()> {
    let marker = destination.join(INCOMPLETE_FILE);
    vfs.remove(&marker)
        .map_err(|error| Error::io("remove", &marker, &error))?;
    sync_directory(vfs, destination)
}

fn sync_directory(vfs: &dyn Vfs, directory: &Path) -> Result<()> {
    vfs.sync_directory(directory)
        .map_err(|error| Error::io("sync directory", directory, &error))
}

/// A version of a key: segment, offset, sequence number, and whether it is a put.
type Version = Option<(Arc<LiveSegment>, u64, u64, bool)>;

struct Rescue<'r> {
    examined: &'r Examined<'r>,
    store: &'r Store,
    /// Keys that were deleted though the log does not show it.
    deleted: HashSet<Vec<u8>>,
    /// The newest intact version of each key that is not saved as it should be.
    older: HashMap<Vec<u8>, Version>,
    wants_older: bool,
    report: RepairReport,
    scratch: Vec<u8>,
}

impl Rescue<'_> {
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
        self.store
            .put_until(key, value, record.expires_at_ms())
            .map_err(|error| error.context("writing the repaired store"))?;
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
