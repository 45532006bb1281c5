//! Runs the rounds and prints their medians.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use crate::arguments::{Arguments, Child};
use crate::children;
use crate::contenders::{Contender, Map, Store};
use crate::groups::{self, BATCH, GROUP, MEASURED};
use crate::library::{Library, SYNC_NONE};
use crate::rounds::{self, DURABLE_PAIRS, PHASES, Phase};
use crate::scans;
use crate::workload::{KEY_LEN, VALUE_LEN, Workload};

/// The rounds' results of one measurement.
#[derive(Default)]
struct Series(Vec<f64>);

impl Series {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn median(&self) -> f64 {
        let sorted = self.sorted();
        (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
    }

    /// The median and, in parentheses, the lowest and the highest, each divided by `unit`.
    fn text(&self, unit: f64) -> String {
        let sorted = self.sorted();
        let (lowest, highest) = (sorted[0] / unit, sorted[sorted.len() - 1] / unit);
        format!("{:8.2} ({lowest:.2}-{highest:.2})", self.median() / unit)
    }
}

#[derive(Default)]
struct Results {
    store: [Series; PHASES.len()],
    map: [Series; PHASES.len()],
    log: Series,
    groups: [Series; MEASURED.len()],
    scans: [Series; scans::MEASURED.len()],
    map_scan: Series,
    durable_store: Series,
    durable_log: Series,
    reopen_clean: Series,
    reopen_killed: Series,
    disk: Series,
}

pub fn print_all(library: &Library, workload: &Workload, arguments: &Arguments) {
    println!(
        "Freyja {} through the C functions of {}\n\
         {} pairs of {KEY_LEN} B keys and {VALUE_LEN} B values, one thread, in {}\n\
         sync mode: none, but for the durable line; median of {} rounds (lowest-highest); every value checked\n",
        library.version(),
        library.path.display(),
        workload.pairs,
        arguments.directory.display(),
        arguments.rounds,
    );
    std::fs::create_dir_all(&arguments.directory).expect("the directory can be made");
    let mut results = Results::default();
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        let place =
            tempfile::tempdir_in(&arguments.directory).expect("a temporary directory can be made");
        run_round(library, workload, place.path(), &mut results);
    }
    print_rates(&results);
    print_reopen(&results, workload);
    print_space(library, workload, arguments, &results);
}

fn run_round(library: &Library, workload: &Workload, place: &Path, results: &mut Results) {
    let mut store = Store::open(library, &place.join("store"), SYNC_NONE);
    let rates = rounds::measure(&mut store, workload);
    store.close();
    add_all(&mut results.store, rates);
    add_all(
        &mut results.map,
        rounds::measure(&mut Map::default(), workload),
    );
    add_all(
        &mut results.groups,
        groups::measure(library, &place.join("groups"), workload),
    );
    add_all(
        &mut results.scans,
        scans::measure(library, &place.join("scans"), workload),
    );
    results.map_scan.0.push(scans::measure_map(workload));
    results
        .log
        .0
        .push(rounds::measure_log(&place.join("log"), workload));
    results.durable_store.0.push(rounds::measure_durable_store(
        library,
        &place.join("durable"),
        workload,
    ));
    results.durable_log.0.push(rounds::measure_durable_log(
        &place.join("durable-log"),
        workload,
    ));

    let (clean, killed) = (place.join("clean"), place.join("killed"));
    children::start(Child::FillAndClose, library, workload, &clean);
    results
        .disk
        .0
        .push(disk_bytes(&clean) / raw_bytes(workload));
    results
        .reopen_clean
        .0
        .push(reopen(library, workload, &clean));
    children::start(Child::FillAndDie, library, workload, &killed);
    results
        .reopen_killed
        .0
        .push(reopen(library, workload, &killed));
}

fn add_all(series: &mut [Series], rates: Vec<f64>) {
    for (series, rate) in series.iter_mut().zip(rates) {
        series.0.push(rate);
    }
}

/// Seconds from calling open to the first value; then, unmeasured, every value is checked.
fn reopen(library: &Library, workload: &Workload, directory: &Path) -> f64 {
    let began = Instant::now();
    let mut store = Store::open(library, directory, SYNC_NONE);
    assert!(
        store.get_into(&workload.key(0), &mut [0; VALUE_LEN]),
        "pair 0: not found after reopening"
    );
    let seconds = began.elapsed().as_secs_f64();
    rounds::check_all(&mut store, workload, 0);
    store.close();
    seconds
}

fn print_rates(results: &Results) {
    println!(
        "{:34}{:>8}{:16}{:>8}{:16}{:>7}{:>9}{:16}{:>6}",
        "million a second", "Freyja", "", "HashMap", "", "ratio", "write(2)", "", "ratio"
    );
    for (at, (phase, name)) in PHASES.iter().enumerate() {
        let (store, map) = (&results.store[at], &results.map[at]);
        let mut line = format!(
            "{name:34}{:24}{}",
            store.text(1e6),
            compared(store, map, 1e6)
        );
        if matches!(phase, Phase::Put | Phase::Overwrite) {
            line += &compared(store, &results.log, 1e6);
        }
        println!("{line}");
    }
    println!("\nputs in batches of {BATCH}, gets of {GROUP} keys by one call, beside single calls");
    let single = [Phase::Put, Phase::GetOwned, Phase::Overwrite];
    for ((name, group), single) in MEASURED.iter().zip(&results.groups).zip(single) {
        let at = PHASES.iter().position(|(phase, _)| *phase == single);
        let single = &results.store[at.expect("every phase is listed")];
        println!(
            "{name:34}{:24}{}",
            group.text(1e6),
            compared(group, single, 1e6)
        );
    }
    println!("\nall pairs, beside going over the HashMap, and nanoseconds a pair");
    for (name, scan) in scans::MEASURED.iter().zip(&results.scans) {
        println!(
            "{name:34}{:24}{}{:9.1} ns",
            scan.text(1e6),
            compared(scan, &results.map_scan, 1e6),
            1e9 / scan.median()
        );
    }
    println!(
        "\n{DURABLE_PAIRS} puts, each durable when it returns, thousand a second\n{:34}{:24}{} (write + fdatasync)\n",
        "put, sync mode always",
        results.durable_store.text(1e3),
        compared(&results.durable_store, &results.durable_log, 1e3),
    );
}

/// Another contender's figure, and how many times as fast Freyja is.
fn compared(store: &Series, other: &Series, unit: f64) -> String {
    let ratio = store.median() / other.median();
    format!("{:24}{ratio:7.2}", other.text(unit))
}

fn print_reopen(results: &Results, workload: &Workload) {
    println!(
        "reopen {} pairs to the first value, files in the page cache, ms",
        workload.pairs
    );
    println!(
        "{:34}{:24}",
        "  after closing",
        results.reopen_clean.text(1e-3)
    );
    println!(
        "{:34}{:24}\n",
        "  after SIGKILL",
        results.reopen_killed.text(1e-3)
    );
}

fn print_space(library: &Library, workload: &Workload, arguments: &Arguments, results: &Results) {
    let place =
        tempfile::tempdir_in(&arguments.directory).expect("a temporary directory can be made");
    let memory = |child| {
        let printed = children::start(child, library, workload, &place.path().join("memory"));
        printed.parse::<f64>().expect("the child prints a number") / workload.pairs as f64
    };
    let store = memory(Child::MemoryOfStore);
    let map = memory(Child::MemoryOfHashMap);
    println!("memory a key (growth of RssAnon + RssShmem of a fresh process, one measurement)");
    println!(
        "  Freyja   {store:7.1} B, {:.1} B besides the key; its values are on disk",
        store - KEY_LEN as f64
    );
    println!(
        "  HashMap  {map:7.1} B, {:.1} B besides the key and the value",
        map - (KEY_LEN + VALUE_LEN) as f64
    );
    println!(
        "disk after closing, blocks of all files / bytes of keys and values: {}",
        results.disk.text(1.0).trim()
    );
}

fn raw_bytes(workload: &Workload) -> f64 {
    (workload.pairs * (KEY_LEN + VALUE_LEN)) as f64
}

fn disk_bytes(directory: &Path) -> f64 {
    let entries = std::fs::read_dir(directory).expect("the store's directory can be read");
    entries
        .map(|entry| {
            entry
                .and_then(|entry| entry.metadata())
                .expect("its files can be seen")
                .blocks() as f64
                * 512.0
        })
        .sum()
}
