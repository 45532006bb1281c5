//! The lock on a store's directory: `flock` between processes, a table of this process's holders besides.
//!
//! `flock` belongs to the open file description, so other descriptors of the same file that this process
//! opens and closes do not disturb it, as they would a POSIX record lock. A forked child shares the
//! description. So the process that took the lock releases it by `LOCK_UN`: closing alone would leave it held
//! while a child lives, be it only on its way to `exec`. And no other process unlocks: that would
//! unlock the parent.

use std::collections::BTreeMap;
use std::fs::{self, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use parking_lot::Mutex;

use super::descriptor::{self, Opening};
use crate::vfs::{DirectoryLock, LockMode};

/// The holders in this process by device and inode of the lock file. Refuses the second opener of this
/// process where the file system knows no locks; there, nothing refuses another process.
static HOLDERS: Mutex<BTreeMap<Identity, Holders>> = Mutex::new(BTreeMap::new());

type Identity = (u64, u64);

enum Holders {
    Exclusive,
    Shared(usize),
}

struct RealLock {
    // Fields drop in this order: the file's lock is gone before another thread can pass the table.
    file: Option<fs::File>,
    _registration: Registration,
    /// The process that took the lock.
    process: u32,
}

impl DirectoryLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        if let Some(file) = &self.file
            && self.process == std::process::id()
        {
            // If this fails, closing the file is the second chance.
            let _ = file.unlock();
        }
    }
}

struct Registration(Identity);

impl Registration {
    fn new(identity: Identity, mode: LockMode) -> io::Result<Self> {
        let mut holders = HOLDERS.lock();
        match (holders.get_mut(&identity), mode) {
            (None, LockMode::Exclusive) => {
                holders.insert(identity, Holders::Exclusive);
            }
            (None, LockMode::Shared) => {
                holders.insert(identity, Holders::Shared(1));
            }
            (Some(Holders::Shared(count)), LockMode::Shared) => *count += 1,
            (Some(_), _) => return Err(io::ErrorKind::WouldBlock.into()),
        }
        Ok(Self(identity))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut holders = HOLDERS.lock();
        if let Some(Holders::Shared(count)) = holders.get_mut(&self.0)
            && *count > 1
        {
            *count -= 1;
            return;
        }
        holders.remove(&self.0);
    }
}

/// See [`crate::vfs::Vfs::lock`].
pub(super) fn lock(path: &Path, mode: LockMode) -> io::Result<Box<dyn DirectoryLock>> {
    let opened = match mode {
        LockMode::Exclusive => descriptor::open(path, Opening::Create),
        LockMode::Shared => match descriptor::open(path, Opening::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                descriptor::open(path, Opening::Create)
            }
            other => other,
        },
    };
    let (file, metadata) = match opened {
        Ok(file) => {
            let metadata = file.metadata()?;
            (Some(file), metadata)
        }
        // Nobody can have written here since the read-only mount, and nobody can now.
        Err(error)
            if mode == LockMode::Shared && error.kind() == io::ErrorKind::ReadOnlyFilesystem =>
        {
            (None, fs::metadata(parent(path))?)
        }
        Err(error) => return Err(error),
    };
    let registration = Registration::new((metadata.dev(), metadata.ino()), mode)?;
    if let Some(file) = &file {
        lock_file(file, mode)?;
    }
    Ok(Box::new(RealLock {
        file,
        _registration: registration,
        process: std::process::id(),
    }))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn lock_file(file: &fs::File, mode: LockMode) -> io::Result<()> {
    loop {
        let locked = match mode {
            LockMode::Exclusive => file.try_lock(),
            LockMode::Shared => file.try_lock_shared(),
        };
        match locked {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::Unsupported => return Ok(()), // the table has to do
                _ => return Err(error),
            },
        }
    }
}
