//! Freyja: an embedded key-value store.
//!
//! The log is the truth, the index is a rebuildable view of it. Layers, from the top:
//! `capi` (the C interface) → [`store`] → [`index`] and [`log`] → [`memory`] and [`vfs`]. Imports point
//! downwards only; `index` knows no files and `log` knows no index.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

#[macro_use]
pub mod sabotage;

mod capi;
pub mod error;
pub mod index;
pub mod log;
pub mod memory;
pub mod store;
pub mod vfs;

/// See [`memory::reserve`].
#[cfg(feature = "memory-reserve")]
#[global_allocator]
static ALLOCATOR: memory::reserve::Allocator = memory::reserve::Allocator;

#[cfg(fuzzing)]
pub use capi::simulation;
pub use error::{Error, ErrorKind, Result};
