//! How long opening a store takes, to the first get: `make bench-reopen`.
//!
//! One store is filled and opened in three states: closed; killed with an image of the index that is one segment old; killed
//! and without any image. Every opening is a process of its own. Nothing is dropped from the page cache, so that what is measured is
//! the library's work and not the disk's; only what opening itself makes durable waits for the disk.
//!
//! Wall time depends on what else the machine does; processor time is the sum over all threads of the process.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

mod arguments;
mod children;
#[path = "../shared/command_line.rs"]
mod command_line;
mod measure;
mod workload;

use std::fs;
use std::path::Path;

use arguments::{Arguments, Child};

fn main() {
    let arguments = Arguments::parse();
    match arguments.child {
        Some(Child::Fill) => children::fill(&arguments),
        Some(Child::Extend) => children::extend(&arguments),
        Some(Child::Open) => children::open(&arguments),
        None => run(&arguments),
    }
}

fn run(arguments: &Arguments) {
    let place = tempfile::tempdir_in(&arguments.directory).expect("a directory can be made");
    let store = place.path().join("store");
    println!(
        "{} keys of {} bytes, values of {} to {} bytes, {} puts a key; page cache kept",
        arguments.keys,
        workload::KEY_BYTES,
        arguments.values.start(),
        arguments.values.end(),
        arguments.rounds,
    );
    measure::start(Child::Fill, arguments, &store);
    println!("{}", measure::Opening::TITLES);
    for _ in 0..arguments.repeat {
        measure::Opening::of(arguments, &store).print("closed");
    }
    measure::start(Child::Extend, arguments, &store);
    for _ in 0..arguments.repeat {
        let copy = place.path().join("killed");
        copy_files(&store, &copy, |_| true);
        measure::Opening::of(arguments, &copy).print("killed, image");
        fs::remove_dir_all(&copy).expect("the copy can be removed");
    }
    for _ in 0..arguments.repeat {
        let copy = place.path().join("bare");
        copy_files(&store, &copy, |name| !name.ends_with(".img"));
        measure::Opening::of(arguments, &copy).print("killed, no image");
        fs::remove_dir_all(&copy).expect("the copy can be removed");
    }
}

/// Copies the files of `from` whose names are `wanted`. What opening changes then does not touch the next opening.
fn copy_files(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) {
    fs::create_dir(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("the store can be listed") {
        let entry = entry.expect("the store can be listed");
        let name = entry.file_name();
        if wanted(&name.to_string_lossy()) {
            fs::copy(entry.path(), to.join(&name)).expect("the store can be copied");
        }
    }
    rustix::fs::sync();
}
