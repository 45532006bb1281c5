//! Going over all pairs.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::arguments::{self, Output, PairRoom};
use super::database::reading;
use super::db::freyja_db;
use super::exclusive::ExclusiveTable;
use super::guard;
use super::status::{code_of, freyja_status, freyja_status::*};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Iter, IterOptions, Store};

/// Goes over the pairs of a store. The pointer is a handle, not an address: it is checked at every call, and one that has
/// been freed answers FREYJA_CLOSED, as does one whose store was closed. An iterator is used by one thread at a time,
/// whichever; a second one that tries meanwhile is answered FREYJA_BUSY.
pub struct freyja_iter {
    _private: [u8; 0],
}

/// Bytes that belong to an iterator.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct freyja_slice {
    /// Where they begin; not NULL, even if there are none. Not aligned.
    pub data: *const c_void,
    /// How many they are.
    pub len: usize,
}

/// What stands before each pair that freyja_iter_next_batch stores: then comes the key, and right behind it the value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct freyja_pair {
    /// Length of the key in bytes.
    pub key_len: u32,
    /// Length of the value in bytes.
    pub val_len: u32,
}

const _: () = assert!(size_of::<freyja_pair>() == PairRoom::ALIGNMENT);

/// Flags of freyja_iter_new_ex.
#[repr(C)]
pub enum freyja_iter_flag {
    /// Leave out the values, which are empty then. Keys in memory are given without reading the disk, unless pairs that
    /// expire were written to the same segment file; other keys are read without their values.
    FREYJA_ITER_KEYS_ONLY = 1,
}

use freyja_iter_flag::*;

static ITERATORS: ExclusiveTable<Iter, 3> = ExclusiveTable::new("iterator");

/// Makes an iterator over all pairs of a store, in no particular order, before the first.
///
/// Each key that is in the store from the first step to the last comes exactly once, with a value that it had meanwhile. A
/// key that is put or deleted on the way comes once or not at all. The operations of a batch may be seen in part. Writers
/// are not held up, and may be the same thread. The iterator takes about 16 MiB of memory at most, however large the store
/// is. Until it is freed or done, segment files that compaction has removed may keep their space on the disk.
///
/// @param[out] out  the iterator; free it with freyja_iter_free.
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_iter_new(db: *mut freyja_db, out: *mut *mut freyja_iter) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
        make(store, IterOptions::default(), unsafe { Output::new(out)? })
    })
}

/// Makes an iterator as freyja_iter_new does, but not over everything, or with another amount of memory.
///
/// @param prefix, prefix_len  only keys that begin with these bytes, 0 to FREYJA_MAX_KEY_LEN; nothing is read for other
///                            keys that are in memory.
/// @param flags               0 or FREYJA_ITER_KEYS_ONLY.
/// @param memory              about how many bytes of memory the iterator may take; 0 for 16 MiB. It goes through the
///                            segment files once for every 16 million keys if they have at most 128 * memory bytes,
///                            else also once for every memory / 32 keys behind 64 * memory bytes: more is worth while
///                            where they do not fit into RAM.
/// @param[out] out            the iterator; free it with freyja_iter_free.
/// @return as freyja_iter_new; FREYJA_TOO_LARGE for a prefix that no key can have; FREYJA_INVALID for unknown flags.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_iter_new_ex(
    db: *mut freyja_db,
    prefix: *const c_void,
    prefix_len: usize,
    flags: u32,
    memory: usize,
    out: *mut *mut freyja_iter,
) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let prefix = unsafe { arguments::key(prefix, prefix_len)? };
        // SAFETY: callers pass NULL or a valid pointer.
        let out = unsafe { Output::new(out)? };
        let known = FREYJA_ITER_KEYS_ONLY as u32;
        if flags & !known != 0 {
            let message = format!("flags {flags:#x} of an iterator are not known");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut copy = Vec::new();
        let reserved = copy.try_reserve_exact(prefix.len());
        reserved.map_err(|_| Error::memory("the prefix of an iterator"))?;
        copy.extend_from_slice(prefix);
        let options = IterOptions {
            prefix: copy,
            keys_only: flags & known != 0,
            memory,
        };
        make(store, options, out)
    })
}

fn make(
    store: &Store,
    options: IterOptions,
    out: Output<*mut freyja_iter>,
) -> Result<freyja_status> {
    let handle = ITERATORS.make(store.iter(options)?)?;
    out.set(std::ptr::without_provenance_mut(handle));
    Ok(FREYJA_OK)
}

/// Goes on to the next pair. Its bytes are checked. They belong to the iterator, and stay until the next call with it.
///
/// @param[out] key  the key.
/// @param[out] val  the value; may be NULL if it is not wanted.
/// @return FREYJA_OK; FREYJA_DONE if there is none left; FREYJA_CORRUPT or an errno for a pair that cannot be read, and the
///         next call goes on behind it; FREYJA_MEMORY, and the next call tries again; FREYJA_INVALID, FREYJA_BUSY,
///         FREYJA_CLOSED, FREYJA_FORKED.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_iter_next(
    it: *mut freyja_iter,
    key: *mut freyja_slice,
    val: *mut freyja_slice,
) -> c_int {
    ITERATORS.changing(it.addr(), |iter| {
        // SAFETY: callers pass NULL or valid pointers (header, convention 3).
        let (key, val) = unsafe { (Output::new(key)?, Output::optional(val)) };
        let slices = iter.next_with(|key, value| (slice(key), slice(value)))?;
        let Some((key_slice, value_slice)) = slices else {
            return Ok(FREYJA_DONE);
        };
        key.set(key_slice);
        if let Some(val) = val {
            val.set(value_slice);
        }
        Ok(FREYJA_OK)
    })
}

fn slice(bytes: &[u8]) -> freyja_slice {
    freyja_slice {
        data: bytes.as_ptr().cast(),
        len: bytes.len(),
    }
}

/// Copies as many of the next pairs as fit into memory of the caller: far faster than one after the other. Each is a
/// freyja_pair, the key, the value; the first begins at `buf`, each next one at the next multiple of 8 bytes from there:
/// ```c
/// for (size_t at = 0; at < used; at += (sizeof pair + pair.key_len + pair.val_len + 7) / 8 * 8) {
///     memcpy(&pair, buf + at, sizeof pair);
///     ... key at buf + at + sizeof pair, value behind it
/// }
/// ```
/// @param buf, cap    where the pairs go, and how many bytes fit.
/// @param[out] used   where the last pair ends, in bytes from `buf`; with FREYJA_RANGE how much room the next pair needs.
/// @param[out] count  number of pairs; may be NULL if it is not wanted.
/// @return FREYJA_OK if there is a pair at least; FREYJA_RANGE if the next one does not fit, which is not lost;
///         otherwise as freyja_iter_next.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_iter_next_batch(
    it: *mut freyja_iter,
    buf: *mut c_void,
    cap: usize,
    used: *mut usize,
    count: *mut usize,
) -> c_int {
    ITERATORS.changing(it.addr(), |iter| {
        // SAFETY: callers pass NULL or as many bytes as they say (header, convention 3).
        let mut room = PairRoom::new(unsafe { arguments::room(buf, cap)? });
        // SAFETY: callers pass NULL or valid pointers.
        let (used, count) = unsafe { (Output::new(used)?, Output::optional(count)) };
        let pairs = iter.next_pairs(|pair| room.push(pair))?;
        if pairs == 0 && room.needed() == 0 {
            return Ok(FREYJA_DONE);
        }
        if pairs == 0 {
            used.set(room.needed());
            return Ok(FREYJA_RANGE);
        }
        used.set(room.used());
        if let Some(count) = count {
            count.set(pairs);
        }
        Ok(FREYJA_OK)
    })
}

/// Frees an iterator. Freeing NULL does nothing. A call that another thread is in ends safely.
///
/// @return FREYJA_OK; FREYJA_CLOSED if it was freed before; FREYJA_INVALID, FREYJA_FORKED.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_iter_free(it: *mut freyja_iter) -> c_int {
    if it.is_null() {
        return FREYJA_OK as c_int;
    }
    let outcome = guard::run(|| {
        ITERATORS.free(it.addr())?;
        Ok(FREYJA_OK)
    });
    outcome.map_or_else(|error| code_of(&error), |status| status as c_int)
}
