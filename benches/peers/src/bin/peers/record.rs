//! Writes what was measured to `docs/benchmarks/peers` and into the README.

use std::fs;
use std::path::Path;

use freyja_peers::machine;
use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::parts::Size;
use crate::results::Results;
use crate::{chart, report, rows};

/// What stands around the README's part.
const MARKS: [&str; 2] = [
    "<!-- written by make bench-peers -->",
    "<!-- end of what make bench-peers writes -->",
];

/// The size that the README shows.
const OF_README: Size = Size {
    pairs: 1_000_000,
    value_len: 100,
};

/// Writes a page, the numbers and a picture of each size, and the README's part if it is among them.
pub fn write(results: &Results, arguments: &Arguments, sizes: &[Size], commit: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("docs/benchmarks/peers");
    fs::create_dir_all(&folder).expect("the report's folder can be made");
    for &size in sizes {
        let text = format!(
            "# Freyja beside other embedded stores\n\n{}",
            report::text(results, arguments, &[size], commit)
        );
        let page = folder.join(report::file(size, "md"));
        fs::write(page, text).expect("the report can be written");
        let json = format!("{:#}\n", json(results, arguments, size, commit));
        let numbers = folder.join(report::file(size, "json"));
        fs::write(numbers, json).expect("the numbers can be written");
        let picture = folder.join(report::file(size, "svg"));
        chart::draw(results, arguments, size, &picture);
    }
    if sizes.contains(&OF_README) {
        let readme = root.join("README.md");
        let old = fs::read_to_string(&readme).expect("the README can be read");
        let new = readme_with(&old, &summary(results, arguments, commit));
        fs::write(&readme, new).expect("the README can be written");
    }
}

fn json(results: &Results, arguments: &Arguments, size: Size, commit: &str) -> Value {
    let options = arguments.kinds.iter();
    let options: Map<String, Value> = options
        .map(|kind| (kind.name.to_owned(), json!(kind.options)))
        .collect();
    json!({
        "date": machine::date(), "machine": machine::description(), "commit": commit,
        "file_system": machine::file_system(&arguments.directory),
        "arguments": arguments.given, "options": options, "results": results.json(size),
    })
}

/// What the README says of its size.
fn summary(results: &Results, arguments: &Arguments, commit: &str) -> String {
    let table = report::table(results, arguments, OF_README, &rows::summary());
    let Size { pairs, value_len } = OF_README;
    let [picture, page] = ["svg", "md"].map(|kind| report::file(OF_README, kind));
    // The report tells more of it.
    let commit = commit.split(' ').next().unwrap_or(commit);
    format!(
        "![Freyja beside other embedded stores](docs/benchmarks/peers/{picture})\n\n\
         Thousands of operations a second, {pairs} pairs of 16 B keys and {value_len} B values, one thread unless told otherwise, nothing synced but the durable puts; the ratio is that \
         to the best other store. *Bare table* is no store, but the least that one has to do, and *nothing* is what the benchmark takes itself. {}, commit {commit}; [options, latencies, memory](docs/benchmarks/peers/{page}), [other sizes](docs/benchmarks/peers), by `make bench-peers`.\n\n{table}",
        machine::date(),
    )
}

/// `readme` with `part` between the marks, which it must have.
fn readme_with(readme: &str, part: &str) -> String {
    let [begin, end] = MARKS;
    let around = readme
        .split_once(begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = around.expect("the README has marks around this part");
    format!("{before}{begin}\n{part}{end}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_the_marks_stays() {
        let [begin, end] = MARKS;
        let readme = format!("one\n{begin}\nold\n{end}\ntwo\n");
        let new = readme_with(&readme, "new\n");
        assert_eq!(new, format!("one\n{begin}\nnew\n{end}\ntwo\n"));
    }

    #[test]
    fn the_readme_has_the_marks() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
        let readme = fs::read_to_string(path).expect("the README can be read");
        assert!(readme_with(&readme, "a mark\n").contains("a mark\n"));
    }
}
