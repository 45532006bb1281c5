//! What the survey finds wrong besides damaged records.

use std::path::{Path, PathBuf};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The header is damaged; the copy in the footer has taken its place.
    Header,
    /// Neither header nor footer can be read, or the file's name is not its own.
    Unusable,
    /// The segment belongs to another store.
    OtherStore,
    /// The segment says that it begins before the end of the one before it.
    Repeats,
    /// There is no intact footer, though the segment was durable as a whole, and records may be missing.
    FooterMissing,
    /// Never promised to survive, and not whole: not damage.
    Torn,
}

/// Something wrong with a part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What it is.
    pub kind: TroubleKind,
    /// The file.
    pub path: PathBuf,
    /// Where the part begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

impl Trouble {
    pub(super) fn new(kind: TroubleKind, path: &Path, offset: u64, length: u64) -> Self {
        Self {
            kind,
            path: path.to_path_buf(),
            offset,
            length,
        }
    }
}
