//! A crash at any moment leaves a prefix of the commit order that holds everything acknowledged as durable.
//!
//! A seeded workload runs once on a simulated disk that keeps a picture of itself before every call; each picture then
//! crashes in several ways and is recovered. `FREYJA_SEED=n cargo test --test crash` replays seed n alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use freyja::store::{Batch, KeyStorage, OpenMode, Options, ReadMode, RecoveryWay, Store, SyncMode};
use freyja::vfs::simulated::{Crash, Operation, SimulatedDisk};
use freyja::vfs::{Allocation, Vfs};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

const STORE: &str = "/store";

/// A small generator of its own (Marsaglia's xorshift), so that a seed means the same for ever.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// What a run did: the state after each operation, a batch being one, and which calls to the disk each one made.
struct History {
    states: Vec<Map>,
    /// For each operation: index of its first call, index behind its last, whether it made all before it durable.
    operations: Vec<(u64, u64, bool)>,
}

impl History {
    /// The states that a picture taken before call `index` may recover to.
    fn allowed(&self, index: u64, power_loss: bool) -> std::ops::RangeInclusive<usize> {
        let mut floor = 0;
        let mut ceiling = 0;
        for (number, (first, end, durable)) in self.operations.iter().enumerate() {
            if *first <= index {
                ceiling = number + 1;
            }
            if *end <= index && (*durable || !power_loss) {
                floor = number + 1;
            }
        }
        floor..=ceiling
    }
}

struct Setting {
    sync_mode: SyncMode,
    allocation: Allocation,
    read_mode: ReadMode,
    key_storage: KeyStorage,
}

/// A store may be opened with either, whatever wrote it.
const KEY_STORAGES: [KeyStorage; 2] = [KeyStorage::InMemory, KeyStorage::OnDisk];

impl Setting {
    fn drawn(seed: u64, random: &mut Random) -> Self {
        Self {
            sync_mode: [SyncMode::Always, SyncMode::None, SyncMode::Interval]
                [random.below(3) as usize],
            allocation: [Allocation::Reserved, Allocation::Unsupported][random.below(2) as usize],
            read_mode: [ReadMode::Mapped, ReadMode::Pread][random.below(2) as usize],
            // Beside the random numbers, so that a seed goes on meaning the same.
            key_storage: KEY_STORAGES[seed as usize % 2],
        }
    }

    fn options(&self) -> Options {
        Options {
            sync_mode: self.sync_mode,
            read_mode: self.read_mode,
            key_storage: self.key_storage,
            segment_size: 4096,
            background_threads: 0,
            sync_interval_ms: 5,
            image_segments: 1,
            ..Options::default()
        }
    }
}

fn open(disk: &SimulatedDisk, options: &Options) -> freyja::Result<Store> {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options)
}

fn run(disk: &SimulatedDisk, setting: &Setting, random: &mut Random) -> History {
    let mut map = Map::new();
    let mut history = History {
        states: vec![map.clone()],
        operations: Vec::new(),
    };
    let options = setting.options();
    let mut store = open(disk, &options).unwrap();
    for step in 0..60u64 {
        let first = disk.calls();
        let key = vec![b'k', random.below(8) as u8];
        let mut durable = setting.sync_mode == SyncMode::Always;
        match random.below(24) {
            20..=23 => {
                let batch = drawn_batch(random, step);
                store.write(&batch).unwrap();
                for operation in batch.operations() {
                    match operation.value {
                        Some(value) => map.insert(operation.key.to_vec(), value.to_vec()),
                        None => map.remove(operation.key),
                    };
                }
            }
            0..=11 => {
                let length = [0, 3, 100, 900, 6000][random.below(5) as usize];
                let value = [&step.to_le_bytes()[..], &vec![step as u8; length]].concat();
                store.put(&key, &value).unwrap();
                map.insert(key, value);
            }
            12..=15 => {
                assert_eq!(store.delete(&key).unwrap(), map.remove(&key).is_some());
            }
            16 => {
                store.sync().unwrap();
                durable = true;
            }
            17 => {
                store.close().unwrap();
                store = open(disk, &options).unwrap();
                durable = true;
            }
            18 => {
                // A process that ends without closing: the handle stays behind with all it holds.
                let killed = disk.crash(Crash::ProcessKill, step);
                drop(killed);
            }
            _ => disk.advance_clock(std::time::Duration::from_millis(10)),
        }
        history.operations.push((first, disk.calls(), durable));
        history.states.push(map.clone());
    }
    let first = disk.calls();
    store.close().unwrap();
    history.operations.push((first, disk.calls(), true));
    history.states.push(map);
    history
}

/// A few operations, several of them on the same keys; now and then too many for an ordinary segment.
fn drawn_batch(random: &mut Random, step: u64) -> Batch {
    let mut batch = Batch::new();
    for number in 0..random.below(8) {
        let key = vec![b'k', random.below(8) as u8];
        if random.below(4) == 0 {
            batch.delete(&key).unwrap();
        } else {
            let length = [0, 3, 100, 900, 3000][random.below(5) as usize];
            let value = [&step.to_le_bytes()[..], &vec![number as u8; length]].concat();
            batch.put(&key, &value).unwrap();
        }
    }
    batch
}

fn content(store: &Store, keys: impl Iterator<Item = Vec<u8>>) -> Map {
    keys.filter_map(|key| Some((key.clone(), store.get(&key).unwrap()?)))
        .collect()
}

fn all_keys() -> impl Iterator<Item = Vec<u8>> {
    (0..8u8).map(|number| vec![b'k', number])
}

/// Recovers `disk` and answers which of the allowed states it is in.
fn recover(
    disk: &SimulatedDisk,
    options: &Options,
    history: &History,
    allowed: std::ops::RangeInclusive<usize>,
    what: &str,
) -> usize {
    let before = &disk.crash(Crash::ProcessKill, 0);
    let store =
        open(disk, options).unwrap_or_else(|error| panic!("{what}: does not open: {error}"));
    let found = content(&store, all_keys());
    assert_eq!(store.count(), found.len() as u64, "{what}: count");
    assert_eq!(
        store.failure().map(|error| error.to_string()),
        None,
        "{what}: a crash is not damage"
    );
    let state = allowed
        .clone()
        .rev()
        .find(|number| history.states[*number] == found);
    let Some(state) = state else {
        let elsewhere = history.states.iter().position(|state| *state == found);
        panic!(
            "{what}: found a state that is not within {allowed:?}; it is that of operation {elsewhere:?}"
        );
    };
    without_images_agrees(before, options, &found, store.stats().dead_bytes, what);
    read_only_agrees(
        &disk.crash(Crash::ProcessKill, 0),
        before,
        options,
        &found,
        what,
    );
    // What was recovered stays, also when the machine stops again at once and when writing goes on.
    drop(store);
    let again = disk.crash(Crash::PowerLoss, 1);
    let store =
        open(&again, options).unwrap_or_else(|error| panic!("{what}: second open: {error}"));
    assert_eq!(
        content(&store, all_keys()),
        found,
        "{what}: a second recovery differs"
    );
    store.put(b"after", b"recovery").unwrap();
    store.close().unwrap();
    let store = open(&again, options).unwrap_or_else(|error| panic!("{what}: third open: {error}"));
    assert_eq!(
        content(&store, all_keys()),
        found,
        "{what}: writing after recovery changed the past"
    );
    assert_eq!(
        store.get(b"after").unwrap().as_deref(),
        Some(&b"recovery"[..]),
        "{what}: a later put is lost"
    );
    state
}

/// A store whose images of the index have been deleted recovers to the same.
fn without_images_agrees(
    before: &SimulatedDisk,
    options: &Options,
    found: &Map,
    dead_bytes: u64,
    what: &str,
) {
    let disk = before.crash(Crash::ProcessKill, 0);
    let Ok(entries) = disk.list(Path::new(STORE)) else {
        return;
    };
    for entry in entries {
        if entry.name.to_string_lossy().ends_with(".img") {
            disk.remove_file(&Path::new(STORE).join(entry.name))
                .unwrap();
        }
    }
    let options = Options {
        image_segments: 0,
        ..options.clone()
    };
    let store = open(&disk, &options).unwrap_or_else(|error| panic!("{what}: no image: {error}"));
    assert_eq!(store.stats().recovery_way, RecoveryWay::Scan as u64);
    assert_eq!(
        &content(&store, all_keys()),
        found,
        "{what}: images change what is found"
    );
    assert_eq!(
        store.stats().dead_bytes,
        dead_bytes,
        "{what}: images change what is dead"
    );
}

/// A store opened for reading shows the same, before and after it was mended, and changes no segment.
fn read_only_agrees(
    after: &SimulatedDisk,
    before: &SimulatedDisk,
    options: &Options,
    found: &Map,
    what: &str,
) {
    let read_only = Options {
        mode: OpenMode::ReadOnly,
        ..options.clone()
    };
    for disk in [before, after] {
        let absent = disk
            .list(Path::new(STORE))
            .map_or(true, |entries| entries.is_empty());
        if absent {
            continue;
        }
        disk.start_trace();
        let store =
            open(disk, &read_only).unwrap_or_else(|error| panic!("{what}: read-only: {error}"));
        assert_eq!(
            &content(&store, all_keys()),
            found,
            "{what}: opened read-only"
        );
        drop(store);
        let changing = [
            Operation::Write,
            Operation::SetLength,
            Operation::Remove,
            Operation::Rename,
        ];
        assert!(
            !disk
                .take_trace()
                .iter()
                .any(|call| changing.contains(&call.operation)),
            "{what}"
        );
    }
}

fn check_seed(seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let setting = Setting::drawn(seed, &mut random);
    let disk = SimulatedDisk::new(seed);
    disk.set_allocation(setting.allocation);
    disk.start_pictures();
    let history = run(&disk, &setting, &mut random);
    let mut crashes = 0;
    for (index, picture) in disk.take_pictures() {
        picture.set_allocation(setting.allocation);
        for variant in 0..4u64 {
            let power_loss = variant > 0;
            let what = format!(
                "FREYJA_SEED={seed}, crash before call {index}, variant {variant}, {:?}",
                setting.sync_mode
            );
            let crashed = match variant {
                0 => picture.crash(Crash::ProcessKill, 0),
                _ => picture.crash(Crash::PowerLoss, seed * 1000 + variant),
            };
            let allowed = history.allowed(index, power_loss);
            let options = Options {
                key_storage: KEY_STORAGES[(index + variant) as usize % 2],
                ..setting.options()
            };
            recover(&crashed, &options, &history, allowed, &what);
            crashes += 1;
        }
    }
    crashes
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("FREYJA_SEED") {
        Ok(seed) => vec![seed.parse().expect("FREYJA_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

#[test]
fn every_crash_leaves_a_prefix_with_everything_acknowledged() {
    let crashes: u64 = seeds(20).into_iter().map(check_seed).sum();
    println!("{crashes} crashes recovered");
    assert!(crashes > 1000 || std::env::var("FREYJA_SEED").is_ok());
}

#[test]
fn a_crash_while_recovering_changes_nothing() {
    for seed in seeds(12) {
        let mut random = Random::new(seed);
        let setting = Setting::drawn(seed, &mut random);
        let disk = SimulatedDisk::new(seed);
        disk.set_allocation(setting.allocation);
        disk.start_pictures();
        let history = run(&disk, &setting, &mut random);
        let pictures = disk.take_pictures();
        let (index, picture) = &pictures[random.below(pictures.len() as u64) as usize];
        let crashed = picture.crash(Crash::ProcessKill, 0);
        crashed.set_allocation(setting.allocation);
        crashed.start_pictures();
        let what = format!("FREYJA_SEED={seed}, crash before call {index}");
        let store = open(&crashed, &setting.options()).unwrap();
        let found = content(&store, all_keys());
        drop(store);
        for (inner, picture) in crashed.take_pictures() {
            for variant in 0..3 {
                let again = picture.crash(Crash::PowerLoss, variant);
                let what =
                    format!("{what}, then before call {inner} of the recovery, variant {variant}");
                let allowed = history.allowed(*index, true);
                recover(&again, &setting.options(), &history, allowed, &what);
            }
            let killed = picture.crash(Crash::ProcessKill, 0);
            let store = open(&killed, &setting.options()).unwrap();
            assert_eq!(
                content(&store, all_keys()),
                found,
                "{what}: killed before call {inner} of the recovery"
            );
        }
    }
}

#[test]
fn a_store_whose_creation_was_cut_short_is_empty_or_absent() {
    let disk = SimulatedDisk::new(7);
    disk.start_pictures();
    let options = Options {
        background_threads: 0,
        ..Options::default()
    };
    let store = open(&disk, &options).unwrap();
    store.put(b"first", b"value").unwrap();
    let acknowledged = disk.calls();
    drop(store);
    for (index, picture) in disk.take_pictures() {
        for variant in 0..8 {
            let crashed = picture.crash(Crash::PowerLoss, variant);
            let store = open(&crashed, &options).unwrap();
            if index >= acknowledged {
                assert_eq!(store.get(b"first").unwrap().unwrap(), b"value");
            }
            let read_only = Options {
                mode: OpenMode::ReadOnly,
                ..options.clone()
            };
            drop(store);
            open(&crashed, &read_only).unwrap();
        }
    }
}
