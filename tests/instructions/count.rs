//! Counting with callgrind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// How often each operation is done, each time with another key.
const OPERATIONS: u64 = 20_000;

/// The instructions of one operation of each kind, by its name, what the harness itself takes subtracted; `None`, with a notice,
/// where there is no valgrind.
pub fn count(program: &Path, storage: &str) -> Option<BTreeMap<String, u64>> {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile");
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg("--toggle-collect=measured_*")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .arg(folder.path().join("store"))
        .args([storage, &OPERATIONS.to_string()])
        .output();
    let Ok(ran) = ran else {
        println!("skipped: valgrind is not installed");
        return None;
    };
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}");
    let annotated = Command::new("callgrind_annotate")
        .args(["--inclusive=yes", "--threshold=100"])
        .arg(&profile)
        .output()
        .unwrap();
    let totals = totals(&String::from_utf8_lossy(&annotated.stdout));
    let of_one = |name: &str, total: u64| {
        // An iterator is not asked for a key.
        let harness = if name == "iteration_step" {
            0
        } else {
            totals["harness"]
        };
        (total - harness) / OPERATIONS
    };
    let operations = totals.iter().filter(|(name, _)| *name != "harness");
    Some(
        operations
            .map(|(name, total)| (name.replace('_', " "), of_one(name, *total)))
            .collect(),
    )
}

/// From lines as `1,234 (5.6%)  operations.c:measured_get_hit [/a/program]` the totals by name.
fn totals(annotated: &str) -> BTreeMap<String, u64> {
    let mut totals = BTreeMap::new();
    for line in annotated.lines() {
        let Some((_, name)) = line.split_once(":measured_") else {
            continue;
        };
        let name = name.split_whitespace().next().unwrap();
        let number: String = line.split_whitespace().next().unwrap().replace(',', "");
        // What is inlined into it has lines of its own, which are part of the largest.
        let total = totals.entry(name.to_owned()).or_insert(0);
        *total = number.parse().unwrap_or(0).max(*total);
    }
    totals
}

#[test]
fn the_inclusive_total_of_each_operation_is_found() {
    let annotated = "\
9,000 (100.0%)  PROGRAM TOTALS
7,041 (78.2%)  /a/operations.c:measured_get_hit [/a/program]
1,959 (21.8%)  /a/operations.c:measured_harness [/a/program]
  200 ( 2.2%)  /a/table.rs:measured_get_hit
";
    let expected = [("get_hit".to_owned(), 7041), ("harness".to_owned(), 1959)];
    assert_eq!(totals(annotated), BTreeMap::from(expected));
}
