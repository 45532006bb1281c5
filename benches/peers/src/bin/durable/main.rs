//! What a durable put costs: Freyja, LevelDB and RocksDB beside nothing but `pwrite` and `fdatasync`, with 1 to 32 threads:
//! `make bench-durable`.
//!
//! All take short turns, again and again, so that what else the machine does meets all of them; what is compared are
//! medians, and medians of the ratios within a round.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod arguments;
mod contender;
mod raw;
mod report;
mod rounds;

use arguments::Arguments;
use freyja_peers::engine;

fn main() {
    let arguments = Arguments::parse();
    // Before any thread is started, and before anything is measured.
    engine::build_freyja();
    let results = rounds::run(&arguments);
    println!("{}", report::text(&results, &arguments));
    if arguments.record {
        report::record(&results, &arguments);
    }
}
