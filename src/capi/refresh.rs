//! Bringing a store that was opened read-only up to date.
#![allow(unsafe_code)]

use std::ffi::c_int;

use super::database::writing;
use super::db::freyja_db;
use super::status::freyja_status::*;

/// Lets a store that was opened with FREYJA_READ_ONLY_STORE see what another process has written since it was opened or last refreshed:
/// everything up to some write, every batch whole or not at all. The writes may not be durable yet. While this runs, other
/// threads may see some of the writes before the others. With a store that is open for writing it does nothing.
///
/// Where compaction by the writer has taken away what this handle had not read yet, or what it keeps on the disk has become more than
/// the store, the store is read anew under the same handle: that takes as long as freyja_open, and until it is done as much memory again.
/// Iterators that had begun go on with what they had, and keep that in memory.
///
/// @return FREYJA_OK; FREYJA_FAILED if this handle cannot go on from where it is, so that the store is to be closed and opened
///         again: the store has lost, by a failure of its disk, what this handle saw; FREYJA_CORRUPT if records that were durable
///         are missing; FREYJA_INVALID,
///         FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY; an errno. What was seen before stays. freyja_failure tells more.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn freyja_refresh(db: *mut freyja_db) -> c_int {
    writing(db, |store| {
        store.refresh()?;
        Ok(FREYJA_OK)
    })
}
