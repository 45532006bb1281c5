//! The result as a document, which is also what is printed.

mod besides_key;
mod filling;
mod puts;
mod quoted;
mod reduced;
mod slabs;
mod small;
mod steady;

use crate::machine;
use crate::results::{Figures, Results};
use crate::table::Table;

/// The document; `picture` says whether there is one beside it.
pub fn text(results: &Results, picture: bool) -> String {
    let mut sections = vec![
        "# What a key costs in RAM".to_owned(),
        origin(results),
        explanation(results),
    ];
    if picture {
        sections.push("![RAM while filling](memory.svg)".to_owned());
    }
    sections.extend([
        besides_key::section(results),
        filling::section(results),
        reduced::section(results),
        slabs::section(results),
        puts::section(results),
        small::section(results),
        results.parts.clone(),
    ]);
    sections.extend(quoted::section(results));
    let sections: Vec<&str> = sections.iter().map(|section| section.trim_end()).collect();
    sections.join("\n\n") + "\n"
}

fn origin(results: &Results) -> String {
    let arguments = match results.given.as_str() {
        "" => String::new(),
        given => format!(" BENCH_ARGUMENTS=\"{given}\""),
    };
    format!(
        "`make bench-memory{arguments}` on {}, on {}.\nThe library as of commit {}.",
        machine::date(),
        machine::description(),
        results.commit
    )
}

fn explanation(results: &Results) -> String {
    let mut text =
        "Every measurement is a process of its own. A figure that is not called the store's own count is the growth of \
         `RssAnon` + `RssShmem` of\nthat process since the contestant was opened empty: what the system says, with allocator, \
         threads and idle pages. Files are page\ncache and not in it. Freyja runs with its default options and sync mode none, \
         through its Rust interface; values have 8 bytes. HashMap\nis `HashMap<Box<[u8]>, Entry>`, its entry 32 bytes \
         {segment id, offset, size, flags, version}, without values. Every key was checked at the end."
            .to_owned();
    if let Some(source) = &results.paths {
        text += &format!(" Paths:\n{source}.");
    }
    if results.of_earlier_runs > 0 {
        text += &format!(
            "\n\nThis run went on where another of the same program was interrupted: {} of the processes are of that one.",
            results.of_earlier_runs
        );
    }
    for (kind, refusal) in &results.unsupported {
        text += &format!("\n\n{}: not supported yet (\"{refusal}\").", kind.title());
    }
    for row in &results.skipped {
        text += &format!(
            "\n\n{} keys, {}, {}: not measured, {}.",
            grouped(row.count),
            row.set.title(),
            row.kind.title(),
            row.shortage
        );
    }
    text
}

/// A table with a line for each row of the results, whose figures `cells` puts into words.
fn table(results: &Results, headings: &[&str], cells: impl Fn(&Figures) -> Vec<String>) -> Table {
    let headings = [&["keys", "key", "contestant"], headings].concat();
    let mut table = Table::new(3, &headings);
    for row in &results.rows {
        let labels = [
            grouped(row.count),
            row.set.title(),
            row.kind.title().to_owned(),
        ];
        table.add([labels.to_vec(), cells(&row.figures)].concat());
    }
    table
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// What stands where a contestant has no figure.
fn none() -> String {
    "–".to_owned()
}
