//! Bytes on disk: records, segments, and the scanner that reads them back. Knows no index.
//!
//! `docs/format.md` describes the format byte by byte.

mod byte_source;
mod checksum_index;
mod disposal;
pub mod footer;
pub mod hints;
pub(crate) mod little_endian;
pub mod manifest;
pub mod record;
pub mod record_view;
pub mod scan_event;
pub mod scanner;
pub mod segment;
pub mod segment_header;
pub mod segment_name;
#[cfg(test)]
pub(crate) mod test_files;
#[cfg(test)]
pub(crate) mod test_image;
#[cfg(test)]
pub(crate) mod test_random;
pub mod varint;
pub mod writer;

pub use disposal::{Disposal, Remains};
pub use record_view::{Pair, RecordView};
pub use scan_event::Event;
pub use scanner::Scanner;
pub use segment::{MappedRecords, OpenedSegment, ReadMode, Segment};
pub use writer::SegmentWriter;
