//! RocksDB.

use std::ffi::{CString, c_char, c_double, c_int, c_uchar, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

use super::dynamic::{functions, load};
use super::failure::check_text;
use super::{Durability, Engine, Kind, Opened, Opening, Pair, Session};
use crate::pairs::KEY_LEN;

/// RocksDB.
pub const KIND: Kind = Kind {
    name: "RocksDB",
    options: "Debian's build, which has assertions; 64 MiB write buffer, block cache of twice the raw bytes (256 MiB to 4 GiB), Bloom filter of 10 bits a key, no compression, logs recycled, 2 background jobs; synced: sync=1",
    open,
    answers: true,
    is_store: true,
    has_more: false,
};

/// Most keys of one call.
const MOST_AT_ONCE: usize = 64;

type Pointer = *mut c_void;

functions! {
    struct Functions {
        fn rocksdb_options_create() -> Pointer;
        fn rocksdb_options_set_create_if_missing(Pointer, c_uchar);
        fn rocksdb_options_set_write_buffer_size(Pointer, usize);
        fn rocksdb_options_set_max_background_jobs(Pointer, c_int);
        fn rocksdb_options_set_recycle_log_file_num(Pointer, usize);
        fn rocksdb_options_set_disable_auto_compactions(Pointer, c_int);
        fn rocksdb_options_set_compression(Pointer, c_int);
        fn rocksdb_options_set_block_based_table_factory(Pointer, Pointer);
        fn rocksdb_block_based_options_create() -> Pointer;
        fn rocksdb_block_based_options_set_block_cache(Pointer, Pointer);
        fn rocksdb_block_based_options_set_filter_policy(Pointer, Pointer);
        fn rocksdb_cache_create_lru(usize) -> Pointer;
        fn rocksdb_filterpolicy_create_bloom(c_double) -> Pointer;
        fn rocksdb_readoptions_create() -> Pointer;
        fn rocksdb_writeoptions_create() -> Pointer;
        fn rocksdb_writeoptions_set_sync(Pointer, c_uchar);
        fn rocksdb_open_column_families(
            Pointer,
            *const c_char,
            c_int,
            *const *const c_char,
            *const Pointer,
            *mut Pointer,
            *mut *mut c_char
        ) -> Pointer;
        fn rocksdb_column_family_handle_destroy(Pointer);
        fn rocksdb_close(Pointer);
        fn rocksdb_put(Pointer, Pointer, *const u8, usize, *const u8, usize, *mut *mut c_char);
        fn rocksdb_get_pinned(Pointer, Pointer, *const u8, usize, *mut *mut c_char) -> Pointer;
        fn rocksdb_pinnableslice_value(Pointer, *mut usize) -> *const u8;
        fn rocksdb_pinnableslice_destroy(Pointer);
        fn rocksdb_batched_multi_get_cf(
            Pointer,
            Pointer,
            Pointer,
            usize,
            *const *const u8,
            *const usize,
            *mut Pointer,
            *mut *mut c_char,
            bool
        );
        fn rocksdb_writebatch_create() -> Pointer;
        fn rocksdb_writebatch_destroy(Pointer);
        fn rocksdb_writebatch_put(Pointer, *const u8, usize, *const u8, usize);
        fn rocksdb_write(Pointer, Pointer, Pointer, *mut *mut c_char);
        fn rocksdb_create_iterator(Pointer, Pointer) -> Pointer;
        fn rocksdb_iter_destroy(Pointer);
        fn rocksdb_iter_seek_to_first(Pointer);
        fn rocksdb_iter_valid(Pointer) -> c_uchar;
        fn rocksdb_iter_next(Pointer);
        fn rocksdb_iter_key(Pointer, *mut usize) -> *const u8;
        fn rocksdb_iter_value(Pointer, *mut usize) -> *const u8;
        fn rocksdb_iter_get_error(Pointer, *mut *mut c_char);
    }
}

struct RocksDb {
    functions: Functions,
    file: String,
    database: Pointer,
    /// The column family that has everything; only gets of many keys want to be told.
    family: Pointer,
    reading: Pointer,
    writing: Pointer,
}

// SAFETY: RocksDB's database may be used by any number of threads; the two sets of options are not changed any more.
unsafe impl Send for RocksDb {}
// SAFETY: as above.
unsafe impl Sync for RocksDb {}

fn open(directory: &Path, opening: &Opening) -> Opened {
    let names = [
        "librocksdb.so.7.8",
        "librocksdb.so.9",
        "librocksdb.so.8",
        "librocksdb.so",
    ];
    let library = load(&names)?;
    let functions = Functions::of(library)?;
    let path = CString::new(directory.as_os_str().as_bytes()).expect("paths hold no NUL");
    let mut error = null_mut();
    // SAFETY: as include/rocksdb/c.h declares them; the options live as long as the process.
    let engine = unsafe {
        let options = (functions.rocksdb_options_create)();
        (functions.rocksdb_options_set_create_if_missing)(options, 1);
        (functions.rocksdb_options_set_write_buffer_size)(options, opening.write_buffer);
        (functions.rocksdb_options_set_max_background_jobs)(options, 2);
        (functions.rocksdb_options_set_recycle_log_file_num)(options, 2);
        (functions.rocksdb_options_set_disable_auto_compactions)(
            options,
            c_int::from(!opening.compacts),
        );
        (functions.rocksdb_options_set_compression)(options, 0);
        let table = (functions.rocksdb_block_based_options_create)();
        let cache = (functions.rocksdb_cache_create_lru)(opening.cache_bytes() as usize);
        (functions.rocksdb_block_based_options_set_block_cache)(table, cache);
        let filter = (functions.rocksdb_filterpolicy_create_bloom)(10.0);
        (functions.rocksdb_block_based_options_set_filter_policy)(table, filter);
        (functions.rocksdb_options_set_block_based_table_factory)(options, table);
        let writing = (functions.rocksdb_writeoptions_create)();
        (functions.rocksdb_writeoptions_set_sync)(
            writing,
            u8::from(opening.durability == Durability::Synced),
        );
        let mut family = null_mut();
        let open = functions.rocksdb_open_column_families;
        let name = c"default".as_ptr();
        let database = open(
            options,
            path.as_ptr(),
            1,
            &name,
            &options,
            &mut family,
            &mut error,
        );
        RocksDb {
            functions,
            file: super::dynamic::file_of(open as *const c_void),
            database,
            family,
            reading: (functions.rocksdb_readoptions_create)(),
            writing,
        }
    };
    check_text("open RocksDB", error);
    Ok(Box::new(engine))
}

impl Engine for RocksDb {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(self)
    }

    fn version(&self) -> String {
        // The C interface does not tell it; the file's name does.
        super::dynamic::version_of(&self.file)
    }

    fn close(self: Box<Self>) {
        // SAFETY: no session is left, since each borrows the engine.
        unsafe {
            (self.functions.rocksdb_column_family_handle_destroy)(self.family);
            (self.functions.rocksdb_close)(self.database);
        }
    }
}

impl Session for &RocksDb {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let mut error = null_mut();
        // SAFETY: pointers and lengths are those of live slices.
        unsafe {
            (self.functions.rocksdb_put)(
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
        let pinned = unsafe {
            (self.functions.rocksdb_get_pinned)(
                self.database,
                self.reading,
                key.as_ptr(),
                key.len(),
                &mut error,
            )
        };
        check_text("get", error);
        if pinned.is_null() {
            return false;
        }
        // SAFETY: the slice has `length` bytes until it is destroyed.
        unsafe {
            let value = (self.functions.rocksdb_pinnableslice_value)(pinned, &mut length);
            see(std::slice::from_raw_parts(value, length));
            (self.functions.rocksdb_pinnableslice_destroy)(pinned);
        }
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let functions = &self.functions;
        let mut error = null_mut();
        // SAFETY: key and value are valid until the iterator goes on.
        unsafe {
            let iterator = (functions.rocksdb_create_iterator)(self.database, self.reading);
            (functions.rocksdb_iter_seek_to_first)(iterator);
            while (functions.rocksdb_iter_valid)(iterator) != 0 {
                let (mut key_len, mut value_len) = (0, 0);
                let key = (functions.rocksdb_iter_key)(iterator, &mut key_len);
                let value = (functions.rocksdb_iter_value)(iterator, &mut value_len);
                see(
                    std::slice::from_raw_parts(key, key_len),
                    std::slice::from_raw_parts(value, value_len),
                );
                (functions.rocksdb_iter_next)(iterator);
            }
            (functions.rocksdb_iter_get_error)(iterator, &mut error);
            (functions.rocksdb_iter_destroy)(iterator);
        }
        check_text("scan", error);
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let functions = &self.functions;
        let mut error = null_mut();
        // SAFETY: pointers and lengths are those of live slices.
        unsafe {
            let batch = (functions.rocksdb_writebatch_create)();
            for (key, value) in pairs {
                let (value, value_len) = (value.as_ptr(), value.len());
                let put = functions.rocksdb_writebatch_put;
                put(batch, key.as_ptr(), key.len(), value, value_len);
            }
            (functions.rocksdb_write)(self.database, self.writing, batch, &mut error);
            (functions.rocksdb_writebatch_destroy)(batch);
        }
        check_text("write", error);
        true
    }

    fn get_many(&mut self, keys: &[[u8; KEY_LEN]], see: &mut dyn FnMut(usize, &[u8])) -> bool {
        let functions = &self.functions;
        let mut starts = [null(); MOST_AT_ONCE];
        let mut values = [null_mut(); MOST_AT_ONCE];
        let mut errors = [null_mut(); MOST_AT_ONCE];
        let lengths = [KEY_LEN; MOST_AT_ONCE];
        for (start, key) in starts.iter_mut().zip(keys) {
            *start = key.as_ptr();
        }
        // SAFETY: all arrays have room for as many as there are keys, which is checked.
        unsafe {
            assert!(keys.len() <= MOST_AT_ONCE);
            (functions.rocksdb_batched_multi_get_cf)(
                self.database,
                self.reading,
                self.family,
                keys.len(),
                starts.as_ptr(),
                lengths.as_ptr(),
                values.as_mut_ptr(),
                errors.as_mut_ptr(),
                false,
            );
        }
        for place in 0..keys.len() {
            check_text("get many", errors[place]);
            if values[place].is_null() {
                continue;
            }
            let mut length = 0;
            // SAFETY: the slice has `length` bytes until it is destroyed.
            unsafe {
                let value = (functions.rocksdb_pinnableslice_value)(values[place], &mut length);
                see(place, std::slice::from_raw_parts(value, length));
                (functions.rocksdb_pinnableslice_destroy)(values[place]);
            }
        }
        true
    }
}
