//! Freyja, through its C functions.

use std::env;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null_mut;

use super::dynamic::{functions, load};
use super::{Counters, Durability, Engine, Kind, Opened, Opening, Session};

/// Freyja.
pub const KIND: Kind = Kind {
    name: "Freyja",
    options: "the defaults; synced: FREYJA_SYNC_ALWAYS, else FREYJA_SYNC_NONE",
    open,
    answers: true,
};

/// Names the shared library for processes that a benchmark starts.
pub const FREYJA_LIBRARY: &str = "FREYJA_LIBRARY";

const OK: c_int = 0;
const NOT_FOUND: c_int = -1;
const SYNC_ALWAYS: u32 = 0;
const SYNC_NONE: u32 = 2;
const COMPACTION_MANUAL: u32 = 1;

type Handle = *mut c_void;

/// The options that version 0.1 knows, as include/freyja.h declares them: the size says which they are.
#[repr(C)]
struct Options {
    struct_size: u32,
    flags: u32,
    sync_mode: u32,
    others: [u32; 13],
    compaction: u32,
    space_amplification: u32,
    compaction_bytes_per_second: u64,
}

/// `freyja_stats_t` of include/freyja.h: behind its size, numbers of which these are looked at.
#[repr(C)]
#[derive(Default)]
struct Stats {
    sizes: [u32; 2],
    before: [u64; 7],
    disk_bytes: u64,
    between: [[u64; 16]; 2],
    live_bytes: u64,
    tombstone_bytes: u64,
    dead_pairs: u64,
    written_bytes: u64,
    compactions: u64,
    compaction_bytes_read: u64,
    compaction_bytes_written: u64,
    pins_in_use: u64,
}

/// `freyja_error` of include/freyja.h.
#[repr(C)]
struct Error {
    code: c_int,
    sys_errno: c_int,
    offset: u64,
    message: [c_char; 496],
}

functions! {
    struct Functions {
        fn freyja_version() -> *const c_char;
        fn freyja_strerror(c_int) -> *const c_char;
        fn freyja_options_init(*mut Options, usize) -> c_int;
        fn freyja_open(*const c_char, *const Options, *mut Handle, *mut Error) -> c_int;
        fn freyja_close(Handle) -> c_int;
        fn freyja_put(Handle, *const u8, usize, *const u8, usize) -> c_int;
        fn freyja_stats(Handle, *mut Stats, usize) -> c_int;
        fn freyja_get_into(Handle, *const u8, usize, *mut u8, usize, *mut usize) -> c_int;
    }
}

struct Freyja {
    functions: Functions,
    handle: Handle,
}

// SAFETY: handles may be used by any thread; the library checks them.
unsafe impl Send for Freyja {}
// SAFETY: as above.
unsafe impl Sync for Freyja {}

struct FreyjaSession<'e> {
    engine: &'e Freyja,
    buffer: Vec<u8>,
}

/// Builds the shared library, alone, because link-time optimisation does not reach it when other crate types are built
/// with it, unless [`FREYJA_LIBRARY`] names one. To be called before any thread is started.
pub fn build() -> PathBuf {
    if let Some(path) = env::var_os(FREYJA_LIBRARY) {
        return path.into();
    }
    let executable = env::current_exe().expect("the benchmark knows where it is");
    let profile = executable
        .ancestors()
        .find(|folder| folder.ends_with("release") || folder.ends_with("debug"));
    let target = profile.and_then(Path::parent);
    let target = target
        .expect("benchmarks run from a target directory")
        .join("library");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["rustc", "--release", "--package", "freyja", "--lib"])
        .args(["--crate-type", "cdylib", "--target-dir"])
        .arg(&target)
        .current_dir(root)
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "the shared library could not be built");
    let (prefix, suffix) = (env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    target
        .join("release")
        .join(format!("{prefix}freyja{suffix}"))
}

fn open(directory: &Path, opening: &Opening) -> Opened {
    let library = build();
    let functions = Functions::of(load(&[library.to_str().expect("a path in Unicode")])?)?;
    let path = CString::new(directory.as_os_str().as_bytes()).expect("paths hold no NUL");
    let mut options = Options {
        struct_size: 0,
        flags: 0,
        sync_mode: 0,
        others: [0; 13],
        compaction: 0,
        space_amplification: 0,
        compaction_bytes_per_second: 0,
    };
    let mut error = Error {
        code: 0,
        sys_errno: 0,
        offset: 0,
        message: [0; 496],
    };
    // SAFETY: init is told the size of the options and fills them.
    let status = unsafe { (functions.freyja_options_init)(&mut options, size_of::<Options>()) };
    check(&functions, status, "options");
    options.sync_mode = match opening.durability {
        Durability::Synced => SYNC_ALWAYS,
        Durability::Cached => SYNC_NONE,
    };
    if !opening.compacts {
        options.compaction = COMPACTION_MANUAL;
    }
    let mut handle = null_mut();
    // SAFETY: path and options are valid; handle and error are of the types that open writes.
    let status =
        unsafe { (functions.freyja_open)(path.as_ptr(), &options, &mut handle, &mut error) };
    // SAFETY: the message is NUL-terminated, being all zeros or written by open.
    let message = unsafe { CStr::from_ptr(error.message.as_ptr()) };
    check(&functions, status, &message.to_string_lossy());
    Ok(Box::new(Freyja { functions, handle }))
}

/// Ends the benchmark unless `status` is that of success.
#[inline(always)]
fn check(functions: &Functions, status: c_int, doing: &str) {
    if status != OK {
        refuse(functions, status, doing);
    }
}

#[cold]
fn refuse(functions: &Functions, status: c_int, doing: &str) -> ! {
    // SAFETY: the library answers with a NUL-terminated text that lives as long as the library.
    let text = unsafe { CStr::from_ptr((functions.freyja_strerror)(status)) };
    panic!("{doing}: {} ({status})", text.to_string_lossy());
}

impl Engine for Freyja {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(FreyjaSession {
            engine: self,
            buffer: vec![0; 8192],
        })
    }

    fn version(&self) -> String {
        // SAFETY: the library answers with a NUL-terminated text that lives as long as the library.
        let text = unsafe { CStr::from_ptr((self.functions.freyja_version)()) };
        text.to_string_lossy().into_owned()
    }

    fn counters(&self) -> Option<Counters> {
        let mut stats = Stats::default();
        // SAFETY: the library is told the size of the structure and fills it.
        let status =
            unsafe { (self.functions.freyja_stats)(self.handle, &mut stats, size_of::<Stats>()) };
        check(&self.functions, status, "stats");
        Some(Counters {
            disk_bytes: stats.disk_bytes,
            live_bytes: stats.live_bytes,
            written_bytes: stats.written_bytes,
            compaction_bytes: stats.compaction_bytes_written,
        })
    }

    fn close(self: Box<Self>) {
        // SAFETY: the library checks handles.
        let status = unsafe { (self.functions.freyja_close)(self.handle) };
        check(&self.functions, status, "close");
    }
}

impl Session for FreyjaSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let Freyja { functions, handle } = self.engine;
        // SAFETY: pointers and lengths are those of live slices.
        let status = unsafe {
            (functions.freyja_put)(
                *handle,
                key.as_ptr(),
                key.len(),
                value.as_ptr(),
                value.len(),
            )
        };
        check(functions, status, "put");
    }

    fn get(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> bool {
        let Freyja { functions, handle } = self.engine;
        let mut length = 0;
        // SAFETY: pointers and lengths are those of live slices.
        let status = unsafe {
            let (buffer, capacity) = (self.buffer.as_mut_ptr(), self.buffer.len());
            let (key, key_len) = (key.as_ptr(), key.len());
            (functions.freyja_get_into)(*handle, key, key_len, buffer, capacity, &mut length)
        };
        if status == NOT_FOUND {
            return false;
        }
        check(functions, status, "get");
        see(&self.buffer[..length]);
        true
    }
}
