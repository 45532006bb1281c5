//! The result as a document.

use crate::contestants::Kind;
use crate::key_sets::KeySet;
use crate::machine;
use crate::results::{Figures, Outcome, Results, Row};
use crate::steady::SteadyLine;
use crate::table::Table;
use crate::transcript::State;

/// A Go `map[string]*IndexEntry` with an entry of 32 bytes at a million keys: length of the keys, and bytes a key of live heap
/// with the key. Figures of others, not measured by this program.
const QUOTED: [(usize, f64); 4] = [(8, 105.9), (16, 105.9), (32, 121.9), (64, 153.9)];

/// The keys at which [`QUOTED`] holds.
const QUOTED_KEYS: u64 = 1_000_000;

pub fn text(results: &Results) -> String {
    let arguments = match results.given.as_str() {
        "" => String::new(),
        given => format!(" BENCH_ARGUMENTS=\"{given}\""),
    };
    let mut sections = vec![
        "# What a key costs in RAM".to_owned(),
        format!(
            "`make bench-memory{arguments}`, {}, {}.\nCommit: {}.",
            machine::date(),
            machine::description(),
            results.commit
        ),
        explanation(results),
        "![RAM while filling](memory.svg)".to_owned(),
        "## Besides the key's own bytes".to_owned(),
        besides_key(results).to_string(),
        "## After deleting nine keys of ten".to_owned(),
        reduced(results).to_string(),
        "## Slabs, and the slowest put".to_owned(),
        slabs_and_puts(results).to_string(),
        "## Small stores".to_owned(),
        small(results).to_string(),
    ];
    if let Some(table) = quoted(results) {
        sections.extend([
            "## Beside a map in Go".to_owned(),
            format!(
                "The figures of the Go `map[string]*IndexEntry`, with an entry of 32 bytes, are quoted, not measured here: live heap at \
                 {} keys.\nHere the key counts as well, as it does there.",
                grouped(QUOTED_KEYS)
            ),
            table.to_string(),
        ]);
    }
    sections.retain(|section| !section.is_empty());
    let mut text = sections.join("\n\n").replace("\n\n\n", "\n\n");
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn explanation(results: &Results) -> String {
    let paths = match &results.paths {
        Some(source) => format!(" \"Paths\" are {source}."),
        None => String::new(),
    };
    format!(
        "Every measurement is a process of its own, and every figure that is not called the store's own count is the growth of \
         `RssAnon` + `RssShmem`\nof that process since the contestant was opened empty: what the system says, allocator, threads and \
         idle pages included. Files are page cache and not in it.\nFreyja runs with its default options and sync mode none, through \
         its Rust interface; values have 8 bytes. HashMap is `HashMap<Box<[u8]>, Entry>`\nwith an entry of 32 bytes \
         {{segment id, offset, size, flags, version}} and no values. Every key was checked at the end.{paths}"
    )
}

/// The cells that every row begins with.
fn labels(row: &Row) -> Vec<String> {
    vec![
        grouped(row.count),
        row.set.title(),
        row.kind.title().to_owned(),
    ]
}

/// A table with a row for each of the results, filled by `cells` where there are figures.
fn table(results: &Results, headings: &[&str], cells: impl Fn(&Figures) -> Vec<String>) -> Table {
    let headings = [&["keys", "key", "contestant"], headings].concat();
    let mut table = Table::new(3, &headings);
    for row in &results.rows {
        if let Outcome::Measured(figures) = &row.outcome {
            table.add([labels(row), cells(figures)].concat());
        }
    }
    table
}

fn besides_key(results: &Results) -> String {
    let table = table(
        results,
        &[
            "fresh, B",
            "own count, B",
            "difference, % of all RAM",
            "highest while filling, B",
            "peak / steady line",
            "at keys",
            "churned, B",
            "churned / fresh",
        ],
        |figures| {
            let fresh = figures.besides_key(figures.fresh().resident);
            let churned = figures.besides_key(figures.churned().resident);
            let (own, difference) = own_count(figures);
            let samples = &figures.churn.samples;
            let (worst, ratio) = SteadyLine::through(samples).worst(samples);
            vec![
                format!("{fresh:.2}"),
                own,
                difference,
                format!("{:.2}", highest_besides_key(figures)),
                format!("{ratio:.3}"),
                grouped(worst.keys),
                format!("{churned:.2}"),
                format!("{:.3}", churned / fresh),
            ]
        },
    );
    let mut notes = vec![
        "Fresh: filled and nothing else. Own count: what the store's statistics say. Peak: looked at every 1 % of the fill and every 2 \
         ms in between;\nthe worst ratio of a look, keys included, to the steady line, which is the line through zero nearest to the \
         looks at every 1 %.\nChurned: every key replaced twice, then half of them deleted and added again."
            .to_owned(),
        table.to_string(),
    ];
    let mut reasons = Vec::new();
    for row in &results.rows {
        if let Outcome::NotMeasured(reason) = &row.outcome {
            let reason = format!("- {}: {reason}", labels(row).join(", "));
            reasons.push(reason);
        }
    }
    notes.push(reasons.join("\n"));
    notes.join("\n\n")
}

fn own_count(figures: &Figures) -> (String, String) {
    let State {
        resident, counters, ..
    } = figures.fresh();
    match counters {
        Some(counters) => {
            let difference = counters.memory as f64 / *resident as f64 - 1.0;
            (
                format!("{:.2}", figures.besides_key(counters.memory)),
                format!("{:+.2}", difference * 100.0),
            )
        }
        None => ("–".to_owned(), "–".to_owned()),
    }
}

fn reduced(results: &Results) -> Table {
    table(
        results,
        &[
            "all keys, MB",
            "a tenth left, MB",
            "fresh with that tenth, MB",
            "left / fresh",
        ],
        |figures| {
            let (reduced, fresh) = (figures.reduced().resident, figures.never_more().resident);
            let megabytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
            vec![
                megabytes(figures.delete_most.states[0].resident),
                megabytes(reduced),
                megabytes(fresh),
                format!("{:.3}", reduced as f64 / fresh as f64),
            ]
        },
    )
}

/// The most that was seen at any time of the fill, in bytes a key besides the keys that were there.
fn highest_besides_key(figures: &Figures) -> f64 {
    let samples = figures.churn.samples.iter();
    let costs = samples.map(|sample| {
        let key_bytes = figures.key_bytes_in_memory(sample.key_bytes);
        (sample.highest as f64 - key_bytes as f64) / sample.keys as f64
    });
    costs.fold(f64::MIN, f64::max)
}

fn slabs_and_puts(results: &Results) -> String {
    let table = table(
        results,
        &[
            "wasted, fresh",
            "wasted, churned",
            "wasted, a tenth left",
            "slowest put, µs",
        ],
        |figures| {
            let states = [figures.fresh(), figures.churned(), figures.reduced()];
            let mut cells = states.map(fragmentation).to_vec();
            let slowest = figures.churn.slowest_put_nanoseconds as f64 / 1e3;
            cells.push(format!("{slowest:.0}"));
            cells
        },
    );
    format!(
        "Wasted: bytes of slabs that belong to no key, of all bytes of slabs, as the store's statistics say. The slowest put of the fill \
         includes\nwork on files (of the store, not of the hash map) and whatever else the machine did meanwhile.\n\n{table}"
    )
}

/// The part of the slabs that no key takes.
fn fragmentation(state: &State) -> String {
    let slabs = state
        .counters
        .filter(|counters| counters.slab_allocated > 0);
    match slabs {
        Some(counters) => {
            let wasted = counters.slab_wasted as f64 / counters.slab_allocated as f64;
            format!("{wasted:.3}")
        }
        None => "–".to_owned(),
    }
}

fn small(results: &Results) -> String {
    let headings = [
        "contestant",
        "empty, B",
        "own count, B",
        "1,000 keys of 16 B, B",
        "own count, B",
    ];
    let mut table = Table::new(1, &headings);
    for row in &results.small {
        let mut cells = vec![row.kind.title().to_owned()];
        match &row.states {
            Some(states) => {
                for state in states {
                    let own = state.counters.map(|counters| grouped(counters.memory));
                    cells.extend([grouped(state.resident), own.unwrap_or("–".to_owned())]);
                }
            }
            None => cells.push("not supported yet".to_owned()),
        }
        table.add(cells);
    }
    format!(
        "Since before the contestant was opened, keys included. The store's threads and locks count.\n\n{table}"
    )
}

/// Go's figures beside those measured, where some were measured at the same number of keys.
fn quoted(results: &Results) -> Option<Table> {
    let headings = ["key", "Go, quoted, B", "Freyja, B", "Freyja / Go"];
    let mut table = Table::new(1, &headings);
    let mut any = false;
    for (length, go) in QUOTED {
        let set = KeySet::Fixed(length);
        let figures = results.figures(Kind::KeysInMemory, set, QUOTED_KEYS);
        if let Some(figures) = figures {
            let freyja = figures.fresh().resident as f64 / QUOTED_KEYS as f64;
            table.add(vec![
                set.title(),
                format!("{go:.1}"),
                format!("{freyja:.1}"),
                format!("{:.2}", freyja / go),
            ]);
            any = true;
        }
    }
    any.then_some(table)
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
