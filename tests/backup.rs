//! What a backup promises.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use freyja::ErrorKind;
use freyja::store::{Backup, Batch, OpenMode, Options, Store, SyncMode};
use freyja::vfs::simulated::{Crash, Effect, Operation, Repeat, SimulatedDisk};
use freyja::vfs::{Access, RealVfs, Vfs};

const STORE: &str = "/store";
const COPY: &str = "/copy";

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn options() -> Options {
    Options {
        background_threads: 0,
        image_segments: 0,
        segment_size: 4096,
        ..Options::default()
    }
}

fn open_at(disk: &SimulatedDisk, path: &str, options: &Options) -> freyja::Result<Store> {
    Store::open_on(Arc::new(disk.clone()), Path::new(path), options)
}

fn open(disk: &SimulatedDisk) -> Store {
    open_at(disk, STORE, &options()).unwrap()
}

fn existing() -> Options {
    Options {
        mode: OpenMode::MustExist,
        ..options()
    }
}

fn back_up(store: &Store) -> Backup {
    store.backup(Path::new(COPY), &mut |_, _| true).unwrap()
}

fn key(number: u32) -> Vec<u8> {
    format!("key {number:03}").into_bytes()
}

/// The number of keys that the tests use.
const KEYS: u32 = 60;

fn content(store: &Store) -> Map {
    let found =
        (0..KEYS).filter_map(|number| Some((key(number), store.get(&key(number)).unwrap()?)));
    let map: Map = found.collect();
    assert_eq!(map.len() as u64, store.count());
    map
}

/// What the directory `path` holds, opened as a store that must be there.
fn content_at(disk: &SimulatedDisk, path: &str) -> Map {
    let store = open_at(disk, path, &existing()).unwrap();
    assert!(store.recovery_report().damaged.is_empty());
    assert_eq!(store.recovery_report().missing_segments, 0);
    content(&store)
}

/// Writes to all keys, over several segments, with deletes and a batch among the puts.
fn write(store: &Store, round: u32) {
    for number in 0..KEYS {
        let value = vec![round as u8; 50 + number as usize * 3];
        store.put(&key(number), &value).unwrap();
    }
    for number in (round % 7..KEYS).step_by(7) {
        store.delete(&key(number)).unwrap();
    }
    let mut batch = Batch::new();
    for number in [1, 2, 3] {
        batch.put(&key(number), &round.to_le_bytes()).unwrap();
    }
    store.write(&batch).unwrap();
}

fn segments(disk: &SimulatedDisk, path: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = disk.list(Path::new(path)).unwrap();
    let names = entries.into_iter().map(|entry| PathBuf::from(entry.name));
    let segments = names.filter(|name| name.extension().is_some_and(|it| it == "seg"));
    let read = |name: PathBuf| {
        let bytes = disk.read_file(&Path::new(path).join(&name)).unwrap();
        (name, bytes)
    };
    segments.map(read).collect()
}

#[test]
pub(crate) fn a_backup_opens_as_the_store_was_and_the_store_goes_on() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    write(&store, 1);
    let then = content(&store);
    let backup = back_up(&store);
    assert_eq!(backup.last_sequence, store.stats().last_sequence);
    assert!(backup.segments >= 3 && backup.linked_bytes > 0 && backup.copied_bytes == 0);
    write(&store, 2);
    let now = content(&store);
    assert_ne!(now, then);
    assert_eq!(content_at(&disk, COPY), then);
    assert_eq!(content(&store), now);
    store.close().unwrap();
    assert_eq!(content_at(&disk, STORE), now);
}

#[test]
pub(crate) fn what_a_backup_acknowledged_survives_a_power_loss_whatever_the_sync_mode() {
    for sync_mode in [SyncMode::Always, SyncMode::None] {
        let disk = SimulatedDisk::new(1);
        let options = Options {
            sync_mode,
            ..options()
        };
        let store = open_at(&disk, STORE, &options).unwrap();
        write(&store, 1);
        back_up(&store);
        let then = content(&store);
        write(&store, 2);
        for seed in 0..20 {
            let lost = disk.crash(Crash::PowerLoss, seed);
            assert_eq!(content_at(&lost, COPY), then, "seed {seed}");
        }
    }
}

#[test]
fn a_second_backup_brings_only_what_is_new() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    write(&store, 1);
    let first = back_up(&store);
    let nothing = back_up(&store);
    assert_eq!((nothing.linked_bytes, nothing.copied_bytes), (0, 0));
    assert_eq!(nothing.segments, first.segments);
    write(&store, 2);
    let second = back_up(&store);
    assert!(second.segments > first.segments);
    let all: usize = segments(&disk, COPY).values().map(Vec::len).sum();
    assert_eq!(second.linked_bytes + first.linked_bytes, all as u64);
    let now = content(&store);
    assert_eq!(content_at(&disk, COPY), now);
}

#[test]
fn a_backup_loses_what_the_store_no_longer_has() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    write(&store, 1);
    back_up(&store);
    store.close().unwrap();
    let (first, _) = segments(&disk, STORE).pop_first().unwrap();
    disk.remove_file(&Path::new(STORE).join(first)).unwrap();
    let store = open(&disk);
    back_up(&store);
    assert_eq!(segments(&disk, COPY), segments(&disk, STORE));
}

#[test]
pub(crate) fn where_links_are_refused_segments_are_copied() {
    for errno in [libc::EXDEV, libc::EPERM, libc::EMLINK] {
        let disk = SimulatedDisk::new(1);
        let store = open(&disk);
        write(&store, 1);
        let linking = Operation::HardLink;
        disk.fail_next(linking, errno, Repeat::SameOperation, Effect::Before);
        let backup = back_up(&store);
        assert_eq!(backup.linked_bytes, 0);
        let all: usize = segments(&disk, COPY).values().map(Vec::len).sum();
        assert_eq!(backup.copied_bytes, all as u64);
        let lost = disk.crash(Crash::PowerLoss, 1);
        assert_eq!(content_at(&lost, COPY), content(&store));
    }
}

#[test]
fn a_backup_that_is_opened_and_written_to_changes_nothing_in_the_store_and_the_store_nothing_in_it()
{
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    write(&store, 1);
    back_up(&store);
    let (in_store, in_copy) = (segments(&disk, STORE), segments(&disk, COPY));
    let copy = open_at(&disk, COPY, &existing()).unwrap();
    write(&copy, 2);
    copy.close().unwrap();
    assert_eq!(segments(&disk, STORE), in_store);
    write(&store, 3);
    store.close().unwrap();
    drop(open(&disk));
    for (old, path) in [(in_store, STORE), (in_copy, COPY)] {
        let new = segments(&disk, path);
        assert!(new.len() > old.len());
        for (name, bytes) in old {
            assert!(new[&name] == bytes, "{path} {}", name.display());
        }
    }
}

#[test]
fn a_backup_is_refused_where_anything_else_is() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    write(&store, 1);
    let refused = |path: &str| {
        let before = disk.list(Path::new(path)).unwrap();
        let error = store.backup(Path::new(path), &mut |_, _| true).unwrap_err();
        assert_eq!(disk.list(Path::new(path)).unwrap(), before);
        error.kind()
    };
    // The store itself.
    assert_eq!(refused(STORE), ErrorKind::Exists);
    // Another store, a backup of another store, and something that is neither.
    let other = open_at(&disk, "/other", &options()).unwrap();
    write(&other, 1);
    assert_eq!(refused("/other"), ErrorKind::Exists);
    other.backup(Path::new(COPY), &mut |_, _| true).unwrap();
    assert_eq!(refused(COPY), ErrorKind::Exists);
    disk.create_directory(Path::new("/documents")).unwrap();
    disk.create_new(Path::new("/documents/letter")).unwrap();
    assert_eq!(refused("/documents"), ErrorKind::Exists);
    // A backup that has gone its own way.
    let own = "/own way";
    store.backup(Path::new(own), &mut |_, _| true).unwrap();
    let restored = open_at(&disk, own, &existing()).unwrap();
    assert_eq!(refused(own), ErrorKind::Busy);
    restored.put(b"key", b"value").unwrap();
    restored.close().unwrap();
    assert_eq!(refused(own), ErrorKind::Exists);
    // One that was only looked at is still a backup.
    let looked_at = "/looked at";
    store
        .backup(Path::new(looked_at), &mut |_, _| true)
        .unwrap();
    content_at(&disk, looked_at);
    store
        .backup(Path::new(looked_at), &mut |_, _| true)
        .unwrap();
}

#[test]
fn a_damaged_or_missing_segment_of_a_backup_is_brought_again() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    write(&store, 1);
    let linking = Operation::HardLink;
    disk.fail_next(linking, libc::EXDEV, Repeat::SameOperation, Effect::Before);
    back_up(&store);
    let names: Vec<PathBuf> = segments(&disk, COPY).into_keys().collect();
    disk.remove_file(&Path::new(COPY).join(&names[0])).unwrap();
    disk.overwrite_file(&Path::new(COPY).join(&names[1]), b"short")
        .unwrap();
    back_up(&store);
    assert_eq!(content_at(&disk, COPY), content(&store));
}

#[test]
fn a_cancelled_backup_leaves_the_older_one() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    write(&store, 1);
    let then = content(&store);
    back_up(&store);
    write(&store, 2);
    let linking = Operation::HardLink;
    disk.fail_next(linking, libc::EXDEV, Repeat::SameOperation, Effect::Before);
    for calls in 0..4 {
        let mut left = calls;
        let cancelled = store.backup(Path::new(COPY), &mut |done, total| {
            assert!(done <= total);
            left -= 1;
            left >= 0
        });
        assert_eq!(cancelled.unwrap_err().os_code(), libc::ECANCELED);
        let seen = disk.crash(Crash::ProcessKill, 0);
        assert_eq!(content_at(&seen, COPY), then);
    }
    back_up(&store);
    assert_eq!(content_at(&disk, COPY), content(&store));
}

#[test]
fn the_first_backup_cancelled_is_no_store_until_it_has_been_finished() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    write(&store, 1);
    let mut seen = 0;
    let cancelled = store.backup(Path::new(COPY), &mut |done, _| {
        seen += u64::from(done > 0);
        seen < 2
    });
    assert_eq!(cancelled.unwrap_err().os_code(), libc::ECANCELED);
    for mode in [
        OpenMode::CreateIfMissing,
        OpenMode::MustExist,
        OpenMode::MustBeNew,
        OpenMode::ReadOnly,
    ] {
        let options = Options { mode, ..options() };
        let error = open_at(&disk, COPY, &options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{mode:?}");
        assert!(error.message().contains("BACKUP.new"), "{error}");
    }
    write(&store, 2);
    // What was brought before it was cancelled is there.
    let backup = back_up(&store);
    let all: usize = segments(&disk, COPY).values().map(Vec::len).sum();
    assert!(backup.linked_bytes < all as u64);
    assert_eq!(content_at(&disk, COPY), content(&store));
}

#[test]
fn an_empty_store_has_a_backup_too() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    back_up(&store);
    assert_eq!(content_at(&disk, COPY), Map::new());
    store.close().unwrap();
    let store = open(&disk);
    write(&store, 1);
    back_up(&store);
    assert_eq!(content_at(&disk, COPY), content(&store));
}

/// Runs a backup on a disk that keeps pictures, and looks at every crash: at each call, a killed process and a few power losses.
fn crash_everywhere(older: Option<Map>, disk: &SimulatedDisk, store: &Store) {
    let now = content(store);
    disk.start_pictures();
    back_up(store);
    let pictures = disk.take_pictures();
    assert!(pictures.len() > 30);
    let (mut refused, mut newer) = (0, 0);
    for (index, picture) in &pictures {
        for seed in 0..6 {
            let crash = match seed {
                0 => Crash::ProcessKill,
                _ => Crash::PowerLoss,
            };
            let crashed = picture.crash(crash, index * 100 + seed);
            let what = format!("call {index}, seed {seed}");
            match open_at(&crashed, COPY, &existing()) {
                Ok(copy) => {
                    assert!(copy.recovery_report().damaged.is_empty(), "{what}");
                    assert_eq!(copy.recovery_report().missing_segments, 0, "{what}");
                    let found = content(&copy);
                    newer += u32::from(found == now);
                    assert!(found == now || Some(&found) == older.as_ref(), "{what}");
                }
                Err(error) if error.kind() == ErrorKind::NotFound => assert!(older.is_none()),
                Err(error) => {
                    assert!(error.message().contains("BACKUP.new"), "{what}: {error}");
                    refused += 1;
                }
            }
            let store = open_at(&crashed, STORE, &existing()).unwrap();
            assert!(store.recovery_report().damaged.is_empty(), "{what}");
            assert!(content(&store) == now, "{what}");
            store.put(&key(0), what.as_bytes()).unwrap();
            let again = store.backup(Path::new(COPY), &mut |_, _| true);
            again.unwrap_or_else(|error| panic!("{what}: {error}"));
            let expected = content(&store);
            drop(store);
            assert!(content_at(&crashed, COPY) == expected, "{what}");
        }
    }
    // It is only just before the end that the new state shows, and there is a moment when nothing may.
    assert!(refused > 0 && newer > 0);
}

#[test]
fn a_first_backup_cut_short_anywhere_is_no_store_and_can_be_finished() {
    let disk = SimulatedDisk::new(7);
    let store = open(&disk);
    write(&store, 1);
    crash_everywhere(None, &disk, &store);
}

#[test]
pub(crate) fn a_later_backup_cut_short_anywhere_is_the_older_one_or_can_be_finished() {
    for copies in [false, true] {
        let disk = SimulatedDisk::new(7);
        let store = open(&disk);
        write(&store, 1);
        back_up(&store);
        let older = content(&store);
        write(&store, 2);
        if copies {
            let linking = Operation::HardLink;
            disk.fail_next(linking, libc::EXDEV, Repeat::SameOperation, Effect::Before);
        }
        crash_everywhere(Some(older), &disk, &store);
    }
}

#[test]
fn a_backup_follows_compaction_and_brings_nothing_back_wherever_it_is_cut_short() {
    let disk = SimulatedDisk::new(7);
    let store = open(&disk);
    write(&store, 1);
    back_up(&store);
    let older = content(&store);
    write(&store, 2);
    for number in 0..KEYS / 2 {
        store.delete(&key(number)).unwrap();
    }
    store.compact(|_| true).unwrap();
    crash_everywhere(Some(older), &disk, &store);
    assert_eq!(segments(&disk, COPY), segments(&disk, STORE));
}

#[test]
fn whatever_call_fails_during_a_backup_the_store_keeps_everything_and_the_copy_is_right_or_refused()
{
    for errno in [libc::EIO, libc::ENOSPC, libc::EMFILE] {
        for after in 0.. {
            let disk = SimulatedDisk::new(3);
            let store = open(&disk);
            write(&store, 1);
            back_up(&store);
            let older = content(&store);
            write(&store, 2);
            let now = content(&store);
            let first = disk.calls();
            disk.fail_call(first + after, errno, Repeat::Once, Effect::Before);
            let result = store.backup(Path::new(COPY), &mut |_, _| true);
            let calls = disk.calls() - first;
            disk.clear_faults();
            let what = format!("errno {errno}, call {after}");
            assert!(content(&store) == now, "{what}");
            let crashed = disk.crash(Crash::PowerLoss, after);
            match open_at(&crashed, COPY, &existing()) {
                Ok(copy) => {
                    let found = content(&copy);
                    let is_new = found == now;
                    assert!(is_new || (result.is_err() && found == older), "{what}");
                }
                Err(error) => {
                    assert!(error.message().contains("BACKUP.new"), "{what}: {error}");
                    assert!(result.is_err(), "{what}");
                }
            }
            let store = open_at(&crashed, STORE, &existing()).unwrap();
            assert!(content(&store) == now, "{what}");
            back_up(&store);
            assert!(content_at(&crashed, COPY) == now, "{what}");
            if after > calls {
                break;
            }
        }
    }
}

#[test]
fn a_backup_beside_writers_is_a_prefix_of_each_and_splits_no_batch() {
    const WRITERS: u32 = 3;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let options = Options {
        sync_mode: SyncMode::None,
        segment_size: 1 << 16,
        ..Options::default()
    };
    let store = Store::open(&path("store"), &options).unwrap();
    let stop = AtomicBool::new(false);
    // Each writer counts up, in a put and then in a batch of three.
    let key = |writer: u32, part: u32| format!("{writer}.{part}").into_bytes();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                let mut batch = Batch::new();
                for round in 1_u32.. {
                    store.put(&key(writer, 0), &round.to_le_bytes()).unwrap();
                    batch.clear();
                    for part in 1..4 {
                        batch.put(&key(writer, part), &round.to_le_bytes()).unwrap();
                    }
                    store.write(&batch).unwrap();
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let mut last = [0; WRITERS as usize];
        for round in 0..12 {
            let backup = store.backup(&path("copy"), &mut |_, _| true).unwrap();
            let read_only = Options {
                mode: OpenMode::ReadOnly,
                ..Options::default()
            };
            let copy = Store::open(&path("copy"), &read_only).unwrap();
            assert_eq!(copy.stats().last_sequence, backup.last_sequence);
            for writer in 0..WRITERS {
                let number = |part| match copy.get(&key(writer, part)).unwrap() {
                    Some(bytes) => u32::from_le_bytes(bytes.try_into().unwrap()),
                    None => 0,
                };
                let (put, batch) = (number(0), number(1));
                assert!(put == batch || put == batch + 1, "round {round}");
                assert_eq!((number(2), number(3)), (batch, batch));
                assert!(put >= last[writer as usize]);
                last[writer as usize] = put;
            }
        }
        assert!(last.iter().all(|number| *number > 0));
        stop.store(true, Ordering::Relaxed);
    });
    store.close().unwrap();
    // Compaction has replaced some of the segments since.
    let length = |path: &Path| Some(RealVfs.open(path, Access::Read).ok()?.len().unwrap());
    for entry in RealVfs.list(&path("copy")).unwrap() {
        if entry.name.to_string_lossy().ends_with(".seg")
            && let Some(of_store) = length(&path("store").join(&entry.name))
        {
            assert_eq!(length(&path("copy").join(&entry.name)), Some(of_store));
        }
    }
}
