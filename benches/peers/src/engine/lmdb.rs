//! LMDB.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

use super::dynamic::{functions, load};
use super::{Durability, Engine, Kind, Opened, Opening, Pair, Session};

/// LMDB.
pub const KIND: Kind = Kind {
    name: "LMDB",
    options: "one transaction a put, one read transaction renewed for each get; map of 64 GiB; synced: the defaults, else MDB_WRITEMAP and MDB_NOSYNC",
    open,
    answers: true,
    is_store: true,
    has_more: false,
};

const NOT_FOUND: c_int = -30798;
const NOSYNC: c_uint = 0x10000;
const RDONLY: c_uint = 0x20000;
const WRITEMAP: c_uint = 0x80000;
const NOTLS: c_uint = 0x200000;
/// Operations of a cursor, of `MDB_cursor_op`.
const FIRST: c_uint = 0;
const NEXT: c_uint = 8;
const MAP_SIZE: usize = 64 << 30;

type Pointer = *mut c_void;

/// `MDB_val` of lmdb.h.
#[repr(C)]
struct Value {
    size: usize,
    data: *const u8,
}

impl Value {
    fn of(bytes: &[u8]) -> Self {
        Self {
            size: bytes.len(),
            data: bytes.as_ptr(),
        }
    }

    /// # Safety
    ///
    /// The library has filled it in, and the transaction goes on while the bytes are used.
    unsafe fn bytes<'b>(&self) -> &'b [u8] {
        // SAFETY: as promised.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }
}

functions! {
    struct Functions {
        fn mdb_version(*mut c_int, *mut c_int, *mut c_int) -> *const c_char;
        fn mdb_strerror(c_int) -> *const c_char;
        fn mdb_env_create(*mut Pointer) -> c_int;
        fn mdb_env_set_mapsize(Pointer, usize) -> c_int;
        fn mdb_env_open(Pointer, *const c_char, c_uint, c_uint) -> c_int;
        fn mdb_env_close(Pointer);
        fn mdb_txn_begin(Pointer, Pointer, c_uint, *mut Pointer) -> c_int;
        fn mdb_txn_commit(Pointer) -> c_int;
        fn mdb_txn_abort(Pointer);
        fn mdb_txn_reset(Pointer);
        fn mdb_txn_renew(Pointer) -> c_int;
        fn mdb_dbi_open(Pointer, *const c_char, c_uint, *mut c_uint) -> c_int;
        fn mdb_get(Pointer, c_uint, *mut Value, *mut Value) -> c_int;
        fn mdb_put(Pointer, c_uint, *mut Value, *mut Value, c_uint) -> c_int;
        fn mdb_cursor_open(Pointer, c_uint, *mut Pointer) -> c_int;
        fn mdb_cursor_get(Pointer, *mut Value, *mut Value, c_uint) -> c_int;
        fn mdb_cursor_close(Pointer);
    }
}

struct Lmdb {
    functions: Functions,
    environment: Pointer,
    database: c_uint,
}

// SAFETY: LMDB's environment may be used by any number of threads; transactions are kept in sessions.
unsafe impl Send for Lmdb {}
// SAFETY: as above.
unsafe impl Sync for Lmdb {}

struct LmdbSession<'e> {
    engine: &'e Lmdb,
    /// The read transaction, reset between gets.
    reading: Pointer,
}

fn open(directory: &Path, opening: &Opening) -> Opened {
    let functions = Functions::of(load(&["liblmdb.so.0", "liblmdb.so"])?)?;
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let path = CString::new(directory.as_os_str().as_bytes()).expect("paths hold no NUL");
    let flags = match opening.durability {
        Durability::Synced => NOTLS,
        Durability::Cached => NOTLS | WRITEMAP | NOSYNC,
    };
    let mut engine = Lmdb {
        functions,
        environment: null_mut(),
        database: 0,
    };
    let mut transaction = null_mut();
    // SAFETY: as lmdb.h declares them.
    unsafe {
        let mut environment = null_mut();
        engine.check((functions.mdb_env_create)(&mut environment), "create");
        engine.environment = environment;
        engine.check(
            (functions.mdb_env_set_mapsize)(environment, MAP_SIZE),
            "map size",
        );
        engine.check(
            (functions.mdb_env_open)(environment, path.as_ptr(), flags, 0o600),
            "open",
        );
        let begun = (functions.mdb_txn_begin)(environment, null_mut(), 0, &mut transaction);
        engine.check(begun, "begin");
        let mut database = 0;
        let opened = (functions.mdb_dbi_open)(transaction, null(), 0, &mut database);
        engine.check(opened, "open the database");
        engine.check((functions.mdb_txn_commit)(transaction), "commit");
        engine.database = database;
    }
    Ok(Box::new(engine))
}

impl Lmdb {
    #[inline(always)]
    fn check(&self, status: c_int, doing: &str) {
        if status != 0 {
            self.refuse(status, doing);
        }
    }

    #[cold]
    fn refuse(&self, status: c_int, doing: &str) -> ! {
        // SAFETY: the library answers with a NUL-terminated text.
        let text = unsafe { CStr::from_ptr((self.functions.mdb_strerror)(status)) };
        panic!("{doing}: {}", text.to_string_lossy());
    }
}

impl Engine for Lmdb {
    fn session(&self) -> Box<dyn Session + '_> {
        let mut reading = null_mut();
        // SAFETY: as lmdb.h declares them; without thread-local storage the transaction belongs to who holds it.
        unsafe {
            let (begin, reset) = (self.functions.mdb_txn_begin, self.functions.mdb_txn_reset);
            self.check(
                begin(self.environment, null_mut(), RDONLY, &mut reading),
                "begin",
            );
            reset(reading);
        }
        Box::new(LmdbSession {
            engine: self,
            reading,
        })
    }

    fn version(&self) -> String {
        let [mut major, mut minor, mut patch] = [0; 3];
        // SAFETY: it fills in the three numbers.
        unsafe { (self.functions.mdb_version)(&mut major, &mut minor, &mut patch) };
        format!("{major}.{minor}.{patch}")
    }

    fn close(self: Box<Self>) {
        // SAFETY: no session is left, since each borrows the engine.
        unsafe { (self.functions.mdb_env_close)(self.environment) };
    }
}

impl Drop for LmdbSession<'_> {
    fn drop(&mut self) {
        // SAFETY: the transaction is not used any more.
        unsafe { (self.engine.functions.mdb_txn_abort)(self.reading) };
    }
}

impl Lmdb {
    /// Puts what `pairs` gives in a transaction of its own.
    #[inline]
    fn put<'p>(&self, pairs: impl Iterator<Item = (&'p [u8], &'p [u8])>) {
        let functions = &self.functions;
        let mut transaction = null_mut();
        // SAFETY: pointers and lengths are those of live slices; the transaction ends here.
        unsafe {
            let begin = functions.mdb_txn_begin;
            let begun = begin(self.environment, null_mut(), 0, &mut transaction);
            self.check(begun, "begin");
            for (key, value) in pairs {
                let (mut key, mut value) = (Value::of(key), Value::of(value));
                let put = functions.mdb_put;
                let put = put(transaction, self.database, &mut key, &mut value, 0);
                self.check(put, "put");
            }
            self.check((functions.mdb_txn_commit)(transaction), "commit");
        }
    }
}

impl Session for LmdbSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.engine.put(std::iter::once((key, value)));
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let pairs = pairs.iter();
        self.engine
            .put(pairs.map(|(key, value)| (&key[..], *value)));
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let functions = &self.engine.functions;
        let check = |status, doing| self.engine.check(status, doing);
        let (mut key, mut value) = (Value::of(&[]), Value::of(&[]));
        let mut cursor = null_mut();
        // SAFETY: keys and values are valid until the transaction is reset, and the cursor is closed before.
        unsafe {
            check((functions.mdb_txn_renew)(self.reading), "renew");
            let open = functions.mdb_cursor_open;
            check(
                open(self.reading, self.engine.database, &mut cursor),
                "cursor",
            );
            let mut to = FIRST;
            loop {
                let got = (functions.mdb_cursor_get)(cursor, &mut key, &mut value, to);
                if got == NOT_FOUND {
                    break;
                }
                check(got, "next");
                see(key.bytes(), value.bytes());
                to = NEXT;
            }
            (functions.mdb_cursor_close)(cursor);
            (functions.mdb_txn_reset)(self.reading);
        }
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let functions = &self.engine.functions;
        let (mut key, mut value) = (Value::of(key), Value::of(&[]));
        // SAFETY: the key is a live slice; the value is valid until the transaction is reset.
        unsafe {
            self.engine
                .check((functions.mdb_txn_renew)(self.reading), "renew");
            let got = (functions.mdb_get)(self.reading, self.engine.database, &mut key, &mut value);
            if got != NOT_FOUND {
                self.engine.check(got, "get");
                see(value.bytes());
            }
            (functions.mdb_txn_reset)(self.reading);
            got != NOT_FOUND
        }
    }
}
