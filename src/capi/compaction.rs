//! Compaction and maintenance.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::arguments::Output;
use super::database;
use super::db::freyja_db;
use super::error::freyja_error;
use super::progress::{Progress, freyja_progress};
use super::status::freyja_status::*;

/// Gives back the space of deleted, superseded and expired pairs: merges all segment files for which that pays, beside reads and
/// writes. By default the store does as much as is needed in the background; this does all at once. What it has done stays
/// done, whatever ends it.
///
/// @param db        the store.
/// @param progress  told after every merge how many of the bytes that are worth merging it has come past, may cancel; may be
///                  NULL.
/// @param user      passed to `progress`.
/// @param[out] err  details of a failure, written only then; may be NULL.
/// @return FREYJA_OK; FREYJA_CORRUPT if a segment file is damaged, which is left as it is, after all others were dealt with;
///         ENOSPC if there is no room for a merge, which changes nothing; ECANCELED if `progress` cancelled;
///         FREYJA_CLOSED, FREYJA_READ_ONLY, FREYJA_FAILED, FREYJA_MEMORY; another errno.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_compact(
    db: *mut freyja_db,
    progress: freyja_progress,
    user: *mut c_void,
    err: *mut freyja_error,
) -> c_int {
    // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
    let err = unsafe { Output::optional(err) };
    database::reporting(db, err, |store| {
        // SAFETY: callers pass NULL or a function that is what its type says.
        let progress = unsafe { Progress::new(progress, user) };
        store.compact(|it| {
            let total = it.bytes_wanted.max(1);
            progress.tell(it.bytes_replaced.min(total), total)
        })?;
        Ok(FREYJA_OK)
    })
}

/// Does a bounded part of the work that is otherwise done in the background: for programs that set background_threads to 0.
/// Syncs when the interval has passed, makes the next segment file when an eighth of the present one is used, merges segment files
/// once if there is too much garbage, brings the image of the index up to date. It takes as long as reading and writing one segment file.
///
/// @return FREYJA_OK if more is to be done at once; FREYJA_DONE if not; FREYJA_CLOSED, FREYJA_READ_ONLY, FREYJA_FAILED,
///         FREYJA_MEMORY; an errno.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn freyja_maintain(db: *mut freyja_db) -> c_int {
    database::writing(db, |store| {
        Ok(match store.maintain()? {
            true => FREYJA_OK,
            false => FREYJA_DONE,
        })
    })
}
