//! The caches of this thread, one for each pool that it uses.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ptr::{NonNull, null};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shared::Shared;
use super::thread_cache::ThreadCache;

/// Pools of which a thread has caches at once. A process uses one, tests and benchmarks a few.
const MOST_CACHES: usize = 4;

/// The cache of this thread for one pool.
struct OwnCache {
    shared: Arc<Shared>,
    /// From a box. Not one, because the pool's list refers to it too.
    cache: NonNull<ThreadCache>,
}

impl OwnCache {
    fn new(shared: &Arc<Shared>) -> Option<Self> {
        // A vector, because making a box cannot fail gently.
        let mut cache = Vec::new();
        cache.try_reserve_exact(1).ok()?;
        cache.push(ThreadCache::new());
        let cache = NonNull::from(Box::leak(cache.into_boxed_slice())).cast();
        // SAFETY: the cache is retired before it is freed.
        if unsafe { shared.enlist(cache) }.is_err() {
            // SAFETY: made above, and known to nobody else.
            unsafe { free(cache) };
            return None;
        }
        let shared = shared.clone();
        Some(Self { shared, cache })
    }
}

impl Drop for OwnCache {
    fn drop(&mut self) {
        // SAFETY: this thread owns the cache, which was enlisted when this value was made; when it is retired, nobody
        // else refers to it any more.
        unsafe {
            self.shared.retire(self.cache.as_ref());
            free(self.cache);
        }
    }
}

/// # Safety
/// The cache is one that [`OwnCache::new`] has made, and nobody uses it any more.
unsafe fn free(cache: NonNull<ThreadCache>) {
    let slice = std::ptr::slice_from_raw_parts_mut(cache.as_ptr(), 1);
    // SAFETY: it came from a boxed slice of one.
    drop(unsafe { Box::from_raw(slice) });
}

/// All caches of this thread. Dropped when the thread ends, and each with it.
struct OwnCaches([Option<OwnCache>; MOST_CACHES]);

impl Drop for OwnCaches {
    fn drop(&mut self) {
        NEAREST.set((null(), null()));
    }
}

thread_local! {
    /// The pool that this thread used last, and its cache, which is in `CACHES`. Apart from them because it needs no
    /// destructor, and so no look whether that has run.
    static NEAREST: Cell<(*const Shared, *const ThreadCache)> = const { Cell::new((null(), null())) };
    static CACHES: RefCell<OwnCaches> = const { RefCell::new(OwnCaches([const { None }; MOST_CACHES])) };
}

/// Calls `body` with the cache of this thread for a pool; `None` if it has none: the thread is about to end, or there is
/// no memory for one.
#[inline]
pub fn with_cache<R>(shared: &Arc<Shared>, body: impl FnOnce(&ThreadCache) -> R) -> Option<R> {
    let (pool, mut cache) = NEAREST.get();
    if !std::ptr::eq(pool, Arc::as_ptr(shared)) {
        cache = find_or_make(shared);
    }
    // SAFETY: null, or a cache in `CACHES`, which keeps the pool as well, so that its address is no other pool's; what
    // takes a cache out there changes `NEAREST` first. `body` gets no way to do that.
    unsafe { cache.as_ref() }.map(body)
}

#[cold]
fn find_or_make(shared: &Arc<Shared>) -> *const ThreadCache {
    let found = CACHES.try_with(|caches| {
        let mut caches = caches.try_borrow_mut().ok()?;
        let is_here = |own: &Option<OwnCache>| {
            let shared_here = own.as_ref().map(|own| Arc::as_ptr(&own.shared));
            shared_here == Some(Arc::as_ptr(shared))
        };
        let place = match caches.0.iter().position(is_here) {
            Some(place) => place,
            None => make(&mut caches.0, shared)?,
        };
        let own = caches.0[place].as_ref()?;
        Some(own.cache.as_ptr().cast_const())
    });
    let cache = found.ok().flatten().unwrap_or(null());
    if !cache.is_null() {
        NEAREST.set((Arc::as_ptr(shared), cache));
    }
    cache
}

/// Makes a cache and answers its place.
#[cold]
fn make(caches: &mut [Option<OwnCache>; MOST_CACHES], shared: &Arc<Shared>) -> Option<usize> {
    let own = OwnCache::new(shared)?;
    NEAREST.set((null(), null()));
    for cache in caches.iter_mut() {
        let is_abandoned = |own: &OwnCache| own.shared.abandoned.load(Ordering::Relaxed);
        if cache.as_ref().is_some_and(is_abandoned) {
            *cache = None;
        }
    }
    // If there is no place, the oldest makes one.
    let free = caches.iter().position(Option::is_none);
    let place = free.unwrap_or(MOST_CACHES - 1);
    if free.is_none() {
        caches.rotate_left(1);
    }
    caches[place] = Some(own);
    Some(place)
}

/// To be called in the child after `fork`, from its only thread: forgets the caches, which are those of the parent's
/// pool. That pool's list still refers to them.
pub fn abandon_in_child() {
    if NEAREST.replace((null(), null())).0.is_null() {
        return;
    }
    let _ = CACHES.try_with(|caches| {
        if let Ok(mut caches) = caches.try_borrow_mut() {
            for cache in &mut caches.0 {
                std::mem::forget(cache.take());
            }
        }
    });
}
