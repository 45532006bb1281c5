//! What the system says of this process, and what its files take.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Advice, fadvise};

/// Bytes of this process's memory: those that no file backs, and those that one does.
pub fn resident() -> [u64; 2] {
    let bytes = |name| 1024 * number("/proc/self/status", name).expect("Linux tells it");
    [bytes("RssAnon:"), bytes("RssFile:") + bytes("RssShmem:")]
}

/// Bytes that this process has given the system to write to the disk so far, by calls or through mappings, if the system
/// tells.
pub fn written() -> Option<u64> {
    number("/proc/self/io", "write_bytes:")
}

/// Bytes that this process has had read from the disk so far, if the system tells.
pub fn read() -> Option<u64> {
    number("/proc/self/io", "read_bytes:")
}

fn number(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Bytes that the files of a store take on the disk.
pub fn disk_bytes(directory: &Path) -> u64 {
    let mut sum = 0;
    for_each_file(directory, &mut |path| {
        let metadata = path.metadata().expect("the store's files can be looked at");
        sum += metadata.blocks() * 512;
    });
    sum
}

/// Has the files of a store, which no process has open, written to the disk and forgotten by the page cache. No other file is touched, and
/// no privilege is needed.
pub fn forget(directory: &Path) {
    rustix::fs::sync();
    for_each_file(directory, &mut |path| {
        let file = File::open(path).expect("the store's files can be read");
        fadvise(&file, 0, None, Advice::DontNeed).expect("files can be forgotten");
    });
}

fn for_each_file(directory: &Path, look: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).expect("the store can be listed") {
        let path = entry.expect("the store can be listed").path();
        match path.is_dir() {
            true => for_each_file(&path, look),
            false => look(&path),
        }
    }
}
