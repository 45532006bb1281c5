//! What an examination of a store comes upon.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// What a finding is about. The numbers are those of the C interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FindingKind {
    /// Bytes that should be a record, or several, are not what was written.
    DamagedRecord = 1,
    /// The header of a segment is damaged; the copy at the end of the file takes its place, so nothing is lost.
    DamagedHeader = 2,
    /// Nothing in a segment file can be read: neither its header nor the copy of it, or the name is another's.
    UnusableFile = 3,
    /// A segment belongs to another store.
    OtherStore = 4,
    /// A segment begins before the end of the one before it: a copy, or an older state of a file.
    RepeatedSegment = 5,
    /// A segment's name belongs to something that is not a regular file; the store cannot be opened.
    NotAFile = 6,
    /// By their sequence numbers, or by an image of the index, there were records where there are none: a file is missing or was cut.
    MissingRecords = 7,
    /// The footer of a segment counts other records than there are.
    WrongFooter = 8,
    /// The hints of a segment are damaged or do not agree with its records.
    DamagedHints = 9,
    /// A part of an image of the index is damaged. Opening rebuilds that part from the log.
    DamagedImage = 10,
    /// An image of the index is intact and says something else than the log.
    WrongImage = 11,
    /// The end of a log that a crash cut short. None of it was ever promised to survive.
    TornTail = 16,
    /// A file whose creation was cut short. The next open removes it.
    UnfinishedFile = 17,
    /// An image of the index that does not belong to the log as it is now. Opening passes it over.
    UnusedImage = 18,
    /// [`repair`](super::repair()) only: an older version of a key was saved, because the newest is damaged.
    OlderVersion = 19,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Severity {
    /// What a crash leaves; opening the store mends it.
    Note = 0,
    /// Stored bytes are not what was written, but no key's newest record is lost.
    Damage = 1,
    /// Newest records of keys are lost, or may be.
    Loss = 2,
}

/// Something that an examination came upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Of how many bytes it speaks; 0 if of none in particular.
    pub length: u64,
    /// The first sequence number concerned; 0 if that is not known or there is none.
    pub first_sequence: u64,
    /// The last sequence number concerned.
    pub last_sequence: u64,
    /// The key concerned, where it is one and is known.
    pub key: Option<Vec<u8>>,
    /// What it means and what to do, without the file's name.
    pub message: String,
}

impl Finding {
    pub(super) fn new(
        kind: FindingKind,
        severity: Severity,
        path: &Path,
        place: (u64, u64),
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            severity,
            path: path.to_path_buf(),
            offset: place.0,
            length: place.1,
            first_sequence: 0,
            last_sequence: 0,
            key: None,
            message: message.into(),
        }
    }

    pub(super) fn with_sequences(mut self, first: u64, last: u64) -> Self {
        if first <= last {
            (self.first_sequence, self.last_sequence) = (first, last);
        }
        self
    }

    pub(super) fn with_key(mut self, key: &[u8]) -> Self {
        self.key = Some(key.to_vec());
        self
    }

    /// The finding as an error that names the file and the place.
    pub fn to_error(&self) -> Error {
        Error::corrupt(&self.path, self.offset, &self.message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: at byte {}, {} bytes: {}",
            self.path.display(),
            self.offset,
            self.length,
            self.message
        )?;
        match (self.first_sequence, self.last_sequence) {
            (0, _) => {}
            (first, last) if first == last => write!(formatter, " (record {first})")?,
            (first, last) => write!(formatter, " (records {first} to {last})")?,
        }
        match &self.key {
            Some(key) => write!(formatter, " [key \"{}\"]", key.escape_ascii()),
            None => Ok(()),
        }
    }
}
