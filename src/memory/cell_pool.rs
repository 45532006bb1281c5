//! Cells for small objects: lengths of up to a page, out of pages of the arena that the objects' owner has anyway.
//!
//! What is made and dropped again and again while a store lives leaves holes in the C library's heap, and what survives among
//! them keeps the heap from getting smaller. Here a cell is always taken from the first page that has room, in one fixed order. So what
//! is made late moves to the front, and pages at the end become free and go back to the arena.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;

use parking_lot::Mutex;

use super::page_arena::{PAGE_BYTES, PageArena};
use crate::error::{Error, Result};

/// A cell is so long, or a multiple of it; and aligned to it.
pub(super) const GRANULE_BYTES: usize = 64;
const GRANULES: usize = PAGE_BYTES / GRANULE_BYTES;
const _: () = assert!(GRANULES == u64::BITS as usize);

/// Hands out cells. All methods may be called from any thread; each holds a lock for some nanoseconds.
pub struct CellPool {
    arena: Arc<PageArena>,
    state: Mutex<State>,
}

struct State {
    /// From high addresses to low ones, as the arena hands them out.
    pages: Vec<Page>,
    /// No page before this one has so many granules in a row; the first is of none.
    first_with: [usize; GRANULES + 1],
}

struct Page {
    base: NonNull<u8>,
    /// A bit per granule.
    free: u64,
}

// SAFETY: the page is the pool's own; what is in it is reached through cells only, each by its one owner.
unsafe impl Send for Page {}

/// Bytes of a cell for `bytes`.
pub(super) const fn cell_bytes(bytes: usize) -> usize {
    bytes.next_multiple_of(GRANULE_BYTES)
}

/// How many granules `bytes`, at least one, take.
fn granules(bytes: usize) -> usize {
    cell_bytes(bytes) / GRANULE_BYTES
}

/// The bits of so many granules, from the first.
fn bits(count: usize) -> u64 {
    u64::MAX >> (GRANULES - count)
}

/// Where the first `count` bits in a row begin that are set in `free`.
fn row(free: u64, count: usize) -> Option<usize> {
    let mut starts = free;
    let mut length = 1;
    while length < count {
        let step = length.min(count - length);
        starts &= starts >> step;
        length += step;
    }
    (starts != 0).then(|| starts.trailing_zeros() as usize)
}

impl CellPool {
    /// A pool over pages of `arena`, which has none yet.
    pub fn new(arena: Arc<PageArena>) -> Self {
        Self {
            arena,
            state: Mutex::new(State {
                pages: Vec::new(),
                first_with: [0; GRANULES + 1],
            }),
        }
    }

    /// Bytes of the pages that the cells lie in.
    #[cfg(test)]
    pub fn allocated_bytes(&self) -> usize {
        self.state.lock().pages.len() * PAGE_BYTES
    }

    /// A cell of at least `bytes`, from 1 to a page, aligned to 64. What is in it is anything.
    ///
    /// # Errors
    /// `Memory` if there is no page to be had.
    pub(super) fn allocate(&self, bytes: usize) -> Result<NonNull<u8>> {
        let count = granules(bytes);
        debug_assert!((1..=GRANULES).contains(&count));
        loop {
            if let Some(cell) = self.state.lock().take(count) {
                return Ok(cell);
            }
            // Not under the lock: the system may take its time.
            let page = self.arena.allocate(PAGE_BYTES)?;
            if let Err(error) = self.state.lock().add(page) {
                // SAFETY: allocated just above, and known to nobody else.
                unsafe { self.arena.release(page, PAGE_BYTES) };
                return Err(error);
            }
        }
    }

    /// Takes a cell back.
    ///
    /// # Safety
    /// `cell` came from [`CellPool::allocate`] of this pool with the same `bytes`, was not released since, and nobody uses
    /// its memory any more.
    pub(super) unsafe fn release(&self, cell: NonNull<u8>, bytes: usize) {
        let free_page = self.state.lock().put(cell, granules(bytes));
        if let Some(page) = free_page {
            // SAFETY: the page is no longer in the list, and none of its cells is in use.
            unsafe { self.arena.release(page, PAGE_BYTES) };
        }
    }
}

impl State {
    fn take(&mut self, count: usize) -> Option<NonNull<u8>> {
        let first = self.first_with[count];
        let mut rows = self.pages[first..].iter().map(|page| row(page.free, count));
        let Some((skipped, start)) = rows
            .by_ref()
            .enumerate()
            .find_map(|(skipped, row)| Some((skipped, row?)))
        else {
            self.first_with[count] = self.pages.len();
            return None;
        };
        self.first_with[count] = first + skipped;
        let page = &mut self.pages[first + skipped];
        page.free &= !(bits(count) << start);
        // SAFETY: the row lies in the page.
        Some(unsafe { page.base.add(start * GRANULE_BYTES) })
    }

    fn add(&mut self, base: NonNull<u8>) -> Result<()> {
        let reserved = self.pages.try_reserve(1);
        reserved.map_err(|_| Error::memory("a list of pages"))?;
        let place = self.pages.partition_point(|page| page.base > base);
        let free = u64::MAX;
        self.pages.insert(place, Page { base, free });
        self.look_from(place);
        Ok(())
    }

    /// Marks a cell free; answers its page if that leaves it without any, and forgets it.
    fn put(&mut self, cell: NonNull<u8>, count: usize) -> Option<NonNull<u8>> {
        let offset = cell.addr().get() % PAGE_BYTES;
        let after = |page: &Page| page.base > cell;
        let place = self.pages.partition_point(after);
        let page = &mut self.pages[place];
        debug_assert_eq!(page.base.addr().get(), cell.addr().get() - offset);
        page.free |= bits(count) << (offset / GRANULE_BYTES);
        let (base, free) = (page.base, page.free);
        self.look_from(place);
        if free != u64::MAX {
            return None;
        }
        self.pages.remove(place);
        if self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.capacity() / 2);
        }
        Some(base)
    }

    /// There is more room in this page than was known, or the list begins to be another one there.
    fn look_from(&mut self, place: usize) {
        for first in &mut self.first_with {
            *first = (*first).min(place);
        }
    }
}

impl Drop for CellPool {
    fn drop(&mut self) {
        // Every cell keeps its pool alive, so that all of them have come back.
        debug_assert!(self.state.get_mut().pages.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> (Arc<PageArena>, CellPool) {
        let arena = Arc::new(PageArena::new(usize::MAX));
        (arena.clone(), CellPool::new(arena))
    }

    fn release(pool: &CellPool, cells: impl IntoIterator<Item = (NonNull<u8>, usize)>) {
        for (cell, bytes) in cells {
            // SAFETY: the tests release each cell once, with the length it was had with, and do not use it then.
            unsafe { pool.release(cell, bytes) };
        }
    }

    #[test]
    fn the_first_row_that_is_long_enough_is_found() {
        assert_eq!(row(0, 1), None);
        assert_eq!(row(u64::MAX, 64), Some(0));
        assert_eq!(row(u64::MAX << 1, 64), None);
        assert_eq!(row(0b1110_1101_1000, 2), Some(3));
        assert_eq!(row(0b1110_1101_1000, 3), Some(9));
        assert_eq!(row(0b1110_1101_1000, 4), None);
        assert_eq!(row(0x7fff << 49, 15), Some(49));
    }

    #[test]
    fn cells_are_aligned_lie_apart_from_each_other_and_do_not_cross_pages() {
        let (arena, pool) = pool();
        let lengths = (0..300_usize).map(|number| number * 97 % PAGE_BYTES + 1);
        let mut cells: Vec<_> = lengths
            .map(|bytes| (pool.allocate(bytes).unwrap(), bytes))
            .collect();
        cells.sort_by_key(|(cell, _)| *cell);
        for (number, (cell, bytes)) in cells.iter().enumerate() {
            let start = cell.addr().get();
            assert!(start.is_multiple_of(GRANULE_BYTES));
            assert!(start % PAGE_BYTES + bytes <= PAGE_BYTES);
            if let Some((next, _)) = cells.get(number + 1) {
                assert!(start + bytes <= next.addr().get());
            }
        }
        assert_eq!(arena.statistics().allocated_bytes, pool.allocated_bytes());
        release(&pool, cells);
        assert_eq!(pool.allocated_bytes(), 0);
        assert_eq!(arena.statistics().allocated_bytes, 0);
    }

    #[test]
    fn what_replaces_a_tenth_of_the_cells_again_and_again_ends_in_a_tenth_of_the_pages() {
        let (_, pool) = pool();
        let allocate = |bytes: usize| (pool.allocate(bytes).unwrap(), bytes);
        // Miri takes minutes for them all.
        let count = if cfg!(miri) { 400 } else { 4000 };
        let mut cells: Vec<_> = (0..count)
            .map(|number| allocate(200 + number % 3 * 100))
            .collect();
        let all = pool.allocated_bytes();
        // Two go for each that comes, as when shards are merged.
        while cells.len() > count / 10 {
            let merged = cells.split_off(cells.len() / 2);
            let halves = cells.len();
            for (number, pair) in merged.chunks(2).enumerate() {
                let new = allocate(200 + number % 3 * 100);
                release(&pool, pair.iter().copied());
                let half = &mut cells[number * 7 % halves];
                release(&pool, [*half]);
                *half = new;
            }
        }
        assert!(pool.allocated_bytes() <= all / 6);
        release(&pool, cells);
        assert_eq!(pool.allocated_bytes(), 0);
    }

    #[test]
    fn without_a_page_there_is_no_cell_and_those_there_are_stay() {
        let arena = Arc::new(PageArena::new(2 << 20));
        let pool = CellPool::new(arena.clone());
        let mut cells = Vec::new();
        let error = loop {
            match pool.allocate(PAGE_BYTES / 2) {
                Ok(cell) => cells.push((cell, PAGE_BYTES / 2)),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), crate::error::ErrorKind::Memory);
        assert_eq!(cells.len() * PAGE_BYTES / 2, 2 << 20);
        release(&pool, cells);
        assert_eq!(arena.statistics().allocated_bytes, 0);
    }
}
