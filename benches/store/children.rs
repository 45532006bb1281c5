//! What needs a process of its own: dying without closing, and memory that nothing else has touched.

use std::path::Path;
use std::process::Command;

use crate::arguments::Child;
use crate::contenders::{Contender, Map, Store};
use crate::library::{Library, SYNC_NONE};
use crate::rounds;
use crate::workload::Workload;

/// Runs this program again as `child` on the store `directory`; gives back what it printed.
pub fn start(child: Child, library: &Library, workload: &Workload, directory: &Path) -> String {
    let output = Command::new(std::env::current_exe().expect("the benchmark knows where it is"))
        .args([
            "--pairs",
            &workload.pairs.to_string(),
            "--child",
            child.name(),
        ])
        .arg("--library")
        .arg(&library.path)
        .arg("--directory")
        .arg(directory)
        .output()
        .expect("the benchmark can start itself");
    let died_as_told =
        child == Child::FillAndDie && !output.status.success() && output.stdout == b"filled\n";
    assert!(
        output.status.success() || died_as_told,
        "{}: {}{}",
        child.name(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn fill_and_close(library: &Library, workload: &Workload, directory: &Path) {
    let mut store = Store::open(library, directory, SYNC_NONE);
    rounds::fill(&mut store, workload);
    store.close();
}

/// Fills and is killed before anything can be flushed, written down or tidied up.
pub fn fill_and_die(library: &Library, workload: &Workload, directory: &Path) {
    let mut store = Store::open(library, directory, SYNC_NONE);
    rounds::fill(&mut store, workload);
    println!("filled");
    // SAFETY: sends a signal to this very process; no memory is involved.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

pub fn memory_of_store(library: &Library, workload: &Workload, directory: &Path) {
    let before = resident_memory();
    let mut store = Store::open(library, directory, SYNC_NONE);
    print_growth(&mut store, workload, before);
    store.close();
}

pub fn memory_of_hash_map(workload: &Workload) {
    print_growth(&mut Map::default(), workload, resident_memory());
}

/// Fills and prints the growth in bytes, then checks the values so that nothing can be left out.
fn print_growth(contender: &mut impl Contender, workload: &Workload, before: u64) {
    rounds::fill(contender, workload);
    println!("{}", resident_memory() - before);
    rounds::check_all(contender, workload, 0);
}

/// Bytes of this process's memory that no file backs, as the system counts them: `RssAnon` and `RssShmem`.
fn resident_memory() -> u64 {
    let status =
        std::fs::read_to_string("/proc/self/status").expect("Linux tells a process its memory");
    let lines = status
        .lines()
        .filter(|line| line.starts_with("RssAnon:") || line.starts_with("RssShmem:"));
    lines
        .map(|line| {
            line.split_whitespace()
                .nth(1)
                .and_then(|kib| kib.parse::<u64>().ok())
                .expect("a number")
                * 1024
        })
        .sum()
}
