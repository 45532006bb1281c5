//! Appending the records of an atomic batch as one.

use super::SegmentWriter;
use crate::error::{Error, ErrorKind, Result};
use crate::log::footer::Totals;
use crate::log::record::{self, Fields, PADDING};

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
        let mut progress = self.begin_chain(most)?;
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
        debug_assert!(progress.end <= self.end + most);
        self.end_chain(&progress)
    }

    /// The same for one record, of which nothing is written if it is refused.
    #[inline(always)]
    pub(super) fn append_one(&mut self, fields: &Fields<'_>, most: u64) -> Result<()> {
        let mut progress = self.begin_chain(most)?;
        self.append_link(fields, &mut progress)?;
        self.end_chain(&progress)
    }

    #[inline(always)]
    fn begin_chain(&mut self, most: u64) -> Result<Progress> {
        self.check_not_failed()?;
        self.reserve(most)?;
        self.assembly.clear();
        Ok(Progress {
            end: self.end,
            totals: self.totals,
        })
    }

    #[inline(always)]
    fn end_chain(&mut self, progress: &Progress) -> Result<()> {
        if !self.assembly.is_empty() {
            self.flush(progress.end, [&[], &[]])?;
        }
        self.totals = progress.totals;
        self.publish_up_to(progress.end);
        Ok(())
    }

    #[inline(always)]
    fn append_link(&mut self, fields: &Fields<'_>, progress: &mut Progress) -> Result<()> {
        self.check_sequence(fields, &progress.totals)?;
        if fields.expires_at_ms.is_some() {
            self.segment.note_expiring();
        }
        let begin = progress.end;
        let context = self.segment.context();
        let record = record::prepare(fields, context)?;
        let len = record.encoded_len();
        if let Some(place) = self.output.place(begin, len) {
            record.write(begin, place);
            progress.end += len as u64;
            progress.totals.add(fields.kind, fields.sequence);
            return Ok(());
        }
        self.assemble_link(fields, progress, &record)
    }

    /// What is left of appending where the record cannot be written in its place.
    #[inline(never)]
    fn assemble_link(
        &mut self,
        fields: &Fields<'_>,
        progress: &mut Progress,
        record: &record::Prepared<'_>,
    ) -> Result<()> {
        let begin = progress.end;
        let context = self.segment.context();
        let len = record.encoded_len();
        let most = self.output.most_assembled();
        if fields.key.len() + fields.value.len() <= most {
            let before = self.assembly.len();
            let room = self.assembly.try_reserve(len);
            room.map_err(|_| Error::memory("writing a record"))?;
            self.assembly.resize(before + len, 0);
            record.write(begin, &mut self.assembly[before..]);
            progress.end += len as u64;
            if self.assembly.len() >= most {
                self.flush(progress.end, [&[], &[]])?;
            }
        } else {
            let head = record::encode_head(fields, begin, context)?;
            let head = head.as_bytes();
            let room = self.assembly.try_reserve(head.len() + fields.key.len());
            room.map_err(|_| Error::memory("writing a record"))?;
            self.assembly.extend_from_slice(head);
            self.assembly.extend_from_slice(fields.key);
            let unpadded_len = head.len() + fields.key.len() + fields.value.len();
            progress.end += len as u64;
            let padding = &PADDING[..len - unpadded_len];
            self.flush(progress.end, [fields.value, padding])?;
        }
        progress.totals.add(fields.kind, fields.sequence);
        Ok(())
    }

    /// Writes what is still assembled, and behind it `rest`, which ends at `end`.
    #[inline(never)]
    fn flush(&mut self, end: u64, rest: [&[u8]; 2]) -> Result<()> {
        let [value, padding] = rest;
        let len = (self.assembly.len() + value.len() + padding.len()) as u64;
        let parts: &[&[u8]] = match value.is_empty() && padding.is_empty() {
            true => &[&self.assembly],
            false => &[&self.assembly, value, padding],
        };
        let file = self.segment.file();
        let written = self.output.write(file, end - len, parts);
        self.assembly.clear();
        written.map_err(|error| self.write_failed(&error))
    }
}

#[cfg(test)]
mod tests;
