//! A store held for examining.

use std::ffi::OsStr;
use std::path::Path;

use super::super::open::{self, LOCK_FILE};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{IndexOptions, KeyStorage};
use crate::log::ReadMode;
use crate::store::options::{OpenMode, Options};
use crate::store::recovery::{Examined, Recovery};
use crate::vfs::{DirectoryLock, Vfs};

/// How a store is read that is examined.
fn options() -> Options {
    Options {
        mode: OpenMode::ReadOnly,
        // A disk that fails must give an error. Every byte is read once, so that mappings would save little.
        read_mode: ReadMode::Pread,
        background_threads: 0,
        ..Options::default()
    }
}

/// Which index is filled. The keys are in memory: nothing but the log is to be believed where they lie on disk.
fn index_options(vfs: &dyn Vfs, path: &Path) -> Result<IndexOptions> {
    let random = vfs
        .random()
        .map_err(|error| Error::io("random bytes", path, &error))?;
    let (seed, _) = random.split_at(8);
    Ok(IndexOptions {
        seed: u64::from_le_bytes(seed.try_into().unwrap_or_default()),
        slab_page_bytes: usize::try_from(Options::default().slab_size).unwrap_or(4096),
        expected_keys: 0,
        key_storage: KeyStorage::InMemory,
    })
}

/// A store that nobody can write to while this lives.
pub struct Session<'s> {
    vfs: &'s dyn Vfs,
    path: &'s Path,
    options: Options,
    index_options: IndexOptions,
    lock: Option<Box<dyn DirectoryLock>>,
}

impl<'s> Session<'s> {
    /// Locks the store in `path` as a reader does. Without a lock file, which every opener leaves behind, nobody has the
    /// store open, and none is made.
    pub fn begin(vfs: &'s dyn Vfs, path: &'s Path) -> Result<Self> {
        open::refuse_incomplete(vfs, path)?;
        if !open::is_store(vfs, path)? {
            return Err(open::absent(path));
        }
        let lock = match has_lock_file(vfs, path)? {
            true => open::lock(vfs, path, true)?,
            false => None,
        };
        Ok(Self {
            vfs,
            path,
            options: options(),
            index_options: index_options(vfs, path)?,
            lock,
        })
    }

    /// Reads the log for the first time.
    pub fn examine(&self) -> Result<Examined<'_>> {
        let recovery = Recovery::list(self.vfs, self.path, &self.options)?;
        recovery.examine(&self.index_options)
    }

    /// Makes sure that nobody opened the store meanwhile.
    pub fn end(self) -> Result<()> {
        if self.lock.is_none() && has_lock_file(self.vfs, self.path)? {
            return Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "{}: the store was opened while it was examined; close it and begin again",
                    self.path.display()
                ),
            ));
        }
        Ok(())
    }
}

fn has_lock_file(vfs: &dyn Vfs, path: &Path) -> Result<bool> {
    let entries = vfs
        .list(path)
        .map_err(|error| Error::io("list", path, &error))?;
    let name = OsStr::new(LOCK_FILE);
    Ok(entries.iter().any(|entry| entry.name == name))
}
