use super::*;
use crate::memory::key_slab::MAX_KEY_BYTES;

/// The key of a number: mostly short, sometimes long, all different.
fn key(number: u64) -> Vec<u8> {
    let length = match number % 64 {
        0 => 8 + number as usize % 5000,
        1..8 => 8 + number as usize % 300,
        _ => 8 + number as usize % 24,
    };
    let mut key = vec![number as u8; length];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key
}

fn random_operations(default_seed: u64, operations: u64, universe: u64, key_storage: KeyStorage) {
    let mut random = Random::new(default_seed);
    let mut model = Model::new(&IndexOptions {
        seed: default_seed,
        ..options(key_storage)
    });
    // The log grows with every write, or at once, so that tables change how they write entries down.
    let grows = default_seed % 4 != 3;
    let mut writes = 0_u64;
    // Phases of more and of fewer keys, so that shards grow, split, shrink and compact.
    for operation in 0..operations {
        let growing = (operation * 5 / operations).is_multiple_of(2);
        let key = key(random.below(universe));
        match random.below(16) {
            0 => model.give_up(&key),
            1 | 2 => model.check_key(&key),
            3..6 => model.remove(&key),
            6..12 if !growing => model.remove(&key),
            _ => {
                writes += 8;
                let bits = u64::BITS - writes.leading_zeros() + 1;
                let bits = if grows { bits } else { Location::BITS };
                let place = model.fresh_location(&mut random, bits);
                model.put(&key, place);
            }
        }
        if operation * 10 % operations == 0 {
            model.check();
        }
    }
    model.check();
}

#[test]
fn an_index_of_few_keys_behaves_like_a_map() {
    for key_storage in STORAGES {
        for seed in 0..20 {
            random_operations(seed, 4000, 1 + seed * seed * 4, key_storage);
        }
    }
}

#[test]
fn an_index_of_many_keys_behaves_like_a_map() {
    for key_storage in STORAGES {
        for seed in 100..104 {
            random_operations(seed, 200_000, 80_000, key_storage);
        }
    }
}

#[test]
fn keys_of_every_length_are_told_apart() {
    for key_storage in STORAGES {
        tell_keys_of_every_length_apart(Model::new(&options(key_storage)));
    }
}

fn tell_keys_of_every_length_apart(mut model: Model) {
    let lengths = [
        0,
        1,
        2,
        127,
        128,
        129,
        4094,
        4095,
        4096,
        16383,
        16384,
        MAX_KEY_BYTES - 1,
        MAX_KEY_BYTES,
    ];
    for (number, &length) in lengths.iter().enumerate() {
        model.put(&vec![0; length], location(number as u64 + 1));
        model.put(&vec![1; length], location(number as u64 + 100));
    }
    model.check();
    for &length in lengths.iter().step_by(2) {
        model.remove(&vec![0; length]);
    }
    model.check();
    for &length in &lengths {
        model.remove(&vec![0; length]);
        model.remove(&vec![1; length]);
    }
    model.check();
}

#[test]
fn keys_longer_than_the_limit_are_refused() {
    let model = Model::new(&OPTIONS);
    let key = vec![0; MAX_KEY_BYTES + 1];
    let guard = epoch::pin();
    let hash = model.index.hash(&key);
    let refused = model
        .index
        .entry(&guard, hash, &key, 20)
        .err()
        .map(|error| error.kind());
    assert_eq!(refused, Some(crate::ErrorKind::TooLarge));
    assert!(!model.index.contains(&guard, hash, &key).unwrap());
    assert!(model.index.occupied(&guard, hash, &key).unwrap().is_none());
    model.check();
}

#[test]
fn many_long_keys_split_their_shards() {
    let mut model = Model::new(&OPTIONS);
    let key = |number: u64| {
        let mut key = vec![7; MAX_KEY_BYTES - number as usize % 100];
        key[MAX_KEY_BYTES - 108..][..8].copy_from_slice(&number.to_le_bytes());
        key
    };
    for number in 0..300 {
        model.put(&key(number), location(number + 1));
    }
    assert!(model.index.statistics().shards >= 3);
    model.check();
    for number in 0..290 {
        model.remove(&key(number));
    }
    model.check();
}

#[test]
fn a_reservation_that_is_dropped_leaves_no_trace() {
    let mut model = Model::new(&OPTIONS);
    for number in 0..5000 {
        model.give_up(&key(number + 1_000_000));
        model.put(&key(number), location(number + 1));
        model.give_up(&key(number + 1_000_000));
    }
    model.check();
    let bytes = model.index.statistics().slab_live_bytes;
    assert!(model.index.statistics().slab_wasted_bytes < 2 * 4096 + bytes / 100);
}

#[test]
fn the_largest_location_and_the_smallest_come_back() {
    let mut model = Model::new(&OPTIONS);
    model.put(b"smallest", location(1));
    model.put(b"largest", location((1 << Location::BITS) - 1));
    model.put(b"upper bits only", location(1 << 35));
    model.put(b"lower bits only", location(0xffff_ffff));
    model.check();
}

#[test]
fn an_index_prepared_for_its_keys_neither_grows_nor_splits() {
    for key_storage in STORAGES {
        fill_prepared_index(key_storage);
    }
}

fn fill_prepared_index(key_storage: KeyStorage) {
    let expected = 100_000;
    let mut model = Model::new(&IndexOptions {
        expected_keys: expected,
        ..options(key_storage)
    });
    let before = model.index.statistics();
    for number in 0..expected {
        model.put(&number.to_le_bytes(), location(number + 1));
    }
    model.check();
    let after = model.index.statistics();
    assert_eq!((before.shards, before.slots), (after.shards, after.slots));
    assert!(after.slots * 85 < expected * 100, "{} slots", after.slots);
}

#[test]
fn slab_pages_of_every_size_hold_the_same_keys() {
    for slab_page_bytes in [4096, 16384, 1 << 20] {
        let mut model = Model::new(&IndexOptions {
            slab_page_bytes,
            ..OPTIONS
        });
        for number in 0..20_000 {
            model.put(&key(number), location(number + 1));
        }
        model.check();
    }
    for slab_page_bytes in [0, 2048, 5000, 2 << 20] {
        let options = IndexOptions {
            slab_page_bytes,
            ..OPTIONS
        };
        let refused = Index::new(&options, Arc::new(NoLog));
        assert_eq!(
            refused.err().map(|error| error.kind()),
            Some(crate::ErrorKind::Invalid)
        );
    }
}
