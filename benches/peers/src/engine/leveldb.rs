//! LevelDB.

use std::ffi::{CString, c_char, c_int, c_uchar, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

use super::dynamic::{functions, load};
use super::failure::check_text;
use super::{Durability, Engine, Kind, Opened, Opening, Pair, Session};

/// LevelDB.
pub const KIND: Kind = Kind {
    name: "LevelDB",
    options: "64 MiB write buffer, block cache of twice the raw bytes (256 MiB to 4 GiB), Bloom filter of 10 bits a key, no compression, checksums verified; synced: sync=1",
    open,
    answers: true,
    is_store: true,
    has_more: false,
};

type Pointer = *mut c_void;

functions! {
    struct Functions {
        fn leveldb_options_create() -> Pointer;
        fn leveldb_options_set_create_if_missing(Pointer, c_uchar);
        fn leveldb_options_set_write_buffer_size(Pointer, usize);
        fn leveldb_options_set_cache(Pointer, Pointer);
        fn leveldb_options_set_filter_policy(Pointer, Pointer);
        fn leveldb_options_set_compression(Pointer, c_int);
        fn leveldb_cache_create_lru(usize) -> Pointer;
        fn leveldb_filterpolicy_create_bloom(c_int) -> Pointer;
        fn leveldb_readoptions_create() -> Pointer;
        fn leveldb_readoptions_set_verify_checksums(Pointer, c_uchar);
        fn leveldb_writeoptions_create() -> Pointer;
        fn leveldb_writeoptions_set_sync(Pointer, c_uchar);
        fn leveldb_open(Pointer, *const c_char, *mut *mut c_char) -> Pointer;
        fn leveldb_close(Pointer);
        fn leveldb_put(Pointer, Pointer, *const u8, usize, *const u8, usize, *mut *mut c_char);
        fn leveldb_get(Pointer, Pointer, *const u8, usize, *mut usize, *mut *mut c_char) -> *mut u8;
        fn leveldb_free(Pointer);
        fn leveldb_writebatch_create() -> Pointer;
        fn leveldb_writebatch_destroy(Pointer);
        fn leveldb_writebatch_put(Pointer, *const u8, usize, *const u8, usize);
        fn leveldb_write(Pointer, Pointer, Pointer, *mut *mut c_char);
        fn leveldb_create_iterator(Pointer, Pointer) -> Pointer;
        fn leveldb_iter_destroy(Pointer);
        fn leveldb_iter_seek_to_first(Pointer);
        fn leveldb_iter_valid(Pointer) -> c_uchar;
        fn leveldb_iter_next(Pointer);
        fn leveldb_iter_key(Pointer, *mut usize) -> *const u8;
        fn leveldb_iter_value(Pointer, *mut usize) -> *const u8;
        fn leveldb_iter_get_error(Pointer, *mut *mut c_char);
        fn leveldb_major_version() -> c_int;
        fn leveldb_minor_version() -> c_int;
    }
}

struct LevelDb {
    functions: Functions,
    database: Pointer,
    reading: Pointer,
    writing: Pointer,
}

// SAFETY: LevelDB's database may be used by any number of threads; the two sets of options are not changed any more.
unsafe impl Send for LevelDb {}
// SAFETY: as above.
unsafe impl Sync for LevelDb {}

fn open(directory: &Path, opening: &Opening) -> Opened {
    let functions = Functions::of(load(&[
        "libleveldb.so.1d",
        "libleveldb.so.1",
        "libleveldb.so",
    ])?)?;
    let path = CString::new(directory.as_os_str().as_bytes()).expect("paths hold no NUL");
    let mut error = null_mut();
    // SAFETY: as include/leveldb/c.h declares them; the options live as long as the process.
    let engine = unsafe {
        let options = (functions.leveldb_options_create)();
        (functions.leveldb_options_set_create_if_missing)(options, 1);
        (functions.leveldb_options_set_write_buffer_size)(options, opening.write_buffer);
        (functions.leveldb_options_set_cache)(
            options,
            (functions.leveldb_cache_create_lru)(opening.cache_bytes() as usize),
        );
        let filter = (functions.leveldb_filterpolicy_create_bloom)(10);
        (functions.leveldb_options_set_filter_policy)(options, filter);
        (functions.leveldb_options_set_compression)(options, 0);
        let reading = (functions.leveldb_readoptions_create)();
        (functions.leveldb_readoptions_set_verify_checksums)(reading, 1);
        let writing = (functions.leveldb_writeoptions_create)();
        (functions.leveldb_writeoptions_set_sync)(
            writing,
            u8::from(opening.durability == Durability::Synced),
        );
        LevelDb {
            functions,
            database: (functions.leveldb_open)(options, path.as_ptr(), &mut error),
            reading,
            writing,
        }
    };
    check_text("open LevelDB", error);
    Ok(Box::new(engine))
}

impl Engine for LevelDb {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(self)
    }

    fn version(&self) -> String {
        // SAFETY: they take nothing and change nothing.
        let (major, minor) = unsafe {
            let Functions {
                leveldb_major_version,
                leveldb_minor_version,
                ..
            } = self.functions;
            (leveldb_major_version(), leveldb_minor_version())
        };
        format!("{major}.{minor}")
    }

    fn close(self: Box<Self>) {
        // SAFETY: no session is left, since each borrows the engine.
        unsafe { (self.functions.leveldb_close)(self.database) };
    }
}

impl Session for &LevelDb {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let mut error = null_mut();
        // SAFETY: pointers and lengths are those of live slices.
        unsafe {
            (self.functions.leveldb_put)(
                self.database,
                self.writing,
                key.as_ptr(),
                key.len(),
                value.as_ptr(),
                value.len(),
                &mut error,
            );
        }
        check_text("put", error);
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let (mut error, mut length) = (null_mut(), 0);
        // SAFETY: pointer and length are those of a live slice.
        let value = unsafe {
            (self.functions.leveldb_get)(
                self.database,
                self.reading,
                key.as_ptr(),
                key.len(),
                &mut length,
                &mut error,
            )
        };
        check_text("get", error);
        if value.is_null() {
            return false;
        }
        // SAFETY: the value has `length` bytes until it is freed.
        see(unsafe { std::slice::from_raw_parts(value, length) });
        // SAFETY: it came from the library and is not used any more.
        unsafe { (self.functions.leveldb_free)(value.cast()) };
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let functions = &self.functions;
        let mut error = null_mut();
        // SAFETY: key and value are valid until the iterator goes on.
        unsafe {
            let iterator = (functions.leveldb_create_iterator)(self.database, self.reading);
            (functions.leveldb_iter_seek_to_first)(iterator);
            while (functions.leveldb_iter_valid)(iterator) != 0 {
                let (mut key_len, mut value_len) = (0, 0);
                let key = (functions.leveldb_iter_key)(iterator, &mut key_len);
                let value = (functions.leveldb_iter_value)(iterator, &mut value_len);
                see(
                    std::slice::from_raw_parts(key, key_len),
                    std::slice::from_raw_parts(value, value_len),
                );
                (functions.leveldb_iter_next)(iterator);
            }
            (functions.leveldb_iter_get_error)(iterator, &mut error);
            (functions.leveldb_iter_destroy)(iterator);
        }
        check_text("scan", error);
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let functions = &self.functions;
        let mut error = null_mut();
        // SAFETY: pointers and lengths are those of live slices.
        unsafe {
            let batch = (functions.leveldb_writebatch_create)();
            for (key, value) in pairs {
                let (value, value_len) = (value.as_ptr(), value.len());
                let put = functions.leveldb_writebatch_put;
                put(batch, key.as_ptr(), key.len(), value, value_len);
            }
            (functions.leveldb_write)(self.database, self.writing, batch, &mut error);
            (functions.leveldb_writebatch_destroy)(batch);
        }
        check_text("write", error);
        true
    }
}
