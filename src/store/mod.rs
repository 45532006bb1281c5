//! The store: marries the log, which is the truth, with the index, which is a rebuildable view of it.

mod ahead;
mod background;
mod backup;
mod batch;
mod clock;
mod commit;
mod commit_log;
mod compaction;
mod contents;
mod counters;
mod disposer;
mod examination;
mod failure;
mod follow;
mod image;
mod iterate;
mod live_segment;
mod memory_limit;
mod metrics;
mod novelty;
mod open;
mod options;
mod packed;
mod packing;
mod pinned;
mod pressure;
mod publication;
mod read;
mod read_many;
mod recovery;
mod report;
mod segment_set;
mod stats;
mod thread;
mod write;
mod write_batch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::memory::budget::MemoryBudget;
use crate::memory::{epoch, reserve, scratch};
use crate::vfs::real::RealVfs;
use crate::vfs::{DirectoryLock, Vfs};
use background::Background;
use clock::ExpiryClock;
use commit_log::{CommitLog, Scope};
use compaction::Compactor;
use contents::Current;
use counters::{Counters, Operation};
use failure::Failure;
use follow::Follower;
use image::ImageKeeper;
use novelty::Novelty;
use pressure::Pressure;
use publication::Publication;
use thread::Thread;

pub use backup::Backup;
pub use batch::{Batch, BatchProfile, Savepoint};
pub use compaction::CompactionProgress;
pub use examination::{
    Finding, FindingKind, Pair, RepairReport, Salvage, Severity, VerifyReport, repair, repair_on,
    salvage, salvage_on, verify, verify_on,
};
pub use image::ImageFault;
pub use iterate::{Iter, IterOptions};
pub use memory_limit::MEMORY_BUDGET_AUTO;
pub use options::{Compaction, KeyStorage, OpenMode, Options, ReadChecks, ReadMode, SyncMode};
pub use packed::{
    DELETES, EXPIRES, MAX_BATCH_BYTES, OPERATION_BYTES, Operation as BatchOperation,
    PackedOperations,
};
pub use pinned::PinnedValue;
pub use pressure::MemoryCallback;
pub use read::RecordLocation;
pub use read_many::Values;
pub use report::{DamagedSpan, RecoveryReport, RecoveryWay};
pub use stats::Stats;

/// An open store. Every method may be called from any thread at any time; reads never wait for writes'
/// input and output, nor for growth of the index.
///
/// A write is visible to other threads as soon as it is in the log; it is durable, as the
/// [`SyncMode`] demands, when the call that made it returns.
///
/// Dropping a store closes it; [`Store::close`] tells whether that went well.
///
/// ```
/// use freyja::store::{Options, Store};
///
/// # fn main() -> freyja::Result<()> {
/// # let directory = tempfile::tempdir().expect("a temporary directory");
/// # let path = directory.path();
/// let store = Store::open(path, &Options::default())?;
/// store.put(b"greeting", b"hello, world")?; // durable when it returns
/// assert_eq!(store.get(b"greeting")?.as_deref(), Some(&b"hello, world"[..]));
/// assert!(store.delete(b"greeting")?);
/// store.close()
/// # }
/// ```
pub struct Store {
    shared: Arc<Shared>,
    background: Mutex<Option<Background>>,
    loader: Mutex<Option<Thread>>,
    lock: Mutex<Option<Box<dyn DirectoryLock>>>,
}

#[cold]
fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed")
}

/// What the calls and the background thread share.
struct Shared {
    directory: PathBuf,
    current: Current,
    budget: Arc<MemoryBudget>,
    pressure: Pressure,
    failure: Arc<Failure>,
    /// Absent in a store opened read-only.
    log: Option<CommitLog>,
    /// Present in a store opened read-only.
    follower: Option<Follower>,
    options: Options,
    counters: Counters,
    novelty: Novelty,
    publication: Publication,
    clock: Arc<ExpiryClock>,
    report: RecoveryReport,
    /// Seed of the index's hash function.
    seed: u64,
    images: ImageKeeper,
    compactor: Compactor,
    closed: AtomicBool,
}

impl Shared {
    #[inline]
    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        reserve::check()
    }

    fn vfs(&self) -> &dyn Vfs {
        self.clock.vfs()
    }

    fn log(&self) -> Result<&CommitLog> {
        self.log
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::ReadOnly, "the store was opened read-only"))
    }
}

impl Store {
    /// Opens the store in the directory `path` on the real file system.
    ///
    /// Fails with [`ErrorKind::Busy`] if it is to be written and another opener writes it, [`ErrorKind::Version`] if a newer
    /// format wrote it, and as the [`OpenMode`] says.
    pub fn open(path: &Path, options: &Options) -> Result<Self> {
        Self::open_on(Arc::new(RealVfs), path, options)
    }

    /// Opens the store in the directory `path` of `vfs`.
    pub fn open_on(vfs: Arc<dyn Vfs>, path: &Path, options: &Options) -> Result<Self> {
        open::open(vfs, path, options)
    }

    /// Number of keys present, with those that have expired and are still stored. After an opening from an image that is older than the log, the first call loads what is
    /// not loaded yet; should memory be too short for that, the number is the one in [`Stats`].
    pub fn count(&self) -> u64 {
        let contents = self.shared.share_contents();
        if !contents.is_counted {
            let _ = contents.index.make_all_present(|| true);
        }
        contents.index.len()
    }

    /// Makes every write that has returned durable, whatever the [`SyncMode`].
    pub fn sync(&self) -> Result<()> {
        self.shared.check_open()?;
        match &self.shared.log {
            Some(log) => log.sync(Scope::Everything),
            None => Ok(()),
        }
    }

    /// Makes ready what the next writes will need: the segments that the log goes to, when an eighth of the present one is used, and
    /// where writes follow each other quickly space and pages of files, so that no write waits for the disk: a part of what the
    /// background threads and [`Store::maintain`] do. What fails, the write does itself, as without this.
    pub fn prepare_segment(&self) {
        if let Some(log) = &self.shared.log {
            log.prepare_pages();
            log.prepare_successor();
        }
    }

    /// What opening found and mended.
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.shared.report
    }

    /// The first failure of this store: a failed write or sync, after which writing is refused with
    /// [`ErrorKind::Failed`], or damage that opening or reading met, which costs only the records concerned.
    pub fn failure(&self) -> Option<Error> {
        self.shared.failure.first()
    }

    /// Figures of the store. Taken one after the other, not at one instant.
    pub fn stats(&self) -> Stats {
        let shared = &*self.shared;
        let contents = shared.share_contents();
        let index = contents.index.statistics();
        let totals = contents.segments.totals();
        let report = &shared.report;
        let (shards_loaded, shards_rebuilt) = contents.index.loaded_shards();
        let (images_written, image_failures) = shared.images.counts();
        let log = shared.log.as_ref();
        let seen = shared.follower.as_ref();
        let compaction = shared.compactor.counts();
        let pressure = shared.pressure.counts();
        Stats {
            keys: index.keys,
            index_bytes: index.index_bytes,
            index_idle_bytes: index.idle_bytes,
            missing_keys: index.missing_keys,
            key_bytes: index.key_bytes,
            slab_count: index.slab_count,
            slab_allocated_bytes: index.slab_allocated_bytes,
            slab_live_bytes: index.slab_live_bytes,
            slab_wasted_bytes: index.slab_wasted_bytes,
            disk_bytes: totals.disk_bytes,
            dead_bytes: totals.dead_bytes,
            segments: totals.segments,
            puts: shared.counters.total(Operation::Put),
            gets: shared.counters.total(Operation::Get),
            deletes: shared.counters.total(Operation::Delete),
            syncs: log.map_or(0, CommitLog::syncs),
            last_sequence: log.map_or_else(
                || seen.map_or(report.last_sequence, Follower::last_sequence),
                CommitLog::last_sequence,
            ),
            durable_sequence: log.map_or(report.last_sequence, CommitLog::durable_sequence),
            recovered_records: report.records,
            recovery_cut_bytes: report.cut_bytes,
            recovery_damaged_spans: report.damaged.len() as u64 + report.damaged_beyond,
            recovery_damaged_bytes: report.damaged_bytes,
            recovery_missing_segments: report.missing_segments,
            recovery_microseconds: report.microseconds,
            recovery_way: report.way as u64,
            segments_from_image: report.segments_from_image,
            segments_from_hints: report.segments_from_hints,
            segments_scanned: report.segments_scanned,
            hints_unusable: report.hints_unusable,
            recovery_image_fault: report.image_fault as u64,
            images_written,
            image_failures,
            image_bytes: shared.images.bytes(),
            shards_loaded,
            shards_rebuilt,
            shards_absent: contents.index.absent_shards(),
            live_bytes: totals.content_bytes.saturating_sub(totals.dead_bytes),
            tombstone_bytes: totals.tombstone_bytes,
            dead_puts: totals.dead_puts,
            written_bytes: log.map_or(0, CommitLog::written_bytes),
            compactions: compaction.merges,
            compaction_bytes_read: compaction.bytes_read,
            compaction_bytes_written: compaction.bytes_written,
            work_bytes: scratch::bytes() as u64,
            memory_used_bytes: shared.budget.used(),
            memory_budget_bytes: shared.budget.limit().unwrap_or(0),
            memory_refusals: shared.budget.refusals(),
            memory_trims: pressure.trims,
            memory_evacuations: pressure.evacuations,
            merges_followed: report.merges_followed,
        }
    }

    /// Makes everything durable, seals the log and releases the directory. Calls that are under way in
    /// other threads finish; later ones answer [`ErrorKind::Closed`], a second close too.
    pub fn close(&self) -> Result<()> {
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return Err(closed());
        }
        // Stopped first, so that it does not wait in line for a sync that nobody needs.
        // Not under its lock, which a call may want that the thread waits for.
        let background = self.background.lock().take();
        drop(background);
        self.shared.pressure.silence();
        drop(self.loader.lock().take());
        self.shared.compactor.wait_until_idle();
        let result = match &self.shared.log {
            Some(log) => log
                .close()
                .inspect(|()| image::write_at_close(&self.shared, log)),
            None => Ok(()),
        };
        // Files that compaction has replaced wait for readers that are gone by now; nobody else might ever let go of them.
        epoch::outlast();
        drop(self.lock.lock().take());
        result
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Who wants to know calls `close`; a failure here has already stopped writing.
        let _ = self.close();
    }
}
