//! SQLite.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard};

use super::dynamic::{functions, load};
use super::{Durability, Engine, Kind, Opened, Opening, Pair, Session};

/// SQLite.
pub const KIND: Kind = Kind {
    name: "SQLite",
    options: "one connection behind a lock, prepared statements, write-ahead log of 64 MiB, EXCLUSIVE locking, cache of twice the raw bytes (256 MiB to 4 GiB), mapped file; the key is the primary key of \
              a table WITHOUT ROWID, values above 200 B: with an index beside it and pages of 16 KiB; synced: synchronous=FULL, else OFF",
    open,
    answers: true,
    is_store: true,
    has_more: false,
};

const OK: c_int = 0;
const ROW: c_int = 100;
const DONE: c_int = 101;
/// The connection is not locked by the library: a lock of our own is around all that is done with it.
const NOMUTEX: c_int = 0x8000;
const READ_WRITE_CREATE: c_int = 2 | 4;
/// Up to this length the documentation recommends tables without row numbers.
const SHORT_VALUE: usize = 200;

type Pointer = *mut c_void;

functions! {
    struct Functions {
        fn sqlite3_libversion() -> *const c_char;
        fn sqlite3_open_v2(*const c_char, *mut Pointer, c_int, *const c_char) -> c_int;
        fn sqlite3_close(Pointer) -> c_int;
        fn sqlite3_errmsg(Pointer) -> *const c_char;
        fn sqlite3_exec(Pointer, *const c_char, Pointer, Pointer, Pointer) -> c_int;
        fn sqlite3_prepare_v2(Pointer, *const c_char, c_int, *mut Pointer, Pointer) -> c_int;
        fn sqlite3_finalize(Pointer) -> c_int;
        fn sqlite3_bind_blob(Pointer, c_int, *const u8, c_int, Pointer) -> c_int;
        fn sqlite3_step(Pointer) -> c_int;
        fn sqlite3_reset(Pointer) -> c_int;
        fn sqlite3_column_blob(Pointer, c_int) -> *const u8;
        fn sqlite3_column_bytes(Pointer, c_int) -> c_int;
    }
}

struct Sqlite(Mutex<Connection>);

/// A connection and its statements.
struct Connection {
    functions: Functions,
    database: Pointer,
    put: Pointer,
    get: Pointer,
    all: Pointer,
    begin: Pointer,
    commit: Pointer,
}

// SAFETY: a connection and its statements may be used by any thread, one at a time.
unsafe impl Send for Connection {}

fn open(directory: &Path, opening: &Opening) -> Opened {
    let functions = Functions::of(load(&["libsqlite3.so.0", "libsqlite3.so"])?)?;
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let file = directory.join("store.sqlite");
    let file = CString::new(file.to_str().expect("a path in Unicode")).expect("no NUL");
    let mut connection = Connection {
        functions,
        database: null_mut(),
        put: null_mut(),
        get: null_mut(),
        all: null_mut(),
        begin: null_mut(),
        commit: null_mut(),
    };
    let flags = READ_WRITE_CREATE | NOMUTEX;
    let open = functions.sqlite3_open_v2;
    // SAFETY: the path is NUL-terminated.
    let opened = unsafe { open(file.as_ptr(), &mut connection.database, flags, null()) };
    connection.check(opened, "open");
    let synchronous = match opening.durability {
        Durability::Synced => "FULL",
        Durability::Cached => "OFF",
    };
    let (without, page) = match opening.value_len <= SHORT_VALUE {
        true => ("WITHOUT ROWID", 4096),
        false => ("", 16384),
    };
    connection.execute(&format!(
        "PRAGMA page_size={page}; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; \
         PRAGMA cache_size=-{}; PRAGMA mmap_size={}; PRAGMA wal_autocheckpoint=16384; \
         CREATE TABLE IF NOT EXISTS pairs(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) {without};",
        opening.cache_bytes() >> 10,
        opening.raw_bytes() * 4,
    ));
    connection.put = connection.prepare(c"INSERT OR REPLACE INTO pairs VALUES(?1, ?2)");
    connection.get = connection.prepare(c"SELECT value FROM pairs WHERE key = ?1");
    connection.all = connection.prepare(c"SELECT key, value FROM pairs");
    connection.begin = connection.prepare(c"BEGIN");
    connection.commit = connection.prepare(c"COMMIT");
    Ok(Box::new(Sqlite(Mutex::new(connection))))
}

impl Connection {
    #[inline(always)]
    fn check(&self, status: c_int, doing: &str) {
        if status != OK {
            self.refuse(doing);
        }
    }

    #[cold]
    fn refuse(&self, doing: &str) -> ! {
        // SAFETY: the library answers with a NUL-terminated text.
        let text = unsafe { CStr::from_ptr((self.functions.sqlite3_errmsg)(self.database)) };
        panic!("{doing}: {}", text.to_string_lossy());
    }

    fn execute(&self, text: &str) {
        let text = CString::new(text).expect("no NUL");
        let execute = self.functions.sqlite3_exec;
        // SAFETY: the text is NUL-terminated.
        let done = unsafe {
            execute(
                self.database,
                text.as_ptr(),
                null_mut(),
                null_mut(),
                null_mut(),
            )
        };
        self.check(done, "execute");
    }

    fn prepare(&self, text: &CStr) -> Pointer {
        let mut statement = null_mut();
        let prepare = self.functions.sqlite3_prepare_v2;
        // SAFETY: the text is NUL-terminated.
        let prepared =
            unsafe { prepare(self.database, text.as_ptr(), -1, &mut statement, null_mut()) };
        self.check(prepared, "prepare");
        statement
    }

    fn bind(&self, statement: Pointer, place: c_int, bytes: &[u8]) {
        let (start, length) = (bytes.as_ptr(), bytes.len() as c_int);
        // SAFETY: the bytes are a live slice, and outlive the step for which they are bound; they are not copied.
        let bound = unsafe {
            (self.functions.sqlite3_bind_blob)(statement, place, start, length, null_mut())
        };
        self.check(bound, "bind");
    }

    /// Runs a statement that has no rows.
    fn run(&self, statement: Pointer, doing: &str) {
        // SAFETY: the statement is this connection's.
        unsafe {
            if (self.functions.sqlite3_step)(statement) != DONE {
                self.refuse(doing);
            }
            self.check((self.functions.sqlite3_reset)(statement), doing);
        }
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.bind(self.put, 1, key);
        self.bind(self.put, 2, value);
        self.run(self.put, "put");
    }

    /// Shows each row of a statement of which the columns are bytes; answers how many there were.
    fn rows<const COLUMNS: usize>(
        &self,
        statement: Pointer,
        mut see: impl FnMut([&[u8]; COLUMNS]),
    ) -> u64 {
        let functions = &self.functions;
        let mut rows = 0;
        // SAFETY: the columns are valid until the next step. A column without bytes has no address.
        unsafe {
            loop {
                match (functions.sqlite3_step)(statement) {
                    ROW => rows += 1,
                    DONE => break,
                    _ => self.refuse("get"),
                }
                see(std::array::from_fn(|column| {
                    let start = (functions.sqlite3_column_blob)(statement, column as c_int);
                    let length = (functions.sqlite3_column_bytes)(statement, column as c_int);
                    match start.is_null() {
                        true => &[],
                        false => std::slice::from_raw_parts(start, length as usize),
                    }
                }));
            }
            self.check((functions.sqlite3_reset)(statement), "reset");
        }
        rows
    }
}

impl Sqlite {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().expect("no thread has failed")
    }
}

impl Engine for Sqlite {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(self)
    }

    fn version(&self) -> String {
        // SAFETY: the library answers with a NUL-terminated text.
        let text = unsafe { CStr::from_ptr((self.lock().functions.sqlite3_libversion)()) };
        text.to_string_lossy().into_owned()
    }

    fn close(self: Box<Self>) {
        let connection = self.lock();
        let Connection {
            put,
            get,
            all,
            begin,
            commit,
            ..
        } = *connection;
        // SAFETY: no session is left, since each borrows the engine.
        unsafe {
            for statement in [put, get, all, begin, commit] {
                let done = (connection.functions.sqlite3_finalize)(statement);
                connection.check(done, "finalize");
            }
            let closed = (connection.functions.sqlite3_close)(connection.database);
            connection.check(closed, "close");
        }
    }
}

impl Session for &Sqlite {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.lock().put(key, value);
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let connection = self.lock();
        connection.bind(connection.get, 1, key);
        connection.rows(connection.get, |[value]| see(value)) > 0
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let connection = self.lock();
        connection.rows(connection.all, |[key, value]| see(key, value));
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let connection = self.lock();
        connection.run(connection.begin, "begin");
        for (key, value) in pairs {
            connection.put(key, value);
        }
        connection.run(connection.commit, "commit");
        true
    }
}
