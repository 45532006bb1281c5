//! Buffers that belong to the caller.
#![allow(unsafe_code)]

use std::ffi::c_void;

use super::guard;
use super::status::freyja_status::*;
use crate::memory::buffer_pool::process_pool_if_any;

/// Frees a buffer that a function of Freyja handed out. NULL, a pointer that did not come from Freyja, and
/// one that was freed before are recognised without touching what they point to, and ignored; freyja_stats
/// counts them as buffers_refused. (A pointer freed before whose memory has been handed out again is
/// not recognised: it frees the new buffer.) Works after the store is closed, and from any thread.
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
