//! Measures and prints.

use std::process::{Command, Stdio};

use crate::child::{EQUAL_FILLS, Task};
use crate::contenders::Kind;
use crate::costs;
use crate::latency::NAMES;
use crate::phases::Phase;
use crate::simulation::{Counter, Counts};
use crate::table::Table;

pub fn print(count: u64) {
    println!("# {count} keys of {} bytes\n", crate::keys::KEY_BYTES);
    print_times(count);
    print_counts(count);
    print_latencies(count);
    print_costs(count);
    print_collisions(count);
}

/// Starts this program again and gives back the numbers that it prints.
fn numbers(task: Task, kind: Kind, count: u64) -> Vec<f64> {
    let program = std::env::current_exe().expect("the benchmark knows where it is");
    let mut command = Command::new(program);
    command.args([task.name(), kind.name(), &count.to_string()]);
    eprintln!("{}, {} …", kind.name(), task.name());
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.expect("the benchmark can start itself");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers = text.lines().map(|line| line.parse().ok()).collect();
    let numbers: Option<Vec<f64>> = numbers;
    numbers.unwrap_or_else(|| panic!("{command:?} told {text}"))
}

/// A column for each contender.
fn contenders(words: &str) -> Table {
    let names = Kind::ALL.map(Kind::name);
    Table::new(1, &[&[words], &names[..]].concat())
}

fn print_times(count: u64) {
    let mut table = contenders("nanoseconds of processor time");
    let mut row = |title: &str, times: Vec<f64>| {
        let times = times.iter().map(|time| format!("{time:.0}"));
        table.add([title.to_owned()].into_iter().chain(times).collect());
    };
    let of_all = |task| Kind::ALL.map(|kind| numbers(task, kind, count));
    let growing = of_all(Task::Grow).map(|times| times[0]);
    row("insert, growing", growing.to_vec());
    let times = of_all(Task::Phases);
    for (at, phase) in Phase::ALL.iter().enumerate() {
        row(phase.title(), times.iter().map(|times| times[at]).collect());
    }
    println!("{table}");
}

fn print_counts(count: u64) {
    let counter = match Counter::find(count) {
        Ok(counter) => counter,
        Err(reason) => {
            println!("Instructions and cache misses were not counted: {reason}.\n");
            return;
        }
    };
    let program = std::env::current_exe().expect("the benchmark knows where it is");
    let counts = |task: Task, kind: Kind| {
        eprintln!("{}, {}, counted …", kind.name(), task.name());
        let arguments = [task.name(), kind.name(), &count.to_string()];
        let counts = counter.count(&program, &arguments);
        counts.expect("what counted before counts again")
    };
    println!(
        "Instructions and cache misses of one operation, {}:\n",
        counter.title()
    );
    let bases = Kind::ALL.map(|kind| {
        let nothing = counts(Task::Nothing, kind);
        (nothing, counts(Task::Only(Phase::Insert), kind))
    });
    let mut headings = vec!["operation".to_owned()];
    for kind in Kind::ALL {
        headings.push(format!("{}, instructions", kind.name()));
        headings.push(format!("{}, cache misses", kind.name()));
    }
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(1, &headings);
    for phase in Phase::ALL {
        let mut row = vec![phase.title().to_owned()];
        for (kind, (nothing, inserted)) in Kind::ALL.into_iter().zip(bases) {
            let (before, after) = match phase {
                Phase::Insert => (nothing, inserted),
                _ => (inserted, counts(Task::Only(phase), kind)),
            };
            row.extend(difference(before, after, count));
        }
        table.add(row);
    }
    println!("{table}");
}

/// What one of `count` operations added.
fn difference(before: Counts, after: Counts, count: u64) -> [String; 2] {
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / count as f64;
    [
        format!("{:.0}", each(before.instructions, after.instructions)),
        format!("{:.2}", each(before.cache_misses, after.cache_misses)),
    ]
}

/// What [`Task::Recurring`] tells.
const RECURRING: &str = "on the clock, the slowest insertion of equal fills by the least it took";

fn print_latencies(count: u64) {
    let mut table = Table::new(2, &[&["insert, growing", "µs"], &NAMES[..]].concat());
    let puts = Kind::ALL.map(|kind| (kind.name(), Task::Latency, kind));
    let nothing = ("nothing instead: noise", Task::Noise, Kind::Map);
    let mut row = |name: &str, what: &str, nanoseconds: &[f64]| {
        let mut cells = vec![name.to_owned(), what.to_owned()];
        if let [_] = nanoseconds {
            // That of the slowest belongs under the last heading.
            cells.resize(1 + NAMES.len(), String::new());
        }
        let microseconds = nanoseconds.iter().map(|time| format!("{:.1}", time / 1e3));
        cells.extend(microseconds);
        table.add(cells);
    };
    for (name, task, kind) in puts.into_iter().chain([nothing]) {
        let times = numbers(task, kind, count);
        let mut times = times.chunks(NAMES.len());
        for clock in [
            "on the clock",
            "of the processor",
            "of the processor in the slowest",
        ] {
            row(
                name,
                clock,
                times.next().expect("the child tells all of them"),
            );
        }
        if task == Task::Latency {
            let slowest = numbers(Task::Recurring, kind, count);
            row(name, RECURRING, &slowest);
        }
    }
    println!("{table}");
    println!(
        "Processor times have the reading of that clock in them. Equal fills are {EQUAL_FILLS}, with the same keys, hash and growth.\n"
    );
}

fn print_costs(count: u64) {
    let kinds = [Kind::KeysOnDisk, Kind::KeysInMemory];
    let costs = kinds.map(|kind| numbers(Task::Costs, kind, count));
    let names = kinds.map(Kind::name);
    let mut table = Table::new(1, &[&["bytes a key"], &names[..]].concat());
    let titles = costs::TITLES
        .into_iter()
        .chain(["what the system counts, with the key where it is in memory"]);
    for (at, title) in titles.enumerate() {
        let costs = costs.iter().map(|costs| format!("{:.3}", costs[at]));
        table.add([title.to_owned()].into_iter().chain(costs).collect());
    }
    println!("{table}");
}

fn print_collisions(count: u64) {
    let mut table = Table::new(1, &["keys prepared to collide", "hit, ns", "miss, ns"]);
    for kind in Kind::ALL {
        let times = numbers(Task::Collide, kind, count);
        let times = times.iter().map(|time| format!("{time:.0}"));
        table.add([kind.name().to_owned()].into_iter().chain(times).collect());
    }
    println!("{table}");
}
