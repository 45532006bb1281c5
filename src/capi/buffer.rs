//! Buffers that belong to the caller: making them, and giving them back.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::arguments::Output;
use super::fork;
use super::guard;
use super::status::{code_of, freyja_status, freyja_status::*};
use crate::error::Result;
use crate::memory::buffer_pool::{Buffer, BufferPool, process_pool, process_pool_if_any};

/// Makes a buffer, of the same kind as those of freyja_get. Its content is anything. Fill it and store it with
/// freyja_put_buf, or give it back with freyja_free_buf; or use it for what you like.
///
/// @param size      bytes, from 0.
/// @param[out] buf  the buffer, aligned to 16 bytes; never NULL.
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_MEMORY.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_buf_alloc(size: usize, buf: *mut *mut c_void) -> c_int {
    // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
    answer(|| unsafe { hand_out(buf, |pool| pool.get(size)) })
}

/// Makes a buffer as freyja_buf_alloc does, with `size` bytes that are 0.
///
/// @param size      bytes, from 0.
/// @param[out] buf  the buffer, aligned to 16 bytes; never NULL.
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_MEMORY.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_buf_alloc_zeroed(size: usize, buf: *mut *mut c_void) -> c_int {
    // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
    answer(|| unsafe { hand_out(buf, |pool| pool.get_zeroed(size)) })
}

/// Gives a buffer back, once; any thread may do that, also after the store was closed. NULL does nothing. Any other
/// pointer that is not that of a buffer in use is refused: nothing happens but that freyja_stats counts it. A
/// buffer that a parent process got is not freed in the child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_free_buf(buf: *mut c_void) {
    if buf.is_null() {
        return;
    }
    // Without a handle there is nothing that a panic could mark, and this function has no status.
    let _ = guard::run(|| {
        if let Some(pool) = process_pool_if_any() {
            // SAFETY: the caller gives up the buffer, if it is one. The pool counts what it refuses.
            let _ = unsafe { pool.release(buf.cast()) };
        }
        Ok(FREYJA_OK)
    });
}

/// # Safety
/// `buf` is NULL or may be written to.
unsafe fn hand_out<'p>(
    buf: *mut *mut c_void,
    get: impl FnOnce(&'p BufferPool) -> Result<Buffer<'p>>,
) -> Result<freyja_status> {
    // SAFETY: as promised to this function.
    let buf = unsafe { Output::new(buf)? };
    buf.set(get(pool()?)?.into_raw().as_ptr().cast());
    Ok(FREYJA_OK)
}

/// The pool of the process, for who has not opened a store: a forked child must not use its parent's.
pub fn pool() -> Result<&'static BufferPool> {
    if let Some(pool) = process_pool_if_any() {
        return Ok(pool);
    }
    fork::watch()?;
    process_pool()
}

/// The status of a call without a handle.
pub fn answer(call: impl FnOnce() -> Result<freyja_status>) -> c_int {
    match guard::run(call) {
        Ok(status) => status as c_int,
        Err(error) => code_of(&error),
    }
}
