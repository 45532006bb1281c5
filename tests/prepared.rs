//! The next segment is made before it is needed, and nothing depends on that.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freyja::ErrorKind;
use freyja::store::{Batch, OpenMode, Options, Store, SyncMode};
use freyja::vfs::simulated::{Crash, Effect, Operation, Repeat, SimulatedDisk};
use freyja::vfs::{Allocation, Vfs};

const STORE: &str = "/store";
/// Of 60 bytes: some fifty of their records fill a segment.
const VALUE: [u8; 60] = [7; 60];

fn options() -> Options {
    Options {
        segment_size: 4096,
        sync_mode: SyncMode::None,
        background_threads: 0,
        image_segments: 0,
        ..Options::default()
    }
}

fn open_with(disk: &SimulatedDisk, options: &Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STORE), options).unwrap()
}

fn open(disk: &SimulatedDisk) -> Store {
    open_with(disk, &options())
}

fn names(disk: &SimulatedDisk, ending: &str) -> Vec<String> {
    let entries = disk.list(Path::new(STORE)).unwrap();
    let names = entries
        .iter()
        .map(|it| it.name.to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(ending)).collect()
}

fn prepared(disk: &SimulatedDisk) -> usize {
    names(disk, ".new").len()
}

fn segments(disk: &SimulatedDisk) -> usize {
    names(disk, ".seg").len()
}

fn key(number: usize) -> Vec<u8> {
    format!("key {number:04}").into_bytes()
}

/// Puts pairs from the number `from` on until a successor is there; answers the next number.
fn put_until_prepared(store: &Store, disk: &SimulatedDisk, from: usize) -> usize {
    for number in from..from + 1000 {
        store.put(&key(number), &VALUE).unwrap();
        store.prepare_segment();
        if prepared(disk) > 0 {
            return number + 1;
        }
    }
    panic!("no segment was prepared");
}

/// Puts pairs until there is another segment; answers the next number.
fn put_until_next_segment(store: &Store, disk: &SimulatedDisk, from: usize) -> usize {
    let before = segments(disk);
    for number in from..from + 1000 {
        store.put(&key(number), &VALUE).unwrap();
        if segments(disk) > before {
            return number + 1;
        }
    }
    panic!("the log stayed in one segment");
}

fn expect_pairs(store: &Store, count: usize) {
    for number in 0..count {
        let found = store.get(&key(number)).unwrap();
        assert_eq!(found.as_deref(), Some(&VALUE[..]), "{number}");
    }
}

#[test]
fn a_put_that_comes_to_a_prepared_segment_writes_before_anything_is_synced() {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    let mut next = put_until_prepared(&store, &disk, 0);
    loop {
        disk.start_trace();
        store.put(&key(next), &VALUE).unwrap();
        next += 1;
        let trace = disk.take_trace();
        let Some(begun) = trace
            .iter()
            .position(|it| it.operation == Operation::Rename)
        else {
            continue;
        };
        let behind = &trace[begun..];
        let is_sync = |it: Operation| matches!(it, Operation::Sync | Operation::SyncDirectory);
        let is_write = |it: Operation| matches!(it, Operation::Write | Operation::MappedWrite);
        let first_sync = behind.iter().position(|it| is_sync(it.operation));
        let written = behind.iter().position(|it| is_write(it.operation)).unwrap();
        assert!(first_sync.is_none_or(|sync| written < sync), "{trace:?}");
        assert!(
            !trace[..begun].iter().any(|it| is_sync(it.operation)),
            "{trace:?}"
        );
        break;
    }
    assert_eq!(prepared(&disk), 0);
    expect_pairs(&store, next);
}

#[test]
fn the_log_goes_from_one_prepared_segment_to_the_next_and_a_sync_makes_all_durable() {
    let disk = SimulatedDisk::new(2);
    let store = open(&disk);
    let mut next = 0;
    for _ in 0..5 {
        next = put_until_prepared(&store, &disk, next);
        next = put_until_next_segment(&store, &disk, next);
        assert_eq!(prepared(&disk), 0, "another segment was made instead");
    }
    store.sync().unwrap();
    for seed in 0..50 {
        let crashed = disk.crash(Crash::PowerLoss, seed);
        let store = open(&crashed);
        assert!(store.recovery_report().first_failure().is_none());
        expect_pairs(&store, next);
    }
}

#[test]
fn what_does_not_come_out_as_planned_goes_into_a_segment_made_for_it() {
    type Surprise = fn(&Store);
    let surprises: [(&str, Surprise); 5] = [
        ("a long record", |store| {
            store.put(b"long", &[1; 3000]).unwrap()
        }),
        ("a record longer than a segment", |store| {
            store.put(b"long", &[1; 9000]).unwrap();
        }),
        ("a batch across the planned end", |store| {
            let mut batch = Batch::new();
            for number in 0..40 {
                batch.put(&[b'b', number], &[]).unwrap();
            }
            store.write(&batch).unwrap();
        }),
        ("compaction", |store| {
            store.delete(&key(0)).unwrap();
            store.compact(|_| true).unwrap();
            store.put(&key(0), &VALUE).unwrap();
        }),
        ("a backup's end", |store| {
            store
                .backup(Path::new("/backup"), &mut |_, _| true)
                .unwrap();
        }),
    ];
    for (what, surprise) in surprises {
        let disk = SimulatedDisk::new(3);
        let store = open(&disk);
        let next = put_until_prepared(&store, &disk, 0);
        surprise(&store);
        let mut next = next;
        for _ in 0..3 {
            next = put_until_next_segment(&store, &disk, next);
            store.prepare_segment();
        }
        expect_pairs(&store, next);
        store.sync().unwrap();
        for (kind, crash) in [
            ("kill", Crash::ProcessKill),
            ("power loss", Crash::PowerLoss),
        ] {
            let crashed = disk.crash(crash, 4);
            let store = open(&crashed);
            assert!(
                store.recovery_report().first_failure().is_none(),
                "{what}, {kind}"
            );
            expect_pairs(&store, next);
        }
        store.close().unwrap();
        assert_eq!(prepared(&disk), 0, "{what}");
        expect_pairs(&open(&disk), next);
    }
}

/// What a merge writes has a higher id than the prepared segment, and would else make that one of those that were replaced.
#[test]
fn a_merge_leaves_the_prepared_segment_to_the_log_and_to_readers() {
    let disk = SimulatedDisk::new(12);
    let store = open(&disk);
    let mut next = 0;
    for _ in 0..4 {
        next = put_until_next_segment(&store, &disk, next);
    }
    // Garbage in all of them.
    for number in (0..next).step_by(2) {
        store.put(&key(number), &VALUE).unwrap();
    }
    next = put_until_prepared(&store, &disk, next);
    let before = names(&disk, ".new");
    let open_reader = || {
        let mode = OpenMode::ReadOnly;
        let options = Options { mode, ..options() };
        open_with(&disk, &options)
    };
    let early = open_reader();
    store.compact(|_| true).unwrap();
    assert!(store.stats().compactions > 0);
    assert_eq!(names(&disk, ".new"), before);
    let late = open_reader();
    next = put_until_next_segment(&store, &disk, next);
    next = put_until_prepared(&store, &disk, next);
    let segments = names(&disk, ".seg");
    let made = before[0].replace(".new", ".seg");
    assert!(segments.contains(&made), "{made} was given up");
    assert!(segments.iter().any(|name| *name > made));
    for reader in [early, late] {
        reader.refresh().unwrap();
        expect_pairs(&reader, next);
    }
    // Others are merged around it.
    for number in (0..next).step_by(3) {
        store.put(&key(number), &VALUE).unwrap();
    }
    store.compact(|_| true).unwrap();
    store.sync().unwrap();
    for (crash, seeds) in [(Crash::ProcessKill, 1), (Crash::PowerLoss, 20)] {
        for seed in 0..seeds {
            let crashed = disk.crash(crash, seed);
            let store = open(&crashed);
            assert!(store.recovery_report().first_failure().is_none());
            expect_pairs(&store, next);
        }
    }
}

/// Puts pairs from the number `from` on, without a pause, until so many segments are prepared; answers the next number.
fn put_until_many_are_prepared(
    store: &Store,
    disk: &SimulatedDisk,
    from: usize,
    many: usize,
) -> usize {
    for number in from..from + 5000 {
        store.put(&key(number), &VALUE).unwrap();
        store.prepare_segment();
        if prepared(disk) >= many {
            return number + 1;
        }
    }
    panic!("there are never {many}");
}

fn expect_pairs_after_crashes(disk: &SimulatedDisk, count: usize) {
    for (crash, seeds) in [(Crash::ProcessKill, 1), (Crash::PowerLoss, 20)] {
        for seed in 0..seeds {
            let crashed = disk.crash(crash, seed);
            let store = open(&crashed);
            assert!(store.recovery_report().first_failure().is_none());
            expect_pairs(&store, count);
            assert_eq!(prepared(&crashed), 0);
        }
    }
}

#[test]
fn where_puts_are_quick_several_are_prepared_and_all_come_to_use() {
    let disk = SimulatedDisk::new(13);
    let store = open(&disk);
    let mut next = put_until_many_are_prepared(&store, &disk, 0, 8);
    let before = names(&disk, ".new");
    while names(&disk, ".new").contains(before.last().unwrap()) {
        store.put(&key(next), &VALUE).unwrap();
        next += 1;
    }
    let segments = names(&disk, ".seg");
    for name in before {
        let made = name.replace(".new", ".seg");
        assert!(segments.contains(&made), "{name} was given up");
    }
    next = put_until_many_are_prepared(&store, &disk, next, 3);
    store.sync().unwrap();
    expect_pairs_after_crashes(&disk, next);
}

#[test]
fn where_puts_are_slow_one_is_prepared() {
    let disk = SimulatedDisk::new(14);
    let store = open(&disk);
    for number in 0..1000 {
        store.put(&key(number), &VALUE).unwrap();
        disk.advance_clock(Duration::from_millis(100));
        store.prepare_segment();
        assert!(prepared(&disk) <= 1);
    }
}

#[test]
fn where_records_become_longer_all_prepared_segments_are_given_up() {
    let disk = SimulatedDisk::new(15);
    let store = open(&disk);
    let next = put_until_many_are_prepared(&store, &disk, 0, 5);
    let before = names(&disk, ".new");
    let segment = segments(&disk);
    let mut long = 0;
    while segments(&disk) < segment + 3 {
        store.put(&[b'l', long], &[long; 600]).unwrap();
        store.prepare_segment();
        long += 1;
    }
    let now = names(&disk, ".seg");
    let used = before
        .iter()
        .filter(|name| now.contains(&name.replace(".new", ".seg")));
    assert!(used.count() < before.len(), "{before:?} came to use");
    let left = names(&disk, ".new");
    assert!(!before.iter().any(|name| left.contains(name)), "{left:?}");
    store.sync().unwrap();
    expect_pairs_after_crashes(&disk, next);
    for number in 0..long {
        let found = store.get(&[b'l', number]).unwrap();
        assert_eq!(found.unwrap(), [number; 600]);
    }
}

#[test]
fn a_merge_leaves_all_prepared_segments_to_the_log_and_to_readers() {
    let disk = SimulatedDisk::new(16);
    let options = Options {
        space_amplification: 110,
        ..options()
    };
    let store = open_with(&disk, &options);
    let mut next = put_until_many_are_prepared(&store, &disk, 0, 4);
    // Garbage in all of them.
    for number in (0..next).step_by(2) {
        store.put(&key(number), &VALUE).unwrap();
    }
    next = put_until_many_are_prepared(&store, &disk, next, 4);
    let before = names(&disk, ".new");
    let open_reader = || {
        let mode = OpenMode::ReadOnly;
        open_with(
            &disk,
            &Options {
                mode,
                ..options.clone()
            },
        )
    };
    let early = open_reader();
    assert_eq!(store.stats().compactions, 0);
    // Merges the sealed segments alone: the active one stays, and what is prepared follows it.
    while store.maintain().unwrap() {}
    assert!(store.stats().compactions > 0);
    let late = open_reader();
    while names(&disk, ".new").contains(before.last().unwrap()) {
        store.put(&key(next), &VALUE).unwrap();
        next += 1;
    }
    let segments = names(&disk, ".seg");
    for name in &before {
        let made = name.replace(".new", ".seg");
        assert!(segments.contains(&made), "{name} was given up");
    }
    for reader in [early, late] {
        reader.refresh().unwrap();
        expect_pairs(&reader, next);
    }
    store.sync().unwrap();
    expect_pairs_after_crashes(&disk, next);
}

#[test]
fn what_cannot_come_to_use_any_more_is_removed_when_the_active_segment_is_merged() {
    let disk = SimulatedDisk::new(19);
    let store = open(&disk);
    let next = put_until_many_are_prepared(&store, &disk, 0, 5);
    for _ in 0..2 {
        store.put(&key(0), &VALUE).unwrap();
    }
    store.compact(|_| true).unwrap();
    assert_eq!(prepared(&disk), 0);
    expect_pairs(&store, next);
}

#[test]
fn where_puts_are_quick_they_do_not_reserve_space_themselves() {
    let disk = SimulatedDisk::new(17);
    let options = Options {
        segment_size: 4 << 20,
        ..options()
    };
    let store = open_with(&disk, &options);
    let mut number = 0;
    while segments(&disk) < 5 {
        disk.start_trace();
        store.put(&key(number), &[3; 5000]).unwrap();
        let trace = disk.take_trace();
        let reserves = trace.iter().any(|it| it.operation == Operation::Allocate);
        // Before it shows that puts are quick, and how long they are.
        assert!(!reserves || segments(&disk) == 1, "{number}: {trace:?}");
        store.prepare_segment();
        number += 1;
    }
}

#[test]
fn a_sealed_segment_is_not_made_longer_by_space_that_was_wanted_before() {
    let disk = SimulatedDisk::new(18);
    let options = Options {
        segment_size: 4 << 20,
        ..options()
    };
    let store = open_with(&disk, &options);
    for number in 0..100 {
        store.put(&key(number), &[3; 5000]).unwrap();
    }
    store
        .backup(Path::new("/backup"), &mut |_, _| true)
        .unwrap();
    let lengths = || {
        let all = names(&disk, ".seg").into_iter();
        let length = |name| disk.read_file(&Path::new(STORE).join(name)).unwrap().len();
        all.map(length).collect::<Vec<_>>()
    };
    let sealed = lengths();
    store.prepare_segment();
    assert_eq!(lengths(), sealed);
}

#[test]
fn batches_of_one_length_come_to_the_prepared_segment() {
    let disk = SimulatedDisk::new(5);
    let store = open(&disk);
    let mut number = 0;
    let mut write = || {
        let mut batch = Batch::new();
        for _ in 0..5 {
            batch.put(&key(number), &VALUE).unwrap();
            number += 1;
        }
        store.write(&batch).unwrap();
    };
    while prepared(&disk) == 0 {
        write();
        store.prepare_segment();
    }
    let made = names(&disk, ".new");
    while prepared(&disk) > 0 {
        write();
    }
    let name = made[0].replace(".new", ".seg");
    assert!(names(&disk, ".seg").contains(&name), "{name} was given up");
    expect_pairs(&store, number);
}

#[test]
fn where_nothing_reserves_space_a_segment_ends_only_when_the_next_can_be_made() {
    let disk = SimulatedDisk::new(11);
    disk.set_allocation(Allocation::Unsupported);
    let store = open(&disk);
    for number in 0..500 {
        store.put(&key(number), &VALUE).unwrap();
        store.prepare_segment();
        assert_eq!(prepared(&disk), 0);
    }
    expect_pairs(&store, 500);
}

#[test]
fn a_prepared_segment_leaves_nothing_behind() {
    let disk = SimulatedDisk::new(6);
    let store = open(&disk);
    let next = put_until_prepared(&store, &disk, 0);
    let killed = disk.crash(Crash::ProcessKill, 1);
    assert_eq!(prepared(&killed), 1);
    expect_pairs(&open(&killed), next);
    assert_eq!(prepared(&killed), 0);
    store.close().unwrap();
    assert_eq!(prepared(&disk), 0);
}

#[test]
fn a_segment_that_cannot_be_prepared_is_made_when_it_is_needed() {
    for operation in [
        Operation::CreateNew,
        Operation::Allocate,
        Operation::Sync,
        Operation::Random,
    ] {
        for errno in [libc::ENOSPC, libc::EIO] {
            let disk = SimulatedDisk::new(7);
            let store = open(&disk);
            let mut next = 0;
            while disk.list(Path::new(STORE)).unwrap().is_empty() || next < 30 {
                store.put(&key(next), &VALUE).unwrap();
                next += 1;
            }
            disk.fail_next(operation, errno, Repeat::Once, Effect::Before);
            store.prepare_segment();
            disk.clear_faults();
            assert_eq!(prepared(&disk), 0, "{operation:?}");
            next = put_until_next_segment(&store, &disk, next);
            store.sync().unwrap();
            expect_pairs(&store, next);
        }
    }
}

#[test]
fn a_prepared_segment_that_does_not_get_its_name_stops_writing_and_loses_nothing() {
    for effect in [Effect::Before, Effect::After] {
        let disk = SimulatedDisk::new(8);
        let store = open(&disk);
        let mut next = put_until_prepared(&store, &disk, 0);
        disk.fail_next(Operation::Rename, libc::EIO, Repeat::Once, effect);
        let refused = loop {
            match store.put(&key(next), &VALUE) {
                Ok(()) => next += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.os_code(), libc::EIO);
        let again = store.put(b"more", b"").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Failed);
        expect_pairs(&store, next);
        drop(store);
        let store = open(&disk);
        assert!(store.recovery_report().first_failure().is_none());
        expect_pairs(&store, next);
        store.put(&key(next), &VALUE).unwrap();
    }
}

#[test]
fn a_failed_sync_of_a_name_stops_writing() {
    let disk = SimulatedDisk::new(9);
    let store = open(&disk);
    let next = put_until_prepared(&store, &disk, 0);
    disk.fail_next(
        Operation::SyncDirectory,
        libc::EIO,
        Repeat::Once,
        Effect::Before,
    );
    let mut next = next;
    let refused = loop {
        match store.put(&key(next), &VALUE) {
            Ok(()) => next += 1,
            Err(error) => break error,
        }
        if let Err(error) = store.sync() {
            break error;
        }
    };
    assert_eq!(refused.os_code(), libc::EIO);
    assert_eq!(
        store.put(b"more", b"").unwrap_err().kind(),
        ErrorKind::Failed
    );
    expect_pairs(&store, next);
}

#[test]
fn a_thread_in_the_background_prepares_segments() {
    let disk = SimulatedDisk::new(10);
    let options = Options {
        background_threads: 1,
        segment_size: 64 << 10,
        ..options()
    };
    let store = open_with(&disk, &options);
    for number in 0..500 {
        store.put(&key(number), &VALUE).unwrap();
    }
    #[allow(clippy::disallowed_methods)] // looks at the clock to end a test that would never end
    let begun = Instant::now();
    while prepared(&disk) == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "none is prepared"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    for number in 500..2000 {
        store.put(&key(number), &VALUE).unwrap();
    }
    expect_pairs(&store, 2000);
    store.close().unwrap();
    assert_eq!(prepared(&disk), 0);
}
