//! Iteration: what it meets, beside writers, and how it ends.
#![allow(clippy::disallowed_methods)] // a test may look at what is on the disk

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use freyja::ErrorKind;
use freyja::store::{Batch, Iter, IterOptions, KeyStorage, Options, ReadMode, Store, SyncMode};
use freyja::vfs::simulated::{Crash, SimulatedDisk};

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

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// All that is left in `iter`, which must meet no key twice.
fn rest(iter: &mut Iter) -> Pairs {
    let mut pairs = Pairs::new();
    while let Some((key, value)) = iter
        .next_with(|key, value| (key.to_vec(), value.to_vec()))
        .unwrap()
    {
        assert!(!pairs.contains_key(&key), "met twice: {key:?}");
        pairs.insert(key, value);
    }
    assert!(
        iter.next_with(|_, _| ()).unwrap().is_none(),
        "the end is final"
    );
    pairs
}

fn all(store: &Store, options: &IterOptions) -> Pairs {
    rest(&mut store.iter(options.clone()).unwrap())
}

/// The least memory there is: a shard at a time.
fn little_memory() -> IterOptions {
    IterOptions {
        memory: 1,
        ..IterOptions::default()
    }
}

fn keys_only() -> IterOptions {
    IterOptions {
        keys_only: true,
        ..IterOptions::default()
    }
}

fn with_prefix(prefix: &[u8]) -> IterOptions {
    IterOptions {
        prefix: prefix.to_vec(),
        ..IterOptions::default()
    }
}

fn key(number: u32) -> Vec<u8> {
    let mut key = format!("key {number:06}").into_bytes();
    if number.is_multiple_of(1000) {
        key.resize(5000, b'.');
    }
    key
}

/// A store that has seen puts of all sizes, overwrites and deletes, and what is in it.
fn filled(store: &Store, count: u32) -> Pairs {
    let mut pairs = Pairs::new();
    for number in 0..count {
        let value = vec![number as u8; (number % 200) as usize];
        store.put(&key(number), &value).unwrap();
        pairs.insert(key(number), value);
    }
    store.put(b"", b"of the empty key").unwrap();
    pairs.insert(Vec::new(), b"of the empty key".to_vec());
    for number in (0..count).step_by(7) {
        store.delete(&key(number)).unwrap();
        pairs.remove(&key(number));
    }
    for number in (3..count).step_by(5) {
        let value = vec![1; (number % 3000) as usize];
        store.put(&key(number), &value).unwrap();
        pairs.insert(key(number), value);
    }
    pairs
}

#[test]
fn an_iterator_meets_every_pair_once_however_the_store_is_read_and_opened() {
    for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            read_mode,
            segment_size: 1 << 20,
            ..options()
        };
        let store = Store::open(directory.path(), &options).unwrap();
        assert!(all(&store, &IterOptions::default()).is_empty());
        let pairs = filled(&store, 60_000);
        assert_eq!(all(&store, &IterOptions::default()), pairs);
        store.close().unwrap();
        let without_image = Options {
            image_segments: 0,
            ..options.clone()
        };
        for options in [options, without_image] {
            for iter_options in [IterOptions::default(), little_memory()] {
                let store = Store::open(directory.path(), &options).unwrap();
                assert_eq!(all(&store, &iter_options), pairs);
            }
        }
    }
}

#[test]
fn keys_alone_are_all_the_keys_with_no_values() {
    for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            read_mode,
            ..options()
        };
        let store = Store::open(directory.path(), &options).unwrap();
        let pairs = filled(&store, 50_000);
        let expected: Pairs = pairs.into_keys().map(|key| (key, Vec::new())).collect();
        assert_eq!(all(&store, &keys_only()), expected);
        // From an image come no keys: some are in memory by now, some are not.
        store.close().unwrap();
        let options = Options {
            background_threads: 0,
            ..options
        };
        let store = Store::open(directory.path(), &options).unwrap();
        for number in (3..9000).step_by(5) {
            store.put(&key(number), b"again").unwrap();
        }
        assert_eq!(all(&store, &keys_only()), expected);
    }
}

#[test]
fn a_prefix_leaves_what_begins_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options()).unwrap();
    let pairs = filled(&store, 20_000);
    for prefix in [
        &b""[..],
        b"key 0123",
        b"key 012345",
        b"key 012345x",
        b"key 000",
        b"x",
    ] {
        let begins = |key: &&Vec<u8>| key.starts_with(prefix);
        let expected: Pairs = pairs
            .iter()
            .filter(|(key, _)| begins(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(all(&store, &with_prefix(prefix)), expected);
        let keys = IterOptions {
            keys_only: true,
            ..with_prefix(prefix)
        };
        let keys: Vec<_> = all(&store, &keys).into_keys().collect();
        assert_eq!(keys, expected.into_keys().collect::<Vec<_>>());
    }
}

#[test]
fn pairs_come_in_the_order_of_the_disk_within_a_pass() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options()).unwrap();
    filled(&store, 30_000);
    let mut iter = store.iter(IterOptions::default()).unwrap();
    let mut last = (0, 0);
    while let Some(key) = iter.next_with(|key, _| key.to_vec()).unwrap() {
        let place = store.locate(&key).unwrap().unwrap();
        // Within a page it does not matter.
        let place = (place.segment_id, place.offset / 4096);
        assert!(place >= last, "{place:?} after {last:?}");
        last = place;
    }
}

#[test]
fn a_pair_that_has_expired_is_not_met_though_its_key_is_in_memory() {
    let disk = SimulatedDisk::new(1);
    disk.set_wall_clock_ms(1000);
    let options = Options {
        background_threads: 0,
        ..options()
    };
    let store = Store::open_on(Arc::new(disk.clone()), Path::new("/s"), &options).unwrap();
    store.put(b"plain", b"1").unwrap();
    store.put_expiring(b"soon", b"2", 1001).unwrap();
    store.put_expiring(b"later", b"3", 2000).unwrap();
    let met = |options: &IterOptions| all(&store, options).into_keys().collect::<Vec<_>>();
    let [all_three, two] = [
        &[&b"later"[..], b"plain", b"soon"][..],
        &[b"later", b"plain"],
    ];
    for iter_options in [IterOptions::default(), keys_only()] {
        disk.set_wall_clock_ms(1000);
        if store.get(b"soon").unwrap().is_some() {
            assert_eq!(met(&iter_options), all_three);
        }
        disk.set_wall_clock_ms(1001);
        assert_eq!(met(&iter_options), two);
    }
}

#[test]
fn keys_in_memory_come_without_a_look_at_the_disk_and_keys_on_disk_without_their_values() {
    let disk = SimulatedDisk::new(1);
    let options = Options {
        background_threads: 0,
        read_mode: ReadMode::Pread,
        ..options()
    };
    let store = Store::open_on(Arc::new(disk.clone()), Path::new("/s"), &options).unwrap();
    for number in 0..100_u8 {
        store.put(&[number], &vec![7; 20_000]).unwrap();
    }
    disk.start_trace();
    assert_eq!(all(&store, &keys_only()).len(), 100);
    let calls = disk.take_trace().len();
    match key_storage() {
        KeyStorage::InMemory => assert_eq!(calls, 0),
        KeyStorage::OnDisk => assert_eq!(calls, 100, "one short read a key"),
    }
}

#[test]
fn what_was_collected_stays_readable_when_it_is_overwritten_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        segment_size: 1 << 16,
        ..options()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    let pairs = filled(&store, 5000);
    let mut iter = store.iter(IterOptions::default()).unwrap();
    let first = iter
        .next_with(|key, value| (key.to_vec(), value.to_vec()))
        .unwrap();
    let (first_key, first_value) = first.unwrap();
    for number in 0..5000 {
        match number % 2 {
            0 => store.put(&key(number), b"new").unwrap(),
            _ => drop(store.delete(&key(number)).unwrap()),
        }
    }
    let mut met = rest(&mut iter);
    met.insert(first_key, first_value);
    assert_eq!(met, pairs, "one pass saw it all before");
}

#[test]
fn an_iterator_goes_on_over_segments_that_compaction_removes() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        segment_size: 1 << 16,
        background_threads: 0,
        ..options()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    for iter_options in [IterOptions::default(), little_memory(), keys_only()] {
        let pairs = filled(&store, 20_000);
        let mut iter = store.iter(iter_options.clone()).unwrap();
        let mut met = BTreeSet::new();
        let before = store.stats();
        while let Some(key) = iter
            .next_with(|key, value| {
                assert!(iter_options.keys_only || pairs[key] == value);
                key.to_vec()
            })
            .unwrap()
        {
            assert!(met.insert(key));
            if met.len() % 4000 == 1 {
                // The same values again, so that segments die, and each must be met with this value.
                for (key, value) in pairs.iter().take(5000) {
                    store.put(key, value).unwrap();
                }
                store.compact(|_| true).unwrap();
            }
        }
        assert!(store.stats().compactions > before.compactions);
        assert_eq!(met, pairs.into_keys().collect());
    }
}

#[test]
fn keys_that_stay_are_met_once_with_a_value_they_had_while_others_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options()).unwrap();
    const STAYING: u32 = 3000;
    let value = |key: u32, version: u64| {
        let mut value = [&key.to_le_bytes()[..], &version.to_le_bytes()].concat();
        value.resize(12 + (version % 90) as usize, 5);
        value
    };
    for number in 0..STAYING {
        store.put(&key(number), &value(number, 0)).unwrap();
    }
    // What was put last before, and what is put first after, a moment.
    let begun: Vec<AtomicU64> = (0..STAYING).map(|_| AtomicU64::new(0)).collect();
    let done: Vec<AtomicU64> = (0..STAYING).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // New versions of keys that stay, some in batches.
        scope.spawn(|| {
            for version in 1.. {
                for number in 0..STAYING {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    begun[number as usize].store(version, Ordering::SeqCst);
                    let (key, value) = (key(number), value(number, version));
                    if number % 10 == 0 {
                        let mut batch = Batch::new();
                        batch.put(&key, &value).unwrap();
                        batch.put(b"in every batch", b"").unwrap();
                        store.write(&batch).unwrap();
                    } else {
                        store.put(&key, &value).unwrap();
                    }
                    done[number as usize].store(version, Ordering::SeqCst);
                }
            }
        });
        // Others come, so that shards grow and split, and go.
        scope.spawn(|| {
            let mut count = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                store
                    .put(format!("other {count}").as_bytes(), b"x")
                    .unwrap();
                if count.is_multiple_of(3) {
                    let old = format!("other {}", count / 2);
                    store.delete(old.as_bytes()).unwrap();
                }
                count += 1;
            }
        });
        let stopping = Stop(&stop);
        let begin = std::time::Instant::now();
        let mut scans = 0;
        while scans < 12 || begin.elapsed().as_secs() < 3 {
            let before: Vec<u64> = done.iter().map(|it| it.load(Ordering::SeqCst)).collect();
            let options = match scans % 3 {
                0 => little_memory(),
                1 => IterOptions::default(),
                _ => keys_only(),
            };
            let mut iter = store.iter(options.clone()).unwrap();
            let mut met: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
            while let Some((key, value)) = iter
                .next_with(|key, value| (key.to_vec(), value.to_vec()))
                .unwrap()
            {
                let again = met.insert(key.clone(), value);
                assert!(
                    again.is_none(),
                    "met twice: {}",
                    String::from_utf8_lossy(&key)
                );
            }
            for number in 0..STAYING {
                let found = met.get(&key(number)).expect("a key that stays is met");
                if !options.keys_only {
                    let version = u64::from_le_bytes(found[4..12].try_into().unwrap());
                    assert_eq!(*found, value(number, version));
                    let after = begun[number as usize].load(Ordering::SeqCst);
                    let before = before[number as usize];
                    assert!(
                        (before..=after).contains(&version),
                        "{before} {version} {after}"
                    );
                }
            }
            scans += 1;
        }
        drop(stopping);
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn shards_that_split_between_two_passes_lose_and_repeat_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options()).unwrap();
    let count = 50_000;
    let staying: BTreeSet<_> = (0..count).map(key).collect();
    for key in &staying {
        store.put(key, b"stays").unwrap();
    }
    let mut iter = store.iter(little_memory()).unwrap();
    let mut met = BTreeSet::new();
    let mut added = 0;
    while let Some(key) = iter.next_with(|key, _| key.to_vec()).unwrap() {
        assert!(met.insert(key));
        // Before the first pass is over the store has become many times as large.
        if added < 400_000 {
            for _ in 0..20 {
                store.put(format!("new {added}").as_bytes(), b"").unwrap();
                added += 1;
            }
        }
    }
    assert!(staying.is_subset(&met));
}

#[test]
fn a_damaged_record_is_told_once_and_the_others_are_met() {
    for damaged in [0, 20, 21, 49] {
        // Long ones are verified some at a time.
        for length in [
            |_| 40,
            |_| 4000,
            |number| 40 + usize::from(number % 3) * 1500,
        ] {
            tells_of_damage_once(damaged, length);
        }
    }
}

/// Of fifty pairs with values of so many bytes each, that of key `damaged` is damaged.
fn tells_of_damage_once(damaged: u8, length: fn(u8) -> usize) {
    let disk = SimulatedDisk::new(1);
    let options = Options {
        background_threads: 0,
        image_segments: 1,
        ..options()
    };
    let open = |disk: &SimulatedDisk| {
        Store::open_on(Arc::new(disk.clone()), Path::new("/s"), &options).unwrap()
    };
    let store = open(&disk);
    for number in 0..50_u8 {
        store.put(&[number], &vec![number; length(number)]).unwrap();
    }
    let place = store.locate(&[damaged]).unwrap().unwrap();
    store.close().unwrap();
    let path = Path::new("/s").join(freyja::log::segment_name::file_name(place.segment_id));
    let disk = disk.crash(Crash::ProcessKill, 0);
    let mut bytes = disk.read_file(&path).unwrap();
    bytes[place.offset as usize + 30] ^= 1;
    disk.overwrite_file(&path, &bytes).unwrap();
    let store = open(&disk);

    let mut iter = store.iter(IterOptions::default()).unwrap();
    let (mut met, mut errors) = (BTreeSet::new(), 0);
    loop {
        match iter.next_with(|key, _| key.to_vec()) {
            Ok(Some(key)) => assert!(met.insert(key)),
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert_eq!(error.offset(), place.offset);
                errors += 1;
            }
        }
    }
    assert_eq!((met.len(), errors), (49, 1));
    assert!(!met.contains(&vec![damaged]));
    assert_eq!(store.failure().unwrap().kind(), ErrorKind::Corrupt);

    // By many at a time, the error comes by itself.
    let mut iter = store.iter(IterOptions::default()).unwrap();
    let (mut taken, mut errors) = (0, 0);
    loop {
        match iter.next_many(|_, _| true) {
            Ok(0) => break,
            Ok(count) => taken += count,
            Err(_) => errors += 1,
        }
    }
    assert_eq!((taken, errors), (49, 1));
}

#[test]
fn a_pair_that_is_refused_comes_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options()).unwrap();
    let pairs = filled(&store, 3000);
    let mut iter = store.iter(IterOptions::default()).unwrap();
    assert_eq!(iter.next_many(|_, _| false).unwrap(), 0);
    let mut met = Pairs::new();
    loop {
        let mut room = 10;
        let taken = iter.next_many(|key, value| {
            if room == 0 {
                return false;
            }
            room -= 1;
            assert!(met.insert(key.to_vec(), value.to_vec()).is_none());
            true
        });
        if taken.unwrap() == 0 {
            break;
        }
    }
    assert_eq!(met, pairs);
}

#[test]
fn after_close_an_iterator_answers_closed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options()).unwrap();
    filled(&store, 100);
    let mut iter = store.iter(IterOptions::default()).unwrap();
    iter.next_with(|_, _| ()).unwrap();
    store.close().unwrap();
    drop(store);
    let error = iter.next_with(|_, _| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(
        iter.next_many(|_, _| true).unwrap_err().kind(),
        ErrorKind::Closed
    );
    let reopened = Store::open(directory.path(), &options()).unwrap();
    drop(iter);
    assert!(!all(&reopened, &IterOptions::default()).is_empty());
}
