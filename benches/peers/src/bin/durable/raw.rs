//! What no store can beat without sharing: a record written in place and `fdatasync`, on one file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

/// What a record of a 16 B key and a 100 B value takes in Freyja's log.
pub const RECORD_LEN: usize = 128;

/// More than the turns of a run write.
const FILE_LEN: u64 = 64 << 20;

/// What the file system has to do besides writing the record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The file grows with every record.
    Appended,
    /// Its blocks have been allocated, but never written.
    Preallocated,
    /// Its blocks have been written before.
    Recycled,
}

/// The file of one way, used by any number of threads.
pub struct Raw {
    file: File,
    next: AtomicU64,
    limit: u64,
}

impl Raw {
    /// Makes the file `path`, durable as far as its way demands.
    pub fn create(path: &Path, way: Way) -> Self {
        let file = OpenOptions::new()
            .create_new(true)
            .read(true)
            .write(true)
            .open(path)
            .expect("a file");
        match way {
            Way::Appended => {}
            Way::Preallocated => {
                fallocate(&file, FallocateFlags::empty(), 0, FILE_LEN).expect("space on the disk");
            }
            Way::Recycled => {
                let block = vec![0x5a; 1 << 20];
                for offset in (0..FILE_LEN).step_by(block.len()) {
                    file.write_all_at(&block, offset)
                        .expect("space on the disk");
                }
            }
        }
        file.sync_all().expect("a disk that can be synced");
        Self {
            file,
            next: AtomicU64::new(0),
            limit: match way {
                Way::Appended => u64::MAX,
                Way::Preallocated | Way::Recycled => FILE_LEN,
            },
        }
    }

    /// Writes a record behind the last one and syncs.
    pub fn put(&self, record: &[u8; RECORD_LEN]) {
        let offset = self.next.fetch_add(RECORD_LEN as u64, Ordering::Relaxed);
        assert!(
            offset < self.limit,
            "the file is used up: run fewer or shorter turns"
        );
        self.file
            .write_all_at(record, offset)
            .expect("space on the disk");
        self.file.sync_data().expect("a disk that can be synced");
    }
}
