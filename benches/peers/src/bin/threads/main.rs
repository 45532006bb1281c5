//! What several threads get done with one store, beside what they get done on this machine where they share nothing:
//! `make bench-threads`.
//!
//! Each case takes many short turns, all by turns, and what is compared are medians: what else the machine does meets all of them.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod crew;

use std::hint::black_box;
use std::path::Path;

use crew::Work;
use freyja_peers::chase::{Chase, Pages};
use freyja_peers::command_line::{number, refuse, words};
use freyja_peers::engine;
use freyja_peers::filled::Filled;
use freyja_peers::machine;
use freyja_peers::median::median;
use freyja_peers::pairs::mix;
use freyja_peers::table::Table;
use freyja_peers::target_folder;

/// How often each case takes its turn, if nothing else is asked for.
const ROUNDS: u64 = 9;
const VALUE: usize = 100;
const USAGE: &str = "[--pairs 1000000] [--rounds 9] [--record]";

/// Threads that work, and others that only disturb them.
struct Case<'w> {
    what: &'static str,
    threads: usize,
    work: &'w Work<'w>,
    beside: Option<&'w Work<'w>>,
    /// The case that it is compared with comes so many before it.
    base: usize,
}

fn main() {
    let (mut record, mut pairs, mut rounds) = (false, 1_000_000, ROUNDS);
    let mut words = words();
    while let Some(word) = words.next() {
        let mut value = || number(&word, &words.next().unwrap_or_default(), USAGE);
        match word.as_str() {
            "--record" => record = true,
            "--pairs" => pairs = value(),
            "--rounds" => rounds = value().max(1),
            _ => refuse(&format!("unknown argument {word}"), USAGE),
        }
    }
    // Asked before anything is written, and before any thread is started.
    let commit = machine::commit();
    engine::build_freyja();
    let directory = target_folder("bench-threads");
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    let table = measure(&directory, pairs, rounds);
    let text = format!(
        "{}, {}; files on {}. Measured: {commit}.\n\n\
         `make bench-threads`: thousands a second of all threads that are counted together, medians of {rounds} turns, and the medians of \
         the ratios to one thread of the same turn.\nStores of {pairs} pairs of 16 B and {VALUE} B, told of them, that do not compact. \
         Making and comparing pairs is part of it.\n\n{table}",
        machine::date(),
        machine::description(),
        machine::file_system(&directory),
    );
    println!("{text}");
    if record {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks/threads.md");
        let page = format!("# Threads\n\n{text}");
        std::fs::write(path, page).expect("the report can be written");
    }
}

fn measure(directory: &Path, pairs: u64, rounds: u64) -> Table {
    let memory = Chase::new(Pages::Huge);
    let [store, other] =
        [0, 1].map(|_| Filled::fill(directory, pairs, VALUE, |opening| opening.compacts = false));
    let compute: Work<'_> = Box::new(|first, times| {
        black_box((first..first + times).fold(0, |mixed, number| mix(mixed ^ number)));
    });
    let load: Work<'_> = Box::new(|first, times| memory.dependent(first, times));
    let get: Work<'_> = Box::new(|first, times| store.get(None, first, times));
    let get_many: Work<'_> = Box::new(|first, times| store.get_many(first, times));
    let put: Work<'_> = Box::new(|first, times| store.put(first, times));
    let put_to_other: Work<'_> = Box::new(|first, times| other.put(first, times));
    let case = |what, threads, work, beside, base| Case {
        what,
        threads,
        work,
        beside,
        base,
    };
    let cases = [
        case("computing, no memory", 1, &compute, None, 0),
        case("the same", 2, &compute, None, 1),
        case(
            "loads that wait for the one before, 1 GiB",
            1,
            &load,
            None,
            0,
        ),
        case("the same", 2, &load, None, 1),
        case("freyja_get_into, hit", 1, &get, None, 0),
        case("the same", 2, &get, None, 1),
        case("the same", 8, &get, None, 2),
        case(
            "the same beside a thread that computes",
            1,
            &get,
            Some(&compute),
            3,
        ),
        case(
            "the same beside a thread that loads",
            1,
            &get,
            Some(&load),
            4,
        ),
        case(
            "the same beside a thread that overwrites another store",
            1,
            &get,
            Some(&put_to_other),
            5,
        ),
        case(
            "the same beside a thread that overwrites this store",
            1,
            &get,
            Some(&put),
            6,
        ),
        case("freyja_get_many of 64, a key", 1, &get_many, None, 0),
        case("the same", 2, &get_many, None, 1),
        case("the same", 8, &get_many, None, 2),
        case("freyja_put of a key that is there", 1, &put, None, 0),
        case("the same", 2, &put, None, 1),
        case("the same", 8, &put, None, 2),
        case(
            "the same beside a thread that puts to another store",
            1,
            &put,
            Some(&put_to_other),
            3,
        ),
    ];
    let mut rates = vec![Vec::new(); cases.len()];
    let mut ratios = vec![Vec::new(); cases.len()];
    for round in 0..rounds {
        for (number, case) in cases.iter().enumerate() {
            let counted = vec![case.work; case.threads];
            let beside: Vec<_> = case.beside.into_iter().collect();
            // Other pairs than in other turns.
            let rate = crew::work(
                &counted,
                &beside,
                mix(round * cases.len() as u64 + number as u64) >> 24,
            );
            rates[number].push(rate);
            ratios[number].push(rate / rates[number - case.base][round as usize]);
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    let mut table = Table::new(1, &["", "threads", "thousands a second", "to one thread"]);
    for (number, case) in cases.iter().enumerate() {
        let of = |measured: &[f64]| median(measured).unwrap_or(f64::NAN);
        table.add(vec![
            case.what.to_owned(),
            case.threads.to_string(),
            format!("{:.0}", of(&rates[number]) / 1000.0),
            format!("{:.2}", of(&ratios[number])),
        ]);
    }
    table
}
