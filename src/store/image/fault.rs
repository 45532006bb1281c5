//! Why an open did not use an image.

/// Why the newest image in the directory was not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u64)]
pub enum ImageFault {
    /// It was used.
    #[default]
    None = 0,
    /// There is no image.
    Absent = 1,
    /// It is cut short, damaged, or could not be read.
    Damaged = 2,
    /// Another version of the library wrote it.
    Version = 3,
    /// It belongs to another store.
    OtherStore = 4,
    /// It refers to a segment that is not there, is another one than it was, or is shorter.
    SegmentMissing = 5,
    /// It holds records that are no longer in the log: that has lost its end, as they were durable before the image was made.
    NewerThanLog = 6,
    /// The log has records, from before the image was made, of which it does not know.
    SegmentUnknown = 7,
    /// Merges have replaced segments to which it refers, and what they moved is not told by intact lists beside it.
    MovesMissing = 8,
}

impl ImageFault {
    /// What is the matter, as the beginning of a sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::None => "it was used",
            Self::Absent => "there is no image",
            Self::Damaged => "it is cut short, damaged, or cannot be read",
            Self::Version => "another version of the library wrote it",
            Self::OtherStore => "it belongs to another store",
            Self::SegmentMissing => {
                "it refers to a segment that is not there, is another one, or is shorter"
            }
            Self::NewerThanLog => "it holds records that are no longer in the log",
            Self::SegmentUnknown => "it does not know all segments that are older than itself",
            Self::MovesMissing => {
                "compaction has replaced segments to which it refers, and not all lists of what was moved are there"
            }
        }
    }
}
