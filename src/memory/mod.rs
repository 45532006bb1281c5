//! Memory that Freyja manages itself.

pub mod awaited;
pub mod batch_arena;
pub mod budget;
pub mod buffer_pool;
pub mod cell_pool;
pub mod epoch;
pub mod epoch_table;
pub mod kept;
pub mod key_slab;
pub mod lanes;
pub mod page_arena;
pub mod page_list;
pub mod placed;
pub mod prefetch;
pub mod pressure;
pub mod reserve;
pub mod scratch;
pub mod thread;

mod page_pool;
mod region;

#[allow(unused_imports)] // not everything in every build
pub(crate) mod sync;
