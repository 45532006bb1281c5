//! What the pool and the caches of its threads share.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::budget::IdleBudget;
use super::class_pool::ClassPool;
use super::extents::Extents;
use super::fence;
use super::size_class::{Classes, MOST_CLASSES};
use super::span_table::{SpanTable, largest_table};
use super::statistics::{ClassStatistics, Statistics};
use super::thread_cache::ThreadCache;
use crate::error::{Error, Result};

/// The least range that is worth reserving.
pub const LEAST_RANGE: usize = 4 << 20;

/// The shared state of one pool.
pub struct Shared {
    table: SpanTable,
    classes: Classes,
    pools: [ClassPool; MOST_CLASSES],
    budget: IdleBudget,
    /// Large buffers.
    pub large: Extents,
    /// Requests for more than the largest class holds.
    pub oversize: AtomicU64,
    /// Addresses that were to be released and were none of a buffer in use.
    pub refused: AtomicU64,
    caches: Mutex<Vec<Cache>>,
    /// Nobody can use the pool any more but for buffers' memory; threads may drop their caches of it.
    pub abandoned: AtomicBool,
}

/// The cache of a thread, which removes it from the list before it frees it.
struct Cache(NonNull<ThreadCache>);

// SAFETY: the pointer is that of a `ThreadCache`, which is Sync, and is used only while it is in the list.
unsafe impl Send for Cache {}

impl Shared {
    /// The state of a pool without memory yet, in a range of `bytes` or as many as the system grants.
    pub fn new(classes: Classes, bytes: usize, idle_limit: usize) -> Result<Self> {
        fence::prepare();
        Ok(Self {
            table: largest_table(bytes, LEAST_RANGE)?,
            classes,
            pools: std::array::from_fn(|_| ClassPool::new()),
            budget: IdleBudget::new(idle_limit),
            large: Extents::default(),
            oversize: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            caches: Mutex::new(Vec::new()),
            abandoned: AtomicBool::new(false),
        })
    }

    /// Addresses and who holds them.
    #[inline]
    pub fn table(&self) -> &SpanTable {
        &self.table
    }

    /// The classes.
    #[inline]
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// What threads share of a class.
    #[inline]
    pub fn class_pool(&self, class: usize) -> &ClassPool {
        &self.pools[class]
    }

    /// The bound of idle memory.
    pub fn budget(&self) -> &IdleBudget {
        &self.budget
    }

    /// Enters the cache of a thread into the list.
    ///
    /// # Safety
    /// The cache lives until [`Shared::retire`].
    pub unsafe fn enlist(&self, cache: NonNull<ThreadCache>) -> Result<()> {
        let mut caches = self.caches.lock();
        caches
            .try_reserve(1)
            .map_err(|_| Error::memory("the magazines of a thread"))?;
        caches.push(Cache(cache));
        Ok(())
    }

    /// Takes the buffers and counts of a cache, and the cache out of the list. Nothing of the pool uses it afterwards.
    ///
    /// # Safety
    /// The caller is the owner of the cache, which was enlisted here.
    pub unsafe fn retire(&self, cache: &ThreadCache) {
        // Held to the end: statistics see the counts in one place, and never in both.
        let mut caches = self.caches.lock();
        caches.retain(|other| !std::ptr::eq(other.0.as_ptr(), cache));
        // SAFETY: the caller is the owner.
        unsafe { cache.empty(self) };
        for (class, pool) in self.pools.iter().enumerate() {
            pool.add_counts(cache.counts(class));
        }
    }

    /// Gives the memory that waits for its next use back to the system: that of empty spans, after all magazines, also
    /// those of other threads, were emptied, and large buffers.
    pub fn trim(&self) {
        let caches = self.caches.lock();
        for cache in &*caches {
            // SAFETY: a cache in the list lives; holding the list keeps others from doing this.
            unsafe { cache.0.as_ref().empty_as_other(self) };
        }
        drop(caches);
        for class in 0..self.classes.all().len() {
            self.pools[class].trim(self, class);
        }
        self.large.trim(&self.budget);
    }

    /// What went through the pool so far.
    pub fn statistics(&self) -> Statistics {
        let caches = self.caches.lock();
        // SAFETY: a cache in the list lives.
        let caches_of_threads = || caches.iter().map(|cache| unsafe { cache.0.as_ref() });
        let class_statistics = |class: usize| {
            let each = || caches_of_threads().map(|cache| cache.counts(class));
            // Two passes, so that all releases are read before any gets: see `Counts`.
            let mut earlier = self.pools[class].counts();
            each().for_each(|counts| earlier += counts);
            let mut gets = self.pools[class].counts().gets;
            each().for_each(|counts| gets += counts.gets);
            ClassStatistics {
                size: self.classes.get(class).size,
                gets,
                hits: gets - earlier.misses,
                in_use: gets - earlier.releases,
                pooled: caches_of_threads().map(|cache| cache.pooled(class)).sum(),
            }
        };
        let mut classes = [ClassStatistics::default(); MOST_CLASSES];
        let count = self.classes.all().len();
        for (class, statistics) in classes[..count].iter_mut().enumerate() {
            *statistics = class_statistics(class);
        }
        Statistics {
            classes,
            count,
            large: self.large.statistics(),
            oversize: self.oversize.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            span_bytes: self.table.bytes() as u64,
            idle_bytes: self.budget.used() as u64,
            idle_limit: self.budget.limit() as u64,
            threads: caches.len() as u64,
        }
    }
}
