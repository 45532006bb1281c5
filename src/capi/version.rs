//! The version of the library.
#![allow(unsafe_code)] // the attribute that exports a name counts as unsafe

use std::ffi::c_char;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

/// The version of the library that is running, such as "1.2.3". The one of the header is
/// FREYJA_VERSION_STRING.
///
/// @return a text that is valid for ever and must not be freed.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_version() -> *const c_char {
    VERSION.as_ptr().cast()
}

/// The version of the library that is running as a number that grows with every version:
/// major * 1000000 + minor * 1000 + patch. The one of the header is FREYJA_VERSION_NUMBER.
#[unsafe(no_mangle)]
pub extern "C" fn freyja_version_number() -> u32 {
    const NUMBER: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + number(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + number(env!("CARGO_PKG_VERSION_PATCH"));
    NUMBER
}

const fn number(digits: &str) -> u32 {
    match u32::from_str_radix(digits, 10) {
        Ok(number) if number < 1000 => number,
        _ => panic!("a part of the version is not a number below 1000"),
    }
}
