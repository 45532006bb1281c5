//! Batches: filling them.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::arguments::{self, Output};
use super::guard;
use super::staging::{self, changing};
use super::status::{code_of, freyja_status::*};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{BatchProfile, Savepoint};

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
        out.set(staging::make(None, None)?);
        Ok(FREYJA_OK)
    });
    outcome.map_or_else(|error| code_of(&error), |status| status as c_int)
}

/// How large a batch will be.
#[repr(C)]
pub enum freyja_batch_profile {
    /// As large as most batches of the process were. Without a limit but FREYJA_MAX_BATCH_BYTES.
    FREYJA_BATCH_ADAPTIVE = 0,
    /// Less than 10 KiB. Takes 4 KiB at first, and has a limit of 64 KiB unless it is told another.
    FREYJA_BATCH_TINY = 1,
    /// Less than 100 KiB. Takes 32 KiB at first, limit 512 KiB.
    FREYJA_BATCH_SMALL = 2,
    /// Less than 1 MiB. Takes 256 KiB at first, limit 4 MiB.
    FREYJA_BATCH_MEDIUM = 3,
    /// Less than 10 MiB. Takes 2 MiB at first, limit 32 MiB.
    FREYJA_BATCH_LARGE = 4,
    /// More. Takes 16 MiB at first, limit 256 MiB.
    FREYJA_BATCH_HUGE = 5,
}

/// Makes an empty batch of which it is known how large it will be, or that must not be larger.
///
/// @param profile      a value of freyja_batch_profile: how much memory it takes with its first operation. More comes as it is
///                     needed, bit by bit.
/// @param limit_bytes  what the batch may count, as for FREYJA_MAX_BATCH_BYTES, which it never exceeds: an operation that would
///                     take it beyond is answered FREYJA_TOO_LARGE, one that just fits is not. 0 for the limit of the profile.
/// @param[out] out     the batch; free it with freyja_batch_free.
/// @return FREYJA_OK; FREYJA_INVALID also if the profile has no meaning; FREYJA_MEMORY.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_batch_new_ex(
    profile: u32,
    limit_bytes: u64,
    out: *mut *mut freyja_batch,
) -> c_int {
    let outcome = guard::run(|| {
        // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
        let out = unsafe { Output::new(out)? };
        let limit_bytes = Some(limit_bytes).filter(|bytes| *bytes > 0);
        out.set(staging::make(profile_of(profile)?, limit_bytes)?);
        Ok(FREYJA_OK)
    });
    outcome.map_or_else(|error| code_of(&error), |status| status as c_int)
}

/// The profile with a number of the header; `None` for the adaptive one.
fn profile_of(number: u32) -> Result<Option<BatchProfile>> {
    if number == freyja_batch_profile::FREYJA_BATCH_ADAPTIVE as u32 {
        return Ok(None);
    }
    let mut profiles = BatchProfile::ALL.into_iter();
    let profile = profiles.find(|profile| *profile as u32 == number);
    if profile.is_none() {
        let message = format!("{number} is no freyja_batch_profile");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(profile)
}

// The profiles' numbers are those of the header.
const _: () = {
    use freyja_batch_profile::*;
    assert!(BatchProfile::Tiny as u32 == FREYJA_BATCH_TINY as u32);
    assert!(BatchProfile::Small as u32 == FREYJA_BATCH_SMALL as u32);
    assert!(BatchProfile::Medium as u32 == FREYJA_BATCH_MEDIUM as u32);
    assert!(BatchProfile::Large as u32 == FREYJA_BATCH_LARGE as u32);
    assert!(BatchProfile::Huge as u32 == FREYJA_BATCH_HUGE as u32);
};

/// Adds a put to a batch: a copy of key and value. If it cannot be added, the batch stays as it was.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
/// @param val, val_len  0 to FREYJA_MAX_VALUE_LEN bytes.
/// @return FREYJA_OK; FREYJA_TOO_LARGE also if the batch would exceed its limit, at most FREYJA_MAX_BATCH_BYTES; FREYJA_INVALID,
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

/// Empties a batch and forgets its savepoints. At most 1 MiB of its memory is kept for its next use.
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
