//! Keys that somebody prepared so that they collide cost the store no more than others: the secrets of its hash are drawn.
#![allow(clippy::unwrap_used)] // a test fails that way

#[path = "../benches/shared/colliding_keys.rs"]
mod colliding_keys;

use std::hash::{BuildHasher, Hasher, RandomState};

use colliding_keys::{LENGTHS, key};
use freyja::index::{Entry, Index, IndexOptions, IndexStatistics, KeyHash, Location, SeededHash};
use freyja::memory::epoch;
use freyja::store::{Options, Store, SyncMode};
use rapidhash::v3::{RapidSecrets, rapidhash_v3, rapidhash_v3_seeded};

const MILLION: u64 = 1_000_000;

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

/// What lookups in an index of `count` keys cost, counted.
#[derive(Debug)]
struct Costs {
    /// Entries offered in looking up every key, besides the key's own.
    wrong_for_hits: u64,
    /// Entries offered in looking up as many keys that are not there.
    wrong_for_misses: u64,
    statistics: IndexStatistics,
}

fn costs<H: KeyHash>(hasher: H, count: u64, key: impl Fn(u64) -> Vec<u8>) -> Costs {
    let options = IndexOptions {
        seed: 0,
        slab_page_bytes: 4096,
        expected_keys: 0,
    };
    let index = Index::with_hash(&options, hasher, usize::MAX).unwrap();
    for number in 0..count {
        let (guard, key) = (epoch::pin(), key(number));
        match index.entry(&guard, index.hash(&key), &key).unwrap() {
            Entry::Vacant(entry) => entry.insert(Location::new(number + 1).unwrap()),
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
    for length in LENGTHS {
        let costs = costs(Unseeded, count, |number| key(length, number));
        assert!(costs.wrong_for_hits > count * count / 3, "{costs:?}");
        assert_eq!(costs.wrong_for_misses, count * count);
        assert!(costs.statistics.stash_entries > count * 9 / 10, "{costs:?}");
    }
}

#[test]
fn a_million_colliding_keys_are_looked_up_like_any_others() {
    let seed = Seed::draw();
    for length in LENGTHS {
        let prepared = costs(SeededHash::new(seed.0), MILLION, |number| {
            key(length, number)
        });
        let others = costs(SeededHash::new(seed.0), MILLION, |number| {
            ordinary_key(length, number)
        });
        // Some 2,000 by chance, because two keys have the same tag; their spread is below 3 %.
        let none_more = |prepared: u64, others: u64| prepared * 4 <= others * 5;
        assert!(
            none_more(prepared.wrong_for_hits, others.wrong_for_hits)
                && none_more(prepared.wrong_for_misses, others.wrong_for_misses),
            "{prepared:?}\n{others:?}"
        );
        assert!(others.wrong_for_misses < MILLION / 200, "{others:?}");
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
