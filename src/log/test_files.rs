//! Files for the tests of this module: real ones in a directory of their own, with faults on request.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Result;
use crate::log::footer::Footer;
use crate::log::record::{Fields, Kind};
use crate::log::segment_header::{Origin, SegmentHeader};
use crate::log::segment_name::new_file_name;
use crate::log::writer::Growth;
use crate::log::{OpenedSegment, ReadMode, Segment, SegmentWriter};
use crate::vfs::{
    Access, Allocation, DirectoryEntry, DirectoryLock, File, LockMode, Mapping, MappingWriter,
    RealVfs, Vfs,
};

/// The ways of writing and reading that must give the same results.
pub const WAYS: [Way; 6] = [
    Way {
        reserves: true,
        read_mode: ReadMode::Mapped,
        by_calls: false,
        growth: Growth::Unknown,
    },
    Way {
        reserves: true,
        read_mode: ReadMode::Pread,
        by_calls: false,
        growth: Growth::Unknown,
    },
    Way {
        reserves: false,
        read_mode: ReadMode::Mapped,
        by_calls: false,
        growth: Growth::Unknown,
    },
    Way {
        reserves: false,
        read_mode: ReadMode::Pread,
        by_calls: false,
        growth: Growth::Unknown,
    },
    Way {
        reserves: true,
        read_mode: ReadMode::Mapped,
        by_calls: true,
        growth: Growth::Unknown,
    },
    Way {
        reserves: true,
        read_mode: ReadMode::Mapped,
        by_calls: false,
        growth: Growth::Quick,
    },
];

/// What the file system can do and how the store reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Whether space can be reserved, which is what mapped writing needs.
    pub reserves: bool,
    /// How segments are read.
    pub read_mode: ReadMode,
    /// Whether the writer is told to write by calls even where it could through a mapping.
    pub by_calls: bool,
    /// How fast the writer is told that the segment will grow.
    pub growth: Growth,
}

/// Faults to inject and counts to read back.
pub struct Controls {
    reserves: bool,
    /// No file can grow beyond this many bytes: the disk is full.
    pub full_at: AtomicU64,
    /// Writes by calls fail with EIO after having written half.
    pub writes_fail: AtomicBool,
    /// Writes by calls so far.
    pub writes: AtomicU64,
    /// The read by a call that fails, once, with EIO: how many go before it.
    pub reads_until_failure: AtomicU64,
    /// Bytes read by calls so far.
    pub bytes_read: AtomicU64,
}

/// A temporary directory and a file system that does as [`Controls`] say.
pub struct TestDisk {
    directory: tempfile::TempDir,
    real: RealVfs,
    pub controls: Arc<Controls>,
}

impl TestDisk {
    pub fn new(way: Way) -> Self {
        let controls = Controls {
            reserves: way.reserves,
            full_at: AtomicU64::new(u64::MAX),
            writes_fail: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            reads_until_failure: AtomicU64::new(u64::MAX),
            bytes_read: AtomicU64::new(0),
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            real: RealVfs,
            controls: Arc::new(controls),
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A writer of a new segment `header`.
    pub fn create(
        &self,
        header: &SegmentHeader,
        size: u64,
        way: Way,
    ) -> Result<(SegmentWriter, Arc<Segment>)> {
        let (growth, read_mode) = (way.growth, way.read_mode);
        let created =
            SegmentWriter::create(self, self.directory(), header, size, growth, read_mode);
        let (writer, segment) = created?;
        match way.by_calls {
            true => Ok((writer.writing_by_calls(), segment)),
            false => Ok((writer, segment)),
        }
    }

    /// The same, without a name.
    pub fn create_unnamed(
        &self,
        header: &SegmentHeader,
        size: u64,
        way: Way,
    ) -> Result<(SegmentWriter, Arc<Segment>)> {
        let (growth, read_mode) = (way.growth, way.read_mode);
        SegmentWriter::create_unnamed(self, self.directory(), header, size, growth, read_mode)
    }

    /// Opens what stands in the file of `segment`.
    pub fn open(&self, segment: &Segment, read_mode: ReadMode) -> Result<OpenedSegment> {
        Segment::open(self, segment.path(), read_mode)
    }

    /// A second handle on a file.
    pub fn open_for_writing(&self, path: &Path) -> Box<dyn File> {
        self.real.open(path, Access::Write).unwrap()
    }

    /// All bytes of a file.
    #[allow(clippy::disallowed_methods)] // looks at the file behind the back of the code under test
    pub fn read(&self, path: &Path) -> Vec<u8> {
        std::fs::read(path).unwrap()
    }

    /// All bytes of the file of `segment`, which has not got its name.
    pub fn read_unnamed(&self, segment: &Segment) -> Vec<u8> {
        self.read(&self.directory().join(new_file_name(segment.id())))
    }

    /// Puts `bytes` in the place of a file's, or a new file's, content.
    #[allow(clippy::disallowed_methods)] // damages the file behind the back of the code under test
    pub fn write(&self, path: &Path, bytes: &[u8]) {
        // A file that is cut to nothing and written anew is flushed when it is closed, on ext4 at least.
        let _ = std::fs::remove_file(path);
        std::fs::write(path, bytes).unwrap();
    }
}

struct TestFile {
    real: Box<dyn File>,
    controls: Arc<Controls>,
}

impl TestFile {
    fn check_room(&self, len: u64) -> io::Result<()> {
        if len > self.controls.full_at.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl File for TestFile {
    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let reads_left = &self.controls.reads_until_failure;
        if reads_left.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.controls
            .bytes_read
            .fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.real.read_exact_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.controls.writes.fetch_add(1, Ordering::Relaxed);
        let room = self
            .controls
            .full_at
            .load(Ordering::Relaxed)
            .saturating_sub(offset);
        if self.controls.writes_fail.load(Ordering::Relaxed) {
            self.real.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::Error::from_raw_os_error(5));
        }
        if bytes.len() as u64 > room {
            self.real.write_all_at(&bytes[..room as usize], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.real.write_all_at(bytes, offset)
    }
    fn allocate(&self, length: u64) -> io::Result<Allocation> {
        if !self.controls.reserves {
            return Ok(Allocation::Unsupported);
        }
        self.check_room(length)?;
        match self.real.allocate(length)? {
            Allocation::Reserved => Ok(Allocation::Reserved),
            // The temporary directory lies on a file system that reserves nothing; a page cache with room
            // for the test's file does as well here.
            Allocation::Unsupported => {
                let len = length.max(self.real.len()?);
                self.real.set_len(len).map(|()| Allocation::Reserved)
            }
        }
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.real.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.real.sync()
    }
    fn map(&self, length: usize) -> io::Result<Arc<Mapping>> {
        self.real.map(length)
    }
    fn map_append(
        &self,
        published: usize,
        capacity: usize,
    ) -> io::Result<(Arc<Mapping>, MappingWriter)> {
        self.real.map_append(published, capacity)
    }
}

impl Vfs for TestDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let real = self.real.open(path, access)?;
        let controls = self.controls.clone();
        Ok(Box::new(TestFile { real, controls }))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let real = self.real.create_new(path)?;
        let controls = self.controls.clone();
        Ok(Box::new(TestFile { real, controls }))
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.real.create_directory(path)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.real.list(directory)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.rename(from, to)
    }
    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        self.real.hard_link(existing, name)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.real.remove(path)
    }
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.real.sync_directory(directory)
    }
    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn DirectoryLock>> {
        self.real.lock(path, mode)
    }
    fn wall_clock_ms(&self) -> u64 {
        self.real.wall_clock_ms()
    }
    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }
    fn random(&self) -> io::Result<[u8; 16]> {
        self.real.random()
    }
}

/// A header of segment 7, fresh, with base sequence 100.
pub fn header() -> SegmentHeader {
    SegmentHeader {
        origin: Origin::Fresh,
        salt: 0x5eed_1234,
        store_id: [3; 16],
        segment_id: 7,
        base_sequence: 100,
        predecessor_sequence: 99,
        durable_sequence: 90,
        expired_until_ms: 0,
    }
}

/// A put without batch or expiry.
pub fn put<'a>(sequence: u64, key: &'a [u8], value: &'a [u8]) -> Fields<'a> {
    Fields {
        kind: Kind::Put,
        continues: false,
        follows_durable: false,
        expires_at_ms: None,
        sequence,
        key,
        value,
    }
}

/// A tombstone without batch.
pub fn tombstone(sequence: u64, key: &[u8]) -> Fields<'_> {
    Fields {
        kind: Kind::Tombstone,
        ..put(sequence, key, b"")
    }
}

/// The segment, and its footer if it is sealed, that was opened without damage to its header.
pub fn readable(opened: OpenedSegment) -> (Arc<Segment>, Option<Footer>) {
    match opened {
        OpenedSegment::Sealed {
            segment,
            footer,
            header_damage: None,
        } => (segment, Some(footer)),
        OpenedSegment::Unsealed { segment } => (segment, None),
        OpenedSegment::Sealed { .. } => panic!("the header is damaged"),
        OpenedSegment::Headless { fault, .. } => panic!("no header: {fault}"),
    }
}
