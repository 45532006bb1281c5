//! Reading keys.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::arguments::{self, Output};
use super::database::reading;
use super::db::freyja_db;
use super::status::freyja_status::*;
use crate::memory::buffer_pool::process_pool;

/// Gets a copy of the value of a key. An empty value is FREYJA_OK with length 0 and a pointer that is not NULL.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
/// @param[out] val      the copy, aligned to 16 bytes; free it with freyja_free_buf.
/// @param[out] val_len  its length in bytes.
/// @return FREYJA_OK; FREYJA_NOT_FOUND; FREYJA_CORRUPT if the stored bytes are damaged; FREYJA_INVALID,
///         FREYJA_TOO_LARGE, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY; an errno.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_get(
    db: *mut freyja_db,
    key: *const c_void,
    key_len: usize,
    val: *mut *mut c_void,
    val_len: *mut usize,
) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let key = unsafe { arguments::key(key, key_len)? };
        // SAFETY: callers pass NULL or valid pointers.
        let (val, val_len) = unsafe { (Output::new(val)?, Output::new(val_len)?) };
        let pool = process_pool()?;
        let copy = |value: &[u8]| Ok((pool.copy_of(value)?, value.len()));
        let Some((copy, length)) = store.get_with(key, copy)?.transpose()? else {
            return Ok(FREYJA_NOT_FOUND);
        };
        val.set(copy.into_raw().as_ptr().cast());
        val_len.set(length);
        Ok(FREYJA_OK)
    })
}

/// Copies the value of a key into memory of the caller. If that is too small nothing is copied, and `val_len`
/// tells how much is needed; so a call with `cap` 0 asks for the length.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
/// @param buf, cap      where the value goes, and how many bytes fit; must not overlap the key.
/// @param[out] val_len  length of the value in bytes, written with FREYJA_OK and FREYJA_RANGE.
/// @return FREYJA_OK; FREYJA_RANGE if the value is longer than `cap`; otherwise as freyja_get.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_get_into(
    db: *mut freyja_db,
    key: *const c_void,
    key_len: usize,
    buf: *mut c_void,
    cap: usize,
    val_len: *mut usize,
) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let (key, buf) = unsafe { (arguments::key(key, key_len)?, arguments::room(buf, cap)?) };
        // SAFETY: callers pass NULL or a valid pointer.
        let val_len = unsafe { Output::new(val_len)? };
        let copy = |value: &[u8]| (buf.copy_from(value), value.len());
        let Some((fits, length)) = store.get_with(key, copy)? else {
            return Ok(FREYJA_NOT_FOUND);
        };
        val_len.set(length);
        Ok(if fits { FREYJA_OK } else { FREYJA_RANGE })
    })
}

/// Tells whether a key is there. The value is not looked at, unless the key seems to have expired, so damage to it goes
/// unnoticed.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
/// @return FREYJA_OK if it is there, FREYJA_NOT_FOUND if not; otherwise as freyja_get.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_exists(
    db: *mut freyja_db,
    key: *const c_void,
    key_len: usize,
) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let key = unsafe { arguments::key(key, key_len)? };
        let found = store.exists(key)?;
        Ok(if found { FREYJA_OK } else { FREYJA_NOT_FOUND })
    })
}

/// Counts the keys, among them those that have expired and are still stored.
///
/// @param[out] out  number of keys.
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_count(db: *mut freyja_db, out: *mut u64) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
        let out = unsafe { Output::new(out)? };
        out.set(store.count());
        Ok(FREYJA_OK)
    })
}
