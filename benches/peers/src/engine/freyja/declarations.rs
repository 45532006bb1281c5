//! What the benchmarks use of include/freyja.h.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null;

use crate::engine::dynamic::functions;

pub const OK: c_int = 0;
pub const NOT_FOUND: c_int = -1;
pub const DONE: c_int = -2;
pub const SYNC_ALWAYS: u32 = 0;
pub const SYNC_NONE: u32 = 2;
pub const COMPACTION_MANUAL: u32 = 1;
pub const CHECK_KEY: u32 = 1;

pub type Handle = *mut c_void;

/// The options that version 0.1 knows, as include/freyja.h declares them: the size says which they are.
#[repr(C)]
pub struct Options {
    pub struct_size: u32,
    pub flags: u32,
    pub sync_mode: u32,
    pub others: [u32; 4],
    pub read_checks: u32,
    pub segment_size: u64,
    pub slab_size: u64,
    pub memory_budget: u64,
    pub expected_keys: u64,
    pub compaction: u32,
    pub space_amplification: u32,
    pub compaction_bytes_per_second: u64,
}

/// `freyja_error` of include/freyja.h.
#[repr(C)]
pub struct Error {
    pub code: c_int,
    pub sys_errno: c_int,
    pub offset: u64,
    pub message: [c_char; 496],
}

/// `freyja_slice` of include/freyja.h.
#[repr(C)]
pub struct Slice {
    data: *const u8,
    len: usize,
}

impl Slice {
    /// No bytes.
    pub fn empty() -> Self {
        Self {
            data: null(),
            len: 0,
        }
    }

    /// # Safety
    ///
    /// The library has filled it in, and what it shows is still there while the bytes are used.
    pub unsafe fn bytes<'b>(&self) -> &'b [u8] {
        // SAFETY: as promised.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

/// `freyja_pair` of include/freyja.h: what stands before each pair of a batch of an iterator.
#[derive(Clone, Copy)]
pub struct PairHead {
    pub key_len: u32,
    pub value_len: u32,
}

/// Each of these pairs begins at a multiple of so many bytes.
pub const PAIR_ALIGNMENT: usize = 8;

impl PairHead {
    /// Bytes that it takes.
    pub const LEN: usize = 8;

    /// What stands before the pair at the beginning of `bytes`, and what comes behind it.
    #[inline]
    pub fn split(bytes: &[u8]) -> (Self, &[u8]) {
        let (head, rest) = bytes.split_at(Self::LEN);
        let number = |at| u32::from_ne_bytes(std::array::from_fn(|byte| head[at + byte]));
        let head = Self {
            key_len: number(0),
            value_len: number(4),
        };
        (head, rest)
    }
}

functions! {
    pub struct Functions {
        fn freyja_version() -> *const c_char;
        fn freyja_strerror(c_int) -> *const c_char;
        fn freyja_options_init(*mut Options, usize) -> c_int;
        fn freyja_open(*const c_char, *const Options, *mut Handle, *mut Error) -> c_int;
        fn freyja_close(Handle) -> c_int;
        fn freyja_put(Handle, *const u8, usize, *const u8, usize) -> c_int;
        fn freyja_metrics(Handle, *mut u8, usize, *mut usize) -> c_int;
        fn freyja_get_into(Handle, *const u8, usize, *mut u8, usize, *mut usize) -> c_int;
        fn freyja_get(Handle, *const u8, usize, *mut *mut u8, *mut usize) -> c_int;
        fn freyja_free_buf(*mut u8);
        fn freyja_get_pinned(Handle, *const u8, usize, *mut Handle, *mut *const u8, *mut usize) -> c_int;
        fn freyja_unpin(Handle) -> c_int;
        fn freyja_get_many(
            Handle,
            *const u8,
            *const usize,
            usize,
            *mut *mut u8,
            *mut usize,
            *mut c_int
        ) -> c_int;
        fn freyja_batch_new(*mut Handle) -> c_int;
        fn freyja_batch_put(Handle, *const u8, usize, *const u8, usize) -> c_int;
        fn freyja_batch_clear(Handle) -> c_int;
        fn freyja_batch_free(Handle) -> c_int;
        fn freyja_write(Handle, Handle) -> c_int;
        fn freyja_write_packed(Handle, *const u8, usize) -> c_int;
        fn freyja_iter_new(Handle, *mut Handle) -> c_int;
        fn freyja_iter_next(Handle, *mut Slice, *mut Slice) -> c_int;
        fn freyja_iter_next_batch(Handle, *mut u8, usize, *mut usize, *mut usize) -> c_int;
        fn freyja_iter_free(Handle) -> c_int;
    }
}

/// Ends the benchmark unless `status` is that of success.
#[inline(always)]
pub fn check(functions: &Functions, status: c_int, doing: &str) {
    if status != OK {
        refuse(functions, status, doing);
    }
}

#[cold]
fn refuse(functions: &Functions, status: c_int, doing: &str) -> ! {
    // SAFETY: the library answers with a NUL-terminated text that lives as long as the library.
    let text = unsafe { CStr::from_ptr((functions.freyja_strerror)(status)) };
    panic!("{doing}: {} ({status})", text.to_string_lossy());
}
