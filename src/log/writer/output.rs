//! How records get into a segment's file: through a mapping or by calls.

use std::io;
use std::sync::Arc;

use super::gathered::Gathered;
use super::space::Space;
use crate::memory::budget::MemoryBudget;
use crate::vfs::{File, MappingWriter};

// Up to this many bytes are assembled before they are written. A call is dear, a copy is cheap; but a mapping takes the parts of a
// long record without either.
const MOST_FOR_A_CALL: usize = 64 << 10;
const MOST_FOR_A_MAPPING: usize = 1 << 10;

// Up to this many bytes are written into a mapping and their checksum taken there. Of more, the checksum would not find all in the
// nearest cache again.
const MOST_IN_PLACE: usize = 16 << 10;

/// The writing end of a segment's file.
pub(super) struct Output {
    /// Set where the file system reserves space.
    space: Option<Space>,
    /// Set where readers read through a mapping: it tells them how far.
    mapping: Option<MappingWriter>,
    /// Whether bytes are written by calls.
    by_calls: bool,
    /// Set where bytes are gathered before they are written by calls.
    gathered: Option<Gathered>,
}

impl Output {
    /// Writing through a mapping, in reserved space.
    pub fn mapped(mapping: MappingWriter, space: Space) -> Self {
        Self {
            space: Some(space),
            mapping: Some(mapping),
            by_calls: false,
            gathered: None,
        }
    }

    /// Writing by calls to a file that readers read by calls.
    pub fn of_file(space: Option<Space>) -> Self {
        Self {
            space,
            mapping: None,
            by_calls: true,
            gathered: None,
        }
    }

    /// Gathers bytes from now on, beginning with the file's first ones, the `header`.
    pub fn gather(&mut self, header: &[u8]) -> io::Result<()> {
        self.by_calls = true;
        let gathered = Gathered::beginning_with(header);
        self.gathered = Some(gathered.map_err(|_| io::ErrorKind::OutOfMemory)?);
        Ok(())
    }

    /// Gathers more at a time if `budget` has plenty of memory, and if it gathers at all; the file has `size` bytes at most.
    pub fn gather_within(&mut self, budget: &Arc<MemoryBudget>, size: u64) {
        if let Some(gathered) = &mut self.gathered {
            gathered.enlarge(budget, size);
        }
    }

    /// Whether records may still be lost that were taken.
    pub fn gathers(&self) -> bool {
        self.gathered.is_some()
    }

    /// Up to where the file has been written, of the bytes up to `end` that were taken.
    #[inline(always)]
    pub fn written(&self, end: u64) -> u64 {
        match &self.gathered {
            Some(gathered) => gathered.written(),
            None => end,
        }
    }

    /// Writes what was gathered, and gathers no more.
    pub fn write_out(&mut self, file: &dyn File) -> io::Result<()> {
        match self.gathered.take() {
            Some(mut gathered) => gathered.write_out(file),
            None => Ok(()),
        }
    }

    /// From now on writes by calls, even where readers read through a mapping.
    pub fn write_by_calls(&mut self) {
        self.by_calls = true;
    }

    /// Whether the file system reserves space for the file.
    pub fn reserves_space(&self) -> bool {
        self.space.is_some()
    }

    /// Up to where space is reserved for what is written through a mapping.
    pub fn mapped_space(&self) -> Option<u64> {
        let space = self.space.as_ref().filter(|_| !self.by_calls);
        space.map(|space| space.allocated)
    }

    /// Up to this many bytes are worth a copy.
    #[inline]
    pub fn most_assembled(&self) -> usize {
        match self.by_calls {
            true => MOST_FOR_A_CALL,
            false => MOST_FOR_A_MAPPING,
        }
    }

    /// Sees to it that the first `needed` bytes of `file`, which is to grow to `size` bytes, have space, where space is reserved.
    #[inline]
    pub fn reserve(&mut self, file: &dyn File, needed: u64, size: u64) -> io::Result<()> {
        match &self.space {
            Some(space) if needed > space.allocated => self.grow(file, needed, size),
            _ => Ok(()),
        }
    }

    #[cold]
    fn grow(&mut self, file: &dyn File, needed: u64, size: u64) -> io::Result<()> {
        let Some(space) = &mut self.space else {
            return Ok(());
        };
        space.grow(file, needed, size)?;
        let allocated = space.allocated;
        self.note_space(allocated);
        Ok(())
    }

    /// Takes note that space is reserved for the first `len` bytes.
    pub fn note_space(&mut self, len: u64) {
        let Some(space) = &mut self.space else {
            return;
        };
        space.allocated = space.allocated.max(len);
        if let Some(mapping) = &mut self.mapping {
            mapping.set_limit(space.allocated as usize);
        }
    }

    /// The `length` bytes at `offset`, to be written where they are, which must be behind all that is published; `None` if that is not
    /// possible, or if as many are better copied.
    #[inline]
    pub fn place(&mut self, offset: u64, length: usize) -> Option<&mut [u8]> {
        match &mut self.mapping {
            Some(mapping) if !self.by_calls && length <= MOST_IN_PLACE => {
                mapping.place(offset as usize, length)
            }
            _ => None,
        }
    }

    /// Writes `parts` back to back from `offset` on. Nobody sees them before they are published.
    #[inline]
    pub fn write(&mut self, file: &dyn File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        match (&mut self.mapping, &mut self.gathered) {
            (Some(mapping), _) if !self.by_calls => mapping.write(offset as usize, parts),
            (_, Some(gathered)) => gathered.take(file, parts),
            _ => write_parts(file, offset, parts),
        }
    }

    /// Lets readers see everything below `end`, if they read through a mapping; answers whether they do.
    #[inline]
    pub fn publish(&mut self, end: u64) -> bool {
        let Some(mapping) = &mut self.mapping else {
            return false;
        };
        mapping.publish(end as usize);
        true
    }
}

/// Writes `parts` back to back from `offset` on, by a call for each that is not empty.
pub(super) fn write_parts(file: &dyn File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
    let mut offset = offset;
    for part in parts.iter().filter(|part| !part.is_empty()) {
        file.write_all_at(part, offset)?;
        offset += part.len() as u64;
    }
    Ok(())
}
