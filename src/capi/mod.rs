//! The C interface. It adapts only: every function runs under a guard, checks its arguments, calls the
//! store, and stores the answer. All pointers of callers stop here.
//!
//! The documentation comments of exported items are the manual of C callers: `include/freyja.h` is
//! generated from them. Types that C sees carry their C names here too.
#![allow(non_camel_case_types)] // C names
#![allow(rustdoc::broken_intra_doc_links)] // the comments are Doxygen's: `@param[out]` is no link

mod arguments;
mod backup;
mod batch;
mod buffer;
mod compaction;
mod database;
mod db;
mod error;
mod exclusive;
mod failure;
mod fork;
mod guard;
mod handle;
mod iterate;
mod limits;
mod location;
mod memory;
mod metrics;
mod options;
mod pin_table;
mod pinned;
mod pool;
mod progress;
mod put_buf;
mod read;
mod read_many;
mod refresh;
#[cfg(fuzzing)]
pub mod simulation;
mod staging;
mod stats;
mod status;
mod structs;
mod verify;
mod version;
mod write;
