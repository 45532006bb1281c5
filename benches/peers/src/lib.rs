//! Freyja, as a C program meets it, beside other embedded stores: what the benchmarks of them share.
//!
//! Stores with a C interface are shared libraries that are loaded at run time: one that is not installed is left out with a notice, and
//! nothing of any can be inlined into a benchmark. Those written in Rust are crates, and have the advantage of being linked.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

pub mod chase;
#[path = "../../shared/command_line.rs"]
pub mod command_line;
pub mod engine;
pub mod filled;
#[path = "../../shared/machine.rs"]
pub mod machine;
pub mod median;
pub mod pairs;
pub mod resources;
#[path = "../../shared/table.rs"]
pub mod table;
pub mod turn;
pub mod zipf;

/// A folder of this name among what is built: no part of the tree, and on a real disk.
pub fn target_folder(name: &str) -> std::path::PathBuf {
    let executable = std::env::current_exe().expect("a program knows where it is");
    let folder = executable.parent().expect("a program is in a folder");
    folder.join(name)
}
