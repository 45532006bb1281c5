//! The get path of a running store through the C functions: how often the pool serves it from a magazine.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::null_mut;

use freyja as _; // its C functions are called
use freyja::memory::buffer_pool::process_pool;

type Bytes = *const c_void;

unsafe extern "C" {
    fn freyja_options_init(options: *mut Options, size: usize) -> c_int;
    fn freyja_open(
        path: *const c_char,
        options: *const Options,
        out: *mut *mut c_void,
        error: *mut c_void,
    ) -> c_int;
    fn freyja_put(db: *mut c_void, key: Bytes, key_len: usize, val: Bytes, val_len: usize)
    -> c_int;
    fn freyja_get(
        db: *mut c_void,
        key: Bytes,
        key_len: usize,
        val: *mut *mut c_void,
        val_len: *mut usize,
    ) -> c_int;
    fn freyja_free_buf(buf: *mut c_void);
    fn freyja_close(db: *mut c_void) -> c_int;
}

/// The options that the first version knows: the size says which they are.
#[repr(C)]
struct Options {
    struct_size: u32,
    flags: u32,
    sync_mode: u32,
    others: [u32; 13],
}

const SYNC_NONE: u32 = 2;
const KEYS: u64 = 20_000;
const THREADS: u64 = 4;
const GETS: u64 = 200_000;
/// Values that each thread holds at once, which it gives back the oldest first.
const HELD: usize = 10;

/// What happened.
pub struct GetPath {
    /// Gets of all threads.
    pub gets: u64,
    /// Of these, how many were served from a magazine.
    pub hits: u64,
}

/// Gets values of 64 bytes to 4 KiB in several threads.
pub fn get_path() -> GetPath {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let db = open(&directory.path().join("store"));
    for key in 0..KEYS {
        let value = vec![key as u8; length_of(key)];
        // SAFETY: pointers and lengths of slices.
        let status = unsafe {
            freyja_put(
                db as _,
                (&raw const key).cast(),
                8,
                value.as_ptr().cast(),
                value.len(),
            )
        };
        assert_eq!(status, 0);
    }
    let pool = process_pool().expect("a store uses the pool");
    let before = pool.statistics();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || gets(db, thread));
        }
    });
    let after = pool.statistics();
    // SAFETY: the handle is open, and no other thread uses it any more.
    assert_eq!(unsafe { freyja_close(db as _) }, 0);
    GetPath {
        gets: after.gets() - before.gets(),
        hits: after.hits() - before.hits(),
    }
}

fn length_of(key: u64) -> usize {
    64 + (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % 4033
}

/// The handle as a number, so that threads can share it.
fn open(path: &Path) -> usize {
    let path = CString::new(path.to_str().expect("a path of text")).expect("a path without NUL");
    let mut options = Options {
        struct_size: 0,
        flags: 0,
        sync_mode: 0,
        others: [0; 13],
    };
    let mut db = null_mut();
    // SAFETY: the size is that of the struct, the path ends with NUL, and no error's text is asked for.
    unsafe {
        assert_eq!(freyja_options_init(&mut options, size_of::<Options>()), 0);
        options.sync_mode = SYNC_NONE;
        assert_eq!(freyja_open(path.as_ptr(), &options, &mut db, null_mut()), 0);
    }
    db.expose_provenance()
}

fn gets(db: usize, thread: u64) {
    let mut held = std::collections::VecDeque::new();
    for i in 0..GETS / THREADS {
        let key = (i * THREADS + thread).wrapping_mul(0x9e37_79b9) % KEYS;
        let (mut val, mut val_len) = (null_mut(), 0);
        // SAFETY: a key of 8 bytes, and places for the answers.
        let status =
            unsafe { freyja_get(db as _, (&raw const key).cast(), 8, &mut val, &mut val_len) };
        assert_eq!((status, val_len), (0, length_of(key)));
        held.push_back(val);
        if held.len() > HELD {
            // SAFETY: each is given back once.
            held.pop_front()
                .into_iter()
                .for_each(|val| unsafe { freyja_free_buf(val) });
        }
    }
    for val in held {
        // SAFETY: each is given back once.
        unsafe { freyja_free_buf(val) };
    }
}
