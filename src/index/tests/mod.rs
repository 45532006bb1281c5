mod batch;
mod collisions;
mod concurrency;
mod damage;
mod halves;
mod image;
mod memory;
mod model;
mod moves;
mod shrink;
mod walks;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Entry, Index, IndexOptions, KeyHash, KeyReader, KeyStorage, Location, SeededHash};
use crate::memory::epoch;
use crate::{Error, ErrorKind, Result};

pub(super) const OPTIONS: IndexOptions = IndexOptions {
    seed: 0x5eed,
    slab_page_bytes: 4096,
    expected_keys: 0,
    key_storage: KeyStorage::InMemory,
};

pub(super) const STORAGES: [KeyStorage; 2] = [KeyStorage::InMemory, KeyStorage::OnDisk];

pub(super) fn options(key_storage: KeyStorage) -> IndexOptions {
    IndexOptions {
        key_storage,
        ..OPTIONS
    }
}

/// A log of records that are nothing but their keys.
#[derive(Default)]
pub(super) struct Log {
    records: Mutex<HashMap<Location, Record>>,
    pub(super) compared: AtomicU64,
    pub(super) read: AtomicU64,
}

pub(super) enum Record {
    Intact(Vec<u8>),
    /// Reads as one of this key, but may be wrong.
    Damaged(Vec<u8>),
    /// Cannot be looked at now.
    Unreadable,
}

impl Log {
    pub(super) fn write(&self, location: Location, record: Record) {
        self.records.lock().insert(location, record);
    }

    pub(super) fn has(&self, location: Location) -> bool {
        self.records.lock().contains_key(&location)
    }
}

impl KeyReader for Log {
    fn matches(&self, _: &epoch::Guard, location: Location, key: &[u8]) -> Result<bool> {
        self.compared.fetch_add(1, Ordering::Relaxed);
        match self.records.lock().get(&location) {
            Some(Record::Intact(stored)) => Ok(stored == key),
            Some(Record::Damaged(stored)) if stored == key => Ok(true),
            Some(Record::Damaged(_)) => Err(Error::new(ErrorKind::Corrupt, "damaged")),
            Some(Record::Unreadable) => Err(Error::new(ErrorKind::Io, "unreadable")),
            None => panic!("no record was ever written at {location:?}"),
        }
    }

    fn read(&self, _: &epoch::Guard, location: Location, key: &mut Vec<u8>) -> Result<()> {
        self.read.fetch_add(1, Ordering::Relaxed);
        match self.records.lock().get(&location) {
            Some(Record::Intact(stored) | Record::Damaged(stored)) => {
                key.clone_from(stored);
                Ok(())
            }
            _ => Err(Error::new(ErrorKind::Io, "unreadable")),
        }
    }
}

/// A log of which an index whose keys are all in memory must never ask anything.
pub(super) struct NoLog;

impl KeyReader for NoLog {
    fn matches(&self, _: &epoch::Guard, _: Location, _: &[u8]) -> Result<bool> {
        panic!("the key is in memory");
    }

    fn read(&self, _: &epoch::Guard, _: Location, _: &mut Vec<u8>) -> Result<()> {
        panic!("the key is in memory");
    }
}

/// An index with keys in memory only.
pub(super) fn in_memory(options: &IndexOptions) -> Index {
    assert_eq!(options.key_storage, KeyStorage::InMemory);
    Index::new(options, Arc::new(NoLog)).unwrap()
}

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

/// An index beside a plain map that says what it must hold, and a log of all records there ever were.
pub(super) struct Model<H: KeyHash = SeededHash> {
    pub(super) index: Index<H>,
    pub(super) map: HashMap<Vec<u8>, Location>,
    pub(super) log: Arc<Log>,
}

impl Model {
    pub(super) fn new(options: &IndexOptions) -> Self {
        let log = Arc::new(Log::default());
        Self::over(Index::new(options, log.clone()).unwrap(), log)
    }
}

impl<H: KeyHash> Model<H> {
    pub(super) fn with_hash(options: &IndexOptions, hash: H) -> Self {
        let log = Arc::new(Log::default());
        Self::over(
            Index::with_hash(options, hash, log.clone(), usize::MAX).unwrap(),
            log,
        )
    }

    pub(super) fn over(index: Index<H>, log: Arc<Log>) -> Self {
        Self {
            index,
            map: HashMap::new(),
            log,
        }
    }

    /// A location below 2^`bits` where no record has been.
    pub(super) fn fresh_location(&self, random: &mut Random, bits: u32) -> Location {
        loop {
            let place = location(1 + random.below((1 << bits) - 1));
            if !self.log.has(place) {
                return place;
            }
        }
    }

    pub(super) fn put(&mut self, key: &[u8], location: Location) {
        let guard = epoch::pin();
        self.log.write(location, Record::Intact(key.to_vec()));
        let previous = self.map.insert(key.to_vec(), location);
        let hash = self.index.hash(key);
        match self
            .index
            .entry(&guard, hash, key, location.bits())
            .unwrap()
        {
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
        let entry = self.index.entry(&guard, self.index.hash(key), key, 1);
        assert_eq!(
            matches!(entry.unwrap(), Entry::Occupied(_)),
            self.map.contains_key(key)
        );
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        let guard = epoch::pin();
        let entry = self.index.occupied(&guard, self.index.hash(key), key);
        let entry = entry.unwrap();
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
        assert_eq!(self.index.locate(&guard, hash, key).unwrap(), expected);
        let contained = self.index.contains(&guard, hash, key);
        assert_eq!(contained.unwrap(), expected.is_some());
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
        self.check_fingerprints();
        self.check_statistics();
    }

    /// Every entry's place and slot must give back what the table claims to know of its hash.
    fn check_fingerprints(&self) {
        let mut scratch = Vec::new();
        let mut first_hash = Some(0_u64);
        while let Some(first) = first_hash {
            let guard = epoch::pin();
            let (shard, _writer) = self.index.lock(&guard, first);
            let table = shard.table().load(&guard);
            let each = table.for_each(|stored| {
                let (location, reference) = (stored.location, stored.reference);
                let key = self
                    .index
                    .key_of(table, &guard, location, reference, &mut scratch)?;
                let hash = self.index.hash(key);
                let known = table.encoding().fingerprint_of(hash);
                assert_eq!(stored.fingerprint, known);
                Ok(())
            });
            each.unwrap();
            first_hash = super::image::following(first, shard.depth());
        }
    }

    pub(super) fn check_statistics(&self) {
        let figures = self.index.statistics();
        let lengths = || self.map.keys().map(|key| key.len() as u64);
        let prefix = |length: u64| 1 + u64::from(length >= 128) + u64::from(length >= 16384);
        assert_eq!(self.index.len(), self.map.len() as u64);
        assert_eq!(self.index.is_empty(), self.map.is_empty());
        assert_eq!(figures.keys, self.map.len() as u64);
        assert_eq!(figures.key_bytes, lengths().sum::<u64>());
        let in_memory = self.index.memory.key_storage == KeyStorage::InMemory;
        assert!(in_memory || figures.slab_count == 0 && figures.missing_keys == 0);
        if in_memory && figures.missing_keys == 0 {
            assert_eq!(
                figures.slab_live_bytes,
                lengths().map(|length| length + prefix(length)).sum::<u64>()
            );
        }
        assert_eq!(figures.missing_keys, self.index.missing_keys());
        let page_bytes = self.index.memory.slab_page_bytes as u64;
        assert_eq!(
            figures.slab_allocated_bytes,
            figures.slab_count * page_bytes
        );
        assert_eq!(
            figures.slab_live_bytes + figures.slab_wasted_bytes,
            figures.slab_allocated_bytes
        );
        let bucket_bytes = if in_memory { 96 } else { 64 };
        assert!(figures.slots >= figures.keys);
        assert!(figures.index_bytes * 10 >= figures.slots * bucket_bytes);
        assert!(figures.stash_entries <= figures.keys && figures.shards >= 1);
    }
}

/// As long as the log has no more than 512 bytes a key, whoever says how many keys will come pays for no table twice.
#[test]
fn tables_made_for_expected_keys_stay_while_the_log_grows() {
    let expected_keys = if cfg!(miri) { 1000 } else { 40_000 };
    let index = in_memory(&IndexOptions {
        expected_keys,
        ..OPTIONS
    });
    // Held throughout, so that no table that was replaced makes room for another at its place.
    let guard = epoch::pin();
    let tables = || -> Vec<_> {
        let shards = (0..16_u64).map(|part| part << (u64::BITS - 4));
        shards
            .map(|hash| std::ptr::from_ref(index.table(&guard, hash)))
            .collect()
    };
    let before = tables();
    // All that come would fill some shards by chance.
    for number in 1..expected_keys / 2 {
        let location = Location::new(number * 2 * 32 - 1).unwrap();
        let key = number.to_le_bytes();
        let hash = index.hash(&key);
        match index.entry(&guard, hash, &key, location.bits()).unwrap() {
            Entry::Vacant(vacant) => vacant.insert(location),
            Entry::Occupied(_) => panic!("{number} is new"),
        }
    }
    assert_eq!(tables(), before);
}
