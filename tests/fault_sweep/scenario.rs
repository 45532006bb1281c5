//! What a store is doing when a call fails.

use std::path::Path;
use std::sync::Arc;

use freyja::store::{Batch, KeyStorage, OpenMode, Options, ReadMode, Store, SyncMode};
use freyja::vfs::Allocation;
use freyja::vfs::simulated::{Crash, SimulatedDisk};

use crate::judge::content;
use crate::model::Map;

pub const STORE: &str = "/store";

/// One step of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opens the store, which a close before has left.
    Open,
    /// Key number, and length of the value.
    Put(u8, usize),
    Delete(u8),
    /// Two puts, of this length, and a deletion.
    Batch(usize),
    /// Every key, one by one and all at once.
    Read,
    Sync,
    /// The sync interval passes.
    Wait,
    Close,
}

use Step::{Batch as B, Close, Delete, Open, Put, Read, Sync, Wait};

/// A segment has 4096 bytes: a value of this length fills one.
const FILLING: usize = 3500;

/// What was there before.
#[derive(Clone, Copy, Debug)]
pub enum Before {
    Nothing,
    /// A closed store of several segments, with an image.
    Closed,
    /// A store whose process was killed.
    Killed,
    /// A store that lost its power.
    PowerLost,
}

pub struct Scenario {
    pub name: &'static str,
    pub before: Before,
    pub read_only: bool,
    pub steps: &'static [Step],
}

pub const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "new",
        before: Before::Nothing,
        read_only: false,
        steps: &[
            Open,
            Put(0, 8),
            Put(1, 900),
            B(20),
            Read,
            Delete(0),
            Sync,
            Put(2, 0),
            Close,
        ],
    },
    Scenario {
        name: "rotation",
        before: Before::Closed,
        read_only: false,
        steps: &[
            Open,
            Read,
            Put(0, 8),
            Put(1, FILLING),
            Put(2, 8),
            Put(1, FILLING),
            B(2500),
            Wait,
            Put(3, 8),
            Delete(1),
            Put(4, 6000),
            Sync,
            Read,
            Close,
            Open,
            Read,
            Put(5, 8),
            Close,
        ],
    },
    Scenario {
        name: "killed",
        before: Before::Killed,
        read_only: false,
        steps: &[Open, Read, Put(0, 8), Wait, B(10), Sync, Read, Close],
    },
    Scenario {
        name: "power lost",
        before: Before::PowerLost,
        read_only: false,
        steps: &[
            Open,
            Read,
            Delete(0),
            Put(1, FILLING),
            Put(2, 8),
            Sync,
            Close,
        ],
    },
    Scenario {
        name: "reopened at once",
        before: Before::Killed,
        read_only: false,
        steps: &[Open, Close, Open, Put(0, 8), Close, Open, Read, Close],
    },
    Scenario {
        name: "read-only",
        before: Before::Closed,
        read_only: true,
        steps: &[Open, Read, Close],
    },
];

/// How the store is opened and what the disk is like.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub sync_mode: SyncMode,
    pub allocation: Allocation,
    pub read_mode: ReadMode,
    pub key_storage: KeyStorage,
    pub background: bool,
}

/// Everything at least once either way. Only without a background thread are the calls the same in every run.
pub const SETTINGS: [Setting; 4] = [
    Setting {
        sync_mode: SyncMode::Always,
        allocation: Allocation::Reserved,
        read_mode: ReadMode::Mapped,
        key_storage: KeyStorage::InMemory,
        background: false,
    },
    Setting {
        sync_mode: SyncMode::None,
        allocation: Allocation::Unsupported,
        read_mode: ReadMode::Pread,
        key_storage: KeyStorage::OnDisk,
        background: false,
    },
    Setting {
        sync_mode: SyncMode::Interval,
        allocation: Allocation::Reserved,
        read_mode: ReadMode::Pread,
        key_storage: KeyStorage::InMemory,
        background: false,
    },
    Setting {
        sync_mode: SyncMode::Always,
        allocation: Allocation::Unsupported,
        read_mode: ReadMode::Mapped,
        key_storage: KeyStorage::InMemory,
        background: true,
    },
];

impl Setting {
    pub fn options(&self, read_only: bool) -> Options {
        Options {
            mode: match read_only {
                true => OpenMode::ReadOnly,
                false => OpenMode::CreateIfMissing,
            },
            sync_mode: self.sync_mode,
            read_mode: self.read_mode,
            key_storage: self.key_storage,
            segment_size: 4096,
            background_threads: u32::from(self.background),
            sync_interval_ms: 5,
            image_segments: 1,
            ..Options::default()
        }
    }

    pub fn open(&self, disk: &SimulatedDisk, read_only: bool) -> freyja::Result<Store> {
        let options = self.options(read_only);
        Store::open_on(Arc::new(disk.clone()), Path::new(STORE), &options)
    }
}

/// Keys that scenarios use, 0 to this.
pub const KEYS: u8 = 8;

pub fn key(number: u8) -> Vec<u8> {
    vec![b'k', number]
}

/// A value that tells which step wrote it.
pub fn value(step: usize, length: usize) -> Vec<u8> {
    vec![step as u8 + 1; length]
}

pub fn batch(step: usize, length: usize) -> Batch {
    let mut batch = Batch::new();
    batch.put(&key(6), &value(step, length)).unwrap();
    batch.delete(&key(1)).unwrap();
    batch.put(&key(7), &value(step, length / 3)).unwrap();
    batch
}

/// The effect of a writing step.
pub fn apply(map: &mut Map, number: usize, step: Step) {
    match step {
        Put(at, length) => {
            map.insert(key(at), value(number, length));
        }
        Delete(at) => {
            map.remove(&key(at));
        }
        B(length) => {
            for operation in batch(number, length).operations() {
                match operation.value {
                    Some(value) => map.insert(operation.key.to_vec(), value.to_vec()),
                    None => map.remove(operation.key),
                };
            }
        }
        Open | Read | Sync | Wait | Close => {}
    }
}

/// A disk on which `before` has happened, without faults, and the states that its store went through since everything
/// was durable, the first of them, up to the one that a recovery finds.
pub fn prepare(setting: Setting, before: Before, seed: u64) -> (SimulatedDisk, Vec<Map>) {
    let disk = SimulatedDisk::new(seed);
    disk.set_allocation(setting.allocation);
    if matches!(before, Before::Nothing) {
        return (disk, vec![Map::new()]);
    }
    let quiet = Setting {
        background: false,
        ..setting
    };
    let store = quiet.open(&disk, false).unwrap();
    for number in 0..6 {
        store.put(&key(number), &value(90, 700)).unwrap();
    }
    store.sync().unwrap();
    let mut states = vec![content(&store).unwrap()];
    store.write(&batch(100, 300)).unwrap();
    states.push(content(&store).unwrap());
    store.put(&key(3), &value(101, 20)).unwrap();
    states.push(content(&store).unwrap());
    let crash = match before {
        Before::PowerLost => Crash::PowerLoss,
        _ => Crash::ProcessKill,
    };
    if matches!(before, Before::Closed) {
        store.close().unwrap();
    }
    let left = disk.crash(crash, seed);
    if matches!(before, Before::Killed) && setting.sync_mode != SyncMode::Always {
        return (left, states);
    }
    // A copy tells what a recovery finds: the original is still to be recovered.
    let copy = left.crash(Crash::ProcessKill, seed);
    let found = content(&quiet.open(&copy, false).unwrap()).unwrap();
    assert!(states.contains(&found));
    (left, vec![found])
}
