use std::time::Duration;

use super::*;
use crate::ErrorKind;

pub(super) fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_le_bytes());
    key[8..].copy_from_slice(&(!number).to_be_bytes());
    key
}

/// Lets replaced tables be freed: when those who hold a guard now have dropped it, which other tests of this process may take seconds
/// for, a few rounds of collection suffice.
pub(super) fn settle() {
    (0..600).find(|_| epoch::outlast());
    for _ in 0..100 {
        epoch::pin().flush();
        std::thread::yield_now();
    }
}

/// Settles until `done`, for a minute at most: other tests of this process may hold guards for many seconds.
pub(super) fn settle_until(mut done: impl FnMut() -> bool, what: &str) {
    for _ in 0..60_000 {
        if done() {
            return;
        }
        settle();
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{what}");
}

/// As if each key's record took 128 bytes.
fn location_bits(number: u64) -> u32 {
    location(8 * number + 1).bits()
}

pub(super) fn put(index: &Index, number: u64) -> crate::Result<()> {
    let guard = epoch::pin();
    match index.entry(
        &guard,
        index.hash(&key(number)),
        &key(number),
        location_bits(number),
    )? {
        Entry::Occupied(entry) => entry.replace(location(8 * number + 1)),
        Entry::Vacant(entry) => entry.insert(location(8 * number + 1)),
    }
    Ok(())
}

pub(super) fn remove(index: &Index, number: u64) {
    let guard = epoch::pin();
    index
        .occupied(&guard, index.hash(&key(number)), &key(number))
        .unwrap()
        .unwrap()
        .remove();
}

/// Bytes a key besides the keys that are in memory.
fn overhead(index: &Index) -> f64 {
    let figures = index.statistics();
    let keys = match index.memory.key_storage {
        KeyStorage::InMemory => figures.key_bytes,
        KeyStorage::OnDisk => 0,
    };
    (figures.index_bytes + figures.slab_allocated_bytes - keys) as f64 / figures.keys as f64
}

/// The highest and the average overhead on the way from 20,000 to 400,000 keys.
fn overhead_while_filling(index: &Index) -> (f64, f64) {
    let (mut worst, mut sum, mut count): (f64, f64, f64) = (0.0, 0.0, 0.0);
    for number in 0..400_000 {
        put(index, number).unwrap();
        if number == 999 {
            println!("{} bytes for 1,000 keys", overhead(index) * 1000.0);
        }
        if number > 20_000 && number % 200 == 0 {
            let bytes = overhead(index);
            (worst, sum, count) = (worst.max(bytes), sum + bytes, count + 1.0);
        }
    }
    println!("{worst} at most, {} on the average", sum / count);
    (worst, sum / count)
}

#[test]
fn sixteen_byte_keys_cost_at_most_thirteen_bytes_more_at_any_number_of_keys() {
    let (worst, _) = overhead_while_filling(&in_memory(&OPTIONS));
    assert!(worst <= 13.0, "{worst} bytes a key");
}

/// The log of `put`.
pub(super) struct Records;

impl KeyReader for Records {
    fn matches(&self, _: &epoch::Guard, location: Location, wanted: &[u8]) -> Result<bool> {
        Ok(key(location.raw() / 8) == wanted)
    }

    fn read(&self, _: &epoch::Guard, location: Location, into: &mut Vec<u8>) -> Result<()> {
        *into = key(location.raw() / 8).to_vec();
        Ok(())
    }
}

#[test]
fn keys_on_disk_cost_seven_bytes_at_any_number_of_keys() {
    let index = Index::new(&options(KeyStorage::OnDisk), Arc::new(Records)).unwrap();
    let (worst, average) = overhead_while_filling(&index);
    assert_eq!(index.statistics().slab_allocated_bytes, 0);
    assert!(worst <= 7.4, "{worst} bytes a key");
    assert!(average <= 7.1, "{average} bytes a key");
}

#[test]
fn an_empty_index_takes_three_pages_at_most() {
    let figures = in_memory(&OPTIONS).statistics();
    assert!(
        figures.index_bytes + figures.slab_allocated_bytes <= 3 * 4096,
        "{figures:?}"
    );
}

/// In a process of its own: where other tests hold guards, cells come free late, and what is built meanwhile lies behind them.
#[test]
#[cfg(not(miri))]
fn once_readers_are_gone_only_live_shards_have_pages_and_their_cells_lie_close_together() {
    // Says that this process runs this test alone.
    const ALONE: &str = "FREYJA_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "index::tests::memory::once_readers_are_gone_only_live_shards_have_pages_and_their_cells_lie_close_together"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&alone.stdout);
        assert!(
            alone.status.success() && told.contains("1 passed"),
            "{told}"
        );
        return;
    }
    for key_storage in [KeyStorage::InMemory, KeyStorage::OnDisk] {
        let index = Index::new(&options(key_storage), Arc::new(Records)).unwrap();
        (0..200_000).for_each(|number| put(&index, number).unwrap());
        let many = index.statistics().shards;
        (20_000..200_000).for_each(|number| remove(&index, number));
        let few = index.statistics().shards;
        assert!(few <= many / 4, "{many} shards became {few}");
        // What is in use is all that was handed out, but for what is free beside other cells.
        let unused = || {
            let figures = index.statistics();
            figures.idle_bytes - index.memory.arena.statistics().idle_bytes as u64
        };
        let cells = || index.memory.cells.allocated_bytes() as u64;
        let is_settled = || unused() < cells() && cells() <= 4096 + few * 2048;
        settle_until(is_settled, "pages that no shard needs are kept");
    }
}

#[test]
fn memory_falls_after_a_mass_of_removals_and_churn_adds_little() {
    let index = in_memory(&OPTIONS);
    let total = |index: &Index| {
        let figures = index.statistics();
        figures.index_bytes + figures.slab_allocated_bytes
    };
    let count = 200_000;
    (0..count).for_each(|number| put(&index, number).unwrap());
    let full = total(&index);
    for round in 0..2 {
        for number in (0..count).filter(|number| number % 2 == round) {
            remove(&index, number);
            put(&index, number).unwrap();
        }
    }
    assert!(
        total(&index) as f64 <= full as f64 * 1.12,
        "{} after churn, {full} before",
        total(&index)
    );
    let churned = total(&index);
    (0..count)
        .filter(|number| number % 10 != 0)
        .for_each(|number| remove(&index, number));
    assert_eq!(index.len(), count / 10);
    assert!(
        total(&index) * 5 < churned,
        "{} of {churned} left",
        total(&index)
    );
    // What other tests still keep from being freed counts as used, of which more may be idle.
    let arena = || index.memory.arena.statistics();
    settle_until(|| arena().idle_bytes <= 1 << 20, "idle pages are kept");
    (0..count)
        .filter(|number| number % 10 == 0)
        .for_each(|number| remove(&index, number));
    settle();
    assert_eq!(index.statistics().key_bytes, 0);
}

#[test]
fn inserting_and_removing_at_a_boundary_does_not_rebuild_again_and_again() {
    let index = in_memory(&OPTIONS);
    let mut rebuilds = 0;
    let mut slots = 0;
    for number in 0..3000 {
        put(&index, number).unwrap();
        for _ in 0..5 {
            remove(&index, number);
            put(&index, number).unwrap();
            let now = index.statistics().slots;
            rebuilds += u32::from(now != slots);
            slots = now;
        }
    }
    assert!(
        rebuilds <= 10,
        "{rebuilds} changes of size on the way to 3000 keys"
    );
}

#[test]
fn without_memory_an_insertion_fails_cleanly_and_goes_on_when_there_is_room() {
    let index = Index::with_hash(&OPTIONS, SeededHash::new(1), Arc::new(NoLog), 6 << 20).unwrap();
    let mut count = 0;
    let error = loop {
        match put(&index, count) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Memory);
    // Not exactly how many: tables that other tests keep from being freed count as well.
    assert!(count > 10_000, "{count} keys in 6 MiB");
    assert_eq!(index.len(), count);
    let guard = epoch::pin();
    for number in 0..count {
        let found = index
            .locate(&guard, index.hash(&key(number)), &key(number))
            .unwrap();
        assert_eq!(found, Some(location(8 * number + 1)));
    }
    assert!(
        !index
            .contains(&guard, index.hash(&key(count)), &key(count))
            .unwrap()
    );
    drop(guard);
    (0..count).for_each(|number| remove(&index, number));
    for number in 0..count / 2 {
        settle_until(
            || put(&index, number).is_ok(),
            "the memory of the removed keys is not free again",
        );
    }
    assert_eq!(index.len(), count / 2);
}

#[test]
fn dropping_an_index_frees_all_its_pages() {
    let index = in_memory(&OPTIONS);
    (0..50_000).for_each(|number| put(&index, number).unwrap());
    let arena = Arc::downgrade(&index.memory.arena);
    drop(index);
    settle_until(|| arena.strong_count() == 0, "tables are still held");
}

fn many_keys_stay_reachable_and_small(count: u64) {
    for (key_storage, bytes) in [(KeyStorage::InMemory, 13.0), (KeyStorage::OnDisk, 7.4)] {
        let index = Index::new(&options(key_storage), Arc::new(Records)).unwrap();
        put_many_and_look(&index, count);
        assert!(overhead(&index) <= bytes);
    }
}

fn put_many_and_look(index: &Index, count: u64) {
    (0..count).for_each(|number| put(index, number).unwrap());
    assert_eq!(index.len(), count);
    let guard = epoch::pin();
    for number in 0..count {
        let found = index
            .locate(&guard, index.hash(&key(number)), &key(number))
            .unwrap();
        assert_eq!(found, Some(location(8 * number + 1)));
    }
    let absent = |number| {
        !index
            .contains(&guard, index.hash(&key(number)), &key(number))
            .unwrap()
    };
    assert!((count..2 * count).all(absent));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes long without optimisation")]
fn a_million_keys_stay_reachable_and_small() {
    many_keys_stay_reachable_and_small(1_000_000);
}

#[test]
#[ignore = "takes 300 MB: cargo test --release --lib ten_million_keys -- --ignored"]
fn ten_million_keys_stay_reachable_and_small() {
    many_keys_stay_reachable_and_small(10_000_000);
}
