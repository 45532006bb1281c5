//! What opening a store found and mended.

use std::path::{Path, PathBuf};

use super::image::ImageFault;
use crate::error::Error;

/// A span of a segment file whose bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedSpan {
    /// The segment file.
    pub path: PathBuf,
    /// Where the span begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

impl DamagedSpan {
    pub(super) fn new(path: &Path, offset: u64, length: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            offset,
            length,
        }
    }
}

/// How the index was brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u64)]
pub enum RecoveryWay {
    /// From the whole log.
    #[default]
    Scan = 0,
    /// From an image of it, and the log behind that.
    Image = 1,
}

/// What opening a store found and mended. Torn tails are what a crash leaves and are cut; damage is never
/// cut, costs the records it hit, and is reported here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// How the index was brought back. With an image, only damage in the log behind it is found by opening, and where a
    /// segment has hints, none in its records; of other damage hears who reads it.
    pub way: RecoveryWay,
    /// Why the newest image was not used.
    pub image_fault: ImageFault,
    /// Segments of which the image showed everything, also after following what merges have moved since.
    pub segments_from_image: u64,
    /// Segments of which the hints were read instead of the records. Damage to these is told to who reads them.
    pub segments_from_hints: u64,
    /// Segments of which every record was read.
    pub segments_scanned: u64,
    /// Segments, among those scanned, whose hints were damaged or could not be read.
    pub hints_unusable: u64,
    /// Merges since the image was written, whose lists of moves were followed.
    pub merges_followed: u64,
    /// Puts and deletes read back from the log.
    pub records: u64,
    /// Sequence number of the last record kept.
    pub last_sequence: u64,
    /// Bytes of torn tail that were cut off, or, in a store opened read-only, passed over.
    pub cut_bytes: u64,
    /// The first [`RecoveryReport::SPANS_KEPT`] damaged spans.
    pub damaged: Vec<DamagedSpan>,
    /// How many more damaged spans there are.
    pub damaged_beyond: u64,
    /// Bytes in all damaged spans.
    pub damaged_bytes: u64,
    /// Segment files that should be there, by the sequence numbers of the others, and are not.
    pub missing_segments: u64,
    /// Time that reading back took, in microseconds.
    pub microseconds: u64,
}

impl RecoveryReport {
    /// How many damaged spans are listed one by one.
    pub const SPANS_KEPT: usize = 64;

    pub(super) fn add_damage(&mut self, span: DamagedSpan) {
        self.damaged_bytes += span.length;
        if self.damaged.len() < Self::SPANS_KEPT {
            self.damaged.push(span);
        } else {
            self.damaged_beyond += 1;
        }
    }

    /// The damage as an error that names the first place, if there is any.
    pub fn first_failure(&self) -> Option<Error> {
        if let Some(first) = self.damaged.first() {
            return Some(Error::corrupt(
                &first.path,
                first.offset,
                format_args!(
                    "{} damaged bytes ({} damaged spans in all); the records there are lost, restore them from a backup",
                    first.length,
                    self.damaged.len() as u64 + self.damaged_beyond,
                ),
            ));
        }
        (self.missing_segments > 0).then(|| {
            Error::new(
                crate::ErrorKind::Corrupt,
                format!(
                    "{} segment files are missing from the store; put them back from a backup",
                    self.missing_segments
                ),
            )
        })
    }

    /// The loss of the end of the log as an error, if an image tells that there was more. Not of use beside a process that
    /// writes the store: an image of what is written just now is newer than what was found before.
    pub fn lost_end(&self) -> Option<Error> {
        (self.image_fault == ImageFault::NewerThanLog).then(|| {
            Error::new(
                crate::ErrorKind::Corrupt,
                "records at the end of the log are missing from the store: an image of the index holds them; put the newest \
                 segment file back from a backup",
            )
        })
    }
}
