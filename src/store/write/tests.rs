use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::index::KeyStorage;
use crate::store::Options;
use crate::vfs::simulated::{Crash, Effect, Repeat, SimulatedDisk};

const STORE: &str = "/store";
const STORAGES: [KeyStorage; 2] = [KeyStorage::InMemory, KeyStorage::OnDisk];

fn open(disk: &SimulatedDisk, key_storage: KeyStorage) -> Store {
    let options = Options {
        key_storage,
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
