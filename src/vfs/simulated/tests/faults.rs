//! Calls that fail, and what is left of them.

use super::*;

const EIO: i32 = Errno::IO.raw_os_error();

fn errno<T>(result: io::Result<T>) -> i32 {
    match result {
        Ok(_) => panic!("this call must fail"),
        Err(error) => error.raw_os_error().unwrap_or(0),
    }
}

#[test]
fn a_failed_sync_is_never_made_good_by_a_later_one() {
    let disk = disk();
    let file = durable_file(&disk, "/file", &[1; 2048]);
    file.write_all_at(&[2; 1024], 512).unwrap();
    disk.fail_next(Operation::Sync, EIO, Repeat::Once, Effect::Before);
    assert_eq!(errno(file.sync()), EIO);
    file.write_all_at(&[3; 512], 2048).unwrap();
    file.sync().unwrap();
    let after_power_loss = || {
        let lost = disk.power_loss(&mut Uniform(SectorFate::Old), 0);
        content(&lost, "/file").unwrap()
    };
    let on_disk = [&[1; 2048][..], &[3; 512]].concat();
    let cached = [&[1; 512][..], &[2; 1024], &[1; 512], &[3; 512]].concat();
    assert_eq!(after_power_loss(), on_disk);
    assert_eq!(content(&disk, "/file").unwrap(), cached);
    let killed = disk.crash(Crash::ProcessKill, 0);
    assert_eq!(content(&killed, "/file").unwrap(), cached);
    disk.drop_caches();
    assert_eq!(content(&disk, "/file").unwrap(), on_disk);
    // Only writing the bytes anew brings them to the disk.
    file.write_all_at(&[2; 1024], 512).unwrap();
    file.sync().unwrap();
    assert_eq!(after_power_loss(), cached);
}

#[test]
fn a_cut_whose_sync_failed_does_not_bring_old_bytes_back_when_the_file_grows() {
    let disk = disk();
    let file = durable_file(&disk, "/file", &[1; 600]);
    file.set_len(10).unwrap();
    disk.fail_next(Operation::Sync, EIO, Repeat::Once, Effect::Before);
    assert_eq!(errno(file.sync()), EIO);
    disk.drop_caches();
    file.set_len(600).unwrap();
    assert_eq!(content(&disk, "/file").unwrap()[10..], [0; 590]);
}

#[test]
fn a_sync_that_fails_in_part_writes_some_sectors_and_gives_up_the_rest() {
    let disk = disk();
    let file = durable_file(&disk, "/file", &[1; 64 * 512]);
    file.write_all_at(&[2; 64 * 512], 0).unwrap();
    disk.fail_next(Operation::Sync, EIO, Repeat::Once, Effect::Partial);
    assert_eq!(errno(file.sync()), EIO);
    file.sync().unwrap();
    let lost = disk.power_loss(&mut Uniform(SectorFate::New), 0);
    let bytes = content(&lost, "/file").unwrap();
    let written = bytes.chunks(512).filter(|sector| sector[0] == 2).count();
    assert!((10..54).contains(&written), "{written}");
    assert!(bytes.chunks(512).all(|sector| sector == [sector[0]; 512]));
}

#[test]
fn a_call_fails_before_during_or_after_its_effect() {
    let disk = disk();
    let file = durable_file(&disk, "/file", &[0; 1000]);
    let write = |byte: u8, effect| {
        disk.fail_call(disk.calls(), EIO, Repeat::Once, effect);
        assert_eq!(errno(file.write_all_at(&[byte; 1000], 0)), EIO);
        let bytes = content(&disk, "/file").unwrap();
        let count = bytes.iter().take_while(|now| **now == byte).count();
        assert!(!bytes[count..].contains(&byte));
        count
    };
    assert_eq!(write(1, Effect::Before), 0);
    assert!((1..1000).contains(&write(2, Effect::Partial)));
    assert_eq!(write(3, Effect::After), 1000);

    let create = |path: &str, effect| {
        disk.fail_next(Operation::CreateNew, EIO, Repeat::Once, effect);
        assert_eq!(errno(disk.create_new(Path::new(path))), EIO);
        content(&disk, path)
    };
    assert_eq!(create("/before", Effect::Before), None);
    assert_eq!(create("/during", Effect::Partial), None);
    assert_eq!(create("/after", Effect::After), Some(Vec::new()));

    let lock = Path::new("/LOCK");
    disk.fail_next(Operation::Lock, EIO, Repeat::Once, Effect::After);
    assert_eq!(errno(disk.lock(lock, LockMode::Exclusive)), EIO);
    drop(disk.lock(lock, LockMode::Exclusive).unwrap());

    disk.fail_next(Operation::Allocate, EIO, Repeat::Once, Effect::Partial);
    assert_eq!(errno(file.allocate(9000)), EIO);
    assert!((1001..9000).contains(&file.len().unwrap()));

    let mut buffer = [9; 100];
    disk.fail_next(Operation::Read, EIO, Repeat::Once, Effect::Partial);
    assert_eq!(errno(file.read_exact_at(&mut buffer, 0)), EIO);
    assert!(buffer.contains(&9) && buffer.contains(&3));
}

#[test]
fn a_directory_sync_that_fails_in_part_keeps_a_prefix_and_can_be_repeated() {
    let disk = disk();
    let names: Vec<String> = (0..40).map(|number| format!("/{number:02}")).collect();
    for name in &names {
        disk.create_new(Path::new(name)).unwrap();
    }
    let kept = || {
        let lost = disk.power_loss(&mut Uniform(SectorFate::Old), 0);
        let is_kept = |name: &&String| content(&lost, name).is_some();
        let prefix = names.iter().take_while(is_kept).count();
        assert_eq!(names.iter().filter(is_kept).count(), prefix);
        prefix
    };
    let fail = |effect| {
        disk.fail_next(Operation::SyncDirectory, EIO, Repeat::Once, effect);
        assert_eq!(errno(disk.sync_directory(Path::new("/"))), EIO);
    };
    fail(Effect::Before);
    assert_eq!(kept(), 0);
    fail(Effect::Partial);
    assert!((1..40).contains(&kept()));
    disk.sync_directory(Path::new("/")).unwrap();
    assert_eq!(kept(), 40);
}

#[test]
fn a_fault_lasts_for_one_call_or_for_an_operation_or_for_all() {
    let disk = disk();
    let file = durable_file(&disk, "/file", b"bytes");
    let plan = |repeat| disk.fail_next(Operation::Sync, EIO, repeat, Effect::Before);
    let results = || [file.sync().is_ok(), file.len().is_ok(), file.sync().is_ok()];
    plan(Repeat::Once);
    assert_eq!(results(), [false, true, true]);
    plan(Repeat::SameOperation);
    assert_eq!(results(), [false, true, false]);
    disk.clear_faults();
    assert_eq!(results(), [true, true, true]);
    plan(Repeat::Always);
    assert_eq!(results(), [false, false, false]);
    disk.clear_faults();
    // Two faults at once are two failures, each at its own call.
    let next = disk.calls();
    disk.fail_call(next, EIO, Repeat::Once, Effect::Before);
    disk.fail_call(
        next + 2,
        Errno::ACCESS.raw_os_error(),
        Repeat::Once,
        Effect::Before,
    );
    assert_eq!(errno(file.len()), EIO);
    file.len().unwrap();
    assert_eq!(errno(file.len()), Errno::ACCESS.raw_os_error());
    file.len().unwrap();
}

#[test]
fn every_method_of_the_traits_is_a_call_that_can_fail() {
    let disk = disk();
    let file = durable_file(&disk, "/file", &[1; 100]);
    file.allocate(200).unwrap();
    let (_, mut writer) = file.map_append(100, 200).unwrap();
    writer.set_limit(200);
    let path = Path::new("/file");
    let start = disk.calls();
    disk.start_trace();
    disk.fail_call(start, EIO, Repeat::Always, Effect::Before);
    let codes = [
        errno(disk.open(path, Access::Read)),
        errno(disk.create_new(Path::new("/new"))),
        errno(disk.create_directory(Path::new("/directory"))),
        errno(disk.list(Path::new("/"))),
        errno(disk.rename(path, Path::new("/other"))),
        errno(disk.hard_link(path, Path::new("/link"))),
        errno(disk.remove(path)),
        errno(disk.sync_directory(Path::new("/"))),
        errno(disk.lock(path, LockMode::Shared)),
        errno(disk.random()),
        errno(file.len()),
        errno(file.read_exact_at(&mut [0; 10], 5)),
        errno(file.write_all_at(&[0; 10], 20)),
        errno(file.allocate(1000)),
        errno(file.set_len(5)),
        errno(file.sync()),
        errno(file.map(50)),
        errno(file.map_append(100, 300)),
        errno(writer.write(100, &[b"12", b"345"])),
    ];
    assert_eq!(codes, [EIO; 19]);
    let trace = disk.take_trace();
    let operations: Vec<Operation> = trace.iter().map(|call| call.operation).collect();
    let mut all = operations.clone();
    all.sort();
    all.dedup();
    assert_eq!(
        all, operations,
        "each operation once, in the order of their list"
    );
    assert_eq!(all.len(), 19);
    for (number, call) in trace.iter().enumerate() {
        assert_eq!(call.index, start + number as u64);
        assert!(call.error.is_some());
    }
    let ranges = |call: &Call| (call.offset, call.length);
    let expected = [(5, 10), (20, 10), (0, 1000), (0, 5), (0, 0), (0, 50)];
    assert!(trace[11..17].iter().map(ranges).eq(expected));
    assert_eq!(ranges(&trace[18]), (100, 5));
    assert_eq!(trace[18].path, path);

    // Nothing of all that happened.
    disk.clear_faults();
    assert_eq!(content(&disk, "/file").unwrap().len(), 200);
    assert_eq!(disk.list(Path::new("/")).unwrap().len(), 1);
    assert_eq!(disk.take_trace()[0].error, None);
}

#[test]
fn after_the_end_of_the_workload_nothing_changes_any_more() {
    let disk = disk();
    let file = durable_file(&disk, "/file", &[1; 1000]);
    file.write_all_at(&[2; 1000], 0).unwrap();
    let before = disk.unsynced();
    disk.stop_at(disk.calls() + 1, Effect::Before);
    file.len().unwrap();
    assert!(!disk.is_stopped());
    assert!(file.write_all_at(&[3; 1000], 0).is_err());
    assert!(disk.is_stopped());
    assert!(file.sync().is_err());
    assert!(disk.remove(Path::new("/file")).is_err());
    drop(file);
    assert_eq!(content(&disk, "/file").unwrap(), [2; 1000]);
    // A sync that did not happen has not failed either: the bytes are as unsynced as before.
    assert_eq!(disk.unsynced(), before);
    let crashed = disk.crash(Crash::ProcessKill, 0);
    assert!(!crashed.is_stopped());
    let file = crashed.open(Path::new("/file"), Access::Write).unwrap();
    file.sync().unwrap();
    let lost = crashed.power_loss(&mut Uniform(SectorFate::Old), 0);
    assert_eq!(content(&lost, "/file").unwrap(), [2; 1000]);
}

#[test]
fn a_kill_in_the_middle_of_a_write_tears_it_anywhere() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = SimulatedDisk::new(seed);
        let file = durable_file(&disk, "/file", &[0; 8]);
        file.allocate(16).unwrap();
        let (_, mut writer) = file.map_append(0, 16).unwrap();
        writer.set_limit(16);
        disk.stop_at(disk.calls(), Effect::Partial);
        writer.write(0, &[b"1234", b"", b"5678"]).unwrap_err();
        let bytes = content(&disk.crash(Crash::ProcessKill, 0), "/file").unwrap();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap();
        assert_eq!(bytes[..end], b"12345678"[..end]);
        ends.insert(end);
    }
    assert!(ends.into_iter().eq(0..8));
}
