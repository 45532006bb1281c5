//! What was found, as text that reads well in a terminal and as Markdown.

use std::fmt::Write;

use freyja_peers::machine;
use freyja_peers::pairs::KEY_LEN;
use freyja_peers::table::Table;

use crate::arguments::Arguments;
use crate::life::{MOST_BEFORE_KILL, PUT_BEFORE_KILL, VALUE_LEN};
use crate::run::Measured;

/// What is measured in nanoseconds an operation.
pub const OPERATIONS: [&str; 4] = ["put", "overwrite", "get hit", "get miss"];

/// The whole report but its title.
pub fn text(all: &[(u64, Measured)], arguments: &Arguments, commit: &str) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}, {}; files on {}. Measured: {commit}.\n\n\
         `make bench-scale BENCH_ARGUMENTS=\"{}\"`: {KEY_LEN} B keys in no order, {VALUE_LEN} B values, one thread, nothing synced, through the C functions; medians of {} rounds. \
         Nanoseconds are the time until all were done by their number; those in parentheses are what the benchmark itself took, measured with a store that stores nothing, and are contained. RAM is what no file backs, \
         with the keys, on top of what the process had before. Reopening ends with the first answer; before the kill one pair in {} of the reopened store was overwritten, but at most {}. So little is overwritten that nothing is compacted.\n",
        machine::date(),
        machine::description(),
        machine::file_system(&arguments.directory),
        arguments.given,
        arguments.rounds,
        PUT_BEFORE_KILL,
        MOST_BEFORE_KILL,
    );
    let headings = OPERATIONS.map(|operation| format!("{operation}, ns"));
    let mut table_headings = vec!["pairs"];
    table_headings.extend(headings.iter().map(String::as_str));
    table_headings.extend(["RAM, B a key", "reopen, clean, ms", "after a kill, ms"]);
    let mut table = Table::new(0, &table_headings);
    for (size, measured) in all {
        let mut row = vec![size.to_string()];
        for operation in OPERATIONS {
            let own = measured.number(&format!("nothing, {operation}"));
            row.push(format!("{:.0} ({own:.0})", measured.number(operation)));
        }
        row.push(format!("{:.1}", measured.number("memory")));
        row.push(format!("{:.1}", measured.number("clean, opened")));
        row.push(format!("{:.1}", measured.number("killed, opened")));
        table.add(row);
    }
    text + &table.to_string()
}
