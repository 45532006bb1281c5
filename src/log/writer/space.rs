//! Space that the file system reserves for a segment's file.

use std::io;

use crate::vfs::{Allocation, File, LARGE_PAGE};

const FIRST_STEP: u64 = 128 << 10;
// What a segment begins with where there is no room for the first step.
const SMALLEST_STEP: u64 = 4 << 10;
const LARGEST_STEP: u64 = 8 << 20;

/// How fast a new segment is expected to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Nothing is known of that.
    Unknown,
    /// So fast that its beginning is worth large pages; see [`crate::vfs::Mapping::prefer_large_pages`].
    Quick,
    /// Nobody reads it before it has been written as a whole, see [`super::SegmentWriter::write_out`]: its records are gathered and
    /// written by calls. Pages that were written through a mapping interrupt every other thread when they are synced.
    Whole,
}

/// Space that the file system has reserved for the file, and how much more to ask for next time.
pub(super) struct Space {
    pub allocated: u64,
    step: u64,
}

impl Space {
    /// Of a new file, to grow to `size` bytes; `None` where the file system reserves nothing.
    pub fn begin(file: &dyn File, size: u64, growth: Growth) -> io::Result<Option<Self>> {
        let step = match growth {
            Growth::Unknown | Growth::Whole => FIRST_STEP,
            Growth::Quick => LARGE_PAGE,
        };
        let first = step.min(size);
        let (allocated, allocation) = match file.allocate(first) {
            Err(error) if is_full(&error) && first > SMALLEST_STEP => {
                (SMALLEST_STEP, file.allocate(SMALLEST_STEP)?)
            }
            allocation => (first, allocation?),
        };
        Ok(match allocation {
            Allocation::Reserved => Some(Self {
                allocated,
                step: 2 * step,
            }),
            Allocation::Unsupported => None,
        })
    }

    /// Grows to at least `needed` bytes, at most `size`: by a whole step if the disk has room for it, else by what is needed.
    pub fn grow(&mut self, file: &dyn File, needed: u64, size: u64) -> io::Result<()> {
        let step = (self.step * 2).min(LARGEST_STEP);
        let wanted = (self.allocated + step).min(size).max(needed);
        let allocated = match allocate(file, wanted) {
            Err(error) if is_full(&error) && wanted > needed => {
                allocate(file, needed).map(|()| needed)
            }
            answer => answer.map(|()| wanted),
        };
        self.allocated = allocated?;
        self.step = step;
        Ok(())
    }
}

/// Whether `error` says that there is no room: on the disk, for this user, or in a file of limited size.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

fn allocate(file: &dyn File, len: u64) -> io::Result<()> {
    match file.allocate(len)? {
        Allocation::Reserved => Ok(()),
        Allocation::Unsupported => Err(io::ErrorKind::Unsupported.into()),
    }
}
