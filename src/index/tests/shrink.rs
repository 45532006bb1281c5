//! What is left of an index from which most keys were removed: shards that are small are merged.

use crate::memory::page_arena::PageArena;
use crate::memory::placed::Placed;
use std::sync::atomic::AtomicBool;

use super::memory::{Records, key, put, remove, settle, settle_until};
use super::*;
use crate::index::Change;
use crate::index::shape::Shape;
use crate::index::shard::Shard;
use crate::index::table::Table;

/// Enough for some sixteen shards.
pub(super) const MANY: u64 = 130_000;

/// What an arena of pages may keep idle while it is small. Which part of that is idle in the end, the order in which pages come
/// back decides.
const MOST_IDLE_BYTES: u64 = 128 << 10;

fn empty(key_storage: KeyStorage) -> Index {
    Index::new(&options(key_storage), Arc::new(Records)).unwrap()
}

pub(super) fn filled(key_storage: KeyStorage, keys: impl Iterator<Item = u64>) -> Index {
    let index = empty(key_storage);
    keys.for_each(|number| put(&index, number).unwrap());
    index
}

pub(super) fn shards(index: &Index) -> u64 {
    index.statistics().shards
}

fn is_there(index: &Index, number: u64) -> bool {
    let guard = epoch::pin();
    let found = index.locate(&guard, index.hash(&key(number)), &key(number));
    let found = found.unwrap();
    assert!(found.is_none_or(|found| found == location(8 * number + 1)));
    found.is_some()
}

/// Bytes of an index, the keys in its memory included, idle pages not.
fn bytes(index: &Index) -> f64 {
    settle();
    let figures = index.statistics();
    (figures.index_bytes + figures.slab_allocated_bytes) as f64
}

/// How many times the bytes of a fresh index one takes that had ten times as many keys, and as much as may be is idle.
fn shrunk(key_storage: KeyStorage, count: u64) -> f64 {
    let is_left = |number: &u64| number.is_multiple_of(10);
    let index = filled(key_storage, 0..count);
    let full = index.statistics();
    let others = (0..count).filter(|number| !is_left(number));
    others.for_each(|number| remove(&index, number));
    let fresh = filled(key_storage, (0..count).filter(is_left));
    let times = bytes(&index) / bytes(&fresh);
    // Tables that were replaced, but may still be read, count as idle too, and so do cells that are free beside others that are not.
    let cells = full.shards * (Placed::<Shard>::CELL_BYTES + Placed::<Table>::CELL_BYTES) as u64;
    let little_idle = || index.statistics().idle_bytes <= MOST_IDLE_BYTES + cells;
    settle_until(little_idle, "more memory stays idle than may");
    let shards = [full, index.statistics(), fresh.statistics()].map(|figures| figures.shards);
    println!("{key_storage:?}, {count} keys: {times:.3} times, shards {shards:?}");
    times
}

#[test]
fn after_nine_keys_of_ten_went_an_index_takes_little_more_than_a_fresh_one_of_the_rest() {
    for key_storage in STORAGES {
        for count in [300_000, 420_000] {
            let times = shrunk(key_storage, count);
            assert!(times < 1.3, "{times} times");
        }
    }
}

#[test]
fn a_population_that_rises_and_falls_again_and_again_leaves_nothing_behind() {
    for key_storage in STORAGES {
        let index = empty(key_storage);
        let (mut highest, mut lowest) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            (0..MANY).for_each(|number| put(&index, number).unwrap());
            highest.push(bytes(&index));
            (2000..MANY).for_each(|number| remove(&index, number));
            lowest.push(bytes(&index));
            assert_eq!(shards(&index), 1);
            assert!((0..2000).all(|number| is_there(&index, number)));
        }
        for bytes in [highest, lowest] {
            let least = bytes.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(bytes.iter().all(|bytes| *bytes < least * 1.1), "{bytes:?}");
        }
    }
}

#[test]
fn keys_that_come_and_go_at_the_border_do_not_split_and_merge_shards_for_ever() {
    let index = empty(KeyStorage::OnDisk);
    let mut number = 0;
    while shards(&index) == 1 {
        put(&index, number).unwrap();
        number += 1;
    }
    let split_at = number;
    // A quarter of the keys goes and comes back: too few to merge.
    for _ in 0..3 {
        (split_at / 4 * 3..split_at).for_each(|number| remove(&index, number));
        assert_eq!(shards(&index), 2);
        (split_at / 4 * 3..split_at).for_each(|number| put(&index, number).unwrap());
        assert_eq!(shards(&index), 2);
    }
    while shards(&index) == 2 {
        number -= 1;
        remove(&index, number);
    }
    let merged_at = number;
    assert!(merged_at > split_at / 2, "{merged_at} of {split_at}");
    // A third more comes and goes: too few to split.
    for _ in 0..3 {
        (merged_at..merged_at / 3 * 4).for_each(|number| put(&index, number).unwrap());
        assert_eq!(shards(&index), 1);
        (merged_at..merged_at / 3 * 4).for_each(|number| remove(&index, number));
        assert_eq!(shards(&index), 1);
    }
}

#[test]
fn merging_reads_no_key() {
    struct Unread;
    impl KeyReader for Unread {
        fn matches(&self, _: &epoch::Guard, location: Location, wanted: &[u8]) -> Result<bool> {
            Ok(key(location.raw() / 8) == wanted)
        }

        fn read(&self, _: &epoch::Guard, _: Location, _: &mut Vec<u8>) -> Result<()> {
            panic!("no key is read");
        }
    }
    let index = Index::new(&options(KeyStorage::OnDisk), Arc::new(Unread)).unwrap();
    (0..MANY).for_each(|number| put(&index, number).unwrap());
    (0..MANY).for_each(|number| remove(&index, number));
    assert_eq!((shards(&index), index.len()), (1, 0));
}

/// The directory's own bytes say how long it is.
#[test]
fn the_directory_is_as_short_as_its_shards_allow() {
    let index = filled(KeyStorage::OnDisk, 0..MANY);
    let guard = epoch::pin();
    let full = index.directory.load(&guard).bytes();
    let deepest = index.directory.load(&guard).deepest();
    (0..MANY).for_each(|number| remove(&index, number));
    let directory = index.directory.load(&guard);
    assert!(directory.bytes() < full);
    assert_eq!(directory.shards().count(), 1);
    assert_eq!(
        directory.bytes(),
        empty(KeyStorage::OnDisk).directory.load(&guard).bytes()
    );
    assert_eq!(directory.deepest(), deepest);
}

#[test]
fn a_batch_that_locks_all_shards_lets_them_merge() {
    for key_storage in STORAGES {
        let index = filled(key_storage, 0..MANY);
        let before = shards(&index);
        assert!(before > 8);
        let numbers: Vec<u64> = (0..MANY).collect();
        for numbers in numbers.chunks(1000) {
            let keys: Vec<_> = numbers.iter().map(|number| key(*number)).collect();
            let mut changes: Vec<_> = keys
                .iter()
                .map(|key| Change {
                    hash: index.hash(key),
                    key,
                    number: 0,
                    inserts: false,
                })
                .collect();
            changes.sort_by_key(|change| change.hash);
            let guard = epoch::pin();
            let mut reserved = index.reserve(&guard, &changes, 1, |_| {}).unwrap();
            reserved.apply(|_| unreachable!("nothing is inserted"));
        }
        assert!(index.is_empty());
        assert!(shards(&index) <= 2, "{} of {before} shards", shards(&index));
    }
}

#[test]
fn without_memory_shards_stay_as_they_are_and_are_merged_later() {
    let limited = options(KeyStorage::InMemory);
    let index = Index::with_hash(&limited, SeededHash::new(1), Arc::new(NoLog), 4 << 20).unwrap();
    let mut count = 0;
    while put(&index, count).is_ok() {
        count += 1;
    }
    // Under this guard nothing is freed, so that hardly any memory is left for copies.
    let guard = epoch::pin();
    (0..count / 2).for_each(|number| remove(&index, number));
    assert!((0..count).all(|number| is_there(&index, number) == (number >= count / 2)));
    drop(guard);
    settle();
    (count / 2..count - 1000).for_each(|number| {
        remove(&index, number);
        settle_now_and_then(number);
    });
    assert!((0..count).all(|number| is_there(&index, number) == (number >= count - 1000)));
    // Guards of other tests of this process may have kept memory from coming back meanwhile: then later removals merge.
    let merged = || {
        if shards(&index) > 1 {
            (0..1000)
                .filter(|&number| put(&index, number).is_ok())
                .for_each(|number| remove(&index, number));
        }
        shards(&index) == 1
    };
    settle_until(merged, "shards are not merged with memory at hand");
    assert!((0..count).all(|number| is_there(&index, number) == (number >= count - 1000)));
}

fn settle_now_and_then(number: u64) {
    if number.is_multiple_of(1000) {
        settle();
    }
}

#[test]
fn long_keys_keep_shards_apart_until_their_bytes_are_few() {
    let mut model = Model::new(&OPTIONS);
    let long = |number: u64| {
        let mut key = vec![7; 20_000];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    };
    for number in 0..500 {
        model.put(&long(number), location(number + 1));
    }
    let full = shards(&model.index);
    assert!(full >= 8);
    for number in 20..500 {
        model.remove(&long(number));
    }
    assert_eq!(shards(&model.index), 1, "of {full}");
    model.check();
}

#[test]
fn trimming_merges_what_was_prepared_for_far_more_keys() {
    for key_storage in STORAGES {
        let prepared = IndexOptions {
            expected_keys: 200_000,
            ..options(key_storage)
        };
        let index = Index::new(&prepared, Arc::new(Records)).unwrap();
        (0..20_000).for_each(|number| put(&index, number).unwrap());
        assert!(shards(&index) >= 16);
        index.trim(|| true);
        let fresh = filled(key_storage, 0..20_000);
        assert!(shards(&index) <= 2 * shards(&fresh));
        assert!(bytes(&index) < bytes(&fresh) * 1.2);
        assert!((0..20_000).all(|number| is_there(&index, number)));
    }
}

/// Shards of one page each become one: eight, or for Miri two.
#[test]
fn a_few_keys_in_many_shards_come_together_in_one_and_are_all_there() {
    let (depth, keys) = if cfg!(miri) { (1, 40) } else { (3, 200) };
    for key_storage in STORAGES {
        let shape = Shape::for_entries(0);
        let hasher = SeededHash::new(7);
        let options = options(key_storage);
        let index = Index::prepared(
            &options,
            hasher,
            Arc::new(Records),
            PageArena::new(usize::MAX),
            0,
            (depth, shape),
        );
        let index = index.unwrap();
        (0..keys).for_each(|number| put(&index, number).unwrap());
        (0..keys)
            .step_by(2)
            .for_each(|number| remove(&index, number));
        assert_eq!(shards(&index), 1 << depth);
        index.trim(|| true);
        assert_eq!(shards(&index), 1);
        assert!((0..keys).all(|number| is_there(&index, number) != number.is_multiple_of(2)));
        (keys..keys + 20).for_each(|number| put(&index, number).unwrap());
        assert!((keys..keys + 20).all(|number| is_there(&index, number)));
    }
}

#[test]
fn readers_always_find_keys_while_shards_split_and_merge() {
    for key_storage in STORAGES {
        let index = &filled(key_storage, (0..MANY).step_by(50));
        let done = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..2 {
                scope.spawn(move || {
                    let mut random = Random::new(thread);
                    while !done.load(Ordering::Relaxed) {
                        let number = random.below(MANY / 50) * 50;
                        assert!(is_there(index, number), "key {number} was there throughout");
                        assert!(!is_there(index, MANY + number), "that key never was");
                    }
                });
            }
            // Two writers, so that one meets the sibling that he wants to merge with locked.
            let writers: Vec<_> = (1..3)
                .map(|thread| {
                    scope.spawn(move || {
                        let own = || {
                            (0..MANY).filter(move |number| {
                                !number.is_multiple_of(50) && number % 2 == thread % 2
                            })
                        };
                        for _ in 0..2 {
                            own().for_each(|number| put(index, number).unwrap());
                            own().for_each(|number| remove(index, number));
                        }
                    })
                })
                .collect();
            writers
                .into_iter()
                .for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(index.len(), MANY / 50);
        assert!(shards(index) <= 2, "{} shards", shards(index));
    }
}
