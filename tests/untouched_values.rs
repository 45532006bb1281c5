//! An open takes as long as what it has to know, not as what lies in the log: it neither reads segments from one end to the other
//! nor maps their pages. On real files, in a program of its own, as it counts the pages of its process.
#![cfg(target_os = "linux")]

use std::path::Path;

use freyja::store::{Options, Store, SyncMode};

const VALUE: usize = 4096;
const PAIRS: u64 = 8192;

/// Bytes of the files in `directory` that are in this process's tables.
fn mapped_bytes(directory: &Path) -> u64 {
    let directory = directory.to_str().unwrap();
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut of_store = false;
    let mut kibibytes = 0;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("Rss:"), Some(number)) if of_store => {
                kibibytes += number.parse::<u64>().unwrap();
            }
            // The first line of a mapping, with its addresses.
            (Some(first), _) if !first.ends_with(':') => of_store = line.contains(directory),
            _ => {}
        }
    }
    kibibytes * 1024
}

#[test]
fn an_open_leaves_values_where_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let options = Options {
        sync_mode: SyncMode::None,
        ..Options::default()
    };
    let store = Store::open(&path, &options).unwrap();
    for number in 0..PAIRS {
        store.put(&number.to_le_bytes(), &[7; VALUE]).unwrap();
    }
    // Those who read what was just written do not wait for its pages.
    assert!(mapped_bytes(&path) > PAIRS * VALUE as u64 / 2);
    store.close().unwrap();
    drop(store);
    assert_eq!(mapped_bytes(&path), 0);

    // Without the thread that reads the keys into memory once the store is open.
    let options = Options {
        background_threads: 0,
        ..options
    };
    let store = Store::open(&path, &options).unwrap();
    let mapped = mapped_bytes(&path);
    assert!(mapped < PAIRS * VALUE as u64 / 8, "{mapped} bytes");
    assert_eq!(
        store.get(&1_u64.to_le_bytes()).unwrap(),
        Some(vec![7; VALUE])
    );
    store.close().unwrap();
}
