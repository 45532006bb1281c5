//! Reading values where they lie.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::arguments::{self, Output};
use super::database::reading;
use super::db::freyja_db;
use super::guard;
use super::pin_table::PinTable;
use super::status::{code_of, freyja_status::*};
use crate::store::PinnedValue;

/// Keeps a value readable. The pointer is a handle, not an address: it is checked when it is released, and one that has been
/// released answers FREYJA_CLOSED. Any thread may release it.
pub struct freyja_pin {
    _private: [u8; 0],
}

/// The pins of this process.
static PINS: PinTable<PinnedValue> = PinTable::new();

/// Gets the value of a key where it lies, without a copy. With FREYJA_READ_PREAD it is a copy after all. Its bytes are
/// checked as those of freyja_get.
///
/// The value stays readable, and as it is, until freyja_unpin, whatever becomes of the key and the store: overwritten, compacted,
/// closed. Until then the memory mapping of its whole segment file stays, and if that file goes, its space on the disk as well.
/// So release pins soon; freyja_stats tells how many there are.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
/// @param[out] pin      release it with freyja_unpin.
/// @param[out] val      the value, not aligned; not to be written to. Not NULL, even if it is empty.
/// @param[out] val_len  its length in bytes.
/// @return as freyja_get; FREYJA_MEMORY also if there are a million pins.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_get_pinned(
    db: *mut freyja_db,
    key: *const c_void,
    key_len: usize,
    pin: *mut *mut freyja_pin,
    val: *mut *const c_void,
    val_len: *mut usize,
) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let key = unsafe { arguments::key(key, key_len)? };
        // SAFETY: callers pass NULL or valid pointers.
        let (pin, val, val_len) =
            unsafe { (Output::new(pin)?, Output::new(val)?, Output::new(val_len)?) };
        let Some(pinned) = store.get_pinned(key)? else {
            return Ok(FREYJA_NOT_FOUND);
        };
        let (data, length) = (pinned.bytes().as_ptr(), pinned.bytes().len());
        pin.set(std::ptr::without_provenance_mut(PINS.insert(pinned)?));
        val.set(data.cast());
        val_len.set(length);
        Ok(FREYJA_OK)
    })
}

/// Releases a pin; its value must not be read any more. Releasing NULL does nothing.
///
/// @return FREYJA_OK; FREYJA_CLOSED if it was released before; FREYJA_INVALID, FREYJA_FORKED.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_unpin(pin: *mut freyja_pin) -> c_int {
    if pin.is_null() {
        return FREYJA_OK as c_int;
    }
    let outcome = guard::run(|| {
        drop(PINS.take(pin.addr())?);
        Ok(FREYJA_OK)
    });
    outcome.map_or_else(|error| code_of(&error), |status| status as c_int)
}

/// How many values are pinned in this process.
pub fn count() -> u64 {
    PINS.held()
}

/// To be called in the child after `fork`.
pub fn forget_in_child() {
    PINS.forget_in_child();
}
