//! Starts a process for everything that is to be measured.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use freyja_peers::engine::{self, Kind};
use freyja_peers::machine;

use crate::arguments::{Arguments, Task};
use crate::report;
use crate::results::{Kept, Results};

/// Measures everything, and prints and records it.
pub fn run(arguments: &Arguments) {
    // Asked before anything is written.
    let commit = machine::commit();
    fs::create_dir_all(&arguments.directory).expect("the directory can be made");
    let library = engine::build_freyja();
    let file = arguments.directory.join("peers-benchmark.jsonl");
    let mut kept = Kept::open(&file, &commit).expect("a file for what has been measured");
    let mut results = Results::default();
    let sizes = arguments.value_lens.iter().flat_map(|&value_len| {
        arguments
            .pairs
            .iter()
            .map(move |&pairs| Size { pairs, value_len })
    });
    for size in sizes {
        for round in 0..arguments.rounds {
            // Each goes first as often as any other.
            for turn in 0..arguments.kinds.len() {
                let kind = arguments.kinds[(turn + round) % arguments.kinds.len()];
                let Size { pairs, value_len } = size;
                let measured = format!("{} {pairs} {value_len} round {round}", kind.name);
                if kept.text(&measured).is_none() {
                    eprintln!("{measured}");
                    let text = measure(kind, size, &arguments.directory, &library);
                    let done = kept.keep(measured.clone(), text);
                    done.expect("what has been measured can be written down");
                }
                let text = kept.text(&measured).unwrap_or_default();
                results.add(kind.name, pairs, value_len, text);
            }
        }
    }
    println!("{}", report::text(&results, arguments, &commit));
    if arguments.record {
        report::record(&results, arguments, &commit);
    }
    fs::remove_file(&file).expect("what was kept can be removed");
}

#[derive(Clone, Copy)]
struct Size {
    pairs: u64,
    value_len: usize,
}

/// All that is measured of one store in one round: what its processes print, and more lines of the same kind.
fn measure(kind: Kind, size: Size, directory: &Path, library: &Path) -> String {
    let place = tempfile::tempdir_in(directory).expect("a temporary directory");
    let path = |name: &str| place.path().join(name);
    let start = |task, store: &str| child(kind, task, size, &path(store), library);
    let mut text = start(Task::Work, "worked");
    if text.starts_with("absent") || !kind.answers {
        return text;
    }
    fs::remove_dir_all(path("worked")).expect("what a store left can be removed");
    for (task, how) in [
        (Task::FillAndClose, "clean"),
        (Task::FillAndDie, "after a kill"),
    ] {
        start(task, how);
        if task == Task::FillAndClose {
            text += &format!("disk\t{}\n", disk_bytes(&path(how)));
        }
        let opened = start(Task::Open, how);
        let milliseconds = opened
            .trim()
            .strip_prefix("open\t")
            .expect("the time it took");
        text += &format!("reopen\t{how}\t{milliseconds}\n");
        fs::remove_dir_all(path(how)).expect("what a store left can be removed");
    }
    text
}

/// Runs this program again for `task`; answers what it printed.
fn child(kind: Kind, task: Task, size: Size, store: &Path, library: &Path) -> String {
    let output = Command::new(env::current_exe().expect("the benchmark knows where it is"))
        .args(["--child", task.name(), "--engines", kind.name])
        .args(["--pairs", &size.pairs.to_string()])
        .args(["--value-len", &size.value_len.to_string()])
        .arg("--directory")
        .arg(store)
        .env(engine::FREYJA_LIBRARY, library)
        .output()
        .expect("the benchmark can start itself");
    let killed = task == Task::FillAndDie && output.status.signal() == Some(libc::SIGKILL);
    assert!(
        killed || output.status.success(),
        "{} {}: {}{}",
        kind.name,
        task.name(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Bytes that the files of a store take on the disk.
fn disk_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("the store can be listed");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("the store can be listed");
        let metadata = entry
            .metadata()
            .expect("the store's files can be looked at");
        match metadata.is_dir() {
            true => disk_bytes(&entry.path()),
            false => metadata.blocks() * 512,
        }
    });
    sizes.sum()
}
