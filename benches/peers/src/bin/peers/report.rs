//! What was found, as text that reads well in a terminal and as Markdown.

use std::fmt::Write;

use freyja_peers::engine::Kind;
use freyja_peers::machine;
use freyja_peers::pairs::KEY_LEN;
use freyja_peers::table::Table;

use crate::arguments::Arguments;
use crate::parts::Size;
use crate::results::{Place, Results};
use crate::rows::{self, Row};

/// The whole report.
pub fn text(results: &Results, arguments: &Arguments, sizes: &[Size], commit: &str) -> String {
    let mut text = head(arguments, commit);
    for &size in sizes {
        let Size { pairs, value_len } = size;
        let _ = writeln!(text, "## {pairs} pairs, values of {value_len} B\n");
        if arguments.record {
            let picture = file(size, "svg");
            let _ = writeln!(
                text,
                "![{pairs} pairs, values of {value_len} B]({picture})\n"
            );
        }
        for (title, rows) in rows::tables(size) {
            let table = table(results, arguments, size, &rows);
            let _ = writeln!(text, "**{title}**\n\n{table}");
        }
        let _ = writeln!(
            text,
            "**Freyja's other calls, thousands of operations a second**\n\n{}",
            other_calls(results, size)
        );
    }
    text += EXPLANATION;
    for kind in &arguments.kinds {
        if !results.absent.contains_key(kind.name) {
            let version = results.versions.get(kind.name);
            let version = version.map_or(String::new(), |version| format!(" {version}"));
            let _ = writeln!(text, "- {}{version}: {}", kind.name, kind.options);
        }
    }
    for (what, why) in &results.absent {
        let _ = writeln!(text, "- Left out: {what}: {why}");
    }
    text
}

const EXPLANATION: &str = "\
Ratios are those of Freyja to the best other store, above 1 where Freyja is better. *Nothing* is a store that stores nothing: what it takes is what the benchmark \
takes itself, in every other column too. The *bare table* is none either: the least that a store with an index in memory and a log does, which shows what of the others' time is not the memory's. Latencies are those of one operation in 16. YCSB E is left out, as hash files have no order. *64 together* is one call that gets 64 keys, *100 together* one call or transaction \
that puts 100 pairs; *key checked* and *unchecked* are of a store opened with FREYJA_CHECK_KEY, which compares no checksums when it reads. LMDB's and RocksDB's gets show the value where it lies, as Freyja's pinned ones do; the others copy it. \
Memory is what the process has more than before the store was opened, after the gets; files are counted as far as they are mapped. Written is what the process gave the system to write \
until the work ended, not what was merged later. Disk is what the files of a filled and closed store take. Reopening ends with the first answer; cold means that the page cache had nothing of the \
store. A kill comes right after filling; what was lost by it are pairs that were not there afterwards, or not as they were put. Where a store has no such call or mode its cell is empty. Of what is durable with 1 and 8 threads `make bench-durable` tells more.\n\n";

/// Where and how it was measured.
fn head(arguments: &Arguments, commit: &str) -> String {
    format!(
        "{}, {}; files on {}. Measured: {commit}.\n\n\
         `make bench-peers BENCH_ARGUMENTS=\"{}\"`: {KEY_LEN} B keys, one thread, nothing synced but for durable puts, each store in processes of its own, \
         in turns; medians of {} rounds. Every value read is compared.\n\n",
        machine::date(),
        machine::description(),
        machine::file_system(&arguments.directory),
        arguments.given,
        arguments.rounds,
    )
}

/// Name of the file of a size that has this extension.
pub fn file(size: Size, extension: &str) -> String {
    format!("{}x{}.{extension}", size.pairs, size.value_len)
}

/// The stores that have been measured.
pub fn measured<'a>(
    results: &'a Results,
    arguments: &'a Arguments,
) -> impl Iterator<Item = &'a Kind> {
    let kinds = arguments.kinds.iter();
    kinds.filter(|kind| !results.absent.contains_key(kind.name))
}

/// The median of what `row` is about.
pub fn number(results: &Results, size: Size, engine: &str, row: &Row) -> Option<f64> {
    let median = results.median(&Place {
        engine: engine.to_owned(),
        pairs: size.pairs,
        value_len: size.value_len,
        what: row.what.clone(),
    });
    median.map(|median| median / row.unit)
}

/// A row for each of `rows`, a column for each store, and the ratio to the best other one.
pub fn table(results: &Results, arguments: &Arguments, size: Size, rows: &[Row]) -> Table {
    let measured: Vec<&Kind> = measured(results, arguments).collect();
    let mut headings = vec![""];
    headings.extend(measured.iter().map(|kind| kind.name));
    headings.push("ratio");
    let mut table = Table::new(1, &headings);
    for row in rows {
        let number = |name: &str| number(results, size, name, row);
        let cells = measured.iter().map(|kind| number(kind.name));
        let cells = cells.map(|cell| cell.map_or(String::new(), digits));
        let mut cells: Vec<String> = [row.title.clone()].into_iter().chain(cells).collect();
        let ratio = ratio(row, &measured, number);
        cells.push(ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")));
        table.add(cells);
    }
    table
}

/// Freyja's figure to the best of the others, so that more is better.
fn ratio(row: &Row, measured: &[&Kind], number: impl Fn(&str) -> Option<f64>) -> Option<f64> {
    let others = measured
        .iter()
        .filter(|kind| kind.is_store && kind.name != "Freyja");
    let others = others.filter_map(|kind| number(kind.name));
    let best = match row.more_is_better {
        true => others.max_by(f64::total_cmp),
        false => others.min_by(f64::total_cmp),
    };
    let (freyja, best) = (number("Freyja")?, best?);
    let ratio = match row.more_is_better {
        true => freyja / best,
        false => best / freyja,
    };
    (freyja > 0.0 && best > 0.0).then_some(ratio)
}

/// What Freyja does by calls that others have not, beside what it does by those that they have.
fn other_calls(results: &Results, size: Size) -> Table {
    let mut table = Table::new(1, &["", "Freyja", "of", "usual", "ratio"]);
    for (row, usual) in rows::other_calls() {
        let by_this = number(results, size, "Freyja", &row);
        let by_usual = number(results, size, "Freyja", &usual);
        if let (Some(by_this), Some(by_usual)) = (by_this, by_usual) {
            table.add(vec![
                row.title,
                digits(by_this),
                usual.title,
                digits(by_usual),
                format!("{:.2}", by_this / by_usual),
            ]);
        }
    }
    table
}

/// Three digits, more where there are more before the point.
pub fn digits(number: f64) -> String {
    match number {
        _ if number >= 100.0 => format!("{number:.0}"),
        _ if number >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}
