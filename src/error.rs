//! The one error type of the crate.

use std::fmt;
use std::io;
use std::path::Path;

/// Result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure an [`Error`] is. Each kind but [`ErrorKind::Io`] has one status code in the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The thing asked for does not exist.
    NotFound,
    /// An argument is outside what the function accepts.
    Invalid,
    /// A buffer is too small for the answer.
    Range,
    /// Another opener writes the store.
    Busy,
    /// The store, or the handle, has been closed.
    Closed,
    /// The store must be new and exists already.
    Exists,
    /// The store was opened read-only.
    ReadOnly,
    /// A key, a value or the store itself would exceed a limit.
    TooLarge,
    /// Stored bytes are not what was written.
    Corrupt,
    /// An earlier failed write or sync stopped all writing through this handle.
    Failed,
    /// The store was written by a newer format version.
    Version,
    /// The operation or option is not supported here.
    Unsupported,
    /// Memory could not be had.
    Memory,
    /// The handle was inherited through `fork` and must not be used in the child.
    Forked,
    /// A defect of the library was caught at its border.
    Panic,
    /// The operating system refused; see [`Error::os_code`].
    Io,
}

/// A failure: its kind, the system's error number where there is one, the file offset where one is
/// known, and a sentence that names the file and says what to do.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    os_code: i32,
    offset: u64,
    message: String,
}

impl Error {
    /// A failure of `kind` described by `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            os_code: 0,
            offset: 0,
            message: message.into(),
        }
    }

    /// Damage found in `path` at byte `offset`.
    pub fn corrupt(path: &Path, offset: u64, what: impl fmt::Display) -> Self {
        Self {
            kind: ErrorKind::Corrupt,
            os_code: 0,
            offset,
            message: format!("{}: at byte {offset}: {what}", path.display()),
        }
    }

    /// A failed system call: `doing` says what was attempted, as in "write", on `path`.
    pub fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::OutOfMemory => ErrorKind::Memory,
            _ => ErrorKind::Io,
        };
        Self {
            kind,
            os_code: error.raw_os_error().unwrap_or(0),
            offset: 0,
            message: format!("{}: {doing}: {error}", path.display()),
        }
    }

    /// Memory for `what` could not be had.
    pub fn memory(what: &str) -> Self {
        Self::new(ErrorKind::Memory, format!("out of memory for {what}"))
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The system's error number (`errno`), 0 where the failure did not come from a system call.
    pub fn os_code(&self) -> i32 {
        self.os_code
    }

    /// Offset in bytes into the file that the message names, 0 where none is known.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The sentence that describes the failure.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same failure with `context` put before its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
