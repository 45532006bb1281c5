//! Memory put by for the moment when the system has none.
//!
//! Whatever a caller or a file sizes is allocated in a way that can be answered with [`ErrorKind::Memory`]. What is left are
//! the small allocations of a few hundred bytes that the standard library and others make with no way to say that they
//! failed: they end the process. With this allocator they come, when the system has no memory, from an array that costs
//! nothing before. Every call begins with [`check`] and is refused while the array is half used and the system still has
//! nothing, so that the other half is there for what is under way, and for closing.
//!
//! The C library always has it, through the feature `memory-reserve`, which is on unless a Rust program turns it off to have
//! an allocator of its own.
//!
//! [`ErrorKind::Memory`]: crate::ErrorKind::Memory
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::thread;
use crate::error::{Error, Result};

/// More than all calls need that can reasonably be under way at the same time. Only touched pages become memory.
const BYTES: usize = 2 << 20;
const GRANULE: usize = 64;
const GRANULES: usize = BYTES / GRANULE;
/// What is larger can be had in ways that may fail, and is.
const LARGEST: usize = 64 << 10;
const ALIGNMENT: usize = 4096;
/// The system has memory again when it has this much.
const PROBE_BYTES: usize = 256 << 10;
/// A thread's stack, and its guard.
const STACK_BYTES: usize = thread::STACK_BYTES + (64 << 10);

#[repr(C, align(4096))]
struct Bytes(UnsafeCell<[u8; BYTES]>);

// SAFETY: no reference to the bytes is ever made; the allocator hands out addresses of ranges, each to one owner.
unsafe impl Sync for Bytes {}

static RESERVE: Bytes = Bytes(UnsafeCell::new([0; BYTES]));
/// Which granules are handed out; changed under the lock.
static TAKEN: [AtomicBool; GRANULES] = [const { AtomicBool::new(false) }; GRANULES];
static USED: AtomicUsize = AtomicUsize::new(0);
static LOCKED: AtomicBool = AtomicBool::new(false);

/// The system's allocator, and the reserve behind it.
pub struct Allocator;

/// Answers [`ErrorKind::Memory`](crate::ErrorKind::Memory) if memory is so short that what a call allocates without being
/// able to fail might not be had. Costs a load of a word that nobody writes in better times.
#[inline]
pub fn check() -> Result<()> {
    match USED.load(Ordering::Relaxed) <= GRANULES / 2 {
        true => Ok(()),
        false => check_system(),
    }
}

/// [`check`], whether the reserve is in use or not: for what comes from the system alone, like the record of a thread.
#[cold]
fn check_system() -> Result<()> {
    map(PROBE_BYTES).map_err(|_| Error::memory("a call: free some and try again"))?;
    Ok(())
}

/// [`check_system`], and whether there is room for the stack of a thread besides: what the C library then needs at the start of
/// a thread ends the process if it cannot be had.
#[cold]
pub fn check_for_thread() -> Result<()> {
    let stack = map(STACK_BYTES);
    let _stack = stack.map_err(|_| Error::memory("a thread: free some and try again"))?;
    check_system()
}

/// Memory of the system's, not of the C library's allocator: that would learn from a block of this size to map less, and to keep as
/// much of it in each of its heaps.
fn map(bytes: usize) -> std::io::Result<memmap2::MmapMut> {
    memmap2::MmapMut::map_anon(bytes)
}

/// Bytes of the reserve that are in use.
pub fn used_bytes() -> usize {
    USED.load(Ordering::Relaxed) * GRANULE
}

struct Locked;

impl Locked {
    /// Not a lock of a library: those allocate for threads that wait.
    fn new() -> Self {
        while LOCKED.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
        Self
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        LOCKED.store(false, Ordering::Release);
    }
}

fn granules(bytes: usize) -> usize {
    bytes.div_ceil(GRANULE).max(1)
}

/// Whether `pointer` points into the reserve.
#[inline]
fn holds(pointer: *mut u8) -> bool {
    pointer.addr().wrapping_sub(RESERVE.0.get().addr()) < BYTES
}

/// A range of the reserve, its bytes of any value; null if there is none.
#[cold]
fn take(layout: Layout) -> *mut u8 {
    if layout.size() > LARGEST || layout.align() > ALIGNMENT {
        return ptr::null_mut();
    }
    let count = granules(layout.size());
    let step = granules(layout.align());
    let _locked = Locked::new();
    let mut start = 0;
    while start + count <= GRANULES {
        let mut range = (start..start + count).rev();
        match range.find(|granule| TAKEN[*granule].load(Ordering::Relaxed)) {
            Some(taken) => start = (taken + 1).next_multiple_of(step),
            None => {
                mark(start, count, true);
                USED.fetch_add(count, Ordering::Relaxed);
                let first: *mut u8 = RESERVE.0.get().cast();
                // SAFETY: the range ends within the array.
                return unsafe { first.add(start * GRANULE) };
            }
        }
    }
    ptr::null_mut()
}

/// Takes back what [`take`] gave for this many bytes.
#[cold]
fn give_back(pointer: *mut u8, bytes: usize) {
    let start = (pointer.addr() - RESERVE.0.get().addr()) / GRANULE;
    let count = granules(bytes);
    let _locked = Locked::new();
    mark(start, count, false);
    USED.fetch_sub(count, Ordering::Relaxed);
}

fn mark(start: usize, count: usize, taken: bool) {
    for granule in &TAKEN[start..start + count] {
        granule.store(taken, Ordering::Relaxed);
    }
}

// SAFETY: each block comes from the system's allocator, or from a range of the reserve that nobody else has until it is
// given back, as long and as aligned as asked for; which of them, its address tells. Nothing here panics or allocates.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { System.alloc(layout) };
        if block.is_null() { take(layout) } else { block }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            return block;
        }
        let block = take(layout);
        if !block.is_null() {
            // SAFETY: the range has that many bytes and no other owner.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if holds(block) {
            return give_back(block, layout.size());
        }
        // SAFETY: not from the reserve, so from the system; the rest is the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !holds(block) {
            // SAFETY: not from the reserve, so from the system; the rest is the caller's promise.
            let new = unsafe { System.realloc(block, layout, new_size) };
            if !new.is_null() {
                return new;
            }
        }
        // SAFETY: the caller promises that the new size is not 0 and not too large for the alignment.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: its size is not 0.
        let new = unsafe { self.alloc(new) };
        if !new.is_null() {
            // SAFETY: both blocks have so many bytes, and the new one is nobody else's. The old one is given up once.
            unsafe {
                ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    /// The reserve is one for all tests.
    static ALONE: Mutex<()> = Mutex::new(());

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn ranges_are_aligned_apart_from_each_other_and_come_back() {
        let _alone = ALONE.lock();
        let before = used_bytes();
        let mut ranges = Vec::new();
        for (size, align) in [
            (1, 1),
            (64, 64),
            (65, 8),
            (4096, 4096),
            (100, 512),
            (LARGEST, 16),
        ] {
            let layout = layout(size, align);
            let start = take(layout);
            assert!(!start.is_null() && holds(start));
            assert!(start.addr().is_multiple_of(align));
            ranges.push((start, layout));
        }
        ranges.sort_by_key(|(start, _)| start.addr());
        for pair in ranges.windows(2) {
            assert!(pair[0].0.addr() + pair[0].1.size() <= pair[1].0.addr());
        }
        assert!(used_bytes() > before + LARGEST);
        for (start, layout) in ranges {
            give_back(start, layout.size());
        }
        assert_eq!(used_bytes(), before);
    }

    #[test]
    fn what_can_fail_elsewhere_is_not_taken_from_the_reserve() {
        assert!(take(layout(LARGEST + 1, 1)).is_null());
        assert!(take(layout(1, 2 * ALIGNMENT)).is_null());
    }

    #[test]
    fn a_used_up_reserve_gives_nothing_and_takes_everything_back() {
        let _alone = ALONE.lock();
        let before = used_bytes();
        let piece = layout(LARGEST, 1);
        let mut pieces = Vec::new();
        loop {
            let start = take(piece);
            if start.is_null() {
                break;
            }
            pieces.push(start);
        }
        assert!(pieces.len() * LARGEST + before > BYTES - LARGEST - BYTES / 8);
        // The system has memory.
        assert!(check().is_ok());
        for start in pieces {
            give_back(start, LARGEST);
        }
        assert_eq!(used_bytes(), before);
    }

    #[test]
    fn a_block_of_the_reserve_grows_and_keeps_its_bytes() {
        let _alone = ALONE.lock();
        let old = layout(100, 8);
        let block = take(old);
        // SAFETY: the block has 100 bytes, is grown with the layout it was had with, and freed with the new one.
        unsafe {
            block.write_bytes(7, 100);
            let grown = Allocator.realloc(block, old, 5000);
            assert!(!holds(grown));
            assert!((0..100).all(|at| grown.add(at).read() == 7));
            Allocator.dealloc(grown, layout(5000, 8));
        }
    }
}
