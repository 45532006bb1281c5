//! Writing keys, and making writes durable.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::arguments;
use super::batch::freyja_batch;
use super::database::writing;
use super::db::freyja_db;
use super::staging;
use super::status::freyja_status::*;
use crate::store::PackedOperations;

/// Stores a value under a key, replacing the value that was there. When it returns FREYJA_OK the value is
/// visible to all threads and as durable as the store's sync mode says. With any other answer the old value
/// stands, unless the answer is FREYJA_FAILED or an errno of a failed sync: then either may be there after the
/// store is opened again.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
/// @param val, val_len  0 to FREYJA_MAX_VALUE_LEN bytes.
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_TOO_LARGE, FREYJA_READ_ONLY, FREYJA_CLOSED, FREYJA_FORKED,
///         FREYJA_MEMORY; FREYJA_FAILED after an earlier failure; an errno, such as ENOSPC.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_put(
    db: *mut freyja_db,
    key: *const c_void,
    key_len: usize,
    val: *const c_void,
    val_len: usize,
) -> c_int {
    writing(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let (key, value) = unsafe {
            (
                arguments::key(key, key_len)?,
                arguments::value(val, val_len)?,
            )
        };
        store.put(key, value)?;
        Ok(FREYJA_OK)
    })
}

/// Stores a value under a key as freyja_put does, until a moment from which on every read answers as if the key were not
/// there. A moment that has passed is no error: what was under the key is gone. freyja_count counts the key until it is
/// written again, deleted or compacted away. A later put of the key replaces the expiry along with the value.
///
/// The moment is compared with the system's clock at every read. A key that was found expired stays so if the clock steps
/// back, also after the store was closed and opened again; docs/c-api.md tells what a crash may forget.
///
/// @param key, key_len   0 to FREYJA_MAX_KEY_LEN bytes.
/// @param val, val_len   0 to FREYJA_MAX_VALUE_LEN bytes.
/// @param expires_at_ms  the moment in milliseconds since 1970-01-01 UTC; 0 for never.
/// @return as freyja_put.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_put_ex(
    db: *mut freyja_db,
    key: *const c_void,
    key_len: usize,
    val: *const c_void,
    val_len: usize,
    expires_at_ms: u64,
) -> c_int {
    writing(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let (key, value) = unsafe {
            (
                arguments::key(key, key_len)?,
                arguments::value(val, val_len)?,
            )
        };
        store.put_expiring(key, value, expires_at_ms)?;
        Ok(FREYJA_OK)
    })
}

/// Removes a key. If it is not there, nothing is written. A key that has expired is not there, but is removed all the same,
/// so that no clock brings it back.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
/// @return FREYJA_OK; FREYJA_NOT_FOUND; otherwise as freyja_put.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_delete(
    db: *mut freyja_db,
    key: *const c_void,
    key_len: usize,
) -> c_int {
    writing(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let key = unsafe { arguments::key(key, key_len)? };
        let found = store.delete(key)?;
        Ok(if found { FREYJA_OK } else { FREYJA_NOT_FOUND })
    })
}

/// Writes the operations of a batch in order: whatever happens, all of them take place or none. freyja_get_many sees
/// all or none; other reads may see some of them shortly before the others. Of several operations on one key the
/// last one counts. The batch stays as it is, and may be written again, and to another store. An empty one writes
/// nothing.
///
/// @return FREYJA_OK; FREYJA_BUSY if another thread is using the batch; FREYJA_CLOSED for either handle; otherwise
///         as freyja_put.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn freyja_write(db: *mut freyja_db, batch: *mut freyja_batch) -> c_int {
    writing(db, |store| {
        staging::reading(batch, |batch| store.write(batch))?;
        Ok(FREYJA_OK)
    })
}

/// Writes puts and deletions that lie packed in one buffer as freyja_write does those of a batch: all of them take place or
/// none. It takes one call where a batch takes one for each, and copies nothing but into the log.
///
/// An operation begins with the key's length and the value's, both in 32 bits; then follow, if the pair expires, the moment in
/// milliseconds since 1970-01-01 UTC in 64 bits, the bytes of the key, and those of the value. The next one follows at once.
/// All numbers are little-endian, and need not be aligned. FREYJA_PACKED_DELETES added to the key's length makes it a deletion,
/// whose value has the length 0, FREYJA_PACKED_EXPIRES a put of a pair that expires; 0 is no moment and means never.
///
/// @param ops, ops_len  the operations, back to back; no other thread changes them meanwhile. With 0 bytes nothing is
///                      written.
/// @return FREYJA_OK; FREYJA_INVALID also if an operation goes beyond the end of the buffer, or a deletion has a value or
///         expires; FREYJA_TOO_LARGE also if they count more than FREYJA_MAX_BATCH_BYTES; otherwise as freyja_put.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_write_packed(
    db: *mut freyja_db,
    ops: *const c_void,
    ops_len: usize,
) -> c_int {
    writing(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let packed = unsafe { arguments::operations(ops, ops_len)? };
        store.write_packed(PackedOperations::parse(packed)?)?;
        Ok(FREYJA_OK)
    })
}

/// Makes everything that was written before the call durable, whatever the sync mode.
///
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED; FREYJA_FAILED after an earlier failure; an
///         errno, after which nothing more can be written through this handle.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn freyja_sync(db: *mut freyja_db) -> c_int {
    writing(db, |store| {
        store.sync()?;
        Ok(FREYJA_OK)
    })
}
