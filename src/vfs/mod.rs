//! Every file operation and every clock reading of the store, behind two traits, so that a whole store
//! runs either on real files or, deterministically, on a simulated disk.
//!
//! Contract for every implementation: `EINTR` and short reads or writes are dealt with inside; a call either
//! did everything or returns an error, after which any part of it may have happened. All descriptors are
//! close-on-exec and never below 3.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
mod contract;
pub mod mapping;
pub mod real;
pub mod simulated;

pub use mapping::{LARGE_PAGE, Mapping, MappingWriter};
pub use real::RealVfs;
pub use simulated::SimulatedDisk;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading only.
    Read,
    /// For reading and writing.
    Write,
}

/// How a store's directory is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Beside other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// What a directory entry is. Symbolic links are followed neither when listing nor when opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: link, device, socket, pipe.
    Other,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Name without the directory.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// Whether [`File::allocate`] reserved blocks that later writes, mapped ones too, cannot fail to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Real blocks: the range may be written through a mapping.
    Reserved,
    /// Nothing was reserved and the file was not changed: write with [`File::write_all_at`] only.
    Unsupported,
}

/// A held lock on a store's directory; dropping it releases the lock.
pub trait DirectoryLock: Send + Sync {}

/// A file system and a clock. All methods may be called from any thread.
pub trait Vfs: Send + Sync + 'static {
    /// Opens an existing regular file; anything else in its place is refused with `InvalidInput`.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;
    /// Creates a file for reading and writing; `AlreadyExists` if the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Creates a directory; `AlreadyExists` if the name is taken.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// All entries of a directory, in no particular order; `NotFound` if it does not exist.
    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>>;
    /// Renames a file within a directory, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives the regular file `existing` a second name, in whichever directory of the same file system; `AlreadyExists` if
    /// the name is taken, `CrossesDevices` to another file system, and whatever a file system without links says.
    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()>;
    /// Removes a file's name, and the file itself with its last name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, links, renames and removals in `directory` durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// Locks a store's directory through the file `path`, created if need be and writable;
    /// `WouldBlock` if another holder, in this process or another, stands against it. On a read-only file
    /// system a shared lock does without the file if there is none.
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn DirectoryLock>>;
    /// Milliseconds since 1970-01-01 UTC; may step backwards.
    fn wall_clock_ms(&self) -> u64;
    /// Time since some fixed point; never steps backwards.
    fn monotonic(&self) -> Duration;
    /// Sixteen bytes that no other store is likely to have drawn.
    fn random(&self) -> io::Result<[u8; 16]>;
}

/// An open regular file. All methods may be called from any thread at once.
#[allow(clippy::len_without_is_empty)] // a length that can fail to be had
pub trait File: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`; `UnexpectedEof` if the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, growing the file if need be.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Grows the file to `length` bytes of really allocated blocks that read as zeros, so that later writes
    /// into them, through a mapping as well, find space. Only file systems known to keep that promise
    /// answer [`Allocation::Reserved`]. Never cuts a longer file. `StorageFull` if there is no room; the file
    /// may have grown by a part then.
    fn allocate(&self, length: u64) -> io::Result<Allocation>;
    /// Cuts or grows (with zeros) the file to `length`.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Makes the file's data, written by calls or through a mapping, and its length durable.
    /// After an error nothing is known of the file's unsynced bytes; it must not be retried.
    fn sync(&self) -> io::Result<()>;
    /// Maps the first `length` bytes for reading. Fails if the file is shorter. The caller promises that the
    /// bytes do not change and the file is not cut below `length` while the mapping lives.
    fn map(&self, length: usize) -> io::Result<Arc<Mapping>>;
    /// Maps `capacity` bytes, of which the first `published` are already there for readers, for appending. The file
    /// may be shorter than `capacity`: only bytes below [`MappingWriter::set_limit`] are ever touched. Fails if it
    /// is shorter than `published`. The caller promises what it promises for [`Self::map`] of all bytes published
    /// now or later, and lets a file have one writer at a time.
    fn map_append(
        &self,
        published: usize,
        capacity: usize,
    ) -> io::Result<(Arc<Mapping>, MappingWriter)>;
}
