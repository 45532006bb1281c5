use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Locations say which key they belong to, and carry a version of four bits at both ends, which the index keeps in
/// different words: half of one and half of another would show.
fn versioned(number: u64, version: u64) -> Location {
    let version = version & 15;
    location(version << 32 | (number + 1) << 4 | version)
}

fn number_of(location: Location) -> u64 {
    let raw = location.raw();
    assert_eq!(raw >> 32, raw & 15, "a location put together of two");
    (raw >> 4 & 0x0fff_ffff) - 1
}

/// What the locations say.
struct NumberedRecords;

impl KeyReader for NumberedRecords {
    fn matches(&self, _: &epoch::Guard, location: Location, key: &[u8]) -> Result<bool> {
        Ok(number_of(location).to_le_bytes() == key)
    }

    fn read(&self, _: &epoch::Guard, location: Location, key: &mut Vec<u8>) -> Result<()> {
        *key = number_of(location).to_le_bytes().to_vec();
        Ok(())
    }
}

fn index(key_storage: KeyStorage) -> Index {
    Index::new(&options(key_storage), Arc::new(NumberedRecords)).unwrap()
}

fn put<H: KeyHash>(index: &Index<H>, number: u64, version: u64) {
    let key = number.to_le_bytes();
    let guard = epoch::pin();
    match index
        .entry(&guard, index.hash(&key), &key, Location::BITS)
        .unwrap()
    {
        Entry::Occupied(entry) => {
            assert_eq!(number_of(entry.location()), number);
            entry.replace(versioned(number, version));
        }
        Entry::Vacant(entry) => entry.insert(versioned(number, version)),
    }
}

fn remove<H: KeyHash>(index: &Index<H>, number: u64) -> bool {
    let key = number.to_le_bytes();
    let guard = epoch::pin();
    let Some(entry) = index.occupied(&guard, index.hash(&key), &key).unwrap() else {
        return false;
    };
    assert_eq!(number_of(entry.location()), number);
    entry.remove();
    true
}

/// Whether a reader sees the key, by each of the three ways to look.
fn look<H: KeyHash>(index: &Index<H>, number: u64) -> [bool; 3] {
    let key = number.to_le_bytes();
    let guard = epoch::pin();
    let hash = index.hash(&key);
    let found = index.find(&guard, hash, |location| {
        (number_of(location) == number).then_some(location)
    });
    let located = index.locate(&guard, hash, &key).unwrap();
    let other = located.is_some_and(|location| number_of(location) != number);
    assert!(!other, "another key's location");
    let contained = index.contains(&guard, hash, &key).unwrap();
    [found.is_some(), located.is_some(), contained]
}

/// Keys divisible by four are there throughout and only change; the others come and go in floods, so that
/// shards grow, split, shrink, compact and move entries under the readers.
fn readers_beside_writers<H: KeyHash>(index: &Index<H>, universe: u64, rounds: u64) {
    (0..universe)
        .step_by(4)
        .for_each(|number| put(index, number, 0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let done = &done;
            scope.spawn(move || {
                let mut random = Random::new(thread);
                while !done.load(Ordering::Relaxed) {
                    let number = random.below(universe);
                    let seen = look(index, number);
                    assert!(
                        seen == [true; 3] || !number.is_multiple_of(4),
                        "key {number} was there throughout: {seen:?}"
                    );
                    assert_eq!(
                        look(index, number + universe),
                        [false; 3],
                        "that key never was"
                    );
                }
            });
        }
        let writers: Vec<_> = (1..4)
            .map(|thread| {
                scope.spawn(move || {
                    let mut random = Random::new(thread + 100);
                    for round in 0..rounds {
                        for step in 0..universe / 2 {
                            let number = random.below(universe);
                            if number.is_multiple_of(4) {
                                put(index, number, step);
                            } else if round % 2 == 0 && step % 8 != 0 {
                                put(index, number / 4 * 4 + thread, step);
                            } else {
                                remove(index, number / 4 * 4 + thread);
                            }
                        }
                    }
                })
            })
            .collect();
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let mut counted = 0;
    let each = index.for_each(|key, location| {
        let number = u64::from_le_bytes(key.try_into().unwrap());
        assert_eq!(number_of(location), number);
        counted += 1;
    });
    each.unwrap();
    assert_eq!(counted, index.len());
    let present = (0..universe)
        .filter(|&number| look(index, number) == [true; 3])
        .count();
    assert_eq!(present as u64, counted);
}

#[test]
fn readers_always_find_keys_that_are_there_while_others_come_and_go() {
    for key_storage in STORAGES {
        readers_beside_writers(&index(key_storage), 60_000, 4);
    }
}

#[test]
fn readers_always_find_keys_in_a_small_crowded_index() {
    for key_storage in STORAGES {
        readers_beside_writers(&index(key_storage), 2_000, 60);
    }
}

#[test]
fn readers_always_find_keys_whose_hashes_collide() {
    struct FewHashes;
    impl KeyHash for FewHashes {
        fn hash(&self, key: &[u8]) -> u64 {
            SeededHash::new(1).hash(&[key[0] % 5])
        }
    }
    for key_storage in STORAGES {
        let options = options(key_storage);
        let reader = Arc::new(NumberedRecords);
        let index = Index::with_hash(&options, FewHashes, reader, usize::MAX).unwrap();
        readers_beside_writers(&index, 240, 60);
    }
}

#[test]
fn a_location_is_never_half_of_one_and_half_of_another() {
    let index = &index(KeyStorage::InMemory);
    put(index, 0, 0);
    let done = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(look(index, 0), [true; 3]);
            }
        });
        let limit = if cfg!(miri) { 500 } else { 1_000_000 };
        (0..limit).for_each(|version| put(index, 0, version));
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn writers_of_one_key_exclude_each_other_until_the_entry_is_used() {
    let index = &index(KeyStorage::InMemory);
    let key = &0_u64.to_le_bytes();
    let increment =
        |guard: &epoch::Guard| match index.entry(guard, index.hash(key), key, 30).unwrap() {
            Entry::Occupied(entry) => {
                let next = location(entry.location().raw() + 1);
                entry.replace(next);
            }
            Entry::Vacant(entry) => entry.insert(location(1)),
        };
    let (threads, each) = (4, 5000);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..each).for_each(|_| increment(&epoch::pin())));
        }
    });
    let last = index.locate(&epoch::pin(), index.hash(key), key).unwrap();
    assert_eq!(
        last,
        Some(location(threads * each)),
        "no increment was lost"
    );
}

#[test]
fn a_writer_that_waited_while_its_shard_was_split_loses_nothing() {
    let count = 18_000;
    for seed in 0..5 {
        let index = &in_memory(&IndexOptions { seed, ..OPTIONS });
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope
                    .spawn(move || (0..count).for_each(|step| put(index, step * 4 + thread, step)));
            }
        });
        assert!(index.statistics().shards > 1);
        assert_eq!(index.len(), 4 * count);
        assert!((0..4 * count).all(|number| look(index, number) == [true; 3]));
    }
}

#[test]
fn threads_that_insert_the_same_keys_insert_each_once() {
    let index = &index(KeyStorage::InMemory);
    let count = 60_000;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                (0..count).for_each(|step| put(index, (step * 7 + thread * 1000) % count, thread));
            });
        }
    });
    assert_eq!(index.len(), count);
    assert!((0..count).all(|number| look(index, number) == [true; 3]));
}
