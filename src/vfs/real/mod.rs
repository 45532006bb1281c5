//! The operating system's file system and clock.
//!
//! Written for Linux; other Unix systems get the same promises where they keep them and `Unsupported` where
//! they do not.
#![allow(clippy::disallowed_methods)] // this is the module that everybody else has to go through

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use super::{Access, DirectoryEntry, DirectoryLock, EntryKind, File, LockMode, Vfs};
use crate::memory::reserve;
use descriptor::Opening;
use file::RealFile;

mod allocate;
mod descriptor;
mod file;
mod lock;

/// The operating system's file system and clock. Has no state of its own: all values are alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealVfs;

impl Vfs for RealVfs {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let opening = match access {
            Access::Read => Opening::Read,
            Access::Write => Opening::Write,
        };
        Ok(Box::new(RealFile::new(descriptor::open(path, opening)?)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(RealFile::new(descriptor::open(
            path,
            Opening::CreateNew,
        )?)))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // As many as there are; each name is allocated by the standard library.
            entries.try_reserve(1)?;
            reserve::check().map_err(|_| io::ErrorKind::OutOfMemory)?;
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_file() => EntryKind::File,
                Ok(kind) if kind.is_dir() => EntryKind::Directory,
                Ok(_) => EntryKind::Other,
                // Removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(DirectoryEntry {
                name: entry.file_name(),
                kind,
            });
        }
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        fs::hard_link(existing, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        descriptor::open_directory(directory)?.sync_all()
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn DirectoryLock>> {
        lock::lock(path, mode)
    }

    fn wall_clock_ms(&self) -> u64 {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(elapsed) => u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            Err(_) => 0, // a clock set before 1970
        }
    }

    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        fill_random(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(target_os = "linux")]
fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    use rustix::rand::{GetRandomFlags, getrandom};

    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        filled += rustix::io::retry_on_intr(|| getrandom(&mut *rest, GetRandomFlags::empty()))?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    use std::io::Read;

    fs::File::open("/dev/urandom")?.read_exact(bytes)
}

#[cfg(test)]
mod tests;
