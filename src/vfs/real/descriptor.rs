//! Opening files so that neither a stray link nor a stray `stderr` message can do harm.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// A host that closed its standard streams would otherwise get a store file as descriptor 2 and write its
/// next error message into it.
const LOWEST_DESCRIPTOR: RawFd = 3;

/// How a regular file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
    /// A file that may or may not exist, for reading and writing.
    Create,
}

/// Opens a regular file; `InvalidInput` for anything else in its place, links included.
pub(super) fn open(path: &Path, opening: Opening) -> io::Result<fs::File> {
    // O_NONBLOCK: opening a pipe must not wait for its other end; regular files do not know the flag.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = fs::OpenOptions::new()
        .read(true)
        .write(opening != Opening::Read)
        .create(opening == Opening::Create)
        .create_new(opening == Opening::CreateNew)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let file = match opened.map_err(|error| (Errno::from_io_error(&error), error)) {
        Ok(file) => file,
        // A link; a directory; a socket, or a device without a driver.
        Err((Some(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV), _)) => {
            return Err(not_regular());
        }
        Err((_, error)) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(not_regular());
    }
    lift(file, LOWEST_DESCRIPTOR)
}

/// Opens a directory in order to sync it.
pub(super) fn open_directory(path: &Path) -> io::Result<fs::File> {
    let directory = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
        .open(path)?;
    lift(directory, LOWEST_DESCRIPTOR)
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Moves `file` to a descriptor that is not below `lowest`.
fn lift(file: fs::File, lowest: RawFd) -> io::Result<fs::File> {
    if file.as_raw_fd() >= lowest {
        return Ok(file);
    }
    Ok(fs::File::from(fcntl_dupfd_cloexec(&file, lowest)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_low_descriptor_is_moved_up_and_stays_the_same_file() {
        let low = tempfile::tempfile().unwrap();
        low.write_all_at(b"same", 0).unwrap();
        let lowest = low.as_raw_fd() + 100;
        let lifted = lift(low, lowest).unwrap();
        assert!(lifted.as_raw_fd() >= lowest);
        let mut bytes = [0; 4];
        lifted.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"same");
        let flags = rustix::io::fcntl_getfd(&lifted).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn a_descriptor_that_is_high_enough_stays() {
        let file = tempfile::tempfile().unwrap();
        let descriptor = file.as_raw_fd();
        assert_eq!(lift(file, 0).unwrap().as_raw_fd(), descriptor);
    }
}
