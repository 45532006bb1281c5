//! Disks that are full, fail, or are damaged while compaction runs.

use std::path::Path;

use freyja::ErrorKind;
use freyja::store::{Store, SyncMode};
use freyja::vfs::simulated::{Crash, Effect, Repeat, SimulatedDisk};

use crate::{STORE, compact, key, open, open_with, options, reopen, segment_files};

/// Half of it is garbage.
fn half_garbage(store: &Store) {
    for number in 0..200 {
        store.put(&key(number), &[1; 60]).unwrap();
    }
    for number in (0..200).step_by(2) {
        store.put(&key(number), &[2; 60]).unwrap();
    }
    for number in 0..10 {
        store.delete(&key(number)).unwrap();
    }
}

fn check(store: &Store) {
    for number in 0..200 {
        let expected = match number {
            0..10 => None,
            _ if number % 2 == 0 => Some(vec![2; 60]),
            _ => Some(vec![1; 60]),
        };
        assert_eq!(store.get(&key(number)).unwrap(), expected, "{number}");
    }
}

/// Fails each call that a compaction makes with `errno`; answers how many there were.
fn fail_each_call(errno: i32, effect: Effect) -> u64 {
    for call in 0.. {
        let disk = SimulatedDisk::new(call);
        let options = freyja::store::Options {
            sync_mode: SyncMode::Always,
            ..options()
        };
        let store = open_with(&disk, &options);
        half_garbage(&store);
        let first = disk.calls();
        disk.fail_call(first + call, errno, Repeat::Once, effect);
        let compacted = store.compact(|_| true);
        let calls = disk.calls() - first;
        disk.clear_faults();
        check(&store);
        let put = store.put(b"after", b"all").map_err(|error| error.kind());
        let a_sync_failed = compacted.is_err_and(|error| error.message().contains("sync"));
        if errno == libc::ENOSPC && !a_sync_failed {
            assert_eq!(put, Ok(()), "call {call}");
            store.compact(|_| true).unwrap();
            check(&store);
        } else {
            assert!(
                matches!(put, Ok(()) | Err(ErrorKind::Failed)),
                "call {call}"
            );
        }
        let crashed = disk.crash(Crash::PowerLoss, 1000 + call);
        let again = open_with(&crashed, &options);
        check(&again);
        assert!(again.failure().is_none(), "{:?}", again.failure());
        assert_eq!(again.get(b"after").unwrap().is_some(), put.is_ok());
        if call > calls {
            return calls;
        }
    }
    0
}

#[test]
fn a_disk_that_is_full_at_any_call_costs_the_compaction_and_nothing_else() {
    assert!(fail_each_call(libc::ENOSPC, Effect::Before) > 20);
}

#[test]
fn a_disk_that_fails_at_any_call_loses_nothing() {
    assert!(fail_each_call(libc::EIO, Effect::Before) > 20);
    assert!(fail_each_call(libc::EIO, Effect::After) > 20);
}

#[test]
fn compaction_without_room_for_its_output_fails_and_writing_goes_on_when_there_is_room() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    half_garbage(&store);
    store.sync().unwrap();
    disk.set_capacity(Some(disk.allocated_bytes() + 4096));
    let error = store.compact(|_| true).unwrap_err();
    assert_eq!(error.os_code(), libc::ENOSPC);
    check(&store);
    disk.set_capacity(None);
    compact(&store);
    check(&store);
    check(&reopen(store, &disk));
}

#[test]
fn a_damaged_record_keeps_its_segment_and_is_never_given_a_new_checksum() {
    let disk = SimulatedDisk::new(2);
    let store = open(&disk);
    half_garbage(&store);
    let place = store.locate(&key(51)).unwrap().unwrap();
    store.close().unwrap();
    drop(store);
    let name = freyja::log::segment_name::file_name(place.segment_id);
    let path = Path::new(STORE).join(&name);
    let mut bytes = disk.read_file(&path).unwrap();
    bytes[(place.offset + 30) as usize] ^= 1;
    // The files of another process: those of this one may still be mapped.
    let disk = disk.crash(Crash::ProcessKill, 1 << 40);
    disk.overwrite_file(&path, &bytes).unwrap();
    let store = open(&disk);
    let before = store.stats();
    let error = store.compact(|_| true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains(&name), "{error}");
    let stats = store.stats();
    assert!(stats.compactions > 0, "the other segments are compacted");
    assert!(stats.dead_bytes < before.dead_bytes);
    assert!(segment_files(&disk).contains(&name));
    let damaged = |store: &Store| {
        let error = store.get(&key(51)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(store.get(&key(53)).unwrap(), Some(vec![1; 60]));
        assert_eq!(store.get(&key(50)).unwrap(), Some(vec![2; 60]));
        assert_eq!(store.get(&key(4)).unwrap(), None);
    };
    damaged(&store);
    let store = reopen(store, &disk);
    damaged(&store);
    assert_eq!(store.recovery_report().damaged.len(), 1);
    assert_eq!(store.recovery_report().missing_segments, 0);
}

#[test]
fn a_segment_that_is_missing_after_a_compaction_is_missed() {
    let disk = SimulatedDisk::new(3);
    let store = open(&disk);
    half_garbage(&store);
    compact(&store);
    for number in 0..100 {
        store.put(&key(1000 + number), &[3; 60]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let names = segment_files(&disk);
    assert!(names.len() > 4, "{names:?}");
    // The last one may be missing without a trace.
    for name in &names[..names.len() - 1] {
        let disk = disk.crash(Crash::ProcessKill, 1 << 40);
        disk.remove_file(&Path::new(STORE).join(name)).unwrap();
        let store = open(&disk);
        assert!(store.recovery_report().missing_segments > 0, "{name}");
        assert_eq!(store.failure().unwrap().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_damaged_manifest_is_told_however_much_of_what_it_replaced_is_left() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    half_garbage(&store);
    let before = segment_files(&disk);
    disk.start_pictures();
    compact(&store);
    let mut left = std::collections::BTreeSet::new();
    for (call, picture) in disk.take_pictures() {
        let crashed = picture.crash(Crash::ProcessKill, call);
        let files = segment_files(&crashed);
        let Some(newest) = files.last().filter(|name| !before.contains(name)) else {
            continue;
        };
        let path = Path::new(STORE).join(newest);
        let mut bytes = crashed.read_file(&path).unwrap();
        // The first record, behind its checksum.
        bytes[128 + 6] ^= 1;
        crashed.overwrite_file(&path, &bytes).unwrap();
        let store = open(&crashed);
        let report = store.recovery_report();
        let file = |damage: &freyja::store::DamagedSpan| damage.path == path;
        assert!(report.damaged.iter().any(file), "call {call}: {report:?}");
        left.insert(files.iter().filter(|name| before.contains(name)).count());
    }
    assert!(left.len() > 3, "{left:?}");
}
