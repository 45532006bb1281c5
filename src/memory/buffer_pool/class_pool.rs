//! What all threads share of one class: the shelf, and counts.
#![allow(unsafe_code)]

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::shared::Shared;
use super::shelf::Shelf;
use super::span_table::SlotReference;
use crate::error::Result;

/// What went through a cache or a class. Read while others count, releases and misses are read first and with Acquire,
/// and counted with Release: a buffer is released after it was handed out, so of neither are there ever more than gets.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Buffers given back.
    pub releases: u64,
    /// Buffers handed out that did not come from a magazine.
    pub misses: u64,
    /// Buffers handed out.
    pub gets: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.releases += other.releases;
        self.misses += other.misses;
        self.gets += other.gets;
    }
}

/// The buffers of one class that are in no magazine. Kept apart from its neighbours so that two classes never share a
/// cache line.
#[repr(align(128))]
pub struct ClassPool {
    shelf: Mutex<Shelf>,
    /// Counts of threads that have ended, and of gets and releases that had no magazine to go to.
    gets: AtomicU64,
    misses: AtomicU64,
    releases: AtomicU64,
}

impl ClassPool {
    /// A class without memory.
    pub fn new() -> Self {
        Self {
            shelf: Mutex::new(Shelf::new()),
            gets: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            releases: AtomicU64::new(0),
        }
    }

    /// Takes slots, first for `own`, then for `more`, and answers how many. 0 if the pool's addresses are used up.
    pub fn take(
        &self,
        shared: &Shared,
        class: usize,
        own: &mut [SlotReference; 1],
        more: &mut [SlotReference],
    ) -> Result<usize> {
        let mut shelf = self.shelf.lock();
        let first = shelf.take(shared, class, own)?;
        if first == 0 {
            return Ok(0);
        }
        // Nobody waits for these; if there is no memory for them, so be it.
        Ok(1 + shelf.take(shared, class, more).unwrap_or(0))
    }

    /// Puts slots on the shelf.
    ///
    /// # Safety
    /// Each came from [`ClassPool::take`] of this class and is put back once; nobody holds it.
    pub unsafe fn put_back(&self, shared: &Shared, class: usize, slots: &[SlotReference]) {
        // SAFETY: the same promise.
        unsafe { self.shelf.lock().put(shared, class, slots) };
    }

    /// Takes a slot for a thread that has no magazines.
    pub fn get_uncached(&self, shared: &Shared, class: usize) -> Result<Option<SlotReference>> {
        let mut own = [SlotReference::NONE];
        if self.take(shared, class, &mut own, &mut [])? == 0 {
            return Ok(None);
        }
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.misses.fetch_add(1, Ordering::Release);
        Ok(Some(own[0]))
    }

    /// Takes back a slot from a thread that has no magazines.
    ///
    /// # Safety
    /// As for [`ClassPool::put_back`].
    pub unsafe fn put_uncached(&self, shared: &Shared, class: usize, slot: SlotReference) {
        // SAFETY: the same promise.
        unsafe { self.put_back(shared, class, &[slot]) };
        self.releases.fetch_add(1, Ordering::Release);
    }

    /// Gives the memory of empty spans back.
    pub fn trim(&self, shared: &Shared, class: usize) {
        self.shelf.lock().trim(shared, class);
    }

    /// Counts that belong to no living thread.
    pub fn counts(&self) -> Counts {
        Counts {
            releases: self.releases.load(Ordering::Acquire),
            misses: self.misses.load(Ordering::Acquire),
            gets: self.gets.load(Ordering::Relaxed),
        }
    }

    /// Takes over the counts of a thread that ends.
    pub fn add_counts(&self, counts: Counts) {
        self.gets.fetch_add(counts.gets, Ordering::Relaxed);
        self.misses.fetch_add(counts.misses, Ordering::Release);
        self.releases.fetch_add(counts.releases, Ordering::Release);
    }
}
