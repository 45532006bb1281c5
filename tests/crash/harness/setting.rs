//! The ways of opening a store, and the kinds of disk, under which workloads run.

use freyja::store::{KeyStorage, Options, ReadMode, SyncMode};
use freyja::vfs::{Allocation, SimulatedDisk};

use crate::random::Random;

/// How the store is opened and what the disk is like.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub sync_mode: SyncMode,
    pub allocation: Allocation,
    pub read_mode: ReadMode,
    pub key_storage: KeyStorage,
    pub images: bool,
    /// Whether syncing a file makes its own name durable, as common file systems do though nothing promises it.
    pub sync_keeps_name: bool,
    /// Whether after each operation the next segment is made ready, if it is time, as a background thread would do.
    pub prepares: bool,
}

/// Those of the exhaustive search: each sync mode, and all else at least once either way.
pub const EXHAUSTIVE: [Setting; 3] = [
    Setting {
        sync_mode: SyncMode::Always,
        allocation: Allocation::Reserved,
        read_mode: ReadMode::Mapped,
        key_storage: KeyStorage::InMemory,
        images: true,
        sync_keeps_name: false,
        prepares: false,
    },
    Setting {
        sync_mode: SyncMode::None,
        allocation: Allocation::Unsupported,
        read_mode: ReadMode::Pread,
        key_storage: KeyStorage::OnDisk,
        images: true,
        sync_keeps_name: false,
        prepares: false,
    },
    Setting {
        sync_mode: SyncMode::Interval,
        allocation: Allocation::Reserved,
        read_mode: ReadMode::Pread,
        key_storage: KeyStorage::InMemory,
        images: false,
        sync_keeps_name: true,
        prepares: false,
    },
];

impl Setting {
    /// Any combination.
    pub fn drawn(random: &mut Random) -> Self {
        Self {
            sync_mode: random.one_of(&[SyncMode::Always, SyncMode::None, SyncMode::Interval]),
            allocation: random.one_of(&[Allocation::Reserved, Allocation::Unsupported]),
            read_mode: random.one_of(&[ReadMode::Mapped, ReadMode::Pread]),
            key_storage: random.one_of(&[KeyStorage::InMemory, KeyStorage::OnDisk]),
            images: random.below(4) != 0,
            sync_keeps_name: random.below(4) == 0,
            prepares: false,
        }
    }

    /// The smallest segments there are, so that the log rotates all the time; no threads, so that a run can be repeated.
    pub fn options(&self) -> Options {
        Options {
            sync_mode: self.sync_mode,
            read_mode: self.read_mode,
            key_storage: self.key_storage,
            segment_size: 4096,
            background_threads: 0,
            sync_interval_ms: 5,
            image_segments: u32::from(self.images),
            ..Options::default()
        }
    }

    /// The same with the other key storage: a store may be opened with either, whatever wrote it.
    pub fn with_other_key_storage(&self) -> Self {
        let key_storage = match self.key_storage {
            KeyStorage::InMemory => KeyStorage::OnDisk,
            KeyStorage::OnDisk => KeyStorage::InMemory,
        };
        Self {
            key_storage,
            ..*self
        }
    }

    /// Makes `disk` what this setting says.
    pub fn prepare(&self, disk: &SimulatedDisk) {
        disk.set_allocation(self.allocation);
        disk.set_sync_keeps_name(self.sync_keeps_name);
    }
}
