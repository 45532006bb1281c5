//! Changing many keys at once: all that the changes need is reserved before the first of them is made.
//!
//! A new key is reserved as an entry without a location, which readers pass over; it moves along when its table grows.
//! Where keys are on disk, reserved entries of which the same is known may take each other's places.
//! Shards are locked in the order of the hashes, so that two batches cannot wait for each other.

use std::cell::Cell;
use std::ops::Range;

use parking_lot::MutexGuard;

use super::growth::{Newcomer, Shortage};
use super::hash::{KeyHash, SeededHash};
use super::probe::Found;
use super::shard::{KeyPlace, Shard, Writer};
use super::table::{Position, Table};
use super::{Index, Location, reserve};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::epoch::Guard;
use crate::memory::kept;
use crate::memory::key_slab::check_key_length;

/// How many changes ahead memory is brought near: first buckets, then records that the entries in them lead to.
const AHEAD: usize = 12;
const RECORDS_AHEAD: usize = 6;

/// What is to become of one key.
#[derive(Clone, Copy, Debug)]
pub struct Change<'k> {
    /// The key's hash.
    pub hash: u64,
    /// The key.
    pub key: &'k [u8],
    /// The caller's number for the change.
    pub number: u32,
    /// Whether the key gets a location; else it is removed.
    pub inserts: bool,
}

/// Locked shards in which everything is ready for some changes. Other writers of these shards wait until this is
/// dropped, readers do not. Dropped without [`Reserved::apply`], it leaves the keys as they were.
pub struct Reserved<'i, 'k, H: KeyHash = SeededHash> {
    index: &'i Index<H>,
    guard: &'i Guard,
    changes: &'k [Change<'k>],
    /// Of each change for which all is ready, what is known of the key.
    known: Vec<Known>,
    shards: Vec<Held<'i>>,
    location_bits: u32,
    applied: bool,
}

/// What is known of a key for which all is ready.
#[derive(Clone, Copy)]
enum Known {
    /// It is not there, and is to be removed.
    Absent,
    /// Its entry, as it was found.
    Present(Found),
    /// Where the entry is that was reserved for it, unless it has moved since, and what the entry refers to.
    New(Position, u32),
}

impl Known {
    /// Where its record is, if nobody has looked at that yet.
    fn unseen(self) -> Option<Location> {
        match self {
            Self::Present(found) if found.stored_bytes.is_none() => Some(found.location),
            Self::Present(_) | Self::Absent | Self::New(..) => None,
        }
    }

    fn is_new(&self) -> bool {
        matches!(self, Self::New(..))
    }
}

/// A locked shard.
struct Held<'i> {
    shard: &'i Shard,
    writer: MutexGuard<'i, Writer>,
    /// Those of the changes that concern it and for which it is ready.
    changes: Range<usize>,
    /// From this one of them on they were made ready in the table that it has now.
    in_this_table: usize,
}

thread_local! {
    static KNOWN: Cell<Vec<Known>> = const { Cell::new(Vec::new()) };
    static SHARDS: Cell<Vec<Held<'static>>> = const { Cell::new(Vec::new()) };
}

/// Whether a shard could be made ready, or was split and must be looked for again.
#[derive(PartialEq, Eq)]
enum Outcome {
    Ready,
    Split,
}

impl<H: KeyHash> Index<H> {
    /// Locks the shards of all `changes` and makes everything ready for them, so that nothing can fail afterwards, whatever
    /// locations of at most `location_bits` bits the keys get.
    /// `changes` are ordered by their hashes and change each key once; the shards of all their hashes are present.
    /// `unseen` hears of the locations that will be replaced and whose records nobody has looked at, some of them more than once.
    /// Waits for other writers.
    ///
    /// No two keys of the index have the same location. The thread must not hold an [`super::Entry`] or another reservation.
    /// The keys that are new count as present already in [`Index::len`].
    ///
    /// # Errors
    /// Those of [`Index::entry`], and for removals those of [`Index::occupied`]. The keys stay as they were.
    pub fn reserve<'i, 'k>(
        &'i self,
        guard: &'i Guard,
        changes: &'k [Change<'k>],
        location_bits: u32,
        mut unseen: impl FnMut(Location),
    ) -> Result<Reserved<'i, 'k, H>> {
        debug_assert!(changes.is_sorted_by_key(|change| change.hash));
        for change in changes.iter().take(AHEAD) {
            self.table(guard, change.hash).prefetch(change.hash);
        }
        let mut reserved = Reserved {
            index: self,
            guard,
            changes,
            known: kept::take(&KNOWN),
            shards: kept::take(&SHARDS),
            location_bits,
            applied: false,
        };
        let room = reserved.known.try_reserve_exact(changes.len());
        room.map_err(|_| Error::memory("the changes of a batch"))?;
        let mut first = 0;
        let mut left_behind = 0;
        while first < changes.len() {
            let hash = changes[first].hash;
            let room = reserved.shards.try_reserve(1);
            room.map_err(|_| Error::memory("the locks of a batch"))?;
            let (shard, writer) = self.lock(guard, hash);
            if left_behind > 0 {
                // Of a split shard's bytes of keys only the sum over both halves means something.
                let mut totals = shard.totals();
                totals.key_bytes = totals.key_bytes.wrapping_sub(left_behind);
                shard.set_totals(totals);
                left_behind = 0;
            }
            let depth = shard.depth();
            let end = first
                + changes[first..].partition_point(|change| same_shard(hash, change.hash, depth));
            reserved.shards.push(Held {
                shard,
                writer,
                changes: first..first,
                in_this_table: first,
            });
            match reserved.make_ready(end, &mut unseen)? {
                Outcome::Ready => first = end,
                Outcome::Split => {
                    // The halves were made without what was reserved in the whole, but for the bytes of the keys.
                    drop(reserved.shards.pop());
                    left_behind = reserved.reserved_bytes(first);
                    reserved.known.truncate(first);
                }
            }
        }
        Ok(reserved)
    }
}

impl<'i, H: KeyHash> Reserved<'i, '_, H> {
    /// Makes the shard that was locked last ready for all its changes, which end before `end`.
    fn make_ready(&mut self, end: usize, unseen: &mut impl FnMut(Location)) -> Result<Outcome> {
        let Some(held) = self.shards.last_mut() else {
            return Ok(Outcome::Ready);
        };
        for number in held.changes.start..end {
            let change = &self.changes[number];
            if let Some(later) = self.changes.get(number + AHEAD) {
                let table = self.index.table(self.guard, later.hash);
                table.prefetch(later.hash);
            }
            // Where keys are new one after the other, hardly any entry has the tag of one, and looking takes longer than it saves.
            if self.known.last().is_some_and(|known| !known.is_new())
                && let Some(later) = self.changes.get(number + RECORDS_AHEAD)
            {
                self.index.prefetch_records(self.guard, later.hash);
            }
            let ready = loop {
                let newcomer = Newcomer {
                    hash: change.hash,
                    location_bits: self.location_bits,
                };
                let shortage =
                    match held.make_ready_for(self.index, change, newcomer, self.guard)? {
                        Ok(ready) => break ready,
                        Err(shortage) => shortage,
                    };
                let Held { shard, writer, .. } = held;
                self.index
                    .make_room(shard, writer, newcomer, shortage, self.guard)?;
                if writer.retired {
                    return Ok(Outcome::Split);
                }
                held.in_this_table = number;
            };
            if let Some(location) = ready.unseen() {
                unseen(location);
            }
            self.known.push(ready);
            held.changes.end = number + 1;
        }
        Ok(Outcome::Ready)
    }

    /// Bytes of the keys that are reserved from change number `first` on.
    fn reserved_bytes(&self, first: usize) -> u64 {
        let made_ready = self.changes[first..].iter().zip(&self.known[first..]);
        made_ready
            .filter(|(_, known)| known.is_new())
            .map(|(change, _)| change.key.len() as u64)
            .sum()
    }

    /// Calls `visit` with each of the changes whose key was there, the location that it had, and the bytes that its record takes on
    /// disk, where that was seen.
    pub fn for_each_known(&self, mut visit: impl FnMut(&Change<'_>, Location, Option<u64>)) {
        for (number, known) in self.known.iter().enumerate() {
            if let Known::Present(found) = known {
                visit(&self.changes[number], found.location, found.stored_bytes);
            }
        }
    }

    /// Makes all the changes, which cannot fail. `location` says where a key's new record lies, in no more bits than were
    /// reserved. Shards are made smaller, where that is worth it, when this is dropped.
    pub fn apply(&mut self, mut location: impl FnMut(&Change<'_>) -> Location) {
        self.applied = true;
        for held in &mut self.shards {
            let table = held.shard.table().load(self.guard);
            for number in held.changes.clone() {
                let (change, known) = (&self.changes[number], self.known[number]);
                let position = match known {
                    // Where it was, unless it has moved to make room for a key of a later change.
                    Known::Present(known) if table.has(known.position, known.location) => {
                        Some(known.position)
                    }
                    Known::Present(known) => {
                        let found = table.first(change.hash, |it| it == known.location);
                        found.map(|found| found.position)
                    }
                    Known::New(position, reference)
                        if number >= held.in_this_table && table.reserves(position, reference) =>
                    {
                        Some(position)
                    }
                    Known::New(..) => reserved_slot(table, change),
                    Known::Absent => continue,
                };
                debug_assert!(
                    position.is_some(),
                    "known or reserved, and under lock since"
                );
                let Some(position) = position else {
                    continue;
                };
                if change.inserts {
                    table.set_location(position, location(change));
                } else {
                    held.remove(table, change, position);
                }
            }
        }
    }
}

impl<'i> Held<'i> {
    /// Makes the shard ready for `change`, unless it lacks something; answers what is known of the key.
    fn make_ready_for<H: KeyHash>(
        &mut self,
        index: &Index<H>,
        change: &Change<'_>,
        newcomer: Newcomer,
        guard: &'i Guard,
    ) -> Result<std::result::Result<Known, Shortage>> {
        let Change { hash, key, .. } = *change;
        let table = self.shard.table().load(guard);
        if change.inserts && table.encoding().location_bits() < newcomer.location_bits {
            return Ok(Err(Shortage::LocationBits));
        }
        let found = match index.locate_to_replace(table, guard, hash, key) {
            // As for a single put: what is newer than a damaged record is found before it.
            Err(error) if change.inserts && error.kind() == ErrorKind::Corrupt => None,
            found => found?,
        };
        if let Some(found) = found {
            return Ok(Ok(Known::Present(found)));
        }
        if !change.inserts {
            return Ok(Ok(Known::Absent));
        }
        check_key_length(key)?;
        let (place, reference) = match reserve(table, &mut self.writer, hash, key)? {
            Ok(reserved) => reserved,
            Err(shortage) => return Ok(Err(shortage)),
        };
        if let Some(appender) = &mut self.writer.appender {
            appender.publish();
        }
        table.fill(&place, None, reference);
        let mut totals = self.shard.totals();
        totals.add(key.len(), KeyPlace::of(table, reference));
        self.shard.set_totals(totals);
        Ok(Ok(Known::New(place.position(), reference)))
    }

    /// Takes out the entry of the key of `change`, or what was reserved for it.
    fn remove(&mut self, table: &Table, change: &Change<'_>, position: Position) {
        let place = KeyPlace::of(table, table.reference(position));
        table.clear(change.hash, position);
        let mut totals = self.shard.totals();
        totals.remove(change.key.len(), place);
        self.shard.set_totals(totals);
        self.writer.removals += 1;
    }

    /// Gives back what was reserved.
    fn release(&mut self, table: &Table, changes: &[Change<'_>], known: &[Known]) {
        let new = changes.iter().zip(known);
        let new = new.filter(|(_, known)| known.is_new());
        for (change, _) in new {
            if let Some(position) = reserved_slot(table, change) {
                self.remove(table, change, position);
            }
        }
    }
}

impl<H: KeyHash> Drop for Reserved<'_, '_, H> {
    fn drop(&mut self) {
        let mut to_merge = None;
        for held in &mut self.shards {
            let hash = self.changes.get(held.changes.start).map(|it| it.hash);
            if !self.applied {
                let table = held.shard.table().load(self.guard);
                let range = held.changes.clone();
                held.release(table, &self.changes[range.clone()], &self.known[range]);
            }
            if let Some(hash) = hash.filter(|_| held.writer.removals > 0) {
                let Held { shard, writer, .. } = held;
                if self.index.make_smaller(hash, shard, writer, self.guard) {
                    to_merge = Some(hash);
                }
            }
        }
        kept::keep(&SHARDS, std::mem::take(&mut self.shards));
        kept::keep(&KNOWN, std::mem::take(&mut self.known));
        // Siblings that the batch itself had locked. One pair a batch is enough: so many keys went before the next.
        if let Some(hash) = to_merge {
            self.index.merge_around(hash, self.guard);
        }
    }
}

/// The slot that is reserved for the key of `change`.
fn reserved_slot(table: &Table, change: &Change<'_>) -> Option<Position> {
    table.position_of(change.hash, |location, reference| {
        let own = || match table.keys() {
            Some(keys) => keys.slab().matches(reference, change.key).unwrap_or(false),
            None => true,
        };
        location.is_none() && own()
    })
}

/// Whether two hashes lead to the same shard of `depth`.
fn same_shard(hash: u64, other: u64, depth: u32) -> bool {
    (hash ^ other).checked_shr(u64::BITS - depth).unwrap_or(0) == 0
}
