//! What a store opened read-only sees of another that writes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use freyja::ErrorKind;
use freyja::store::{Batch, IterOptions, KeyStorage, OpenMode, Options, ReadMode, Store, SyncMode};
use freyja::vfs::simulated::{Crash, Effect, Operation, Repeat, SimulatedDisk};
use freyja::vfs::{Allocation, Vfs};

const STORE: &str = "/store";

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn options() -> Options {
    Options {
        background_threads: 0,
        segment_size: 4096,
        ..Options::default()
    }
}

fn open_with(disk: &SimulatedDisk, options: &Options) -> freyja::Result<Store> {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options)
}

fn writer(disk: &SimulatedDisk) -> Store {
    open_with(disk, &options()).unwrap()
}

fn reader(disk: &SimulatedDisk) -> Store {
    let options = Options {
        mode: OpenMode::ReadOnly,
        ..options()
    };
    open_with(disk, &options).unwrap()
}

const KEYS: u64 = 40;

fn key(number: u64) -> Vec<u8> {
    format!("key {number:03}").into_bytes()
}

fn content(store: &Store) -> Map {
    let found =
        (0..KEYS).filter_map(|number| Some((key(number), store.get(&key(number)).unwrap()?)));
    let map: Map = found.collect();
    assert_eq!(map.len() as u64, store.count());
    map
}

/// Marsaglia, "Xorshift RNGs", 2003.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn write_something(store: &Store, random: &mut Random, round: u64) {
    let value = |random: &mut Random| vec![round as u8; random.below(300) as usize];
    match random.below(10) {
        0..6 => {
            let (key, value) = (key(random.below(KEYS)), value(random));
            store.put(&key, &value).unwrap();
        }
        6..8 => {
            store.delete(&key(random.below(KEYS))).unwrap();
        }
        _ => {
            let mut batch = Batch::new();
            for _ in 0..random.below(40) {
                let (key, value) = (key(random.below(KEYS)), value(random));
                match random.below(3) {
                    0 => batch.delete(&key).unwrap(),
                    _ => batch.put(&key, &value).unwrap(),
                }
            }
            store.write(&batch).unwrap();
        }
    }
}

/// Runs a writer and readers that come, refresh and go, and compares what they see.
fn readers_agree(
    writing: &Options,
    reading: &Options,
    allocation: Allocation,
    compacts: bool,
    seed: u64,
) -> (u32, u32) {
    let disk = SimulatedDisk::new(seed);
    disk.set_allocation(allocation);
    let mut random = Random(seed | 1);
    let mut store = open_with(&disk, writing).unwrap();
    let mut readers: Vec<Store> = Vec::new();
    let (mut refreshed, mut begun_anew) = (0, 0);
    for round in 0..300 {
        match random.below(40) {
            0 => {
                let options = Options {
                    mode: OpenMode::ReadOnly,
                    ..reading.clone()
                };
                readers.push(open_with(&disk, &options).unwrap());
                let opened = readers.last().unwrap();
                assert_eq!(content(opened), content(&store), "seed {seed}, {round}");
                assert_eq!(opened.recovery_report().damaged, [], "seed {seed}, {round}");
            }
            1 if readers.len() > 3 => drop(readers.remove(0)),
            2 => store.sync().unwrap(),
            3 => {
                store.close().unwrap();
                store = open_with(&disk, writing).unwrap();
            }
            8..10 if compacts => {
                store.compact(|_| true).unwrap();
            }
            4..8 if !readers.is_empty() => {
                let chosen = random.below(readers.len() as u64) as usize;
                let segments = readers[chosen].stats().segments;
                let sequence = readers[chosen]
                    .refresh()
                    .unwrap_or_else(|error| panic!("seed {seed}, round {round}: {error}"));
                refreshed += 1;
                // A reader that goes on only comes by more.
                begun_anew += u32::from(readers[chosen].stats().segments < segments);
                assert_eq!(sequence, store.stats().last_sequence);
                assert_eq!(sequence, readers[chosen].stats().last_sequence);
                assert!(
                    content(&readers[chosen]) == content(&store),
                    "seed {seed}, round {round}"
                );
            }
            _ => write_something(&store, &mut random, round),
        }
    }
    store.close().unwrap();
    for reader in &readers {
        reader.refresh().unwrap();
        assert_eq!(content(reader), content(&store_again(&disk, writing)));
        assert!(reader.failure().is_none());
    }
    (refreshed, begun_anew)
}

fn store_again(disk: &SimulatedDisk, options: &Options) -> Store {
    open_with(disk, options).unwrap()
}

#[test]
fn after_a_refresh_a_reader_sees_all_that_was_written() {
    let mut seed = 0;
    for allocation in [Allocation::Reserved, Allocation::Unsupported] {
        for sync_mode in [SyncMode::Always, SyncMode::None] {
            for (image_segments, key_storage, read_mode) in [
                (0, KeyStorage::InMemory, ReadMode::Mapped),
                (1, KeyStorage::InMemory, ReadMode::Pread),
                (2, KeyStorage::OnDisk, ReadMode::Mapped),
            ] {
                for _ in 0..6 {
                    seed += 1;
                    let writing = Options {
                        sync_mode,
                        image_segments,
                        ..options()
                    };
                    let reading = Options {
                        key_storage,
                        read_mode,
                        // Smaller than the segments of large batches.
                        segment_size: 4096,
                        ..options()
                    };
                    readers_agree(&writing, &reading, allocation, false, seed);
                }
            }
        }
    }
}

#[test]
pub(crate) fn readers_see_the_same_while_the_writer_compacts() {
    let (mut refreshed, mut begun_anew) = (0, 0);
    for seed in 1000..1020 {
        let writing = Options {
            sync_mode: SyncMode::None,
            image_segments: (seed % 3) as u32,
            ..options()
        };
        let reading = Options {
            key_storage: match seed % 2 {
                0 => KeyStorage::InMemory,
                _ => KeyStorage::OnDisk,
            },
            ..options()
        };
        let told = readers_agree(&writing, &reading, Allocation::Reserved, true, seed);
        refreshed += told.0;
        begun_anew += told.1;
    }
    assert!(refreshed > 0 && begun_anew > 0, "{refreshed} {begun_anew}");
}

/// A store of which a reader has seen nothing of what was compacted since.
fn compacted_under_a_reader(seed: u64, image_segments: u32) -> (SimulatedDisk, Store, Store) {
    let disk = SimulatedDisk::new(seed);
    let writing = Options {
        image_segments,
        ..options()
    };
    let store = open_with(&disk, &writing).unwrap();
    for number in 0..KEYS {
        store.put(&key(number), b"seen").unwrap();
    }
    // Seals what the reader sees, so that there is nothing in it to go on with.
    store.close().unwrap();
    let store = open_with(&disk, &writing).unwrap();
    let reader = reader(&disk);
    for round in 0..4_u8 {
        for number in 0..KEYS - 10 {
            store.put(&key(number), &[round; 300]).unwrap();
        }
    }
    store.delete(&key(0)).unwrap();
    store.compact(|_| true).unwrap();
    store.put(&key(1), b"afterwards").unwrap();
    (disk, store, reader)
}

#[test]
fn a_reader_that_has_not_seen_what_was_compacted_sees_all_after_a_refresh() {
    for image_segments in [0, 1] {
        let (disk, store, reader) = compacted_under_a_reader(1, image_segments);
        assert_eq!(
            reader.refresh().unwrap(),
            store.stats().last_sequence,
            "{image_segments}"
        );
        assert_eq!(content(&reader), content(&store));
        assert_eq!(reader.get(&key(0)).unwrap(), None);
        assert!(reader.failure().is_none());
        // And goes on from there.
        for round in 0..60 {
            store.put(&key(round % KEYS), &[9; 300]).unwrap();
        }
        let segments = reader.stats().segments;
        reader.refresh().unwrap();
        assert!(reader.stats().segments > segments);
        assert_eq!(content(&reader), content(&store));
        drop(disk);
    }
}

#[test]
fn an_iterator_goes_on_with_what_it_had_when_its_reader_is_refreshed_past_a_compaction() {
    for keys_only in [false, true] {
        let (_disk, store, reader) = compacted_under_a_reader(2, 1);
        let before = content(&reader);
        let mut iter = reader
            .iter(IterOptions {
                keys_only,
                ..IterOptions::default()
            })
            .unwrap();
        let mut met = Map::new();
        let mut step = |iter: &mut freyja::store::Iter| {
            let pair = iter.next_with(|key, value| (key.to_vec(), value.to_vec()));
            let pair = pair.unwrap();
            pair.is_none_or(|(key, value)| {
                assert!(met.insert(key, value).is_none(), "met twice");
                false
            })
        };
        assert!(!step(&mut iter));
        reader.refresh().unwrap();
        assert_eq!(content(&reader), content(&store));
        while !step(&mut iter) {}
        match keys_only {
            false => assert_eq!(met, before),
            true => assert!(met.keys().eq(before.keys())),
        }
    }
}

#[test]
fn a_refresh_that_fails_past_a_compaction_shows_what_was_shown_and_the_next_goes_on() {
    for image_segments in [0, 1] {
        let mut failed = 0;
        for fault in 0.. {
            let (disk, store, reader) = compacted_under_a_reader(3, image_segments);
            let before = content(&reader);
            let first = disk.calls();
            disk.fail_call(first + fault, libc::EIO, Repeat::Once, Effect::Before);
            let refreshed = reader.refresh();
            let calls = disk.calls() - first;
            disk.clear_faults();
            let what = format!("{image_segments}, call {fault}: {refreshed:?}");
            match refreshed {
                Ok(_) => assert!(content(&reader) == content(&store), "{what}"),
                Err(_) => {
                    failed += 1;
                    assert!(content(&reader) == before, "{what}");
                    reader.refresh().unwrap();
                    assert!(content(&reader) == content(&store), "{what}");
                }
            }
            if fault > calls {
                break;
            }
        }
        assert!(failed > 10, "{failed}");
    }
}

#[test]
fn a_reader_that_is_refreshed_again_and_again_keeps_no_more_replaced_files_than_the_store_has() {
    let disk = SimulatedDisk::new(4);
    let store = writer(&disk);
    let reader = reader(&disk);
    let mut most = 0;
    for round in 0..200_u32 {
        for number in 0..KEYS {
            store.put(&key(number), &round.to_le_bytes()).unwrap();
        }
        let before = store.stats();
        store.compact(|_| true).unwrap();
        reader.refresh().unwrap();
        assert_eq!(content(&reader), content(&store));
        most = most.max(before.live_bytes + before.dead_bytes);
    }
    let stats = reader.stats();
    let kept = stats.live_bytes + stats.dead_bytes;
    assert!(kept <= 3 * most, "{kept} {most}");
}

#[test]
fn other_threads_of_a_reader_see_whole_batches_while_a_refresh_passes_compactions() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        sync_mode: SyncMode::None,
        segment_size: 1 << 14,
        image_segments: 2,
        ..Options::default()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    let reading = Options {
        mode: OpenMode::ReadOnly,
        ..options
    };
    let reader = Store::open(directory.path(), &reading).unwrap();
    let done = AtomicBool::new(false);
    let keys: Vec<[u8; 1]> = (0..20).map(|part| [part]).collect();
    std::thread::scope(|scope| {
        let (keys, done, reader) = (&keys, &done, &reader);
        scope.spawn(move || {
            let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
            let mut last = None;
            while !done.load(Ordering::Acquire) {
                let values = reader.get_many(&keys).unwrap();
                let values: Vec<_> = values.into_iter().map(Result::unwrap).collect();
                assert!(values.iter().all(|it| *it == values[0]), "{values:?}");
                let number = values[0].as_ref().map(|it| it[..4].try_into().unwrap());
                let number = number.map(u32::from_be_bytes);
                assert!(number >= last, "{number:?} after {last:?}");
                last = number;
            }
        });
        let mut batch = Batch::new();
        for round in 0..3000_u32 {
            let mut value = round.to_be_bytes().to_vec();
            value.resize(64, 0);
            batch.clear();
            for key in keys {
                batch.put(key, &value).unwrap();
            }
            store.write(&batch).unwrap();
            if round % 100 == 99 {
                store.compact(|_| true).unwrap();
                reader.refresh().unwrap();
            }
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(reader.count(), 20);
}

#[test]
fn a_reader_sees_what_it_saw_until_it_is_refreshed() {
    let disk = SimulatedDisk::new(1);
    let store = writer(&disk);
    store.put(&key(1), b"one").unwrap();
    let reader = reader(&disk);
    store.put(&key(1), b"two").unwrap();
    store.put(&key(2), b"two").unwrap();
    assert_eq!(reader.get(&key(1)).unwrap().unwrap(), b"one");
    assert_eq!(reader.get(&key(2)).unwrap(), None);
    assert_eq!(reader.refresh().unwrap(), 3);
    assert_eq!(reader.get(&key(1)).unwrap().unwrap(), b"two");
    assert_eq!(reader.get(&key(2)).unwrap().unwrap(), b"two");
    assert_eq!(reader.refresh().unwrap(), 3);
    assert_eq!(
        reader.put(&key(1), b"x").unwrap_err().kind(),
        ErrorKind::ReadOnly
    );
}

#[test]
fn a_reader_of_an_empty_store_sees_its_first_write() {
    let disk = SimulatedDisk::new(1);
    let store = writer(&disk);
    let reader = reader(&disk);
    assert_eq!(reader.refresh().unwrap(), 0);
    store.put(&key(1), b"one").unwrap();
    assert_eq!(reader.refresh().unwrap(), 1);
    assert_eq!(content(&reader), content(&store));
}

#[test]
fn a_refresh_of_a_store_that_writes_changes_nothing() {
    let disk = SimulatedDisk::new(1);
    let store = writer(&disk);
    store.put(&key(1), b"one").unwrap();
    assert_eq!(store.refresh().unwrap(), 1);
    store.close().unwrap();
    assert_eq!(store.refresh().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_segment_that_grows_far_beyond_what_a_reader_expects_is_read_on() {
    let disk = SimulatedDisk::new(1);
    let writing = Options {
        segment_size: 8 << 20,
        sync_mode: SyncMode::None,
        image_segments: 0,
        ..options()
    };
    let store = open_with(&disk, &writing).unwrap();
    store.put(&key(0), b"first").unwrap();
    let reader = reader(&disk);
    for round in 0..60 {
        store
            .put(&key(round % KEYS), &vec![round as u8; 60_000])
            .unwrap();
        if round % 7 == 0 {
            reader.refresh().unwrap();
            assert_eq!(content(&reader), content(&store));
        }
    }
    assert_eq!(store.stats().segments, 1);
}

/// A writer dies in the middle of a call: whatever call that is, readers see whole batches, and go on when another writer
/// has mended the store.
#[test]
pub(crate) fn a_reader_outlives_a_writer_that_fails_anywhere_and_its_successor() {
    for allocation in [Allocation::Reserved, Allocation::Unsupported] {
        for fault in 0.. {
            let disk = SimulatedDisk::new(5);
            disk.set_allocation(allocation);
            let store = writer(&disk);
            store.put(&key(9), &[9; 3000]).unwrap();
            let mut batch = Batch::new();
            let reader = reader(&disk);
            let first = disk.calls();
            disk.fail_call(first + fault, libc::EIO, Repeat::Always, Effect::Partial);
            for round in 0..6_u8 {
                batch.clear();
                for number in 0..4 {
                    batch.put(&key(number), &[round; 200]).unwrap();
                }
                if store.write(&batch).is_err() {
                    break;
                }
            }
            let calls = disk.calls() - first;
            let _ = store.close();
            drop(store);
            disk.clear_faults();
            let what = format!("{allocation:?}, call {fault}");
            let is_whole = |found: &Map| {
                let values: Vec<_> = (0..4).map(|number| found.get(&key(number))).collect();
                assert!(
                    values.iter().all(|it| *it == values[0]),
                    "{what}: {values:?}"
                );
            };
            let seen = reader
                .refresh()
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            is_whole(&content(&reader));
            // Somebody else, who begins now, sees the same.
            let other = self::reader(&disk);
            assert_eq!(content(&other), content(&reader), "{what}");
            let store = writer(&disk);
            is_whole(&content(&store));
            store.put(&key(5), b"afterwards").unwrap();
            match reader.refresh() {
                Ok(sequence) => {
                    assert!(sequence > seen, "{what}");
                    assert_eq!(content(&reader), content(&store), "{what}");
                }
                // What was seen was never durable, and the disk failed: the reader is told to begin anew.
                Err(error) => assert!(
                    error.message().contains("has lost writes"),
                    "{what}: {error}"
                ),
            }
            if fault > calls {
                break;
            }
        }
    }
}

#[test]
fn a_reader_of_a_crashed_store_sees_its_prefix_and_changes_nothing() {
    let disk = SimulatedDisk::new(3);
    let options = Options {
        sync_mode: SyncMode::None,
        ..options()
    };
    let store = open_with(&disk, &options).unwrap();
    let mut random = Random(99);
    for round in 0..100 {
        write_something(&store, &mut random, round);
    }
    for seed in 0..60 {
        let crashed = disk.crash(Crash::PowerLoss, seed);
        let before = crashed.list(Path::new(STORE)).unwrap();
        let reader = reader(&crashed);
        let seen = content(&reader);
        let sequence = reader.stats().last_sequence;
        assert_eq!(reader.refresh().unwrap(), sequence, "seed {seed}");
        assert_eq!(content(&reader), seen, "seed {seed}");
        assert_eq!(
            crashed.list(Path::new(STORE)).unwrap(),
            before,
            "seed {seed}"
        );
        // A writer mends the store under the reader, and goes on.
        let store = writer(&crashed);
        assert_eq!(content(&store), seen, "seed {seed}");
        write_something(&store, &mut random, seed);
        store.put(&key(0), &seed.to_le_bytes()).unwrap();
        reader
            .refresh()
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(content(&reader), content(&store), "seed {seed}");
    }
}

#[test]
pub(crate) fn missing_records_that_were_durable_are_told_and_not_passed_over() {
    let disk = SimulatedDisk::new(1);
    let store = writer(&disk);
    store.put(&key(1), &[1; 100]).unwrap();
    let reader = reader(&disk);
    for round in 0..100 {
        store.put(&key(round % KEYS), &[2; 300]).unwrap();
    }
    store.close().unwrap();
    disk.remove_file(&Path::new(STORE).join("0000000000000003.seg"))
        .unwrap();
    let error = reader.refresh().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("missing"), "{error}");
    // What could be read is there; nothing newer.
    let second = reader.stats().last_sequence;
    assert!(second > 1 && second < 101);
    assert_eq!(reader.failure().unwrap().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_listing_that_fails_costs_a_reader_nothing_of_what_it_has() {
    let disk = SimulatedDisk::new(1);
    let store = writer(&disk);
    store.put(&key(1), b"one").unwrap();
    let reader = reader(&disk);
    store.put(&key(1), b"two").unwrap();
    disk.fail_next(Operation::List, libc::EIO, Repeat::Once, Effect::Before);
    assert_eq!(reader.refresh().unwrap_err().os_code(), libc::EIO);
    assert_eq!(reader.get(&key(1)).unwrap().unwrap(), b"one");
    reader.refresh().unwrap();
    assert_eq!(reader.get(&key(1)).unwrap().unwrap(), b"two");
}

#[test]
fn readers_beside_a_busy_writer_see_prefixes_with_whole_batches() {
    for key_storage in [KeyStorage::InMemory, KeyStorage::OnDisk] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let options = Options {
            sync_mode: SyncMode::None,
            segment_size: 1 << 16,
            image_segments: 2,
            key_storage,
            ..Options::default()
        };
        let store = Store::open(&path, &options).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut batch = Batch::new();
                for round in 1..20_000_u32 {
                    let bytes = round.to_le_bytes();
                    store.put(b"alone", &bytes).unwrap();
                    batch.clear();
                    for part in 0..5_u8 {
                        batch.put(&[part], &bytes).unwrap();
                    }
                    store.write(&batch).unwrap();
                    store.put(&(round % 500).to_le_bytes(), &bytes).unwrap();
                }
                done.store(true, Ordering::Release);
            });
            for number in 0..2 {
                let (path, done, options) = (&path, &done, &options);
                scope.spawn(move || {
                    let options = Options {
                        mode: OpenMode::ReadOnly,
                        ..options.clone()
                    };
                    let mut reader = Store::open(path, &options).unwrap();
                    let (mut last, mut rounds) = (0, 0);
                    loop {
                        let ended = done.load(Ordering::Acquire);
                        rounds += 1;
                        // Compaction goes on in the background, and may have been quicker than this reader.
                        reader.refresh().unwrap();
                        if rounds % 10 == 9 {
                            reader = Store::open(path, &options).unwrap();
                            assert_eq!(reader.recovery_report().damaged, []);
                        }
                        let get = |key: &[u8]| match reader.get(key).unwrap() {
                            Some(value) => u32::from_le_bytes(value.try_into().unwrap()),
                            None => 0,
                        };
                        let (alone, batch) = (get(b"alone"), get(&[0]));
                        assert!(alone == batch || alone == batch + 1, "{alone} {batch}");
                        assert!((1..5).all(|part| get(&[part]) == batch));
                        assert!(alone >= last, "reader {number}");
                        last = alone;
                        if ended && rounds > 3 {
                            break;
                        }
                    }
                    assert_eq!(last, 19_999, "reader {number}");
                });
            }
        });
    }
}
