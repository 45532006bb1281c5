//! What compaction costs: space, writing and waiting while a data set is overwritten again and again, beside LevelDB and
//! RocksDB: `make bench-compaction`.
//!
//! Every store works in a process of its own. One thread puts at a steady rate, one gets, and every value that is read is
//! compared with what was put. What is measured from outside: the space that the files take, the bytes that the process gave
//! the system to write, how long each operation took, and when the store's own threads were at work.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod activity;
mod arguments;
mod books;
mod life;
mod outcome;
mod pace;
mod phase;
mod plot;
mod recording;
mod report;
mod run;
mod tell;

use arguments::Arguments;

fn main() {
    let arguments = Arguments::parse();
    match &arguments.child {
        Some(child) => life::live(child, &arguments),
        None => run::run(&arguments),
    }
}
