//! A simulated disk that tells of what it is asked for before it does it.
#![allow(dead_code)] // each test program uses its part

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use freyja::vfs::{
    Access, Allocation, DirectoryEntry, DirectoryLock, File, LockMode, Mapping, MappingWriter,
    SimulatedDisk, Vfs,
};

/// What the disk is asked for, if it may change something, or takes long.
pub enum Call<'c> {
    /// To create this file.
    Create(&'c Path),
    /// To change what is in a file, or a name, or to make it durable.
    Change,
    /// To remove this name.
    Remove(&'c Path),
    /// To close this file, which nobody uses any more.
    Close(&'c Path),
}

type Observer = Arc<dyn Fn(Call<'_>) + Send + Sync>;

/// The disk.
#[derive(Clone)]
pub struct ObservedDisk {
    /// What is on it.
    pub simulated: SimulatedDisk,
    observer: Observer,
}

struct ObservedFile {
    /// There until it is closed.
    file: Option<Box<dyn File>>,
    path: PathBuf,
    observer: Observer,
}

impl ObservedDisk {
    /// An empty disk. Who asks for something waits until `observer` comes back.
    pub fn new(observer: impl Fn(Call<'_>) + Send + Sync + 'static) -> Self {
        Self {
            simulated: SimulatedDisk::new(1),
            observer: Arc::new(observer),
        }
    }

    fn observed(&self, path: &Path, file: io::Result<Box<dyn File>>) -> io::Result<Box<dyn File>> {
        let file = ObservedFile {
            file: Some(file?),
            path: path.to_path_buf(),
            observer: self.observer.clone(),
        };
        Ok(Box::new(file))
    }
}

impl ObservedFile {
    fn file(&self) -> &dyn File {
        &**self.file.as_ref().unwrap()
    }

    fn changing(&self) -> &dyn File {
        (self.observer)(Call::Change);
        self.file()
    }
}

impl Drop for ObservedFile {
    fn drop(&mut self) {
        (self.observer)(Call::Close(&self.path));
        drop(self.file.take());
    }
}

impl File for ObservedFile {
    fn len(&self) -> io::Result<u64> {
        self.file().len()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file().read_exact_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.changing().write_all_at(bytes, offset)
    }
    fn allocate(&self, length: u64) -> io::Result<Allocation> {
        self.file().allocate(length)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.changing().set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.changing().sync()
    }
    fn map(&self, length: usize) -> io::Result<Arc<Mapping>> {
        self.file().map(length)
    }
    fn map_append(
        &self,
        published: usize,
        capacity: usize,
    ) -> io::Result<(Arc<Mapping>, MappingWriter)> {
        self.file().map_append(published, capacity)
    }
}

impl Vfs for ObservedDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        self.observed(path, self.simulated.open(path, access))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        (self.observer)(Call::Create(path));
        self.observed(path, self.simulated.create_new(path))
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.simulated.create_directory(path)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.simulated.list(directory)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.observer)(Call::Change);
        self.simulated.rename(from, to)
    }
    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        self.simulated.hard_link(existing, name)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        (self.observer)(Call::Remove(path));
        self.simulated.remove(path)
    }
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        (self.observer)(Call::Change);
        self.simulated.sync_directory(directory)
    }
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn DirectoryLock>> {
        self.simulated.lock(path, mode)
    }
    fn wall_clock_ms(&self) -> u64 {
        self.simulated.wall_clock_ms()
    }
    fn monotonic(&self) -> Duration {
        self.simulated.monotonic()
    }
    fn random(&self) -> io::Result<[u8; 16]> {
        self.simulated.random()
    }
}
