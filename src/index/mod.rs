//! The packed hash index: key → location in the log, in about 12 bytes besides the key.
//!
//! The index knows no files: a location is an opaque number that the store gives meaning to.

pub mod location;

pub use location::Location;
