//! Buffers that belong to the caller.
#![allow(unsafe_code)]

use std::ffi::c_void;

use super::guard;
use super::status::freyja_status::*;
use crate::memory::buffer_pool::process_pool_if_any;

/// Frees a buffer that a function of Freyja handed out, from any thread, also after the store is closed. NULL is
/// ignored.
///
/// A pointer that did not come from Freyja, that points into a buffer, or that was freed before is recognised
/// without touching what it points to; nothing happens, and freyja_stats counts it as buffers_refused. Only a
/// pointer freed before whose memory has been handed out again is not recognised: it frees the new buffer.
///
/// @param buf  the buffer, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_free_buf(buf: *mut c_void) {
    if buf.is_null() {
        return;
    }
    let _ = guard::run(|| {
        if let Some(pool) = process_pool_if_any() {
            // SAFETY: the caller gives up the buffer, if it is one. The pool counts what it refuses.
            let _ = unsafe { pool.release(buf.cast()) };
        }
        Ok(FREYJA_OK)
    });
}
