//! How a store is opened.

use crate::error::{Error, ErrorKind, Result};
pub use crate::index::KeyStorage;
pub use crate::log::ReadMode;

/// What must be there when a store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// Opens the store, creating it if there is none.
    #[default]
    CreateIfMissing,
    /// Opens the store; [`ErrorKind::NotFound`] if there is none.
    MustExist,
    /// Creates the store; [`ErrorKind::Exists`] if there is one.
    MustBeNew,
    /// Opens an existing store for reading, also while another process writes it; nothing on disk is changed.
    /// [`Store::refresh`](crate::store::Store::refresh) shows what has been written since.
    ReadOnly,
}

/// When a put or delete returns, and so what it survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// When its bytes are synced; concurrent writers share one sync. Survives power loss.
    #[default]
    Always,
    /// When its bytes are in the system's page cache; they are synced at a fixed rate. Survives a killed
    /// process; a power cut takes at most the last interval.
    Interval,
    /// When its bytes are in the system's page cache. Survives a killed process; a power cut leaves a
    /// prefix of the commit order.
    None,
}

/// When segments are compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compaction {
    /// In the background, as soon as garbage makes the log too large; without background threads, by
    /// [`Store::maintain`](super::Store::maintain).
    #[default]
    Automatic,
    /// Only by [`Store::compact`](super::Store::compact).
    Manual,
}

/// What is checked of a record before its value, or its pair, is given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadChecks {
    /// All of its bytes, by their checksum.
    #[default]
    Checksum,
    /// That a record can lie there, and for gets that it is one of the key. The rest is what the disk says: for disks or file
    /// systems that have checksums themselves, and for values that do. Whatever writes or recovers records checks them
    /// as ever.
    Key,
}

/// How a store is opened. `Options::default()` is the safe choice.
#[derive(Clone, Debug)]
pub struct Options {
    /// What must be there.
    pub mode: OpenMode,
    /// When a write returns.
    pub sync_mode: SyncMode,
    /// Milliseconds between two syncs with [`SyncMode::Interval`]; 1 to 3,600,000.
    pub sync_interval_ms: u32,
    /// Where the keys live.
    pub key_storage: KeyStorage,
    /// How records are read.
    pub read_mode: ReadMode,
    /// What of them is checked.
    pub read_checks: ReadChecks,
    /// Number of threads the store may run in the background: 0 or 1. With 0 the work is done by
    /// the calls that make it necessary.
    pub background_threads: u32,
    /// Size in bytes at which a segment file is full: 4 KiB to 1 GiB. In a small store they are full earlier, see
    /// [`Options::usual_segment_size`].
    pub segment_size: u64,
    /// Size in bytes of a page of key bytes: a power of two from 4 KiB to 1 MiB.
    pub slab_size: u64,
    /// Limit in bytes for the store's own memory; 0: none. [`MEMORY_BUDGET_AUTO`](super::MEMORY_BUDGET_AUTO): a fourth of what
    /// the process may have. What does not fit is refused with [`ErrorKind::Memory`] before anything is written; reads, deletes,
    /// and overwrites that need no more memory go on. Not counted: buffers of values, which all stores share, batches of
    /// the caller, and mapped files.
    pub memory_budget: u64,
    /// How many keys are expected; 0 if unknown. A hint that saves growing.
    pub expected_keys: u64,
    /// An image of the index, from which the next open starts, is written when so many segments have been sealed since
    /// the last one, less often if the images would otherwise be larger than the log written meanwhile, and at close. 0:
    /// never, so that every open reads the whole log.
    pub image_segments: u32,
    /// When segments are compacted.
    pub compaction: Compaction,
    /// How large the log may be, in percent of what is live in it: 110 to 1000. It is compacted early enough that what is
    /// copied meanwhile has room within that. A store of a few segments may be larger, since what is being written is not
    /// compacted.
    pub space_amplification: u32,
    /// How many bytes compaction may read and write in a second; 0: as many as it can.
    pub compaction_bytes_per_second: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: OpenMode::default(),
            sync_mode: SyncMode::default(),
            sync_interval_ms: 1000,
            key_storage: KeyStorage::default(),
            read_mode: ReadMode::Mapped,
            read_checks: ReadChecks::default(),
            background_threads: 1,
            segment_size: 64 << 20,
            slab_size: 4096,
            memory_budget: 0,
            expected_keys: 0,
            image_segments: 1,
            compaction: Compaction::default(),
            space_amplification: 146,
            compaction_bytes_per_second: 0,
        }
    }
}

/// A log of this many segments has those of the full size.
const SEGMENTS: u64 = 64;
/// Smaller segments would cost more than they are worth. They end at seven eighths, if things come out as planned, so that of this
/// size all but a little lies in large pages.
const SMALLEST_SEGMENT: u64 = 5 << 20;
/// Segments smaller than the full size are a multiple of this, because that is what they take of the location space.
const SEGMENT_STEP: u64 = 1 << 20;

impl Options {
    /// Size in bytes of a segment that is begun when the log has `content` bytes: one part in 64 of these, but 5 MiB at
    /// least and `segment_size` at most. So neither what is being written nor what compaction copies at once counts for much
    /// in a small store.
    pub fn usual_segment_size(&self, content: u64) -> u64 {
        let part = (content / SEGMENTS).max(SMALLEST_SEGMENT);
        part.next_multiple_of(SEGMENT_STEP).min(self.segment_size)
    }

    /// Refuses values outside their documented ranges, naming the field.
    pub fn check(&self) -> Result<()> {
        let refuse = |kind, message: String| Err(Error::new(kind, message));
        if self.sync_mode == SyncMode::Interval && !(1..=3_600_000).contains(&self.sync_interval_ms)
        {
            return refuse(
                ErrorKind::Invalid,
                format!(
                    "sync_interval_ms is {}; it must be 1 to 3600000",
                    self.sync_interval_ms
                ),
            );
        }
        if self.background_threads > 1 {
            return refuse(
                ErrorKind::Invalid,
                format!(
                    "background_threads is {}; it must be 0 or 1",
                    self.background_threads
                ),
            );
        }
        if !(4096..=1 << 30).contains(&self.segment_size) {
            return refuse(
                ErrorKind::Invalid,
                format!(
                    "segment_size is {}; it must be 4096 to 1073741824",
                    self.segment_size
                ),
            );
        }
        if !(110..=1000).contains(&self.space_amplification) {
            return refuse(
                ErrorKind::Invalid,
                format!(
                    "space_amplification is {}; it must be 110 to 1000",
                    self.space_amplification
                ),
            );
        }
        if !self.slab_size.is_power_of_two() || !(4096..=1 << 20).contains(&self.slab_size) {
            return refuse(
                ErrorKind::Invalid,
                format!(
                    "slab_size is {}; it must be a power of two from 4096 to 1048576",
                    self.slab_size
                ),
            );
        }
        Ok(())
    }
}
