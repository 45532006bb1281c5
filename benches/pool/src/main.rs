//! Freyja's buffer pool beside the platform's allocator, mimalloc and jemalloc: `make bench-pool`.
//!
//! All run in one process and by turns, so that the ratios are worth more than the times. Time is the thread's processor
//! time. Every contestant is behind a call that is not inlined. `clear` means that the memory is set to 0 after every get,
//! by all in the same way.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

#[path = "../../shared/clocks.rs"]
#[allow(dead_code)] // not every benchmark uses both clocks
mod clocks;
#[path = "../../shared/command_line.rs"]
#[allow(dead_code)] // this one has no choices
mod command_line;
#[path = "../../shared/machine.rs"]
#[allow(dead_code)] // nor is it about files
mod machine;
#[path = "../../shared/table.rs"]
mod table;

mod contestants;
mod measure;
mod report;
mod store;
mod workloads;

const USAGE: &str = "[--rounds N] [--milliseconds N] [--record]";

/// What to do, from the command line.
struct Arguments {
    /// How often each contestant does each workload.
    rounds: usize,
    /// About how long each time.
    milliseconds: u64,
    /// Whether to write docs/benchmarks/pool.md.
    record: bool,
}

impl Arguments {
    fn parse() -> Arguments {
        let mut parsed = Arguments {
            rounds: 21,
            milliseconds: 2,
            record: false,
        };
        let mut words = command_line::words();
        while let Some(name) = words.next() {
            if name == "--record" {
                parsed.record = true;
                continue;
            }
            let value = words.next().unwrap_or_default();
            let number: u64 = command_line::number(&name, &value, USAGE);
            match name.as_str() {
                "--rounds" if number > 0 => parsed.rounds = number as usize,
                "--milliseconds" if number > 0 => parsed.milliseconds = number,
                _ => command_line::refuse(&format!("{name} {value} is not possible"), USAGE),
            }
        }
        parsed
    }
}

fn main() {
    let arguments = Arguments::parse();
    let measured = measure::all(&arguments);
    let store = store::get_path();
    let text = report::text(&arguments, &measured, &store);
    print!("{text}");
    if arguments.record {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks/pool.md");
        std::fs::write(path, text).expect("the record can be written");
    }
}
