//! Where merges have moved records since the newest image was written, so that the image stays of use.
//!
//! An image refers to records by their places. A merge takes the segments away in which they lie, and leaves beside its
//! output a list of what became of each of their puts: where its copy lies, or that there is none. An open follows an entry of
//! the image along these lists to where its record is now.
//!
//! Images and merges exclude each other, so an image is written before a merge begins to copy or after it has ended. From
//! that follows what makes a list all that is needed. A put that an image refers to and that a merge leaves behind was
//! superseded by a record that the image does not cover, which is replayed; so its entry just goes. And of an output's puts that the
//! image covers each one is referred to by an entry of the image, so none of them is dead before the replay begins.
//!
//! Like images these files are caches. Without one that is needed the image is not used, and the log is read.

mod follow;
mod format;
mod list;
mod writer;

pub use follow::{Destination, MovedSegments};
pub use format::SegmentName;
pub use writer::{MoveListWriter, remove_move_list};

use list::MoveList;
