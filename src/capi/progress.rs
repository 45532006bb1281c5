//! Telling a caller how far a long call has come.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

/// Told by a long call how far it has come: `done` bytes of `total`. Anything but 0 as the answer cancels the call. It runs in the
/// thread of the call; it may use the store, but must neither close it nor leave other than by returning.
pub type freyja_progress =
    Option<unsafe extern "C" fn(user: *mut c_void, done: u64, total: u64) -> c_int>;

/// A caller's function and what it is told besides.
pub struct Progress {
    function: freyja_progress,
    user: *mut c_void,
}

impl Progress {
    /// The `function`, which is called with `user`; none if it is NULL.
    ///
    /// # Safety
    /// `function` is NULL or what its type says, and may be called with `user` until the value is dropped.
    pub unsafe fn new(function: freyja_progress, user: *mut c_void) -> Self {
        Self { function, user }
    }

    /// Tells the caller; whether the call is to go on.
    pub fn tell(&self, done: u64, total: u64) -> bool {
        let Some(function) = self.function else {
            return true;
        };
        // SAFETY: whoever made this value promised that the function may be called with it.
        unsafe { function(self.user, done, total) == 0 }
    }
}
