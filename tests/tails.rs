//! Segments of which nothing has been synced yet: what they are worth after a kill, a power loss, and beside a reader.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use freyja::store::{OpenMode, Options, Store, SyncMode};
use freyja::vfs::Vfs;
use freyja::vfs::simulated::{Crash, SimulatedDisk};

const STORE: &str = "/store";

fn open(disk: &SimulatedDisk, mode: OpenMode) -> Store {
    let options = Options {
        mode,
        sync_mode: SyncMode::None,
        segment_size: 4096,
        background_threads: 0,
        ..Options::default()
    };
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), &options).unwrap()
}

fn writer(disk: &SimulatedDisk) -> Store {
    open(disk, OpenMode::CreateIfMissing)
}

fn files(disk: &SimulatedDisk, suffix: &str) -> Vec<PathBuf> {
    let entries = disk.list(Path::new(STORE)).unwrap();
    let paths = entries
        .iter()
        .map(|entry| Path::new(STORE).join(&entry.name));
    paths
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect()
}

/// What a killed writer leaves who has synced one of two puts, or none.
fn killed(syncs: bool) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let store = writer(&disk);
    store.put(b"first", b"one").unwrap();
    if syncs {
        store.sync().unwrap();
    }
    store.put(b"second", b"two").unwrap();
    let left = disk.crash(Crash::ProcessKill, 1);
    drop(store);
    left
}

#[test]
fn a_killed_store_that_never_synced_has_all_and_gives_its_segment_a_name() {
    let disk = killed(false);
    assert_eq!(
        (files(&disk, ".tail").len(), files(&disk, ".seg").len()),
        (1, 0)
    );
    let store = writer(&disk);
    assert_eq!(
        (files(&disk, ".tail").len(), files(&disk, ".seg").len()),
        (0, 1)
    );
    for (key, value) in [(b"first".as_slice(), b"one"), (b"second", b"two")] {
        assert_eq!(store.get(key).unwrap().as_deref(), Some(&value[..]));
    }
    assert_eq!(store.recovery_report().damaged.len(), 0);
}

#[test]
fn a_sync_gives_the_segment_its_name() {
    let disk = killed(true);
    assert_eq!(
        (files(&disk, ".tail").len(), files(&disk, ".seg").len()),
        (0, 1)
    );
}

#[test]
fn a_header_that_was_never_durable_is_no_damage_and_one_that_was_is() {
    for (syncs, suffix) in [(false, ".tail"), (true, ".seg")] {
        let disk = killed(syncs);
        let path = files(&disk, suffix).remove(0);
        let mut bytes = disk.read_file(&path).unwrap();
        bytes[..128].fill(0);
        disk.overwrite_file(&path, &bytes).unwrap();
        let reader = open(&disk, OpenMode::ReadOnly);
        assert_eq!(reader.recovery_report().damaged.len(), usize::from(syncs));
        drop(reader);
        let store = writer(&disk);
        assert_eq!(store.recovery_report().damaged.len(), usize::from(syncs));
        assert_eq!(files(&disk, suffix).len(), usize::from(syncs));
        store.put(b"later", b"three").unwrap();
        store.close().unwrap();
        let value = writer(&disk).get(b"later").unwrap();
        assert_eq!(value.as_deref(), Some(&b"three"[..]));
    }
}

#[test]
fn a_tail_beside_its_durable_copy_is_passed_over_and_removed() {
    let disk = killed(false);
    let tail = files(&disk, ".tail").remove(0);
    let bytes = disk.read_file(&tail).unwrap();
    drop(writer(&disk));
    // As if the crash had come before the removal.
    drop(disk.create_new(&tail).unwrap());
    disk.overwrite_file(&tail, &bytes).unwrap();
    let store = writer(&disk);
    assert_eq!(store.get(b"second").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(files(&disk, ".tail"), Vec::<PathBuf>::new());
}

#[test]
fn a_reader_sees_what_was_never_synced_and_follows_the_segment_through_its_change_of_name() {
    let disk = SimulatedDisk::new(1);
    let store = writer(&disk);
    store.put(b"key", b"0").unwrap();
    let reader = open(&disk, OpenMode::ReadOnly);
    for number in 1..200_u32 {
        let value = number.to_le_bytes();
        store.put(b"key", &value).unwrap();
        store.put(&value, &[1; 100]).unwrap();
        match number % 7 {
            0 => store.sync().unwrap(),
            3 => store.compact(|_| true).unwrap(),
            _ => {}
        }
        reader.refresh().unwrap();
        assert_eq!(reader.get(b"key").unwrap().as_deref(), Some(&value[..]));
        assert_eq!(reader.count(), store.count());
    }
}
