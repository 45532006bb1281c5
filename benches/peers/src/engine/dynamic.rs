//! Shared libraries, loaded at run time.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libloading::Library;

use super::Absent;

/// Loads the first of these libraries that the system has, for good.
pub fn load(names: &[&str]) -> Result<&'static Library, Absent> {
    let mut refusal = String::new();
    for name in names {
        // SAFETY: the libraries named here are stores; what they run when loaded sets up themselves alone.
        match unsafe { Library::new(name) } {
            Ok(library) => return Ok(Box::leak(Box::new(library))),
            Err(error) => refusal = error.to_string(),
        }
    }
    Err(Absent(refusal))
}

/// Declares a structure of functions, each a field named as the symbol that the library exports, and how it is filled.
macro_rules! functions {
    ($(#[$attribute:meta])* $visible:vis struct $name:ident { $(fn $function:ident($($argument:ty),* $(,)?) $(-> $result:ty)?;)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy)]
        $visible struct $name { $(pub $function: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl $name {
            pub fn of(library: &'static libloading::Library) -> Result<Self, $crate::engine::Absent> {
                $(
                    // SAFETY: the types are those of the library's C header, and it is never unloaded.
                    let $function = unsafe { library.get(concat!(stringify!($function), "\0").as_bytes()) };
                    let $function = $function.map_err(|error| $crate::engine::Absent(error.to_string()))?;
                )*
                Ok(Self { $($function: *$function,)* })
            }
        }
    };
}

pub(super) use functions;

/// The file, with links followed, of the library that has `address`.
pub fn file_of(address: *const c_void) -> String {
    // SAFETY: all zeros are a value of the structure.
    let mut information: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: the function accepts any address and fills in the structure.
    if unsafe { libc::dladdr(address, &mut information) } == 0 {
        return String::new();
    }
    // SAFETY: after success it is a NUL-terminated text of the dynamic linker.
    let name = unsafe { CStr::from_ptr(information.dli_fname) };
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    let path = path.canonicalize().unwrap_or(path.to_path_buf());
    path.to_string_lossy().into_owned()
}

/// The version in the name of a library's file.
pub fn version_of(file: &str) -> String {
    let version = file
        .split_once(".so.")
        .map_or("unknown", |(_, version)| version);
    version.to_owned()
}

/// The text that the library has under this name, such as its version; empty if it has none.
pub fn text(library: &'static Library, name: &str) -> String {
    // SAFETY: the callers name variables that are pointers to NUL-terminated texts in the libraries' headers.
    unsafe {
        let text = library.get::<*const *const c_char>(name.as_bytes());
        text.map_or(String::new(), |text| {
            CStr::from_ptr(**text).to_string_lossy().into_owned()
        })
    }
}

/// The address that the library keeps under this name.
pub fn address(library: &'static Library, name: &str) -> Result<*const c_char, Absent> {
    // SAFETY: the callers name variables that are pointers in the libraries' headers.
    let address = unsafe { library.get::<*const *const c_char>(name.as_bytes()) };
    let address = address.map_err(|error| Absent(error.to_string()))?;
    // SAFETY: the variable lives as long as the library, which is never unloaded.
    Ok(unsafe { **address })
}
