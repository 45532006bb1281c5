//! Freyja, through its C functions.

use std::env;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null_mut;

use super::dynamic::load;
use super::{Calls, Counters, Durability, Engine, Kind, Opened, Opening, Session};
use declarations::{
    CHECK_KEY, COMPACTION_MANUAL, Error, Functions, Handle, Options, SYNC_ALWAYS, SYNC_NONE, check,
};
use other_calls::{Owned, Packed, Pinned};
use session::FreyjaSession;

mod declarations;
mod other_calls;
mod session;

/// Freyja.
pub const KIND: Kind = Kind {
    name: "Freyja",
    options: "the defaults; synced: FREYJA_SYNC_ALWAYS, else FREYJA_SYNC_NONE; where stores that must be told how many pairs will come are told, expected_keys",
    open,
    answers: true,
    is_store: true,
    has_more: true,
};

/// Names the shared library for processes that a benchmark starts.
pub const FREYJA_LIBRARY: &str = "FREYJA_LIBRARY";

struct Freyja {
    functions: Functions,
    handle: Handle,
}

// SAFETY: handles may be used by any thread; the library checks them.
unsafe impl Send for Freyja {}
// SAFETY: as above.
unsafe impl Sync for Freyja {}

/// Builds the shared library as `make shared` does: alone, because link-time optimisation does not reach it when other crate types are built
/// with it, unless [`FREYJA_LIBRARY`] names one. To be called before any thread is started.
pub fn build() -> PathBuf {
    if let Some(path) = env::var_os(FREYJA_LIBRARY) {
        return path.into();
    }
    let executable = env::current_exe().expect("the benchmark knows where it is");
    // Not the program itself, which may be called like a profile.
    let mut folders = executable.ancestors().skip(1);
    let profile = folders.find(|folder| {
        let profiles = ["release", "debug", "peers"];
        profiles.iter().any(|profile| folder.ends_with(profile))
    });
    let target = profile.and_then(Path::parent);
    let target = target
        .expect("benchmarks run from a target directory")
        .join("shared");
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
        others: [0; 4],
        read_checks: 0,
        segment_size: 0,
        slab_size: 0,
        memory_budget: 0,
        expected_keys: 0,
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
    if opening.tells_all {
        options.expected_keys = opening.pairs;
    }
    if !opening.compacts {
        options.compaction = COMPACTION_MANUAL;
    }
    if !opening.checks_values {
        options.read_checks = CHECK_KEY;
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

impl Engine for Freyja {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(FreyjaSession::new(self))
    }

    fn session_by(&self, calls: Calls) -> Option<Box<dyn Session + '_>> {
        let usual = FreyjaSession::new(self);
        Some(match calls {
            Calls::Owned => Box::new(Owned(usual)),
            Calls::Pinned => Box::new(Pinned(usual)),
            Calls::Packed => Box::new(Packed::new(usual)),
        })
    }

    fn version(&self) -> String {
        // SAFETY: the library answers with a NUL-terminated text that lives as long as the library.
        let text = unsafe { CStr::from_ptr((self.functions.freyja_version)()) };
        text.to_string_lossy().into_owned()
    }

    fn counters(&self) -> Option<Counters> {
        // By their names, which stay the same where more is told.
        let mut text = vec![0; 64 << 10];
        let mut length = 0;
        // SAFETY: the library is told how much fits, and writes no more.
        let status = unsafe {
            let (metrics, buffer) = (self.functions.freyja_metrics, text.as_mut_ptr());
            metrics(self.handle, buffer, text.len(), &mut length)
        };
        check(&self.functions, status, "metrics");
        let text = String::from_utf8_lossy(&text[..length]);
        let metric = |name: &str| {
            let mut lines = text.lines().filter(|line| !line.starts_with('#'));
            let line = lines.find(|line| line.split(['{', ' ']).next() == Some(name));
            let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
            value.unwrap_or_else(|| panic!("the library does not tell {name}"))
        };
        Some(Counters {
            disk_bytes: metric("freyja_disk_bytes"),
            live_bytes: metric("freyja_live_bytes"),
            written_bytes: metric("freyja_written_bytes_total"),
            compaction_bytes: metric("freyja_compaction_written_bytes_total"),
        })
    }

    fn close(self: Box<Self>) {
        // SAFETY: the library checks handles.
        let status = unsafe { (self.functions.freyja_close)(self.handle) };
        check(&self.functions, status, "close");
    }
}
