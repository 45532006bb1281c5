use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::error::ErrorKind;
use crate::index::KeyStorage;
use crate::store::Options;
use crate::vfs::simulated::{Crash, Effect, Repeat, SimulatedDisk};

const STORE: &str = "/store";
const STORAGES: [KeyStorage; 2] = [KeyStorage::InMemory, KeyStorage::OnDisk];

fn open(disk: &SimulatedDisk, key_storage: KeyStorage) -> Store {
    open_within(disk, key_storage, 0)
}

fn open_within(disk: &SimulatedDisk, key_storage: KeyStorage, memory_budget: u64) -> Store {
    let options = Options {
        key_storage,
        memory_budget,
        image_segments: 0,
        sync_mode: SyncMode::None,
        background_threads: 0,
        ..Options::default()
    };
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), &options).unwrap()
}

/// A store whose log is so long that entries spend more bits on locations than on tags.
fn with_long_log(disk: &SimulatedDisk, key_storage: KeyStorage) -> Store {
    let store = open(disk, key_storage);
    store.put(b"long", &vec![0; 32 << 20]).unwrap();
    store
}

/// Keys of which each has the bucket and the tag of its partner, in any table of so few.
fn alike(store: &Store) -> Vec<[Vec<u8>; 2]> {
    const BITS: u32 = 34;
    let contents = store.shared.share_contents();
    let key = |number: u32| number.to_le_bytes().to_vec();
    let mut seen = HashMap::new();
    let mut pairs = Vec::new();
    for number in 0..1 << 22 {
        let leading = contents.index.hash(&key(number)) >> (u64::BITS - BITS);
        if let Some(partner) = seen.insert(leading, number) {
            pairs.push([key(partner), key(number)]);
            seen.remove(&leading);
        }
    }
    assert!(pairs.len() > 256, "five hundred are likely");
    pairs
}

#[test]
fn keys_of_one_tag_are_told_apart_although_a_put_writes_before_it_compares() {
    for key_storage in STORAGES {
        let disk = SimulatedDisk::new(1);
        let store = with_long_log(&disk, key_storage);
        let pairs = alike(&store);
        let mut model = HashMap::new();
        for which in [0, 1, 0, 1] {
            for pair in &pairs {
                let value = format!("{}", model.len() + 7 * which).into_bytes();
                store.put(&pair[which], &value).unwrap();
                model.insert(pair[which].clone(), value);
            }
        }
        let puts = 1 + 4 * pairs.len() as u64;
        let taken_back = store.stats().last_sequence - puts;
        assert!(taken_back > 0, "a table must grow for some of the new keys");
        assert!(taken_back < puts / 2, "but only for some");
        let totals = store.shared.share_contents().segments.totals();
        assert!(totals.tombstone_bytes > 0, "so that no open finds them");
        let check = |store: &Store| {
            assert_eq!(store.count(), 1 + model.len() as u64);
            for (key, value) in &model {
                assert_eq!(store.get(key).unwrap().as_ref(), Some(value));
            }
        };
        check(&store);
        let killed = disk.crash(Crash::ProcessKill, 0);
        let recovered = open(&killed, key_storage);
        check(&recovered);
        let dead = |store: &Store| (store.stats().dead_bytes, store.stats().keys);
        assert_eq!(dead(&recovered), dead(&store));
    }
}

#[test]
fn a_put_that_can_be_neither_known_nor_taken_back_stops_all_writing() {
    let disk = SimulatedDisk::new(1);
    let store = with_long_log(&disk, KeyStorage::InMemory);
    let pairs = alike(&store);
    for [first, _] in &pairs {
        store.put(first, b"first").unwrap();
    }
    let mut done = Vec::new();
    let refused = pairs.iter().find(|[_, second]| {
        // The tombstone is the second thing that such a put writes; others write one.
        disk.fail_call(disk.calls() + 1, libc::EIO, Repeat::Once, Effect::Before);
        let put = store.put(second, b"second");
        disk.clear_faults();
        match put {
            Ok(()) => done.push(second.clone()),
            Err(ref error) => assert_eq!(error.kind(), ErrorKind::Io, "{error}"),
        }
        put.is_err()
    });
    let [_, refused] = refused.expect("a table must grow for some of the new keys");
    assert_eq!(store.get(refused).unwrap(), None);
    assert!(store.put(b"another", b"").is_err());
    let recovered = open(&disk.crash(Crash::ProcessKill, 0), KeyStorage::InMemory);
    let unknown = recovered.get(refused).unwrap();
    assert!(unknown.is_none_or(|value| value == b"second"));
    for [first, _] in &pairs {
        assert_eq!(recovered.get(first).unwrap().unwrap(), b"first");
    }
    for second in &done {
        assert_eq!(recovered.get(second).unwrap().unwrap(), b"second");
    }
}

#[test]
fn a_key_that_is_taken_for_new_but_is_there_is_replaced() {
    for key_storage in STORAGES {
        let disk = SimulatedDisk::new(1);
        let store = open(&disk, key_storage);
        let mut model = HashMap::new();
        let mut put = |key: String, value: String| {
            store.put(key.as_bytes(), value.as_bytes()).unwrap();
            model.insert(key, value);
        };
        for round in 0..200 {
            // Enough new ones for the next to be taken for another.
            for number in 0..20 {
                put(format!("{round} {number}"), "new".into());
            }
            put(format!("{} {}", round / 2, round % 20), format!("{round}"));
        }
        let check = |store: &Store| {
            assert_eq!(store.count(), model.len() as u64);
            for (key, value) in &model {
                let found = store.get(key.as_bytes()).unwrap();
                assert_eq!(found.as_deref(), Some(value.as_bytes()), "{key}");
            }
        };
        check(&store);
        let recovered = open(&disk.crash(Crash::ProcessKill, 0), key_storage);
        check(&recovered);
        let dead = |store: &Store| (store.stats().dead_bytes, store.stats().keys);
        assert_eq!(dead(&recovered), dead(&store));
    }
}

#[test]
fn puts_of_new_keys_for_which_there_is_no_memory_leave_next_to_nothing_in_the_log() {
    let disk = SimulatedDisk::new(1);
    let store = open_within(&disk, KeyStorage::InMemory, 4 << 20);
    let key = |number: u32| format!("{number:016}").into_bytes();
    let put = |number| store.put(&key(number), b"value");
    let full = (0..1 << 22).find(|&number| put(number).is_err());
    let full = full.expect("4 MiB are not enough for as many keys");
    let before = store.stats().last_sequence;
    let stored: Vec<u32> = (full..full + 10_000)
        .filter(|&number| match put(number) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
                false
            }
        })
        .collect();
    assert!(stored.len() < 5_000, "the index was full");
    let written = store.stats().last_sequence - before;
    let taken_back = written - stored.len() as u64;
    // One is written and taken back at most after sixteen that were stored.
    let most = 2 * (stored.len() as u64 / 16 + 1);
    assert!(taken_back <= most, "{taken_back} of {written}");
    let keys = u64::from(full) + stored.len() as u64;
    assert_eq!(store.count(), keys);
    let recovered = open(&disk.crash(Crash::ProcessKill, 0), KeyStorage::InMemory);
    assert_eq!(recovered.count(), keys);
    for number in (0..full).chain(stored) {
        assert!(recovered.get(&key(number)).unwrap().is_some(), "{number}");
    }
}

#[test]
fn no_put_of_a_new_key_is_taken_back_while_the_index_grows() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk, KeyStorage::InMemory);
    const KEYS: u64 = 200_000;
    for number in 0..KEYS {
        store.put(&number.to_le_bytes(), b"value").unwrap();
    }
    assert_eq!(store.stats().last_sequence, KEYS);
    assert_eq!(store.stats().dead_bytes, 0);
}
