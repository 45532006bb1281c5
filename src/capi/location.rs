//! Where a key's record lies.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::arguments;
use super::database::reading;
use super::db::freyja_db;
use super::status::freyja_status::*;
use super::structs::{Growing, Place};
use crate::store::RecordLocation;

/// Where the newest record of a key lies. The place may change at any time; it is for tools and tests.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct freyja_location {
    /// Bytes of this struct that the library knows.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Number of the segment; its file is called after it, in 16 hexadecimal digits.
    pub segment_id: u64,
    /// Where the record begins in the file, in bytes.
    pub offset: u64,
    /// Length of the record in the file, in bytes.
    pub length: u64,
    /// Sequence number of the write: later writes have higher ones.
    pub sequence: u64,
}

// SAFETY: two `u32` and four `u64` leave no padding.
unsafe impl Growing for freyja_location {
    const FIRST_SIZE: usize = 40;
    const NAME: &'static str = "freyja_location";
}

const _: () = assert!(size_of::<freyja_location>() == 40);

impl From<RecordLocation> for freyja_location {
    fn from(location: RecordLocation) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            reserved: 0,
            segment_id: location.segment_id,
            offset: location.offset,
            length: location.length,
            sequence: location.sequence,
        }
    }
}

/// Tells where the newest record of a key lies.
///
/// @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
/// @param[out] out      the location.
/// @param struct_size   sizeof(freyja_location).
/// @return FREYJA_OK; FREYJA_NOT_FOUND; otherwise as freyja_get.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_locate(
    db: *mut freyja_db,
    key: *const c_void,
    key_len: usize,
    out: *mut freyja_location,
    struct_size: usize,
) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let (key, out) = unsafe { (arguments::key(key, key_len)?, Place::new(out, struct_size)?) };
        let Some(location) = store.locate(key)? else {
            return Ok(FREYJA_NOT_FOUND);
        };
        out.set(&location.into());
        Ok(FREYJA_OK)
    })
}
