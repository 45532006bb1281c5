//! The shared library as a C program meets it: built alone, loaded at run time, called through its exported symbols.
//! Nothing of it can be inlined into the benchmark.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub type Handle = *mut c_void;
type Bytes = *const c_void;

pub const OK: c_int = 0;
pub const NOT_FOUND: c_int = -1;
pub const DONE: c_int = -2;
pub const SYNC_ALWAYS: u32 = 0;
pub const SYNC_NONE: u32 = 2;

/// The options that version 0.1 knows, as include/freyja.h declares them: the size says which they are.
#[repr(C)]
struct Options {
    struct_size: u32,
    flags: u32,
    sync_mode: u32,
    others: [u32; 13],
}

/// `freyja_error` of include/freyja.h.
#[repr(C)]
struct Error {
    code: c_int,
    sys_errno: c_int,
    offset: u64,
    message: [c_char; 496],
}

/// `freyja_slice` of include/freyja.h.
#[repr(C)]
pub struct Slice {
    data: Bytes,
    len: usize,
}

impl Slice {
    pub const EMPTY: Slice = Slice {
        data: std::ptr::null(),
        len: 0,
    };

    /// # Safety
    /// The library has filled this in, and has not been called with the same iterator since.
    pub unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: as promised.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.len) }
    }
}

/// The exported functions that the benchmark calls.
pub struct Library {
    pub path: PathBuf,
    version: unsafe extern "C" fn() -> *const c_char,
    strerror: unsafe extern "C" fn(c_int) -> *const c_char,
    options_init: unsafe extern "C" fn(*mut Options, usize) -> c_int,
    open: unsafe extern "C" fn(*const c_char, *const Options, *mut Handle, *mut Error) -> c_int,
    close: unsafe extern "C" fn(Handle) -> c_int,
    pub put: unsafe extern "C" fn(Handle, Bytes, usize, Bytes, usize) -> c_int,
    pub get: unsafe extern "C" fn(Handle, Bytes, usize, *mut *mut c_void, *mut usize) -> c_int,
    pub free_buf: unsafe extern "C" fn(*mut c_void),
    pub get_into:
        unsafe extern "C" fn(Handle, Bytes, usize, *mut c_void, usize, *mut usize) -> c_int,
    pub delete: unsafe extern "C" fn(Handle, Bytes, usize) -> c_int,
    batch_new: unsafe extern "C" fn(*mut Handle) -> c_int,
    pub batch_put: unsafe extern "C" fn(Handle, Bytes, usize, Bytes, usize) -> c_int,
    pub batch_clear: unsafe extern "C" fn(Handle) -> c_int,
    pub batch_free: unsafe extern "C" fn(Handle) -> c_int,
    pub write: unsafe extern "C" fn(Handle, Handle) -> c_int,
    iter_new_ex: unsafe extern "C" fn(Handle, Bytes, usize, u32, usize, *mut Handle) -> c_int,
    pub iter_next: unsafe extern "C" fn(Handle, *mut Slice, *mut Slice) -> c_int,
    pub iter_next_batch:
        unsafe extern "C" fn(Handle, *mut c_void, usize, *mut usize, *mut usize) -> c_int,
    iter_free: unsafe extern "C" fn(Handle) -> c_int,
    pub get_many: unsafe extern "C" fn(
        Handle,
        Bytes,
        *const usize,
        usize,
        *mut *mut c_void,
        *mut usize,
        *mut c_int,
    ) -> c_int,
}

/// Builds the shared library, alone, because link-time optimisation does not reach it when other crate types are
/// built with it; in a target directory of its own, so that it does not replace what other builds made.
pub fn build() -> PathBuf {
    let executable = std::env::current_exe().expect("the benchmark knows where it is");
    let target = executable
        .ancestors()
        .nth(3)
        .expect("benchmarks run from target/release/deps")
        .join("library");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args([
            "rustc",
            "--release",
            "--lib",
            "--crate-type",
            "cdylib",
            "--target-dir",
        ])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "the shared library could not be built");
    let name = format!(
        "{}freyja{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    target.join("release").join(name)
}

impl Library {
    pub fn load(path: &Path) -> Library {
        let file = CString::new(path.as_os_str().as_bytes()).expect("paths hold no NUL");
        // SAFETY: the path is NUL-terminated; the library runs no code of its own when it is loaded.
        let library = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(
            !library.is_null(),
            "{}: could not be loaded",
            path.display()
        );
        macro_rules! function {
            ($name:literal) => {{
                // SAFETY: the handle is alive and the name is NUL-terminated.
                let address = unsafe { libc::dlsym(library, $name.as_ptr()) };
                assert!(!address.is_null(), "{}: has no {:?}", path.display(), $name);
                // SAFETY: the symbol is a function of the type that the field has, as include/freyja.h declares it; the
                // library is never unloaded.
                unsafe { std::mem::transmute_copy(&address) }
            }};
        }
        Library {
            path: path.to_path_buf(),
            version: function!(c"freyja_version"),
            strerror: function!(c"freyja_strerror"),
            options_init: function!(c"freyja_options_init"),
            open: function!(c"freyja_open"),
            close: function!(c"freyja_close"),
            put: function!(c"freyja_put"),
            get: function!(c"freyja_get"),
            free_buf: function!(c"freyja_free_buf"),
            get_into: function!(c"freyja_get_into"),
            delete: function!(c"freyja_delete"),
            batch_new: function!(c"freyja_batch_new"),
            batch_put: function!(c"freyja_batch_put"),
            batch_clear: function!(c"freyja_batch_clear"),
            batch_free: function!(c"freyja_batch_free"),
            write: function!(c"freyja_write"),
            iter_new_ex: function!(c"freyja_iter_new_ex"),
            iter_next: function!(c"freyja_iter_next"),
            iter_next_batch: function!(c"freyja_iter_next_batch"),
            iter_free: function!(c"freyja_iter_free"),
            get_many: function!(c"freyja_get_many"),
        }
    }

    pub fn version(&self) -> String {
        // SAFETY: the library answers with a NUL-terminated string that lives as long as the library.
        unsafe { CStr::from_ptr((self.version)()) }
            .to_string_lossy()
            .into_owned()
    }

    pub fn open(&self, directory: &Path, sync_mode: u32) -> Handle {
        let path = CString::new(directory.as_os_str().as_bytes()).expect("paths hold no NUL");
        let mut handle = std::ptr::null_mut();
        let mut options = Options {
            struct_size: 0,
            flags: 0,
            sync_mode: 0,
            others: [0; 13],
        };
        let mut error = Error {
            code: 0,
            sys_errno: 0,
            offset: 0,
            message: [0; 496],
        };
        // SAFETY: init is told the size of the options and fills them.
        self.check(
            unsafe { (self.options_init)(&mut options, size_of::<Options>()) },
            "options",
        );
        options.sync_mode = sync_mode;
        // SAFETY: path and options are valid; handle and error are of the types that open writes.
        let status = unsafe { (self.open)(path.as_ptr(), &options, &mut handle, &mut error) };
        // SAFETY: the message is NUL-terminated, being all zeros or written by open.
        let message = unsafe { CStr::from_ptr(error.message.as_ptr()) };
        self.check(status, &message.to_string_lossy());
        handle
    }

    pub fn new_batch(&self) -> Handle {
        let mut batch = std::ptr::null_mut();
        // SAFETY: the handle is of the type that the function writes.
        self.check(unsafe { (self.batch_new)(&mut batch) }, "batch_new");
        batch
    }

    pub fn new_iterator(&self, store: Handle, flags: u32) -> Handle {
        let mut iter = std::ptr::null_mut();
        // SAFETY: the handle is checked by the library; the new one is of the type that it writes.
        let status = unsafe { (self.iter_new_ex)(store, std::ptr::null(), 0, flags, 0, &mut iter) };
        self.check(status, "iter_new_ex");
        iter
    }

    pub fn free_iterator(&self, iter: Handle) {
        // SAFETY: handles are checked by the library.
        self.check(unsafe { (self.iter_free)(iter) }, "iter_free");
    }

    pub fn close(&self, handle: Handle) {
        // SAFETY: handles are checked by the library.
        self.check(unsafe { (self.close)(handle) }, "close");
    }

    /// Stops the benchmark unless `status` is that of success.
    #[inline(always)]
    pub fn check(&self, status: c_int, doing: &str) {
        if status != OK {
            self.refuse(status, doing);
        }
    }

    #[cold]
    fn refuse(&self, status: c_int, doing: &str) -> ! {
        // SAFETY: the library answers with a NUL-terminated string that lives as long as the library.
        let text = unsafe { CStr::from_ptr((self.strerror)(status)) };
        panic!("{doing}: {} ({status})", text.to_string_lossy());
    }
}
