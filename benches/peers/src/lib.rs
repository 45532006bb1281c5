//! Freyja, as a C program meets it, beside other embedded stores: what the benchmarks of them share.
//!
//! Every store is a shared library that is loaded at run time: one that is not installed is left out with a notice, and
//! nothing of any can be inlined into a benchmark.
#![allow(clippy::disallowed_methods)] // a benchmark looks at files and clocks from outside the library

#[path = "../../shared/command_line.rs"]
pub mod command_line;
pub mod engine;
#[path = "../../shared/machine.rs"]
pub mod machine;
pub mod median;
pub mod pairs;
#[path = "../../shared/table.rs"]
pub mod table;
pub mod zipf;
