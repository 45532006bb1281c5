//! Arguments of callers, checked and turned into safe types.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};
use std::path::PathBuf;
use std::ptr::NonNull;

use super::limits::{FREYJA_MAX_KEY_LEN, FREYJA_MAX_VALUE_LEN};
use crate::error::{Error, ErrorKind, Result};

/// Where an answer is to be stored. Set on success only.
pub struct Output<T>(NonNull<T>);

impl<T: Copy> Output<T> {
    /// The place that `pointer` names; NULL is refused.
    ///
    /// # Safety
    /// `pointer` is NULL or may be written to as a `T`, aligned or not, until the value is dropped.
    pub unsafe fn new(pointer: *mut T) -> Result<Self> {
        // SAFETY: the same promise.
        unsafe { Self::optional(pointer) }
            .ok_or_else(|| Error::new(ErrorKind::Invalid, "a pointer for an answer is NULL"))
    }

    /// The place that `pointer` names, `None` for NULL.
    ///
    /// # Safety
    /// As for [`Output::new`].
    pub unsafe fn optional(pointer: *mut T) -> Option<Self> {
        NonNull::new(pointer).map(Self)
    }

    /// Stores `value`.
    pub fn set(self, value: T) {
        // SAFETY: whoever made this value promised that the place may be written to.
        unsafe { self.0.as_ptr().write_unaligned(value) };
    }

    /// The place itself.
    pub fn pointer(self) -> *mut T {
        self.0.as_ptr()
    }
}

/// Memory of a caller that a value may be copied to.
pub struct Room {
    start: *mut c_void,
    length: usize,
}

impl Room {
    /// Copies `value` if it fits, and tells whether it does.
    pub fn copy_from(&self, value: &[u8]) -> bool {
        let fits = value.len() <= self.length;
        if fits && !value.is_empty() {
            // SAFETY: whoever made the room promised `length` bytes that nothing of Freyja overlaps.
            unsafe {
                std::ptr::copy_nonoverlapping(value.as_ptr(), self.start.cast(), value.len());
            }
        }
        fits
    }
}

/// The room of `length` bytes at `start`; with length 0 the pointer does not matter.
///
/// # Safety
/// `start` is NULL or `length` bytes there belong to the caller and may be written until the room is dropped.
pub unsafe fn room(start: *mut c_void, length: usize) -> Result<Room> {
    if start.is_null() && length > 0 {
        let message = format!("the buffer is NULL, but its length is {length}");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(Room { start, length })
}

/// The key that a caller passed.
///
/// # Safety
/// As for [`bytes`].
pub unsafe fn key<'a>(pointer: *const c_void, length: usize) -> Result<&'a [u8]> {
    // SAFETY: the same promise.
    unsafe { bytes(pointer, length, FREYJA_MAX_KEY_LEN, "key") }
}

/// The value that a caller passed.
///
/// # Safety
/// As for [`bytes`].
pub unsafe fn value<'a>(pointer: *const c_void, length: usize) -> Result<&'a [u8]> {
    // SAFETY: the same promise.
    unsafe { bytes(pointer, length, FREYJA_MAX_VALUE_LEN, "value") }
}

/// The `length` bytes at `pointer`; with length 0 the pointer does not matter.
///
/// # Safety
/// If `pointer` is not NULL and `length` is at most `limit`, then `length` bytes there may be
/// read and do not change while the slice is in use.
unsafe fn bytes<'a>(
    pointer: *const c_void,
    length: usize,
    limit: usize,
    what: &str,
) -> Result<&'a [u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        let message = format!("the {what} is NULL, but its length is {length}");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if length > limit {
        let message = format!("the {what} has {length} bytes; at most {limit} are allowed");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    // SAFETY: the pointer is not NULL, the length is below any slice's limit, and the caller vouches for
    // the bytes.
    Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), length) })
}

/// The path that a caller passed.
///
/// # Safety
/// `pointer` is NULL or a string ended by NUL that does not change during the call.
pub unsafe fn path(pointer: *const c_char) -> Result<PathBuf> {
    if pointer.is_null() {
        return Err(Error::new(ErrorKind::Invalid, "the path is NULL"));
    }
    // SAFETY: the caller vouches for the string.
    let text = unsafe { CStr::from_ptr(pointer) };
    if text.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "the path is empty"));
    }
    path_of(text)
}

#[cfg(unix)]
fn path_of(text: &CStr) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(text.to_bytes()).into())
}

#[cfg(not(unix))]
fn path_of(text: &CStr) -> Result<PathBuf> {
    let text = text.to_str();
    text.map(PathBuf::from)
        .map_err(|_| Error::new(ErrorKind::Invalid, "the path is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::{dangling, null, null_mut};

    fn kind_of<T>(result: Result<T>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn an_empty_slice_may_have_any_pointer() {
        // SAFETY: no byte is read for length 0.
        unsafe {
            assert_eq!(key(null(), 0).unwrap(), b"");
            assert_eq!(value(dangling(), 0).unwrap(), b"");
        }
    }

    #[test]
    fn null_with_a_length_is_invalid() {
        // SAFETY: NULL is allowed.
        unsafe {
            assert_eq!(kind_of(key(null(), 1)), Some(ErrorKind::Invalid));
            assert_eq!(kind_of(value(null(), usize::MAX)), Some(ErrorKind::Invalid));
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_a_byte_is_read() {
        for length in [FREYJA_MAX_KEY_LEN + 1, isize::MAX as usize, usize::MAX] {
            // SAFETY: above the limit nothing is read.
            let refused = unsafe { key(dangling(), length) };
            assert_eq!(kind_of(refused), Some(ErrorKind::TooLarge));
        }
        // SAFETY: above the limit nothing is read.
        let refused = unsafe { value(dangling(), FREYJA_MAX_VALUE_LEN + 1) };
        assert_eq!(kind_of(refused), Some(ErrorKind::TooLarge));
    }

    #[test]
    fn an_answer_needs_a_place_and_finds_it_aligned_or_not() {
        let mut bytes = [0u8; 12];
        // SAFETY: NULL is allowed, and four bytes from the fourth are inside the array.
        unsafe {
            assert_eq!(
                kind_of(Output::<u32>::new(null_mut())),
                Some(ErrorKind::Invalid)
            );
            let place = bytes.as_mut_ptr().add(3).cast::<u32>();
            Output::new(place).unwrap().set(u32::MAX);
        }
        assert_eq!(bytes, [0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_path_may_be_any_bytes_but_none() {
        // SAFETY: NULL is allowed, and the others are strings.
        unsafe {
            assert_eq!(kind_of(path(null())), Some(ErrorKind::Invalid));
            assert_eq!(kind_of(path(c"".as_ptr())), Some(ErrorKind::Invalid));
            #[cfg(unix)]
            assert!(path(c"\xff\xfe".as_ptr()).is_ok());
        }
    }
}
