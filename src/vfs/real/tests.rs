//! What only the operating system can get wrong: links, pipes, foreign locks, file systems.

use super::*;
use crate::vfs::{Allocation, contract};
use std::fs::TryLockError;
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn the_real_file_system_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    contract::check(&RealVfs, directory.path());
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_file_system_in_memory_keeps_the_contract_without_reserving() {
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else {
        return; // this system has none
    };
    let file = RealVfs.create_new(&directory.path().join("file")).unwrap();
    assert_eq!(file.allocate(4096).unwrap(), Allocation::Unsupported);
    contract::check(&RealVfs, directory.path());
}

/// A directory with one of everything that is not a regular file.
fn oddities() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("target"), b"never touched").unwrap();
    symlink(path("target"), path("link")).unwrap();
    symlink(path("missing"), path("dangling")).unwrap();
    symlink(path("loop"), path("loop")).unwrap();
    UnixListener::bind(path("socket")).unwrap();
    let made = Command::new("mkfifo").arg(path("pipe")).status().unwrap();
    assert!(made.success());
    let names = ["link", "dangling", "loop", "socket", "pipe"];
    let paths = names.map(path).to_vec();
    (directory, paths)
}

#[test]
#[cfg_attr(miri, ignore = "starts a process")]
fn what_is_not_a_regular_file_is_refused_at_once_and_left_alone() {
    let (directory, mut paths) = oddities();
    paths.push(PathBuf::from("/dev/zero"));
    paths.push(directory.path().to_path_buf());
    for path in paths {
        for access in [Access::Read, Access::Write] {
            let refused = RealVfs.open(&path, access).err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
        let refused = RealVfs.create_new(&path).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists, "{path:?}");
        let refused = RealVfs.lock(&path, LockMode::Exclusive).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{path:?}");
    }
    assert!(!directory.path().join("missing").exists());
    let target = fs::read(directory.path().join("target")).unwrap();
    assert_eq!(target, b"never touched");
}

#[test]
#[cfg_attr(miri, ignore = "starts a process")]
fn a_listing_does_not_follow_links() {
    let (directory, paths) = oddities();
    symlink("/", directory.path().join("to a directory")).unwrap();
    let entries = RealVfs.list(directory.path()).unwrap();
    assert_eq!(entries.len(), paths.len() + 2);
    for entry in entries {
        let expected = if entry.name == "target" {
            EntryKind::File
        } else {
            EntryKind::Other
        };
        assert_eq!(entry.kind, expected, "{entry:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "flock")]
fn a_holder_in_another_process_is_seen_and_sees_ours() {
    // A description opened beside RealVfs stands for the other process: flock tells them apart alike.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("LOCK");
    let other = fs::File::create(&path).unwrap();
    other.try_lock().unwrap();
    for mode in [LockMode::Exclusive, LockMode::Shared] {
        let refused = RealVfs.lock(&path, mode).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }
    other.unlock().unwrap();
    let held = RealVfs.lock(&path, LockMode::Exclusive).unwrap();
    assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
    drop(held);
    other.try_lock_shared().unwrap();
    let refused = RealVfs.lock(&path, LockMode::Exclusive).err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    RealVfs.lock(&path, LockMode::Shared).unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "flock")]
fn opening_and_closing_the_lock_file_does_not_release_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("LOCK");
    let _held = RealVfs.lock(&path, LockMode::Exclusive).unwrap();
    drop(RealVfs.open(&path, Access::Write).unwrap());
    let other = fs::File::open(&path).unwrap();
    assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
}

#[test]
#[cfg_attr(miri, ignore = "flock")]
fn a_lock_reached_by_another_path_is_the_same_lock() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    RealVfs.create_directory(&store).unwrap();
    let alias = directory.path().join("alias");
    symlink(&store, &alias).unwrap();
    let _held = RealVfs
        .lock(&store.join("LOCK"), LockMode::Exclusive)
        .unwrap();
    let refused = RealVfs.lock(&alias.join("LOCK"), LockMode::Shared);
    assert_eq!(refused.err().unwrap().kind(), io::ErrorKind::WouldBlock);
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_mapping_sees_what_happens_to_the_file_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let file = RealVfs.create_new(&path).unwrap();
    file.write_all_at(b"good", 0).unwrap();
    let mapping = file.map(4).unwrap();
    assert_eq!(mapping.bytes(0, 4), Some(&b"good"[..]));
    let outside = fs::OpenOptions::new().write(true).open(&path).unwrap();
    outside.write_all_at(b"bad!", 0).unwrap();
    assert_eq!(mapping.bytes(0, 4), Some(&b"bad!"[..]));
}

/// How often this thread had to wait for a page of memory.
#[cfg(target_os = "linux")]
fn page_faults() -> u64 {
    let statistics = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let behind_name = statistics.rsplit(')').next().unwrap();
    behind_name
        .split_whitespace()
        .nth(7)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "maps files")]
fn writes_to_pages_that_were_made_ready_do_not_wait_for_them() {
    const LENGTH: usize = 4 << 20;
    const PAGE: usize = 4096;
    let directory = tempfile::tempdir().unwrap();
    let file = RealVfs.create_new(&directory.path().join("file")).unwrap();
    if file.allocate(2 * LENGTH as u64).unwrap() != Allocation::Reserved {
        return; // nothing is written through mappings here
    }
    let (mapping, mut writer) = file.map_append(0, 2 * LENGTH).unwrap();
    writer.set_limit(2 * LENGTH);
    mapping.make_ready(LENGTH, LENGTH);
    mapping.make_ready(LENGTH, usize::MAX);
    let mut faults_at = |begin: usize| {
        let before = page_faults();
        for page in (begin..begin + LENGTH).step_by(PAGE) {
            writer.write(page, &[b"written"]).unwrap();
        }
        page_faults() - before
    };
    let unprepared = faults_at(0);
    let prepared = faults_at(LENGTH);
    // Kernels before 5.14 cannot make pages ready; then both are the same.
    let is_possible = unprepared > 0 && prepared < unprepared;
    assert!(
        !is_possible || prepared * 10 < unprepared,
        "{prepared} of {unprepared}"
    );
    writer.publish(2 * LENGTH);
    assert_eq!(mapping.bytes(LENGTH, 8), Some(&b"written\0"[..]));
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn bytes_are_written_in_place_only_behind_what_is_published_and_within_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let file = RealVfs.create_new(&path).unwrap();
    if file.allocate(4096).unwrap() != Allocation::Reserved {
        return; // nothing is written through mappings here
    }
    let (mapping, mut writer) = file.map_append(0, 4096).unwrap();
    writer.set_limit(100);
    writer.place(0, 8).unwrap().copy_from_slice(b"in place");
    assert_eq!(mapping.bytes(0, 8), None);
    writer.publish(8);
    assert_eq!(mapping.bytes(0, 8), Some(&b"in place"[..]));
    for (offset, length) in [
        (7, 8),
        (0, 1),
        (8, 93),
        (100, 1),
        (usize::MAX, 1),
        (8, usize::MAX),
    ] {
        assert!(
            writer.place(offset, length).is_none(),
            "{length} at {offset}"
        );
    }
    writer.place(8, 92).unwrap().fill(7);
    writer.publish(100);
    // Out of the process's tables, and back when they are read.
    mapping.leave_pages();
    assert_eq!(mapping.bytes(0, 8), Some(&b"in place"[..]));
    assert_eq!(mapping.bytes(8, 92), Some(&[7; 92][..]));
    assert_eq!(std::fs::read(&path).unwrap()[..8], *b"in place");
}
