//! Opening and closing.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

use super::arguments::{self, Output};
use super::database;
use super::error::{freyja_error, report};
use super::guard;
use super::options::{self, freyja_options};
use super::status::{code_of, freyja_status::*};

/// An open store. The pointer is a handle, not an address: it is checked at every call, and one that has been
/// closed answers FREYJA_CLOSED. Any number of threads may use a handle at the same time.
pub struct freyja_db {
    _private: [u8; 0],
}

/// Opens the store in the directory `path`, by default creating it if it does not exist.
///
/// A store is open for writing once at a time, whether in this process or another. Any number of handles, in any processes, may
/// read it meanwhile: opened with FREYJA_READ_ONLY_STORE they see it as it was then, and as it is when they call freyja_refresh.
/// Recovery after a crash happens in here; freyja_stats tells what it found.
///
/// @param path      path of the directory, ended by NUL.
/// @param o         options, or NULL for the defaults.
/// @param[out] out  the handle; close it with freyja_close.
/// @param[out] err  details of a failure, written only then; may be NULL.
/// @return FREYJA_OK; FREYJA_BUSY if the store is open elsewhere; FREYJA_NOT_FOUND, FREYJA_EXISTS as the
///         flags demand; FREYJA_VERSION, FREYJA_CORRUPT, FREYJA_INVALID, FREYJA_UNSUPPORTED, FREYJA_MEMORY;
///         an errno.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_open(
    path: *const c_char,
    o: *const freyja_options,
    out: *mut *mut freyja_db,
    err: *mut freyja_error,
) -> c_int {
    let outcome = guard::run(|| {
        // SAFETY: callers pass NULL or valid pointers (header, convention 3).
        let (path, out) = unsafe { (arguments::path(path)?, Output::new(out)?) };
        // SAFETY: as above.
        let options = unsafe { options::from_caller(o)? };
        out.set(database::open(&path, &options)?);
        Ok(FREYJA_OK)
    });
    match outcome {
        Ok(status) => status as c_int,
        // SAFETY: callers pass NULL or a valid pointer.
        Err(error) => report(&error, unsafe { Output::optional(err) }),
    }
}

/// Closes a store: what was written is made durable, the directory's lock is released, and the handle becomes
/// invalid whatever the answer. Calls that other threads are in end safely, some with FREYJA_CLOSED.
/// Closing NULL does nothing.
///
/// @return FREYJA_OK; FREYJA_CLOSED if the handle was closed before; FREYJA_FORKED in a child process, where
///         nothing is done; FREYJA_FAILED or an errno if not everything became durable.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_close(db: *mut freyja_db) -> c_int {
    if db.is_null() {
        return FREYJA_OK as c_int;
    }
    let outcome = guard::run(|| {
        database::close(db)?;
        Ok(FREYJA_OK)
    });
    outcome.map_or_else(|error| code_of(&error), |status| status as c_int)
}
