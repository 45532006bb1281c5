//! Puts and deletes read back from the log, without their values.

use super::graves::Graves;
use crate::error::{Error, Result};
use crate::index::{BulkIndex, Location, Outcome};
use crate::log::record::{Kind, MAX_KEY_LEN};
use crate::memory::epoch::{self, Guard};
use crate::store::segment_set::SegmentSet;

/// How many changes ahead of the one being made the index is told what it will be asked for.
const AHEAD: usize = 12;
/// After how many changes memory that they replaced may be freed.
const PINNED: usize = 256;

/// A put or delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The hash of the key.
    pub hash: u64,
    /// Where the record lies.
    pub location: Location,
    /// The record's sequence number.
    pub sequence: u64,
    /// Whether it is a delete.
    pub removes: bool,
    /// The key.
    pub key: &'a [u8],
}

/// A list of changes, with the keys back to back.
#[derive(Default)]
pub struct Changes {
    items: Vec<Item>,
    keys: Vec<u8>,
}

struct Item {
    hash: u64,
    location: Location,
    sequence: u64,
    key_start: u32,
    key_length_and_removes: u32,
}

/// Keys are far shorter.
const REMOVES: u32 = 1 << 31;

impl Changes {
    /// Adds `change` at the end. Errors: `Memory`, also beyond 4 GiB of keys.
    pub fn push(&mut self, change: &Change<'_>) -> Result<()> {
        let no_memory = || Error::memory("reading the log back");
        let key_start = u32::try_from(self.keys.len()).map_err(|_| no_memory())?;
        debug_assert!(change.key.len() <= MAX_KEY_LEN);
        let removes = if change.removes { REMOVES } else { 0 };
        self.items.try_reserve(1).map_err(|_| no_memory())?;
        let reserved = self.keys.try_reserve(change.key.len());
        reserved.map_err(|_| no_memory())?;
        self.keys.extend_from_slice(change.key);
        self.items.push(Item {
            hash: change.hash,
            location: change.location,
            sequence: change.sequence,
            key_start,
            key_length_and_removes: change.key.len() as u32 | removes,
        });
        Ok(())
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Memory in bytes that the changes take.
    pub fn bytes(&self) -> usize {
        self.items.len() * size_of::<Item>() + self.keys.len()
    }

    /// Forgets the changes and keeps the memory for others.
    pub fn clear(&mut self) {
        self.items.clear();
        self.keys.clear();
    }

    /// The sequence number of the change at `position`; 0 if there are not so many.
    pub fn sequence(&self, position: usize) -> u64 {
        self.items.get(position).map_or(0, |item| item.sequence)
    }

    /// The change at `position`, if there are so many.
    #[inline]
    pub fn get(&self, position: usize) -> Option<Change<'_>> {
        let item = self.items.get(position)?;
        let start = item.key_start as usize;
        let length = item.key_length_and_removes & !REMOVES;
        Some(Change {
            hash: item.hash,
            location: item.location,
            sequence: item.sequence,
            removes: item.key_length_and_removes & REMOVES != 0,
            key: self.keys.get(start..start + length as usize)?,
        })
    }
}

/// Makes changes in an index.
#[derive(Clone, Copy)]
pub struct Maker<'r> {
    /// The index.
    pub index: &'r dyn BulkIndex,
    /// What its locations mean.
    pub segments: &'r SegmentSet,
    /// How many bits the locations of the changes take at most.
    pub location_bits: u32,
    /// Whether the index comes from an image, which may know records that are newer than the changes.
    pub may_know_newer: bool,
    /// Where deletes are kept, if changes do not come in commit order: each stays in the index, so that it hides older puts
    /// that come later.
    pub graves: Option<&'r Graves>,
}

/// What is known of the record that a change meets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Older,
    /// A delete that is kept in the index.
    OlderGrave,
    Newer,
}

impl Maker<'_> {
    /// Makes `changes` in their order.
    pub fn make_all(&self, changes: &Changes) -> Result<()> {
        let mut guard = epoch::pin();
        for position in 0..changes.len() {
            if let Some(item) = changes.items.get(position + AHEAD) {
                self.index.prefetch(&guard, item.hash);
            }
            if let Some(change) = changes.get(position) {
                self.make(&change, &guard)?;
            }
            if position % PINNED == PINNED - 1 {
                guard.repin();
            }
        }
        Ok(())
    }

    /// Lets `change` supersede whatever is known of its key, unless that is newer: changes come in commit order.
    #[inline]
    pub fn make(&self, change: &Change<'_>, guard: &Guard) -> Result<()> {
        let location = change.location;
        let by = (!change.removes || self.graves.is_some()).then_some(location);
        let mut met = Known::Newer;
        let mut is_older = |known| {
            met = match known == location {
                true => Known::Newer,
                false => self.compare(known, change, guard),
            };
            met != Known::Newer
        };
        let outcome = self.index.supersede(
            guard,
            change.hash,
            change.key,
            by,
            self.location_bits,
            &mut is_older,
        )?;
        if let Outcome::Superseded(known) = outcome
            && met == Known::Older
        {
            self.segments.bury(known, guard);
        }
        // A delete is garbage itself, and so is a put that came too late.
        let too_late = matches!(outcome, Outcome::Kept(known) if known != location);
        if change.removes || too_late {
            self.segments.bury(location, guard);
        }
        if let Some(graves) = self.graves
            && change.removes
            && !matches!(outcome, Outcome::Kept(_))
        {
            graves.add(change.hash, location)?;
        }
        Ok(())
    }

    /// How the record at `known` compares with `change`. Where damage hides its sequence number, it counts as older only if
    /// all of its segment is.
    fn compare(&self, known: Location, change: &Change<'_>, guard: &Guard) -> Known {
        if !self.may_know_newer {
            return Known::Older;
        }
        let Some(live) = self.segments.find(known, guard) else {
            return Known::Older;
        };
        let is_newer = match live.segment.head_at(live.offset(known)) {
            Ok(head) if head.kind == Kind::Tombstone && head.sequence <= change.sequence => {
                return Known::OlderGrave;
            }
            Ok(head) => head.sequence > change.sequence,
            Err(_) => {
                let here = self.segments.find(change.location, guard);
                let same = here.is_some_and(|here| here.segment.id() == live.segment.id());
                let last = live.sealed().map(|sealed| sealed.totals.last_sequence);
                match same {
                    true => known.raw() > change.location.raw(),
                    false => last.is_none_or(|last| last > change.sequence),
                }
            }
        };
        match is_newer {
            true => Known::Newer,
            false => Known::Older,
        }
    }
}
