//! Opening: the directory, its lock, recovery.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use super::background::Background;
use super::clock::ExpiryClock;
use super::commit_log::{CommitLog, Place};
use super::compaction::Compactor;
use super::contents::{Contents, Current};
use super::counters::Counters;
use super::failure::Failure;
use super::follow::Follower;
use super::image::{self, ImageKeeper};
use super::novelty::Novelty;
use super::options::{OpenMode, Options};
use super::pressure::Pressure;
use super::publication::Publication;
use super::recovery::{Recovered, Recovery};
use super::report::RecoveryWay;
use super::segment_set::SegmentSet;
use super::{Shared, Store, memory_limit};
use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexOptions;
use crate::log::segment_name;
use crate::memory::reserve;
use crate::vfs::{DirectoryLock, LockMode, Vfs};

/// Name of the file through which a store's directory is locked.
pub const LOCK_FILE: &str = "LOCK";

/// Name of a file that stands in a directory into which a store is being copied. Such a store is not opened: it would
/// look like a whole one with fewer keys.
pub const INCOMPLETE_FILE: &str = "INCOMPLETE";

/// Opens the store in `path` of `vfs`.
pub fn open(vfs: Arc<dyn Vfs>, path: &Path, options: &Options) -> Result<Store> {
    options.check()?;
    refuse_incomplete(&*vfs, path)?;
    open_as_it_is(vfs, path, options)
}

/// Refuses a store that was never finished.
pub fn refuse_incomplete(vfs: &dyn Vfs, path: &Path) -> Result<()> {
    let entries = match vfs.list(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("list", path, &error)),
    };
    if entries.iter().all(|entry| entry.name != INCOMPLETE_FILE) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Corrupt,
        format!(
            "{}: this copy of a store was never finished; remove the directory and make the copy again",
            path.display()
        ),
    ))
}

/// As [`open`], also if the store is still being made.
pub fn open_as_it_is(vfs: Arc<dyn Vfs>, path: &Path, options: &Options) -> Result<Store> {
    options.check()?;
    reserve::check()?;
    let budget = memory_limit::budget(&*vfs, options)?;
    let read_only = options.mode == OpenMode::ReadOnly;
    prepare_directory(&*vfs, path, options.mode)?;
    let present = is_store(&*vfs, path)?;
    if !present && matches!(options.mode, OpenMode::MustExist | OpenMode::ReadOnly) {
        return Err(absent(path));
    }
    let lock = match read_only {
        // What is only read is checked as it is read, whoever may be writing it.
        true => None,
        false => lock(&*vfs, path, false)?,
    };
    let recovery = Recovery::list(&*vfs, path, options)?;
    if options.mode == OpenMode::MustBeNew && (present || recovery.found_segments()) {
        return Err(Error::new(
            ErrorKind::Exists,
            format!("{}: there is a store already", path.display()),
        ));
    }

    let random = vfs
        .random()
        .map_err(|error| Error::io("random bytes", path, &error))?;
    let segments = Arc::new(SegmentSet::within(budget));
    let recovered = recovery.run(&index_options(&random, options), &segments)?;
    assemble(vfs, path, options, random, recovered, segments, lock)
}

/// Makes a store of what was recovered, and starts its threads. Not part of its caller, whose stack recovery has under it.
#[inline(never)]
fn assemble(
    vfs: Arc<dyn Vfs>,
    path: &Path,
    options: &Options,
    random: [u8; 16],
    recovered: Recovered,
    segments: Arc<SegmentSet>,
    lock: Option<Box<dyn DirectoryLock>>,
) -> Result<Store> {
    let read_only = options.mode == OpenMode::ReadOnly;
    let failure = Arc::new(Failure::default());
    let is_counted = recovered.is_counted();
    let index = Arc::new(recovered.index);
    let lost_end = match read_only {
        true => None,
        false => recovered.report.lost_end(),
    };
    if let Some(error) = recovered.report.first_failure().or(lost_end) {
        failure.record(&error);
    }
    let contents = Contents {
        index: index.clone(),
        segments: segments.clone(),
        is_counted,
    };
    let follower = match read_only {
        true => Some(Follower::new(
            vfs.clone(),
            path.to_path_buf(),
            recovered.store_id,
            &segments.members()?,
            &recovered.growing,
            recovered.report.last_sequence,
        )),
        false => None,
    };
    let clock = Arc::new(ExpiryClock::new(vfs.clone(), recovered.expired_until_ms));
    let log = (!read_only).then(|| {
        let place = Place {
            vfs,
            clock: clock.clone(),
            directory: path.to_path_buf(),
            store_id: recovered.store_id.unwrap_or(random),
            options: options.clone(),
        };
        CommitLog::new(
            place,
            segments.clone(),
            index.clone(),
            failure.clone(),
            recovered.adoption,
            recovered.resume,
        )
    });
    let may_run = options.background_threads > 0;
    let needs_loader = may_run && recovered.report.way == RecoveryWay::Image;
    let shared = Arc::new(Shared {
        directory: path.to_path_buf(),
        current: Current::new(contents.clone()),
        budget: segments.budget().clone(),
        pressure: Pressure::default(),
        failure,
        log,
        follower,
        options: options.clone(),
        counters: Counters::default(),
        novelty: Novelty::default(),
        publication: Publication::default(),
        clock,
        report: recovered.report,
        seed: recovered.seed,
        images: ImageKeeper::new(
            recovered.images,
            recovered.covered,
            recovered.image_bytes,
            options,
        ),
        compactor: Compactor::default(),
        closed: AtomicBool::new(false),
    });
    let background = match shared.log.is_some() && may_run {
        true => Some(Background::start(shared.clone())?),
        false => None,
    };
    let loader = match needs_loader {
        true => Some(image::start_loading(contents)?),
        false => None,
    };
    Ok(Store {
        shared,
        background: Mutex::new(background),
        loader: Mutex::new(loader),
        lock: Mutex::new(lock),
    })
}

/// How the index of a store is made that is opened with `options`; `random` bytes become the seed of its hash function.
pub fn index_options(random: &[u8; 16], options: &Options) -> IndexOptions {
    let (seed, _) = random.split_at(8);
    IndexOptions {
        seed: u64::from_le_bytes(seed.try_into().unwrap_or_default()),
        slab_page_bytes: usize::try_from(options.slab_size).unwrap_or(usize::MAX),
        expected_keys: options.expected_keys,
        key_storage: options.key_storage,
    }
}

/// Creates the directory where the mode allows, and makes its creation durable.
fn prepare_directory(vfs: &dyn Vfs, path: &Path, mode: OpenMode) -> Result<()> {
    if !matches!(mode, OpenMode::CreateIfMissing | OpenMode::MustBeNew) {
        return Ok(());
    }
    create_directory(vfs, path)
}

/// Creates the directory `path` durably unless it is there.
pub fn create_directory(vfs: &dyn Vfs, path: &Path) -> Result<()> {
    match vfs.create_directory(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(Error::io("create directory", path, &error)),
    }
    sync_parent(vfs, path)
}

/// Makes the creation of the directory `path` durable.
pub fn sync_parent(vfs: &dyn Vfs, path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    vfs.sync_directory(parent)
        .map_err(|error| Error::io("sync directory", parent, &error))
}

/// Locks the store's directory `path`, alone or beside other readers; `Busy` if that is held elsewhere.
pub fn lock(vfs: &dyn Vfs, path: &Path, read_only: bool) -> Result<Option<Box<dyn DirectoryLock>>> {
    let file = path.join(LOCK_FILE);
    let mode = if read_only {
        LockMode::Shared
    } else {
        LockMode::Exclusive
    };
    match vfs.lock(&file, mode) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::new(
            ErrorKind::Busy,
            format!(
                "{}: the store is open elsewhere, in this process or another; close it there first",
                path.display()
            ),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(absent(path)),
        Err(error) => Err(Error::io("lock", &file, &error)),
    }
}

/// Whether `path` holds a store: its lock file, which every opener for writing leaves, or a segment.
pub fn is_store(vfs: &dyn Vfs, path: &Path) -> Result<bool> {
    match vfs.list(path) {
        Ok(entries) => Ok(entries
            .iter()
            .any(|entry| entry.name == LOCK_FILE || segment_name::parse(&entry.name).is_some())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("list", path, &error)),
    }
}

/// The error that says so.
pub fn absent(path: &Path) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("{}: there is no store", path.display()),
    )
}
