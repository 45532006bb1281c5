//! Faults that other log-structured stores are known for, each a test that this one does not have it.
#![allow(clippy::disallowed_methods)] // a test may look at the clock

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use freyja::ErrorKind;
use freyja::store::{KeyStorage, Options, ReadMode, Store, SyncMode};
use freyja::vfs::simulated::{Crash, Operation, SimulatedDisk};

const STORE: &str = "/store";

/// Where the keys are: the program of the tests of keys on disk runs this file once more.
fn key_storage() -> KeyStorage {
    match module_path!().starts_with("keys_on_disk") {
        true => KeyStorage::OnDisk,
        false => KeyStorage::InMemory,
    }
}

/// Without images: what is tested here is how the log is read.
fn options() -> Options {
    Options {
        key_storage: key_storage(),
        image_segments: 0,
        sync_mode: SyncMode::None,
        background_threads: 0,
        ..Options::default()
    }
}

/// So that a few records fill a segment.
fn small_segments() -> Options {
    Options {
        segment_size: 4096,
        ..options()
    }
}

fn open_with(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

fn open(disk: &SimulatedDisk) -> Store {
    open_with(disk, &options())
}

fn segment(id: u64) -> PathBuf {
    Path::new(STORE).join(freyja::log::segment_name::file_name(id))
}

fn key(number: u32) -> Vec<u8> {
    format!("key {number:03}").into_bytes()
}

/// Where, in the record of a `key()` with the value "value", a byte of the value lies: behind a head of 8 bytes.
const IN_VALUE: usize = 8 + 7 + 2;

/// A disk with a store of `count` records, one segment, as a killed process left it.
fn killed_store(count: u32, options: &Options) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let store = open_with(&disk, options);
    for number in 0..count {
        store.put(&key(number), b"value").unwrap();
    }
    disk.crash(Crash::ProcessKill, 0)
}

/// The same after a clean close.
fn closed_store(count: u32) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    for number in 0..count {
        store.put(&key(number), b"value").unwrap();
    }
    store.close().unwrap();
    disk
}

/// The disk as another process finds it, with nothing mapped, so that bytes can be changed.
fn copy(disk: &SimulatedDisk) -> SimulatedDisk {
    disk.crash(Crash::ProcessKill, 0)
}

fn flip(disk: &SimulatedDisk, path: &Path, offset: usize) {
    let mut bytes = disk.read_file(path).unwrap();
    bytes[offset] ^= 1;
    disk.overwrite_file(path, &bytes).unwrap();
}

/// Offset and length of the record of key `number`.
fn place(disk: &SimulatedDisk, number: u32) -> (usize, usize) {
    let store = open(disk);
    let place = store.locate(&key(number)).unwrap().unwrap();
    store.close().unwrap();
    (place.offset as usize, place.length as usize)
}

#[test]
fn an_empty_value_is_a_value_and_not_a_deletion() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    store.put(b"key", b"").unwrap();
    assert_eq!(store.get(b"key").unwrap(), Some(Vec::new()));
    assert!(store.exists(b"key").unwrap());
    assert_eq!(store.count(), 1);
    store.close().unwrap();
    let store = open(&disk);
    assert_eq!(store.get(b"key").unwrap(), Some(Vec::new()));
    assert_eq!(store.count(), 1);
}

#[test]
fn a_torn_head_of_any_length_is_cut_and_the_next_put_survives_the_next_open() {
    for torn in 1..=40 {
        let disk = killed_store(3, &options());
        let path = segment(1);
        let mut bytes = disk.read_file(&path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let end = end.next_multiple_of(16);
        bytes.truncate(end);
        bytes.extend((0..torn).map(|number| number as u8 | 1));
        disk.overwrite_file(&path, &bytes).unwrap();

        let store = open(&disk);
        assert_eq!(store.count(), 3, "{torn} torn bytes");
        assert_eq!(store.recovery_report().cut_bytes, torn as u64);
        assert!(store.failure().is_none(), "a torn tail is not damage");
        store.put(b"next", b"put").unwrap();
        store.close().unwrap();
        let store = open(&disk);
        assert_eq!(store.get(b"next").unwrap().unwrap(), b"put");
        assert_eq!(store.count(), 4);
        assert_eq!(store.recovery_report().cut_bytes, 0);
    }
}

#[test]
fn a_corrupt_first_record_loses_no_later_put_and_is_reported() {
    let disk = closed_store(5);
    let (offset, _) = place(&disk, 0);
    let disk = copy(&disk);
    flip(&disk, &segment(1), offset + IN_VALUE);
    let store = open(&disk);
    let failure = store.failure().unwrap();
    assert_eq!(failure.kind(), ErrorKind::Corrupt);
    assert_eq!(failure.offset(), offset as u64);
    assert!(
        failure.message().contains("0000000000000001.seg"),
        "{failure}"
    );
    store.put(b"later", b"put").unwrap();
    store.close().unwrap();
    let store = open(&disk);
    assert_eq!(store.get(b"later").unwrap().unwrap(), b"put");
    for number in 1..5 {
        assert_eq!(store.get(&key(number)).unwrap().unwrap(), b"value");
    }
}

#[test]
fn a_flipped_byte_in_record_11_of_100_costs_that_record_only() {
    for distance in 0..32 {
        let disk = closed_store(100);
        let (offset, length) = place(&disk, 10);
        assert_eq!(length, 32);
        let disk = copy(&disk);
        let before = disk.read_file(&segment(1)).unwrap();
        flip(&disk, &segment(1), offset + distance);
        let store = open(&disk);
        for number in (0..100).filter(|number| *number != 10) {
            match store.get(&key(number)) {
                Ok(value) => assert_eq!(value.unwrap(), b"value"),
                // A flipped byte of a key can spell another key, of which nobody knows then whether the
                // damaged record was its newest: an error, rather than perhaps an older version.
                Err(error) => {
                    assert_eq!(
                        (error.kind(), error.offset()),
                        (ErrorKind::Corrupt, offset as u64)
                    );
                    assert!(
                        (8..15).contains(&distance),
                        "byte {distance} is not in the key"
                    );
                }
            }
        }
        match store.get(&key(10)) {
            Ok(Some(value)) => assert_eq!(value, b"value", "only padding was hit"),
            Ok(None) => assert!(store.recovery_report().damaged_bytes > 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
        }
        let report = store.recovery_report();
        assert_eq!(report.cut_bytes, 0, "damage is never cut");
        assert!(report.damaged_bytes <= 32);
        store.close().unwrap();
        let after = disk.read_file(&segment(1)).unwrap();
        assert_eq!(before.len(), after.len());
    }
}

#[test]
fn a_damaged_newest_version_is_an_error_and_never_the_older_version() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    store.put(b"key", b"older").unwrap();
    store.put(b"key", b"newer").unwrap();
    let place = store.locate(b"key").unwrap().unwrap();
    store.put(b"other", b"value").unwrap();
    store.close().unwrap();
    let disk = copy(&disk);
    flip(&disk, &segment(1), (place.offset + 14) as usize);
    for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
        let disk = copy(&disk);
        let store = open_with(
            &disk,
            &Options {
                read_mode,
                ..options()
            },
        );
        let error = store.get(b"key").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.offset(), place.offset);
        assert_eq!(store.get(b"other").unwrap().unwrap(), b"value");
        store.put(b"key", b"mended").unwrap();
        assert_eq!(store.get(b"key").unwrap().unwrap(), b"mended");
        assert!(store.delete(b"key").unwrap());
        store.close().unwrap();
    }
}

#[test]
fn bytes_that_rot_while_the_store_is_open_are_noticed_by_the_read() {
    let disk = closed_store(3);
    let (offset, _) = place(&disk, 1);
    let disk = copy(&disk);
    let store = open_with(
        &disk,
        &Options {
            read_mode: ReadMode::Pread,
            ..options()
        },
    );
    assert_eq!(store.get(&key(1)).unwrap().unwrap(), b"value");
    flip(&disk, &segment(1), offset + IN_VALUE);
    assert_eq!(store.get(&key(1)).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.failure().unwrap().kind(), ErrorKind::Corrupt);
    assert_eq!(store.get(&key(2)).unwrap().unwrap(), b"value");
    store.put(b"writing", b"goes on").unwrap();
}

#[test]
fn a_second_opener_of_a_directory_is_refused() {
    let disk = SimulatedDisk::new(1);
    let _store = open(&disk);
    let second = Store::open_on(Arc::new(disk.clone()), Path::new(STORE), &options());
    assert_eq!(second.err().unwrap().kind(), ErrorKind::Busy);
}

#[test]
fn the_sync_interval_is_not_postponed_by_puts() {
    let disk = SimulatedDisk::new(1);
    let options = Options {
        sync_mode: SyncMode::Interval,
        sync_interval_ms: 100,
        ..options()
    };
    let store = open_with(&disk, &options);
    for number in 0..60 {
        store.put(&key(number), b"value").unwrap();
        disk.advance_clock(Duration::from_millis(10));
    }
    let survivors = open(&disk.crash(Crash::PowerLoss, 1)).count();
    assert!(
        survivors >= 45,
        "600 ms of writing, {survivors} of 60 puts survive a power cut"
    );
}

#[test]
fn the_background_thread_keeps_the_sync_interval_while_puts_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        sync_mode: SyncMode::Interval,
        sync_interval_ms: 20,
        ..Options::default()
    };
    let store = Store::open(directory.path(), &options).unwrap();
    let begun = std::time::Instant::now();
    let mut number = 0;
    while begun.elapsed() < Duration::from_millis(600) {
        store.put(&key(number % 100), b"value").unwrap();
        number += 1;
    }
    let durable = store.stats().durable_sequence;
    assert!(durable > 0, "{number} puts in 600 ms, none of them synced");
}

#[test]
fn a_get_neither_syncs_nor_opens_a_file() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    store.put(b"key", b"value").unwrap();
    disk.start_trace();
    for _ in 0..10 {
        assert_eq!(store.get(b"key").unwrap().unwrap(), b"value");
        assert_eq!(store.get(b"missing").unwrap(), None);
        assert!(store.exists(b"key").unwrap());
    }
    assert_eq!(
        disk.take_trace().len(),
        0,
        "a get of mapped records makes no call at all"
    );
    store.close().unwrap();

    let store = open_with(
        &disk,
        &Options {
            read_mode: ReadMode::Pread,
            ..options()
        },
    );
    disk.start_trace();
    store.get(b"key").unwrap();
    let calls = disk.take_trace();
    assert!(
        calls.iter().all(|call| call.operation == Operation::Read),
        "{calls:?}"
    );
    assert_eq!(calls.len(), 1);
}

#[test]
fn absurd_length_fields_neither_overflow_nor_allocate() {
    // Varints of 0xFFFF_FFF0 and of the largest 64-bit number, as key length and as value length.
    let absurd: [&[u8]; 2] = [
        &[0xF0, 0xFF, 0xFF, 0xFF, 0x0F],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
    ];
    for length in absurd {
        for lengths_at in [5, 6] {
            let disk = closed_store(3);
            let (offset, _) = place(&disk, 1);
            let disk = copy(&disk);
            let path = segment(1);
            let mut bytes = disk.read_file(&path).unwrap();
            let at = offset + lengths_at;
            bytes[at..at + length.len()].copy_from_slice(length);
            disk.overwrite_file(&path, &bytes).unwrap();
            for read_mode in [ReadMode::Mapped, ReadMode::Pread] {
                let store = open_with(
                    &disk,
                    &Options {
                        read_mode,
                        ..options()
                    },
                );
                assert_eq!(store.get(&key(0)).unwrap().unwrap(), b"value");
                assert_eq!(store.get(&key(2)).unwrap().unwrap(), b"value");
                assert!(!matches!(store.get(&key(1)), Ok(Some(_))));
                assert_eq!(store.recovery_report().damaged.len(), 1);
                store.close().unwrap();
            }
        }
    }
}

#[test]
fn a_missing_segment_is_reported_and_the_others_are_read() {
    let disk = SimulatedDisk::new(1);
    let small = small_segments();
    let store = open_with(&disk, &small);
    for number in 0..300 {
        store.put(&key(number), &[7; 100]).unwrap();
    }
    store.close().unwrap();
    disk.remove_file(&segment(3)).unwrap();
    let store = open_with(&disk, &small);
    assert_eq!(store.recovery_report().missing_segments, 1);
    assert_eq!(store.failure().unwrap().kind(), ErrorKind::Corrupt);
    assert!(store.count() > 200 && store.count() < 300);
    assert!(store.get(&key(0)).unwrap().is_some());
    assert!(store.get(&key(299)).unwrap().is_some());
}

#[test]
fn segments_of_another_store_or_under_another_name_are_not_read() {
    let disk = SimulatedDisk::new(1);
    let small = small_segments();
    let store = open_with(&disk, &small);
    for number in 0..100 {
        store.put(&key(number), &[7; 100]).unwrap();
    }
    store.close().unwrap();
    let other = closed_store(5);
    let foreign = other.read_file(&segment(1)).unwrap();
    let own = disk.read_file(&segment(1)).unwrap();
    for bytes in [foreign, own] {
        let disk = disk.crash(Crash::ProcessKill, 0);
        disk.overwrite_file(&segment(77), &bytes).unwrap();
        let store = open_with(&disk, &small);
        assert_eq!(store.count(), 100);
        assert_eq!(store.get(&key(0)).unwrap().unwrap(), [7; 100]);
        assert_eq!(store.recovery_report().damaged.len(), 1);
        store.put(b"new", b"put").unwrap();
        store.close().unwrap();
        assert_eq!(
            disk.read_file(&segment(77)).unwrap(),
            bytes,
            "what is not understood is not touched"
        );
        assert_eq!(
            open_with(&disk, &small).get(b"new").unwrap().unwrap(),
            b"put"
        );
    }
}

/// The store used to take the identity of its first segment: one file of another store in that place, and all that was
/// served was that file's content.
#[test]
fn a_first_segment_of_another_store_is_the_stranger_and_not_the_others() {
    let disk = SimulatedDisk::new(1);
    let small = small_segments();
    let store = open_with(&disk, &small);
    for number in 0..100 {
        store.put(&key(number), &[7; 100]).unwrap();
    }
    store.close().unwrap();
    let disk = copy(&disk);
    let other = SimulatedDisk::new(2);
    let store = open(&other);
    store.put(b"foreign", b"value").unwrap();
    store.close().unwrap();
    let foreign = other.read_file(&segment(1)).unwrap();
    disk.overwrite_file(&segment(1), &foreign).unwrap();
    let store = open_with(&disk, &small);
    assert_eq!(store.get(b"foreign").unwrap(), None);
    assert_eq!(store.get(&key(99)).unwrap().unwrap(), [7; 100]);
    let failure = store.failure().unwrap();
    assert!(
        failure.message().contains("0000000000000001.seg"),
        "{failure}"
    );
}

#[test]
fn damage_before_a_durable_mark_of_a_killed_store_is_not_cut() {
    let always = Options {
        sync_mode: SyncMode::Always,
        ..options()
    };
    let disk = killed_store(20, &always);
    let path = segment(1);
    let bytes = disk.read_file(&path).unwrap();
    // Inside of the fifth record, far before the last mark.
    let fifth = bytes
        .windows(key(4).len())
        .position(|window| window == key(4))
        .unwrap();
    flip(&disk, &path, fifth + 9);
    let store = open(&disk);
    assert_eq!(store.recovery_report().cut_bytes, 0);
    assert_eq!(
        store.recovery_report().damaged.len(),
        1,
        "{:?}",
        store.recovery_report()
    );
    assert_eq!(store.get(&key(4)).unwrap_err().kind(), ErrorKind::Corrupt);
    for number in (0..20).filter(|number| *number != 4) {
        assert_eq!(store.get(&key(number)).unwrap().unwrap(), b"value");
    }
}

#[test]
fn after_a_failed_sync_writing_stops_reading_goes_on_and_a_reopen_trusts_no_cache() {
    use freyja::vfs::simulated::{Effect, Repeat};
    let always = Options {
        sync_mode: SyncMode::Always,
        ..options()
    };
    let disk = SimulatedDisk::new(3);
    let store = open_with(&disk, &always);
    store.put(b"safe", b"1").unwrap();
    disk.fail_next(Operation::Sync, libc::EIO, Repeat::Once, Effect::Before);
    let error = store.put(b"doubtful", b"2").unwrap_err();
    assert_eq!((error.kind(), error.os_code()), (ErrorKind::Io, libc::EIO));
    assert_eq!(
        store.put(b"more", b"3").unwrap_err().kind(),
        ErrorKind::Failed
    );
    assert_eq!(store.delete(b"safe").unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(store.get(b"safe").unwrap().unwrap(), b"1");
    assert_eq!(store.failure().unwrap().os_code(), libc::EIO);
    assert!(store.close().is_err());
    drop(store);

    let store = open_with(&disk, &always);
    let doubtful = store.get(b"doubtful").unwrap();
    store.put(b"after", b"4").unwrap();
    drop(store);
    disk.drop_caches();
    let store = open_with(&disk.crash(Crash::PowerLoss, 1), &always);
    assert_eq!(store.get(b"safe").unwrap().unwrap(), b"1");
    assert_eq!(
        store.get(b"doubtful").unwrap(),
        doubtful,
        "what an open has shown stays"
    );
    assert_eq!(store.get(b"after").unwrap().unwrap(), b"4");
}

/// Closes the store that `prepare` leaves open on a disk, always in the same way; the last sync fails, behind which the footer
/// of the log's last segment would be durable.
fn close_but_for_the_last_sync(prepare: impl Fn() -> (SimulatedDisk, Store)) -> SimulatedDisk {
    use freyja::vfs::simulated::{Effect, Repeat};
    let close = |fails: Option<u64>| {
        let (disk, store) = prepare();
        disk.start_trace();
        if let Some(call) = fails {
            disk.fail_call(call, libc::EIO, Repeat::Once, Effect::Before);
        }
        let _ = store.close();
        drop(store);
        let trace = disk.take_trace();
        let mut syncs = trace
            .iter()
            .filter(|call| call.operation == Operation::Sync);
        let last = syncs.next_back().expect("a close syncs");
        assert_eq!(last.error.is_some(), fails.is_some());
        disk.clear_faults();
        (disk, last.index)
    };
    let (_, last_sync) = close(None);
    close(Some(last_sync)).0
}

#[test]
fn a_footer_whose_sync_failed_is_durable_in_a_backup_of_the_next_run() {
    let disk = close_but_for_the_last_sync(|| {
        let disk = SimulatedDisk::new(5);
        let store = open_with(&disk, &small_segments());
        for number in 0..60 {
            store.put(&key(number), b"value").unwrap();
        }
        store.sync().unwrap();
        (disk, store)
    });
    let store = open_with(&disk, &small_segments());
    let copy = Path::new("/copy");
    store.backup(copy, &mut |_, _| true).unwrap();
    for seed in 0..20 {
        let crashed = Arc::new(disk.crash(Crash::PowerLoss, seed));
        let store = Store::open_on(crashed, copy, &small_segments()).unwrap();
        assert_eq!(store.count(), 60);
        for number in 0..60 {
            assert_eq!(store.get(&key(number)).unwrap().unwrap(), b"value");
        }
        let failure = store.failure();
        assert!(failure.is_none(), "{failure:?}");
    }
}

/// See its name.
#[test]
pub fn a_footer_whose_sync_failed_is_durable_before_a_merge_says_so() {
    let disk = close_but_for_the_last_sync(|| {
        let disk = SimulatedDisk::new(5);
        let store = open_with(&disk, &small_segments());
        for number in 0..100 {
            store.put(&key(number), &[1; 60]).unwrap();
        }
        store.close().unwrap();
        drop(store);
        let store = open_with(&disk, &small_segments());
        // The last segment, nearly full, with garbage in those before it only.
        for number in 0..45 {
            store.put(&key(number), &[2; 60]).unwrap();
        }
        (disk, store)
    });
    let store = open_with(&disk, &small_segments());
    store.compact(|_| true).unwrap();
    assert!(store.stats().compactions > 0);
    for seed in 0..20 {
        let store = open_with(&disk.crash(Crash::PowerLoss, seed), &small_segments());
        assert_eq!(store.count(), 100);
        assert_eq!(store.get(&key(44)).unwrap().unwrap(), [2; 60]);
        let failure = store.failure();
        assert!(failure.is_none(), "{failure:?}");
    }
}

#[test]
fn a_footer_is_kept_of_a_segment_that_could_not_be_opened_again_when_it_was_adopted() {
    use freyja::vfs::simulated::{Effect, Repeat};
    let disk = SimulatedDisk::new(5);
    let store = open_with(&disk, &small_segments());
    for (numbers, fill) in [(0..100, 1), (0..45, 2)] {
        for number in numbers {
            store.put(&key(number), &[fill; 60]).unwrap();
        }
    }
    // A thread adopts it when the store is open.
    let options = Options {
        background_threads: 1,
        compaction: freyja::store::Compaction::Manual,
        ..small_segments()
    };
    let killed = || disk.crash(Crash::ProcessKill, 0);
    let opened = |disk: &SimulatedDisk| {
        let store = open_with(disk, &options);
        store.sync().unwrap();
        store
    };
    let undisturbed = killed();
    undisturbed.start_trace();
    drop(opened(&undisturbed));
    let trace = undisturbed.take_trace();
    let mut renamed = trace
        .iter()
        .skip_while(|call| call.operation != Operation::Rename);
    let length = renamed.find(|call| call.operation == Operation::Length);
    let disk = killed();
    let index = length.expect("it is opened again").index;
    disk.fail_call(index, libc::EMFILE, Repeat::Once, Effect::Before);
    let store = opened(&disk);
    disk.clear_faults();
    store.compact(|_| true).unwrap();
    assert!(store.stats().compactions > 0);
    for seed in 0..20 {
        let store = open_with(&disk.crash(Crash::PowerLoss, seed), &small_segments());
        assert_eq!(store.count(), 100);
        let failure = store.failure();
        assert!(failure.is_none(), "{failure:?}");
    }
}

#[test]
fn a_full_disk_refuses_the_put_and_writing_resumes_when_there_is_space() {
    for allocation in [
        freyja::vfs::Allocation::Reserved,
        freyja::vfs::Allocation::Unsupported,
    ] {
        let disk = SimulatedDisk::new(4);
        disk.set_allocation(allocation);
        let small = Options {
            segment_size: 8192,
            ..options()
        };
        let store = open_with(&disk, &small);
        store.put(b"key", b"value").unwrap();
        disk.set_capacity(Some(disk.allocated_bytes() + 20_000));
        let mut stored = 0;
        let error = loop {
            match store.put(&key(stored), &[1; 500]) {
                Ok(()) => stored += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.os_code(), libc::ENOSPC, "{error}");
        assert!(stored > 10);
        assert_eq!(
            store.get(&key(stored)).unwrap(),
            None,
            "the refused put did not happen"
        );
        assert_eq!(store.get(b"key").unwrap().unwrap(), b"value");
        assert_eq!(store.count(), u64::from(stored) + 1);
        disk.set_capacity(None);
        store.put(&key(stored), b"now").unwrap();
        store.close().unwrap();
        let store = open_with(&disk, &small);
        assert_eq!(store.count(), u64::from(stored) + 2);
    }
}

/// The directory's sync failed for want of space after a new segment had its name. Writing went on, in the segment before,
/// and the next open took the empty one for damage.
#[test]
fn a_segment_whose_creation_failed_at_the_last_step_is_no_damage() {
    use freyja::vfs::simulated::{Effect, Repeat};
    let disk = SimulatedDisk::new(1);
    let small = Options {
        segment_size: 4096,
        ..options()
    };
    let store = open_with(&disk, &small);
    store.put(&key(1), &[1; 1000]).unwrap();
    disk.fail_next(
        Operation::SyncDirectory,
        libc::ENOSPC,
        Repeat::Once,
        Effect::Before,
    );
    let error = store.put(&key(2), &[2; 3500]).unwrap_err();
    assert_eq!(error.os_code(), libc::ENOSPC);
    store.put(&key(3), &[3; 100]).unwrap();
    store.put(&key(2), &[2; 3500]).unwrap();
    store.close().unwrap();
    for _ in 0..2 {
        let store = open_with(&disk, &small);
        assert_eq!(store.recovery_report().damaged, []);
        assert!(store.failure().is_none());
        assert_eq!(store.count(), 3);
        assert_eq!(store.get(&key(2)).unwrap().unwrap(), [2; 3500]);
        store.close().unwrap();
    }
}

/// A full disk at the first write after a crash stopped all writing, though nothing had been lost.
#[test]
fn a_disk_that_is_full_when_a_crashed_store_is_adopted_stops_no_writing_for_good() {
    use freyja::vfs::simulated::{Effect, Repeat};
    let with_thread = Options {
        background_threads: 1,
        sync_mode: SyncMode::Always,
        ..options()
    };
    let disk = killed_store(20, &options());
    for failing in [Operation::CreateNew, Operation::Write] {
        for errno in [libc::ENOSPC, libc::EDQUOT, libc::EMFILE] {
            let disk = copy(&disk);
            disk.fail_next(failing, errno, Repeat::SameOperation, Effect::Before);
            let store = open_with(&disk, &with_thread);
            let error = store.put(b"first", b"1").unwrap_err();
            assert_eq!(error.os_code(), errno, "{error}");
            assert_eq!(store.get(&key(7)).unwrap().unwrap(), b"value");
            disk.clear_faults();
            store.put(b"second", b"2").unwrap();
            assert!(store.failure().is_none());
            store.close().unwrap();
            let store = open_with(&disk.crash(Crash::PowerLoss, 1), &with_thread);
            assert_eq!(store.count(), 21);
        }
    }
}
