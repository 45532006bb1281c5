//! The store measured through its C functions, beside a `HashMap<Vec<u8>, Vec<u8>>` (memory only) and one plain
//! `write(2)` a record (a log that cannot answer), all in the same run: `make bench`.
//!
//! `--pairs N` and `--rounds N` (or `FREYJA_BENCH_PAIRS`, `FREYJA_BENCH_ROUNDS`) set the size; `--directory DIR` the place of the
//! stores. One thread. Every value read back is compared. What is printed is the median of the rounds.
#![allow(unsafe_code)] // calls the C functions
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod arguments;
mod children;
#[path = "../shared/command_line.rs"]
mod command_line;
mod contenders;
mod groups;
mod library;
mod report;
mod rounds;
mod scans;
mod workload;

use arguments::{Arguments, Child};
use library::Library;
use workload::Workload;

fn main() {
    let arguments = Arguments::parse();
    let library = match &arguments.library {
        Some(path) => Library::load(path),
        None => Library::load(&library::build()),
    };
    let workload = Workload::new(arguments.pairs);
    match arguments.child {
        Some(Child::FillAndClose) => {
            children::fill_and_close(&library, &workload, &arguments.directory)
        }
        Some(Child::FillAndDie) => {
            children::fill_and_die(&library, &workload, &arguments.directory)
        }
        Some(Child::MemoryOfStore) => {
            children::memory_of_store(&library, &workload, &arguments.directory)
        }
        Some(Child::MemoryOfHashMap) => children::memory_of_hash_map(&workload),
        None => report::print_all(&library, &workload, &arguments),
    }
}
