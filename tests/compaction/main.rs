//! Compaction changes nothing that can be seen, brings nothing back, and gives space back.
//!
//! The resurrection bugs that other log-structured stores had are tests of their own in `resurrection.rs`. What crashes do
//! meanwhile is tried by the crash tests.
#![allow(clippy::disallowed_methods)] // a test may look at the clock

mod beside;
mod expired;
mod faults;
mod model;
#[path = "../support/random.rs"]
mod random;
mod resurrection;
mod space;

use std::path::Path;
use std::sync::Arc;

use freyja::store::{Compaction, Options, Store, SyncMode};
use freyja::vfs::{SimulatedDisk, Vfs};

const STORE: &str = "/store";

/// Small segments, nothing in the background, no images: each open reads the log.
fn options() -> Options {
    Options {
        sync_mode: SyncMode::None,
        segment_size: 4096,
        background_threads: 0,
        image_segments: 0,
        compaction: Compaction::Manual,
        ..Options::default()
    }
}

fn open_with(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

fn open(disk: &SimulatedDisk) -> Store {
    open_with(disk, &options())
}

/// Closes the store and opens it again.
fn reopen(store: Store, disk: &SimulatedDisk) -> Store {
    reopen_with(store, disk, &options())
}

fn reopen_with(store: Store, disk: &SimulatedDisk, options: &Options) -> Store {
    store.close().unwrap();
    drop(store);
    open_with(disk, options)
}

fn compact(store: &Store) {
    store.compact(|_| true).unwrap();
}

fn key(number: u64) -> Vec<u8> {
    format!("key {number:04}").into_bytes()
}

/// Fills the segment that is being written, and more, with live records of keys that nothing else uses.
fn fill_segment(store: &Store, tag: u64) {
    for number in 0..60 {
        let key = format!("filling {tag} {number}");
        store.put(key.as_bytes(), &[7; 80]).unwrap();
    }
}

/// The names of the segment files.
fn segment_files(disk: &SimulatedDisk) -> Vec<String> {
    let entries = disk.list(Path::new(STORE)).unwrap();
    let names = entries
        .iter()
        .map(|it| it.name.to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".seg")).collect();
    names.sort_unstable();
    names
}
