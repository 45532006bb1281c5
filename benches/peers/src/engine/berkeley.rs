//! Berkeley DB 5.3.
//!
//! Its C interface is made of structures whose fields are functions. They are reached by the offsets that db.h of 5.3 gives
//! them where pointers have 64 bits; the version is in the library's name and asked for before anything else.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

use super::dynamic::{functions, load};
use super::{Absent, Durability, Engine, Kind, Opened, Opening, Pair, Session};

/// Berkeley DB.
pub const KIND: Kind = Kind {
    name: "Berkeley DB",
    options: "B-tree, with pages of 32 KiB for values above 900 B, in a transactional environment private to the process, cache of twice the raw bytes (256 MiB to 4 GiB), a checkpoint after every 64 MiB of log, which is then removed; \
              synced: the default, else DB_TXN_WRITE_NOSYNC",
    open,
    answers: true,
    is_store: true,
    has_more: false,
};

const NOT_FOUND: c_int = -30988;
const DEADLOCK: c_int = -30993;
const CREATE: u32 = 0x1;
const THREAD: u32 = 0x20;
const RECOVER: u32 = 0x2;
const PRIVATE: u32 = 0x1_0000;
/// DB_INIT_LOCK, DB_INIT_LOG, DB_INIT_MPOOL, DB_INIT_TXN.
const TRANSACTIONAL: u32 = 0x100 | 0x200 | 0x400 | 0x2000;
const AUTO_COMMIT: u32 = 0x100;
const WRITE_NOSYNC: u32 = 0x20;
const LOG_AUTO_REMOVE: u32 = 0x1;
const DEFAULT_DETECTION: u32 = 1;
const BTREE: c_int = 1;
const NEXT: u32 = 16;
const USER_MEMORY: u32 = 0x800;

/// A value above this length would lie outside the tree, in pages of its own, if these had the usual 4 KiB.
const SHORT_VALUE: usize = 900;
const LARGE_PAGE: u32 = 32 << 10;

/// KiB of log after which a checkpoint is made, and after how many puts that is looked at.
const CHECKPOINT_KIB: u32 = 64 << 10;
const PUTS_A_LOOK: u32 = 1024;

type Pointer = *mut c_void;

functions! {
    struct Functions {
        fn db_version(*mut c_int, *mut c_int, *mut c_int) -> *const c_char;
        fn db_strerror(c_int) -> *const c_char;
        fn db_env_create(*mut Pointer, u32) -> c_int;
        fn db_create(*mut Pointer, Pointer, u32) -> c_int;
    }
}

/// Declares functions that lie at these offsets of a structure.
macro_rules! methods {
    ($(fn $name:ident at $offset:literal ($($argument:ident: $type:ty),*);)*) => {
        $(
            /// # Safety
            ///
            /// The first argument is the structure that has this method, and the others are as db.h demands.
            #[inline(always)]
            unsafe fn $name(this: Pointer, $($argument: $type),*) -> c_int {
                type Method = unsafe extern "C" fn(Pointer, $($type),*) -> c_int;
                // SAFETY: there lies such a pointer to a function in this version's structure.
                unsafe { this.byte_add($offset).cast::<Method>().read()(this, $($argument),*) }
            }
        )*
    };
}

methods! {
    fn environment_set_cachesize at 1632 (gigabytes: u32, bytes: u32, count: c_int);
    fn environment_set_flags at 1728 (flags: u32, on: c_int);
    fn environment_log_set_config at 1112 (flags: u32, on: c_int);
    fn environment_set_lk_detect at 1800 (which: u32);
    fn environment_open at 1328 (home: *const c_char, flags: u32, mode: c_int);
    fn environment_txn_begin at 2040 (parent: Pointer, transaction: *mut Pointer, flags: u32);
    fn environment_txn_checkpoint at 2048 (kib: u32, minutes: u32, flags: u32);
    fn environment_close at 488 (flags: u32);
    fn database_set_pagesize at 1248 (bytes: u32);
    fn database_open at 1008 (transaction: Pointer, file: *const c_char, name: *const c_char, kind: c_int, flags: u32, mode: c_int);
    fn database_put at 1024 (transaction: Pointer, key: *mut Bytes, value: *mut Bytes, flags: u32);
    fn database_get at 632 (transaction: Pointer, key: *mut Bytes, value: *mut Bytes, flags: u32);
    fn database_cursor at 584 (transaction: Pointer, cursor: *mut Pointer, flags: u32);
    fn database_close at 568 (flags: u32);
    fn cursor_get at 392 (key: *mut Bytes, value: *mut Bytes, flags: u32);
    fn cursor_close at 352 ();
    fn transaction_commit at 240 (flags: u32);
    fn transaction_abort at 232 ();
}

/// `DBT` of db.h.
#[repr(C)]
struct Bytes {
    data: *mut u8,
    size: u32,
    capacity: u32,
    part: [u32; 2],
    application: Pointer,
    flags: u32,
}

impl Bytes {
    /// Bytes that the library reads.
    fn given(bytes: &[u8]) -> Self {
        Self {
            data: bytes.as_ptr().cast_mut(),
            size: bytes.len() as u32,
            capacity: 0,
            part: [0; 2],
            application: null_mut(),
            flags: 0,
        }
    }

    /// Room for bytes that the library writes.
    fn room(buffer: &mut [u8]) -> Self {
        Self {
            data: buffer.as_mut_ptr(),
            size: 0,
            capacity: buffer.len() as u32,
            part: [0; 2],
            application: null_mut(),
            flags: USER_MEMORY,
        }
    }
}

struct Berkeley {
    functions: Functions,
    environment: Pointer,
    database: Pointer,
}

// SAFETY: environment and database are opened for any number of threads.
unsafe impl Send for Berkeley {}
// SAFETY: as above.
unsafe impl Sync for Berkeley {}

struct BerkeleySession<'e> {
    engine: &'e Berkeley,
    buffer: Vec<u8>,
    key_buffer: [u8; 64],
    puts: u32,
}

fn open(directory: &Path, opening: &Opening) -> Opened {
    let functions = Functions::of(load(&["libdb-5.3.so"])?)?;
    let [mut major, mut minor, mut patch] = [0; 3];
    // SAFETY: it fills in the three numbers.
    unsafe { (functions.db_version)(&mut major, &mut minor, &mut patch) };
    if (major, minor) != (5, 3) || cfg!(not(target_pointer_width = "64")) {
        return Err(Absent(format!("version {major}.{minor} is not 5.3")));
    }
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let home = CString::new(directory.as_os_str().as_bytes()).expect("paths hold no NUL");
    let mut engine = Berkeley {
        functions,
        environment: null_mut(),
        database: null_mut(),
    };
    let cache = opening.cache_bytes();
    // SAFETY: the methods are those of the structures, with arguments as db.h demands.
    unsafe {
        let created = (functions.db_env_create)(&mut engine.environment, 0);
        engine.check(created, "environment");
        let environment = engine.environment;
        let (gigabytes, bytes) = ((cache >> 30) as u32, cache as u32 & ((1 << 30) - 1));
        engine.check(
            environment_set_cachesize(environment, gigabytes, bytes, 1),
            "cache",
        );
        if opening.durability == Durability::Cached {
            engine.check(environment_set_flags(environment, WRITE_NOSYNC, 1), "flags");
        }
        engine.check(
            environment_log_set_config(environment, LOG_AUTO_REMOVE, 1),
            "log",
        );
        engine.check(
            environment_set_lk_detect(environment, DEFAULT_DETECTION),
            "locks",
        );
        let flags = CREATE | THREAD | RECOVER | PRIVATE | TRANSACTIONAL;
        engine.check(
            environment_open(environment, home.as_ptr(), flags, 0o600),
            "open the environment",
        );
        let created = (functions.db_create)(&mut engine.database, environment, 0);
        engine.check(created, "database");
        if opening.value_len > SHORT_VALUE {
            let set = database_set_pagesize(engine.database, LARGE_PAGE);
            engine.check(set, "page size");
        }
        let flags = CREATE | THREAD | AUTO_COMMIT;
        let name = c"store.db".as_ptr();
        engine.check(
            database_open(
                engine.database,
                null_mut(),
                name,
                null(),
                BTREE,
                flags,
                0o600,
            ),
            "open the database",
        );
    }
    Ok(Box::new(engine))
}

impl Berkeley {
    #[inline(always)]
    fn check(&self, status: c_int, doing: &str) {
        if status != 0 {
            self.refuse(status, doing);
        }
    }

    #[cold]
    fn refuse(&self, status: c_int, doing: &str) -> ! {
        // SAFETY: the library answers with a NUL-terminated text.
        let text = unsafe { CStr::from_ptr((self.functions.db_strerror)(status)) };
        panic!("{doing}: {}", text.to_string_lossy());
    }
}

impl Engine for Berkeley {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(BerkeleySession {
            engine: self,
            buffer: vec![0; 8192],
            key_buffer: [0; 64],
            puts: 0,
        })
    }

    fn version(&self) -> String {
        let [mut major, mut minor, mut patch] = [0; 3];
        // SAFETY: it fills in the three numbers.
        unsafe { (self.functions.db_version)(&mut major, &mut minor, &mut patch) };
        format!("{major}.{minor}.{patch}")
    }

    fn close(self: Box<Self>) {
        // SAFETY: no session is left, since each borrows the engine.
        unsafe {
            self.check(database_close(self.database, 0), "close the database");
            let done = environment_txn_checkpoint(self.environment, 0, 0, 0);
            self.check(done, "checkpoint");
            self.check(environment_close(self.environment, 0), "close");
        }
    }
}

impl BerkeleySession<'_> {
    fn look_at_the_log(&mut self, puts: u32) {
        self.puts += puts;
        if self.puts >= PUTS_A_LOOK {
            self.puts = 0;
            let environment = self.engine.environment;
            // SAFETY: the method is the structure's.
            let done = unsafe { environment_txn_checkpoint(environment, CHECKPOINT_KIB, 0, 0) };
            self.engine.check(done, "checkpoint");
        }
    }
}

impl Session for BerkeleySession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let (mut key, mut value) = (Bytes::given(key), Bytes::given(value));
        let database = self.engine.database;
        loop {
            // SAFETY: the method is the structure's, pointers and lengths are those of live slices.
            match unsafe { database_put(database, null_mut(), &mut key, &mut value, 0) } {
                // Another thread goes first.
                DEADLOCK => {}
                status => break self.engine.check(status, "put"),
            }
        }
        self.look_at_the_log(1);
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let (mut key, mut value) = (Bytes::given(key), Bytes::room(&mut self.buffer));
        let database = self.engine.database;
        // SAFETY: the method is the structure's, pointers and lengths are those of live slices.
        let got = unsafe { database_get(database, null_mut(), &mut key, &mut value, 0) };
        if got == NOT_FOUND {
            return false;
        }
        self.engine.check(got, "get");
        let length = value.size as usize;
        see(&self.buffer[..length]);
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let mut cursor = null_mut();
        // SAFETY: the methods are the structures', pointers and lengths are those of live slices.
        unsafe {
            let opened = database_cursor(self.engine.database, null_mut(), &mut cursor, 0);
            self.engine.check(opened, "cursor");
            loop {
                let mut key = Bytes::room(&mut self.key_buffer);
                let mut value = Bytes::room(&mut self.buffer);
                let got = cursor_get(cursor, &mut key, &mut value, NEXT);
                if got == NOT_FOUND {
                    break;
                }
                self.engine.check(got, "next");
                let (key_len, value_len) = (key.size as usize, value.size as usize);
                see(&self.key_buffer[..key_len], &self.buffer[..value_len]);
            }
            self.engine.check(cursor_close(cursor), "close the cursor");
        }
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let Berkeley {
            environment,
            database,
            ..
        } = *self.engine;
        'again: loop {
            let mut transaction = null_mut();
            // SAFETY: the methods are the structures', pointers and lengths are those of live slices; the transaction ends here.
            unsafe {
                let begun = environment_txn_begin(environment, null_mut(), &mut transaction, 0);
                self.engine.check(begun, "begin");
                for (key, value) in pairs {
                    let (mut key, mut value) = (Bytes::given(key), Bytes::given(value));
                    let put = database_put(database, transaction, &mut key, &mut value, 0);
                    if put == DEADLOCK {
                        self.engine.check(transaction_abort(transaction), "abort");
                        continue 'again;
                    }
                    self.engine.check(put, "put");
                }
                self.engine
                    .check(transaction_commit(transaction, 0), "commit");
            }
            break;
        }
        self.look_at_the_log(pairs.len() as u32);
        true
    }
}
