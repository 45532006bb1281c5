//! What a key costs in RAM, seen from outside: `make bench-memory`.
//!
//! Every measurement is a process of its own. What it counts is the growth of `RssAnon` and `RssShmem`, the memory that no
//! file backs as the system sees it, since the contestant was opened empty. The store's own counters are printed beside
//! it, never instead of it. Keys are made on the fly, or read from a file again for each pass, so that the harness itself
//! takes no memory worth mentioning.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod arguments;
mod batches;
mod children;
#[path = "../shared/clocks.rs"]
mod clocks;
mod contestants;
mod finished;
mod key_sets;
#[path = "../shared/latency.rs"]
mod latency;
mod life;
#[path = "../shared/machine.rs"]
mod machine;
mod parts;
mod plot;
mod real_paths;
mod regions;
mod report;
mod resident;
mod results;
mod run;
#[path = "../shared/table.rs"]
mod table;
mod transcript;
mod watch;

fn main() {
    let arguments = arguments::Arguments::parse();
    match (arguments.child, arguments.part) {
        (Some(child), _) => print!("{}", life::live(child, &arguments)),
        (None, Some(part)) => print!("{}", part.section()),
        (None, None) if arguments.only_parts => print!("{}", parts::sections()),
        (None, None) => run::run(&arguments),
    }
}
