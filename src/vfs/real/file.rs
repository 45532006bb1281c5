//! An open file of the operating system.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::OnceLock;

use super::allocate;
use crate::vfs::{Allocation, File, Mapping, MappingWriter};

/// An open regular file.
pub(super) struct RealFile {
    file: fs::File,
    /// Whether the file system keeps its reservations; asked once.
    reserves: OnceLock<bool>,
}

impl RealFile {
    pub(super) fn new(file: fs::File) -> Self {
        Self {
            file,
            reserves: OnceLock::new(),
        }
    }

    fn at_least(&self, length: usize) -> io::Result<()> {
        if self.len()? < length as u64 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is shorter than what is to be mapped",
            ));
        }
        Ok(())
    }
}

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    // The standard library loops over short transfers and EINTR in the next two.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn allocate(&self, length: u64) -> io::Result<Allocation> {
        let reserves = match self.reserves.get() {
            Some(reserves) => *reserves,
            None => {
                let reserves = allocate::is_supported(&self.file)?;
                *self.reserves.get_or_init(|| reserves)
            }
        };
        allocate::allocate(&self.file, length, reserves)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        // Linux' fdatasync writes back mapped pages and a changed length. Elsewhere that is not certain; on
        // macOS the standard library asks the drive as well (F_FULLFSYNC).
        if cfg!(target_os = "linux") {
            self.file.sync_data()
        } else {
            self.file.sync_all()
        }
    }

    fn map(&self, length: usize) -> io::Result<Arc<Mapping>> {
        self.at_least(length)?;
        Mapping::of_file(&self.file, length)
    }

    fn map_append(
        &self,
        published: usize,
        capacity: usize,
    ) -> io::Result<(Arc<Mapping>, MappingWriter)> {
        self.at_least(published)?;
        MappingWriter::of_file(&self.file, published, capacity)
    }
}
