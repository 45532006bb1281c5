//! What this machine takes for the steps that any store is made of, and beside them what Freyja takes: `make bench-limits`.
//!
//! Each is done in many short turns, all by turns, and the fastest one counts: what else the machine does can only slow it down.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod files;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Instant;

use files::Records;
use freyja_peers::chase::{Chase, Pages};
use freyja_peers::command_line::{number, refuse, words};
use freyja_peers::engine::{self, Calls, Opening};
use freyja_peers::filled::Filled;
use freyja_peers::machine;
use freyja_peers::table::Table;
use freyja_peers::target_folder;

/// How often each step takes its turn.
const TURNS: u64 = 200;
/// How often it is done in a turn: some milliseconds.
const TIMES: u64 = 1 << 14;
/// The same for what makes the store grow: so few that all turns together do not change it much.
const PUTS: u64 = 1 << 10;

/// How often a store is gone through.
const SCANS: usize = 10;

/// Bytes of most values, and of those of others stores, of which that of long ones has fewer pairs.
const SHORT_VALUE: usize = 100;
const TINY_VALUE: usize = 16;
const LONG_VALUE: usize = 4096;
const LONG_PAIRS: u64 = 100_000;

/// How stores are opened whose records are not compared with their checksums when they are read.
const TRUSTED: &str = "FREYJA_CHECK_KEY";

const USAGE: &str = "[--pairs 10000000] [--record]";

/// Does something so many times; it is told the number of the first.
type Step<'s> = Box<dyn FnMut(u64) + 's>;

fn main() {
    let (mut record, mut pairs) = (false, 1_000_000);
    let mut words = words();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--record" => record = true,
            "--pairs" => pairs = number(&word, &words.next().unwrap_or_default(), USAGE),
            _ => refuse(&format!("unknown argument {word}"), USAGE),
        }
    }
    // Asked before anything is written, and before any thread is started.
    let commit = machine::commit();
    engine::build_freyja();
    let directory = target_folder("bench-limits");
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    let mut table = Table::new(1, &["", "ns"]);
    for (name, nanoseconds) in measure(&directory, pairs) {
        table.add(vec![name, format!("{nanoseconds:.1}")]);
    }
    let text = format!(
        "{}, {}; files on {}. Measured: {commit}.\n\n\
         `make bench-limits`: nanoseconds of each, the fastest of {TURNS} turns of {TIMES} times, of puts and of long values {PUTS}, and of {SCANS} scans. Freyja's are with what the benchmark takes for making and comparing keys and values.\n\n{table}",
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

fn measure(directory: &Path, pairs: u64) -> Vec<(String, f64)> {
    let small = Chase::new(Pages::Small);
    let huge = Chase::new(Pages::Huge);
    let records = Records::create(directory);
    let store = Filled::fill(directory, pairs, SHORT_VALUE, |_| {});
    let of_long_values = Filled::fill(directory, LONG_PAIRS, LONG_VALUE, |_| {});
    let trusted = |opening: &mut Opening| opening.checks_values = false;
    let trusted_long = Filled::fill(directory, LONG_PAIRS, LONG_VALUE, trusted);
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
            "copy of 128 B out of it, one behind the other",
            Box::new(|first| records.copy_in_order(first, TIMES)),
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
    let machine = steps
        .drain(..)
        .map(|(name, step)| (name.to_owned(), TIMES, step));
    let mut steps: Vec<(String, u64, Step<'_>)> = machine.collect();
    let short = format!("{pairs} pairs of 16 B and {SHORT_VALUE} B");
    let long = format!("{LONG_PAIRS} pairs of 16 B and {LONG_VALUE} B");
    let reads = gets_of(&store, TIMES)
        .into_iter()
        .chain(other_reads(&store, TIMES));
    steps.extend(reads.map(|(name, step)| (format!("{short}: {name}"), TIMES, step)));
    let writes = writes(&store, PUTS).into_iter();
    steps.extend(writes.map(|(name, step)| (format!("{short}: {name}"), PUTS, step)));
    let gets = gets_of(&of_long_values, PUTS).into_iter();
    steps.extend(gets.map(|(name, step)| (format!("{long}: {name}"), PUTS, step)));
    let gets = gets_of(&trusted_long, PUTS).into_iter();
    steps.extend(gets.map(|(name, step)| (format!("{long}, {TRUSTED}: {name}"), PUTS, step)));
    let mut fastest = vec![f64::INFINITY; steps.len()];
    let mut first = 0;
    for _ in 0..TURNS {
        for ((_, times, step), fastest) in steps.iter_mut().zip(&mut fastest) {
            // Others than the step before, which left what it read in the caches.
            first += *times;
            let began = Instant::now();
            step(first);
            let nanoseconds = began.elapsed().as_nanos() as f64 / *times as f64;
            *fastest = fastest.min(nanoseconds);
        }
    }
    let names = steps.into_iter().map(|(name, _, _)| name);
    let names: Vec<String> = names.collect();
    let of_tiny_values = Filled::fill(directory, pairs, TINY_VALUE, |_| {});
    let trusted_short = Filled::fill(directory, pairs, SHORT_VALUE, trusted);
    let tiny = format!("{pairs} pairs of 16 B and {TINY_VALUE} B");
    let stores = [
        (tiny, of_tiny_values),
        (short.clone(), store),
        (format!("{short}, {TRUSTED}"), trusted_short),
        (long.clone(), of_long_values),
        (format!("{long}, {TRUSTED}"), trusted_long),
    ];
    let scans = stores.map(|(what, store)| {
        let name = format!("{what}: freyja_iter_next_batch of all, a pair");
        (name, store.scan(SCANS))
    });
    names.into_iter().zip(fastest).chain(scans).collect()
}

/// Ways to read one pair from a store, each so many times.
fn gets_of(store: &Filled, times: u64) -> [(&'static str, Step<'_>); 3] {
    [
        (
            "freyja_get_into, hit",
            Box::new(move |first| store.get(None, first, times)),
        ),
        (
            "freyja_get and freyja_free_buf, hit",
            Box::new(move |first| store.get(Some(Calls::Owned), first, times)),
        ),
        (
            "freyja_get_pinned and freyja_unpin, hit",
            Box::new(move |first| store.get(Some(Calls::Pinned), first, times)),
        ),
    ]
}

/// Other ways to read, each so many times.
fn other_reads(store: &Filled, times: u64) -> [(&'static str, Step<'_>); 2] {
    [
        (
            "freyja_get_many of 64, a key",
            Box::new(move |first| store.get_many(first, times)),
        ),
        (
            "freyja_get_into, miss",
            Box::new(move |first| store.miss(first, times)),
        ),
    ]
}

/// Ways to write to it, each so many times.
fn writes(store: &Filled, times: u64) -> [(&'static str, Step<'_>); 3] {
    [
        (
            "freyja_put of a key that is there",
            Box::new(move |first| store.put(first, times)),
        ),
        (
            "freyja_put of a new key",
            Box::new(move |_| store.add(times)),
        ),
        (
            "freyja_write of 100 puts of new keys, a put, with putting it into the batch",
            Box::new(move |_| store.add_together(times)),
        ),
    ]
}
