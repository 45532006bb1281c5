//! What this machine takes for the steps that any store is made of, and beside them what Freyja takes: `make bench-limits`.
//!
//! Each is done in many short turns, all by turns, and the fastest one counts: what else the machine does can only slow it down.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod chase;
mod files;
mod store;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Instant;

use chase::{Chase, Pages};
use files::Records;
use freyja_peers::command_line::{refuse, words};
use freyja_peers::engine;
use freyja_peers::machine;
use freyja_peers::table::Table;
use freyja_peers::target_folder;
use store::Store;

/// How often each step takes its turn.
const TURNS: u64 = 200;
/// How often it is done in a turn: some milliseconds.
const TIMES: u64 = 1 << 14;
/// The same for what makes the store grow: so few that all turns together do not change it much.
const PUTS: u64 = 1 << 10;

/// Does something so many times; it is told the number of the first.
type Step<'s> = Box<dyn FnMut(u64) + 's>;

fn main() {
    let mut record = false;
    for word in words() {
        match word.as_str() {
            "--record" => record = true,
            _ => refuse(&format!("unknown argument {word}"), "[--record]"),
        }
    }
    // Asked before anything is written, and before any thread is started.
    let commit = machine::commit();
    engine::build_freyja();
    let directory = target_folder("bench-limits");
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    let measured = measure(&directory);
    let mut table = Table::new(1, &["", "ns"]);
    for (name, nanoseconds) in measured {
        table.add(vec![name.to_owned(), format!("{nanoseconds:.1}")]);
    }
    let text = format!(
        "{}, {}; files on {}. Measured: {commit}.\n\n\
         `make bench-limits`: nanoseconds of each, the fastest of {TURNS} turns of {TIMES} times, of puts {PUTS}. Freyja's are with what the benchmark takes for making and comparing keys and values.\n\n{table}",
        machine::date(),
        machine::description(),
        machine::file_system(&directory),
    );
    println!("{text}");
    if record {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks/limits.md");
        let page = format!("# The machine's limits\n\n{text}");
        std::fs::write(path, page).expect("the report can be written");
    }
}

fn measure(directory: &Path) -> Vec<(&'static str, f64)> {
    let small = Chase::new(Pages::Small);
    let huge = Chase::new(Pages::Huge);
    let records = Records::create(directory);
    let store = Store::fill(directory);
    let counter = AtomicU64::new(0);
    let mut steps: Vec<(&'static str, Step<'_>)> = vec![
        (
            "load that waits for the one before, 1 GiB in pages of 4 KiB",
            Box::new(|first| small.dependent(first, TIMES)),
        ),
        (
            "the same in pages of 2 MiB",
            Box::new(|first| huge.dependent(first, TIMES)),
        ),
        (
            "load that waits for none, pages of 2 MiB",
            Box::new(|first| huge.independent(first, TIMES)),
        ),
        (
            "copy of 128 B out of a mapped file of 512 MiB, in the page cache, that waits for the one before",
            Box::new(|first| records.copy(first, TIMES)),
        ),
        (
            "pread of 128 B from it",
            Box::new(|first| records.read(first, TIMES)),
        ),
        (
            "write of 128 B to the end of a file",
            Box::new(|_| records.append(TIMES)),
        ),
        (
            "atomic addition that no other thread disturbs",
            Box::new(|_| {
                for _ in 0..TIMES {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }),
        ),
        (
            "store and fence that orders everything",
            Box::new(|first| {
                for number in first..first + TIMES {
                    counter.store(number, Ordering::Relaxed);
                    fence(Ordering::SeqCst);
                }
            }),
        ),
    ];
    steps.extend(store.reads(TIMES));
    let steps = steps
        .into_iter()
        .map(|(name, step)| (name, TIMES, step))
        .chain(store.writes(PUTS).map(|(name, step)| (name, PUTS, step)));
    let mut steps: Vec<(&'static str, u64, Step<'_>)> = steps.collect();
    let mut fastest = vec![f64::INFINITY; steps.len()];
    for turn in 0..TURNS {
        for ((_, times, step), fastest) in steps.iter_mut().zip(&mut fastest) {
            let began = Instant::now();
            step(turn * *times);
            let nanoseconds = began.elapsed().as_nanos() as f64 / *times as f64;
            *fastest = fastest.min(nanoseconds);
        }
    }
    let names = steps.iter().map(|(name, _, _)| *name);
    names.zip(fastest).collect()
}
