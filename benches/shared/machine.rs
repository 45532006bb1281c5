//! Where and when a measurement was made.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What this machine is.
pub fn description() -> String {
    let cpu = value_of("/proc/cpuinfo", "model name").unwrap_or("an unknown processor".into());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = bytes_of_memory("MemTotal").unwrap_or(0) >> 30;
    let huge = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let huge = huge.unwrap_or_else(|_| "unknown".to_owned());
    let chosen = huge.split(['[', ']']).nth(1).unwrap_or(huge.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = kernel.trim();
    format!(
        "{cpu}, {cores} cores, {memory} GiB of memory, Linux {release}, transparent huge pages: {chosen}"
    )
}

/// Bytes of memory that can be had without pushing anything out, as the system estimates.
pub fn available_memory() -> u64 {
    bytes_of_memory("MemAvailable").unwrap_or(u64::MAX)
}

/// Bytes that may still be written to the file system of `directory`.
pub fn available_disk(directory: &Path) -> u64 {
    let space = rustix::fs::statvfs(directory).expect("the file system can be asked");
    space.f_bavail * space.f_frsize
}

/// Whether files in `directory` are kept in memory, where they would count as memory of who maps them.
pub fn is_in_memory(directory: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    let system = rustix::fs::statfs(directory).expect("the file system can be asked");
    // The field's type differs between architectures, signed on most.
    #[allow(clippy::unnecessary_cast)]
    let kind = system.f_type as u64;
    matches!(kind, TMPFS | RAMFS)
}

/// The kind of file system that `directory` is on, as it is mounted.
#[allow(dead_code)] // not every benchmark tells it
pub fn file_system(directory: &Path) -> String {
    let canonical = directory.canonicalize();
    let canonical = canonical.unwrap_or_else(|_| directory.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind, options) = (words.next()?, words.next()?, words.next()?);
        let within = canonical.starts_with(place);
        within.then(|| (place.len(), format!("{kind} ({options})")))
    });
    let nearest = mounted.max_by_key(|(length, _)| *length);
    nearest.map_or("an unknown file system".to_owned(), |(_, kind)| kind)
}

/// Today, from the system's clock.
pub fn date() -> String {
    first_line("date", &["-u", "+%Y-%m-%d"]).unwrap_or("at an unknown date".into())
}

/// The last commit that changed what is measured, and whether files that are not committed change it again.
pub fn commit() -> String {
    // From the top of the tree, wherever the benchmark lies in it.
    let measured = ["--", ":/src", ":/build.rs"];
    let arguments = [&["log", "-1", "--format=%h (%cs, %s)"], &measured[..]].concat();
    let Some(commit) = first_line("git", &arguments) else {
        return "unknown".to_owned();
    };
    let arguments = [&["status", "--porcelain"], &measured[..]].concat();
    match first_line("git", &arguments) {
        Some(_) => format!("{commit}, with changes that are not committed"),
        None => commit,
    }
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?;
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

fn bytes_of_memory(name: &str) -> Option<u64> {
    let value = value_of("/proc/meminfo", name)?;
    let kibibytes: u64 = value.split(' ').next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn value_of(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
