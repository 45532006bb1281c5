//! Appending the records of a batch in one piece.

use super::{Appended, CommitLog};
use crate::error::{Error, ErrorKind, Result};
use crate::index::Location;
use crate::log::record::{ALIGNMENT, Fields, encoded_len};
use crate::store::packed::PackedOperations;

impl CommitLog {
    /// Appends the operations of `batch`, at least one, with consecutive sequence numbers, into one segment, whose readers
    /// see them at once. A segment of its own is made for more than an ordinary one can hold. `locations`, which is
    /// empty and has capacity for them, gets where each lies. An error leaves the log as it was, or stops all writing.
    ///
    /// If a location might take more than `location_bits` bits, writes nothing and answers `None`;
    /// [`CommitLog::location_bits`] has become larger then.
    pub fn append_batch(
        &self,
        batch: PackedOperations<'_>,
        location_bits: u32,
        locations: &mut Vec<Location>,
    ) -> Result<Option<Appended>> {
        if batch.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "a batch without operations"));
        }
        let count = batch.len() as u64;
        let mut tail = self.open_tail(count)?;
        let first = tail.next_sequence;
        let follows_durable = self.commit.durable() >= tail.last_sequence;
        let numbered = (first..)
            .zip(batch.records())
            .map(|(sequence, fields)| Fields {
                sequence,
                follows_durable: follows_durable && sequence == first,
                ..fields
            });
        // What it will take exactly matters only where a segment is full, or is made for it.
        let most = batch.counted_bytes();
        let exactly = |base| numbered.clone().map(|it| encoded_len(&it, base)).sum();
        let active = self.make_room(&mut tail, most, exactly)?;
        let len = match active.writer.fits(most) {
            true => most,
            false => exactly(active.base_sequence()),
        };
        // Known before anything is written, so that nothing can fail afterwards.
        let begin = active.writer.end();
        let first_location = active.live.location(begin)?;
        let behind = active.live.location(begin + len)?;
        if !self.is_within(behind, location_bits) {
            return Ok(None);
        }
        let place = |offset: u64| {
            let units = (offset - begin) / ALIGNMENT;
            locations.extend(Location::new(first_location.raw() + units));
        };
        let appended = active.writer.append_chain(numbered, len, place);
        appended.map_err(|error| self.stop_if_failed(&active.writer, error))?;
        let bytes = active.writer.end() - begin;
        let last = locations.last().copied().unwrap_or(first_location);
        Ok(Some(self.count(tail, count, bytes, follows_durable, last)))
    }
}
