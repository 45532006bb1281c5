//! Measures everything that was asked for, and prints and records it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::arguments::{Arguments, Task};
use crate::children::Children;
use crate::contestants::Kind;
use crate::key_sets::KeySet;
use crate::real_paths::{self, RealPaths};
use crate::results::{Figures, Outcome, Results, Row, Small};
use crate::{machine, plot, report};

/// Keys of the larger of the two small stores.
const FEW_KEYS: u64 = 1000;

/// Length in bytes of its keys.
const FEW_KEYS_SET: KeySet = KeySet::Fixed(16);

pub fn run(arguments: &Arguments) {
    let directory = &arguments.directory;
    fs::create_dir_all(directory).expect("the directory can be made");
    assert!(
        !machine::is_in_memory(directory),
        "{}: files there are memory, and would count as the store's: give another --directory",
        directory.display()
    );
    // Asked before anything is written.
    let commit = machine::commit();
    let place = tempfile::tempdir_in(directory).expect("a directory can be made");
    let real_paths = gather_paths(arguments, place.path());
    let children = Children {
        directory: place.path().to_owned(),
        paths: real_paths.as_ref().map(|paths| paths.file.clone()),
    };
    let kinds = Kind::ALL.map(|kind| (kind, kind.refusal(place.path())));
    let results = Results {
        small: measure_small(&children, &kinds),
        rows: measure_rows(arguments, &children, &kinds, real_paths.as_ref()),
        paths: real_paths.map(|paths| paths.source),
        commit,
        given: arguments.given.clone(),
    };
    let text = report::text(&results);
    println!("{text}");
    if arguments.record {
        record(&results, &text);
    }
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

type Kinds = [(Kind, Option<String>)];

fn measure_small(children: &Children, kinds: &Kinds) -> Vec<Small> {
    let mut rows = Vec::new();
    for (kind, refusal) in kinds {
        let bytes = |count| {
            let transcript = children.start(Task::Small, *kind, FEW_KEYS_SET, count);
            transcript.states[0]
        };
        let states = match refusal {
            Some(_) => None,
            None => Some([bytes(0), bytes(FEW_KEYS)]),
        };
        rows.push(Small {
            kind: *kind,
            states,
        });
    }
    rows
}

fn measure_rows(
    arguments: &Arguments,
    children: &Children,
    kinds: &Kinds,
    real_paths: Option<&RealPaths>,
) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut path_counts = BTreeSet::new();
    for &keys in &arguments.keys {
        for &set in &arguments.key_sets {
            let count = match (set, real_paths) {
                (KeySet::Paths, None) => continue,
                (KeySet::Paths, Some(paths)) => keys.min(paths.count),
                _ => keys,
            };
            if set == KeySet::Paths && !path_counts.insert(count) {
                continue;
            }
            let key_bytes = set.bytes(count, children.paths.as_deref());
            for (kind, refusal) in kinds {
                let outcome = match refusal {
                    Some(refusal) => Outcome::NotMeasured(format!("not supported yet: {refusal}")),
                    None => match shortage(children, *kind, count, key_bytes) {
                        Some(shortage) => Outcome::NotMeasured(shortage),
                        None => Outcome::Measured(measure(children, *kind, set, count, key_bytes)),
                    },
                };
                rows.push(Row {
                    kind: *kind,
                    set,
                    count,
                    outcome,
                });
            }
        }
    }
    rows
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
                "not measured: may need {:.0} GB of {what}, and {:.0} GB are available",
                gigabytes(needed),
                gigabytes(available)
            )
        })
    };
    lacks("memory", memory, machine::available_memory())
        .or_else(|| lacks("disk", disk, machine::available_disk(&children.directory)))
}

fn measure(children: &Children, kind: Kind, set: KeySet, count: u64, key_bytes: u64) -> Figures {
    let start = |task| children.start(task, kind, set, count);
    Figures {
        keeps_keys_in_memory: kind.keeps_keys_in_memory(),
        key_bytes,
        churn: start(Task::Churn),
        delete_most: start(Task::DeleteMost),
        put_the_rest: start(Task::PutTheRest),
    }
}

fn record(results: &Results, text: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks");
    fs::create_dir_all(&directory).expect("the directory of the records can be made");
    plot::draw(results, &directory.join("memory.svg"));
    let file = directory.join("memory.md");
    fs::write(&file, text).expect("the record can be written");
    eprintln!("recorded in {}", file.display());
}
