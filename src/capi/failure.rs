//! The failure that a handle remembers.
#![allow(unsafe_code)]

use std::ffi::c_int;

use super::arguments::Output;
use super::database;
use super::db::freyja_db;
use super::error::freyja_error;
use super::guard;
use super::status::{code_of, freyja_status::*};

/// Tells the first failure of a handle: a failed write or sync, damage that opening or reading met with, or a
/// caught defect. After a failed write or sync, writing calls answer FREYJA_FAILED and reads go on; damage costs only
/// the keys concerned. Mistakes of the caller and a full disk are no failures of the handle.
///
/// @param[out] out  the failure, written only if there was one.
/// @return FREYJA_OK if there was one, FREYJA_NOT_FOUND if not; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_failure(db: *mut freyja_db, out: *mut freyja_error) -> c_int {
    let outcome = guard::run(|| {
        // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
        let out = unsafe { Output::new(out)? };
        let Some(failure) = database::failure(db)? else {
            return Ok(FREYJA_NOT_FOUND);
        };
        out.set((&failure).into());
        Ok(FREYJA_OK)
    });
    outcome.map_or_else(|error| code_of(&error), |status| status as c_int)
}
