//! The shipped library on a system that fails: every allocation and every system call on files, one after the other, and a
//! system that has run out of something.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods)] // looks at real files directly

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use support::programs::{Way, compiled, told};
use support::root;

/// A program of `c_tests/failing`, built by the first test that needs it.
fn built(program: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap();
    let path = built.entry(program.to_string()).or_insert_with(|| {
        let folder = root().join("c_tests/failing");
        compiled(Way::Shared, &folder.join(program).with_extension("c"))
    });
    path.clone()
}

/// Runs a program of `c_tests/failing` in `directory`.
fn run(program: &str, directory: &Path, variables: &[(&str, &str)]) {
    let output = Command::new(built(program))
        .arg(directory)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let told = told(&output);
    assert!(
        output.status.success(),
        "{program}: {}\n{told}",
        output.status
    );
    print!("{told}");
}

fn in_a_directory(program: &str, variables: &[(&str, &str)]) {
    let directory = tempfile::tempdir().unwrap();
    run(program, directory.path(), variables);
}

/// Lets one in `stride` calls fail: in memory, where syncing takes no time, if the system has files there, and fewer on the
/// disk, which may reserve space.
fn sweep(program: &str, stride: u32) {
    let on_disk = (stride * 10 + 3).to_string();
    in_a_directory(program, &[("FREYJA_STRIDE", &on_disk)]);
    let in_memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let stride = stride.to_string();
    run(
        program,
        in_memory.unwrap().path(),
        &[("FREYJA_STRIDE", &stride)],
    );
}

#[test]
fn no_failing_allocation_ends_the_process_or_loses_anything() {
    sweep("allocations", 11);
}

#[test]
#[ignore = "takes minutes; make fault-test"]
fn no_failing_allocation_at_all_ends_the_process_or_loses_anything() {
    sweep("allocations", 1);
}

#[test]
fn no_failing_system_call_loses_anything() {
    sweep("calls", 61);
}

#[test]
#[ignore = "takes minutes; make fault-test"]
fn no_failing_system_call_at_all_loses_anything() {
    sweep("calls", 1);
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_no_more() {
    in_a_directory("exhaustion", &[("FREYJA_EXHAUST", "file size")]);
}

#[test]
fn a_limit_on_descriptors_is_an_error_and_no_more() {
    in_a_directory("exhaustion", &[("FREYJA_EXHAUST", "descriptors")]);
}

#[test]
fn a_limit_on_memory_is_an_error_and_no_more() {
    in_a_directory("exhaustion", &[("FREYJA_EXHAUST", "memory")]);
}

/// A mounted file system, until this is dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    /// Mounts what `arguments` say; `None` where that is not allowed.
    fn new(arguments: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(arguments).arg(directory.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(directory)),
            _ => {
                println!("skipped: mount {arguments:?} takes root and is not possible here");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

#[test]
fn a_full_disk_without_reservations_is_an_error_and_no_more() {
    if let Some(disk) = Mounted::new(&["-t", "tmpfs", "-o", "size=3m", "small"]) {
        run("exhaustion", disk.0.path(), &[("FREYJA_EXHAUST", "disk")]);
    }
}

#[test]
fn a_full_disk_with_reservations_is_an_error_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk");
    std::fs::File::create(&image)
        .and_then(|file| file.set_len(8 << 20))
        .unwrap();
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-m", "0"])
        .arg(&image)
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        println!("skipped: mkfs.ext4 is not installed");
        return;
    }
    if let Some(disk) = Mounted::new(&["-o", "loop", image.to_str().unwrap()]) {
        run("exhaustion", disk.0.path(), &[("FREYJA_EXHAUST", "disk")]);
    }
}
