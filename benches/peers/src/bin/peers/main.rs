//! Freyja through its C functions beside other embedded stores, doing the same work: `make bench-peers`.
//!
//! Every measurement is a process of its own, stores take turns, and what is reported are medians. Every value that is read is
//! compared with what was put. The null store shows what the benchmark itself takes. What has been measured is kept in
//! a file until all is, so that a run that was interrupted goes on.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod arguments;
mod chart;
mod durable;
mod kept;
mod life;
mod many;
mod parts;
mod record;
mod report;
mod results;
mod rows;
mod run;
mod timing;
mod workload;

use arguments::Arguments;

fn main() {
    let arguments = Arguments::parse();
    match &arguments.child {
        Some(child) => life::live(child, &arguments),
        None => run::run(&arguments),
    }
}
