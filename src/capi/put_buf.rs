//! Puts that take a buffer over.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::arguments;
use super::database::writing;
use super::db::freyja_db;
use super::status::freyja_status::*;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::buffer_pool::{Refused, TakenOver, process_pool_if_any};

/// Stores the content of a buffer of freyja_buf_alloc, freyja_get or freyja_get_many under a key as freyja_put does, and
/// with FREYJA_OK gives the buffer back; with any other answer it stays the caller's, unchanged. The value is copied
/// once, to where it goes in the log. No other thread may write to the buffer or free it meanwhile; that such a free is
/// refused is all that happens.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes, not in the buffer.
/// @param buf           the buffer, from its beginning; `val_len` bytes of it are filled.
/// @param val_len       0 to FREYJA_MAX_VALUE_LEN, and no more than the buffer has.
/// @return FREYJA_OK; FREYJA_INVALID also if `buf` is not that of a buffer in use, or one that is shorter; otherwise as
///         freyja_put.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_put_buf(
    db: *mut freyja_db,
    key: *const c_void,
    key_len: usize,
    buf: *mut c_void,
    val_len: usize,
) -> c_int {
    writing(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let key = unsafe { arguments::key(key, key_len)? };
        // SAFETY: callers fill as much of a buffer as they say, and leave it alone meanwhile.
        let buffer = unsafe { take_over(buf, val_len)? };
        store.put(key, buffer.bytes())?;
        buffer.release();
        Ok(FREYJA_OK)
    })
}

/// # Safety
/// If `buf` is the address of a buffer, `length` bytes of it are filled and nobody writes to it while the value lives.
unsafe fn take_over(buf: *mut c_void, length: usize) -> Result<TakenOver<'static>> {
    let taken_over = match process_pool_if_any() {
        // SAFETY: the same promise.
        Some(pool) => unsafe { pool.take_over(buf.cast(), length) },
        None => Err(Refused::Foreign),
    };
    taken_over.map_err(|refused| {
        let message = match refused {
            Refused::TooShort(room) => {
                format!("the buffer has {room} bytes; {length} are to be stored")
            }
            _ => "the pointer is not that of a buffer in use: pass one of freyja_buf_alloc or freyja_get".into(),
        };
        Error::new(ErrorKind::Invalid, message)
    })
}
