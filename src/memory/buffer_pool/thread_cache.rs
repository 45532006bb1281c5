//! What one thread keeps of one pool: a magazine for each class, and counts of what went through them. In the usual
//! case a get or a release touches nothing else but the table's note of who holds the buffer, and no lock.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::class_pool::Counts;
use super::magazine::Magazine;
use super::owners_lock::OwnersLock;
use super::shared::Shared;
use super::size_class::MOST_CLASSES;
use super::span_table::SlotReference;
use crate::error::Result;

/// After so many gets from a magazine it is looked at how many of its buffers were not needed.
const GETS_PER_REVIEW: u64 = 1 << 14;

/// The magazines of a thread. All methods but [`ThreadCache::counts`], [`ThreadCache::pooled`] and
/// [`ThreadCache::empty_as_other`] are for that thread alone, the owner.
pub struct ThreadCache {
    lock: OwnersLock,
    stations: [Station; MOST_CLASSES],
}

/// One class. A cache line, so that reading the counts of one does not slow down the use of another.
#[repr(align(64))]
struct Station {
    /// Used inside the lock only.
    magazine: UnsafeCell<Magazine>,
    /// Slots in the magazine. This and the counts are written by whoever is inside the lock and read by anybody.
    length: AtomicU32,
    gets: AtomicU64,
    misses: AtomicU64,
    releases: AtomicU64,
}

// SAFETY: what is not atomic is in `magazine`, which is touched only inside the lock: by the owner, or by another thread
// after `enter_as_other`, whose callers exclude each other.
unsafe impl Sync for ThreadCache {}

impl ThreadCache {
    /// A cache without buffers.
    pub fn new() -> Self {
        Self {
            lock: OwnersLock::new(),
            stations: std::array::from_fn(|_| Station {
                magazine: UnsafeCell::default(),
                length: AtomicU32::new(0),
                gets: AtomicU64::new(0),
                misses: AtomicU64::new(0),
                releases: AtomicU64::new(0),
            }),
        }
    }

    /// Takes a slot from the magazine. Apart from [`ThreadCache::refill`], so that the usual case has no error to pass on.
    ///
    /// # Safety
    /// The caller is the owner.
    #[inline]
    pub unsafe fn pop(&self, shared: &Shared, class: usize) -> Option<SlotReference> {
        let station = &self.stations[class];
        let _inside = self.lock.enter();
        // SAFETY: inside the lock.
        let magazine = unsafe { &mut *station.magazine.get() };
        let slot = magazine.pop()?;
        station.note_length(magazine);
        let gets = add_one(&station.gets);
        if gets.is_multiple_of(GETS_PER_REVIEW) {
            review(station, magazine, shared, class);
        }
        Some(slot)
    }

    /// Fetches slots from the shelf to half of the magazine's room, and one for the caller. `None` if the pool's
    /// addresses are used up.
    ///
    /// # Safety
    /// The caller is the owner.
    pub unsafe fn refill(&self, shared: &Shared, class: usize) -> Result<Option<SlotReference>> {
        let station = &self.stations[class];
        let _inside = self.lock.enter();
        // SAFETY: inside the lock.
        let magazine = unsafe { &mut *station.magazine.get() };
        enlarge(magazine, shared, class);
        let pool = shared.class_pool(class);
        let mut own = [SlotReference::NONE];
        let taken = pool.take(shared, class, &mut own, magazine.places_to_fill())?;
        let Some(more) = taken.checked_sub(1) else {
            return Ok(None);
        };
        magazine.filled(more);
        station.note_length(magazine);
        add_one(&station.gets);
        add_one(&station.misses);
        Ok(Some(own[0]))
    }

    /// Takes back a slot.
    ///
    /// # Safety
    /// The caller is the owner. The slot is one of `class` in `shared` that was handed out and has been taken back by
    /// this thread, and nobody uses its memory.
    #[inline]
    pub unsafe fn put(&self, shared: &Shared, class: usize, slot: SlotReference) {
        let station = &self.stations[class];
        let _inside = self.lock.enter();
        // SAFETY: inside the lock.
        let magazine = unsafe { &mut *station.magazine.get() };
        if !magazine.push(slot) {
            // SAFETY: as promised to this function.
            unsafe { overflow(magazine, shared, class, slot) };
        }
        station.note_length(magazine);
        add_one(&station.releases);
    }

    /// Empties all magazines into the shelves and takes their room away.
    ///
    /// # Safety
    /// The caller is the owner.
    pub unsafe fn empty(&self, shared: &Shared) {
        let _inside = self.lock.enter();
        // SAFETY: inside the lock.
        unsafe { self.empty_inside(shared) };
    }

    /// Does the same for another thread than the owner; nothing if the system does not let it.
    ///
    /// # Safety
    /// No other thread calls this meanwhile.
    pub unsafe fn empty_as_other(&self, shared: &Shared) {
        if let Some(_inside) = self.lock.enter_as_other() {
            // SAFETY: inside the lock.
            unsafe { self.empty_inside(shared) };
        }
    }

    /// # Safety
    /// The caller is inside the lock.
    unsafe fn empty_inside(&self, shared: &Shared) {
        for (class, station) in self.stations.iter().enumerate() {
            // SAFETY: as promised to this function.
            let magazine = unsafe { &mut *station.magazine.get() };
            if magazine.room() > 0 {
                shrink(magazine, shared, class, magazine.length(), magazine.room());
                station.note_length(magazine);
            }
        }
    }

    /// Counts of one class. Releases are read first; see [`Counts`].
    pub fn counts(&self, class: usize) -> Counts {
        let station = &self.stations[class];
        Counts {
            releases: station.releases.load(Ordering::Acquire),
            misses: station.misses.load(Ordering::Acquire),
            gets: station.gets.load(Ordering::Relaxed),
        }
    }

    /// Buffers of one class that wait here.
    pub fn pooled(&self, class: usize) -> u64 {
        self.stations[class].length.load(Ordering::Relaxed).into()
    }
}

impl Station {
    #[inline]
    fn note_length(&self, magazine: &Magazine) {
        self.length
            .store(magazine.length() as u32, Ordering::Relaxed);
    }
}

/// Adds one to a count that only the caller writes. Release: see [`Counts`].
#[inline]
fn add_one(count: &AtomicU64) -> u64 {
    let sum = count.load(Ordering::Relaxed).wrapping_add(1);
    count.store(sum, Ordering::Release);
    sum
}

/// Makes room for `slot` in a full magazine: by more room, else by moving the older half to the shelf.
///
/// # Safety
/// As for [`ThreadCache::put`].
#[cold]
unsafe fn overflow(magazine: &mut Magazine, shared: &Shared, class: usize, slot: SlotReference) {
    enlarge(magazine, shared, class);
    if magazine.push(slot) {
        return;
    }
    let pool = shared.class_pool(class);
    magazine.drop_oldest(magazine.length().div_ceil(2), |slots| {
        // SAFETY: slots in a magazine came from this shelf and are held by nobody.
        unsafe { pool.put_back(shared, class, slots) };
    });
    if !magazine.push(slot) {
        // It has no room at all.
        // SAFETY: as promised to this function.
        unsafe { pool.put_back(shared, class, &[slot]) };
    }
}

/// More room for a magazine that proved too small, if the budget has it.
fn enlarge(magazine: &mut Magazine, shared: &Shared, class: usize) {
    let geometry = shared.classes().get(class);
    let room = magazine.larger_room(geometry.most_in_magazine);
    let bytes = (room - magazine.room()) * geometry.size;
    if bytes == 0 || !shared.budget().try_take(bytes) {
        return;
    }
    if !magazine.make_room(room, geometry.most_in_magazine) {
        shared.budget().give_back(bytes);
    }
}

/// Takes half of what was not needed away from a magazine.
#[cold]
fn review(station: &Station, magazine: &mut Magazine, shared: &Shared, class: usize) {
    let surplus = magazine.review() / 2;
    if surplus > 0 {
        shrink(magazine, shared, class, surplus, surplus);
        station.note_length(magazine);
    }
}

/// Moves the `count` oldest slots to the shelf and takes `room` places away.
fn shrink(magazine: &mut Magazine, shared: &Shared, class: usize, count: usize, room: usize) {
    let pool = shared.class_pool(class);
    magazine.drop_oldest(count, |slots| {
        // SAFETY: slots in a magazine came from this shelf and are held by nobody.
        unsafe { pool.put_back(shared, class, slots) };
    });
    magazine.shrink_room(magazine.room() - room);
    shared
        .budget()
        .give_back(room * shared.classes().get(class).size);
}
