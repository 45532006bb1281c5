//! What was found, as text that reads well in a terminal and as Markdown.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use freyja_peers::machine;
use freyja_peers::pairs::KEY_LEN;
use freyja_peers::table::Table;

use crate::arguments::Arguments;
use crate::results::{Place, Results};
use crate::workload::Work;

/// What is reported, how its numbers are divided, and whether more is better.
struct Column {
    what: String,
    title: String,
    unit: f64,
    more_is_better: bool,
}

/// The whole report.
pub fn text(results: &Results, arguments: &Arguments, commit: &str) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}, {}; files on {}. Measured: {commit}.\n\n\
         `make bench-peers BENCH_ARGUMENTS=\"{}\"`: {KEY_LEN} B keys, one thread, nothing synced, each store in processes of its own, \
         in turns; medians of {} rounds. Every value read is compared. Ratios are those of Freyja to the best other store, above 1 where Freyja is better.\n",
        machine::date(),
        machine::description(),
        machine::file_system(&arguments.directory),
        arguments.given,
        arguments.rounds,
    );
    let rates = Work::ALL.map(|(_, name)| Column {
        what: format!("{name}, a second"),
        title: name.to_owned(),
        unit: 1e3,
        more_is_better: true,
    });
    let latencies = Work::ALL[..5].iter().flat_map(|(_, name)| {
        ["p50", "p99", "p99.9"].map(|quantile| Column {
            what: format!("{name}, {quantile}"),
            title: format!("{name} {quantile}"),
            unit: 1e3,
            more_is_better: false,
        })
    });
    let latencies: Vec<Column> = latencies.collect();
    for &value_len in &arguments.value_lens {
        for &pairs in &arguments.pairs {
            let raw = (pairs * (KEY_LEN + value_len) as u64) as f64;
            let others = [
                ("memory, anonymous", "RAM, anonymous, MiB", (1 << 20) as f64),
                ("memory, of files", "RAM, of files, MiB", (1 << 20) as f64),
                ("disk", "disk, of the raw bytes", raw),
                ("reopen clean", "reopen, clean, ms", 1.0),
                ("reopen after a kill", "reopen, after a kill, ms", 1.0),
            ];
            let others = others.map(|(what, title, unit)| Column {
                what: what.to_owned(),
                title: title.to_owned(),
                unit,
                more_is_better: false,
            });
            let mut table = |title: &str, columns: &[Column]| {
                let table = table(results, arguments, pairs, value_len, columns);
                let _ = writeln!(
                    text,
                    "## {pairs} pairs, values of {value_len} B: {title}\n\n{table}"
                );
            };
            table("thousands of operations a second", &rates);
            table("latency in microseconds of one operation in 16", &latencies);
            table("space, and time to the first answer", &others);
        }
    }
    for kind in &arguments.kinds {
        let version = results.versions.get(kind.name);
        match results.absent.get(kind.name) {
            Some(why) => writeln!(text, "- {}: left out: {why}", kind.name),
            None => {
                let version = version.map_or("", String::as_str);
                writeln!(text, "- {} {version}: {}", kind.name, kind.options)
            }
        }
        .expect("a text can be written to");
    }
    text
}

fn table(
    results: &Results,
    arguments: &Arguments,
    pairs: u64,
    value_len: usize,
    columns: &[Column],
) -> Table {
    let measured = arguments.kinds.iter();
    let measured: Vec<_> = measured
        .filter(|kind| !results.absent.contains_key(kind.name))
        .collect();
    let mut headings = vec![""];
    headings.extend(measured.iter().map(|kind| kind.name));
    headings.push("ratio");
    let mut table = Table::new(1, &headings);
    for column in columns {
        let number = |name: &str| {
            let median = results.median(&Place {
                engine: name.to_owned(),
                pairs,
                value_len,
                what: column.what.clone(),
            });
            median.map(|median| median / column.unit)
        };
        let mut row = vec![column.title.clone()];
        for kind in &measured {
            row.push(number(kind.name).map_or(String::new(), digits));
        }
        let others = measured
            .iter()
            .filter(|kind| kind.answers && kind.name != "Freyja");
        let others = others.filter_map(|kind| number(kind.name));
        let best = match column.more_is_better {
            true => others.max_by(f64::total_cmp),
            false => others.min_by(f64::total_cmp),
        };
        if let (Some(freyja), Some(best)) = (number("Freyja"), best)
            && freyja > 0.0
            && best > 0.0
        {
            let ratio = match column.more_is_better {
                true => freyja / best,
                false => best / freyja,
            };
            row.push(format!("{ratio:.2}"));
        }
        table.add(row);
    }
    table
}

/// Three digits, more where there are more before the point.
fn digits(number: f64) -> String {
    match number {
        _ if number >= 100.0 => format!("{number:.0}"),
        _ if number >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// Writes the report, and all numbers, to `docs/benchmarks`.
pub fn record(results: &Results, arguments: &Arguments, commit: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks");
    let text = format!(
        "# Freyja beside other embedded stores\n\n{}",
        text(results, arguments, commit)
    );
    fs::write(folder.join("peers.md"), text).expect("the report can be written");
    let json = format!("{:#}\n", results.json());
    fs::write(folder.join("peers.json"), json).expect("the numbers can be written");
}
