//! Goes through all that is to be measured.

use std::fs;
use std::time::Instant;

use freyja_peers::engine::{self, Kind};
use freyja_peers::machine;

use crate::arguments::{Arguments, Task};
use crate::kept::Kept;
use crate::parts::{Part, Size};
use crate::results::Results;
use crate::{record, report};

/// So many times the raw bytes have to be free on the disk: what is overwritten stays a while, and merging takes as much again.
const ROOM: u64 = 4;

/// One thing to be measured.
struct Item {
    kind: Kind,
    size: Size,
    part: Part,
    round: usize,
}

/// Measures everything, and prints and records it.
pub fn run(arguments: &Arguments) {
    // Asked before anything is written.
    let commit = machine::commit();
    fs::create_dir_all(&arguments.directory).expect("the directory can be made");
    let library = engine::build_freyja();
    let file = arguments.directory.join("measured.jsonl");
    let mut kept = Kept::open(&file, &commit).expect("a file for what has been measured");
    let mut results = Results::default();
    let sizes = sizes(arguments, &mut results);
    let items = items(arguments, &sizes);
    let began = Instant::now();
    for (number, item) in items.iter().enumerate() {
        let Item {
            kind,
            size,
            part,
            round,
        } = *item;
        let Size { pairs, value_len } = size;
        if results.absent.contains_key(kind.name) {
            continue;
        }
        let measured = format!(
            "{}, {pairs} pairs of {value_len} B, round {}, {}",
            kind.name,
            round + 1,
            part.name()
        );
        if kept.text(&measured).is_none() {
            eprintln!(
                "{:6.0} s, {} of {}: {measured}",
                began.elapsed().as_secs_f64(),
                number + 1,
                items.len()
            );
            let text = part.measure(kind, size, &arguments.directory, &library);
            let done = kept.keep(measured.clone(), text);
            done.expect("what has been measured can be written down");
        }
        let text = kept.text(&measured).unwrap_or_default();
        // What has no durable mode may have others.
        if !(part == Part::Process(Task::Durable) && text.starts_with("absent")) {
            results.add(kind.name, pairs, value_len, text);
        }
    }
    println!("{}", report::text(&results, arguments, &sizes, &commit));
    if arguments.record {
        record::write(&results, arguments, &sizes, &commit);
    }
    fs::remove_file(&file).expect("what was kept can be removed");
}

/// The sizes for which there is room; what is left out is told to `results`.
fn sizes(arguments: &Arguments, results: &mut Results) -> Vec<Size> {
    let free = machine::available_disk(&arguments.directory);
    let mut sizes = Vec::new();
    for &value_len in &arguments.value_lens {
        for &pairs in &arguments.pairs {
            let size = Size { pairs, value_len };
            let needed = ROOM * size.raw_bytes();
            if needed <= free {
                sizes.push(size);
                continue;
            }
            let name = format!("{pairs} pairs with values of {value_len} B");
            let why = format!(
                "they may take {} GiB of the disk, which has {} GiB free",
                needed >> 30,
                free >> 30
            );
            results.absent.insert(name, why);
        }
    }
    sizes
}

fn items(arguments: &Arguments, sizes: &[Size]) -> Vec<Item> {
    let mut items = Vec::new();
    for &size in sizes {
        let same_values = sizes.iter().filter(|it| it.value_len == size.value_len);
        let smallest = same_values.map(|it| it.pairs).min();
        for round in 0..arguments.rounds {
            // Each goes first as often as any other.
            for turn in 0..arguments.kinds.len() {
                let kind = arguments.kinds[(turn + round) % arguments.kinds.len()];
                let durable = smallest == Some(size.pairs);
                items.extend(Part::all(kind, durable).into_iter().map(|part| Item {
                    kind,
                    size,
                    part,
                    round,
                }));
            }
        }
    }
    items
}
