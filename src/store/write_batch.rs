//! Writing batches.

mod changes;

use std::cell::Cell;

use super::batch::Batch;
use super::contents::Contents;
use super::counters::Operation;
use super::packed::PackedOperations;
use super::{Shared, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::index::Location;
use crate::memory::epoch;
use crate::memory::kept;
use changes::{Changes, reserved_vec};

thread_local! {
    static LOCATIONS: Cell<Vec<Location>> = const { Cell::new(Vec::new()) };
    static REPLACED: Cell<Vec<Replaced>> = const { Cell::new(Vec::new()) };
}

/// Where a record lies that is replaced, and how many bytes it takes on disk, where that was seen.
type Replaced = (Location, Option<u64>);

impl Store {
    /// Writes the operations of `batch`, in order: after any crash all of them are there or none. An empty batch writes
    /// nothing.
    ///
    /// [`Store::get_many`] sees all of them or none; a reader of single keys may see some of them shortly before the
    /// others. Threads that write keys of the batch, or keys near them in the index, wait meanwhile.
    ///
    /// A batch goes into one segment, if need be one of its own size. Fails as [`Store::put`] does; then none of the
    /// operations took place, or, where that stops all writing, all or none show at the next open.
    pub fn write(&self, batch: &Batch) -> Result<()> {
        self.write_packed(batch.packed())
    }

    /// The same for operations that lie in a buffer, which need no batch.
    pub fn write_packed(&self, batch: PackedOperations<'_>) -> Result<()> {
        self.shared.relieved(|| self.try_write(batch))
    }

    fn try_write(&self, batch: PackedOperations<'_>) -> Result<()> {
        let shared = &*self.shared;
        shared.check_open()?;
        let log = shared.log()?;
        if batch.is_empty() {
            return Ok(());
        }
        let changes = Changes::new(&shared.contents(&epoch::pin()).index, batch)?;
        let mut locations = reserved_vec(&LOCATIONS, batch.len())?;
        let mut replaced = reserved_vec(&REPLACED, changes.last.len())?;
        let mut removed = 0;
        let appended = {
            let guard = epoch::pin();
            let Contents {
                index, segments, ..
            } = shared.contents(&guard);
            for change in &changes.last {
                index.make_present(&guard, change.hash)?;
            }
            // All that can fail comes before the log is written, so that nothing can be durable and unknown.
            let prefetch = |unseen| segments.prefetch(unseen, &guard);
            let (mut reserved, appended) = loop {
                let bits = log.location_bits();
                let reserved = index
                    .reserve(&guard, &changes.last, bits, prefetch)
                    .inspect_err(|error| shared.note_damage(error))?;
                match log.append_batch(batch, bits, &mut locations)? {
                    Some(appended) => break (reserved, appended),
                    // The log has outgrown the bits, and will say so when asked again.
                    None => drop(reserved),
                }
            };
            shared.publication.publish(|| {
                reserved.apply(|change| locations[change.number as usize]);
            });
            reserved.for_each_known(|change, known, bytes| {
                replaced.push((known, bytes));
                if !change.inserts {
                    let had_expired = segments.has_expired(known, &shared.clock, &guard);
                    removed += u64::from(!had_expired.unwrap_or(false));
                }
            });
            drop(reserved);
            // Tombstones are garbage themselves as soon as nothing older can come back.
            let tombstones = changes.last.iter().filter(|change| !change.inserts);
            let superseded = changes.superseded.iter().copied();
            let dead = superseded.chain(tombstones.map(|change| change.number));
            for number in dead {
                segments.bury(locations[number as usize], &guard);
            }
            for &(old, bytes) in &replaced {
                segments.bury_seen(old, bytes, &guard);
            }
            appended
        };
        kept::keep(&LOCATIONS, locations);
        kept::keep(&REPLACED, replaced);
        changes.keep();
        if batch.has_expiring() {
            shared.compactor.note_expiring();
        }
        self.acknowledge(log, appended)?;
        shared.counters.add(Operation::Put, batch.puts() as u64);
        shared.counters.add(Operation::Delete, removed);
        Ok(())
    }
}

impl Shared {
    fn note_damage(&self, error: &Error) {
        if error.kind() == ErrorKind::Corrupt {
            self.failure.record(error);
        }
    }
}
