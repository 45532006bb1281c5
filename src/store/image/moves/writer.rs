//! Writing a list of moves while its merge copies.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{self, SegmentName};
use crate::log::record::ALIGNMENT;
use crate::log::varint;
use crate::memory::budget::MemoryBudget;
use crate::memory::scratch::Scratch;
use crate::store::image::names;
use crate::vfs::{File, Vfs};

/// No more bytes than this are written at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Three numbers.
const MOST_ITEM_BYTES: usize = 3 * varint::MAX_LEN;

/// A list that is being written. Should anything fail it is given up, which costs the next open time and nothing else.
pub struct MoveListWriter {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    /// `None` once it has been given up.
    file: Option<Box<dyn File>>,
    end: u64,
    checksum: crc32fast::Hasher,
    waiting: Scratch,
    /// Of each replaced segment the offset in bytes of the last put that was added.
    pub(super) last: Vec<u64>,
    /// Offset in bytes of the last copy.
    last_copy: u64,
    tombstone_bytes: u64,
}

impl MoveListWriter {
    /// Begins the list of what is moved from `sources` into the segment `output`, with memory from `budget`.
    pub fn begin(
        vfs: Arc<dyn Vfs>,
        directory: &Path,
        store_id: &[u8; 16],
        output: SegmentName,
        sources: &[SegmentName],
        budget: Arc<MemoryBudget>,
    ) -> Self {
        let path = directory.join(names::moves_file_name(output.id));
        let mut list = Self {
            file: create(&*vfs, &path).ok(),
            vfs,
            path,
            end: 0,
            checksum: crc32fast::Hasher::new(),
            waiting: Scratch::within(budget),
            last: vec![0; sources.len()],
            last_copy: 0,
            tombstone_bytes: 0,
        };
        list.append(&format::encode_header(store_id, output, sources.len()));
        for source in sources {
            list.append(&format::encode_source(*source));
        }
        list
    }

    /// The put at `offset` bytes in segment number `source` has been copied to `copy` bytes in the output.
    pub fn moved(&mut self, source: usize, offset: u64, copy: u64) {
        let distance = copy - self.last_copy;
        self.last_copy = copy;
        self.add(source, offset, 1, distance / ALIGNMENT);
    }

    /// The put at `offset` bytes in segment number `source`, whose key has so many bytes, has not been copied.
    pub fn left_behind(&mut self, source: usize, offset: u64, key_len: usize) {
        self.add(source, offset, 0, key_len as u64);
    }

    /// The output has another tombstone of so many bytes.
    pub fn tombstone(&mut self, bytes: u64) {
        self.tombstone_bytes += bytes;
    }

    /// Completes the list and makes its content durable; `false` if it was given up.
    pub fn finish(mut self) -> bool {
        self.append(&format::encode_end(self.tombstone_bytes));
        let checksum = self.checksum.clone().finalize();
        self.append(&checksum.to_le_bytes());
        self.write();
        let synced = self.file.as_ref().is_some_and(|file| file.sync().is_ok());
        if !synced {
            self.give_up();
        }
        synced
    }

    /// Removes what there is of it.
    pub fn give_up(&mut self) {
        if self.file.take().is_some() {
            let _ = self.vfs.remove(&self.path);
        }
    }

    fn add(&mut self, source: usize, offset: u64, copied: u64, what: u64) {
        let distance = (offset - self.last[source]) / ALIGNMENT;
        self.last[source] = offset;
        let mut bytes = [0; MOST_ITEM_BYTES];
        let mut len = 0;
        for number in [(source as u64) << 1 | copied, distance, what] {
            varint::write(&mut bytes, &mut len, number);
        }
        self.append(&bytes[..len]);
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.file.is_none() {
            return;
        }
        if self.waiting.len() + bytes.len() > CHUNK_BYTES {
            self.write();
        }
        self.checksum.update(bytes);
        if self.waiting.append(bytes, "a list of moves").is_err() {
            self.give_up();
        }
    }

    fn write(&mut self) {
        let Some(file) = &self.file else {
            return;
        };
        if file.write_all_at(&self.waiting, self.end).is_err() {
            return self.give_up();
        }
        self.end += self.waiting.len() as u64;
        self.waiting.clear();
    }
}

/// What is there under that name is left of a merge that was never completed.
fn create(vfs: &dyn Vfs, path: &Path) -> io::Result<Box<dyn File>> {
    match vfs.create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            vfs.remove(path)?;
            vfs.create_new(path)
        }
        created => created,
    }
}

/// Removes the list of what was to be moved into the segment `output`, which has not got its name, if there is one.
pub fn remove_move_list(vfs: &dyn Vfs, directory: &Path, output: u64) {
    let _ = vfs.remove(&directory.join(names::moves_file_name(output)));
}
