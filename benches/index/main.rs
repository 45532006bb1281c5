//! Time, instructions and cache misses of the index beside the standard library's hash map: `make bench-index`.
//!
//! `cargo bench --bench index [keys ...]`; keys of 16 bytes, one thread, everything in RAM, every measurement a process of
//! its own. The map is hashbrown as the standard library has it, and holds a boxed key and a 64-bit location, which is what
//! an index with an allocation per key looks like.
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark starts programs and reads the clock itself"
)]

mod arguments;
mod child;
#[path = "../shared/clocks.rs"]
mod clocks;
#[allow(dead_code)] // lengths of keys that only a test takes
#[path = "../shared/colliding_keys.rs"]
mod colliding_keys;
mod contenders;
mod costs;
mod keys;
#[path = "../shared/latency.rs"]
mod latency;
mod phases;
mod report;
#[path = "../memory/resident.rs"]
mod resident;
mod simulation;
#[path = "../shared/table.rs"]
mod table;

use arguments::Arguments;

fn main() {
    let arguments = Arguments::parse();
    match arguments.child {
        Some(child) => child::live(child),
        None => arguments
            .keys
            .iter()
            .for_each(|&count| report::print(count)),
    }
}
