//! Many keys reserved together and then changed, or left as they were.

use std::collections::BTreeMap;

use super::*;
use crate::index::Change;
use crate::memory::key_slab::MAX_KEY_BYTES;

/// What is to become of keys: a location, or removal.
type Changes = BTreeMap<Vec<u8>, Option<Location>>;

/// `changes` as the index wants them. Their numbers are those of the map's order.
fn ordered<'k, H: KeyHash>(index: &Index<H>, changes: &'k Changes) -> Vec<Change<'k>> {
    let mut ordered: Vec<Change<'k>> = (0..)
        .zip(changes)
        .map(|(number, (key, location))| Change {
            hash: index.hash(key),
            key,
            number,
            inserts: location.is_some(),
        })
        .collect();
    ordered.sort_by_key(|change| change.hash);
    ordered
}

impl<H: KeyHash> Model<H> {
    /// Makes `changes` together, or gives them up after having reserved them.
    fn change_many(&mut self, changes: &Changes, give_up: bool) -> crate::Result<()> {
        let guard = epoch::pin();
        let ordered = ordered(&self.index, changes);
        for (key, location) in changes {
            if let Some(location) = location {
                self.log.write(*location, Record::Intact(key.clone()));
            }
        }
        let bits = changes.values().flatten().map(|it| it.bits()).max();
        let mut known = Vec::new();
        let mut reserved = self
            .index
            .reserve(&guard, &ordered, bits.unwrap_or(0), |location| {
                known.push(location)
            })?;
        for change in &ordered {
            self.check_key(change.key);
        }
        if give_up {
            return Ok(());
        }
        let wanted: Vec<Option<Location>> = changes.values().copied().collect();
        let mut replaced = BTreeMap::new();
        reserved.for_each_known(|change, old, _| {
            replaced.insert(change.key.to_vec(), old);
        });
        reserved.apply(|change| wanted[change.number as usize].unwrap());
        for (key, location) in changes {
            let previous = match location {
                Some(location) => self.map.insert(key.clone(), *location),
                None => self.map.remove(key),
            };
            assert_eq!(replaced.get(key).copied(), previous);
            if let Some(previous) = previous {
                assert!(known.contains(&previous), "heard of while reserving");
            }
            self.check_key(key);
        }
        Ok(())
    }
}

fn key(number: u64) -> Vec<u8> {
    let mut key = vec![number as u8; 8 + number as usize % 40];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key
}

/// Locations that were never given before, ever further from the beginning.
struct Places(u64);

impl Places {
    fn next(&mut self, random: &mut Random) -> Location {
        self.0 += 1 + random.below(8);
        location(self.0)
    }
}

fn drawn(
    random: &mut Random,
    places: &mut Places,
    largest: u64,
    universe: u64,
    removals: u64,
) -> Changes {
    let count = random.below(1 + largest);
    (0..count)
        .map(|_| {
            let put = random.below(16) >= removals;
            let key = key(random.below(universe));
            (key, put.then(|| places.next(random)))
        })
        .collect()
}

fn random_batches<H: KeyHash>(
    mut model: Model<H>,
    seed: u64,
    rounds: u64,
    largest: u64,
    keys: u64,
) {
    let mut random = Random::new(seed);
    let mut places = Places(0);
    for round in 0..rounds {
        let removals = if (round * 5 / rounds).is_multiple_of(2) {
            3
        } else {
            13
        };
        let largest = random.below(1 + largest);
        let changes = drawn(&mut random, &mut places, largest, keys, removals);
        let give_up = random.below(4) == 0;
        model.change_many(&changes, give_up).unwrap();
        let key = key(random.below(keys));
        match random.below(2) {
            0 => {
                let place = places.next(&mut random);
                model.put(&key, place);
            }
            _ => model.remove(&key),
        }
        if round * 8 % rounds < 8 {
            model.check();
        }
    }
    model.check();
}

fn seeded(seed: u64, key_storage: KeyStorage) -> Model {
    Model::new(&IndexOptions {
        seed,
        ..options(key_storage)
    })
}

#[test]
fn batches_among_few_keys_behave_like_changes_of_a_map() {
    for key_storage in STORAGES {
        for seed in 0..20 {
            let model = seeded(seed, key_storage);
            random_batches(model, seed, 300, 1 + seed * 3, 1 + seed * seed * 4);
        }
    }
}

#[test]
fn batches_that_make_shards_grow_split_and_shrink_behave_like_changes_of_a_map() {
    for key_storage in STORAGES {
        random_batches(seeded(100, key_storage), 100, 12, 20_000, 70_000);
        random_batches(seeded(101, key_storage), 101, 100, 1_000, 50_000);
    }
}

/// Few different hashes, so that many keys share each.
struct Few(u64);

impl KeyHash for Few {
    fn hash(&self, key: &[u8]) -> u64 {
        let sum: u64 = key.iter().map(|byte| u64::from(*byte)).sum();
        (sum % self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[test]
fn keys_that_share_their_hashes_are_changed_each_for_itself() {
    for key_storage in STORAGES {
        for hashes in [1, 2, 50] {
            let model = Model::with_hash(&options(key_storage), Few(hashes));
            random_batches(model, hashes, 40, 200, 800);
        }
    }
}

#[test]
fn one_batch_fills_an_empty_index_with_many_shards() {
    for key_storage in STORAGES {
        fill_with_one_batch(seeded(1, key_storage));
    }
}

fn fill_with_one_batch(mut model: Model) {
    let changes: Changes = (0..80_000)
        .map(|number| (key(number), Some(location(number + 1))))
        .collect();
    model.change_many(&changes, true).unwrap();
    model.check();
    model.change_many(&changes, false).unwrap();
    assert!(model.index.statistics().shards >= 3);
    model.check();
    let removed: Changes = changes.into_keys().map(|key| (key, None)).collect();
    model.change_many(&removed, false).unwrap();
    model.check();
}

#[test]
fn a_key_that_cannot_be_reserved_leaves_all_others_as_they_were() {
    let mut model = Model::new(&OPTIONS);
    let first: Changes = (0..100)
        .map(|number| (key(number), Some(location(number + 1))))
        .collect();
    model.change_many(&first, false).unwrap();
    let mut changes: Changes = (50..150)
        .map(|number| (key(number), Some(location(number + 1000))))
        .collect();
    changes.insert(vec![1; MAX_KEY_BYTES + 1], Some(location(8)));
    let guard = epoch::pin();
    let ordered = ordered(&model.index, &changes);
    let bits = Location::BITS;
    let refused = model.index.reserve(&guard, &ordered, bits, |_| {}).err();
    assert_eq!(
        refused.map(|error| error.kind()),
        Some(crate::ErrorKind::TooLarge)
    );
    drop(guard);
    model.check();
}

#[test]
fn when_memory_runs_out_while_reserving_all_is_as_it_was() {
    let hasher = SeededHash::new(1);
    let log = Arc::new(Log::default());
    let index = Index::with_hash(&OPTIONS, hasher, log.clone(), 6 << 20).unwrap();
    let mut model = Model::over(index, log);
    let mut next = 0;
    let error = loop {
        let changes: Changes = (next..next + 5000)
            .map(|number| (key(number), Some(location(number + 1))))
            .collect();
        match model.change_many(&changes, false) {
            Ok(()) => next += 5000,
            Err(error) => break error,
        }
        assert!(next < 1_000_000, "the limit was never reached");
    };
    assert_eq!(error.kind(), crate::ErrorKind::Memory);
    assert!(next > 0);
    model.check();
    model.give_up(&key(0));
    model.check();
}

#[test]
fn threads_with_overlapping_batches_and_single_changes_neither_block_each_other_nor_mix() {
    const KEYS: u64 = 3000;
    let index = in_memory(&IndexOptions { seed: 3, ..OPTIONS });
    let rounds = if cfg!(miri) { 3 } else { 150 };
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let index = &index;
            scope.spawn(move || {
                let mut random = Random::new(thread);
                let mut unused = Places(0);
                for round in 0..rounds {
                    let changes = drawn(&mut random, &mut unused, 400, KEYS, 4);
                    // No two keys have the same location.
                    let unique = |number: u32| {
                        location((thread << 28 | round << 12 | u64::from(number)) + 1)
                    };
                    let guard = epoch::pin();
                    let ordered = ordered(index, &changes);
                    let reserved = index.reserve(&guard, &ordered, Location::BITS, |_| {});
                    let mut reserved = reserved.unwrap();
                    if round % 5 > 0 {
                        reserved.apply(|change| unique(change.number));
                        for change in &ordered {
                            let expected = change.inserts.then(|| unique(change.number));
                            assert_eq!(
                                index.locate(&guard, change.hash, change.key).unwrap(),
                                expected,
                                "a batch sees what it has just done"
                            );
                        }
                    }
                    drop(reserved);
                    let key = key(KEYS + thread * 10_000 + random.below(4000));
                    let hash = index.hash(&key);
                    match index.entry(&guard, hash, &key, 34).unwrap() {
                        Entry::Occupied(entry) => entry.remove(),
                        Entry::Vacant(entry) => entry.insert(location(1 << 33 | round)),
                    }
                }
            });
        }
    });
    let mut visited = 0;
    index
        .for_each(|key, location| {
            let guard = epoch::pin();
            let found = index.locate(&guard, index.hash(key), key).unwrap();
            assert_eq!(found, Some(location));
            visited += 1;
        })
        .unwrap();
    assert_eq!(index.len(), visited, "nothing stays reserved");
}
