//! The pool of one class: a few caches in front of a shelf.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::shelf::Shelf;
use super::size_class::{CLASSES, MOST_CACHED};
use super::span_table::{SlotReference, SpanTable};
use super::statistics::ClassStatistics;
use crate::error::Result;

/// Caches per class. A thread always uses the same one, so that two threads seldom meet.
pub const CACHES: usize = 4;

/// Slots that were given back last, to be handed out first, and the counts of what went through here.
/// Kept apart from its neighbours so that two caches never share a line.
#[repr(align(128))]
struct Cache {
    inner: Mutex<CacheInner>,
}

struct CacheInner {
    slots: [SlotReference; MOST_CACHED],
    length: usize,
    gets: u64,
    hits: u64,
    releases: u64,
}

/// The buffers of one class.
pub struct ClassPool {
    class: usize,
    caches: [Cache; CACHES],
    shelf: Mutex<Shelf>,
}

impl ClassPool {
    /// The pool of `class`, without memory.
    pub fn new(class: usize) -> Self {
        Self {
            class,
            caches: std::array::from_fn(|_| Cache {
                inner: Mutex::new(CacheInner::new()),
            }),
            shelf: Mutex::new(Shelf::new(class)),
        }
    }

    /// Takes a slot, which from now on counts as handed out. `None` if the pool's addresses are used up.
    pub fn get(&self, table: &SpanTable) -> Result<Option<SlotReference>> {
        let cache = &self.caches[cache_of_this_thread()].inner;
        let cached = cache.lock().pop();
        let slot = match cached {
            Some(slot) => slot,
            None => match self.refill(table, cache)? {
                Some(slot) => slot,
                None => return Ok(None),
            },
        };
        table.hand_out(slot);
        Ok(Some(slot))
    }

    /// Fetches half a cache of slots from the shelf, one of them for the caller.
    fn refill(
        &self,
        table: &SpanTable,
        cache: &Mutex<CacheInner>,
    ) -> Result<Option<SlotReference>> {
        let mut slots = [SlotReference::NONE; MOST_CACHED];
        let wanted = CLASSES[self.class].cached.div_ceil(2);
        let taken = self.shelf.lock().take(table, &mut slots[..wanted])?;
        let Some((first, more)) = slots[..taken].split_first() else {
            return Ok(None);
        };
        let kept = cache.lock().fill(more, CLASSES[self.class].cached);
        if kept < more.len() {
            // SAFETY: these slots were taken from this shelf just now and went nowhere else.
            unsafe { self.shelf.lock().put(table, &more[kept..]) };
        }
        cache.lock().gets += 1;
        Ok(Some(*first))
    }

    /// Takes back a slot.
    ///
    /// # Safety
    /// The slot came from [`ClassPool::get`] of this pool, [`SpanTable::take_back`] has just answered true
    /// for it to this caller, and nobody uses its memory any more.
    pub unsafe fn put(&self, table: &SpanTable, slot: SlotReference) {
        let mut oldest = [SlotReference::NONE; MOST_CACHED];
        let cache = &self.caches[cache_of_this_thread()].inner;
        let surplus = cache
            .lock()
            .push(slot, CLASSES[self.class].cached, &mut oldest);
        if surplus > 0 {
            // SAFETY: slots in a cache come from this shelf and are held by nobody; these have just been
            // removed from the cache.
            unsafe { self.shelf.lock().put(table, &oldest[..surplus]) };
        }
    }

    /// Counts of this class. Releases are read before gets, so that in-use counts are never negative.
    pub fn statistics(&self) -> ClassStatistics {
        let releases: u64 = self.sum(|cache| cache.releases);
        let gets = self.sum(|cache| cache.gets);
        ClassStatistics {
            size: CLASSES[self.class].size,
            gets,
            hits: self.sum(|cache| cache.hits).min(gets),
            in_use: gets - releases,
            cached: self.sum(|cache| cache.length as u64),
        }
    }

    fn sum(&self, count: impl Fn(&CacheInner) -> u64) -> u64 {
        self.caches
            .iter()
            .map(|cache| count(&cache.inner.lock()))
            .sum()
    }
}

impl CacheInner {
    fn new() -> Self {
        Self {
            slots: [SlotReference::NONE; MOST_CACHED],
            length: 0,
            gets: 0,
            hits: 0,
            releases: 0,
        }
    }

    fn pop(&mut self) -> Option<SlotReference> {
        self.length = self.length.checked_sub(1)?;
        self.gets += 1;
        self.hits += 1;
        Some(self.slots[self.length])
    }

    /// Adds as many of `slots` as fit below `capacity` and answers how many.
    fn fill(&mut self, slots: &[SlotReference], capacity: usize) -> usize {
        let kept = slots.len().min(capacity - self.length);
        self.slots[self.length..self.length + kept].copy_from_slice(&slots[..kept]);
        self.length += kept;
        kept
    }

    /// Adds a slot that a caller gave back. If there is no room, the older half, moved into
    /// `oldest`, makes some; the answer is its length.
    fn push(
        &mut self,
        slot: SlotReference,
        capacity: usize,
        oldest: &mut [SlotReference],
    ) -> usize {
        let mut surplus = 0;
        if self.length == capacity {
            surplus = capacity.div_ceil(2);
            oldest[..surplus].copy_from_slice(&self.slots[..surplus]);
            self.slots.copy_within(surplus..self.length, 0);
            self.length -= surplus;
        }
        self.slots[self.length] = slot;
        self.length += 1;
        self.releases += 1;
        surplus
    }
}

fn cache_of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static CACHE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    CACHE.with(|cache| {
        if cache.get() == usize::MAX {
            cache.set(THREADS.fetch_add(1, Ordering::Relaxed) % CACHES);
        }
        cache.get()
    })
}
