//! Backup.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};

use super::arguments::{self, Output};
use super::database;
use super::db::freyja_db;
use super::error::freyja_error;
use super::progress::{Progress, freyja_progress};
use super::status::freyja_status::*;

/// Makes the directory `dest` a copy of the store as it was at one moment during the call; reads and writes go on meanwhile.
/// The copy is durable when this returns. It is restored by opening it, or by opening a copy of it.
///
/// Files are linked where the file system allows that, which takes neither time nor space and protects from deletion and
/// mistakes, but not from a failing disk; to another file system they are copied. To where a backup of this store already
/// is, only what is new is brought, and what the store no longer has is removed. A call that fails leaves the older
/// backup as it was, or a directory that freyja_open refuses until a backup to it has been finished.
///
/// @param db        the store.
/// @param dest      path of the directory, ended by NUL: one that does not exist, though its parent does, or is empty, or
///                  holds a backup of this store.
/// @param progress  told how many bytes have been brought, may cancel; may be NULL.
/// @param user      passed to `progress`.
/// @param[out] err  details of a failure, written only then; may be NULL.
/// @return FREYJA_OK; FREYJA_EXISTS if `dest` holds anything but a backup of this store; FREYJA_BUSY if `dest` is open as a
///         store or another backup is writing to it; FREYJA_READ_ONLY, FREYJA_FAILED, FREYJA_CORRUPT, FREYJA_MEMORY; ECANCELED
///         if `progress` cancelled; another errno.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_backup(
    db: *mut freyja_db,
    dest: *const c_char,
    progress: freyja_progress,
    user: *mut c_void,
    err: *mut freyja_error,
) -> c_int {
    // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
    let err = unsafe { Output::optional(err) };
    database::reporting(db, err, |store| {
        // SAFETY: as above; and functions that are what they say.
        let (dest, progress) = unsafe { (arguments::path(dest)?, Progress::new(progress, user)) };
        store.backup(&dest, &mut |done, total| progress.tell(done, total))?;
        Ok(FREYJA_OK)
    })
}
