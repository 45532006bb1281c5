//! Measures everything that was asked for, and prints and records it.

use std::fs;
use std::path::Path;

use crate::arguments::{Arguments, Task, refuse};
use crate::children::{Children, Measurement};
use crate::contestants::Kind;
use crate::finished::Finished;
use crate::key_sets::KeySet;
use crate::real_paths::{self, RealPaths};
use crate::results::{Figures, OtherLives, Results, Row, Skipped, Small};
use crate::{machine, parts, plot, report};

/// Keys of the larger of the two small stores.
const FEW_KEYS: u64 = 1000;

/// Length in bytes of its keys.
const FEW_KEYS_SET: KeySet = KeySet::Fixed(16);

pub fn run(arguments: &Arguments) {
    let directory = &arguments.directory;
    fs::create_dir_all(directory).expect("the directory can be made");
    if machine::is_in_memory(directory) {
        let directory = directory.display();
        refuse(&format!(
            "{directory}: files there are memory, and would count as the store's: give another --directory"
        ));
    }
    // Asked before anything is written.
    let commit = machine::commit();
    let directory = directory.join("memory-benchmark");
    fs::create_dir_all(&directory).expect("the directory can be made");
    let Some(finished) = Finished::open(&directory).expect("the directory can be used") else {
        let directory = directory.display();
        refuse(&format!("{directory}: another run is at work there"));
    };
    let place = tempfile::tempdir_in(&directory).expect("a directory can be made");
    let real_paths = gather_paths(arguments, place.path());
    let children = Children {
        directory: place.path().to_owned(),
        paths: real_paths.as_ref().map(|paths| paths.file.clone()),
        finished,
    };
    let mut results = Results {
        small: Vec::new(),
        rows: Vec::new(),
        skipped: Vec::new(),
        unsupported: Vec::new(),
        paths: real_paths.as_ref().map(|paths| paths.source.clone()),
        of_earlier_runs: 0,
        parts: parts::sections(),
        commit,
        given: arguments.given.clone(),
    };
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        match kind.refusal(place.path()) {
            Some(refusal) => results.unsupported.push((kind, refusal)),
            None => kinds.push(kind),
        }
    }
    for &kind in &kinds {
        results.small.push(measure_small(&children, kind));
    }
    for (set, count) in sets(arguments, real_paths.as_ref()) {
        for &kind in &kinds {
            let only_fill = arguments.only_fills(count, set);
            measure(&children, kind, set, count, only_fill, &mut results);
        }
    }
    results.of_earlier_runs = children.finished.found();
    println!("{}", report::text(&results, false));
    if arguments.record && results.rows.is_empty() {
        eprintln!("nothing was measured, so nothing is recorded");
    } else if arguments.record {
        record(&results);
    }
    let forgotten = children.finished.forget();
    forgotten.expect("what was finished can be removed");
}

/// The paths, if keys of that kind are asked for and there are enough for a hundred samples.
fn gather_paths(arguments: &Arguments, place: &Path) -> Option<RealPaths> {
    if !arguments.key_sets.contains(&KeySet::Paths) {
        return None;
    }
    let given = arguments.paths.as_deref();
    let (apt, dpkg) = (
        Path::new("/var/lib/apt/lists"),
        Path::new("/var/lib/dpkg/info"),
    );
    let most = *arguments.keys.last().expect("there is a number of keys");
    eprintln!("gathering paths");
    let paths = real_paths::gather(given, apt, dpkg, place, most);
    paths.filter(|paths| paths.count >= FEW_KEYS)
}

/// The sets of keys to measure, and how many keys of each.
fn sets(arguments: &Arguments, real_paths: Option<&RealPaths>) -> Vec<(KeySet, u64)> {
    let mut sets = Vec::new();
    for &keys in &arguments.keys {
        for &set in &arguments.key_sets {
            let count = match (set, real_paths) {
                (KeySet::Paths, None) => continue,
                (KeySet::Paths, Some(paths)) => keys.min(paths.count),
                _ => keys,
            };
            if !sets.contains(&(set, count)) {
                sets.push((set, count));
            }
        }
    }
    sets
}

fn measure_small(children: &Children, kind: Kind) -> Small {
    let state = |count| {
        let measurement = Measurement {
            kind,
            set: FEW_KEYS_SET,
            count,
            key_bytes: FEW_KEYS_SET.bytes(count, None),
        };
        children.start(Task::Small, measurement).states[0]
    };
    Small {
        kind,
        states: [state(0), state(FEW_KEYS)],
    }
}

fn measure(
    children: &Children,
    kind: Kind,
    set: KeySet,
    count: u64,
    only_fill: bool,
    results: &mut Results,
) {
    let key_bytes = set.bytes(count, children.paths.as_deref());
    if let Some(shortage) = shortage(children, kind, count, key_bytes) {
        results.skipped.push(Skipped {
            kind,
            set,
            count,
            shortage,
        });
        return;
    }
    let measurement = Measurement {
        kind,
        set,
        count,
        key_bytes,
    };
    let life = if only_fill { Task::Fill } else { Task::Churn };
    let figures = Figures {
        keeps_keys_in_memory: kind.keeps_keys_in_memory(),
        key_bytes,
        filled: children.start(life, measurement),
        others: (!only_fill).then(|| OtherLives {
            delete_most: children.start(Task::DeleteMost, measurement),
            put_the_rest: children.start(Task::PutTheRest, measurement),
        }),
    };
    results.rows.push(Row {
        kind,
        set,
        count,
        figures,
    });
}

/// What this machine lacks for a measurement, if so: it must not push out what others keep in memory, or fill the disk.
fn shortage(children: &Children, kind: Kind, count: u64, key_bytes: u64) -> Option<String> {
    // Generous: a hash map that doubles needs up to 170 B a key besides the key, and a record's head, value and padding
    // take up to 48 B; replaced records stay on disk.
    let memory = key_bytes + count * 170;
    let disk = match kind {
        Kind::HashMap => 0,
        _ => (key_bytes + count * 48) * 4,
    };
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let lacks = |what: &str, needed: u64, available: u64| {
        (needed > available / 10 * 9).then(|| {
            format!(
                "for it may need {:.0} GB of {what} and {:.0} GB are available",
                gigabytes(needed),
                gigabytes(available)
            )
        })
    };
    lacks("memory", memory, machine::available_memory())
        .or_else(|| lacks("disk", disk, machine::available_disk(&children.directory)))
}

fn record(results: &Results) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks");
    fs::create_dir_all(&directory).expect("the directory of the records can be made");
    plot::draw(results, &directory.join("memory.svg"));
    let file = directory.join("memory.md");
    fs::write(&file, report::text(results, true)).expect("the record can be written");
    eprintln!("recorded in {}", file.display());
}
