//! Batches: filling them.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::arguments::{self, Output};
use super::guard;
use super::staging::{self, changing};
use super::status::{code_of, freyja_status::*};
use crate::store::Savepoint;

/// Operations to be written together by freyja_write. It belongs to no store. The pointer is a handle, not an
/// address: it is checked at every call, and one that has been freed answers FREYJA_CLOSED. A batch is used by one
/// thread at a time, whichever; a second one that tries meanwhile is answered FREYJA_BUSY.
pub struct freyja_batch {
    _private: [u8; 0],
}

/// Makes an empty batch.
///
/// @param[out] out  the batch; free it with freyja_batch_free.
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_MEMORY.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_batch_new(out: *mut *mut freyja_batch) -> c_int {
    let outcome = guard::run(|| {
        // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
        let out = unsafe { Output::new(out)? };
        out.set(staging::make()?);
        Ok(FREYJA_OK)
    });
    outcome.map_or_else(|error| code_of(&error), |status| status as c_int)
}

/// Adds a put to a batch: a copy of key and value. If it cannot be added, the batch stays as it was.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
/// @param val, val_len  0 to FREYJA_MAX_VALUE_LEN bytes.
/// @return FREYJA_OK; FREYJA_TOO_LARGE also if the batch would exceed FREYJA_MAX_BATCH_BYTES; FREYJA_INVALID,
///         FREYJA_BUSY, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_batch_put(
    batch: *mut freyja_batch,
    key: *const c_void,
    key_len: usize,
    val: *const c_void,
    val_len: usize,
) -> c_int {
    changing(batch, |batch| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let (key, value) = unsafe {
            (
                arguments::key(key, key_len)?,
                arguments::value(val, val_len)?,
            )
        };
        batch.put(key, value)?;
        Ok(FREYJA_OK)
    })
}

/// Adds a put of a pair that expires to a batch, as freyja_batch_put adds one that does not.
///
/// @param key, key_len   0 to FREYJA_MAX_KEY_LEN bytes.
/// @param val, val_len   0 to FREYJA_MAX_VALUE_LEN bytes.
/// @param expires_at_ms  as for freyja_put_ex: the moment in milliseconds since 1970-01-01 UTC; 0 for never.
/// @return as freyja_batch_put.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_batch_put_ex(
    batch: *mut freyja_batch,
    key: *const c_void,
    key_len: usize,
    val: *const c_void,
    val_len: usize,
    expires_at_ms: u64,
) -> c_int {
    changing(batch, |batch| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let (key, value) = unsafe {
            (
                arguments::key(key, key_len)?,
                arguments::value(val, val_len)?,
            )
        };
        batch.put_expiring(key, value, expires_at_ms)?;
        Ok(FREYJA_OK)
    })
}

/// Adds a deletion to a batch, of a key that may be there or not when the batch is written.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
/// @return as freyja_batch_put.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_batch_delete(
    batch: *mut freyja_batch,
    key: *const c_void,
    key_len: usize,
) -> c_int {
    changing(batch, |batch| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let key = unsafe { arguments::key(key, key_len)? };
        batch.delete(key)?;
        Ok(FREYJA_OK)
    })
}

/// Empties a batch and forgets its savepoints. Some of its memory is kept for its next use.
///
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_BUSY, FREYJA_CLOSED, FREYJA_FORKED.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_batch_clear(batch: *mut freyja_batch) -> c_int {
    changing(batch, |batch| {
        batch.clear();
        Ok(FREYJA_OK)
    })
}

/// Counts the operations in a batch.
///
/// @param[out] out  number of operations.
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_BUSY, FREYJA_CLOSED, FREYJA_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_batch_count(batch: *mut freyja_batch, out: *mut u64) -> c_int {
    changing(batch, |batch| {
        // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
        let out = unsafe { Output::new(out)? };
        out.set(batch.len() as u64);
        Ok(FREYJA_OK)
    })
}

/// Remembers what is in a batch, for freyja_batch_rollback_to. Savepoints nest and cost little.
///
/// @param[out] out  number of the savepoint, which no other one of this batch has or will have.
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_BUSY, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_batch_savepoint(batch: *mut freyja_batch, out: *mut u64) -> c_int {
    changing(batch, |batch| {
        // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
        let out = unsafe { Output::new(out)? };
        out.set(batch.savepoint()?.into());
        Ok(FREYJA_OK)
    })
}

/// Takes out of a batch what was added since a savepoint. The savepoint stays, later ones are forgotten.
///
/// @param savepoint  what freyja_batch_savepoint stored.
/// @return FREYJA_OK; FREYJA_INVALID also if the batch has no such savepoint, or has forgotten it; FREYJA_BUSY,
///         FREYJA_CLOSED, FREYJA_FORKED.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn freyja_batch_rollback_to(batch: *mut freyja_batch, savepoint: u64) -> c_int {
    changing(batch, |batch| {
        batch.rollback_to(Savepoint::from(savepoint))?;
        Ok(FREYJA_OK)
    })
}

/// Frees a batch. Freeing NULL does nothing. A call that another thread is in ends safely.
///
/// @return FREYJA_OK; FREYJA_CLOSED if it was freed before; FREYJA_INVALID, FREYJA_FORKED.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_batch_free(batch: *mut freyja_batch) -> c_int {
    if batch.is_null() {
        return FREYJA_OK as c_int;
    }
    let outcome = guard::run(|| {
        staging::free(batch)?;
        Ok(FREYJA_OK)
    });
    outcome.map_or_else(|error| code_of(&error), |status| status as c_int)
}
