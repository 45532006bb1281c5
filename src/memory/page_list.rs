//! A list of pages seen as 64-byte lines of atomics: the memory of a packed table.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;

use super::page_arena::{PAGE_BYTES, PageArena};
use super::sync::atomic::{AtomicU8, AtomicU64};
use crate::error::{Error, Result};

/// Bytes of a line: what the processor moves at once.
pub const LINE_BYTES: usize = 64;

/// Number of lines in a page; a handful where loom tries all that may happen to them.
pub const LINES: usize = if cfg!(loom) {
    4
} else {
    PAGE_BYTES / LINE_BYTES
};

/// A line of eight 64-bit words that any thread may read and write.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct WordLine(pub [AtomicU64; 8]);

/// A line of bytes that any thread may read and write.
#[derive(Debug)]
#[repr(align(64))]
pub struct ByteLine(pub [AtomicU8; LINE_BYTES]);

/// What a page may be made of.
///
/// # Safety
/// An implementor is [`LINE_BYTES`] long and aligned to as much at most, any bytes are a valid value, and everything
/// in it may be shared between threads.
pub unsafe trait Line: Send + Sync + Sized {
    /// A zeroed page.
    ///
    /// # Errors
    /// `Memory` if the arena has no more.
    #[cfg(not(loom))]
    fn allocate(arena: &PageArena) -> Result<NonNull<[Self; LINES]>> {
        Ok(arena.allocate(PAGE_BYTES)?.cast())
    }

    /// Takes a page back.
    ///
    /// # Safety
    /// The page came from [`Line::allocate`] with the same arena, and nobody uses it any more.
    #[cfg(not(loom))]
    unsafe fn release(page: NonNull<[Self; LINES]>, arena: &PageArena) {
        // SAFETY: the caller's promise.
        unsafe { arena.release(page.cast(), PAGE_BYTES) };
    }

    /// Zero. Loom's atomics are no plain bytes, so its pages are made one by one.
    #[cfg(loom)]
    fn zero() -> Self;

    /// [`Line::allocate`] elsewhere.
    ///
    /// # Errors
    /// None.
    #[cfg(loom)]
    fn allocate(_arena: &PageArena) -> Result<NonNull<[Self; LINES]>> {
        let page = Box::new(std::array::from_fn(|_| Self::zero()));
        Ok(NonNull::from(Box::leak(page)))
    }

    /// [`Line::release`] elsewhere.
    ///
    /// # Safety
    /// The same.
    #[cfg(loom)]
    unsafe fn release(page: NonNull<[Self; LINES]>, _arena: &PageArena) {
        // SAFETY: the caller's promise; the page was a box.
        drop(unsafe { Box::from_raw(page.as_ptr()) });
    }
}
// SAFETY: 64 bytes of atomics, for which all bytes are valid.
unsafe impl Line for WordLine {
    #[cfg(loom)]
    fn zero() -> Self {
        Self::default()
    }
}
// SAFETY: as above.
unsafe impl Line for ByteLine {
    #[cfg(loom)]
    fn zero() -> Self {
        Self(std::array::from_fn(|_| AtomicU8::new(0)))
    }
}

/// Zeroed pages, as many as it was made with and were added. The addresses of the first `INLINE` pages lie in the list itself, which
/// saves readers a dependent load; more are possible.
pub struct PageList<L: Line, const INLINE: usize> {
    arena: Arc<PageArena>,
    count: usize,
    /// The first `count.min(INLINE)` are pages; the rest dangle.
    inline: [NonNull<[L; LINES]>; INLINE],
    more: Vec<NonNull<[L; LINES]>>,
}

// SAFETY: the list owns its pages, and what is in them may be shared between threads.
unsafe impl<L: Line, const INLINE: usize> Send for PageList<L, INLINE> {}
// SAFETY: as above; the list itself changes only where nobody else has it.
unsafe impl<L: Line, const INLINE: usize> Sync for PageList<L, INLINE> {}

impl<L: Line, const INLINE: usize> PageList<L, INLINE> {
    /// A list of `count` zeroed pages.
    ///
    /// # Errors
    /// `Memory` if the arena has no more; then nothing is kept.
    pub fn new(arena: Arc<PageArena>, count: usize) -> Result<Self> {
        let mut list = Self {
            arena,
            count: 0,
            inline: [NonNull::dangling(); INLINE],
            more: Vec::new(),
        };
        let beyond = count.saturating_sub(INLINE);
        let reserved = list.more.try_reserve_exact(beyond);
        reserved.map_err(|_| Error::memory("a list of pages"))?;
        for _ in 0..count {
            list.add()?;
        }
        Ok(list)
    }

    /// Appends a zeroed page.
    ///
    /// # Errors
    /// `Memory` if the arena has no more; then the list is as it was.
    pub fn add(&mut self) -> Result<()> {
        let reserved = self.more.try_reserve(usize::from(self.count >= INLINE));
        reserved.map_err(|_| Error::memory("a list of pages"))?;
        let pointer = L::allocate(&self.arena)?;
        match self.inline.get_mut(self.count) {
            Some(inline) => *inline = pointer,
            None => self.more.push(pointer),
        }
        self.count += 1;
        Ok(())
    }

    /// Number of pages.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The lines of page `page`, which must be below [`PageList::count`]; beyond it panics.
    #[inline]
    pub fn lines(&self, page: usize) -> &[L; LINES] {
        let pointer = match self.inline.get(page) {
            Some(inline) if page < self.count => *inline,
            _ => self.beyond_inline(page),
        };
        // SAFETY: entries below `count` are zeroed pages of PAGE_BYTES bytes aligned to as much, which the
        // list owns until it is dropped; `Line` says that they are valid and may be shared.
        unsafe { pointer.as_ref() }
    }

    /// The page of that number, which is not among the inline ones.
    #[cold]
    fn beyond_inline(&self, page: usize) -> NonNull<[L; LINES]> {
        assert!(page < self.count, "a page beyond the end of the list");
        self.more[page - INLINE]
    }
}

impl<L: Line, const INLINE: usize> Drop for PageList<L, INLINE> {
    fn drop(&mut self) {
        let inline = &self.inline[..self.count.min(INLINE)];
        for page in inline.iter().chain(&self.more) {
            // SAFETY: allocated by `new`, released once, and `&mut self` ends all borrows.
            unsafe { L::release(*page, &self.arena) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn pages_are_zeroed_distinct_and_shared_between_threads() {
        let arena = Arc::new(PageArena::new(usize::MAX));
        for _ in 0..2 {
            let list = PageList::<WordLine, 2>::new(arena.clone(), 4).unwrap();
            assert_eq!(list.count(), 4);
            std::thread::scope(|scope| {
                for page in 0..4 {
                    let list = &list;
                    scope.spawn(move || {
                        for (number, line) in list.lines(page).iter().enumerate() {
                            for word in &line.0 {
                                assert_eq!(word.load(Relaxed), 0);
                                word.store((page * LINES + number) as u64 + 1, Relaxed);
                            }
                        }
                    });
                }
            });
            for page in 0..4 {
                for (number, line) in list.lines(page).iter().enumerate() {
                    assert_eq!(line.0[7].load(Relaxed), (page * LINES + number) as u64 + 1);
                }
            }
        }
        assert_eq!(arena.statistics().allocated_bytes, 0);
    }

    #[test]
    fn a_list_that_does_not_fit_is_refused_and_leaves_nothing_behind() {
        let arena = Arc::new(PageArena::new(2 << 20));
        let result = PageList::<WordLine, 4>::new(arena.clone(), 513);
        assert_eq!(
            result.err().map(|error| error.kind()),
            Some(ErrorKind::Memory)
        );
        assert_eq!(arena.statistics().allocated_bytes, 0);
        assert!(PageList::<WordLine, 4>::new(arena, 512).is_ok());
    }

    #[test]
    #[should_panic(expected = "beyond the end")]
    fn a_page_beyond_the_end_is_never_handed_out() {
        let arena = Arc::new(PageArena::new(usize::MAX));
        PageList::<WordLine, 4>::new(arena, 2).unwrap().lines(2);
    }
}
