//! What a `freyja_batch` handle stands for.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::batch::freyja_batch;
use super::fork;
use super::guard;
use super::handle::HandleTable;
use super::status::{code_of, freyja_status};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::epoch;
use crate::store::Batch;

/// A batch, whose process it is, and whether it can be trusted.
struct Staging {
    /// Never waited for: a batch is for one thread at a time, and a second one is told so.
    batch: Mutex<Batch>,
    /// [`fork::count`] when the batch was made.
    forks: u32,
    /// Set by a panic of a call, which may have left the batch half changed.
    panicked: AtomicBool,
}

static BATCHES: HandleTable<Staging, 2> = HandleTable::new();

/// Makes an empty batch and a handle to it.
pub fn make() -> Result<*mut freyja_batch> {
    fork::watch()?;
    let handle = BATCHES.insert(Staging {
        batch: Mutex::new(Batch::new()),
        forks: fork::count(),
        panicked: AtomicBool::new(false),
    })?;
    Ok(std::ptr::without_provenance_mut(handle))
}

/// Invalidates the handle and frees what the batch holds, at once unless another thread is using it.
pub fn free(batch: *mut freyja_batch) -> Result<()> {
    BATCHES.share(number(batch)?)?.check_process()?;
    let staging = BATCHES.remove(batch.addr())?;
    if let Some(mut batch) = staging.batch.try_lock() {
        *batch = Batch::new();
    }
    Ok(())
}

/// Runs a call that changes the batch or asks it something.
pub fn changing(
    batch: *mut freyja_batch,
    call: impl FnOnce(&mut Batch) -> Result<freyja_status>,
) -> c_int {
    let outcome = guard::run(|| {
        let guard = epoch::pin();
        let staging = BATCHES.borrow(number(batch)?, &guard)?;
        staging.check_usable()?;
        let mut batch = staging.batch.try_lock().ok_or_else(in_use)?;
        call(&mut batch)
    });
    outcome.map_or_else(
        |error| {
            if error.kind() == ErrorKind::Panic {
                mark(batch);
            }
            code_of(&error)
        },
        |status| status as c_int,
    )
}

/// Calls `read` with the batch, which no other thread can use meanwhile.
pub fn reading<R>(batch: *mut freyja_batch, read: impl FnOnce(&Batch) -> Result<R>) -> Result<R> {
    // A share, because writing a batch may take long.
    let staging = BATCHES.share(number(batch)?)?;
    staging.check_usable()?;
    let batch = staging.batch.try_lock().ok_or_else(in_use)?;
    read(&batch)
}

fn mark(batch: *mut freyja_batch) {
    if let Ok(staging) = BATCHES.share(batch.addr()) {
        staging.panicked.store(true, Ordering::Relaxed);
    }
}

fn number(batch: *mut freyja_batch) -> Result<usize> {
    if batch.is_null() {
        return Err(Error::new(ErrorKind::Invalid, "the batch is NULL"));
    }
    Ok(batch.addr())
}

#[cold]
fn in_use() -> Error {
    Error::new(
        ErrorKind::Busy,
        "another thread is using the batch: give each thread its own, or take turns",
    )
}

impl Staging {
    fn check_usable(&self) -> Result<()> {
        self.check_process()?;
        if self.panicked.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Failed,
                "a defect stopped this batch: free it and fill another",
            ));
        }
        Ok(())
    }

    fn check_process(&self) -> Result<()> {
        fork::check(self.forks, "the batch was made by a parent of this process")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freyja_status::*;

    #[test]
    fn a_batch_in_use_by_one_thread_is_busy_for_others_and_may_be_freed_by_them() {
        let batch = make().unwrap();
        let inside = changing(batch, |_| {
            let other = changing(batch, |_| Ok(FREYJA_OK));
            assert_eq!(other, FREYJA_BUSY as c_int);
            let read = reading(batch, |_| Ok(())).unwrap_err();
            assert_eq!(read.kind(), ErrorKind::Busy);
            free(batch)?;
            Ok(FREYJA_OK)
        });
        assert_eq!(inside, FREYJA_OK as c_int);
        assert_eq!(changing(batch, |_| Ok(FREYJA_OK)), FREYJA_CLOSED as c_int);
        assert_eq!(free(batch).unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn after_a_panic_the_batch_answers_failed_and_can_be_freed() {
        let batch = make().unwrap();
        assert_eq!(
            changing(batch, |_| panic!("injected")),
            FREYJA_PANIC as c_int
        );
        assert_eq!(changing(batch, |_| Ok(FREYJA_OK)), FREYJA_FAILED as c_int);
        let read = reading(batch, |_| Ok(())).unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Failed);
        free(batch).unwrap();
    }
}
