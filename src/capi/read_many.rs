//! Reading several keys at once.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use super::arguments::{self, Output, OutputArray};
use super::database::reading;
use super::db::freyja_db;
use super::status::{code_of, freyja_status::*};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::buffer_pool::process_pool;
use crate::store::Values;

/// Gets the values of several keys, faster than one after the other. Keys and values are packed: each begins where
/// the one before ends, the first at 0.
///
/// Each batch that freyja_write writes meanwhile is seen whole or not at all. One key may be asked for more than
/// once. A value that cannot be read concerns its own key only.
///
/// @param keys           the keys, back to back.
/// @param key_ends       for each key where it ends, in bytes from `keys`.
/// @param count          number of keys.
/// @param[out] vals      all values that were found, back to back in the order of the keys, aligned to 16 bytes;
///                       free it with freyja_free_buf. Not NULL, even if there is no value.
/// @param[out] val_ends  for each key where its value ends, in bytes from the beginning of the values; where the
///                       one before ends if there is none.
/// @param[out] states    for each key FREYJA_OK; FREYJA_NOT_FOUND; FREYJA_CORRUPT; an errno.
/// @return FREYJA_OK if there is a state for every key; FREYJA_INVALID also if a key ends before it begins;
///         FREYJA_TOO_LARGE, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_FAILED, FREYJA_MEMORY; an errno. Then nothing
///         was written.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_get_many(
    db: *mut freyja_db,
    keys: *const c_void,
    key_ends: *const usize,
    count: usize,
    vals: *mut *mut c_void,
    val_ends: *mut usize,
    states: *mut c_int,
) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL or as many keys as they say (header, convention 3).
        let keys = unsafe { arguments::packed_keys(keys, key_ends, count)? };
        // SAFETY: callers pass NULL or a valid pointer, and arrays of as many elements as there are keys.
        let (vals, val_ends, states) = unsafe {
            (
                Output::new(vals)?,
                OutputArray::new(val_ends, count)?,
                OutputArray::new(states, count)?,
            )
        };
        store.get_many_with(keys, |values| hand_out(values, vals, val_ends, states))??;
        Ok(FREYJA_OK)
    })
}

fn hand_out(
    values: &Values<'_>,
    vals: Output<*mut c_void>,
    mut val_ends: OutputArray<usize>,
    mut states: OutputArray<c_int>,
) -> Result<()> {
    let total = values
        .total_len()
        .ok_or_else(|| Error::new(ErrorKind::TooLarge, "the values are too long together"))?;
    let mut buffer = process_pool()?.get(total)?;
    let mut rest = buffer.content();
    let mut end = 0;
    for value in values.iter() {
        let (state, value) = match value {
            Ok(Some(value)) => (FREYJA_OK as c_int, value),
            Ok(None) => (FREYJA_NOT_FOUND as c_int, &[][..]),
            Err(error) => (code_of(&error), &[][..]),
        };
        rest = fill(rest, value);
        end += value.len();
        val_ends.push(end);
        states.push(state);
    }
    vals.set(buffer.into_raw().as_ptr().cast());
    Ok(())
}

/// Copies `value` to the beginning of `room`, which is long enough; answers what is left of it.
fn fill<'b>(room: &'b mut [MaybeUninit<u8>], value: &[u8]) -> &'b mut [MaybeUninit<u8>] {
    let (place, rest) = room.split_at_mut(value.len());
    // SAFETY: the place is as long as the value, and is nobody else's, so they do not overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(value.as_ptr(), place.as_mut_ptr().cast(), value.len());
    }
    rest
}
