//! Status codes and their texts.
#![allow(unsafe_code)] // the attribute that exports a name counts as unsafe

use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind};

/// What the functions return: 0, one of the negative codes below, or a positive errno of the operating
/// system. The numbers never change and are never used again for something else.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum freyja_status {
    /// Done.
    FREYJA_OK = 0,
    /// There is no such key, store or failure.
    FREYJA_NOT_FOUND = -1,
    /// There is nothing more to iterate over.
    FREYJA_DONE = -2,
    /// An argument is not acceptable; nothing was done.
    FREYJA_INVALID = -3,
    /// The buffer is too small; the size needed has been stored.
    FREYJA_RANGE = -4,
    /// In use elsewhere: the store is open, in this process or another; another thread is using the batch or iterator.
    FREYJA_BUSY = -5,
    /// The handle has been closed.
    FREYJA_CLOSED = -6,
    /// The store exists already and was to be new.
    FREYJA_EXISTS = -7,
    /// The store was opened for reading only.
    FREYJA_READ_ONLY = -8,
    /// A key or value is longer than allowed, or the store would outgrow a limit.
    FREYJA_TOO_LARGE = -9,
    /// Stored bytes are not what was written.
    FREYJA_CORRUPT = -10,
    /// An earlier failure stopped this handle; see freyja_failure.
    FREYJA_FAILED = -11,
    /// The store was written by a newer version of Freyja, in a format this one does not know.
    FREYJA_VERSION = -12,
    /// This is not supported here.
    FREYJA_UNSUPPORTED = -13,
    /// Memory could not be had.
    FREYJA_MEMORY = -14,
    /// The handle was inherited through fork and belongs to the parent process.
    FREYJA_FORKED = -15,
    /// A defect of Freyja was caught; the handle answers FREYJA_FAILED from now on.
    FREYJA_PANIC = -16,
}

use freyja_status::*;

/// Every code with its text, for [`freyja_strerror`].
const TEXTS: [(freyja_status, &CStr); 17] = [
    (FREYJA_OK, c"success"),
    (FREYJA_NOT_FOUND, c"not found"),
    (FREYJA_DONE, c"nothing more"),
    (FREYJA_INVALID, c"invalid argument"),
    (FREYJA_RANGE, c"buffer too small"),
    (FREYJA_BUSY, c"in use elsewhere"),
    (FREYJA_CLOSED, c"the handle is closed"),
    (FREYJA_EXISTS, c"the store exists already"),
    (FREYJA_READ_ONLY, c"the store is open for reading only"),
    (FREYJA_TOO_LARGE, c"too large"),
    (FREYJA_CORRUPT, c"stored data is damaged"),
    (FREYJA_FAILED, c"stopped by an earlier failure"),
    (FREYJA_VERSION, c"the store has a newer format"),
    (FREYJA_UNSUPPORTED, c"not supported"),
    (FREYJA_MEMORY, c"out of memory"),
    (FREYJA_FORKED, c"the handle belongs to the parent process"),
    (FREYJA_PANIC, c"internal error"),
];

/// The largest errno whose text is looked up; real ones are far smaller.
const LARGEST_ERRNO: usize = 255;

/// The status code that stands for an error.
pub fn code_of(error: &Error) -> c_int {
    let status = match error.kind() {
        ErrorKind::Io if error.os_code() > 0 => return error.os_code(),
        ErrorKind::Io => return libc::EIO,
        ErrorKind::NotFound => FREYJA_NOT_FOUND,
        ErrorKind::Invalid => FREYJA_INVALID,
        ErrorKind::Range => FREYJA_RANGE,
        ErrorKind::Busy => FREYJA_BUSY,
        ErrorKind::Closed => FREYJA_CLOSED,
        ErrorKind::Exists => FREYJA_EXISTS,
        ErrorKind::ReadOnly => FREYJA_READ_ONLY,
        ErrorKind::TooLarge => FREYJA_TOO_LARGE,
        ErrorKind::Corrupt => FREYJA_CORRUPT,
        ErrorKind::Failed => FREYJA_FAILED,
        ErrorKind::Version => FREYJA_VERSION,
        ErrorKind::Unsupported => FREYJA_UNSUPPORTED,
        ErrorKind::Memory => FREYJA_MEMORY,
        ErrorKind::Forked => FREYJA_FORKED,
        ErrorKind::Panic => FREYJA_PANIC,
    };
    status as c_int
}

/// The text of a status, a code of Freyja or a positive errno.
///
/// @param status  any number.
/// @return a text that is valid for ever and must not be freed; never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_strerror(status: c_int) -> *const c_char {
    text_of(status).as_ptr()
}

fn text_of(status: c_int) -> &'static CStr {
    let known = TEXTS.iter().find(|(code, _)| *code as c_int == status);
    match (known, usize::try_from(status)) {
        (Some((_, text)), _) => text,
        (None, Ok(errno)) if errno <= LARGEST_ERRNO => text_of_errno(errno),
        _ => c"unknown status",
    }
}

/// The system's text, kept after it was first asked for, because `strerror` is not safe in threads.
fn text_of_errno(errno: usize) -> &'static CStr {
    static CACHE: [OnceLock<CString>; LARGEST_ERRNO + 1] =
        [const { OnceLock::new() }; LARGEST_ERRNO + 1];
    CACHE[errno].get_or_init(|| {
        let text = std::io::Error::from_raw_os_error(errno as i32).to_string();
        CString::new(text).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_a_text_of_its_own() {
        let texts: HashSet<_> = (-16..=0).map(text_of).collect();
        assert_eq!(texts.len(), 17);
        assert!(!texts.contains(c"unknown status"));
    }

    #[test]
    fn a_system_error_has_the_systems_text() {
        let text = text_of(libc::ENOSPC).to_str().unwrap();
        assert!(text.starts_with("No space left on device"), "{text}");
    }

    #[test]
    fn every_other_number_has_a_text_too() {
        for status in [-17, c_int::MIN, c_int::MAX, 256] {
            assert_eq!(text_of(status), c"unknown status");
        }
    }

    #[test]
    fn a_failed_system_call_is_its_errno_and_io_without_one_is_eio() {
        let path = std::path::Path::new("x");
        let full = std::io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(code_of(&Error::io("write", path, &full)), libc::ENOSPC);
        let short = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        assert_eq!(code_of(&Error::io("read", path, &short)), libc::EIO);
    }
}
