//! What the C functions take from the heap: nothing, once everything has been done before.
//!
//! A binary of its own, because it takes the place of the C library's `malloc` and counts what is asked for: by Freyja's
//! allocator, which is behind it, and by whomever else. Only the calling thread's requests count: what Freyja's own thread
//! does in the background is not part of an operation.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods)] // tests look at files from outside the library
#![allow(unsafe_code)] // calls C functions, and is malloc
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

use std::cell::Cell;
use std::ffi::{CString, OsStr, OsString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use freyja as _; // its C functions are called

thread_local! {
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
    /// Prints where the next request comes from.
    static FORBIDDEN: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    let requests = REQUESTS.get() + 1;
    if FORBIDDEN.replace(false) {
        eprintln!("{}", std::backtrace::Backtrace::force_capture());
    }
    // Printing makes requests, too.
    REQUESTS.set(requests);
}

// The C library's own functions under their other names.
unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(address: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, size: usize) -> *mut c_void;
}

#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    count();
    // SAFETY: any size will do.
    unsafe { __libc_malloc(size) }
}

#[unsafe(no_mangle)]
extern "C" fn calloc(number: usize, size: usize) -> *mut c_void {
    count();
    // SAFETY: as above.
    unsafe { __libc_calloc(number, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(address: *mut c_void, size: usize) -> *mut c_void {
    count();
    // SAFETY: the caller of realloc promises what the function wants.
    unsafe { __libc_realloc(address, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    count();
    // SAFETY: as above; the caller has a place for the answer.
    unsafe { out.write(__libc_memalign(alignment, size)) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    count();
    // SAFETY: any size and alignment will do.
    unsafe { __libc_memalign(alignment, size) }
}

/// One test at a time: what a closed store leaves behind is dropped by whichever thread uses the library next.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn what_is_counted_is_what_is_requested() {
    let before = REQUESTS.get();
    let mut vec: Vec<u64> = Vec::with_capacity(100);
    assert_eq!(REQUESTS.get() - before, 1);
    vec.reserve(1000);
    assert_eq!(REQUESTS.get() - before, 2);
    std::hint::black_box(Box::new([0_u128; 4]));
    assert_eq!(REQUESTS.get() - before, 3);
    std::hint::black_box(vec![0_u8; 1000]);
    assert_eq!(REQUESTS.get() - before, 4);
}

type Handle = *mut c_void;
type Bytes = *const c_void;

#[repr(C)]
struct Options {
    struct_size: u32,
    flags: u32,
    sync_mode: u32,
    sync_interval_ms: u32,
    key_storage: u32,
    read_mode: u32,
    background_threads: u32,
    others: [u32; 9],
}

#[repr(C)]
struct Slice {
    data: Bytes,
    length: usize,
}

unsafe extern "C" {
    fn freyja_options_init(options: *mut Options, size: usize) -> c_int;
    fn freyja_open(
        path: *const c_char,
        options: *const Options,
        out: *mut Handle,
        error: Handle,
    ) -> c_int;
    fn freyja_close(db: Handle) -> c_int;
    fn freyja_put(db: Handle, key: Bytes, key_len: usize, val: Bytes, val_len: usize) -> c_int;
    fn freyja_put_buf(db: Handle, key: Bytes, key_len: usize, buf: Handle, val_len: usize)
    -> c_int;
    fn freyja_buf_alloc(size: usize, buf: *mut Handle) -> c_int;
    fn freyja_free_buf(buf: Handle);
    fn freyja_get(
        db: Handle,
        key: Bytes,
        key_len: usize,
        val: *mut Handle,
        val_len: *mut usize,
    ) -> c_int;
    fn freyja_get_into(
        db: Handle,
        key: Bytes,
        key_len: usize,
        buf: Handle,
        cap: usize,
        val_len: *mut usize,
    ) -> c_int;
    fn freyja_get_many(
        db: Handle,
        keys: Bytes,
        key_ends: *const usize,
        count: usize,
        vals: *mut Handle,
        val_ends: *mut usize,
        states: *mut c_int,
    ) -> c_int;
    fn freyja_get_pinned(
        db: Handle,
        key: Bytes,
        key_len: usize,
        pin: *mut Handle,
        val: *mut Bytes,
        val_len: *mut usize,
    ) -> c_int;
    fn freyja_unpin(pin: Handle) -> c_int;
    fn freyja_exists(db: Handle, key: Bytes, key_len: usize) -> c_int;
    fn freyja_delete(db: Handle, key: Bytes, key_len: usize) -> c_int;
    fn freyja_batch_new(out: *mut Handle) -> c_int;
    fn freyja_batch_put(
        batch: Handle,
        key: Bytes,
        key_len: usize,
        val: Bytes,
        val_len: usize,
    ) -> c_int;
    fn freyja_batch_clear(batch: Handle) -> c_int;
    fn freyja_batch_free(batch: Handle) -> c_int;
    fn freyja_write(db: Handle, batch: Handle) -> c_int;
    fn freyja_write_packed(db: Handle, ops: Bytes, ops_len: usize) -> c_int;
    fn freyja_iter_new(db: Handle, out: *mut Handle) -> c_int;
    fn freyja_iter_next(iterator: Handle, key: *mut Slice, val: *mut Slice) -> c_int;
    fn freyja_iter_free(iterator: Handle) -> c_int;
}

const SYNC_NONE: u32 = 2;
const IN_MEMORY: u32 = 0;
const ON_DISK: u32 = 1;
const MAPPED: u32 = 0;
const PREAD: u32 = 1;
const NOT_FOUND: c_int = -1;
const DONE: c_int = -2;
const KEYS: u64 = 5000;
const ROUNDS: u64 = 3000;
const MANY: usize = 20;
const VALUE: [u8; 300] = [7; 300];

fn open(path: &Path, key_storage: u32, read_mode: u32, background_threads: u32) -> Handle {
    let path = CString::new(path.to_str().unwrap()).unwrap();
    let mut options = Options {
        struct_size: 0,
        flags: 0,
        sync_mode: 0,
        sync_interval_ms: 0,
        key_storage: 0,
        read_mode: 0,
        background_threads: 0,
        others: [0; 9],
    };
    let mut db = null_mut();
    // SAFETY: the size is that of the struct, the path ends with NUL, and no error's text is asked for.
    unsafe {
        assert_eq!(freyja_options_init(&mut options, size_of::<Options>()), 0);
        options.sync_mode = SYNC_NONE;
        options.key_storage = key_storage;
        options.read_mode = read_mode;
        options.background_threads = background_threads;
        assert_eq!(freyja_open(path.as_ptr(), &options, &mut db, null_mut()), 0);
    }
    db
}

fn key(number: u64) -> [u8; 16] {
    let mut key = [b'k'; 16];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    key
}

fn put(db: Handle, number: u64) {
    let key = key(number);
    // SAFETY: pointers and lengths of arrays.
    let status = unsafe { freyja_put(db, key.as_ptr().cast(), 16, VALUE.as_ptr().cast(), 300) };
    assert_eq!(status, 0);
}

/// The name of the segment that was begun last.
fn newest_segment(store: &Path) -> OsString {
    let entries = std::fs::read_dir(store).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let segments = names.filter(|name| Path::new(name).extension() == Some(OsStr::new("seg")));
    segments.max().unwrap()
}

/// Operates some thousand times to warm up, and as often to see how many of the operations request something, but for those
/// that begin a segment.
fn requesting(store: &Path, mut operate: impl FnMut(u64)) -> usize {
    (0..ROUNDS).for_each(&mut operate);
    let mut newest = newest_segment(store);
    let mut requesting = 0;
    for round in 0..ROUNDS {
        let before = REQUESTS.get();
        operate(round);
        if REQUESTS.get() > before {
            let now = newest_segment(store);
            requesting += usize::from(now == newest);
            newest = now;
        }
    }
    requesting
}

fn no_requests(store: &Path, name: &str, operate: impl FnMut(u64)) {
    rare_requests(store, name, 0, operate);
}

/// The same where once in a while an operation tidies up what many have left: no more than `most` of them do.
fn rare_requests(store: &Path, name: &str, most: usize, operate: impl FnMut(u64)) {
    let requesting = requesting(store, operate);
    assert!(
        requesting <= most,
        "{name}: {requesting} of {ROUNDS} operations made requests"
    );
}

fn no_operation_takes_from_the_heap(key_storage: u32, read_mode: u32) {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let store = &*directory.path().join("store");
    // A thread that has to wait for another takes memory for that once.
    let db = open(store, key_storage, read_mode, 0);
    (0..KEYS).for_each(|number| put(db, number));

    no_requests(store, "put", |i| put(db, i % KEYS));
    no_requests(store, "get", |i| {
        let (key, mut val, mut val_len) = (key(i % KEYS), null_mut(), 0);
        // SAFETY: pointers and lengths of arrays, and places for the answers; the value is freed once.
        unsafe {
            let status = freyja_get(db, key.as_ptr().cast(), 16, &mut val, &mut val_len);
            assert_eq!((status, val_len), (0, 300));
            freyja_free_buf(val);
        }
    });
    no_requests(store, "get of a key that is not there", |i| {
        let (key, mut val, mut val_len) = (key(KEYS + i), null_mut(), 0);
        // SAFETY: as above.
        let status = unsafe { freyja_get(db, key.as_ptr().cast(), 16, &mut val, &mut val_len) };
        assert_eq!(status, NOT_FOUND);
    });
    no_requests(store, "get_into", |i| {
        let (key, mut val, mut val_len) = (key(i % KEYS), [0; 300], 0);
        let place = val.as_mut_ptr().cast();
        // SAFETY: as above.
        let status =
            unsafe { freyja_get_into(db, key.as_ptr().cast(), 16, place, 300, &mut val_len) };
        assert_eq!((status, val), (0, VALUE));
    });
    no_requests(store, "get_pinned and unpin", |i| {
        let (key, mut pin, mut val, mut val_len) = (key(i % KEYS), null_mut(), null(), 0);
        // SAFETY: as above; the value is looked at before the pin is released.
        unsafe {
            let status = freyja_get_pinned(
                db,
                key.as_ptr().cast(),
                16,
                &mut pin,
                &mut val,
                &mut val_len,
            );
            assert_eq!((status, val_len, *val.cast::<u8>()), (0, 300, 7));
            assert_eq!(freyja_unpin(pin), 0);
        }
    });
    no_requests(store, "get_many", |i| get_many(db, i));
    no_requests(store, "exists", |i| {
        let key = key(i % KEYS);
        // SAFETY: as above.
        assert_eq!(unsafe { freyja_exists(db, key.as_ptr().cast(), 16) }, 0);
    });
    // Removed keys stay in the memory for keys until a tenth of it is theirs; then the keys of a shard, some thousand, are
    // copied to new memory.
    let rebuilding = if key_storage == IN_MEMORY { 6 } else { 0 };
    rare_requests(store, "delete and put of the same key", rebuilding, |i| {
        let key = key(i % KEYS);
        // SAFETY: as above.
        assert_eq!(unsafe { freyja_delete(db, key.as_ptr().cast(), 16) }, 0);
        put(db, i % KEYS);
    });
    no_requests(store, "put_buf", |i| {
        let (key, mut buf) = (key(i % KEYS), null_mut::<c_void>());
        // SAFETY: the buffer is filled before it is handed over.
        unsafe {
            assert_eq!(freyja_buf_alloc(300, &mut buf), 0);
            buf.cast::<u8>().write_bytes(7, 300);
            assert_eq!(freyja_put_buf(db, key.as_ptr().cast(), 16, buf, 300), 0);
        }
    });
    let mut batch = null_mut();
    // SAFETY: a place for the answer.
    assert_eq!(unsafe { freyja_batch_new(&mut batch) }, 0);
    no_requests(store, "batch of ten puts", |i| write_ten(db, batch, i));
    // SAFETY: made above.
    assert_eq!(unsafe { freyja_batch_free(batch) }, 0);
    no_requests(store, "ten packed puts", |i| write_ten_packed(db, i));
    iterate(db);
    // SAFETY: the handle is open.
    assert_eq!(unsafe { freyja_close(db) }, 0);
}

fn get_many(db: Handle, i: u64) {
    let mut keys = [0; 16 * MANY];
    let (mut ends, mut val_ends, mut states) = ([0; MANY], [0; MANY], [0; MANY]);
    for n in 0..MANY {
        keys[16 * n..][..16].copy_from_slice(&key((i + n as u64) % KEYS));
        ends[n] = 16 * (n + 1);
    }
    let mut vals = null_mut();
    // SAFETY: arrays of as many elements as there are keys; the values are freed once.
    unsafe {
        let (keys, ends) = (keys.as_ptr().cast(), ends.as_ptr());
        let (val_ends, states) = (val_ends.as_mut_ptr(), states.as_mut_ptr());
        let status = freyja_get_many(db, keys, ends, MANY, &mut vals, val_ends, states);
        assert_eq!(status, 0);
        freyja_free_buf(vals);
    }
    assert_eq!((val_ends[MANY - 1], states), (300 * MANY, [0; MANY]));
}

fn write_ten_packed(db: Handle, i: u64) {
    let mut packed = [0; 10 * (8 + 16 + 300)];
    for (n, put) in (0..).zip(packed.chunks_exact_mut(8 + 16 + 300)) {
        put[..4].copy_from_slice(&16_u32.to_le_bytes());
        put[4..8].copy_from_slice(&300_u32.to_le_bytes());
        put[8..24].copy_from_slice(&key((i + n / 2) % KEYS));
        put[24..].copy_from_slice(&VALUE);
    }
    // SAFETY: the handle is open, and the buffer as long as is said.
    let status = unsafe { freyja_write_packed(db, packed.as_ptr().cast(), packed.len()) };
    assert_eq!(status, 0);
}

fn write_ten(db: Handle, batch: Handle, i: u64) {
    for n in 0..10 {
        // Some keys twice.
        let key = key((i + n / 2) % KEYS);
        let (key, val) = (key.as_ptr().cast(), VALUE.as_ptr().cast());
        // SAFETY: pointers and lengths of arrays.
        assert_eq!(unsafe { freyja_batch_put(batch, key, 16, val, 300) }, 0);
    }
    // SAFETY: both handles are open.
    unsafe {
        assert_eq!(freyja_write(db, batch), 0);
        assert_eq!(freyja_batch_clear(batch), 0);
    }
}

/// The first step goes through the index; what it needs is taken then.
fn iterate(db: Handle) {
    let mut iterator = null_mut();
    let empty = || Slice {
        data: null_mut(),
        length: 0,
    };
    let (mut key, mut val, mut pairs) = (empty(), empty(), 0);
    // SAFETY: places for the answers, and an open iterator.
    unsafe {
        assert_eq!(freyja_iter_new(db, &mut iterator), 0);
        assert_eq!(freyja_iter_next(iterator, &mut key, &mut val), 0);
        let before = REQUESTS.get();
        FORBIDDEN.set(true);
        loop {
            pairs += 1;
            match freyja_iter_next(iterator, &mut key, &mut val) {
                0 => assert_eq!((key.length, val.length), (16, 300)),
                status => break assert_eq!(status, DONE),
            }
        }
        FORBIDDEN.set(false);
        assert_eq!(REQUESTS.get() - before, 0, "steps of an iterator");
        assert_eq!(pairs, KEYS);
        assert_eq!(freyja_iter_free(iterator), 0);
    }
}

#[test]
fn with_keys_in_memory_no_operation_takes_from_the_heap_once_it_has_been_done_before() {
    no_operation_takes_from_the_heap(IN_MEMORY, MAPPED);
}

#[test]
fn with_keys_on_disk_no_operation_takes_from_the_heap_once_it_has_been_done_before() {
    no_operation_takes_from_the_heap(ON_DISK, MAPPED);
}

#[test]
fn without_mappings_no_operation_takes_from_the_heap_once_it_has_been_done_before() {
    no_operation_takes_from_the_heap(ON_DISK, PREAD);
}

/// Requests of opening a store of `keys` keys, with or without an image of its index.
fn requests_of_opening(keys: u64, image: bool) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let db = open(&path, IN_MEMORY, MAPPED, 1);
    (0..keys).for_each(|number| put(db, number));
    // SAFETY: the handle is open.
    assert_eq!(unsafe { freyja_close(db) }, 0);
    for entry in std::fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        if !image && file.extension().is_some_and(|extension| extension == "img") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let before = REQUESTS.get();
    let db = open(&path, IN_MEMORY, MAPPED, 1);
    let requests = REQUESTS.get() - before;
    // SAFETY: the handle is open.
    assert_eq!(unsafe { freyja_close(db) }, 0);
    println!("{keys} keys, image {image}: {requests} requests");
    requests
}

#[test]
fn opening_takes_nothing_from_the_heap_for_a_single_key() {
    let _alone = alone();
    for image in [true, false] {
        let (few, many) = (
            requests_of_opening(2_000, image),
            requests_of_opening(20_000, image),
        );
        let more = many.saturating_sub(few);
        assert!(
            more < 18_000 / 100,
            "{more} requests more for 18,000 keys more, image: {image}"
        );
    }
}
