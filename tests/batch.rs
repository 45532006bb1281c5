//! What batches and gets of several keys promise. `FREYJA_SEED=n cargo test --test batch` replays seed n alone.
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use freyja::store::{Batch, KeyStorage, OpenMode, Options, ReadMode, Savepoint, Store, SyncMode};
use freyja::vfs::Allocation;
use freyja::vfs::simulated::{Crash, Operation, SimulatedDisk};
use freyja::{ErrorKind, Result};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

const STORE: &str = "/store";

const KEY_STORAGES: [KeyStorage; 2] = [KeyStorage::InMemory, KeyStorage::OnDisk];

/// A small generator (Marsaglia's xorshift), so that a seed means the same for ever.
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

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("FREYJA_SEED") {
        Ok(seed) => vec![seed.parse().expect("FREYJA_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

fn options() -> Options {
    Options {
        sync_mode: SyncMode::None,
        background_threads: 0,
        ..Options::default()
    }
}

fn open_on(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error.kind(),
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

fn batch_of(operations: &[(&[u8], Option<&[u8]>)]) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in operations {
        match value {
            Some(value) => batch.put(key, value).unwrap(),
            None => batch.delete(key).unwrap(),
        }
    }
    batch
}

/// The store holds exactly `map`, by every way of asking for its first `keys` keys.
fn check(store: &Store, map: &Map, keys: u64, what: &str) {
    assert_eq!(store.count(), map.len() as u64, "{what}: count");
    let all: Vec<Vec<u8>> = (0..keys).map(key).collect();
    let asked: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    let found = store.get_many(&asked).unwrap();
    assert_eq!(found.len(), asked.len());
    for (key, found) in all.iter().zip(found) {
        let expected = map.get(key);
        assert_eq!(found.unwrap().as_ref(), expected, "{what}: get_many");
        assert_eq!(store.get(key).unwrap().as_ref(), expected, "{what}: get");
        assert_eq!(store.exists(key).unwrap(), expected.is_some(), "{what}");
    }
}

fn random_operations(seed: u64, read_mode: ReadMode, keys: u64) {
    let mut random = Random::new(seed);
    let disk = SimulatedDisk::new(seed);
    let allocation = [Allocation::Reserved, Allocation::Unsupported][random.below(2) as usize];
    disk.set_allocation(allocation);
    let options = Options {
        read_mode,
        segment_size: 16 << 10,
        key_storage: KEY_STORAGES[(seed % 2) as usize],
        image_segments: random.below(2) as u32,
        ..options()
    };
    let mut store = open_on(&disk, &options);
    let mut map = Map::new();
    let mut batch = Batch::new();
    for step in 0..150 {
        let what = format!("FREYJA_SEED={seed}, {read_mode:?}, step {step}");
        match random.below(10) {
            0 => {
                let (key, value) = (key(random.below(keys)), vec![step as u8; 50]);
                store.put(&key, &value).unwrap();
                map.insert(key, value);
            }
            1 => {
                let key = key(random.below(keys));
                assert_eq!(store.delete(&key).unwrap(), map.remove(&key).is_some());
            }
            2 if random.below(4) == 0 => {
                store.close().unwrap();
                store = open_on(&disk, &options);
            }
            // The same batch again, which changes nothing unless others wrote meanwhile.
            3 => {
                let sequence = store.stats().last_sequence;
                store.write(&batch).unwrap();
                let operations = batch.len() as u64;
                assert_eq!(store.stats().last_sequence, sequence + operations, "{what}");
                apply(&mut map, &batch);
            }
            _ => {
                batch.clear();
                fill(&mut batch, &mut random, keys);
                store.write(&batch).unwrap();
                apply(&mut map, &batch);
            }
        }
        if step % 10 == 0 {
            check(&store, &map, keys, &what);
        }
    }
    check(&store, &map, keys, &format!("FREYJA_SEED={seed}"));
    let dead = store.stats().dead_bytes;
    store.close().unwrap();
    let scanned = Options {
        image_segments: 0,
        key_storage: KEY_STORAGES[((seed + 1) % 2) as usize],
        ..options
    };
    remove_images(&disk);
    let store = open_on(&disk, &scanned);
    check(&store, &map, keys, &format!("FREYJA_SEED={seed}, reopened"));
    let what = "what is dead is the same whether counted while writing or when reading the log";
    assert_eq!(store.stats().dead_bytes, dead, "FREYJA_SEED={seed}: {what}");
}

fn remove_images(disk: &SimulatedDisk) {
    use freyja::vfs::Vfs;
    for entry in disk.list(Path::new(STORE)).unwrap() {
        if entry.name.to_string_lossy().ends_with(".img") {
            disk.remove_file(&Path::new(STORE).join(entry.name))
                .unwrap();
        }
    }
}

fn apply(map: &mut Map, batch: &Batch) {
    for operation in batch.operations() {
        match operation.value {
            Some(value) => map.insert(operation.key.to_vec(), value.to_vec()),
            None => map.remove(operation.key),
        };
    }
}

/// Adds operations, with savepoints on the way, some of which are gone back to.
fn fill(batch: &mut Batch, random: &mut Random, keys: u64) {
    let mut kept: Vec<(Savepoint, usize)> = Vec::new();
    for _ in 0..random.below(60) {
        let key = key(random.below(keys));
        match random.below(12) {
            0 => kept.push((batch.savepoint().unwrap(), batch.len())),
            1 if !kept.is_empty() => {
                let place = random.below(kept.len() as u64) as usize;
                batch.rollback_to(kept[place].0).unwrap();
                assert_eq!(batch.len(), kept[place].1);
                kept.truncate(place + 1);
            }
            2..=4 => batch.delete(&key).unwrap(),
            _ => {
                let length = [0, 3, 100, 900, 20_000][random.below(5) as usize];
                let value = vec![random.below(256) as u8; length];
                batch.put(&key, &value).unwrap();
            }
        }
    }
}

#[test]
fn a_store_written_in_batches_behaves_like_a_map() {
    for seed in seeds(6) {
        for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
            random_operations(seed, read_mode, 1 + seed * seed * 5);
        }
    }
}

#[test]
fn of_several_operations_on_one_key_the_last_counts() {
    let disk = SimulatedDisk::new(1);
    let store = open_on(&disk, &options());
    store.put(b"old", b"0").unwrap();
    let batch = batch_of(&[
        (b"a", Some(b"1")),
        (b"b", Some(b"1")),
        (b"a", None),
        (b"old", None),
        (b"b", None),
        (b"a", Some(b"2")),
        (b"c", None),
        (b"old", Some(b"3")),
    ]);
    store.write(&batch).unwrap();
    let expect = |store: &Store| {
        assert_eq!(store.get(b"a").unwrap().unwrap(), b"2");
        assert_eq!(store.get(b"b").unwrap(), None);
        assert_eq!(store.get(b"c").unwrap(), None);
        assert_eq!(store.get(b"old").unwrap().unwrap(), b"3");
        assert_eq!(store.count(), 2);
    };
    expect(&store);
    assert_eq!(store.stats().last_sequence, 9, "one number an operation");
    assert_eq!(store.locate(b"a").unwrap().unwrap().sequence, 7);
    assert_eq!((store.stats().puts, store.stats().deletes), (5, 0));
    store.close().unwrap();
    expect(&open_on(&disk, &options()));
}

#[test]
fn an_empty_batch_writes_nothing() {
    let disk = SimulatedDisk::new(1);
    let store = open_on(&disk, &options());
    disk.start_trace();
    store.write(&Batch::new()).unwrap();
    assert_eq!(disk.take_trace().len(), 0);
    assert_eq!(store.stats().last_sequence, 0);
}

#[test]
fn a_batch_may_be_written_to_several_stores() {
    let batch = batch_of(&[(b"a", Some(b"1")), (b"b", Some(b"2"))]);
    for seed in 1..3 {
        let store = open_on(&SimulatedDisk::new(seed), &options());
        store.write(&batch).unwrap();
        assert_eq!(store.count(), 2);
    }
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own_and_reaches_into_no_other() {
    for allocation in [Allocation::Reserved, Allocation::Unsupported] {
        let disk = SimulatedDisk::new(1);
        disk.set_allocation(allocation);
        let small = Options {
            segment_size: 4096,
            ..options()
        };
        let store = open_on(&disk, &small);
        store.put(b"before", b"1").unwrap();
        let mut batch = Batch::new();
        for number in 0..300 {
            batch.put(&key(number), &[number as u8; 100]).unwrap();
        }
        store.write(&batch).unwrap();
        store.put(b"after", b"2").unwrap();
        let segments: Vec<u64> = (0..300)
            .map(|number| store.locate(&key(number)).unwrap().unwrap().segment_id)
            .collect();
        assert!(segments.iter().all(|id| *id == segments[0]));
        let place = |key: &[u8]| store.locate(key).unwrap().unwrap().segment_id;
        assert!(place(b"before") < segments[0] && segments[0] < place(b"after"));
        store.close().unwrap();
        let store = open_on(&disk, &small);
        assert_eq!(store.count(), 302);
        for number in 0..300 {
            assert_eq!(
                store.get(&key(number)).unwrap().unwrap(),
                [number as u8; 100]
            );
        }
    }
}

#[test]
fn a_batch_waits_for_its_own_sync_and_for_no_more_than_one() {
    let disk = SimulatedDisk::new(1);
    let store = open_on(
        &disk,
        &Options {
            sync_mode: SyncMode::Always,
            ..options()
        },
    );
    store.put(b"first", b"").unwrap();
    let mut batch = Batch::new();
    for number in 0..100 {
        batch.put(&key(number), b"value").unwrap();
    }
    disk.start_trace();
    store.write(&batch).unwrap();
    let trace = disk.take_trace();
    let syncs = trace
        .iter()
        .filter(|call| call.operation == Operation::Sync);
    assert_eq!(syncs.count(), 1);
    assert_eq!(store.stats().durable_sequence, 101);
    let survived = open_on(&disk.crash(Crash::PowerLoss, 1), &options());
    assert_eq!(survived.count(), 101);
}

#[test]
fn stores_that_cannot_be_written_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let batch = batch_of(&[(b"a", Some(b"1"))]);
    let store = Store::open(directory.path(), &options()).unwrap();
    store.write(&batch).unwrap();
    store.close().unwrap();
    assert_eq!(kind(store.write(&batch)), ErrorKind::Closed);
    assert_eq!(kind(store.get_many(&[b"a"])), ErrorKind::Closed);
    let read_only = Options {
        mode: OpenMode::ReadOnly,
        ..options()
    };
    let store = Store::open(directory.path(), &read_only).unwrap();
    assert_eq!(kind(store.write(&batch)), ErrorKind::ReadOnly);
    assert_eq!(kind(store.write(&Batch::new())), ErrorKind::ReadOnly);
    let found = store.get_many(&[b"a"]).unwrap().remove(0);
    assert_eq!(found.unwrap().unwrap(), b"1");
}

#[test]
fn a_full_disk_refuses_the_whole_batch_and_writing_goes_on_when_there_is_room() {
    for allocation in [Allocation::Reserved, Allocation::Unsupported] {
        let disk = SimulatedDisk::new(1);
        disk.set_allocation(allocation);
        let store = open_on(&disk, &options());
        store.put(b"old", b"value").unwrap();
        disk.set_capacity(Some(disk.allocated_bytes() + (100 << 10)));
        let mut batch = batch_of(&[(b"old", None), (b"new", Some(b"1"))]);
        batch.put(b"large", &vec![5; 600 << 10]).unwrap();
        for _ in 0..3 {
            let error = store.write(&batch).unwrap_err();
            assert_eq!(error.os_code(), 28, "{error}");
            assert_eq!(store.count(), 1);
            assert_eq!(store.get(b"old").unwrap().unwrap(), b"value");
            let found = store.get_many(&[b"old", b"new", b"large"]).unwrap();
            let found: Vec<bool> = found.into_iter().map(|it| it.unwrap().is_some()).collect();
            assert_eq!(found, [true, false, false]);
        }
        store.put(b"small", b"fits").unwrap();
        disk.set_capacity(None);
        store.write(&batch).unwrap();
        let map: Vec<bool> = [&b"old"[..], b"new", b"large", b"small"]
            .map(|key| store.exists(key).unwrap())
            .into();
        assert_eq!(map, [false, true, true, true]);
        store.close().unwrap();
        assert_eq!(open_on(&disk, &options()).count(), 3);
    }
}

#[test]
fn values_of_many_keys_come_in_the_order_of_the_keys_also_repeated_ones() {
    for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
        let disk = SimulatedDisk::new(1);
        let store = open_on(
            &disk,
            &Options {
                read_mode,
                ..options()
            },
        );
        for number in 0..1000 {
            store.put(&key(number), &number.to_le_bytes()).unwrap();
        }
        store.put(b"", b"").unwrap();
        let mut asked: Vec<Vec<u8>> = (0..300).map(|number| key(number * 7 % 1100)).collect();
        asked.extend([key(3), Vec::new(), key(3), b"missing".to_vec()]);
        let keys: Vec<&[u8]> = asked.iter().map(Vec::as_slice).collect();
        let found = store.get_many(&keys).unwrap();
        for (key, found) in keys.iter().zip(found) {
            assert_eq!(found.unwrap(), store.get(key).unwrap());
        }
        assert!(store.get_many(&[]).unwrap().is_empty());
        let long = vec![0; freyja::log::record::MAX_KEY_LEN + 1];
        assert_eq!(kind(store.get_many(&[b"a", &long])), ErrorKind::TooLarge);
    }
}

#[test]
fn a_damaged_value_is_an_error_for_its_key_alone() {
    let cases =
        [ReadMode::Mapped, ReadMode::Pread].map(|read| KEY_STORAGES.map(|keys| (read, keys)));
    for (read_mode, key_storage) in cases.concat() {
        let disk = SimulatedDisk::new(1);
        let with = Options {
            read_mode,
            key_storage,
            image_segments: 1,
            ..options()
        };
        let store = open_on(&disk, &with);
        for number in 0..100 {
            store.put(&key(number), b"value").unwrap();
        }
        let place = store.locate(&key(40)).unwrap().unwrap();
        store.close().unwrap();
        let disk = disk.crash(Crash::ProcessKill, 0);
        let path = Path::new(STORE).join(freyja::log::segment_name::file_name(place.segment_id));
        let mut bytes = disk.read_file(&path).unwrap();
        bytes[(place.offset + 16) as usize] ^= 1;
        disk.overwrite_file(&path, &bytes).unwrap();
        let store = open_on(&disk, &with);
        let asked: Vec<Vec<u8>> = (0..100).map(key).collect();
        let keys: Vec<&[u8]> = asked.iter().map(Vec::as_slice).collect();
        for (number, found) in (0..).zip(store.get_many(&keys).unwrap()) {
            match found {
                Ok(value) => assert!(number != 40 && value.unwrap() == b"value"),
                Err(error) => assert_eq!((number, error.kind()), (40, ErrorKind::Corrupt)),
            }
        }
        assert_eq!(store.failure().unwrap().offset(), place.offset);
        // A batch heals the key.
        store
            .write(&batch_of(&[(&key(40), Some(b"mended"))]))
            .unwrap();
        assert_eq!(store.get(&key(40)).unwrap().unwrap(), b"mended");
    }
}

/// Threads move amounts between accounts in batches, and the sum never changes for who reads all accounts at once.
fn transfers(read_mode: ReadMode, key_storage: KeyStorage, background_threads: u32) {
    const ACCOUNTS: u64 = 40;
    const TOTAL: u64 = ACCOUNTS * 1000;
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        read_mode,
        key_storage,
        background_threads,
        segment_size: 64 << 10,
        ..options()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    let mut batch = Batch::new();
    for account in 0..ACCOUNTS {
        batch.put(&key(account), &1000_u64.to_le_bytes()).unwrap();
    }
    store.write(&batch).unwrap();
    let stop = AtomicBool::new(false);
    let sums = AtomicU64::new(0);
    let asked: Vec<Vec<u8>> = (0..ACCOUNTS).map(key).collect();
    let keys: Vec<&[u8]> = asked.iter().map(Vec::as_slice).collect();
    let amounts = || -> Vec<u64> {
        let read = |value: &[u8]| u64::from_le_bytes(value.try_into().unwrap());
        store
            .get_many_with(keys.iter().copied(), |values| {
                values
                    .iter()
                    .map(|value| read(value.unwrap().unwrap()))
                    .collect()
            })
            .unwrap()
    };
    // A transfer reads before it writes, which only one thread at a time can do without losing another's.
    let one_transfer_at_a_time = std::sync::Mutex::new(());
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (store, amounts, one_transfer_at_a_time, stop) =
                (&store, &amounts, &one_transfer_at_a_time, &stop);
            scope.spawn(move || {
                let mut random = Random::new(thread + 1);
                let mut batch = Batch::new();
                for _ in 0..3000 {
                    let _lock = one_transfer_at_a_time.lock().unwrap();
                    let mut now = amounts();
                    batch.clear();
                    for _ in 0..random.below(4) {
                        let [from, to] = [0, 1].map(|_| random.below(ACCOUNTS) as usize);
                        let amount = random.below(now[from] + 1);
                        now[from] -= amount;
                        now[to] += amount;
                        batch
                            .put(&key(from as u64), &now[from].to_le_bytes())
                            .unwrap();
                        batch.put(&key(to as u64), &now[to].to_le_bytes()).unwrap();
                    }
                    store.write(&batch).unwrap();
                }
                stop.store(true, Ordering::Relaxed);
            });
        }
        // Batches that overlap with nothing but come and go all the time, so that shards grow and shrink.
        scope.spawn(|| {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut batch = Batch::new();
                for number in 0..300 {
                    let key = key(10_000 + number);
                    match round % 2 {
                        0 => batch.put(&key, b"come").unwrap(),
                        _ => batch.delete(&key).unwrap(),
                    }
                }
                store.write(&batch).unwrap();
                round += 1;
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(amounts().iter().sum::<u64>(), TOTAL);
                    sums.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(sums.load(Ordering::Relaxed) > 0);
    assert_eq!(amounts().iter().sum::<u64>(), TOTAL);
    store.close().unwrap();
    let store = Store::open(directory.path(), &options).unwrap();
    let again: u64 = store
        .get_many(&keys)
        .unwrap()
        .into_iter()
        .map(|value| u64::from_le_bytes(value.unwrap().unwrap().try_into().unwrap()))
        .sum();
    assert_eq!(again, TOTAL);
}

#[test]
fn the_sum_of_all_accounts_never_changes_while_threads_transfer() {
    transfers(ReadMode::Mapped, KeyStorage::InMemory, 1);
    transfers(ReadMode::Pread, KeyStorage::InMemory, 0);
    transfers(ReadMode::Mapped, KeyStorage::OnDisk, 0);
}

#[test]
fn threads_that_write_overlapping_batches_in_opposite_orders_leave_one_of_them_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options()).unwrap();
    const KEYS: u64 = 200;
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..200_u64 {
                    let value = (thread << 32 | round).to_le_bytes();
                    let mut batch = Batch::new();
                    for number in 0..KEYS {
                        let number = match thread % 2 {
                            0 => number,
                            _ => KEYS - 1 - number,
                        };
                        batch.put(&key(number), &value).unwrap();
                    }
                    store.write(&batch).unwrap();
                    // Single writers of the same keys, who must not be lost either.
                    store.put(&key(KEYS + thread), &value).unwrap();
                }
            });
        }
    });
    let all_equal = |store: &Store| {
        let first = store.get(&key(0)).unwrap().unwrap();
        for number in 0..KEYS {
            assert_eq!(store.get(&key(number)).unwrap().unwrap(), first);
        }
        first
    };
    let before = all_equal(&store);
    assert_eq!(store.count(), KEYS + 4);
    store.close().unwrap();
    let store = Store::open(directory.path(), &options()).unwrap();
    assert_eq!(all_equal(&store), before);
}

/// Whether the store holds what the batch of the fault sweep says; else it must hold what was there before.
fn is_written(store: &Store, old: &Map, new: &Map, what: &str) -> bool {
    let all: Vec<Vec<u8>> = (0..20).map(key).collect();
    let keys: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    let mut found = Map::new();
    for (key, value) in all.iter().zip(store.get_many(&keys).unwrap()) {
        if let Some(value) = value.unwrap() {
            found.insert(key.clone(), value);
        }
    }
    assert!(found == *old || found == *new, "{what}: a part of a batch");
    assert_eq!(store.count(), found.len() as u64, "{what}: count");
    found == *new
}

/// Five keys, and a batch that changes, removes and adds some, more than fits into the segment.
fn fault_scenario(disk: &SimulatedDisk, options: &Options) -> (Store, Batch, Map, Map) {
    let store = open_on(disk, options);
    let mut old = Map::new();
    for number in 0..5 {
        store.put(&key(number), &[number as u8; 300]).unwrap();
        old.insert(key(number), vec![number as u8; 300]);
    }
    store.sync().unwrap();
    let mut batch = Batch::new();
    batch.delete(&key(1)).unwrap();
    for number in 3..12 {
        batch.put(&key(number), &[7; 600]).unwrap();
    }
    batch.delete(&key(19)).unwrap();
    let mut new = old.clone();
    apply(&mut new, &batch);
    (store, batch, old, new)
}

#[test]
fn whichever_call_fails_while_a_batch_is_written_all_of_it_is_there_or_nothing() {
    use freyja::vfs::simulated::{Effect, Repeat};
    let mut refused_cleanly = 0;
    let mut stopped = 0;
    for allocation in [Allocation::Reserved, Allocation::Unsupported] {
        for sync_mode in [SyncMode::Always, SyncMode::None] {
            let options = Options {
                sync_mode,
                segment_size: 4096,
                key_storage: KEY_STORAGES[usize::from(sync_mode == SyncMode::None)],
                ..options()
            };
            let disk = SimulatedDisk::new(1);
            disk.set_allocation(allocation);
            let (store, batch, ..) = fault_scenario(&disk, &options);
            let first = disk.calls();
            store.write(&batch).unwrap();
            let calls = first..disk.calls();
            drop(store);
            assert!(calls.end - calls.start > 5);
            for call in calls {
                for errno in [libc::EIO, libc::ENOSPC] {
                    for effect in [Effect::Before, Effect::Partial, Effect::After] {
                        for repeat in [Repeat::Once, Repeat::SameOperation, Repeat::Always] {
                            let what = format!(
                                "{allocation:?}, {sync_mode:?}, call {call}, errno {errno}, {effect:?}, {repeat:?}"
                            );
                            let disk = SimulatedDisk::new(1);
                            disk.set_allocation(allocation);
                            let (store, batch, old, new) = fault_scenario(&disk, &options);
                            disk.fail_call(call, errno, repeat, effect);
                            let result = store.write(&batch);
                            disk.clear_faults();
                            let visible = is_written(&store, &old, &new, &what);
                            if result.is_ok() {
                                assert!(visible, "{what}: acknowledged and not there");
                            }
                            let killed = open_on(&disk.crash(Crash::ProcessKill, 0), &options);
                            let after_kill = is_written(&killed, &old, &new, &what);
                            assert!(after_kill || result.is_err(), "{what}: lost by a kill");
                            let cut = open_on(&disk.crash(Crash::PowerLoss, call), &options);
                            let after_cut = is_written(&cut, &old, &new, &what);
                            let promised = result.is_ok() && sync_mode == SyncMode::Always;
                            assert!(after_cut || !promised, "{what}: lost by a power cut");
                            match store.failure() {
                                // Refused without harm: it did not take place, and can now.
                                None if result.is_err() => {
                                    assert!(!visible && !after_kill, "{what}: refused, yet there");
                                    store.write(&batch).unwrap();
                                    assert!(is_written(&store, &old, &new, &what));
                                    refused_cleanly += 1;
                                }
                                None => {}
                                Some(_) => {
                                    assert_eq!(kind(store.write(&batch)), ErrorKind::Failed);
                                    stopped += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(
        refused_cleanly > 20 && stopped > 20,
        "{refused_cleanly}, {stopped}"
    );
}
