//! RocksDB.

use std::ffi::{CString, c_char, c_double, c_int, c_uchar, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

use super::dynamic::{functions, load};
use super::failure::check_text;
use super::{Durability, Engine, Kind, Opened, Opening, Session};

/// RocksDB.
pub const KIND: Kind = Kind {
    name: "RocksDB",
    options: "Debian's build, which has assertions; 64 MiB write buffer, 256 MiB block cache, Bloom filter of 10 bits a key, no compression, logs recycled, 2 background jobs; synced: sync=1",
    open,
    answers: true,
};

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
        fn rocksdb_open(Pointer, *const c_char, *mut *mut c_char) -> Pointer;
        fn rocksdb_close(Pointer);
        fn rocksdb_put(Pointer, Pointer, *const u8, usize, *const u8, usize, *mut *mut c_char);
        fn rocksdb_get_pinned(Pointer, Pointer, *const u8, usize, *mut *mut c_char) -> Pointer;
        fn rocksdb_pinnableslice_value(Pointer, *mut usize) -> *const u8;
        fn rocksdb_pinnableslice_destroy(Pointer);
    }
}

struct RocksDb {
    functions: Functions,
    file: String,
    database: Pointer,
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
        let cache = (functions.rocksdb_cache_create_lru)(256 << 20);
        (functions.rocksdb_block_based_options_set_block_cache)(table, cache);
        let filter = (functions.rocksdb_filterpolicy_create_bloom)(10.0);
        (functions.rocksdb_block_based_options_set_filter_policy)(table, filter);
        (functions.rocksdb_options_set_block_based_table_factory)(options, table);
        let writing = (functions.rocksdb_writeoptions_create)();
        (functions.rocksdb_writeoptions_set_sync)(
            writing,
            u8::from(opening.durability == Durability::Synced),
        );
        RocksDb {
            functions,
            file: super::dynamic::file_of(functions.rocksdb_open as *const c_void),
            database: (functions.rocksdb_open)(options, path.as_ptr(), &mut error),
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
        unsafe { (self.functions.rocksdb_close)(self.database) };
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
}
