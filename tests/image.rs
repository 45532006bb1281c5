//! An image of the index is a cache: with it a store opens without reading its log, and nothing that happens to it
//! changes anything but time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freyja::ErrorKind;
use freyja::store::{
    Compaction, Finding, FindingKind, ImageFault, KeyStorage, OpenMode, Options, ReadMode,
    RecoveryWay, Severity, Stats, Store, SyncMode, verify_on,
};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, Effect, Operation, Repeat, SimulatedDisk};

const STORE: &str = "/store";

/// Where the keys are: the program of the tests of keys on disk runs this file once more.
fn key_storage() -> KeyStorage {
    match module_path!().starts_with("keys_on_disk") {
        true => KeyStorage::OnDisk,
        false => KeyStorage::InMemory,
    }
}

fn options() -> Options {
    Options {
        key_storage: key_storage(),
        sync_mode: SyncMode::None,
        background_threads: 0,
        segment_size: 1 << 20,
        ..Options::default()
    }
}

fn open_with(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

fn open(disk: &SimulatedDisk) -> Store {
    open_with(disk, &options())
}

fn key(number: u64) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

fn fill(store: &Store, numbers: std::ops::Range<u64>, value: &[u8]) {
    for number in numbers {
        store.put(&key(number), value).unwrap();
    }
}

/// A disk with a closed store of `count` keys.
fn closed(count: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(5);
    let store = open(&disk);
    fill(&store, 0..count, b"value");
    store.close().unwrap();
    assert!(store.stats().images_written > 0);
    copy(&disk)
}

/// The disk as another process finds it.
fn copy(disk: &SimulatedDisk) -> SimulatedDisk {
    disk.crash(Crash::ProcessKill, 0)
}

fn files(disk: &SimulatedDisk, suffix: &str) -> Vec<PathBuf> {
    let entries = disk.list(Path::new(STORE)).unwrap();
    let names = entries
        .iter()
        .map(|entry| Path::new(STORE).join(&entry.name));
    let mut paths: Vec<PathBuf> = names
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    paths.sort();
    paths
}

fn newest_image(disk: &SimulatedDisk) -> PathBuf {
    files(disk, ".img").pop().expect("there is an image")
}

fn content(store: &Store, count: u64) -> BTreeMap<u64, Vec<u8>> {
    let found = (0..count).map(|number| (number, store.get(&key(number)).unwrap()));
    found
        .filter_map(|(number, value)| Some((number, value?)))
        .collect()
}

fn assert_way(stats: &Stats, way: RecoveryWay, fault: ImageFault) {
    assert_eq!(
        (stats.recovery_way, stats.recovery_image_fault),
        (way as u64, fault as u64)
    );
}

#[test]
fn a_closed_store_opens_from_its_image_without_reading_the_log() {
    let disk = closed(500);
    let store = open(&disk);
    let stats = store.stats();
    assert_way(&stats, RecoveryWay::Image, ImageFault::None);
    assert_eq!(
        (stats.recovered_records, stats.keys, stats.shards_loaded),
        (0, 500, 0)
    );
    assert_eq!(store.count(), 500);
    assert_eq!(content(&store, 500).len(), 500);
    assert_eq!(store.stats().shards_loaded, 1);
    assert_eq!(store.stats().shards_rebuilt, 0);
    store.close().unwrap();
    assert_eq!(store.stats().images_written, 0, "nothing has changed");
}

#[test]
fn how_much_an_open_and_the_first_get_read_does_not_depend_on_the_size_of_the_store() {
    let read = |count: u64| {
        let disk = closed(count);
        disk.start_trace();
        let store = open(&disk);
        assert_eq!(store.get(&key(1)).unwrap().unwrap(), b"value");
        let trace = disk.take_trace();
        let reads = trace
            .iter()
            .filter(|call| call.operation == Operation::Read);
        let log: u64 = reads
            .clone()
            .filter(|call| is_segment(&call.path))
            .map(|call| call.length)
            .sum();
        let segments = files(&disk, ".seg").len() as u64;
        assert!(log <= segments * 2048, "{log} bytes of {segments} segments");
        reads
            .filter(|call| !is_segment(&call.path))
            .map(|call| call.length)
            .sum::<u64>()
    };
    let (small, large) = (read(30_000), read(240_000));
    // One shard, which is between half full and full, and a directory of 48 bytes a shard.
    assert!(
        large < small * 5 / 2,
        "{small} bytes for 30,000 keys, {large} for 240,000"
    );
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

#[test]
fn any_damage_to_an_image_costs_time_only() {
    let disk = closed(200);
    let path = newest_image(&disk);
    let intact = disk.read_file(&path).unwrap();
    let truth = content(&open(&copy(&disk)), 200);
    let mut rebuilt = 0;
    let mut refused = 0;
    let mut check = |bytes: &[u8], what: String| {
        let disk = copy(&disk);
        disk.overwrite_file(&path, bytes).unwrap();
        let store = open(&disk);
        assert_eq!(content(&store, 200), truth, "{what}");
        assert_eq!(store.count(), 200, "{what}");
        store.put(b"another", b"one").unwrap();
        rebuilt += store.stats().shards_rebuilt;
        refused += u64::from(store.stats().recovery_way == RecoveryWay::Scan as u64);
        store.close().unwrap();
        let store = open(&disk);
        assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
        assert_eq!(store.count(), 201, "{what}");
    };
    let ends = 200.min(intact.len());
    let sampled =
        (0..intact.len()).filter(|at| *at < ends || *at >= intact.len() - ends || at % 61 == 0);
    for position in sampled {
        let mut bytes = intact.clone();
        bytes[position] ^= 1 << (position % 8);
        check(&bytes, format!("bit {} of byte {position}", position % 8));
    }
    for length in (0..intact.len())
        .step_by(97)
        .chain(intact.len() - 100..intact.len())
    {
        check(&intact[..length], format!("cut to {length} bytes"));
    }
    check(&[&intact[..], b"more"].concat(), "longer".into());
    check(&vec![0; intact.len()], "zeros".into());
    assert!(
        rebuilt > 50 && refused > 50,
        "{rebuilt} rebuilt, {refused} refused"
    );
}

#[test]
fn an_older_image_and_the_log_behind_it_make_the_whole() {
    let disk = SimulatedDisk::new(6);
    let store = open(&disk);
    fill(&store, 0..100, b"first");
    store.close().unwrap();
    let store = open(&disk);
    fill(&store, 50..150, b"second");
    for number in 90..110 {
        assert!(store.delete(&key(number)).unwrap());
    }
    let killed = copy(&disk);
    let with = open(&killed);
    assert_way(&with.stats(), RecoveryWay::Image, ImageFault::None);
    assert_eq!(with.stats().recovered_records, 120, "only what came after");
    let without = copy(&disk);
    without.remove_file(&newest_image(&without)).unwrap();
    let without = open(&without);
    assert_way(&without.stats(), RecoveryWay::Scan, ImageFault::Absent);
    assert_eq!(content(&with, 200), content(&without, 200));
    assert_eq!(with.stats().dead_bytes, without.stats().dead_bytes);
    assert_eq!(with.stats().keys, without.stats().keys);
    assert_eq!(with.stats().last_sequence, without.stats().last_sequence);
}

#[test]
fn one_image_is_kept_and_its_size_is_told() {
    let disk = SimulatedDisk::new(16);
    for round in 0..4 {
        let store = open(&disk);
        let opened_from = store.stats().image_bytes;
        assert_eq!(opened_from > 0, round > 0);
        fill(&store, round * 300..round * 300 + 400, b"value");
        store.close().unwrap();
        let images = files(&disk, ".img");
        assert_eq!(images.len(), 1);
        let length = disk.read_file(&images[0]).unwrap().len() as u64;
        assert_eq!(store.stats().image_bytes, length);
        assert!(length > opened_from);
        assert_eq!(open(&copy(&disk)).stats().image_bytes, length);
    }
}

#[test]
fn if_the_newest_image_is_damaged_the_one_before_is_used() {
    let disk = closed(100);
    let older = newest_image(&disk);
    let older_bytes = disk.read_file(&older).unwrap();
    let store = open(&disk);
    fill(&store, 100..120, b"value");
    store.close().unwrap();
    let disk = copy(&disk);
    // As a crash leaves it before the older one is removed.
    disk.overwrite_file(&older, &older_bytes).unwrap();
    assert_eq!(files(&disk, ".img").len(), 2);
    disk.overwrite_file(&newest_image(&disk), b"nothing")
        .unwrap();
    let store = open(&disk);
    assert_way(&store.stats(), RecoveryWay::Image, ImageFault::Damaged);
    assert_eq!(store.stats().recovered_records, 20);
    assert_eq!(content(&store, 200).len(), 120);
}

#[test]
fn damage_behind_an_image_is_told_to_who_reads_it_and_no_older_version_is_given() {
    let disk = SimulatedDisk::new(14);
    let store = open(&disk);
    fill(&store, 0..20, b"older");
    fill(&store, 0..20, b"newer");
    let place = store.locate(&key(7)).unwrap().unwrap();
    store.close().unwrap();
    let disk = copy(&disk);
    let segment = files(&disk, ".seg").pop().unwrap();
    let intact = disk.read_file(&segment).unwrap();
    // The head, the key and the value; what follows is padding.
    for position in 0..8 + 5 + 5 {
        let mut bytes = intact.clone();
        bytes[place.offset as usize + position] ^= 0x10;
        let disk = copy(&disk);
        disk.overwrite_file(&segment, &bytes).unwrap();
        let store = open(&disk);
        assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
        let error = store.get(&key(7)).expect_err("the record is damaged");
        assert_eq!(error.kind(), freyja::ErrorKind::Corrupt, "byte {position}");
        assert!(store.failure().is_some());
        for number in (0..20).filter(|number| *number != 7) {
            assert_eq!(store.get(&key(number)).unwrap().unwrap(), b"newer");
        }
        store.put(&key(7), b"again").unwrap();
        assert_eq!(store.get(&key(7)).unwrap().unwrap(), b"again");
    }
}

#[test]
fn an_image_of_another_store_is_refused() {
    let (disk, other) = (closed(50), SimulatedDisk::new(77));
    let store = open(&other);
    fill(&store, 0..60, b"other");
    store.close().unwrap();
    let image = other.read_file(&newest_image(&other)).unwrap();
    disk.overwrite_file(&newest_image(&disk), &image).unwrap();
    let store = open(&disk);
    assert_way(&store.stats(), RecoveryWay::Scan, ImageFault::OtherStore);
    assert_eq!(content(&store, 60).len(), 50);
}

#[test]
fn an_image_that_is_newer_than_the_log_is_refused_and_removed_and_the_loss_told() {
    let disk = SimulatedDisk::new(8);
    let store = open(&disk);
    fill(&store, 0..50, b"value");
    let log = copy(&disk);
    store.close().unwrap();
    let image = disk.read_file(&newest_image(&disk)).unwrap();
    // The log as it was, but for its last record, beside the image of all of it.
    let segment = files(&log, ".seg").pop().unwrap();
    let mut bytes = log.read_file(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes.truncate(end - 20);
    log.overwrite_file(&segment, &bytes).unwrap();
    let path = newest_image(&disk);
    log.overwrite_file(&path, &image).unwrap();
    let read_only = Options {
        mode: OpenMode::ReadOnly,
        ..options()
    };
    let mut findings = Vec::new();
    let mut listener = |finding: &Finding| findings.push((finding.kind, finding.severity));
    let verified = verify_on(&log, Path::new(STORE), &mut listener).unwrap();
    assert!(verified.losses > 0);
    assert!(findings.contains(&(FindingKind::MissingRecords, Severity::Loss)));
    let store = open_with(&copy(&log), &read_only);
    assert_way(&store.stats(), RecoveryWay::Scan, ImageFault::NewerThanLog);
    let store = open(&log);
    assert_way(&store.stats(), RecoveryWay::Scan, ImageFault::NewerThanLog);
    let told = store.failure().unwrap();
    assert_eq!(told.kind(), ErrorKind::Corrupt);
    assert!(told.message().contains("end of the log"), "{told}");
    assert_eq!(files(&log, ".img"), Vec::<PathBuf>::new());
    let found = content(&store, 50).len();
    assert!((40..50).contains(&found), "{found}");
}

#[test]
fn an_image_that_knows_a_segment_that_is_gone_is_refused() {
    let options = Options {
        segment_size: 4096,
        ..options()
    };
    let disk = SimulatedDisk::new(9);
    let store = open_with(&disk, &options);
    fill(&store, 0..300, b"value");
    store.close().unwrap();
    let disk = copy(&disk);
    let segments = files(&disk, ".seg");
    assert!(segments.len() > 2);
    disk.remove_file(&segments[1]).unwrap();
    let store = open_with(&disk, &options);
    assert_way(
        &store.stats(),
        RecoveryWay::Scan,
        ImageFault::SegmentMissing,
    );
    assert_eq!(store.stats().recovery_missing_segments, 1);
}

#[test]
fn a_failure_to_write_an_image_is_no_failure_of_close() {
    for operation in [Operation::CreateNew, Operation::Rename] {
        let disk = SimulatedDisk::new(10);
        let store = open(&disk);
        fill(&store, 0..50, b"value");
        disk.fail_next(
            operation,
            libc::ENOSPC,
            Repeat::SameOperation,
            Effect::Before,
        );
        store.close().unwrap();
        assert_eq!(store.stats().image_failures, 1);
        disk.clear_faults();
        let store = open(&copy(&disk));
        assert_eq!(content(&store, 50).len(), 50);
    }
}

#[test]
fn an_image_whose_writing_was_cut_short_is_passed_over_and_removed_by_the_next() {
    let disk = SimulatedDisk::new(11);
    let store = open(&disk);
    fill(&store, 0..50, b"value");
    disk.start_pictures();
    store.close().unwrap();
    let mut unfinished = 0;
    for (index, picture) in disk.take_pictures() {
        for variant in 0..6 {
            let disk = match variant {
                0 => copy(&picture),
                _ => picture.crash(Crash::PowerLoss, variant),
            };
            let left = files(&disk, ".new").len();
            unfinished += left;
            let store = open(&disk);
            if variant == 0 {
                assert_eq!(content(&store, 50).len(), 50, "before call {index}");
            }
            let found = store.count();
            store.put(b"more", b"value").unwrap();
            store.close().unwrap();
            assert_eq!(files(&disk, ".new"), Vec::<PathBuf>::new());
            assert_eq!(open(&copy(&disk)).count(), found + 1);
        }
    }
    assert!(unfinished > 0);
}

#[test]
fn shards_are_loaded_under_concurrent_readers_and_writers() {
    let count = 100_000;
    let disk = closed(count);
    let path = newest_image(&disk);
    let mut bytes = disk.read_file(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    disk.overwrite_file(&path, &bytes).unwrap();
    for background_threads in [0, 1] {
        let disk = copy(&disk);
        let store = open_with(
            &disk,
            &Options {
                background_threads,
                ..options()
            },
        );
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let store = &store;
                scope.spawn(move || {
                    for number in (thread * 1000..count).step_by(7) {
                        match (thread, number % 3) {
                            (0, 0) => store.put(&key(number), b"newer").unwrap(),
                            _ => {
                                let value = store.get(&key(number)).unwrap().unwrap();
                                assert!(value == b"value" || value == b"newer");
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(store.count(), count);
        store.close().unwrap();
        let store = open(&copy(&disk));
        assert_eq!(store.count(), count);
        let newer = (0..count).step_by(7).filter(|number| number % 3 == 0);
        for number in newer {
            assert_eq!(store.get(&key(number)).unwrap().unwrap(), b"newer");
        }
    }
}

#[test]
fn images_are_written_in_the_background_while_others_write() {
    let options = Options {
        segment_size: 16 << 10,
        background_threads: 1,
        // A merge makes the last image useless until the next one is there.
        compaction: Compaction::Manual,
        ..options()
    };
    let disk = SimulatedDisk::new(12);
    let store = open_with(&disk, &options);
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..4_u64 {
                    for number in 0..700 {
                        let value = round.to_le_bytes();
                        store.put(&key(thread * 700 + number), &value).unwrap();
                    }
                }
            });
        }
    });
    while store.stats().images_written == 0 {
        store.put(b"one more", &[0; 1000]).unwrap();
    }
    store.sync().unwrap();
    for variant in 0..4 {
        let crashed = disk.crash(Crash::PowerLoss, variant);
        let with = open_with(&crashed, &options);
        assert_way(&with.stats(), RecoveryWay::Image, ImageFault::None);
        let found = content(&with, 2100);
        assert_eq!(found.len(), 2100);
        assert!(found.values().all(|value| *value == 3_u64.to_le_bytes()));
    }
}

#[test]
fn segments_that_are_filled_to_the_last_byte_do_not_keep_an_image_from_being_used() {
    let disk = SimulatedDisk::new(15);
    let store = open(&disk);
    // Header, 13,103 records of 80 bytes and footer are 1 MiB.
    let count = 2 * 13_103 + 10;
    for number in 0..count as u64 {
        let key = [number.to_be_bytes(), [7; 8]].concat();
        store.put(&key, &[1; 50]).unwrap();
    }
    store.close().unwrap();
    let disk = copy(&disk);
    let first = disk.read_file(&files(&disk, ".seg")[0]).unwrap();
    assert_eq!(first.len(), 1 << 20, "else this tests nothing");
    let store = open(&disk);
    assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
    assert_eq!(store.count(), count as u64);
}

#[test]
fn the_location_space_of_an_image_is_kept_when_the_log_goes_on() {
    let disk = SimulatedDisk::new(13);
    let options = Options {
        segment_size: 4096,
        ..options()
    };
    for round in 0..6_u64 {
        let store = open_with(&disk, &options);
        fill(&store, round * 100..round * 100 + 150, &round.to_le_bytes());
        if round % 2 == 0 {
            store.close().unwrap();
        } else {
            // As a killed process leaves it.
            let killed = copy(&disk);
            let store = open_with(&killed, &options);
            assert_eq!(store.count(), round * 100 + 150);
        }
        drop(store);
        let store = open_with(&disk, &options);
        assert_eq!(content(&store, 1000).len() as u64, round * 100 + 150);
    }
}

/// Compaction takes segments away that an older image knows.
#[test]
fn a_store_that_was_compacted_opens_from_the_image_that_was_written_then() {
    let options = Options {
        segment_size: 16 << 10,
        ..options()
    };
    let written = || {
        let disk = SimulatedDisk::new(8);
        let store = open_with(&disk, &options);
        for round in 0..4_u8 {
            fill(&store, 0..1000, &[round; 40]);
        }
        (disk, store)
    };
    let check = |disk: &SimulatedDisk, value: &[u8]| {
        let store = open_with(disk, &options);
        assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
        assert_eq!(store.count(), 1000);
        let found = content(&store, 1000);
        assert!(found.values().all(|it| it == value));
    };
    // When asked, and then killed, at once or after some more writes.
    let (disk, store) = written();
    store.compact(|_| true).unwrap();
    assert!(store.stats().compactions > 0);
    check(&copy(&disk), &[3; 40]);
    fill(&store, 0..1000, &[4; 40]);
    check(&copy(&disk), &[4; 40]);
    store.close().unwrap();
    check(&copy(&disk), &[4; 40]);
    // By maintenance, and then killed when that had nothing more to do, or closed.
    let (disk, store) = written();
    while store.maintain().unwrap() {}
    assert!(store.stats().compactions > 0);
    check(&copy(&disk), &[3; 40]);
    store.close().unwrap();
    check(&copy(&disk), &[3; 40]);
}

#[test]
fn a_store_opens_from_the_image_that_one_with_the_other_key_storage_wrote() {
    let count = 2000;
    let disk = closed(count);
    let mut storage = key_storage();
    for round in 0..4_u64 {
        storage = match storage {
            KeyStorage::InMemory => KeyStorage::OnDisk,
            KeyStorage::OnDisk => KeyStorage::InMemory,
        };
        let options = Options {
            key_storage: storage,
            ..options()
        };
        let store = open_with(&disk, &options);
        assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
        assert_eq!(store.count(), count);
        for number in (0..count).filter(|number| number % 3 == round % 3) {
            assert!(store.exists(&key(number)).unwrap());
            assert!(!store.exists(&key(number + count)).unwrap());
            assert!(store.delete(&key(number)).unwrap());
            store.put(&key(number), b"value").unwrap();
        }
        assert_eq!(content(&store, count).len() as u64, count);
        let slabs = store.stats().slab_count;
        assert_eq!(storage == KeyStorage::InMemory, slabs > 0);
        store.close().unwrap();
    }
}

#[test]
fn keys_come_into_memory_with_writes_and_behind_the_opening() {
    let count = 3000;
    let disk = closed(count);
    let in_memory = key_storage() == KeyStorage::InMemory;
    let missing = if in_memory { count } else { 0 };
    let store = open(&disk);
    assert_eq!(store.stats().missing_keys, missing);
    store.put(&key(5), b"newer").unwrap();
    assert_eq!(store.stats().missing_keys, missing.saturating_sub(1));
    assert!(store.delete(&key(6)).unwrap());
    assert_eq!(store.stats().missing_keys, missing.saturating_sub(2));
    store.close().unwrap();

    let options = Options {
        background_threads: 1,
        read_mode: ReadMode::Pread,
        ..options()
    };
    let store = open_with(&disk, &options);
    let mut patience = 0..60_000;
    while store.stats().missing_keys > 0 || store.stats().shards_loaded == 0 {
        patience.next().expect("all keys come into memory");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let keys = (0..count).filter(|number| *number != 6);
    let bytes: usize = keys.clone().map(|number| key(number).len() + 1).sum();
    let live_bytes = if in_memory { bytes as u64 } else { 0 };
    assert_eq!(store.stats().slab_live_bytes, live_bytes);
    disk.start_trace();
    for number in keys {
        assert!(store.exists(&key(number)).unwrap());
    }
    let reads = disk.take_trace();
    assert_eq!(reads.is_empty(), in_memory);
}
