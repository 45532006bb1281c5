//! What was found, as text that reads well in a terminal and as Markdown.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use freyja_peers::machine;
use freyja_peers::median::quantile;
use freyja_peers::pairs::KEY_LEN;
use freyja_peers::table::Table;

use crate::arguments::Arguments;
use crate::contender::RAW;
use crate::raw::RECORD_LEN;
use crate::rounds::{Results, VALUE_LEN};

/// Where Freyja stands among the contenders: behind the raw ways.
const FREYJA: usize = RAW.len();
const PREALLOCATED: usize = 1;

/// The whole report.
pub fn text(results: &Results, arguments: &Arguments) -> String {
    let mut text = String::new();
    let turn = arguments.turn.as_millis();
    let _ = writeln!(
        text,
        "{}, {}, {}; files on {}. Measured: {}.\n\n\
         `make bench-durable BENCH_ARGUMENTS=\"{}\"`: every put is of a new {KEY_LEN} B key with a {VALUE_LEN} B value and returns when it would survive a power loss. \
         Turns of {turn} ms, {} rounds; raw is `pwrite` of {RECORD_LEN} B and `fdatasync` by every thread on one file. Everything put is read back and compared at the end.\n",
        machine::date(),
        machine::description(),
        load(),
        machine::file_system(&arguments.directory),
        results.commit,
        arguments.given,
        arguments.rounds,
    );
    let mut headings = vec!["puts a second".to_owned()];
    for threads in &arguments.threads {
        headings.push(match threads {
            1 => "1 thread".to_owned(),
            _ => format!("{threads} threads"),
        });
        headings.push("of preallocated".to_owned());
    }
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(1, &headings);
    for (at, (name, _)) in results.contenders.iter().enumerate() {
        let mut row = vec![name.clone()];
        for (threads, rates) in results.rates.iter().enumerate() {
            row.push(rate(&rates[at]));
            row.push(ratio(results.ratio(threads, at, PREALLOCATED)));
        }
        table.add(row);
    }
    let _ = writeln!(
        text,
        "{table}\nMedians, in parentheses the quartiles; ratios are medians of the ratios within a round.\n"
    );
    let stores = FREYJA + 1..results.contenders.len();
    for (threads, count) in arguments.threads.iter().enumerate() {
        let ratios = stores.clone().filter_map(|at| {
            let ratio = results.ratio(threads, FREYJA, at)?;
            Some(format!("{ratio:.2} of {}", results.contenders[at].0))
        });
        let ratios: Vec<String> = ratios.collect();
        if !ratios.is_empty() {
            let _ = writeln!(text, "- Freyja with {count}: {}", ratios.join(", "));
        }
    }
    let _ = writeln!(text);
    for (name, options) in &results.contenders[FREYJA.min(results.contenders.len())..] {
        let _ = writeln!(text, "- {name}: {options}");
    }
    text
}

fn rate(rates: &[f64]) -> String {
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|part| quantile(rates, part));
    match (low, middle, high) {
        (Some(low), Some(middle), Some(high)) => format!("{middle:.0} ({low:.0}-{high:.0})"),
        _ => String::new(),
    }
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"))
}

/// How busy the machine was with all that ran.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').nth(1).unwrap_or("unknown");
    format!("load {load}")
}

/// Writes the report to `docs/benchmarks`.
pub fn record(results: &Results, arguments: &Arguments) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks/durable.md");
    let text = format!("# Durable puts\n\n{}", text(results, arguments));
    fs::write(&path, text).expect("the report can be written");
}
