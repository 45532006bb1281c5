//! What a store says of its memory is what the system counts, and a small store takes little: in processes of their own, as every
//! other test would count too.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use freyja::store::{KeyStorage, Options, Store, SyncMode};

/// Tells the process of its own where its store is; it is this program again.
const PLACE: &str = "OWN_MEMORY_PLACE";
const KEYS: u64 = 1_500_000;
/// Both counts may differ by so much, also while compaction is at work.
const TOLERANCE: f64 = 0.03;
/// What an empty store may take, and one with a thousand keys: less than this.
const EMPTY_BYTES: u64 = 64 << 10;
const FEW_KEYS_BYTES: u64 = 128 << 10;
/// Of the rounds that replace keys, both are taken after so many.
const INTERVAL: u64 = KEYS / 4;

/// Bytes of this process that no file backs. Not `RssAnon`, which some kernels add up only roughly.
fn anonymous_bytes() -> u64 {
    let totals = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = totals.lines().find(|line| line.starts_with("Anonymous:"));
    let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}

/// A store whose memory is compared with that of its process.
struct Watched {
    store: Store,
    /// Of the process, before there was a store.
    before: u64,
}

impl Watched {
    fn new(directory: &Path, key_storage: KeyStorage) -> Self {
        let options = Options {
            key_storage,
            sync_mode: SyncMode::None,
            ..Options::default()
        };
        // What the process needs for counting is there before the beginning.
        anonymous_bytes();
        let before = anonymous_bytes();
        let store = Store::open(directory, &options).unwrap();
        Self { store, before }
    }

    fn put_all(&self, value: u64) {
        for number in 0..KEYS {
            let key = format!("{number:064}");
            self.store
                .put(key.as_bytes(), &value.to_le_bytes())
                .unwrap();
            if value > 1 && number % INTERVAL == INTERVAL / 2 {
                self.assert_true(&format!("round {value}, {number} keys"));
            }
        }
        self.assert_true(&format!("after round {value}"));
    }

    /// What the system counts and what the store tells, at one time: if a merge begins or ends in between, again.
    fn both_counts(&self) -> (u64, u64) {
        let told = || self.store.stats().memory_used_bytes;
        let mut before = told();
        loop {
            let anonymous = anonymous_bytes();
            let after = told();
            if before == after {
                return (anonymous, after);
            }
            before = after;
        }
    }

    fn assert_true(&self, when: &str) {
        let (anonymous, used) = self.both_counts();
        let taken = anonymous.saturating_sub(self.before);
        let difference = used as f64 / taken as f64 - 1.0;
        println!(
            "{when}: {taken} bytes, of which the store tells {used}: {:+.2} %",
            100.0 * difference
        );
        assert!(difference.abs() < TOLERANCE, "{when}");
    }
}

/// Tests in processes of their own: what each does there, given the place for its store.
macro_rules! apart {
    ($($test:ident: $work:expr;)*) => {
        $(#[test] fn $test() { run_apart(stringify!($test), $work) })*
    };
}

apart! {
    a_store_with_keys_on_disk_tells_the_memory_that_the_system_counts:
        |place| tells_the_memory(place, KeyStorage::OnDisk);
    a_store_with_keys_in_memory_tells_the_memory_that_the_system_counts:
        |place| tells_the_memory(place, KeyStorage::InMemory);
    a_small_store_with_keys_on_disk_takes_little:
        |place| takes_little(place, KeyStorage::OnDisk);
    a_small_store_with_keys_in_memory_takes_little:
        |place| takes_little(place, KeyStorage::InMemory);
}

fn tells_the_memory(place: &Path, key_storage: KeyStorage) {
    let watched = Watched::new(place, key_storage);
    for value in 1..=3 {
        watched.put_all(value);
    }
}

fn takes_little(place: &Path, key_storage: KeyStorage) {
    // What the process needs for counting is there before the beginning.
    anonymous_bytes();
    let before = anonymous_bytes();
    let options = Options {
        key_storage,
        ..Options::default()
    };
    let store = Store::open(place, &options).unwrap();
    let empty = anonymous_bytes() - before;
    for number in 0..1000 {
        let key = format!("{number:016}");
        store.put(key.as_bytes(), b"12345678").unwrap();
    }
    let few_keys = anonymous_bytes() - before;
    println!("empty {empty} bytes, with a thousand keys {few_keys}");
    assert!(empty < EMPTY_BYTES);
    assert!(few_keys < FEW_KEYS_BYTES);
}

fn run_apart(test: &str, work: impl FnOnce(&Path)) {
    if let Some(place) = std::env::var_os(PLACE) {
        return work(Path::new(&place));
    }
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg(test)
        .env(PLACE, directory.path().join("store"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    println!("{told}");
    assert!(output.status.success(), "{told}{error}");
    assert!(told.contains("1 passed"), "{told}");
}
