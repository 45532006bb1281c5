//! Shards as bytes: what comes back is what was there, and wrong bytes cost a rebuild and nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::image::{ShardSource, ShardSummary, Whereabouts, following};
use super::{Log, Model, OPTIONS, Random, Record, STORAGES, location, options};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{BulkIndex, Entry, Index, KeyReader, KeyStorage, Location, SeededHash};
use crate::memory::epoch;
use crate::memory::scratch::Scratch;

struct Source {
    shards: HashMap<u64, Vec<u8>>,
    truth: HashMap<Vec<u8>, Location>,
    asked: AtomicU64,
    /// No record lies there, or behind.
    end: u64,
    /// What has become of records since the shards were exported.
    moves: Box<dyn Fn(Location) -> Whereabouts + Send + Sync>,
}

impl ShardSource for Source {
    fn bytes(&self, shard: &ShardSummary) -> Result<Option<Vec<u8>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.shards.get(&shard.first_hash).cloned())
    }

    fn may_hold(&self, _: &epoch::Guard, location: Location) -> bool {
        location.raw() < self.end
    }

    fn whereabouts(&self, location: Location) -> Option<Whereabouts> {
        Some((self.moves)(location))
    }

    fn rebuild(&self, belongs: &dyn Fn(&[u8]) -> bool) -> Result<HashMap<Vec<u8>, Location>> {
        let entries = self.truth.iter().filter(|(key, _)| belongs(key));
        Ok(entries.map(|(key, place)| (key.clone(), *place)).collect())
    }

    fn catch_up(&self, _: &ShardSummary, _: &dyn BulkIndex) -> Result<()> {
        Ok(())
    }
}

fn model(keys: u64, key_storage: KeyStorage, random: &mut Random) -> Model {
    let mut model = Model::new(&options(key_storage));
    for number in 0..keys {
        let length = [4, 12, 40, 300][random.below(4) as usize];
        let mut key = number.to_le_bytes().to_vec();
        key.resize(8 + length, 7);
        let place = model.fresh_location(random, 30);
        model.put(&key, place);
    }
    model
}

fn export(model: &Model) -> (Vec<ShardSummary>, Source) {
    let mut summaries = Vec::new();
    let mut shards = HashMap::new();
    let mut next = Some(0);
    while let Some(hash) = next {
        let mut bytes = Scratch::default();
        let summary = model.index.export_shard(hash, &mut bytes).unwrap();
        next = following(hash, summary.depth);
        shards.insert(summary.first_hash, bytes.to_vec());
        summaries.push(summary);
    }
    let source = Source {
        shards,
        truth: model.map.clone(),
        asked: AtomicU64::new(0),
        end: 1 << 30,
        moves: Box::new(|_| Whereabouts::Here),
    };
    (summaries, source)
}

fn reopen(
    summaries: &[ShardSummary],
    source: Arc<Source>,
    reader: Arc<dyn KeyReader>,
    key_storage: KeyStorage,
) -> Index {
    let hasher = SeededHash::new(OPTIONS.seed);
    Index::absent(
        &options(key_storage),
        hasher,
        reader,
        summaries,
        source,
        Arc::default(),
    )
    .unwrap()
}

fn agrees(index: &Index, truth: &HashMap<Vec<u8>, Location>) {
    assert_eq!(index.len(), truth.len() as u64);
    for (key, place) in truth {
        let guard = epoch::pin();
        let hash = index.hash(key);
        index.make_present(&guard, hash).unwrap();
        assert_eq!(index.locate(&guard, hash, key).unwrap(), Some(*place));
    }
    let mut count = 0;
    index.for_each(|_, _| count += 1).unwrap();
    assert_eq!(count, truth.len());
}

fn put(index: &Index, log: &Log, key: &[u8], place: Location) {
    log.write(place, Record::Intact(key.to_vec()));
    let guard = epoch::pin();
    let hash = index.hash(key);
    index.make_present(&guard, hash).unwrap();
    match index.entry(&guard, hash, key, place.bits()).unwrap() {
        Entry::Occupied(entry) => entry.replace(place),
        Entry::Vacant(entry) => entry.insert(place),
    }
}

/// Records were moved, or are gone, since the shards were exported: their entries follow them when they are loaded.
#[test]
fn entries_follow_their_records_wherever_these_have_been_moved() {
    for key_storage in STORAGES {
        for (keys, bits) in [(1, 30), (700, 30), (700, 36), (40_000, 30), (40_000, 36)] {
            let mut random = Random::new(keys + u64::from(bits));
            let model = model(keys, key_storage, &mut random);
            let (summaries, mut source) = export(&model);
            let mut truth = HashMap::new();
            let mut moves = HashMap::new();
            for (key, place) in &model.map {
                let now = match random.below(3) {
                    0 => Whereabouts::Here,
                    1 => Whereabouts::Gone {
                        key_length: key.len(),
                    },
                    _ => Whereabouts::Moved(model.fresh_location(&mut random, bits)),
                };
                // Nothing is left where they were.
                match now {
                    Whereabouts::Here => drop(truth.insert(key.clone(), *place)),
                    Whereabouts::Gone { .. } => model.log.write(*place, Record::Unreadable),
                    Whereabouts::Moved(to) => {
                        model.log.write(*place, Record::Unreadable);
                        model.log.write(to, Record::Intact(key.clone()));
                        truth.insert(key.clone(), to);
                    }
                }
                moves.insert(*place, now);
            }
            source.end = 1 << bits;
            source.moves = Box::new(move |place| moves[&place]);
            let index = reopen(&summaries, Arc::new(source), model.log.clone(), key_storage);
            index.make_all_present(|| true).unwrap();
            assert_eq!(index.loaded_shards().1, 0, "none is rebuilt");
            agrees(&index, &truth);
            let key_bytes: usize = truth.keys().map(Vec::len).sum();
            let statistics = index.statistics();
            assert_eq!(statistics.key_bytes, key_bytes as u64);
            for number in 0..2000_u64 {
                let key = number.to_be_bytes();
                let place = model.fresh_location(&mut random, 36);
                put(&index, &model.log, &key, place);
                truth.insert(key.to_vec(), place);
            }
            agrees(&index, &truth);
        }
    }
}

#[test]
fn an_index_comes_back_in_either_key_storage_and_can_be_written_to() {
    for (number, from) in STORAGES.into_iter().enumerate() {
        for (other, to) in STORAGES.into_iter().enumerate() {
            let mut random = Random::new(31 + number as u64 * 2 + other as u64);
            for keys in [0, 1, 10, 700, 40_000] {
                come_back_and_write(keys, from, to, &mut random);
            }
        }
    }
}

fn come_back_and_write(keys: u64, from: KeyStorage, to: KeyStorage, random: &mut Random) {
    let model = model(keys, from, random);
    let (summaries, source) = export(&model);
    let before = model.index.statistics();
    let index = reopen(&summaries, Arc::new(source), model.log.clone(), to);
    let after = index.statistics();
    assert_eq!(
        (before.keys, before.key_bytes),
        (after.keys, after.key_bytes),
        "the figures are right before anything is loaded"
    );
    let missing = if to == KeyStorage::InMemory { keys } else { 0 };
    assert_eq!((after.missing_keys, after.slab_live_bytes), (missing, 0));
    agrees(&index, &model.map);
    assert_eq!(index.loaded_shards(), (summaries.len() as u64, 0));
    assert_eq!(index.statistics().stash_entries, before.stash_entries);
    let mut truth = model.map;
    // New keys, and new locations of old ones.
    let old = truth.keys().filter(|_| random.below(4) == 0).cloned();
    let mut written: Vec<Vec<u8>> = old.collect();
    let new = (0..keys.max(100)).map(|number| [b"new", &number.to_be_bytes()[..]].concat());
    written.extend(new);
    for (number, key) in written.iter().enumerate() {
        let place = location((1 << 31) + number as u64);
        put(&index, &model.log, key, place);
        truth.insert(key.clone(), place);
    }
    let removed: Vec<_> = truth.keys().take(keys as usize / 2).cloned().collect();
    for key in removed {
        let guard = epoch::pin();
        let occupied = index.occupied(&guard, index.hash(&key), &key);
        occupied.unwrap().unwrap().remove();
        truth.remove(&key);
    }
    agrees(&index, &truth);
    let compared = model.log.compared.load(Ordering::Relaxed);
    for (key, place) in &truth {
        let guard = epoch::pin();
        let hash = index.hash(key);
        index
            .supply_key(&guard, hash, b"another key", location(5))
            .unwrap();
        index.supply_key(&guard, hash, key, *place).unwrap();
    }
    assert_eq!(index.missing_keys(), 0);
    assert_eq!(model.log.compared.load(Ordering::Relaxed), compared);
    agrees(&index, &truth);
    if to == KeyStorage::InMemory {
        assert_eq!(model.log.compared.load(Ordering::Relaxed), compared);
    }
    let mut supplied = Model::over(index, model.log);
    supplied.map = truth;
    supplied.check();
}

#[test]
fn keys_too_many_for_one_slab_are_supplied_by_splitting_shards() {
    let mut model = Model::new(&options(KeyStorage::OnDisk));
    for number in 0..6000_u64 {
        let mut key = vec![9; 4000];
        key[..8].copy_from_slice(&number.to_le_bytes());
        model.put(&key, location(number + 1));
    }
    let (summaries, source) = export(&model);
    assert_eq!(summaries.len(), 1);
    let to = KeyStorage::InMemory;
    let index = reopen(&summaries, Arc::new(source), model.log.clone(), to);
    for (key, place) in &model.map {
        let guard = epoch::pin();
        index.make_present(&guard, index.hash(key)).unwrap();
        index
            .supply_key(&guard, index.hash(key), key, *place)
            .unwrap();
    }
    assert_eq!(index.missing_keys(), 0);
    assert!(index.statistics().shards > 1);
    let mut supplied = Model::over(index, model.log);
    supplied.map = model.map;
    supplied.check();
}

#[test]
fn a_shard_is_loaded_when_it_is_first_touched_and_no_other() {
    let model = model(120_000, KeyStorage::InMemory, &mut Random::new(32));
    let (summaries, source) = export(&model);
    assert!(summaries.len() > 2);
    let source = Arc::new(source);
    let index = reopen(
        &summaries,
        source.clone(),
        model.log.clone(),
        KeyStorage::InMemory,
    );
    assert_eq!(source.asked.load(Ordering::Relaxed), 0);
    let key = model.map.keys().next().unwrap();
    for _ in 0..2 {
        index.make_present(&epoch::pin(), index.hash(key)).unwrap();
        assert_eq!(source.asked.load(Ordering::Relaxed), 1);
    }
}

/// A log that is asked for places where it has no record.
struct Anywhere(Arc<Log>);

impl KeyReader for Anywhere {
    fn matches(&self, guard: &epoch::Guard, location: Location, key: &[u8]) -> Result<bool> {
        match self.0.has(location) {
            true => self.0.matches(guard, location, key),
            false => Err(Error::new(ErrorKind::Corrupt, "no record")),
        }
    }

    fn read(&self, guard: &epoch::Guard, location: Location, key: &mut Vec<u8>) -> Result<()> {
        self.0.read(guard, location, key)
    }
}

#[test]
fn wrong_bytes_are_noticed_or_harmless_and_a_missing_shard_is_rebuilt() {
    let mut random = Random::new(33);
    let model = model(900, KeyStorage::InMemory, &mut random);
    for round in 0..400 {
        let (summaries, mut source) = export(&model);
        let bytes = source.shards.get_mut(&0).unwrap();
        match round % 4 {
            0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            1 => bytes.push(0),
            2 => {
                let position = random.below(20) as usize;
                bytes[position] ^= 1 << random.below(8);
            }
            _ => {
                let position = random.below(bytes.len() as u64) as usize;
                bytes[position] ^= 1 << random.below(8);
            }
        }
        let reader = Arc::new(Anywhere(model.log.clone()));
        let index = reopen(
            &summaries,
            Arc::new(source),
            reader,
            STORAGES[round / 4 % 2],
        );
        index.make_all_present(|| true).unwrap();
        if index.loaded_shards().1 > 0 || round % 4 < 3 {
            assert_eq!(index.loaded_shards().1, summaries.len().min(1) as u64);
            agrees(&index, &model.map);
        }
        // What no check can see, since the checksum around the bytes is there for it, must at least not panic.
        for key in model.map.keys() {
            let guard = epoch::pin();
            let hash = index.hash(key);
            let _ = index.locate(&guard, hash, key);
            if let Ok(Some(occupied)) = index.occupied(&guard, hash, key) {
                occupied.remove();
            }
        }
    }
}

#[test]
fn a_shard_of_a_shape_that_tables_no_longer_have_is_rebuilt() {
    let model = model(900, KeyStorage::InMemory, &mut Random::new(35));
    let (summaries, mut source) = export(&model);
    // A table of 56 pages with a stash of 14 buckets, consistent in itself; the head's last two numbers are its shape.
    let (main, stash) = (3570_u32, 14_u32);
    let bytes = source.shards.get_mut(&0).unwrap();
    bytes[12..16].copy_from_slice(&main.to_le_bytes());
    bytes[16..20].copy_from_slice(&stash.to_le_bytes());
    let length = 20 + (main + stash) as usize * 64 + stash as usize * 20;
    bytes.resize(length, 0);
    let (source, log) = (Arc::new(source), model.log.clone());
    let index = reopen(&summaries, source, log, KeyStorage::InMemory);
    index.make_all_present(|| true).unwrap();
    assert_eq!(index.loaded_shards().1, 1);
    agrees(&index, &model.map);
}

#[test]
fn many_threads_may_touch_absent_shards_at_once() {
    let model = model(40_000, KeyStorage::InMemory, &mut Random::new(34));
    let (summaries, mut source) = export(&model);
    let removed = summaries[summaries.len() / 2].first_hash;
    source.shards.remove(&removed);
    let index = reopen(
        &summaries,
        Arc::new(source),
        model.log.clone(),
        KeyStorage::InMemory,
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (key, place) in &model.map {
                    let guard = epoch::pin();
                    let hash = index.hash(key);
                    index.make_present(&guard, hash).unwrap();
                    assert_eq!(index.locate(&guard, hash, key).unwrap(), Some(*place));
                }
            });
        }
    });
    assert_eq!(index.loaded_shards(), (summaries.len() as u64, 1));
}
