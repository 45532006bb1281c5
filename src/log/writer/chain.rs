//! Appending the records of an atomic batch as one.

use std::io;

use super::{LARGEST_ASSEMBLED, Output, PADDING, SegmentWriter, assemble, write_parts};
use crate::error::{ErrorKind, Result};
use crate::log::footer::Totals;
use crate::log::record::{self, Fields};

/// How far the writing of a chain has come. Nobody sees any of it before it is complete.
struct Progress {
    end: u64,
    totals: Totals,
}

impl SegmentWriter {
    /// Appends `records`, which take at most `most` bytes on disk, and lets readers see them all at once; `placed` hears
    /// the offset of each. Every record but the last says that it continues; sequence numbers as for [`Self::append`].
    /// Marks cannot get between them.
    ///
    /// Errors as those of [`Self::append`]: either nothing was appended and other records can be, or [`Self::failed`]
    /// is true. What a crash or failure leaves of the chain does not count: see `docs/format.md`.
    pub fn append_chain<'f>(
        &mut self,
        records: impl Iterator<Item = Fields<'f>>,
        most: u64,
        mut placed: impl FnMut(u64),
    ) -> Result<()> {
        self.check_not_failed()?;
        self.reserve(most)?;
        let mut progress = Progress {
            end: self.end,
            totals: self.totals,
        };
        if let Output::File { assembly, .. } = &mut self.output {
            assembly.clear();
        }
        for fields in records {
            placed(progress.end);
            if let Err(error) = self.append_link(&fields, &mut progress) {
                let refused = error.kind() != ErrorKind::Io;
                if refused && progress.end > self.end && !self.cut_back() {
                    // Left behind, its first records might count when others have been written up to them.
                    self.failed = true;
                }
                return Err(error);
            }
        }
        self.flush(progress.end)
            .map_err(|error| self.write_failed(&error))?;
        debug_assert!(progress.end <= self.end + most);
        self.totals = progress.totals;
        self.publish_up_to(progress.end);
        Ok(())
    }

    fn append_link(&mut self, fields: &Fields<'_>, progress: &mut Progress) -> Result<()> {
        self.check_sequence(fields, &progress.totals)?;
        let context = *self.segment.context();
        let head = record::encode_head(fields, progress.end, &context)?;
        let len = record::encoded_len(fields, context.base_sequence);
        let unpadded_len = head.as_bytes().len() + fields.key.len() + fields.value.len();
        let padding = &PADDING[..len as usize - unpadded_len];
        if fields.expires_at_ms.is_some() {
            self.segment.note_expiring();
        }
        let parts = [head.as_bytes(), fields.key, fields.value, padding];
        let written = match &mut self.output {
            Output::Mapped { writer, .. } => writer.write(progress.end as usize, &parts),
            Output::File { assembly, .. } => {
                let all = len as usize <= LARGEST_ASSEMBLED;
                let (assembled, rest) = parts.split_at(if all { parts.len() } else { 2 });
                assemble(assembly, assembled)?;
                if all && assembly.len() < LARGEST_ASSEMBLED {
                    Ok(())
                } else {
                    let rest_len: usize = rest.iter().map(|part| part.len()).sum();
                    let start = progress.end + len - (assembly.len() + rest_len) as u64;
                    let written = write_parts(self.segment.file(), start, assembly, rest);
                    assembly.clear();
                    written
                }
            }
        };
        written.map_err(|error| self.write_failed(&error))?;
        progress.end += len;
        progress.totals.add(fields.kind, fields.sequence);
        Ok(())
    }

    /// Writes what is still assembled, which ends at `end`.
    fn flush(&mut self, end: u64) -> io::Result<()> {
        match &self.output {
            Output::File { assembly, .. } if !assembly.is_empty() => {
                let start = end - assembly.len() as u64;
                self.segment.file().write_all_at(assembly, start)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
