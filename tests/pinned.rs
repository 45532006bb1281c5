//! Pinned values stay readable and as they were, whatever becomes of their keys, segments and stores.
#![allow(clippy::unwrap_used)] // a test that meets an error has failed

use std::path::Path;
use std::sync::Arc;

use freyja::store::{Compaction, Options, PinnedValue, ReadMode, Store, SyncMode};
use freyja::vfs::{SimulatedDisk, Vfs};

const STORE: &str = "/store";
const KEYS: u32 = 300;

fn options(read_mode: ReadMode) -> Options {
    Options {
        sync_mode: SyncMode::None,
        segment_size: 4096,
        background_threads: 0,
        read_mode,
        compaction: Compaction::Manual,
        ..Options::default()
    }
}

fn put_all(store: &Store, round: u8) {
    for number in 0..KEYS {
        let value = vec![round; number as usize % 90];
        store.put(&number.to_le_bytes(), &value).unwrap();
    }
}

fn segment_files(disk: &SimulatedDisk) -> Vec<String> {
    let entries = disk.list(Path::new(STORE)).unwrap();
    let names = entries
        .iter()
        .map(|it| it.name.to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".seg")).collect()
}

fn pins_outlive_segments_and_store(read_mode: ReadMode) {
    let disk = SimulatedDisk::new(1);
    let open = || {
        let vfs = Arc::new(disk.clone());
        Store::open_on(vfs, Path::new(STORE), &options(read_mode)).unwrap()
    };
    let store = open();
    put_all(&store, 1);
    let before = segment_files(&disk);
    // Of sealed segments and of the one that is being written.
    let pins: Vec<PinnedValue> = (0..KEYS)
        .map(|number| store.get_pinned(&number.to_le_bytes()).unwrap().unwrap())
        .collect();
    let addresses: Vec<_> = pins.iter().map(|pin| pin.bytes().as_ptr()).collect();
    let as_they_were = || {
        for ((number, pin), address) in pins.iter().enumerate().zip(&addresses) {
            assert_eq!(pin.bytes(), vec![1; number % 90]);
            assert_eq!(pin.bytes().as_ptr(), *address);
        }
    };
    put_all(&store, 2);
    for number in (0..KEYS).step_by(3) {
        assert!(store.delete(&number.to_le_bytes()).unwrap());
    }
    as_they_were();
    store.compact(|_| true).unwrap();
    let after = segment_files(&disk);
    let gone = before.iter().filter(|name| !after.contains(name)).count();
    assert!(gone > 2, "{before:?} {after:?}");
    as_they_were();
    store.close().unwrap();
    assert_eq!(
        store.get_pinned(b"key").err().unwrap().kind(),
        freyja::ErrorKind::Closed
    );
    drop(store);
    as_they_were();
    let store = open();
    put_all(&store, 3);
    store.compact(|_| true).unwrap();
    as_they_were();
    assert!(store.get_pinned(b"no such key").unwrap().is_none());
    store.close().unwrap();
}

#[test]
fn values_pinned_in_mappings_outlive_their_segments_and_their_store() {
    pins_outlive_segments_and_store(ReadMode::Mapped);
}

#[test]
fn values_pinned_without_mappings_outlive_their_segments_and_their_store() {
    pins_outlive_segments_and_store(ReadMode::Pread);
}

#[test]
fn a_pinned_value_may_be_read_and_dropped_by_other_threads() {
    fn assert_for_all_threads<T: Send + Sync>() {}
    assert_for_all_threads::<PinnedValue>();
    let disk = SimulatedDisk::new(1);
    for (read_mode, path) in [(ReadMode::Mapped, "/mapped"), (ReadMode::Pread, "/pread")] {
        let vfs = Arc::new(disk.clone());
        let store = Store::open_on(vfs, Path::new(path), &options(read_mode)).unwrap();
        store.put(b"key", b"value").unwrap();
        let pin = store.get_pinned(b"key").unwrap().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| assert_eq!(pin.bytes(), b"value"));
            }
        });
        let reader = std::thread::spawn(move || pin.bytes().to_vec());
        assert_eq!(reader.join().unwrap(), b"value");
    }
}

#[test]
fn an_expired_value_is_not_pinned() {
    let disk = SimulatedDisk::new(1);
    let vfs = Arc::new(disk.clone());
    let store = Store::open_on(vfs, Path::new(STORE), &options(ReadMode::Mapped)).unwrap();
    store.put_expiring(b"key", b"value", 1).unwrap();
    assert!(store.get_pinned(b"key").unwrap().is_none());
}
