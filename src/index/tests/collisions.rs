use super::*;

/// Sends all keys to a few hashes.
struct FewHashes(u64);

impl KeyHash for FewHashes {
    fn hash(&self, key: &[u8]) -> u64 {
        SeededHash::new(7)
            .hash(&(key.iter().map(|&byte| u64::from(byte)).sum::<u64>() % self.0).to_le_bytes())
    }
}

fn model(hashes: u64, key_storage: KeyStorage) -> Model<FewHashes> {
    Model::with_hash(&options(key_storage), FewHashes(hashes))
}

#[test]
fn keys_that_all_share_one_hash_are_told_apart() {
    for key_storage in STORAGES {
        tell_keys_of_one_hash_apart(model(1, key_storage));
    }
}

fn tell_keys_of_one_hash_apart(mut model: Model<FewHashes>) {
    for number in 0..1500_u64 {
        model.put(&number.to_le_bytes(), location(number + 1));
    }
    model.check();
    assert!(model.index.statistics().stash_entries > 1400);
    for number in (0..1500_u64).step_by(2) {
        model.remove(&number.to_le_bytes());
        model.put(&(number + 1).to_le_bytes(), location(number + 5000));
    }
    model.check();
    for number in 0..1500_u64 {
        model.remove(&number.to_le_bytes());
    }
    model.check();
}

#[test]
fn keys_of_one_hash_do_not_blow_up_the_table() {
    let mut model = model(1, KeyStorage::InMemory);
    for number in 0..1000_u64 {
        model.put(&number.to_le_bytes(), location(number + 1));
    }
    let figures = model.index.statistics();
    assert!(figures.index_bytes < 64 << 10, "{figures:?}");
}

#[test]
fn few_distinct_hashes_behave_like_a_map() {
    for (hashes, key_storage) in [2, 3, 17, 100]
        .into_iter()
        .flat_map(|n| STORAGES.map(|it| (n, it)))
    {
        let mut random = Random::new(hashes);
        let mut model = model(hashes, key_storage);
        for operation in 0..6000 {
            let key = random.below(2500).to_le_bytes();
            match random.below(if operation < 4000 { 10 } else { 3 }) {
                0 | 1 => model.remove(&key),
                2 => model.check_key(&key),
                _ => {
                    let place = model.fresh_location(&mut random, 30);
                    model.put(&key, place);
                }
            }
        }
        model.check();
    }
}

#[test]
fn a_mass_of_colliding_keys_among_others_does_not_stop_the_others() {
    struct Mixed(SeededHash);
    impl KeyHash for Mixed {
        fn hash(&self, key: &[u8]) -> u64 {
            if key[0] == 0 {
                0x1234_5678_9abc_def0
            } else {
                self.0.hash(key)
            }
        }
    }
    for key_storage in STORAGES {
        let model = Model::with_hash(&options(key_storage), Mixed(SeededHash::new(3)));
        put_colliding_keys_among_others(model);
    }
}

fn put_colliding_keys_among_others<H: KeyHash>(mut model: Model<H>) {
    for number in 0..60_000_u64 {
        let mut key = number.to_le_bytes();
        key[0] = u8::from(number % 64 != 0);
        key[7] = number as u8;
        model.put(&key, location(number + 1));
    }
    model.check();
    assert!(model.index.statistics().shards > 1);
}

#[test]
fn too_many_bytes_under_one_hash_are_an_error_that_loses_nothing() {
    let mut model = model(1, KeyStorage::InMemory);
    let key = |number: u64| {
        let mut key = vec![0; 60_000];
        key[..8].copy_from_slice(&(number * 256).to_le_bytes());
        key
    };
    let fit = (1 << 24) / 60_003;
    for number in 0..fit {
        model.put(&key(number), location(number + 1));
    }
    let guard = epoch::pin();
    let refused = model
        .index
        .entry(&guard, model.index.hash(&key(fit)), &key(fit), 20)
        .err();
    assert_eq!(
        refused.map(|error| error.kind()),
        Some(crate::ErrorKind::TooLarge)
    );
    model.check();
    model.remove(&key(5));
    model.put(&key(fit), location(777));
    model.check();
}
