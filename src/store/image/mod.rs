//! The index image: a file from which a store is opened without reading its log.
//!
//! It is a cache and never the truth. An image that is damaged, or does not belong to the log beside it, costs the time
//! of reading the log and nothing else. `docs/format.md` describes it byte by byte under "An index image".

mod fault;
mod format;
mod keeper;
mod loader;
mod moves;
mod names;
mod read;
mod source;
mod write;

pub use fault::ImageFault;
pub use keeper::{ImageKeeper, Paused};
pub use loader::start_loading;
pub use moves::{MoveListWriter, SegmentName, remove_move_list};
pub use names::{Names, file_name, new_file_name};
pub use read::{Image, choose};
pub use source::LogSource;
pub use write::{write_at_close, write_if_due, write_now};
