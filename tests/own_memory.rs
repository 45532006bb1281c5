//! What a store says of its memory is what the system counts: in a process of its own, as every other test would count too.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use freyja::store::{KeyStorage, Options, Stats, Store, SyncMode};

/// Tells the process of its own where its store is; it is this program again.
const DIRECTORY: &str = "OWN_MEMORY_DIRECTORY";
const KEYS: u64 = 1_000_000;
/// Both counts may differ by so much, and by so much while compaction is at work, whose threads have heaps of their own.
const TOLERANCE: f64 = 0.03;
const TOLERANCE_AT_WORK: f64 = 0.05;

/// Bytes of this process that no file backs. Not `RssAnon`, which some kernels add up only roughly.
fn anonymous_bytes() -> u64 {
    let totals = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = totals.lines().find(|line| line.starts_with("Anonymous:"));
    let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}

fn own_bytes(stats: &Stats) -> u64 {
    stats.index_bytes + stats.slab_allocated_bytes + stats.index_idle_bytes + stats.work_bytes
}

fn put_all(store: &Store, value: u64) {
    for number in 0..KEYS {
        let key = format!("{number:064}");
        store.put(key.as_bytes(), &value.to_le_bytes()).unwrap();
    }
}

/// The store's count of its memory is the system's, as far as it has grown since it was `empty`.
fn assert_true(store: &Store, when: &str, empty: (u64, u64), tolerance: f64) {
    let grown = anonymous_bytes().saturating_sub(empty.0) as f64;
    let told = own_bytes(&store.stats()).saturating_sub(empty.1) as f64;
    println!("{when}: {grown} bytes, of which the store tells {told}");
    assert!((told / grown - 1.0).abs() < tolerance, "{when}");
}

#[test]
fn a_store_with_keys_on_disk_tells_the_memory_that_the_system_counts() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return run_apart();
    };
    let options = Options {
        key_storage: KeyStorage::OnDisk,
        sync_mode: SyncMode::None,
        ..Options::default()
    };
    let store = Store::open(Path::new(&directory), &options).unwrap();
    // What the process needs for counting is there before the beginning.
    anonymous_bytes();
    let empty = (anonymous_bytes(), own_bytes(&store.stats()));
    put_all(&store, 1);
    assert_true(&store, "filled", empty, TOLERANCE);
    put_all(&store, 2);
    assert_true(&store, "with every key replaced", empty, TOLERANCE_AT_WORK);
}

fn run_apart() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("a_store_with_keys_on_disk_tells_the_memory_that_the_system_counts")
        .env(DIRECTORY, directory.path().join("store"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    println!("{told}");
    assert!(output.status.success(), "{told}{error}");
}
