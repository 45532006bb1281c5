//! Shards as bytes: what comes back is what was there, and wrong bytes cost a rebuild and nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::image::{ShardSource, ShardSummary, following};
use super::{Model, OPTIONS, Random, location};
use crate::error::Result;
use crate::index::{BulkIndex, Entry, Index, Location, SeededHash};
use crate::memory::epoch;

struct Source {
    shards: HashMap<u64, Vec<u8>>,
    truth: HashMap<Vec<u8>, Location>,
    asked: AtomicU64,
}

impl ShardSource for Source {
    fn bytes(&self, shard: &ShardSummary) -> Result<Option<Vec<u8>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.shards.get(&shard.first_hash).cloned())
    }

    fn may_hold(&self, location: Location) -> bool {
        location.raw() < 1 << 30
    }

    fn rebuild(&self, belongs: &dyn Fn(&[u8]) -> bool) -> Result<HashMap<Vec<u8>, Location>> {
        let entries = self.truth.iter().filter(|(key, _)| belongs(key));
        Ok(entries.map(|(key, place)| (key.clone(), *place)).collect())
    }

    fn catch_up(&self, _: &ShardSummary, _: &dyn BulkIndex) -> Result<()> {
        Ok(())
    }
}

fn model(keys: u64, random: &mut Random) -> Model {
    let mut model = Model::new(&OPTIONS);
    for number in 0..keys {
        let length = [4, 12, 40, 300][random.below(4) as usize];
        let mut key = number.to_le_bytes().to_vec();
        key.resize(8 + length, 7);
        model.put(&key, location(random.below((1 << 30) - 1) + 1));
    }
    model
}

fn export(model: &Model) -> (Vec<ShardSummary>, Source) {
    let mut summaries = Vec::new();
    let mut shards = HashMap::new();
    let mut next = Some(0);
    while let Some(hash) = next {
        let mut bytes = Vec::new();
        let summary = model.index.export_shard(hash, &mut bytes).unwrap();
        next = following(hash, summary.depth);
        shards.insert(summary.first_hash, bytes);
        summaries.push(summary);
    }
    let source = Source {
        shards,
        truth: model.map.clone(),
        asked: AtomicU64::new(0),
    };
    (summaries, source)
}

fn reopen(summaries: &[ShardSummary], source: Arc<Source>) -> Index {
    Index::absent(&OPTIONS, SeededHash::new(OPTIONS.seed), summaries, source).unwrap()
}

fn agrees(index: &Index, truth: &HashMap<Vec<u8>, Location>) {
    assert_eq!(index.len(), truth.len() as u64);
    for (key, place) in truth {
        let guard = epoch::pin();
        let hash = index.hash(key);
        index.make_present(&guard, hash).unwrap();
        assert_eq!(index.locate(&guard, hash, key), Some(*place));
    }
    let mut count = 0;
    index.for_each(|_, _| count += 1).unwrap();
    assert_eq!(count, truth.len());
}

#[test]
fn an_index_comes_back_from_its_shards_bytes_and_can_be_written_to() {
    let mut random = Random::new(31);
    for keys in [0, 1, 10, 700, 60_000] {
        let model = model(keys, &mut random);
        let (summaries, source) = export(&model);
        let before = model.index.statistics();
        let index = reopen(&summaries, Arc::new(source));
        let after = index.statistics();
        assert_eq!(
            (before.keys, before.key_bytes, before.slab_live_bytes),
            (after.keys, after.key_bytes, after.slab_live_bytes),
            "the figures are right before anything is loaded"
        );
        agrees(&index, &model.map);
        assert_eq!(index.loaded_shards(), (summaries.len() as u64, 0));
        assert_eq!(index.statistics().stash_entries, before.stash_entries);
        let mut truth = model.map;
        for number in 0..keys.max(100) {
            let key = [b"new", &number.to_be_bytes()[..]].concat();
            let guard = epoch::pin();
            let hash = index.hash(&key);
            let Entry::Vacant(vacant) = index.entry(&guard, hash, &key).unwrap() else {
                panic!("a new key was there");
            };
            vacant.insert(location(number + 1));
            truth.insert(key, location(number + 1));
        }
        for key in truth
            .keys()
            .take(keys as usize / 2)
            .cloned()
            .collect::<Vec<_>>()
        {
            let guard = epoch::pin();
            let occupied = index.occupied(&guard, index.hash(&key), &key);
            occupied.unwrap().remove();
            truth.remove(&key);
        }
        agrees(&index, &truth);
    }
}

#[test]
fn a_shard_is_loaded_when_it_is_first_touched_and_no_other() {
    let model = model(120_000, &mut Random::new(32));
    let (summaries, source) = export(&model);
    assert!(summaries.len() > 2);
    let source = Arc::new(source);
    let index = reopen(&summaries, source.clone());
    assert_eq!(source.asked.load(Ordering::Relaxed), 0);
    let key = model.map.keys().next().unwrap();
    for _ in 0..2 {
        index.make_present(&epoch::pin(), index.hash(key)).unwrap();
        assert_eq!(source.asked.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn wrong_bytes_are_noticed_or_harmless_and_a_missing_shard_is_rebuilt() {
    let mut random = Random::new(33);
    let model = model(900, &mut random);
    for round in 0..400 {
        let (summaries, mut source) = export(&model);
        let bytes = source.shards.get_mut(&0).unwrap();
        match round % 4 {
            0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            1 => bytes.push(0),
            2 => {
                let position = random.below(16) as usize;
                bytes[position] ^= 1 << random.below(8);
            }
            _ => {
                let position = random.below(bytes.len() as u64) as usize;
                bytes[position] ^= 1 << random.below(8);
            }
        }
        let index = reopen(&summaries, Arc::new(source));
        index.make_all_present(|| true).unwrap();
        if index.loaded_shards().1 > 0 || round % 4 < 3 {
            assert_eq!(index.loaded_shards().1, summaries.len().min(1) as u64);
            agrees(&index, &model.map);
        }
        // What no check can see, since the checksum around the bytes is there for it, must at least not panic.
        for key in model.map.keys() {
            let guard = epoch::pin();
            let hash = index.hash(key);
            index.locate(&guard, hash, key);
            if let Some(occupied) = index.occupied(&guard, hash, key) {
                occupied.remove();
            }
        }
    }
}

#[test]
fn many_threads_may_touch_absent_shards_at_once() {
    let model = model(40_000, &mut Random::new(34));
    let (summaries, mut source) = export(&model);
    let removed = summaries[summaries.len() / 2].first_hash;
    source.shards.remove(&removed);
    let index = reopen(&summaries, Arc::new(source));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (key, place) in &model.map {
                    let guard = epoch::pin();
                    let hash = index.hash(key);
                    index.make_present(&guard, hash).unwrap();
                    assert_eq!(index.locate(&guard, hash, key), Some(*place));
                }
            });
        }
    });
    assert_eq!(index.loaded_shards(), (summaries.len() as u64, 1));
}
