//! Turns a folder of inputs into a text with a line of hexadecimal digits for each, the shortest first, as `fuzz/kept` has them.

use libfuzzer_sys as _; // what the instrumentation calls

/// Longer inputs are left out: the files are read by people, too, and what a long one reaches a short one mostly does.
const MOST_BYTES: u64 = 80;

fn main() {
    let folder = std::env::args_os().nth(1).expect("a folder of inputs");
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.metadata().unwrap().len() <= MOST_BYTES {
            inputs.push(std::fs::read(entry.path()).unwrap());
        }
    }
    inputs.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    for input in inputs {
        let digits: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{digits}");
    }
}
