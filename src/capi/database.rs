//! What a `freyja_db` handle stands for, and the way from a handle to its store.

use std::ffi::c_int;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::arguments::Output;
use super::db::freyja_db;
use super::error::freyja_error;
use super::fork;
use super::guard;
use super::handle::HandleTable;
#[cfg(fuzzing)]
use super::simulation;
use super::status::{code_of, freyja_status};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::epoch;
use crate::store::{Options, Store};

/// An open store, whose process it is, and whether it can be trusted.
struct Database {
    store: Store,
    /// [`fork::count`] when the store was opened.
    forks: u32,
    /// The first panic of a call. What it left behind is not known, so it stops the handle for ever.
    panic: OnceLock<Error>,
}

static DATABASES: HandleTable<Database, 1> = HandleTable::new();

/// How often a closing thread helps the epoch on before it leaves the rest to others.
const FREEING_ATTEMPTS: usize = 100;

/// How many epochs what was retired last has to wait.
const EPOCHS: usize = 4;

/// Opens a store and makes a handle to it.
pub fn open(path: &Path, options: &Options) -> Result<*mut freyja_db> {
    fork::watch()?;
    let database = Database {
        store: open_store(path, options)?,
        forks: fork::count(),
        panic: OnceLock::new(),
    };
    let handle = DATABASES.insert(database)?;
    Ok(std::ptr::without_provenance_mut(handle))
}

#[cfg(not(fuzzing))]
fn open_store(path: &Path, options: &Options) -> Result<Store> {
    Store::open(path, options)
}

#[cfg(fuzzing)]
fn open_store(path: &Path, options: &Options) -> Result<Store> {
    match simulation::disk() {
        Some(disk) => Store::open_on(Arc::new(disk), path, options),
        None => Store::open(path, options),
    }
}

/// Invalidates the handle and closes its store.
pub fn close(db: *mut freyja_db) -> Result<()> {
    DATABASES.share(number(db)?)?.check_process()?;
    let database = DATABASES.remove(db.addr())?;
    let closed = database.store.close();
    free_now(database);
    closed
}

/// Drops the store here and now if no other call is inside it, and frees what it has retired: its memory is not to
/// wait for the next use of the library by anybody.
fn free_now(database: Arc<Database>) {
    for _ in 0..FREEING_ATTEMPTS {
        if Arc::strong_count(&database) == 1 {
            break;
        }
        epoch::pin().flush();
    }
    drop(database);
    for _ in 0..EPOCHS {
        epoch::pin().flush();
    }
}

/// Runs a call that waits for nothing but a read. Writes nothing that threads share.
pub fn reading(db: *mut freyja_db, call: impl FnOnce(&Store) -> Result<freyja_status>) -> c_int {
    answer(
        db,
        guard::run(|| {
            let guard = epoch::pin();
            let database = DATABASES.borrow(number(db)?, &guard)?;
            database.check_usable()?;
            call(&database.store)
        }),
    )
}

/// Runs a call that may wait long. It holds a share of the store instead of holding back the epoch.
pub fn writing(db: *mut freyja_db, call: impl FnOnce(&Store) -> Result<freyja_status>) -> c_int {
    reporting(db, None, call)
}

/// As [`writing`], and stores the details of a failure in `details`.
pub fn reporting(
    db: *mut freyja_db,
    details: Option<Output<freyja_error>>,
    call: impl FnOnce(&Store) -> Result<freyja_status>,
) -> c_int {
    let outcome = guard::run(|| {
        let database = DATABASES.share(number(db)?)?;
        database.check_usable()?;
        call(&database.store)
    });
    if let (Err(error), Some(details)) = (&outcome, details) {
        details.set(error.into());
    }
    answer(db, outcome)
}

/// The first failure of a handle: what stopped it, or what its store met first.
pub fn failure(db: *mut freyja_db) -> Result<Option<Error>> {
    let database = DATABASES.share(number(db)?)?;
    database.check_process()?;
    let panic = database.panic.get().cloned();
    Ok(panic.or_else(|| database.store.failure()))
}

/// The status of an outcome; a panic marks the handle.
#[inline(always)]
fn answer(db: *mut freyja_db, outcome: Result<freyja_status>) -> c_int {
    match outcome {
        Ok(status) => status as c_int,
        Err(error) => refusal(db, error),
    }
}

#[cold]
fn refusal(db: *mut freyja_db, error: Error) -> c_int {
    let code = code_of(&error);
    if error.kind() == ErrorKind::Panic {
        mark(db, error);
    }
    code
}

fn mark(db: *mut freyja_db, panic: Error) {
    if let Ok(database) = DATABASES.share(db.addr()) {
        // Only the first is kept.
        let _ = database.panic.set(panic);
    }
}

fn number(db: *mut freyja_db) -> Result<usize> {
    if db.is_null() {
        return Err(Error::new(ErrorKind::Invalid, "the handle is NULL"));
    }
    Ok(db.addr())
}

impl Database {
    #[inline(always)]
    fn check_usable(&self) -> Result<()> {
        self.check_process()?;
        match self.panic.get() {
            None => Ok(()),
            Some(_) => Err(stopped()),
        }
    }

    fn check_process(&self) -> Result<()> {
        fork::check(
            self.forks,
            "the store was opened by a parent of this process: open stores after fork, not before",
        )
    }
}

#[cold]
fn stopped() -> Error {
    Error::new(
        ErrorKind::Failed,
        "a defect stopped this handle: close it and open the store again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use freyja_status::*;

    fn open_temporary() -> (tempfile::TempDir, *mut freyja_db) {
        let directory = tempfile::tempdir().unwrap();
        let db = open(&directory.path().join("store"), &Options::default()).unwrap();
        (directory, db)
    }

    #[test]
    fn after_a_panic_the_handle_answers_failed_tells_why_and_closes() {
        let (_directory, db) = open_temporary();
        assert_eq!(writing(db, |_| panic!("injected")), FREYJA_PANIC as c_int);
        assert_eq!(reading(db, |_| Ok(FREYJA_OK)), FREYJA_FAILED as c_int);
        assert_eq!(writing(db, |_| Ok(FREYJA_OK)), FREYJA_FAILED as c_int);
        let failure = failure(db).unwrap().unwrap();
        assert_eq!(failure.kind(), ErrorKind::Panic);
        assert!(failure.message().ends_with("injected"));
        close(db).unwrap();
        assert_eq!(reading(db, |_| Ok(FREYJA_OK)), FREYJA_CLOSED as c_int);
    }

    #[test]
    fn a_panic_stops_no_other_handle() {
        let (_directory, db) = open_temporary();
        let (_other_directory, other) = open_temporary();
        assert_eq!(reading(db, |_| panic!("injected")), FREYJA_PANIC as c_int);
        assert_eq!(reading(other, |_| Ok(FREYJA_OK)), FREYJA_OK as c_int);
        assert!(failure(other).unwrap().is_none());
        close(db).unwrap();
        close(other).unwrap();
    }

    #[test]
    fn a_call_that_is_running_when_the_handle_is_closed_ends_safely() {
        let (_directory, db) = open_temporary();
        let address = db.addr();
        let (inside, entered) = std::sync::mpsc::channel();
        let (closed, wait) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let db = std::ptr::without_provenance_mut(address);
                let status = writing(db, |store| {
                    inside.send(()).unwrap();
                    wait.recv().unwrap();
                    store.put(b"key", b"value")?;
                    Ok(FREYJA_OK)
                });
                assert_eq!(status, FREYJA_CLOSED as c_int);
            });
            entered.recv().unwrap();
            close(db).unwrap();
            closed.send(()).unwrap();
        });
    }
}
