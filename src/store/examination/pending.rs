//! Invalid bytes of which it is not known yet how many records they were: what follows tells.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::log::record::Invalid;
use crate::log::scan_event;

/// A put or tombstone that invalid bytes were, or seem to have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRecord {
    /// Where it began.
    pub offset: u64,
    /// Its sequence number.
    pub sequence: u64,
    /// Whether it was a tombstone, as far as is known.
    pub deletes: bool,
    /// Its key.
    pub key: Vec<u8>,
    /// Whether that is known from the segment's hints, not just from the damaged bytes.
    pub certain: bool,
}

/// A span of invalid bytes that belongs to the part of a segment that counts.
pub struct PendingSpan {
    /// The segment file.
    pub path: PathBuf,
    /// Id of the segment.
    pub segment: u64,
    /// Where the bytes begin.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
    /// What is wrong with the first of them.
    pub reason: Invalid,
    /// The records in it of which the keys are known, in the order of their offsets.
    pub known: Vec<LostRecord>,
}

impl PendingSpan {
    /// The span that the scanner reports, with the record that it seems to have been.
    pub fn new(path: PathBuf, segment: u64, span: &scan_event::DamagedSpan<'_>) -> Result<Self> {
        let mut pending = Self {
            path,
            segment,
            offset: span.offset,
            length: span.len,
            reason: span.reason,
            known: Vec::new(),
        };
        if let Some(record) = span.probable {
            pending.add(LostRecord {
                offset: span.offset,
                sequence: record.sequence,
                deletes: false,
                key: copied(record.key)?,
                certain: false,
            })?;
        }
        Ok(pending)
    }

    /// Adds a record that lay in the span. The hints know better than the damaged bytes.
    pub fn add(&mut self, record: LostRecord) -> Result<()> {
        self.known.retain(|known| known.offset != record.offset);
        self.known
            .try_reserve(1)
            .map_err(|_| Error::memory("a list of damaged records"))?;
        self.known.push(record);
        Ok(())
    }

    /// Offset behind the span.
    pub fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// A copy of a key that was read.
pub fn copied(key: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(key.len())
        .map_err(|_| Error::memory("a list of damaged records"))?;
    copy.extend_from_slice(key);
    Ok(copy)
}
