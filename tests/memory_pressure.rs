//! A store acts as its memory budget fills up, tells who wants to know, and tells all of it as metrics.
#![allow(clippy::disallowed_methods)] // waits by the clock of the test

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use freyja::ErrorKind;
use freyja::memory::pressure::{Level, Thresholds};
use freyja::store::{KeyStorage, Options, Store, SyncMode};

const BUDGET: u64 = 3 << 20;

fn open(background_threads: u32) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        memory_budget: BUDGET,
        sync_mode: SyncMode::None,
        key_storage: KeyStorage::InMemory,
        background_threads,
        ..Options::default()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    (directory, store)
}

fn fill(store: &Store) -> u64 {
    for number in 0_u64.. {
        if let Err(error) = store.put(&number.to_le_bytes(), b"value") {
            assert_eq!(error.kind(), ErrorKind::Memory);
            return number;
        }
    }
    unreachable!("a budget is full before numbers end")
}

#[test]
fn a_filler_that_is_faster_than_any_sample_meets_the_actions() {
    for background_threads in [0, 1] {
        let (_directory, store) = open(background_threads);
        let levels = Arc::new(AtomicU64::new(0));
        let heard = levels.clone();
        let callback = move |assessment: &freyja::memory::pressure::Assessment| {
            assert_eq!(assessment.budget, BUDGET);
            heard.fetch_or(1 << assessment.level as u64, Ordering::Relaxed);
        };
        store.set_memory_callback(Some(Box::new(callback))).unwrap();
        let begun = Instant::now();
        fill(&store);
        let stats = store.stats();
        assert!(stats.memory_trims > 0 && stats.memory_evacuations > 0);
        assert!(stats.memory_refusals > 0 && stats.memory_used_bytes <= BUDGET);
        let emergency = 1 << Level::Emergency as u64;
        // A thread may have given memory back since.
        if background_threads == 0 {
            assert_eq!(store.memory_pressure().unwrap().level, Level::Emergency);
            assert_eq!(levels.load(Ordering::Relaxed), 0, "a put has called back");
            store.maintain().unwrap();
        }
        while levels.load(Ordering::Relaxed) & emergency == 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody was told");
            std::thread::sleep(Duration::from_millis(5));
        }
        store.close().unwrap();
    }
}

#[test]
fn evacuation_gives_back_what_removed_keys_have_left_behind() {
    let (_directory, store) = open(0);
    let keys = fill(&store);
    // One in eleven of each slab: too few for the shard to be rebuilt at once.
    for number in (0..keys).step_by(11) {
        assert!(store.delete(&number.to_le_bytes()).unwrap());
    }
    let before = store.memory_pressure().unwrap().used;
    let thresholds = Thresholds {
        monitor: 1,
        gentle: 2,
        aggressive: 3,
        emergency: 950,
    };
    store.set_memory_budget(0).unwrap();
    store.set_memory_budget(2 * BUDGET).unwrap();
    store.set_memory_thresholds(thresholds).unwrap();
    let evacuations = store.stats().memory_evacuations;
    let begun = Instant::now();
    while store.stats().memory_evacuations == evacuations {
        store.maintain().unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nothing was done"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let after = store.memory_pressure().unwrap().used;
    assert!(after < before, "{before} bytes before, {after} after");
    for number in 0..keys {
        let found = store.exists(&number.to_le_bytes()).unwrap();
        assert_eq!(found, number % 11 != 0);
    }
    store.close().unwrap();
}

#[test]
fn samples_are_taken_while_the_store_is_in_use() {
    let (_directory, store) = open(1);
    let begun = Instant::now();
    while store.memory_pressure().unwrap().samples < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no samples came");
        std::thread::sleep(Duration::from_millis(50));
    }
    // They are five seconds apart.
    assert!(begun.elapsed() >= Duration::from_millis(4500));
    store.close().unwrap();
}
