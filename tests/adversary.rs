//! Keys that somebody prepared so that they collide cost the store no more than others: the secrets of its hash are drawn.
#![allow(clippy::unwrap_used)] // a test fails that way

#[path = "../benches/shared/colliding_keys.rs"]
mod colliding_keys;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use colliding_keys::{LENGTHS, key};
use freyja::Result;
use freyja::index::{
    Entry, Index, IndexOptions, IndexStatistics, KeyHash, KeyReader, KeyStorage, Location,
    SeededHash,
};
use freyja::memory::epoch::{self, Guard};
use freyja::store::{Options, Store, SyncMode};
use rapidhash::v3::{RapidSecrets, rapidhash_v3, rapidhash_v3_seeded};

const MILLION: u64 = 1_000_000;
const STORAGES: [KeyStorage; 2] = [KeyStorage::InMemory, KeyStorage::OnDisk];

/// A seed that nobody knows; printed if the test fails, and FREYJA_SEED replays it.
struct Seed(u64);

impl Seed {
    fn draw() -> Seed {
        let given = std::env::var("FREYJA_SEED").ok();
        let drawn = || RandomState::new().build_hasher().finish();
        Seed(given.map_or_else(drawn, |seed| seed.parse().unwrap()))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with FREYJA_SEED={}", self.0);
        }
    }
}

/// A key of the same length that nobody prepared.
fn ordinary_key(length: usize, number: u64) -> Vec<u8> {
    let mut key = vec![0x2e; length];
    key[8..16].copy_from_slice(&number.to_le_bytes());
    key
}

/// What somebody would use who knows nothing of such keys.
struct Unseeded;

impl KeyHash for Unseeded {
    fn hash(&self, key: &[u8]) -> u64 {
        rapidhash_v3(key)
    }
}

/// The records of a log, computed: location n is that of key n - 1.
struct Records<K>(K);

impl<K: Fn(u64) -> Vec<u8> + Send + Sync> KeyReader for Records<K> {
    fn matches(&self, _: &Guard, location: Location, wanted: &[u8]) -> Result<bool> {
        Ok((self.0)(location.raw() - 1) == wanted)
    }

    fn read(&self, _: &Guard, location: Location, into: &mut Vec<u8>) -> Result<()> {
        *into = (self.0)(location.raw() - 1);
        Ok(())
    }
}

/// What lookups in an index of `count` keys cost, counted.
#[derive(Debug)]
struct Costs {
    /// Entries offered in looking up every key, besides the key's own.
    wrong_for_hits: u64,
    /// Entries offered in looking up as many keys that are not there.
    wrong_for_misses: u64,
    statistics: IndexStatistics,
}

fn costs<H: KeyHash>(
    hasher: H,
    key_storage: KeyStorage,
    count: u64,
    key: impl Fn(u64) -> Vec<u8> + Copy + Send + Sync + 'static,
) -> Costs {
    let options = IndexOptions {
        seed: 0,
        slab_page_bytes: 4096,
        expected_keys: 0,
        key_storage,
    };
    let records = Arc::new(Records(key));
    let index = Index::with_hash(&options, hasher, records, usize::MAX).unwrap();
    for number in 0..count {
        let (guard, key) = (epoch::pin(), key(number));
        let location = Location::new(number + 1).unwrap();
        let entry = index.entry(&guard, index.hash(&key), &key, location.bits());
        match entry.unwrap() {
            Entry::Vacant(entry) => entry.insert(location),
            Entry::Occupied(_) => panic!("key {number} is another's"),
        }
    }
    let mut wrong_for_hits = 0;
    let mut wrong_for_misses = 0;
    for number in 0..count {
        let guard = epoch::pin();
        let found = index.find(&guard, index.hash(&key(number)), |location| {
            let own = location.raw() == number + 1;
            wrong_for_hits += u64::from(!own);
            own.then_some(())
        });
        assert_eq!(found, Some(()), "key {number}");
        let absent = key(number + count);
        index.find(&guard, index.hash(&absent), |_| {
            wrong_for_misses += 1;
            None::<()>
        });
    }
    Costs {
        wrong_for_hits,
        wrong_for_misses,
        statistics: index.statistics(),
    }
}

fn every_case() -> impl Iterator<Item = (usize, KeyStorage)> {
    LENGTHS
        .into_iter()
        .flat_map(|length| STORAGES.map(|storage| (length, storage)))
}

#[test]
fn a_million_keys_of_each_length_share_one_hash_unless_all_secrets_are_drawn() {
    let seed = Seed::draw();
    let seed_alone = RapidSecrets::seed_cpp(seed.0);
    let drawn = SeededHash::new(seed.0);
    for length in LENGTHS {
        let first = key(length, 0);
        let common = [
            rapidhash_v3(&first),
            rapidhash_v3_seeded(&first, &seed_alone),
        ];
        let mut hashes = Vec::new();
        for number in 0..MILLION {
            let key = key(length, number);
            let hashed = [rapidhash_v3(&key), rapidhash_v3_seeded(&key, &seed_alone)];
            assert_eq!(hashed, common, "{length} bytes, key {number}");
            hashes.push(drawn.hash(&key));
        }
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len() as u64, MILLION, "{length} bytes");
    }
}

#[test]
fn without_secrets_of_its_own_an_index_compares_colliding_keys_one_by_one() {
    let count = 2000;
    for (length, storage) in every_case() {
        let costs = costs(Unseeded, storage, count, move |number| key(length, number));
        assert!(costs.wrong_for_hits > count * count / 3, "{costs:?}");
        assert_eq!(costs.wrong_for_misses, count * count);
        assert!(costs.statistics.stash_entries > count * 9 / 10, "{costs:?}");
    }
}

#[test]
fn a_million_colliding_keys_are_looked_up_like_any_others() {
    let seed = Seed::draw();
    for (length, storage) in every_case() {
        let prepared = costs(SeededHash::new(seed.0), storage, MILLION, move |number| {
            key(length, number)
        });
        let others = costs(SeededHash::new(seed.0), storage, MILLION, move |number| {
            ordinary_key(length, number)
        });
        for costs in [&prepared, &others] {
            let wrong = [costs.wrong_for_hits, costs.wrong_for_misses];
            assert!(
                wrong.iter().all(|&wrong| wrong < MILLION / 1000),
                "{costs:?}"
            );
        }
        let [prepared, others] = [prepared, others].map(|costs| costs.statistics);
        assert!(
            prepared.index_bytes * 100 <= others.index_bytes * 105
                && prepared.stash_entries * 100 <= MILLION,
            "{prepared:?}\n{others:?}"
        );
    }
}

#[test]
fn a_store_draws_the_secrets_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let fill = |name: &str, key: &dyn Fn(u64) -> Vec<u8>| {
        let options = Options {
            sync_mode: SyncMode::None,
            ..Options::default()
        };
        let store = Store::open(&directory.path().join(name), &options).unwrap();
        for number in 0..MILLION {
            store.put(&key(number), &number.to_le_bytes()).unwrap();
        }
        for number in 0..MILLION {
            let same = store.get_with(&key(number), |value| value == number.to_le_bytes());
            assert_eq!(same.unwrap(), Some(true), "key {number}");
        }
        store.stats()
    };
    let prepared = fill("prepared", &|number| key(32, number));
    let others = fill("others", &|number| ordinary_key(32, number));
    assert_eq!(prepared.keys, MILLION);
    assert!(
        prepared.index_bytes * 100 <= others.index_bytes * 105,
        "{prepared:?}\n{others:?}"
    );
}
