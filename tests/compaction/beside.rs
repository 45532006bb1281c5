//! Compaction beside readers and writers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use freyja::store::{KeyStorage, Options, ReadMode, Store, SyncMode};

use crate::key;
use crate::random::Random;

const KEYS: u64 = 2000;
const WRITERS: u64 = 2;

/// The value of a key after so many puts.
fn value(number: u64, version: u64) -> Vec<u8> {
    let mut value = vec![number as u8; 20 + (number % 200) as usize];
    value[..8].copy_from_slice(&version.to_le_bytes());
    value
}

fn version_of(number: u64, found: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&found[..8]);
    let version = u64::from_le_bytes(bytes);
    assert_eq!(found, value(number, version));
    version
}

fn readers_never_miss_a_key(key_storage: KeyStorage, read_mode: ReadMode) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        key_storage,
        read_mode,
        sync_mode: SyncMode::None,
        segment_size: 64 << 10,
        ..Options::default()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    let versions: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(1)).collect();
    for number in 0..KEYS {
        store.put(&key(number), &value(number, 1)).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, versions, stop) = (&store, &versions, &stop);
            scope.spawn(move || {
                let mut random = Random::new(writer);
                while !stop.load(Ordering::Relaxed) {
                    // Each key has one writer; some keys come and go.
                    let number = random.below(KEYS / WRITERS) * WRITERS + writer;
                    let version = versions[number as usize].load(Ordering::Relaxed) + 1;
                    store.put(&key(number), &value(number, version)).unwrap();
                    versions[number as usize].store(version, Ordering::Release);
                    let passing = format!("passing {writer} {}", random.below(100));
                    match random.below(2) {
                        0 => store.put(passing.as_bytes(), &[1; 50]).unwrap(),
                        _ => drop(store.delete(passing.as_bytes()).unwrap()),
                    }
                }
            });
        }
        for reader in 0..2 {
            let (store, versions, stop) = (&store, &versions, &stop);
            scope.spawn(move || {
                let mut random = Random::new(100 + reader);
                while !stop.load(Ordering::Relaxed) {
                    let number = random.below(KEYS);
                    let least = versions[number as usize].load(Ordering::Acquire);
                    assert!(store.exists(&key(number)).unwrap());
                    let found = store
                        .get(&key(number))
                        .unwrap()
                        .expect("it is always there");
                    assert!(version_of(number, &found) >= least);
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
            store.compact(|_| true).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(store.stats().compactions > 0);
    store.close().unwrap();
    drop(store);
    let without_images = Options {
        image_segments: 0,
        ..options
    };
    for options in [&options, &without_images] {
        let store = Store::open(directory.path(), options).unwrap();
        for number in 0..KEYS {
            let found = store.get(&key(number)).unwrap().unwrap();
            let version = versions[number as usize].load(Ordering::Relaxed);
            assert_eq!(version_of(number, &found), version);
        }
        assert!(store.failure().is_none());
        store.close().unwrap();
    }
}

#[test]
fn readers_never_miss_a_key_while_its_record_moves() {
    readers_never_miss_a_key(KeyStorage::InMemory, ReadMode::Mapped);
}

#[test]
fn nor_do_they_with_keys_on_disk_and_without_mappings() {
    readers_never_miss_a_key(KeyStorage::OnDisk, ReadMode::Pread);
}

#[test]
fn a_close_ends_a_compaction_that_is_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        sync_mode: SyncMode::None,
        segment_size: 256 << 10,
        compaction_bytes_per_second: 100_000,
        ..Options::default()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    for round in 0..4 {
        for number in 0..10_000 {
            store.put(&key(number), &[round; 100]).unwrap();
        }
    }
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let compaction = scope.spawn(|| store.compact(|_| true));
        std::thread::sleep(Duration::from_millis(300));
        store.close().unwrap();
        let ended = compaction.join().unwrap();
        assert_eq!(ended.unwrap_err().kind(), freyja::ErrorKind::Closed);
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
    let options = Options {
        compaction_bytes_per_second: 0,
        ..options
    };
    let store = Store::open(directory.path(), &options).unwrap();
    for number in 0..10_000 {
        assert_eq!(store.get(&key(number)).unwrap(), Some(vec![3; 100]));
    }
}
