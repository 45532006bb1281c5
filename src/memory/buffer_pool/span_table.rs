//! Which address belongs to which slot, and whether a caller holds that slot.
//!
//! The pool's range is divided into units of 64 KiB; one or more consecutive units form a span, whose slots
//! all have one class. A unit gets its class once and keeps it for ever, even while its memory is given
//! back. So what an address means never changes, and a stale or made-up pointer can be judged at any time
//! without a lock and without touching the memory it points to.
#![allow(unsafe_code)]

use std::mem::size_of;
use std::ptr::NonNull;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use parking_lot::Mutex;

use super::address_range::AddressRange;
use super::size_class::{Classes, MOST_SLOTS, SizeClass, UNIT};
use crate::error::{Error, Result};

/// Words of a bitmap with a bit for each slot of a span.
pub const BITMAP_WORDS: usize = MOST_SLOTS / 64;

/// Records are committed in steps of this many bytes, a multiple of every page size in use.
const RECORD_STEP: usize = 64 * 1024;

/// What is known of a unit. All zeros is a valid record, so fresh memory needs no initialisation.
/// Only the first unit of a span uses more than `class` and `distance`, and of `held` only as much as it has slots: the
/// rest is addresses without memory.
#[repr(C, align(64))]
pub struct UnitRecord {
    /// Class of the span, written once before the unit is published.
    class: AtomicU8,
    /// Units between this one and the first of its span, written once before the unit is published.
    distance: AtomicU8,
    /// Slots that are neither handed out nor cached. This and all below but `held` belong to whoever
    /// holds the lock of the class's shelf.
    pub free_count: AtomicU16,
    /// Neighbours in the shelf's list, as unit + 1; 0 ends the list.
    pub next: AtomicU32,
    /// See `next`.
    pub previous: AtomicU32,
    /// A bit for each slot that is neither handed out nor cached.
    pub free: [AtomicU64; BITMAP_WORDS],
    /// Whether a caller holds the slot. Whoever has the free slot in its hands sets it, alone, so that storing does; when
    /// it is cleared, another who clears it too must learn of it.
    held: [AtomicBool; MOST_SLOTS],
}

/// A slot: first unit of its span, and number within the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotReference(u32);

impl SlotReference {
    /// Placeholder for unused places of an array.
    pub const NONE: Self = Self(u32::MAX);

    /// Slot `slot` of the span that begins with `unit`.
    pub fn new(unit: usize, slot: usize) -> Self {
        debug_assert!(slot < MOST_SLOTS && unit < (1 << 22));
        Self((unit * MOST_SLOTS + slot) as u32)
    }

    /// First unit of the span.
    pub fn unit(self) -> usize {
        self.0 as usize / MOST_SLOTS
    }

    /// Number of the slot within the span.
    pub fn slot(self) -> usize {
        self.0 as usize % MOST_SLOTS
    }
}

/// What an address means to the table.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// Outside the pool's range.
    Outside,
    /// Inside the range, but not the beginning of a slot.
    Interior,
    /// The beginning of a slot of this class.
    Slot(usize, SlotReference),
}

/// The pool's range, its units and their records.
pub struct SpanTable {
    range: AddressRange,
    records: AddressRange,
    most_units: usize,
    /// Units that have a class. Published with Release after their records are written.
    units: AtomicUsize,
    /// Held while units are added.
    growing: Mutex<()>,
}

impl SpanTable {
    /// Reserves addresses for up to `bytes` bytes of buffers.
    pub fn new(bytes: usize) -> Result<Self> {
        let most_units = bytes / UNIT;
        let record_bytes = (most_units * size_of::<UnitRecord>()).next_multiple_of(RECORD_STEP);
        Ok(Self {
            range: AddressRange::reserve(most_units * UNIT)?,
            records: AddressRange::reserve(record_bytes)?,
            most_units,
            units: AtomicUsize::new(0),
            growing: Mutex::new(()),
        })
    }

    /// Adds a span of `class`, all its slots free, and answers its first unit. `None` if the
    /// addresses are used up.
    pub fn add_span(&self, class: usize, geometry: &SizeClass) -> Result<Option<usize>> {
        let _growing = self.growing.lock();
        let first = self.units.load(Ordering::Relaxed);
        let end = first + geometry.units;
        if end > self.most_units {
            return Ok(None);
        }
        self.commit_records(first, end)?;
        self.range.commit(first * UNIT, end * UNIT)?;
        for unit in first..end {
            let record = self.record_at(unit);
            record.class.store(class as u8, Ordering::Relaxed);
            record
                .distance
                .store((unit - first) as u8, Ordering::Relaxed);
        }
        let record = self.record_at(first);
        record
            .free_count
            .store(geometry.slots as u16, Ordering::Relaxed);
        for (word, bits) in record.free.iter().enumerate() {
            let slots = geometry.slots.saturating_sub(word * 64).min(64);
            let all = u64::MAX.checked_shr(64 - slots as u32).unwrap_or(0);
            bits.store(all, Ordering::Relaxed);
        }
        self.units.store(end, Ordering::Release);
        Ok(Some(first))
    }

    fn commit_records(&self, first: usize, end: usize) -> Result<()> {
        let step = |units: usize| (units * size_of::<UnitRecord>()).next_multiple_of(RECORD_STEP);
        if step(first) == step(end) {
            return Ok(());
        }
        self.records.commit(step(first), step(end))
    }

    /// The record of a unit that has been added.
    pub fn record(&self, unit: usize) -> &UnitRecord {
        assert!(unit < self.units.load(Ordering::Acquire));
        self.record_at(unit)
    }

    fn record_at(&self, unit: usize) -> &UnitRecord {
        debug_assert!(unit < self.most_units);
        // SAFETY: callers pass units whose records `add_span` has committed; committed memory is zeroed or
        // holds a record, zeros are a valid record, the base is aligned to a page and a record to 64 bytes,
        // and a record consists of atomics only, so that shared references may coexist with writes.
        unsafe { self.records.base().cast::<UnitRecord>().add(unit).as_ref() }
    }

    /// What `address` means. Reads the table only, never the address.
    #[inline]
    pub fn locate(&self, classes: &Classes, address: usize) -> Place {
        let offset = address.wrapping_sub(self.range.base().addr().get());
        if offset >= self.range.length() {
            return Place::Outside;
        }
        let unit = offset / UNIT;
        if unit >= self.units.load(Ordering::Acquire) {
            return Place::Interior;
        }
        let record = self.record_at(unit);
        let class = usize::from(record.class.load(Ordering::Relaxed));
        let first = unit - usize::from(record.distance.load(Ordering::Relaxed));
        match classes.get(class).slot_at(offset - first * UNIT) {
            Some(slot) => Place::Slot(class, SlotReference::new(first, slot)),
            None => Place::Interior,
        }
    }

    /// Where a slot of a span of `class` begins.
    #[inline]
    pub fn address(&self, class: &SizeClass, slot: SlotReference) -> NonNull<u8> {
        let offset = slot.unit() * UNIT + slot.slot() * class.size;
        debug_assert!(offset < self.range.length());
        // SAFETY: slots come from `add_span`, so the offset lies inside the range.
        unsafe { self.range.base().add(offset) }
    }

    /// Notes that a caller holds the slot from now on. The slot is free, and in the hands of who calls this.
    #[inline]
    pub fn hand_out(&self, slot: SlotReference) {
        let held = &self.record_at(slot.unit()).held[slot.slot()];
        debug_assert!(!held.load(Ordering::Relaxed), "a slot was handed out twice");
        held.store(true, Ordering::Relaxed);
    }

    /// Notes that no caller holds the slot any more; false if none did. Of several threads that take
    /// back one slot, one gets true.
    #[inline]
    pub fn take_back(&self, slot: SlotReference) -> bool {
        let held = &self.record_at(slot.unit()).held[slot.slot()];
        held.swap(false, Ordering::Relaxed)
    }

    /// Gives back the memory of the span of `class` that begins with `unit`.
    ///
    /// # Safety
    /// All slots of the span are free, and stay so until this returns.
    pub unsafe fn discard(&self, class: &SizeClass, unit: usize) {
        // SAFETY: no slot is handed out, so nobody relies on the content; those in magazines are not free here.
        unsafe { self.range.discard(unit * UNIT, class.units * UNIT) };
    }

    /// Bytes of all spans.
    pub fn bytes(&self) -> usize {
        self.units.load(Ordering::Relaxed) * UNIT
    }
}

/// A table with the largest of a few ranges that the system grants: limits on address space are common.
pub fn largest_table(bytes: usize, at_least: usize) -> Result<SpanTable> {
    let mut wanted = bytes;
    loop {
        match SpanTable::new(wanted) {
            Ok(table) => return Ok(table),
            Err(_) if wanted / 2 >= at_least => wanted /= 2,
            Err(_) => return Err(Error::memory("the buffer pool's address range")),
        }
    }
}
