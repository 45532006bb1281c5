//! What a scan of a segment comes upon.

use crate::log::footer::{Footer, Totals};
use crate::log::record::{Invalid, Kind};

/// One thing that a scan comes upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A valid put or tombstone.
    Record(ScannedRecord<'a>),
    /// A valid mark.
    Mark {
        /// Where it begins.
        offset: u64,
        /// Every sequence number up to and including this one was durable when the mark was written.
        durable_sequence: u64,
    },
    /// Valid hints.
    Hints {
        /// Where they end.
        end: u64,
    },
    /// A valid manifest.
    Manifest {
        /// Where it ends.
        end: u64,
    },
    /// Bytes that are not valid, up to the next valid record or to the end: torn, or damaged.
    Damaged(DamagedSpan<'a>),
    /// Nothing more follows.
    End(End),
}

/// A valid put or tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedRecord<'a> {
    /// Where the record begins.
    pub offset: u64,
    /// Bytes that it takes in the segment, padding included.
    pub len: u64,
    /// [`Kind::Put`] or [`Kind::Tombstone`].
    pub kind: Kind,
    /// Whether the next put or tombstone of the segment belongs to the same atomic batch.
    pub continues: bool,
    /// When the pair ceases to exist, in milliseconds since 1970-01-01 UTC.
    pub expires_at_ms: Option<u64>,
    /// The record's sequence number.
    pub sequence: u64,
    /// The key.
    pub key: &'a [u8],
    /// Length of the value in bytes.
    pub value_len: usize,
}

/// Bytes that are not valid. They are damage if the segment is sealed or if a sequence number above `sequence_before` is
/// known to have been durable, by a mark anywhere in this segment or by a later segment's header; else a torn tail
/// begins here, and nothing from here on was ever promised to anybody, even where later records look valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedSpan<'a> {
    /// Where the bytes begin.
    pub offset: u64,
    /// How many they are.
    pub len: u64,
    /// The greatest sequence number of the valid records before; the segment's base sequence less one if there is none.
    pub sequence_before: u64,
    /// What is wrong with the record at `offset`.
    pub reason: Invalid,
    /// The record that the bytes seem to have been: its head decodes and leads exactly to where valid records, or the
    /// zeros behind the last one, begin. Nothing of it is verified.
    pub probable: Option<ProbableRecord<'a>>,
}

/// A put or tombstone that invalid bytes seem to have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbableRecord<'a> {
    /// [`Kind::Put`] or [`Kind::Tombstone`].
    pub kind: Kind,
    /// The sequence number that it seems to have.
    pub sequence: u64,
    /// The key that it seems to have.
    pub key: &'a [u8],
}

/// What a scan amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How the segment ends.
    pub state: EndState,
    /// Where its last valid record ends, padding included, the footer not.
    pub valid_end: u64,
    /// What the valid puts and tombstones amount to.
    pub totals: Totals,
    /// The greatest sequence number of a valid record; the segment's base sequence less one if there is none.
    pub last_sequence: u64,
    /// The highest sequence number that a valid mark, or a record that follows durable ones, says was durable, wherever
    /// it stands.
    pub highest_durable_mark: Option<u64>,
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndState {
    /// With a footer, though other bytes, reported as damaged, may follow.
    Sealed(Footer),
    /// With its last valid record, behind which there is nothing or only zeros.
    Clean,
    /// With bytes that are not valid; they have been reported by the event before.
    Invalid {
        /// Where they begin.
        at: u64,
    },
}
