//! Structs that may grow: their first field says how many bytes the caller's version has.
//!
//! A caller who was compiled against an older header passes a shorter struct, one compiled against a newer
//! header a longer one. Fields that the caller does not know are zero, and zero always means the default;
//! fields that this library does not know must be zero.
#![allow(unsafe_code)]

use std::mem::{MaybeUninit, size_of};

use super::arguments::Output;
use crate::error::{Error, ErrorKind, Result};

/// No version of any struct is longer; a greater size is not a size but garbage.
const LARGEST: usize = 4096;

/// A struct that may grow.
///
/// # Safety
/// `repr(C)`, made of integers only, without padding, and its first field is a `u32`, its size.
pub unsafe trait Growing: Copy {
    /// Size of the struct in the first version of the library that had it.
    const FIRST_SIZE: usize;
    /// Name in the header.
    const NAME: &'static str;
}

/// Whether `size` can be the size of some version of `T`.
fn check_size<T: Growing>(size: usize) -> Result<()> {
    if (T::FIRST_SIZE..=LARGEST).contains(&size) {
        return Ok(());
    }
    let message = format!(
        "struct_size {size} is not a size of {}: pass sizeof({})",
        T::NAME,
        T::NAME
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

/// Reads a caller's struct.
///
/// # Safety
/// `pointer` is not NULL, and as many bytes may be read there as the struct's first field says.
pub unsafe fn read<T: Growing>(pointer: *const T) -> Result<T> {
    // SAFETY: the struct begins with a `u32`, its size.
    let size = unsafe { pointer.cast::<u32>().read_unaligned() } as usize;
    check_size::<T>(size)?;
    // SAFETY: the caller vouches for `size` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), size) };
    let (known, unknown) = bytes.split_at(size.min(size_of::<T>()));
    check_unset::<T>(unknown)?;
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the known bytes fit; any bytes are a valid `T`, which is made of integers.
    unsafe {
        std::ptr::copy_nonoverlapping(known.as_ptr(), value.as_mut_ptr().cast(), known.len());
        Ok(value.assume_init())
    }
}

/// Refuses fields of later versions that are set: what they ask for would not happen.
fn check_unset<T: Growing>(unknown: &[u8]) -> Result<()> {
    if unknown.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let message = format!(
        "{} has a field set that this version of the library does not know",
        T::NAME
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

/// Where a struct is to be stored of which the caller knows so many bytes.
pub struct Place<T> {
    output: Output<T>,
    size: usize,
}

impl<T: Growing> Place<T> {
    /// The `size` bytes that `pointer` names; NULL, and what can be the size of no version, are refused.
    ///
    /// # Safety
    /// `pointer` is NULL, or `size` bytes may be written there until the value is dropped.
    pub unsafe fn new(pointer: *mut T, size: usize) -> Result<Self> {
        // SAFETY: the same promise; no more is written than `size` bytes.
        let output = unsafe { Output::new(pointer)? };
        check_size::<T>(size)?;
        Ok(Self { output, size })
    }

    /// The same, but `None` for NULL, whatever the size.
    ///
    /// # Safety
    /// As for [`Place::new`].
    pub unsafe fn optional(pointer: *mut T, size: usize) -> Result<Option<Self>> {
        match pointer.is_null() {
            true => Ok(None),
            // SAFETY: the same promise.
            false => unsafe { Self::new(pointer, size) }.map(Some),
        }
    }

    /// Stores as much of `value` as the caller knows, and zeros where his version is longer.
    pub fn set(self, value: &T) {
        let known = self.size.min(size_of::<T>());
        let target = self.output.pointer().cast::<u8>();
        // SAFETY: whoever made this place promised its `size` bytes; `known` of them are in `value`.
        unsafe {
            std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast(), target, known);
            target.add(known).write_bytes(0, self.size - known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Sample {
        struct_size: u32,
        first: u32,
        later: u64,
    }

    // SAFETY: two `u32` and a `u64` leave no padding.
    unsafe impl Growing for Sample {
        const FIRST_SIZE: usize = 8;
        const NAME: &'static str = "sample";
    }

    fn read_bytes(bytes: &[u32]) -> Result<Sample> {
        assert!(bytes.len() * 4 >= bytes[0] as usize || bytes[0] > 4096);
        // SAFETY: the slice holds as many bytes as its first number says, or that number is refused.
        unsafe { read(bytes.as_ptr().cast()) }
    }

    #[test]
    fn fields_that_a_shorter_struct_lacks_are_zero() {
        let sample = read_bytes(&[8, 7]).unwrap();
        assert_eq!((sample.struct_size, sample.first, sample.later), (8, 7, 0));
        let sample = read_bytes(&[16, 7, 9, 0]).unwrap();
        assert_eq!(sample.later, 9);
    }

    #[test]
    fn a_longer_struct_is_read_if_what_is_unknown_is_zero() {
        assert_eq!(read_bytes(&[24, 7, 9, 0, 0, 0]).unwrap().later, 9);
        let error = read_bytes(&[24, 7, 9, 0, 0, 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_size_that_no_version_has_is_refused() {
        for size in [0, 4, 7, 4097, u32::MAX] {
            let error = read_bytes(&[size, 0, 0, 0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "size {size}");
        }
    }

    #[test]
    fn a_place_is_refused_before_anything_is_written_there() {
        let mut sample = Sample {
            struct_size: 16,
            first: 1,
            later: 2,
        };
        let before = sample;
        for size in [0, 7, 4097] {
            // SAFETY: sizes that no version has are refused, so that nothing is written.
            let place = unsafe { Place::new(&raw mut sample, size) };
            assert_eq!(place.err().unwrap().kind(), ErrorKind::Invalid);
        }
        // SAFETY: NULL is one of the two that may be passed.
        let nowhere = unsafe { Place::<Sample>::optional(std::ptr::null_mut(), 7) };
        assert!(nowhere.unwrap().is_none());
        assert_eq!(sample, before);
    }

    #[test]
    fn exactly_the_callers_bytes_are_written() {
        let sample = Sample {
            struct_size: 16,
            first: 1,
            later: u64::MAX,
        };
        for size in [8, 12, 16, 20, 24] {
            let mut bytes = [0xaau8; 32];
            // SAFETY: the array is longer than any size.
            let place = unsafe { Place::new(bytes.as_mut_ptr().cast(), size) };
            place.unwrap().set(&sample);
            assert!(bytes[size..].iter().all(|byte| *byte == 0xaa));
            assert!(bytes[size.min(16)..size].iter().all(|byte| *byte == 0));
            assert_eq!(bytes[4], 1);
        }
    }
}
