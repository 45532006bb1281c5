//! An image of the index stays of use when merges have since taken segments away to which it refers: lists beside it tell where
//! their records are now. They are a cache as it is: nothing but time depends on them.

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freyja::store::{
    Compaction, Finding, ImageFault, KeyStorage, OpenMode, Options, ReadMode, RecoveryWay,
    Severity, Stats, Store, SyncMode, verify_on,
};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, Effect, Operation, Repeat, SimulatedDisk};
use random::Random;

const STORE: &str = "/store";
/// What the wall clock of a new simulated disk says.
const BEGINNING_MS: u64 = 1_700_000_000_000;

fn options() -> Options {
    Options {
        sync_mode: SyncMode::None,
        background_threads: 0,
        segment_size: 16 << 10,
        compaction: Compaction::Manual,
        ..Options::default()
    }
}

fn open_with(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

fn open(disk: &SimulatedDisk) -> Store {
    open_with(disk, &options())
}

/// The disk as another process finds it after this one was killed.
fn killed(disk: &SimulatedDisk) -> SimulatedDisk {
    disk.crash(Crash::ProcessKill, 0)
}

fn files(disk: &SimulatedDisk, suffix: &str) -> Vec<PathBuf> {
    let entries = disk.list(Path::new(STORE)).unwrap();
    let names = entries.iter().map(|it| Path::new(STORE).join(&it.name));
    let mut paths: Vec<PathBuf> = names
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    paths.sort();
    paths
}

/// The same disk without images.
fn without_images(disk: &SimulatedDisk) -> SimulatedDisk {
    let disk = killed(disk);
    for path in files(&disk, ".img") {
        disk.remove_file(&path).unwrap();
    }
    disk
}

fn key(number: u64) -> Vec<u8> {
    let mut key = format!("key {number}").into_bytes();
    key.resize(key.len() + (number % 7) as usize, b'k');
    key
}

/// Merges so many times, and writes no image, as if the process were killed before that.
fn merge(store: &Store, merges: u64) {
    let mut left = merges;
    let _ = store.compact(|_| {
        left -= 1;
        left > 0
    });
}

fn content(store: &Store, keys: u64) -> BTreeMap<u64, Vec<u8>> {
    let found = (0..keys).map(|number| (number, store.get(&key(number)).unwrap()));
    found
        .filter_map(|(number, value)| Some((number, value?)))
        .collect()
}

/// What the figures say that do not depend on how the store was opened.
fn figures(store: &Store) -> [u64; 8] {
    // Loads what is not loaded yet.
    let keys = store.count();
    let stats = store.stats();
    [
        keys,
        stats.key_bytes,
        stats.dead_bytes,
        stats.tombstone_bytes,
        stats.dead_puts,
        stats.live_bytes,
        stats.last_sequence,
        stats.shards_absent,
    ]
}

fn assert_way(stats: &Stats, way: RecoveryWay, fault: ImageFault) {
    assert_eq!(
        (stats.recovery_way, stats.recovery_image_fault),
        (way as u64, fault as u64)
    );
}

/// A closed store of many segments, with an image, and much garbage.
fn closed(keys: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(3);
    let store = open(&disk);
    for round in 0..4_u8 {
        for number in (0..keys).filter(|number| number % 4 >= u64::from(round)) {
            store.put(&key(number), &[round; 40]).unwrap();
        }
    }
    store.close().unwrap();
    killed(&disk)
}

/// Such a store that was opened again, merged and changed, and whose process was then killed.
fn merged_and_killed(keys: u64) -> (SimulatedDisk, BTreeMap<u64, Vec<u8>>) {
    let disk = closed(keys);
    let store = open(&disk);
    for number in 0..40 {
        store.put(&key(number), b"after the image").unwrap();
        store.delete(&key(100 + number)).unwrap();
    }
    merge(&store, 2);
    for number in 20..30 {
        store.put(&key(number), b"after the merge").unwrap();
        store.delete(&key(200 + number)).unwrap();
    }
    assert_eq!(store.stats().images_written, 0);
    assert!(store.stats().compactions >= 2);
    let truth = content(&store, keys);
    (killed(&disk), truth)
}

#[test]
fn a_kill_after_a_merge_leaves_the_image_of_use() {
    // What happened: an image that named a segment which a merge had replaced was refused, and the whole log was read.
    let keys = 2000;
    let (disk, truth) = merged_and_killed(keys);
    for key_storage in [KeyStorage::InMemory, KeyStorage::OnDisk] {
        for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
            let options = Options {
                key_storage,
                read_mode,
                ..options()
            };
            let store = open_with(&killed(&disk), &options);
            let stats = store.stats();
            assert_way(&stats, RecoveryWay::Image, ImageFault::None);
            assert_eq!((stats.merges_followed, stats.shards_loaded), (2, 0));
            // What was written since, and no more.
            assert!(stats.recovered_records < 150, "{}", stats.recovered_records);
            assert!(stats.segments_scanned <= 3, "{}", stats.segments_scanned);
            assert!(stats.segments_from_image > 8);
            assert_eq!(content(&store, keys), truth);
            let scanned = open_with(&without_images(&disk), &options);
            assert_way(&scanned.stats(), RecoveryWay::Scan, ImageFault::Absent);
            assert_eq!(figures(&store), figures(&scanned));
            assert_eq!(store.stats().shards_rebuilt, 0);
        }
    }
}

#[test]
fn what_follows_an_image_and_merges_is_a_store_like_any_other() {
    let keys = 2000;
    let (mut disk, mut truth) = merged_and_killed(keys);
    for round in 0..6 {
        let store = open(&disk);
        assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
        assert_eq!(content(&store, keys), truth, "round {round}");
        for number in round * 50..round * 50 + 100 {
            store.put(&key(number), &[round as u8; 60]).unwrap();
            truth.insert(number, vec![round as u8; 60]);
        }
        match round {
            0 | 3 => merge(&store, 1),
            1 => store.compact(|_| true).unwrap(),
            _ => {}
        }
        if round == 4 {
            store.close().unwrap();
        }
        disk = killed(&disk);
    }
}

#[test]
fn an_image_and_lists_of_merges_give_what_the_log_gives_whatever_was_done() {
    let (mut followed, mut most, mut mixed) = (0, 0, 0);
    for seed in 1..=16 {
        let mut random = Random::new(seed);
        let disk = SimulatedDisk::new(seed);
        let keys = [60, 1500][random.below(2) as usize];
        let key_storage = random.one_of(&[KeyStorage::InMemory, KeyStorage::OnDisk]);
        let options = Options {
            key_storage,
            image_segments: [1, 3, 1000][random.below(3) as usize],
            ..options()
        };
        let mut store = open_with(&disk, &options);
        for step in 0..3000_u64 {
            let number = random.below(keys);
            let value = vec![step as u8; random.below(120) as usize];
            match random.below(400) {
                0..=2 => merge(&store, 1 + random.below(3)),
                3 => {
                    store.close().unwrap();
                    store = open_with(&disk, &options);
                }
                4..=80 => drop(store.delete(&key(number)).unwrap()),
                81..=120 => {
                    let moment = BEGINNING_MS + random.below(2500);
                    store.put_expiring(&key(number), &value, moment).unwrap();
                }
                _ => store.put(&key(number), &value).unwrap(),
            }
            disk.advance_clock(std::time::Duration::from_millis(1));
            if step % 500 != 499 {
                continue;
            }
            if random.below(2) == 0 {
                merge(&store, 1);
            }
            let opened = open_with(&killed(&disk), &options);
            let scanned = open_with(&without_images(&disk), &options);
            let stats = opened.stats();
            followed += stats.merges_followed;
            most = most.max(stats.merges_followed);
            mixed += u64::from(stats.merges_followed > 0 && stats.recovered_records > 0);
            let what = format!("seed {seed}, step {step}");
            let has_image = !files(&disk, ".img").is_empty();
            assert_eq!(stats.recovery_way, u64::from(has_image), "{what}");
            assert_eq!(content(&opened, keys), content(&store, keys), "{what}");
            assert_eq!(content(&scanned, keys), content(&store, keys), "{what}");
            assert_eq!(figures(&opened), figures(&scanned), "{what}");
        }
    }
    assert!(
        followed > 40 && most > 4 && mixed > 8,
        "{followed} {most} {mixed}"
    );
}

#[test]
fn a_long_log_behind_the_image_is_worked_in_at_once_in_whatever_order_merges_have_left_it() {
    let disk = SimulatedDisk::new(9);
    let options = Options {
        segment_size: 8 << 20,
        image_segments: 1000,
        ..options()
    };
    // More than may wait in memory.
    let long = |number: u64| [number.to_le_bytes().to_vec(), vec![7; 60_000]].concat();
    let count = 1500;
    let store = open_with(&disk, &options);
    for number in 0..100 {
        store.put(&long(number), b"older").unwrap();
    }
    store.close().unwrap();
    let store = open_with(&disk, &options);
    for number in 50..count {
        store.put(&long(number), b"newer").unwrap();
    }
    for number in (0..count).step_by(8) {
        assert!(store.delete(&long(number)).unwrap());
    }
    merge(&store, 3);
    for number in (0..count).step_by(3) {
        store.put(&long(number), b"newest").unwrap();
    }
    merge(&store, 2);
    for number in (0..count).step_by(15) {
        assert!(store.delete(&long(number)).unwrap());
    }
    let disk = killed(&disk);
    for background_threads in [0, 1] {
        let options = Options {
            background_threads,
            ..options.clone()
        };
        let store = open_with(&killed(&disk), &options);
        let stats = store.stats();
        assert_way(&stats, RecoveryWay::Image, ImageFault::None);
        assert_eq!((stats.merges_followed, stats.shards_absent), (5, 0));
        for number in 0..count {
            let expected: Option<&[u8]> = match number {
                _ if number % 15 == 0 => None,
                _ if number % 3 == 0 => Some(b"newest"),
                _ if number % 8 == 0 => None,
                0..50 => Some(b"older"),
                _ => Some(b"newer"),
            };
            assert_eq!(store.get(&long(number)).unwrap().as_deref(), expected);
        }
        let scanned = open_with(&without_images(&disk), &options);
        assert_eq!(figures(&store), figures(&scanned));
    }
}

#[test]
fn damage_to_a_list_of_moves_costs_time_only() {
    let keys = 500;
    let (disk, truth) = merged_and_killed(keys);
    let lists = files(&disk, ".moves");
    assert_eq!(lists.len(), 2);
    for path in &lists {
        let intact = disk.read_file(path).unwrap();
        let check = |bytes: Option<&[u8]>| {
            let disk = killed(&disk);
            match bytes {
                Some(bytes) => disk.overwrite_file(path, bytes).unwrap(),
                None => disk.remove_file(path).unwrap(),
            }
            let mut findings = 0;
            let mut listener = |finding: &Finding| {
                assert_eq!(finding.severity, Severity::Note);
                findings += 1;
            };
            verify_on(&disk, Path::new(STORE), &mut listener).unwrap();
            assert_eq!(findings, 1);
            let store = open(&disk);
            assert_way(&store.stats(), RecoveryWay::Scan, ImageFault::MovesMissing);
            assert_eq!(content(&store, keys), truth);
            store.close().unwrap();
            assert!(files(&disk, ".moves").is_empty());
            let store = open(&disk);
            assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
            assert_eq!(content(&store, keys), truth);
        };
        for position in (0..intact.len()).step_by(29) {
            let mut bytes = intact.clone();
            bytes[position] ^= 1 << (position % 8);
            check(Some(&bytes));
        }
        for length in (0..intact.len()).step_by(131) {
            check(Some(&intact[..length]));
        }
        check(None);
    }
}

#[test]
fn a_list_left_by_a_merge_that_was_never_completed_is_passed_over() {
    let keys = 1000;
    let disk = closed(keys);
    let store = open(&disk);
    // The list is written, and the output does not get its name.
    disk.fail_next(
        Operation::Rename,
        libc::ENOSPC,
        Repeat::Once,
        Effect::Before,
    );
    disk.fail_next(Operation::Remove, libc::EIO, Repeat::Always, Effect::Before);
    assert!(store.compact(|_| true).is_err());
    let disk = killed(&disk);
    assert_eq!(files(&disk, ".moves").len(), 1);
    let store = open(&disk);
    assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
    assert_eq!(store.stats().merges_followed, 0);
    // The next output has the same id.
    let truth = content(&store, keys);
    merge(&store, 1);
    let store = open(&killed(&disk));
    assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
    assert_eq!(store.stats().merges_followed, 1);
    assert_eq!(content(&store, keys), truth);
}

#[test]
fn a_merge_that_cannot_write_its_list_is_no_worse_for_it() {
    let keys = 1000;
    let is_of_list = |path: &Path| path.extension().is_some_and(|it| it == "moves");
    let calls = {
        let disk = closed(keys);
        let store = open(&disk);
        disk.start_trace();
        merge(&store, 1);
        disk.take_trace()
    };
    let calls = calls.iter().enumerate();
    let of_list: Vec<_> = calls.filter(|(_, call)| is_of_list(&call.path)).collect();
    // Creating, writing and syncing.
    assert!(of_list.len() >= 3);
    for (position, call) in of_list {
        let disk = closed(keys);
        let store = open(&disk);
        let truth = content(&store, keys);
        let (store, disk) = {
            drop(store);
            (open(&disk), disk)
        };
        let index = disk.calls() + position as u64;
        disk.fail_call(index, libc::EIO, Repeat::Once, Effect::Before);
        merge(&store, 1);
        assert_eq!(store.stats().compactions, 1, "{call:?}");
        assert!(store.failure().is_none());
        assert_eq!(files(&disk, ".moves").len(), 0, "{call:?}");
        let killed = open(&killed(&disk));
        assert_way(&killed.stats(), RecoveryWay::Scan, ImageFault::MovesMissing);
        assert_eq!(content(&killed, keys), truth);
        store.put(&key(1), b"goes on").unwrap();
        store.close().unwrap();
        let store = open(&disk);
        assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
    }
}

#[test]
fn lists_of_moves_go_with_the_next_image() {
    let (disk, truth) = merged_and_killed(800);
    assert_eq!(files(&disk, ".moves").len(), 2);
    let store = open(&disk);
    store.compact(|_| true).unwrap();
    assert!(store.stats().images_written > 0);
    assert!(files(&disk, ".moves").is_empty());
    let store = open(&killed(&disk));
    assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
    assert_eq!(store.stats().merges_followed, 0);
    assert_eq!(content(&store, 800), truth);
}

#[test]
fn a_damaged_shard_is_rebuilt_from_the_log_also_after_merges() {
    let keys = 1000;
    let (disk, truth) = merged_and_killed(keys);
    let image = files(&disk, ".img").pop().unwrap();
    let mut bytes = disk.read_file(&image).unwrap();
    // The first byte behind the header: of a shard.
    bytes[64] ^= 1;
    disk.overwrite_file(&image, &bytes).unwrap();
    let store = open(&killed(&disk));
    assert_way(&store.stats(), RecoveryWay::Image, ImageFault::None);
    assert_eq!(content(&store, keys), truth);
    assert_eq!(store.stats().shards_rebuilt, 1);
    let scanned = open(&without_images(&disk));
    assert_eq!(figures(&store), figures(&scanned));
}

#[test]
fn a_reader_opens_from_the_image_after_merges_and_follows_the_writer() {
    let keys = 1000;
    let disk = closed(keys);
    let writer = open(&disk);
    merge(&writer, 2);
    let read_only = Options {
        mode: OpenMode::ReadOnly,
        ..options()
    };
    let reader = open_with(&disk, &read_only);
    assert_way(&reader.stats(), RecoveryWay::Image, ImageFault::None);
    assert_eq!(reader.stats().merges_followed, 2);
    assert_eq!(content(&reader, keys), content(&writer, keys));
    for round in 0..4_u8 {
        for number in 0..200 {
            writer.put(&key(number), &[100 + round; 30]).unwrap();
            writer.delete(&key(300 + 7 * number)).unwrap();
        }
        if round % 2 == 1 {
            merge(&writer, 3);
        }
        reader.refresh().unwrap();
        assert_eq!(content(&reader, keys), content(&writer, keys));
        assert_eq!(reader.count(), writer.count());
    }
}

#[test]
fn verifying_finds_nothing_wrong_with_an_image_after_merges() {
    let (disk, truth) = merged_and_killed(1500);
    let mut listener = |finding: &Finding| panic!("{finding:?}");
    let report = verify_on(&disk, Path::new(STORE), &mut listener).unwrap();
    assert_eq!(report.keys, truth.len() as u64);
}
