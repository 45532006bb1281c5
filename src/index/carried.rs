//! Entries on their way from one table to another.

use super::Location;
use super::bucket::{Bucket, SLOTS};
use super::table::{Half, NO_REFERENCE, Position, Table, load_reference};

/// An entry without its place: what a new table must know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) fingerprint: u64,
    /// `None` for an entry that is reserved and has no location yet.
    pub(super) location: Option<Location>,
    pub(super) reference: u32,
}

/// Entries of one bucket. They are all taken out before the first is put elsewhere: two short loops keep in registers what they
/// need, one long one would not.
pub(super) struct Carriage {
    entries: [Carried; SLOTS],
    length: usize,
}

impl Carriage {
    pub(super) fn new() -> Self {
        let entry = Carried {
            fingerprint: 0,
            location: None,
            reference: NO_REFERENCE,
        };
        Self {
            entries: [entry; SLOTS],
            length: 0,
        }
    }

    /// What it carries.
    #[inline]
    pub(super) fn entries(&mut self) -> &mut [Carried] {
        &mut self.entries[..self.length]
    }

    /// Carries the entries of bucket `number` of `table` from now on; of a half, only its own. For the writer, or a table that
    /// has no writer any more.
    #[inline]
    pub(super) fn load(&mut self, table: &Table, number: usize, half: Option<Half>) {
        let bucket = Bucket::load(table.line(number));
        let contents = bucket.contents();
        let references = table.keys().map(|keys| keys.references(number));
        let encoding = table.encoding();
        let first = encoding.first_fingerprint(number);
        let slots = table.slots_of(half, number, &bucket);
        let elsewhere = slots & table.homed_elsewhere(number, &bucket);
        let entry = |slot: usize, first: u64| {
            let content = contents[slot];
            let tag = encoding.tag(content.tag(), content.field());
            Carried {
                fingerprint: first.wrapping_add(tag),
                location: encoding.location(content.field()),
                reference: references.map_or(NO_REFERENCE, |bytes| load_reference(bytes, slot)),
            }
        };
        self.length = 0;
        for slot in each(slots & !elsewhere) {
            self.push(entry(slot, first));
        }
        for slot in each(elsewhere) {
            let position = Position {
                bucket: number,
                slot,
            };
            let home = table.home_of(&bucket, position);
            self.push(entry(slot, encoding.first_fingerprint(home)));
        }
        if let Some(half) = half {
            self.keep_half(table, half);
        }
    }

    #[inline]
    fn push(&mut self, entry: Carried) {
        self.entries[self.length] = entry;
        self.length += 1;
    }

    /// An entry that is only reserved belongs to no half: who reserves it does so again in the half it leads to.
    fn keep_half(&mut self, table: &Table, half: Half) {
        let mut kept = 0;
        for number in 0..self.length {
            let entry = self.entries[number];
            if table.half(entry.fingerprint) == half && entry.location.is_some() {
                self.entries[kept] = entry;
                kept += 1;
            }
        }
        self.length = kept;
    }
}

/// The numbers of the bits that are set.
#[inline]
fn each(mut bits: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (bits != 0).then(|| bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        lowest
    })
}
