//! How the cost of Freyja's operations grows with the number of pairs: `make bench-scale`.
//!
//! Each size is measured in processes of its own: one fills a store, gets, and closes it; one opens it, puts a little and is killed;
//! one opens it again. Values are short, so that keys are most of it. Every value that is read is compared.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod arguments;
mod chart;
mod life;
mod report;
mod run;

use arguments::Arguments;

fn main() {
    let arguments = Arguments::parse();
    match arguments.child {
        Some(child) => life::live(child, &arguments),
        None => run::run(&arguments),
    }
}
