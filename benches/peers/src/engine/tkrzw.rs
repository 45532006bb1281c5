//! Tkrzw, its hash database.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;

use super::dynamic::{address, functions, load, text};
use super::{Absent, Durability, Engine, Kind, Opened, Opening, Pair, Session};

/// Tkrzw.
pub const KIND: Kind = Kind {
    name: "Tkrzw",
    options: "HashDBM updated in place, two buckets a pair, a mapped file; nothing is synced, and a kill needs a repair at the next open; it has no mode that syncs every put",
    open,
    answers: true,
    is_store: true,
    has_more: false,
};

type Pointer = *mut c_void;

/// `TkrzwStatus` of tkrzw_langc.h.
#[repr(C)]
struct Status {
    code: i32,
    message: *const c_char,
}

/// What is called for each pair, with what it was asked for; before the first and after the last it has neither key nor value.
type Visit =
    unsafe extern "C" fn(Pointer, *const u8, i32, *const u8, i32, *mut i32) -> *const c_char;

/// `TkrzwKeyValuePair` of tkrzw_langc.h.
#[repr(C)]
struct Record {
    key: *const u8,
    key_len: i32,
    value: *const u8,
    value_len: i32,
}

/// What a scan's visits know.
struct Scan<'s> {
    see: &'s mut dyn FnMut(&[u8], &[u8]),
    /// The answer that leaves the pair as it is.
    leave: *const c_char,
}

/// # Safety
///
/// Keys and values are what their lengths say; the first is a [`Scan`] that nobody else uses.
unsafe extern "C" fn visit(
    scan: Pointer,
    key: *const u8,
    key_len: i32,
    value: *const u8,
    value_len: i32,
    _: *mut i32,
) -> *const c_char {
    // SAFETY: as promised.
    unsafe {
        let scan = &mut *scan.cast::<Scan<'_>>();
        if !key.is_null() && !value.is_null() {
            (scan.see)(
                std::slice::from_raw_parts(key, key_len as usize),
                std::slice::from_raw_parts(value, value_len as usize),
            );
        }
        scan.leave
    }
}

functions! {
    struct Functions {
        fn tkrzw_get_last_status() -> Status;
        fn tkrzw_dbm_open(*const c_char, bool, *const c_char) -> Pointer;
        fn tkrzw_dbm_close(Pointer) -> bool;
        fn tkrzw_dbm_set(Pointer, *const u8, i32, *const u8, i32, bool) -> bool;
        fn tkrzw_dbm_get(Pointer, *const u8, i32, *mut i32) -> *mut u8;
        fn tkrzw_dbm_set_multi(Pointer, *const Record, i32, bool) -> bool;
        fn tkrzw_dbm_process_each(Pointer, Visit, Pointer, bool) -> bool;
    }
}

/// The code of a status that says that there is no such record.
const NOT_FOUND: i32 = 7;

struct Tkrzw {
    functions: Functions,
    database: Pointer,
    version: String,
    /// `TKRZW_REC_PROC_NOOP` of tkrzw_langc.h.
    leave: *const c_char,
}

// SAFETY: Tkrzw's database may be used by any number of threads.
unsafe impl Send for Tkrzw {}
// SAFETY: as above.
unsafe impl Sync for Tkrzw {}

fn open(directory: &Path, opening: &Opening) -> Opened {
    if opening.durability == Durability::Synced {
        return Err(Absent("it has no mode that syncs every put".to_owned()));
    }
    let library = load(&["libtkrzw.so.1", "libtkrzw.so"])?;
    let functions = Functions::of(library)?;
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let file = directory.join("store.tkh");
    let path = CString::new(file.to_str().expect("a path in Unicode")).expect("no NUL");
    let buckets = 2 * opening.pairs;
    let parameters = format!(
        "dbm=HashDBM,file=MemoryMapParallelFile,update_mode=UPDATE_IN_PLACE,num_buckets={buckets}"
    );
    let parameters = CString::new(parameters).expect("no NUL");
    // SAFETY: both texts are NUL-terminated.
    let database = unsafe { (functions.tkrzw_dbm_open)(path.as_ptr(), true, parameters.as_ptr()) };
    let engine = Tkrzw {
        functions,
        database,
        version: text(library, "TKRZW_PACKAGE_VERSION"),
        leave: address(library, "TKRZW_REC_PROC_NOOP")?,
    };
    engine.check(!database.is_null(), "open");
    Ok(Box::new(engine))
}

impl Tkrzw {
    #[inline(always)]
    fn check(&self, went_well: bool, doing: &str) {
        if !went_well {
            self.refuse(doing);
        }
    }

    #[cold]
    fn refuse(&self, doing: &str) -> ! {
        // SAFETY: the library answers with a NUL-terminated text.
        let text = unsafe { CStr::from_ptr((self.functions.tkrzw_get_last_status)().message) };
        panic!("{doing}: {}", text.to_string_lossy());
    }
}

impl Engine for Tkrzw {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(self)
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn close(self: Box<Self>) {
        // SAFETY: no session is left, since each borrows the engine.
        self.check(
            unsafe { (self.functions.tkrzw_dbm_close)(self.database) },
            "close",
        );
    }
}

impl Session for &Tkrzw {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let (key_len, value_len) = (key.len() as i32, value.len() as i32);
        let (key, value) = (key.as_ptr(), value.as_ptr());
        // SAFETY: pointers and lengths are those of live slices.
        let stored = unsafe {
            (self.functions.tkrzw_dbm_set)(self.database, key, key_len, value, value_len, true)
        };
        self.check(stored, "put");
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let mut length = 0;
        // SAFETY: pointer and length are those of a live slice.
        let value = unsafe {
            let get = self.functions.tkrzw_dbm_get;
            get(self.database, key.as_ptr(), key.len() as i32, &mut length)
        };
        if value.is_null() {
            // SAFETY: it takes nothing.
            let status = unsafe { (self.functions.tkrzw_get_last_status)() };
            self.check(status.code == NOT_FOUND, "get");
            return false;
        }
        // SAFETY: the value has `length` bytes until it is freed.
        see(unsafe { std::slice::from_raw_parts(value, length as usize) });
        // SAFETY: it came from malloc, as tkrzw_langc.h says, and is not used any more.
        unsafe { libc::free(value.cast()) };
        true
    }

    fn scan(&mut self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let leave = self.leave;
        let mut scan = Scan { see, leave };
        let scan = (&raw mut scan).cast();
        // SAFETY: the scan outlives the call.
        let done = unsafe {
            let process = self.functions.tkrzw_dbm_process_each;
            process(self.database, visit, scan, false)
        };
        self.check(done, "scan");
    }

    fn put_many(&mut self, pairs: &[Pair<'_>]) -> bool {
        let records = pairs.iter().map(|(key, value)| Record {
            key: key.as_ptr(),
            key_len: key.len() as i32,
            value: value.as_ptr(),
            value_len: value.len() as i32,
        });
        let records: Vec<Record> = records.collect();
        // SAFETY: pointers and lengths are those of live slices.
        let stored = unsafe {
            let set = self.functions.tkrzw_dbm_set_multi;
            set(self.database, records.as_ptr(), records.len() as i32, true)
        };
        self.check(stored, "put many");
        true
    }
}
