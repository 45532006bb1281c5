//! Arguments of callers, checked and turned into safe types.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};
use std::path::PathBuf;
use std::ptr::NonNull;

use super::limits::{FREYJA_MAX_BATCH_BYTES, FREYJA_MAX_KEY_LEN, FREYJA_MAX_VALUE_LEN};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Pair;
use crate::memory::buffer_pool::MOST_CLASSES;

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

/// An array of a caller that is filled from the front.
pub struct OutputArray<T> {
    next: *mut T,
    left: usize,
}

impl<T: Copy> OutputArray<T> {
    /// The array of `length` elements at `pointer`; NULL is refused unless `length` is 0.
    ///
    /// # Safety
    /// `pointer` is NULL or `length` elements there, aligned or not, may be written to until the value is dropped.
    pub unsafe fn new(pointer: *mut T, length: usize) -> Result<Self> {
        if pointer.is_null() && length > 0 {
            return Err(Error::new(
                ErrorKind::Invalid,
                "an array for answers is NULL",
            ));
        }
        Ok(Self {
            next: pointer,
            left: length,
        })
    }

    /// Stores `value` in the next element; does nothing behind the last.
    pub fn push(&mut self, value: T) {
        if self.left > 0 {
            // SAFETY: an element is left, and whoever made this value promised that it may be written to.
            unsafe {
                self.next.write_unaligned(value);
                self.next = self.next.add(1);
            }
            self.left -= 1;
        }
    }
}

/// Keys of a caller, back to back. Iterating gives one after the other.
#[derive(Clone)]
pub struct PackedKeys<'a> {
    bytes: &'a [u8],
    /// Where each key ends, as the bytes of a `usize`.
    ends: std::slice::Iter<'a, [u8; size_of::<usize>()]>,
    start: usize,
}

/// The `count` keys that lie back to back at `keys` and end where `ends` says. Each is a possible key.
///
/// # Safety
/// If `ends` is not NULL, `count` numbers there may be read, aligned or not; if `keys` is not NULL, as many bytes as the
/// last of them says may be read. Neither changes while the keys are in use.
pub unsafe fn packed_keys<'a>(
    keys: *const c_void,
    ends: *const usize,
    count: usize,
) -> Result<PackedKeys<'a>> {
    let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
    if count > isize::MAX as usize / size_of::<usize>() {
        return invalid(format!("{count} keys do not fit into memory"));
    }
    if count > 0 && ends.is_null() {
        return invalid(format!("the ends of the {count} keys are NULL"));
    }
    let ends = match count {
        0 => &[],
        // SAFETY: as promised; bytes need no alignment, and the array is no longer than memory.
        _ => unsafe { std::slice::from_raw_parts(ends.cast(), count) },
    };
    let mut start = 0;
    for (number, end) in ends.iter().enumerate() {
        let end = usize::from_ne_bytes(*end);
        if end < start {
            return invalid(format!(
                "key {number} ends at {end}, before it begins at {start}"
            ));
        }
        if end - start > FREYJA_MAX_KEY_LEN {
            let message = format!(
                "key {number} has {} bytes; at most {FREYJA_MAX_KEY_LEN} are allowed",
                end - start
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        start = end;
    }
    // SAFETY: the last end is the length that the caller promises, and what it can be is checked.
    let bytes = unsafe { bytes(keys, start, isize::MAX as usize, "array of keys")? };
    Ok(PackedKeys {
        bytes,
        ends: ends.iter(),
        start: 0,
    })
}

impl<'a> Iterator for PackedKeys<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let end = usize::from_ne_bytes(*self.ends.next()?);
        // The ends have been checked; a caller who changes them meanwhile gets other keys.
        let key = self.bytes.get(self.start..end).unwrap_or_default();
        self.start = end;
        Some(key)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for PackedKeys<'_> {}

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

/// Memory of a caller that is filled with pairs, one behind the other.
pub struct PairRoom {
    room: Room,
    /// Where the last pair ends.
    used: usize,
    /// Where the first pair that did not fit would have ended.
    needed: usize,
}

impl PairRoom {
    /// Every pair begins at a multiple of so many bytes.
    pub const ALIGNMENT: usize = 8;
    const HEAD: usize = 8;

    /// Room for pairs in `room`.
    pub fn new(room: Room) -> Self {
        Self {
            room,
            used: 0,
            needed: 0,
        }
    }

    /// Appends a pair, both lengths as `u32` before it, if there is room; tells whether there was.
    #[inline]
    pub fn push(&mut self, pair: Pair<'_>) -> bool {
        let (key_len, bytes) = (pair.key().len(), pair.bytes());
        // No overflow: what is used is memory, and keys and values have their limits.
        let start = self.used.wrapping_add(Self::ALIGNMENT - 1) & !(Self::ALIGNMENT - 1);
        let end = start.wrapping_add(Self::HEAD).wrapping_add(bytes.len());
        if end > self.room.length {
            self.needed = end;
            return false;
        }
        let lengths = [key_len as u32, (bytes.len() - key_len) as u32].map(u32::to_ne_bytes);
        let place = self.room.start.cast::<u8>().wrapping_add(start);
        // SAFETY: whoever made the room promised `length` bytes that nothing of Freyja overlaps, and `end` is not beyond them.
        unsafe {
            std::ptr::copy_nonoverlapping(lengths.as_ptr().cast(), place, Self::HEAD);
            let place = place.add(Self::HEAD);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len());
        }
        self.used = end;
        true
    }

    /// Where the last pair ends.
    pub fn used(&self) -> usize {
        self.used
    }

    /// How much room the first pair that did not fit needs with those before it.
    pub fn needed(&self) -> usize {
        self.needed
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

/// The packed operations that a caller passed. A buffer that is longer than a batch may count holds too many: each operation
/// counts more than its head takes.
///
/// # Safety
/// As for [`bytes`].
pub unsafe fn operations<'a>(pointer: *const c_void, length: usize) -> Result<&'a [u8]> {
    let limit = (FREYJA_MAX_BATCH_BYTES as usize).min(isize::MAX as usize);
    // SAFETY: the same promise.
    unsafe { bytes(pointer, length, limit, "buffer") }
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

/// The sizes of classes that a caller passed, copied: how many there are is the second.
///
/// # Safety
/// `pointer` is NULL or `count` numbers there, aligned or not, may be read.
pub unsafe fn sizes(pointer: *const usize, count: usize) -> Result<([usize; MOST_CLASSES], usize)> {
    let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
    if pointer.is_null() {
        return invalid("the array of sizes is NULL".into());
    }
    if count > MOST_CLASSES {
        return invalid(format!("{count} size classes; give 1 to {MOST_CLASSES}"));
    }
    let mut sizes = [0; MOST_CLASSES];
    for (number, size) in sizes[..count].iter_mut().enumerate() {
        // SAFETY: as promised.
        *size = unsafe { pointer.add(number).read_unaligned() };
    }
    Ok((sizes, count))
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
    fn packed_keys_are_what_lies_between_their_ends() {
        let ends = [3_usize, 3, 5, 5];
        // SAFETY: the arrays are as long as they are said to be; for no key nothing is read.
        unsafe {
            let keys = packed_keys(b"oneit".as_ptr().cast(), ends.as_ptr(), 4).unwrap();
            assert_eq!(keys.len(), 4);
            assert_eq!(keys.collect::<Vec<_>>(), [&b"one"[..], b"", b"it", b""]);
            assert_eq!(packed_keys(null(), null(), 0).unwrap().len(), 0);
            let empty = [0_usize; 2];
            let keys = packed_keys(null(), empty.as_ptr(), 2).unwrap();
            assert_eq!(keys.collect::<Vec<_>>(), [b"", b""]);
        }
    }

    #[test]
    fn packed_keys_that_cannot_be_are_refused_before_a_byte_of_them_is_read() {
        let refused = |ends: &[usize]| {
            // SAFETY: the ends are there, and wrong ones are refused before a key is read.
            kind_of(unsafe { packed_keys(dangling(), ends.as_ptr(), ends.len()) })
        };
        assert_eq!(refused(&[3, 2]), Some(ErrorKind::Invalid));
        assert_eq!(
            refused(&[FREYJA_MAX_KEY_LEN + 1]),
            Some(ErrorKind::TooLarge)
        );
        assert_eq!(refused(&[5, usize::MAX]), Some(ErrorKind::TooLarge));
        // SAFETY: NULL is allowed, and too great a count is refused before anything is read.
        unsafe {
            let ends = [1_usize];
            let keys = packed_keys(null(), ends.as_ptr(), 1);
            assert_eq!(kind_of(keys), Some(ErrorKind::Invalid));
            for count in [1, usize::MAX] {
                let keys = packed_keys(dangling(), null(), count);
                assert_eq!(kind_of(keys), Some(ErrorKind::Invalid));
            }
        }
    }

    #[test]
    fn pairs_lie_aligned_behind_their_lengths_and_never_beyond_the_room() {
        let mut bytes = [0xee_u8; 48];
        // SAFETY: the array is longer than the room, and alone.
        let room = unsafe { room(bytes.as_mut_ptr().cast(), 40) };
        let mut pairs = PairRoom::new(room.unwrap());
        assert!(pairs.push(Pair::of_key(b"key")));
        assert_eq!(pairs.used(), 11);
        assert!(!pairs.push(Pair::new(&[b'k'; 17], 6)));
        assert_eq!((pairs.used(), pairs.needed()), (11, 41));
        assert!(pairs.push(Pair::new(
            b"longer\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07",
            6
        )));
        assert_eq!(pairs.used(), 40);
        assert!(!pairs.push(Pair::new(b"", 0)));
        assert_eq!(bytes[..8], [3_u32, 0].map(u32::to_ne_bytes).concat());
        assert_eq!(bytes[16..24], [6_u32, 10].map(u32::to_ne_bytes).concat());
        assert_eq!(bytes[8..16], *b"key\xee\xee\xee\xee\xee");
        assert_eq!(
            bytes[24..],
            *b"longer\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\xee\xee\xee\xee\xee\xee\xee\xee"
        );
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
