//! The free slots of one class, in bitmaps kept outside the buffers, so that a caller who writes into a
//! buffer after giving it back cannot lead the pool astray.
#![allow(unsafe_code)]

use std::sync::atomic::Ordering::Relaxed;

use super::shared::Shared;
use super::size_class::UNIT;
use super::span_table::{SlotReference, SpanTable, UnitRecord};
use crate::error::Result;

/// Bytes of spans without a slot in use that keep their memory, per class, if the budget has them; a class may always
/// keep one span. More give it back to the system.
const EMPTY_BYTES_KEPT: usize = 256 * 1024;

/// The lists that a span with free slots can be in.
#[derive(Clone, Copy)]
enum List {
    /// Some slots are in use.
    Partial,
    /// None is; the memory is still there.
    Resident,
    /// None is; the memory has been given back.
    Discarded,
}

/// The spans of one class that have free slots. Everything in here, and the parts of the unit records
/// that say so, is used under the lock that the owner puts around the shelf.
pub struct Shelf {
    /// First span of each list, as unit + 1; 0 if the list is empty.
    heads: [u32; 3],
    /// Spans in the resident list.
    resident: usize,
}

impl Shelf {
    /// A shelf without spans.
    pub fn new() -> Self {
        Self {
            heads: [0; 3],
            resident: 0,
        }
    }

    /// Takes up to `slots.len()` free slots and answers how many. Spans in use are filled up
    /// first, so that others can become empty. 0 if the pool's addresses are used up.
    pub fn take(
        &mut self,
        shared: &Shared,
        class: usize,
        slots: &mut [SlotReference],
    ) -> Result<usize> {
        let table = shared.table();
        let mut taken = 0;
        while taken < slots.len() {
            let unit = match self.span_with_free_slots(shared, class) {
                Ok(Some(unit)) => unit,
                Err(error) if taken == 0 => return Err(error),
                Ok(None) | Err(_) => break,
            };
            let record = table.record(unit);
            taken += take_from(record, unit, &mut slots[taken..]);
            if record.free_count.load(Relaxed) == 0 {
                self.unlink(table, List::Partial, unit);
            }
        }
        Ok(taken)
    }

    /// A span in the partial list; one is moved or added there if need be.
    fn span_with_free_slots(&mut self, shared: &Shared, class: usize) -> Result<Option<usize>> {
        let table = shared.table();
        if let Some(unit) = self.first(List::Partial) {
            return Ok(Some(unit));
        }
        if let Some(unit) = self.first(List::Resident) {
            self.unlink_resident(shared, class, unit);
            self.link(table, List::Partial, unit);
            return Ok(Some(unit));
        }
        if let Some(unit) = self.first(List::Discarded) {
            self.unlink(table, List::Discarded, unit);
            self.link(table, List::Partial, unit);
            return Ok(Some(unit));
        }
        let added = table.add_span(class, shared.classes().get(class))?;
        if let Some(unit) = added {
            self.link(table, List::Partial, unit);
        }
        Ok(added)
    }

    fn unlink_resident(&mut self, shared: &Shared, class: usize, unit: usize) {
        self.unlink(shared.table(), List::Resident, unit);
        self.resident -= 1;
        shared.budget().give_back(span_bytes(shared, class));
    }

    /// Puts back slots.
    ///
    /// # Safety
    /// Each came from [`Shelf::take`] of this shelf and is put back once; nobody holds it.
    pub unsafe fn put(&mut self, shared: &Shared, class: usize, slots: &[SlotReference]) {
        for slot in slots {
            self.put_one(shared, class, *slot);
        }
    }

    fn put_one(&mut self, shared: &Shared, class: usize, slot: SlotReference) {
        let table = shared.table();
        let unit = slot.unit();
        let record = table.record(unit);
        let word = &record.free[slot.slot() / 64];
        word.store(word.load(Relaxed) | 1 << (slot.slot() % 64), Relaxed);
        let free = record.free_count.load(Relaxed) + 1;
        record.free_count.store(free, Relaxed);
        let was_full = free == 1;
        let is_empty = usize::from(free) == shared.classes().get(class).slots;
        if !was_full && is_empty {
            self.unlink(table, List::Partial, unit);
        }
        if is_empty {
            self.shelve_empty(shared, class, unit);
        } else if was_full {
            self.link(table, List::Partial, unit);
        }
    }

    fn shelve_empty(&mut self, shared: &Shared, class: usize, unit: usize) {
        let bytes = span_bytes(shared, class);
        let may_keep = self.resident == 0 || (self.resident + 1) * bytes <= EMPTY_BYTES_KEPT;
        if may_keep && shared.budget().try_take(bytes) {
            self.resident += 1;
            self.link(shared.table(), List::Resident, unit);
            return;
        }
        self.discard(shared, class, unit);
    }

    fn discard(&mut self, shared: &Shared, class: usize, unit: usize) {
        // SAFETY: every slot of the span has been put back, which the callers of `put` vouch for, and
        // `&mut self` keeps all of them from being taken meanwhile.
        unsafe { shared.table().discard(shared.classes().get(class), unit) };
        self.link(shared.table(), List::Discarded, unit);
    }

    /// Gives the memory of all empty spans back.
    pub fn trim(&mut self, shared: &Shared, class: usize) {
        while let Some(unit) = self.first(List::Resident) {
            self.unlink_resident(shared, class, unit);
            self.discard(shared, class, unit);
        }
    }

    fn first(&self, list: List) -> Option<usize> {
        (self.heads[list as usize] as usize).checked_sub(1)
    }

    fn link(&mut self, table: &SpanTable, list: List, unit: usize) {
        let next = std::mem::replace(&mut self.heads[list as usize], unit as u32 + 1);
        let record = table.record(unit);
        record.previous.store(0, Relaxed);
        record.next.store(next, Relaxed);
        if next != 0 {
            let neighbour = table.record(next as usize - 1);
            neighbour.previous.store(unit as u32 + 1, Relaxed);
        }
    }

    fn unlink(&mut self, table: &SpanTable, list: List, unit: usize) {
        let record = table.record(unit);
        let (previous, next) = (record.previous.load(Relaxed), record.next.load(Relaxed));
        if previous == 0 {
            self.heads[list as usize] = next;
        } else {
            let neighbour = table.record(previous as usize - 1);
            neighbour.next.store(next, Relaxed);
        }
        if next != 0 {
            let neighbour = table.record(next as usize - 1);
            neighbour.previous.store(previous, Relaxed);
        }
    }
}

fn span_bytes(shared: &Shared, class: usize) -> usize {
    shared.classes().get(class).units * UNIT
}

fn take_from(record: &UnitRecord, unit: usize, slots: &mut [SlotReference]) -> usize {
    let mut taken = 0;
    for (number, word) in record.free.iter().enumerate() {
        let mut bits = word.load(Relaxed);
        while bits != 0 && taken < slots.len() {
            slots[taken] = SlotReference::new(unit, number * 64 + bits.trailing_zeros() as usize);
            bits &= bits - 1;
            taken += 1;
        }
        word.store(bits, Relaxed);
    }
    let free = record.free_count.load(Relaxed) - taken as u16;
    record.free_count.store(free, Relaxed);
    taken
}
