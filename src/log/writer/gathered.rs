//! Bytes on their way into a file that nobody reads before it is complete.
//!
//! A call for each record is dear, and the system keeps what a call writes in pages no longer than the call: through a mapping, gets
//! from a segment that was written record by record wait for its translation, too. Written in stretches of [`LARGE_PAGE`] that
//! begin where such a page of the file does, the file lies in large pages where the system has them.

use std::io;
use std::sync::Arc;

use crate::error::Result;
use crate::memory::budget::MemoryBudget;
use crate::memory::scratch::Scratch;
use crate::vfs::{File, LARGE_PAGE};

/// How much is gathered where memory is scarce.
const SMALL_STRETCH: u64 = 64 << 10;

/// What memory is taken for.
const WHAT: &str = "writing a segment";

/// Large stretches are gathered where they take no more than one part in so many of the memory that is left.
const PART_OF_MEMORY: usize = 4;

/// What is to be written behind what has been.
pub(super) struct Gathered {
    bytes: Scratch,
    /// Where they belong in the file.
    offset: u64,
    /// What is written ends at a multiple of it, but for the last.
    stretch: u64,
}

impl Gathered {
    /// The first bytes of a file, which are few.
    pub fn beginning_with(header: &[u8]) -> Result<Self> {
        let mut bytes = Scratch::default();
        bytes.append(header, WHAT)?;
        Ok(Self {
            bytes,
            offset: 0,
            stretch: SMALL_STRETCH,
        })
    }

    /// Gathers large stretches from now on, if `budget` has plenty of memory; the file will not become longer than `size` bytes.
    pub fn enlarge(&mut self, budget: &Arc<MemoryBudget>, size: u64) {
        if budget.available() / PART_OF_MEMORY < LARGE_PAGE as usize {
            return;
        }
        let mut bytes = Scratch::within(budget.clone());
        let most = LARGE_PAGE.min(size) as usize;
        if bytes.fill_memory(most, WHAT).is_ok() && bytes.append(&self.bytes, WHAT).is_ok() {
            self.bytes = bytes;
            self.stretch = LARGE_PAGE;
        }
    }

    /// Up to where the file has been written.
    pub fn written(&self) -> u64 {
        self.offset
    }

    /// Takes `parts`, which come behind all that was taken before, and writes to `file` what has come together. After an error it
    /// is unknown what was written.
    pub fn take(&mut self, file: &dyn File, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let end = self.offset + self.bytes.len() as u64;
                let room = (self.stretch - end % self.stretch) as usize;
                let (now, later) = rest.split_at(rest.len().min(room));
                if self.bytes.append(now, WHAT).is_err() {
                    // What finds no memory is not kept.
                    self.write_out(file)?;
                    file.write_all_at(now, self.offset)?;
                    self.offset += now.len() as u64;
                }
                if now.len() == room {
                    self.write_out(file)?;
                }
                rest = later;
            }
        }
        Ok(())
    }

    /// Writes all that was taken.
    pub fn write_out(&mut self, file: &dyn File) -> io::Result<()> {
        if !self.bytes.is_empty() {
            file.write_all_at(&self.bytes, self.offset)?;
            self.offset += self.bytes.len() as u64;
            self.bytes.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
