//! Records in a file that the page cache has.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::null_mut;

use freyja_peers::pairs::mix;

const LEN: usize = 512 << 20;
const RECORD: usize = 128;
const RECORDS: usize = LEN / RECORD;

/// A file full of records, mapped, and one to write to. Both go when it is dropped.
pub struct Records {
    file: File,
    mapped: &'static [u8],
    log: File,
}

impl Records {
    /// Makes the files in `directory`, without a name that would stay.
    pub fn create(directory: &Path) -> Self {
        let mut file = unnamed(directory);
        let block = vec![0x5a; 1 << 20];
        for _ in 0..LEN / block.len() {
            file.write_all(&block).expect("space on the disk");
        }
        // SAFETY: a new mapping of a file that nobody else knows and that is never cut; it is never given back.
        let mapped = unsafe {
            let kind = libc::MAP_SHARED | libc::MAP_POPULATE;
            let start = libc::mmap(null_mut(), LEN, libc::PROT_READ, kind, file.as_raw_fd(), 0);
            assert_ne!(start, libc::MAP_FAILED, "the file can be mapped");
            std::slice::from_raw_parts(start.cast::<u8>(), LEN)
        };
        Self {
            file,
            mapped,
            log: unnamed(directory),
        }
    }

    /// Copies so many records out of the mapping.
    pub fn copy(&self, first: u64, times: u64) {
        let mut record = [0; RECORD];
        for number in first..first + times {
            // Known only when the record before has come, as a record's place is when the index has.
            let place = (mix(number) ^ u64::from(record[0])) as usize % RECORDS * RECORD;
            record.copy_from_slice(&self.mapped[place..place + RECORD]);
            black_box(&mut record);
        }
    }

    /// Copies so many records out of the mapping, one behind the other.
    pub fn copy_in_order(&self, first: u64, times: u64) {
        let mut record = [0; RECORD];
        for number in first..first + times {
            let place = number as usize % RECORDS * RECORD;
            record.copy_from_slice(&self.mapped[place..place + RECORD]);
            black_box(&mut record);
        }
    }

    /// Reads so many records by calls.
    pub fn read(&self, first: u64, times: u64) {
        let mut record = [0; RECORD];
        for number in first..first + times {
            let place = mix(number) as usize % RECORDS * RECORD;
            let read = self.file.read_exact_at(&mut record, place as u64);
            read.expect("the file can be read");
            black_box(&record);
        }
    }

    /// Writes so many records by calls, one after the other.
    pub fn append(&self, times: u64) {
        let mut log = &self.log;
        for _ in 0..times {
            log.write_all(black_box(&[1; RECORD]))
                .expect("space on the disk");
        }
    }
}

fn unnamed(directory: &Path) -> File {
    let path = directory.join("limits");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path);
    let file = file.expect("a file can be made");
    std::fs::remove_file(&path).expect("it can be removed");
    file
}
