//! How the stores tell of failures.

use std::ffi::{CStr, c_char};

/// Ends the benchmark if `error`, as LevelDB and RocksDB fill it in, is a text.
#[inline(always)]
pub fn check_text(doing: &str, error: *const c_char) {
    if !error.is_null() {
        refuse(doing, error);
    }
}

#[cold]
fn refuse(doing: &str, error: *const c_char) -> ! {
    // SAFETY: the libraries answer with a NUL-terminated text.
    let text = unsafe { CStr::from_ptr(error) };
    panic!("{doing}: {}", text.to_string_lossy());
}
