//! The C interface, as a C program sees it.

use std::ffi::{c_char, c_int, c_void};

pub type Handle = *mut c_void;

pub const OK: c_int = 0;
pub const NOT_FOUND: c_int = -1;
pub const DONE: c_int = -2;
pub const INVALID: c_int = -3;
pub const RANGE: c_int = -4;
pub const BUSY: c_int = -5;
pub const CLOSED: c_int = -6;
pub const EXISTS: c_int = -7;
pub const READ_ONLY: c_int = -8;
pub const TOO_LARGE: c_int = -9;
pub const UNSUPPORTED: c_int = -13;
pub const PANIC: c_int = -16;

/// A flag of `freyja_options`.
pub const READ_ONLY_STORE: u32 = 4;
/// In the length of a key of a packed operation.
pub const PACKED_DELETES: u32 = 1 << 31;

/// `freyja_progress`.
pub type Progress = unsafe extern "C" fn(user: *mut c_void, done: u64, total: u64) -> c_int;

/// `freyja_options`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Options {
    pub struct_size: u32,
    pub flags: u32,
    pub sync_mode: u32,
    pub sync_interval_ms: u32,
    pub key_storage: u32,
    pub read_mode: u32,
    pub background_threads: u32,
    pub reserved: u32,
    pub segment_size: u64,
    pub slab_size: u64,
    pub memory_budget: u64,
    pub expected_keys: u64,
    pub compaction: u32,
    pub space_amplification: u32,
    pub compaction_bytes_per_second: u64,
}

impl Options {
    /// Small segments, no threads, no syncs of their own.
    pub fn small() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            flags: 0,
            sync_mode: 2,
            sync_interval_ms: 0,
            key_storage: 0,
            read_mode: 0,
            background_threads: 0,
            reserved: 0,
            segment_size: 4096,
            slab_size: 0,
            memory_budget: 0,
            expected_keys: 0,
            compaction: 0,
            space_amplification: 0,
            compaction_bytes_per_second: 0,
        }
    }
}

/// `freyja_slice`.
#[repr(C)]
pub struct Slice {
    pub data: *const c_void,
    pub len: usize,
}

impl Default for Slice {
    fn default() -> Self {
        Self {
            data: std::ptr::null(),
            len: 0,
        }
    }
}

/// `freyja_error`.
#[repr(C)]
pub struct Error {
    pub code: i32,
    pub sys_errno: i32,
    pub offset: u64,
    pub message: [c_char; 496],
}

unsafe extern "C" {
    pub fn freyja_open(
        path: *const c_char,
        o: *const Options,
        out: *mut Handle,
        err: *mut Error,
    ) -> c_int;
    pub fn freyja_close(db: Handle) -> c_int;
    pub fn freyja_put(
        db: Handle,
        key: *const c_void,
        key_len: usize,
        val: *const c_void,
        val_len: usize,
    ) -> c_int;
    pub fn freyja_delete(db: Handle, key: *const c_void, key_len: usize) -> c_int;
    pub fn freyja_get(
        db: Handle,
        key: *const c_void,
        key_len: usize,
        val: *mut *mut c_void,
        val_len: *mut usize,
    ) -> c_int;
    pub fn freyja_get_into(
        db: Handle,
        key: *const c_void,
        key_len: usize,
        buf: *mut c_void,
        cap: usize,
        val_len: *mut usize,
    ) -> c_int;
    pub fn freyja_exists(db: Handle, key: *const c_void, key_len: usize) -> c_int;
    pub fn freyja_count(db: Handle, out: *mut u64) -> c_int;
    pub fn freyja_get_many(
        db: Handle,
        keys: *const c_void,
        key_ends: *const usize,
        count: usize,
        vals: *mut *mut c_void,
        val_ends: *mut usize,
        states: *mut c_int,
    ) -> c_int;
    pub fn freyja_buf_alloc(size: usize, buf: *mut *mut c_void) -> c_int;
    pub fn freyja_put_buf(
        db: Handle,
        key: *const c_void,
        key_len: usize,
        buf: *mut c_void,
        val_len: usize,
    ) -> c_int;
    pub fn freyja_iter_new(db: Handle, out: *mut Handle) -> c_int;
    pub fn freyja_iter_next(it: Handle, key: *mut Slice, val: *mut Slice) -> c_int;
    pub fn freyja_iter_free(it: Handle) -> c_int;
    pub fn freyja_refresh(db: Handle) -> c_int;
    pub fn freyja_compact(
        db: Handle,
        progress: Option<Progress>,
        user: *mut c_void,
        err: *mut Error,
    ) -> c_int;
    pub fn freyja_free_buf(buf: *mut c_void);
    pub fn freyja_locate(
        db: Handle,
        key: *const c_void,
        key_len: usize,
        out: *mut c_void,
        struct_size: usize,
    ) -> c_int;
    pub fn freyja_stats(db: Handle, out: *mut c_void, struct_size: usize) -> c_int;
    pub fn freyja_failure(db: Handle, out: *mut Error) -> c_int;
    pub fn freyja_sync(db: Handle) -> c_int;
    pub fn freyja_write(db: Handle, batch: Handle) -> c_int;
    pub fn freyja_write_packed(db: Handle, ops: *const c_void, ops_len: usize) -> c_int;
    pub fn freyja_batch_new(out: *mut Handle) -> c_int;
    pub fn freyja_batch_put(
        batch: Handle,
        key: *const c_void,
        key_len: usize,
        val: *const c_void,
        val_len: usize,
    ) -> c_int;
    pub fn freyja_batch_delete(batch: Handle, key: *const c_void, key_len: usize) -> c_int;
    pub fn freyja_batch_clear(batch: Handle) -> c_int;
    pub fn freyja_batch_count(batch: Handle, out: *mut u64) -> c_int;
    pub fn freyja_batch_savepoint(batch: Handle, out: *mut u64) -> c_int;
    pub fn freyja_batch_rollback_to(batch: Handle, savepoint: u64) -> c_int;
    pub fn freyja_batch_free(batch: Handle) -> c_int;
    pub fn freyja_strerror(status: c_int) -> *const c_char;
    pub fn freyja_options_init(o: *mut Options, struct_size: usize) -> c_int;
}
