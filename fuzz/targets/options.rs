//! Any bytes as `freyja_options` and as arguments of opening: an error, or a store with options in their ranges.
#![no_main]

use std::ffi::CStr;
use std::ptr;

use freyja_fuzz::c::{self, Options};
use freyja_fuzz::input::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let how = input.byte();
    // As many bytes as the struct says that it has, if that is a size that the library may believe.
    let size = match how & 3 {
        0 => size_of::<Options>(),
        1 => input.u16() as usize,
        _ => input.u16() as usize % 128,
    };
    let mut memory = vec![0_u64; 4096 / 8 + 1];
    for word in &mut memory {
        *word = input.u64();
    }
    let options: *mut Options = memory.as_mut_ptr().cast();
    if how & 4 != 0 {
        // SAFETY: the memory is as large as any size that is accepted.
        let status = unsafe { c::freyja_options_init(options, size) };
        assert!(status == c::OK || status == c::INVALID);
    }
    // SAFETY: the first field is a number like the bytes that are there.
    unsafe { (&raw mut (*options).struct_size).write(size as u32) };
    let paths: [&CStr; 4] = [
        c"",
        c"/dev/null/x",
        c"/nonexistent/x/y",
        c"/proc/self/status",
    ];
    let path = paths[how as usize / 8 % 4];
    let mut db = ptr::null_mut();
    // SAFETY: all pointers are valid; the memory has as many bytes as the size says, or the size is refused.
    let error = unsafe {
        let mut error: c::Error = std::mem::zeroed();
        let status = c::freyja_open(path.as_ptr(), options, &mut db, &mut error);
        assert_eq!(status, error.code);
        error
    };
    assert!(db.is_null() && error.code != c::OK && error.code != c::PANIC);
    assert!(error.message.contains(&0));
    // SAFETY: any number has a text.
    assert!(!unsafe { c::freyja_strerror(error.code) }.is_null());
});
