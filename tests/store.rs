//! What a store promises, on the real file system.
#![allow(clippy::disallowed_methods)] // a test may look at what is on the disk

use freyja::store::{KeyStorage, OpenMode, Options, ReadMode, RecoveryWay, Store, SyncMode};
use freyja::{ErrorKind, Result};
use std::path::Path;

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
        ..Options::default()
    }
}

fn with_mode(mode: OpenMode) -> Options {
    Options { mode, ..options() }
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error.kind(),
    }
}

fn open(path: &Path) -> Store {
    Store::open(path, &options()).unwrap()
}

#[test]
fn what_was_put_is_found_at_once_and_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.put(b"a", b"1").unwrap();
    store.put(b"b", b"2").unwrap();
    store.put(b"a", b"3").unwrap();
    assert_eq!(store.get(b"a").unwrap().unwrap(), b"3");
    assert!(store.delete(b"b").unwrap());
    assert!(!store.delete(b"b").unwrap());
    assert_eq!(store.get(b"b").unwrap(), None);
    assert_eq!(store.count(), 1);
    store.close().unwrap();

    let store = open(directory.path());
    assert_eq!(store.get(b"a").unwrap().unwrap(), b"3");
    assert!(store.exists(b"a").unwrap());
    assert!(!store.exists(b"b").unwrap());
    assert_eq!(store.count(), 1);
    let report = store.recovery_report();
    assert_eq!((report.way, report.records), (RecoveryWay::Image, 0));
}

#[test]
fn deleting_a_missing_key_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.put(b"a", b"1").unwrap();
    let before = store.stats();
    assert!(!store.delete(b"missing").unwrap());
    assert_eq!(store.stats().last_sequence, before.last_sequence);
    assert_eq!(store.stats().dead_bytes, 0);
}

#[test]
fn empty_keys_and_values_and_the_largest_keys_round_trip() {
    for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            read_mode,
            ..options()
        };
        let store = Store::open(directory.path(), &options).unwrap();
        let largest = vec![0xA5; freyja::log::record::MAX_KEY_LEN];
        let value = vec![7; 3 << 20];
        store.put(b"", b"the empty key").unwrap();
        store.put(b"empty value", b"").unwrap();
        store.put(&largest, &value).unwrap();
        let check = |store: &Store| {
            assert_eq!(store.get(b"").unwrap().unwrap(), b"the empty key");
            assert_eq!(store.get(b"empty value").unwrap().unwrap(), b"");
            assert!(store.exists(b"empty value").unwrap());
            assert_eq!(store.get(&largest).unwrap().unwrap(), value);
            assert_eq!(store.count(), 3);
        };
        check(&store);
        store.close().unwrap();
        check(&Store::open(directory.path(), &options).unwrap());
    }
}

#[test]
fn what_exceeds_a_limit_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let key = vec![0; freyja::log::record::MAX_KEY_LEN + 1];
    assert_eq!(kind(store.put(&key, b"")), ErrorKind::TooLarge);
    assert_eq!(kind(store.get(&key)), ErrorKind::TooLarge);
    assert_eq!(kind(store.delete(&key)), ErrorKind::TooLarge);
    assert_eq!(kind(store.exists(&key)), ErrorKind::TooLarge);
    assert_eq!(store.count(), 0);
    store.put(b"a", b"still works").unwrap();
}

#[test]
fn a_value_larger_than_a_segment_gets_a_segment_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        segment_size: 4096,
        ..options()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    let large: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    store.put(b"small", b"before").unwrap();
    store.put(b"large", &large).unwrap();
    store.put(b"other", b"after").unwrap();
    let check = |store: &Store| {
        assert_eq!(store.get(b"large").unwrap().unwrap(), large);
        assert_eq!(store.get(b"small").unwrap().unwrap(), b"before");
        assert_eq!(store.get(b"other").unwrap().unwrap(), b"after");
    };
    check(&store);
    assert!(store.stats().segments >= 3);
    store.close().unwrap();
    check(&Store::open(directory.path(), &options).unwrap());
}

#[test]
fn open_modes_demand_or_forbid_an_existing_store() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("store");
    for mode in [OpenMode::MustExist, OpenMode::ReadOnly] {
        assert_eq!(
            kind(Store::open(&path, &with_mode(mode))),
            ErrorKind::NotFound
        );
        assert!(!path.exists(), "a refused open leaves nothing behind");
    }
    Store::open(&path, &with_mode(OpenMode::MustBeNew))
        .unwrap()
        .close()
        .unwrap();
    assert_eq!(
        kind(Store::open(&path, &with_mode(OpenMode::MustBeNew))),
        ErrorKind::Exists
    );
    let store = Store::open(&path, &with_mode(OpenMode::MustExist)).unwrap();
    store.put(b"a", b"1").unwrap();
    store.close().unwrap();

    let store = Store::open(&path, &with_mode(OpenMode::ReadOnly)).unwrap();
    assert_eq!(store.get(b"a").unwrap().unwrap(), b"1");
    assert_eq!(kind(store.put(b"a", b"2")), ErrorKind::ReadOnly);
    assert_eq!(kind(store.delete(b"a")), ErrorKind::ReadOnly);
    store.sync().unwrap();
    store.close().unwrap();
}

#[test]
fn a_second_writer_is_refused_and_readers_are_welcome() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.put(b"a", b"1").unwrap();
    assert_eq!(
        kind(Store::open(directory.path(), &options())),
        ErrorKind::Busy
    );
    let first = Store::open(directory.path(), &with_mode(OpenMode::ReadOnly)).unwrap();
    store.close().unwrap();
    let second = Store::open(directory.path(), &with_mode(OpenMode::ReadOnly)).unwrap();
    let store = open(directory.path());
    assert_eq!(
        kind(Store::open(directory.path(), &options())),
        ErrorKind::Busy
    );
    for reader in [first, second] {
        assert_eq!(reader.get(b"a").unwrap(), store.get(b"a").unwrap());
    }
}

#[test]
fn a_closed_store_answers_closed_and_can_be_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.put(b"a", b"1").unwrap();
    store.close().unwrap();
    assert_eq!(kind(store.put(b"a", b"2")), ErrorKind::Closed);
    assert_eq!(kind(store.get(b"a")), ErrorKind::Closed);
    assert_eq!(kind(store.exists(b"a")), ErrorKind::Closed);
    assert_eq!(kind(store.delete(b"a")), ErrorKind::Closed);
    assert_eq!(kind(store.sync()), ErrorKind::Closed);
    assert_eq!(kind(store.close()), ErrorKind::Closed);
    assert_eq!(open(directory.path()).get(b"a").unwrap().unwrap(), b"1");
}

#[test]
fn options_outside_their_ranges_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let cases: [(&str, Options); 5] = [
        (
            "segment_size",
            Options {
                segment_size: 4095,
                ..options()
            },
        ),
        (
            "segment_size",
            Options {
                segment_size: (1 << 30) + 1,
                ..options()
            },
        ),
        (
            "slab_size",
            Options {
                slab_size: 5000,
                ..options()
            },
        ),
        (
            "background_threads",
            Options {
                background_threads: 2,
                ..options()
            },
        ),
        (
            "sync_interval_ms",
            Options {
                sync_mode: SyncMode::Interval,
                sync_interval_ms: 0,
                ..options()
            },
        ),
    ];
    for (name, options) in cases {
        let error = Store::open(directory.path(), &options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(name), "{error}");
    }
}

#[test]
fn a_key_tells_where_its_record_lies_and_its_version_grows() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.put(b"a", b"1").unwrap();
    let first = store.locate(b"a").unwrap().unwrap();
    assert_eq!((first.segment_id, first.offset, first.length), (1, 128, 16));
    store.put(b"a", b"2").unwrap();
    let second = store.locate(b"a").unwrap().unwrap();
    assert_eq!(second.offset, 144);
    assert!(second.sequence > first.sequence);
    assert_eq!(store.locate(b"b").unwrap(), None);
    assert_eq!(store.stats().dead_bytes, first.length);
}

#[test]
fn an_opened_and_closed_store_without_writes_makes_no_files_but_its_lock() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        open(directory.path()).close().unwrap();
    }
    let names: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["LOCK"]);
}

#[test]
fn many_segments_are_sealed_by_the_background_thread_or_by_writers() {
    for background_threads in [0, 1] {
        for sync_mode in [SyncMode::None, SyncMode::Interval, SyncMode::Always] {
            let directory = tempfile::tempdir().unwrap();
            let options = Options {
                segment_size: 4096,
                background_threads,
                sync_mode,
                sync_interval_ms: 1,
                ..options()
            };
            let store = Store::open(directory.path(), &options).unwrap();
            for i in 0..500u32 {
                store.put(&i.to_le_bytes(), &[i as u8; 100]).unwrap();
            }
            store.close().unwrap();
            let store = Store::open(directory.path(), &with_mode(OpenMode::ReadOnly)).unwrap();
            assert_eq!(store.count(), 500);
            assert!(store.stats().segments > 10);
            for i in 0..500u32 {
                assert_eq!(
                    store.get(&i.to_le_bytes()).unwrap().unwrap(),
                    [i as u8; 100]
                );
            }
        }
    }
}

#[test]
fn threads_read_and_write_one_store_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        segment_size: 64 << 10,
        ..options()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4u32 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..2000u32 {
                    let key = [writer.to_le_bytes(), (i % 500).to_le_bytes()].concat();
                    store.put(&key, &i.to_le_bytes()).unwrap();
                    let read = store.get(&key).unwrap().unwrap();
                    assert_eq!(read, i.to_le_bytes(), "a writer reads its own write");
                }
            });
        }
        for _ in 0..2 {
            let store = &store;
            scope.spawn(move || {
                let mut last = [0u32; 500];
                for i in 0..20_000u32 {
                    let slot = i % 500;
                    let key = [1u32.to_le_bytes(), slot.to_le_bytes()].concat();
                    if let Some(value) = store.get(&key).unwrap() {
                        let value = u32::from_le_bytes(value.try_into().unwrap());
                        assert_eq!(value % 500, slot, "another key's value");
                        assert!(value >= last[slot as usize], "an older version came back");
                        last[slot as usize] = value;
                    }
                }
            });
        }
    });
    store.close().unwrap();
    let store = Store::open(directory.path(), &options).unwrap();
    assert_eq!(store.count(), 2000);
    for writer in 0..4u32 {
        for i in 0..500u32 {
            let key = [writer.to_le_bytes(), i.to_le_bytes()].concat();
            assert_eq!(store.get(&key).unwrap().unwrap(), (1500 + i).to_le_bytes());
        }
    }
}

#[test]
fn concurrent_puts_of_one_key_leave_the_one_with_the_highest_version() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    std::thread::scope(|scope| {
        for writer in 0..4u32 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..3000u32 {
                    store
                        .put(b"shared", &[writer.to_le_bytes(), i.to_le_bytes()].concat())
                        .unwrap();
                }
            });
        }
    });
    let before = store.get(b"shared").unwrap().unwrap();
    assert_eq!(store.locate(b"shared").unwrap().unwrap().sequence, 12_000);
    store.close().unwrap();
    assert_eq!(
        open(directory.path()).get(b"shared").unwrap().unwrap(),
        before
    );
}
