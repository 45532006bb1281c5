//! Who goes through the shards meets every key once, also while shards split and merge.

use std::collections::HashSet;

use super::memory::{put, remove};
use super::shrink::{MANY, filled, shards};
use super::*;
use crate::index::ShardSnapshot;
use crate::index::image::{ShardSummary, following};
use crate::memory::scratch::Scratch;

/// Goes through the index by snapshots, and lets `between` happen after each. Answers how often each location was met.
fn walk(index: &Index, mut between: impl FnMut()) -> HashMap<Location, u64> {
    let mut met = HashMap::new();
    let mut snapshot = ShardSnapshot::default();
    let mut next = Some(0);
    while let Some(hash) = next {
        next = index
            .snapshot_shard(&epoch::pin(), hash, &mut snapshot)
            .unwrap();
        for entry in snapshot.entries() {
            *met.entry(entry.location).or_default() += 1;
        }
        between();
    }
    met
}

#[test]
fn who_goes_through_the_shards_meets_each_key_once_while_they_merge_and_split() {
    for key_storage in STORAGES {
        let index = filled(key_storage, 0..MANY);
        let mut gone = 0..MANY / 10 * 9;
        let mut back = 0..MANY / 10 * 9;
        let before = shards(&index);
        let mut fewest = before;
        let mut pass = 0;
        while !back.is_empty() {
            let met = walk(&index, || {
                // Part of a pass each time, so that passes begin and end at many stages.
                gone.by_ref()
                    .take(700)
                    .for_each(|number| remove(&index, number));
                if gone.is_empty() {
                    back.by_ref()
                        .take(900)
                        .for_each(|number| put(&index, number).unwrap());
                }
                fewest = fewest.min(shards(&index));
            });
            assert!(met.values().all(|times| *times == 1), "pass {pass}");
            let throughout = MANY / 10 * 9..MANY;
            for number in throughout {
                assert!(
                    met.contains_key(&location(8 * number + 1)),
                    "pass {pass}: key {number}"
                );
            }
            pass += 1;
        }
        assert!(fewest * 4 < before && shards(&index) > fewest);
    }
}

#[test]
fn a_walk_that_pauses_while_the_index_shrinks_to_one_shard_goes_on_where_it_was() {
    let index = filled(KeyStorage::OnDisk, 0..MANY);
    let mut first = true;
    let mut seen = HashSet::new();
    let met = walk(&index, || {
        if std::mem::take(&mut first) {
            (1000..MANY).for_each(|number| remove(&index, number));
            assert_eq!(shards(&index), 1);
        }
    });
    for (place, times) in met {
        assert_eq!(times, 1);
        seen.insert(place.raw() / 8);
    }
    assert!((0..1000).all(|number| seen.contains(&number)));
}

#[test]
fn exported_shards_cover_every_hash_once_while_shards_merge() {
    for key_storage in STORAGES {
        let index = filled(key_storage, 0..MANY);
        let mut gone = 1000..MANY;
        let mut shards: Vec<ShardSummary> = Vec::new();
        let mut replaced = 0;
        let mut next = Some(0);
        while let Some(hash) = next {
            let summary = index.export_shard(hash, &mut Scratch::default()).unwrap();
            next = following(hash, summary.depth);
            let kept = shards.partition_point(|shard| shard.first_hash < summary.first_hash);
            replaced += shards.len() - kept;
            shards.truncate(kept);
            shards.push(summary);
            gone.by_ref()
                .take(30_000)
                .for_each(|number| remove(&index, number));
        }
        assert!(replaced > 0, "a shard was exported before it was merged");
        let mut covered = Some(0);
        for shard in &shards {
            assert_eq!(Some(shard.first_hash), covered);
            covered = following(shard.first_hash, shard.depth);
        }
        assert_eq!(covered, None);
    }
}
