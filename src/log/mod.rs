//! Bytes on disk: records, segments, and the scanner that reads them back. Knows no index.
//!
//! `docs/format.md` describes the format byte by byte.

pub mod footer;
mod little_endian;
pub mod record;
pub mod record_view;
pub mod segment;
pub mod segment_header;
pub mod segment_name;
#[cfg(test)]
mod test_files;
#[cfg(test)]
mod test_random;
pub mod varint;
pub mod writer;

pub use record_view::RecordView;
pub use segment::{OpenedSegment, ReadMode, Segment};
pub use writer::SegmentWriter;
