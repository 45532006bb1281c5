mod collisions;
mod concurrency;
mod image;
mod memory;
mod model;
mod moves;

use std::collections::HashMap;

use super::{Entry, Index, IndexOptions, KeyHash, Location, SeededHash};
use crate::memory::epoch;

pub(super) const OPTIONS: IndexOptions = IndexOptions {
    seed: 0x5eed,
    slab_page_bytes: 4096,
    expected_keys: 0,
};

/// A random generator (Steele and others, "SplitMix", 2014) whose seed is printed if the test fails; the
/// environment variable FREYJA_SEED replays it.
pub(super) struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    pub(super) fn new(default_seed: u64) -> Self {
        let given = std::env::var("FREYJA_SEED").ok();
        let seed = given.map_or(default_seed, |seed| seed.parse().unwrap());
        Self { seed, state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with FREYJA_SEED={}", self.seed);
        }
    }
}

pub(super) fn location(raw: u64) -> Location {
    Location::new(raw).unwrap()
}

/// An index beside a plain map that says what it must hold.
pub(super) struct Model<H: KeyHash = SeededHash> {
    pub(super) index: Index<H>,
    pub(super) map: HashMap<Vec<u8>, Location>,
}

impl Model {
    pub(super) fn new(options: &IndexOptions) -> Self {
        Self::over(Index::new(options).unwrap())
    }
}

impl<H: KeyHash> Model<H> {
    pub(super) fn over(index: Index<H>) -> Self {
        Self {
            index,
            map: HashMap::new(),
        }
    }

    pub(super) fn put(&mut self, key: &[u8], location: Location) {
        let guard = epoch::pin();
        let previous = self.map.insert(key.to_vec(), location);
        match self.index.entry(&guard, self.index.hash(key), key).unwrap() {
            Entry::Occupied(entry) => {
                assert_eq!(Some(entry.location()), previous);
                entry.replace(location);
            }
            Entry::Vacant(entry) => {
                assert_eq!(previous, None);
                entry.insert(location);
            }
        }
    }

    pub(super) fn give_up(&self, key: &[u8]) {
        let guard = epoch::pin();
        let entry = self.index.entry(&guard, self.index.hash(key), key).unwrap();
        assert_eq!(
            matches!(entry, Entry::Occupied(_)),
            self.map.contains_key(key)
        );
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        let guard = epoch::pin();
        let entry = self.index.occupied(&guard, self.index.hash(key), key);
        assert_eq!(
            entry.as_ref().map(|entry| entry.location()),
            self.map.remove(key)
        );
        if let Some(entry) = entry {
            entry.remove();
        }
    }

    pub(super) fn check_key(&self, key: &[u8]) {
        let guard = epoch::pin();
        let hash = self.index.hash(key);
        let expected = self.map.get(key).copied();
        assert_eq!(self.index.locate(&guard, hash, key), expected);
        assert_eq!(self.index.contains(&guard, hash, key), expected.is_some());
        let found = self.index.find(&guard, hash, |location| {
            (Some(location) == expected).then_some(location)
        });
        assert_eq!(found, expected);
    }

    /// Compares everything that can be observed.
    pub(super) fn check(&self) {
        self.map.keys().for_each(|key| self.check_key(key));
        let mut visited = HashMap::new();
        let each = self.index.for_each(|key, location| {
            assert_eq!(
                visited.insert(key.to_vec(), location),
                None,
                "visited twice"
            );
        });
        each.unwrap();
        assert!(
            visited == self.map,
            "for_each visits every key once, with its location"
        );
        self.check_statistics();
    }

    pub(super) fn check_statistics(&self) {
        let figures = self.index.statistics();
        let lengths = || self.map.keys().map(|key| key.len() as u64);
        let prefix = |length: u64| 1 + u64::from(length >= 128) + u64::from(length >= 16384);
        assert_eq!(self.index.len(), self.map.len() as u64);
        assert_eq!(self.index.is_empty(), self.map.is_empty());
        assert_eq!(figures.keys, self.map.len() as u64);
        assert_eq!(figures.key_bytes, lengths().sum::<u64>());
        assert_eq!(
            figures.slab_live_bytes,
            lengths().map(|length| length + prefix(length)).sum::<u64>()
        );
        let page_bytes = self.index.slab_page_bytes as u64;
        assert_eq!(
            figures.slab_allocated_bytes,
            figures.slab_count * page_bytes
        );
        assert_eq!(
            figures.slab_live_bytes + figures.slab_wasted_bytes,
            figures.slab_allocated_bytes
        );
        assert!(figures.slots >= figures.keys && figures.index_bytes * 10 >= figures.slots * 96);
        assert!(figures.stash_entries <= figures.keys && figures.shards >= 1);
    }
}
