//! Metrics as text.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

use super::arguments::{self, Output};
use super::database::reading;
use super::db::freyja_db;
use super::pinned;
use super::status::freyja_status::*;

/// Writes all that freyja_stats, freyja_pool_stats, freyja_pool_class_stats and freyja_memory_pressure tell as text for Prometheus, in
/// its format 0.0.4; docs/monitoring.md tells more. Metrics of the store are labelled with its directory; those of the buffer
/// pool and of pins are of the whole process. Some 15,000 bytes of UTF-8, not ended by NUL.
///
/// @param[out] buf  gets the text if it fits; may be NULL if cap is 0.
/// @param cap       bytes that fit there.
/// @param[out] len  length of the text; stored with FREYJA_RANGE as well. The next text may be longer.
/// @return FREYJA_OK; FREYJA_RANGE if cap is too small; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_metrics(
    db: *mut freyja_db,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say, and a valid pointer (header, convention 3).
        let (room, len) = unsafe { (arguments::room(buf.cast(), cap)?, Output::new(len)?) };
        let text = store.metrics(pinned::count())?;
        let fits = room.copy_from(text.as_bytes());
        len.set(text.len());
        Ok(if fits { FREYJA_OK } else { FREYJA_RANGE })
    })
}
