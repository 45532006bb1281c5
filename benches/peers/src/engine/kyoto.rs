//! Kyoto Cabinet, its hash database.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;

use super::dynamic::{address, functions, load, text};
use super::{Durability, Engine, Kind, Opened, Opening, Pair, Session};

/// Kyoto Cabinet.
pub const KIND: Kind = Kind {
    name: "Kyoto Cabinet",
    options: "HashDB, linear lists, two buckets a pair, all of the file mapped; synced: KCOAUTOSYNC, else nothing is synced, and a kill needs a repair at the next open",
    open,
    answers: true,
    is_store: true,
    has_more: false,
};

const WRITER_AND_CREATE: u32 = (1 << 1) | (1 << 2);
const AUTOSYNC: u32 = 1 << 5;

type Pointer = *mut c_void;

/// What is called for each pair, with what it was asked for.
type Visit =
    unsafe extern "C" fn(*const u8, usize, *const u8, usize, *mut usize, Pointer) -> *const c_char;

/// `KCREC` of kclangc.h: a key and a value.
#[repr(C)]
struct Record {
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
}

/// What a scan's visits know.
struct Scan<'s> {
    see: &'s mut dyn FnMut(&[u8], &[u8]),
    /// The answer that leaves the pair as it is.
    leave: *const c_char,
}

/// # Safety
///
/// Keys and values are what their lengths say; the last is a [`Scan`] that nobody else uses.
unsafe extern "C" fn visit(
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    _: *mut usize,
    scan: Pointer,
) -> *const c_char {
    // SAFETY: as promised.
    unsafe {
        let scan = &mut *scan.cast::<Scan<'_>>();
        (scan.see)(
            std::slice::from_raw_parts(key, key_len),
            std::slice::from_raw_parts(value, value_len),
        );
        scan.leave
    }
}

functions! {
    struct Functions {
        fn kcdbnew() -> Pointer;
        fn kcdbdel(Pointer);
        fn kcdbopen(Pointer, *const c_char, u32) -> i32;
        fn kcdbclose(Pointer) -> i32;
        fn kcdbecode(Pointer) -> i32;
        fn kcdbemsg(Pointer) -> *const c_char;
        fn kcdbset(Pointer, *const u8, usize, *const u8, usize) -> i32;
        fn kcdbgetbuf(Pointer, *const u8, usize, *mut u8, usize) -> i32;
        fn kcdbsetbulk(Pointer, *const Record, usize, i32) -> i64;
        fn kcdbiterate(Pointer, Visit, Pointer, i32) -> i32;
    }
}

/// What `kcdbecode` says when there is no such record.
const NO_RECORD: i32 = 7;

struct Kyoto {
    functions: Functions,
    database: Pointer,
    version: String,
    /// `KCVISNOP` of kclangc.h.
    leave: *const c_char,
}

// SAFETY: Kyoto Cabinet's database may be used by any number of threads.
unsafe impl Send for Kyoto {}
// SAFETY: as above.
unsafe impl Sync for Kyoto {}

struct KyotoSession<'e> {
    engine: &'e Kyoto,
    buffer: Vec<u8>,
}

fn open(directory: &Path, opening: &Opening) -> Opened {
    let library = load(&["libkyotocabinet.so.16", "libkyotocabinet.so"])?;
    let functions = Functions::of(library)?;
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let file = directory.join("store.kch");
    let (file, buckets) = (file.to_str().expect("a path in Unicode"), 2 * opening.pairs);
    let mapped = (256 << 20) + 2 * opening.raw_bytes();
    let path = format!("{file}#opts=l#bnum={buckets}#msiz={mapped}");
    let path = CString::new(path).expect("paths hold no NUL");
    let mode = match opening.durability {
        Durability::Synced => WRITER_AND_CREATE | AUTOSYNC,
        Durability::Cached => WRITER_AND_CREATE,
    };
    // SAFETY: as kclangc.h declares it.
    let database = unsafe { (functions.kcdbnew)() };
    let engine = Kyoto {
        functions,
        database,
        version: text(library, "KCVERSION"),
        leave: address(library, "KCVISNOP")?,
    };
    // SAFETY: the path is NUL-terminated.
    engine.check(
        unsafe { (functions.kcdbopen)(database, path.as_ptr(), mode) } != 0,
        "open",
    );
    Ok(Box::new(engine))
}

impl Kyoto {
    #[inline(always)]
    fn check(&self, went_well: bool, doing: &str) {
        if !went_well {
            self.refuse(doing);
        }
    }

    #[cold]
    fn refuse(&self, doing: &str) -> ! {
        // SAFETY: the library answers with a NUL-terminated text.
        let text = unsafe { CStr::from_ptr((self.functions.kcdbemsg)(self.database)) };
        panic!("{doing}: {}", text.to_string_lossy());
    }
}

impl Engine for Kyoto {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(KyotoSession {
            engine: self,
            buffer: vec![0; 8192],
        })
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn close(self: Box<Self>) {
        // SAFETY: no session is left, since each borrows the engine.
        unsafe {
            self.check((self.functions.kcdbclose)(self.database) != 0, "close");
            (self.functions.kcdbdel)(self.database);
        }
    }
}

impl Session for KyotoSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let (functions, database) = (&self.engine.functions, self.engine.database);
        // SAFETY: pointers and lengths are those of live slices.
        let stored = unsafe {
            (functions.kcdbset)(
                database,
                key.as_ptr(),
                key.len(),
                value.as_ptr(),
                value.len(),
            )
        };
        self.engine.check(stored != 0, "put");
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let (functions, database) = (&self.engine.functions, self.engine.database);
        let (buffer, capacity) = (self.buffer.as_mut_ptr(), self.buffer.len());
        // SAFETY: pointers and lengths are those of live slices.
        let length =
            unsafe { (functions.kcdbgetbuf)(database, key.as_ptr(), key.len(), buffer, capacity) };
        if length < 0 {
            // SAFETY: as kclangc.h declares it.
            let code = unsafe { (functions.kcdbecode)(database) };
            self.engine.check(code == NO_RECORD, "get");
            return false;
        }
        see(&self.buffer[..length as usize]);
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let leave = self.engine.leave;
        let mut scan = Scan { see, leave };
        let scan = (&raw mut scan).cast();
        // SAFETY: the scan outlives the call.
        let done = unsafe {
            let iterate = self.engine.functions.kcdbiterate;
            iterate(self.engine.database, visit, scan, 0)
        };
        self.engine.check(done != 0, "scan");
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let records = pairs.iter().map(|(key, value)| Record {
            key: key.as_ptr(),
            key_len: key.len(),
            value: value.as_ptr(),
            value_len: value.len(),
        });
        let records: Vec<Record> = records.collect();
        // SAFETY: pointers and lengths are those of live slices.
        let stored = unsafe {
            let set = self.engine.functions.kcdbsetbulk;
            set(self.engine.database, records.as_ptr(), records.len(), 0)
        };
        self.engine.check(stored == pairs.len() as i64, "put many");
        true
    }
}
