//! File bytes as memory: a shared read side, [`Mapping`], and a unique append side, [`MappingWriter`].
//!
//! The one idea that makes the interface sound: bytes below the published end never change, bytes above it
//! are reachable through nothing but the writer. The writer refuses to write below the published end, and
//! readers get slices of what lies below it only. The published end only grows; it is stored with release
//! and loaded with acquire ordering, so whoever sees an end sees the bytes before it.
//!
//! The memory is either a mapped file or, for the simulated disk and for Miri, a `HeapRegion`. That other
//! processes (or other handles of this one) do not change or cut a mapped file below the published end is a
//! promise of the caller of [`super::File::map`] and [`super::File::map_append`]; the lock on the store's
//! directory is what makes it true. Writing the same bytes there once more is no change.
#![allow(unsafe_code)]

use std::alloc::{self, Layout};
use std::fs;
use std::io;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(target_os = "linux")]
use memmap2::{Advice, UncheckedAdvice};
use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;

use crate::memory::prefetch::prefetch_address;

/// Bytes of a large page of the system, where it has such; see [`Mapping::prefer_large_pages`].
pub const LARGE_PAGE: u64 = 2 << 20;

/// Bytes of a line of the processor's caches.
const LINE_BYTES: usize = 64;

/// How far behind what was written lines are prefetched: what memory brings while a few small records are written.
const AHEAD_BYTES: usize = 512;

/// So many lines at most are prefetched at a time, which is as many as processors fetch at a time. Who writes more writes from memory
/// to memory, which processors are good at.
const MOST_LINES_AHEAD: usize = 8;

/// The readable side of a mapped file, shared by any number of threads. Dropping the last holder, the
/// writer included, unmaps it.
pub struct Mapping {
    base: NonNull<u8>,
    capacity: usize,
    published: AtomicUsize,
    /// Owns what `base` points to.
    memory: Memory,
}

enum Memory {
    File(MmapRaw),
    Heap(Arc<HeapRegion>),
}

// SAFETY: `base` points into `memory`, which is itself `Send + Sync` and lives as long as the mapping.
// Through a shared mapping bytes are only read, and only those below `published`, which nobody writes.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// End of the readable prefix in bytes. Grows only; a read-only mapping is published whole.
    #[inline]
    pub fn published(&self) -> usize {
        self.published.load(Ordering::Acquire)
    }

    /// `length` bytes at `offset`, or `None` if any of them lies beyond the published end.
    #[inline]
    pub fn bytes(&self, offset: usize, length: usize) -> Option<&[u8]> {
        let end = offset.checked_add(length)?;
        if end > self.published() {
            return None;
        }
        // SAFETY: `published <= capacity` always, so the range lies inside the one allocation (map or heap
        // region) that `memory` keeps alive for `&self`. All of it is initialised: a file's bytes or zeroed
        // heap. No byte below `published` is written any more: the only writers are `MappingWriter::write`
        // and `HeapRegion::write`/`zero`, which refuse such offsets, and the acquire load above orders this
        // read after the writes that came before the publication.
        Some(unsafe { slice::from_raw_parts(self.base.as_ptr().add(offset), length) })
    }

    /// Lets the system see to it that `length` bytes at `offset`, of a mapping for appending, are in memory and ready to be written,
    /// which the first write to each page would else wait for. Changes nothing, and whether it was possible shows in nothing but
    /// time.
    pub fn make_ready(&self, offset: usize, length: usize) {
        let within = offset
            .checked_add(length)
            .is_some_and(|end| end <= self.capacity);
        #[cfg(target_os = "linux")]
        if let Memory::File(map) = &self.memory
            && within
        {
            let _ = map.advise_range(Advice::PopulateWrite, offset, length);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = within;
    }

    /// Asks the system for pages of [`LARGE_PAGE`] bytes, where such a stretch of the file is not in its cache yet: they are ready to be written in a
    /// fifth of the time, and loads from them miss fewer translations. Only for files of which such stretches are soon written as
    /// a whole: a sync writes all of a page, however little of it is new. Changes nothing else.
    pub fn prefer_large_pages(&self) {
        #[cfg(target_os = "linux")]
        if let Memory::File(map) = &self.memory {
            let _ = map.advise(Advice::HugePage);
        }
    }

    /// Lets the system see to it that the first `length` bytes are in memory, which the first read of each page would else wait for:
    /// for files that were just written, so that its cache has them, or of which only space is reserved. Changes nothing, and
    /// whether it was possible shows in nothing but time.
    pub fn make_readable(&self, length: usize) {
        let length = length.min(self.capacity);
        #[cfg(target_os = "linux")]
        if let Memory::File(map) = &self.memory {
            let _ = map.advise_range(Advice::PopulateRead, 0, length);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = length;
    }

    /// Lets the system take the pages out of this process's tables, all at once. For files of which nothing is written any more, right
    /// before they are synced: the sync would take write access away page by page, and interrupt every processor that
    /// runs a thread of this process for each. And for those that nobody writes to yet, so that they do not count as its memory. Changes nothing but time: whoever reads the bytes next finds them in the system's cache.
    pub fn leave_pages(&self) {
        #[cfg(target_os = "linux")]
        if let Memory::File(map) = &self.memory {
            // SAFETY: the mapping is shared and of a file, whose pages, written ones too, stay in the system's cache: nothing
            // that is read here differs afterwards, which is all that slices of it rely on.
            let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
        }
    }

    /// Maps the first `length` bytes of `file`, which has at least that many, for reading.
    pub(super) fn of_file(file: &fs::File, length: usize) -> io::Result<Arc<Self>> {
        let map = MmapOptions::new().len(length).map_raw_read_only(file)?;
        Self::new(Memory::File(map), length, length)
    }

    /// The first `length` bytes of `region`, which has at least that many, for reading. They cannot be
    /// written any more while the mapping lives.
    pub(super) fn of_heap(region: &Arc<HeapRegion>, length: usize) -> io::Result<Arc<Self>> {
        Self::new(Memory::Heap(region.clone()), length, length)
    }

    fn new(memory: Memory, published: usize, capacity: usize) -> io::Result<Arc<Self>> {
        let (base, available) = match &memory {
            Memory::File(map) => (NonNull::new(map.as_mut_ptr()), map.len()),
            Memory::Heap(region) => (Some(region.base), region.capacity),
        };
        let Some(base) = base else {
            return Err(io::Error::other("a mapping at address zero"));
        };
        if published > capacity || capacity > available {
            return Err(outside("mapping", published, capacity, available));
        }
        if let Memory::Heap(region) = &memory {
            region.protect(published);
        }
        Ok(Arc::new(Self {
            base,
            capacity,
            published: AtomicUsize::new(published),
            memory,
        }))
    }
}

/// The append side of a mapping: the only way to write through it, and there is one for each.
pub struct MappingWriter {
    mapping: Arc<Mapping>,
    /// End of the bytes that may be touched; never above the capacity, never below the published end.
    limit: usize,
    /// Who carries out writes to heap memory; the mapped file needs nobody.
    heap_writes: Option<Box<dyn HeapWrites>>,
}

/// Carries out the writes of a [`MappingWriter`] over a [`HeapRegion`], so that the simulated disk can count
/// them, refuse them and know which bytes are not yet durable.
pub(super) trait HeapWrites: Send + Sync {
    /// Writes `parts` back to back from `offset`; the range was checked against limit and published end.
    fn write(&self, offset: usize, parts: &[&[u8]]) -> io::Result<()>;
}

impl MappingWriter {
    /// Maps `capacity` bytes of `file`, of which the first `published` exist, for appending. The file is open
    /// for writing and may end before `capacity`.
    pub(super) fn of_file(
        file: &fs::File,
        published: usize,
        capacity: usize,
    ) -> io::Result<(Arc<Mapping>, Self)> {
        let map = MmapOptions::new().len(capacity).map_raw(file)?;
        Ok(Self::new(
            Mapping::new(Memory::File(map), published, capacity)?,
            None,
        ))
    }

    /// The first `capacity` bytes of `region` for appending after `published`, through `writes`.
    pub(super) fn of_heap(
        region: &Arc<HeapRegion>,
        published: usize,
        capacity: usize,
        writes: Box<dyn HeapWrites>,
    ) -> io::Result<(Arc<Mapping>, Self)> {
        Ok(Self::new(
            Mapping::new(Memory::Heap(region.clone()), published, capacity)?,
            Some(writes),
        ))
    }

    fn new(
        mapping: Arc<Mapping>,
        heap_writes: Option<Box<dyn HeapWrites>>,
    ) -> (Arc<Mapping>, Self) {
        let writer = Self {
            limit: mapping.published(),
            mapping: mapping.clone(),
            heap_writes,
        };
        (mapping, writer)
    }

    /// End of the mapping in bytes: no limit goes beyond it.
    pub fn capacity(&self) -> usize {
        self.mapping.capacity
    }

    /// Allows writing below `limit` (at first the published end), or below the capacity if that is less. The
    /// caller answers for it that the file has really allocated blocks up to there: writing into a mapped
    /// hole of a full file system, or beyond the end of a file, kills the process.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.clamp(self.mapping.published(), self.mapping.capacity);
    }

    /// Writes `parts` back to back from `offset` on; readers do not see them before [`Self::publish`].
    /// `InvalidInput`, with nothing written, if `offset` is below the published end or the end above the limit.
    pub fn write(&mut self, offset: usize, parts: &[&[u8]]) -> io::Result<()> {
        let end = parts
            .iter()
            .try_fold(offset, |end, part| end.checked_add(part.len()));
        let published = self.mapping.published();
        match end {
            Some(end) if offset >= published && end <= self.limit => {}
            _ => return Err(outside("mapped write", published, offset, self.limit)),
        }
        if let Some(writes) = &self.heap_writes {
            return writes.write(offset, parts);
        }
        let mut at = offset;
        for part in parts {
            // SAFETY: `at + part.len() <= limit <= capacity`, so the target lies inside the map, which is
            // writable (`map_raw`) and alive. `at >= published`, and only `&mut self`, of which there is one
            // for the mapping, moves `published` or writes: nobody reads or writes the target meanwhile, and
            // `part`, being a live slice, cannot overlap bytes that no slice can be had of.
            unsafe {
                ptr::copy_nonoverlapping(
                    part.as_ptr(),
                    self.mapping.base.as_ptr().add(at),
                    part.len(),
                );
            }
            at += part.len();
        }
        self.prefetch_ahead(at, at - offset);
        Ok(())
    }

    /// The `length` bytes at `offset`, whatever they are, to be written before [`Self::publish`], until when readers do not see them.
    /// `None` if `offset` is below the published end or the end above the limit, and where somebody carries out writes.
    #[inline(always)]
    pub fn place(&mut self, offset: usize, length: usize) -> Option<&mut [u8]> {
        let end = offset.checked_add(length)?;
        if offset < self.mapping.published() || end > self.limit || self.heap_writes.is_some() {
            return None;
        }
        self.prefetch_ahead(end, length);
        // SAFETY: `end <= limit <= capacity`, so the bytes lie inside the map, which is writable (`map_raw`), alive, and initialised, as
        // a file's bytes are. `offset >= published`, and only `&mut self`, of which there is one for the mapping, moves `published` or
        // writes, and it is borrowed as long as the slice is: nobody else reads or writes these bytes meanwhile.
        Some(unsafe { slice::from_raw_parts_mut(self.mapping.base.as_ptr().add(offset), length) })
    }

    /// Brings lines near that are to be written soon, as many as `length` bytes before `end` have: those that lie [`AHEAD_BYTES`] farther on.
    /// A write that waits for memory holds up every read of what was just written beside it, and every lock.
    #[inline(always)]
    fn prefetch_ahead(&self, end: usize, length: usize) {
        let lines = (end / LINE_BYTES - (end - length) / LINE_BYTES).min(MOST_LINES_AHEAD);
        // Beyond the mapping's end nothing is brought near, and nothing else happens.
        let first = self.mapping.base.as_ptr().wrapping_add(end + AHEAD_BYTES);
        for line in 0..lines {
            prefetch_address(first.wrapping_sub(line * LINE_BYTES));
        }
    }

    /// Lets readers see everything below `end`, which must have been written; never takes back what is
    /// published already and never publishes beyond the limit.
    #[inline(always)]
    pub fn publish(&mut self, end: usize) {
        debug_assert!(end <= self.limit, "published beyond what may be touched");
        let end = end.min(self.limit);
        if end <= self.mapping.published() {
            return;
        }
        if let Memory::Heap(region) = &self.mapping.memory {
            region.protect(end);
        }
        self.mapping.published.store(end, Ordering::Release);
    }
}

fn outside(what: &str, published: usize, offset: usize, limit: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{what} at byte {offset} outside of {published}..{limit}"),
    )
}
/// Zeroed heap memory of a fixed size that several handles of one simulated file and its mappings share: its
/// page cache. Reads and writes of handles exclude each other by a lock; mappings read without it, which is
/// sound because bytes that a mapping has published are protected from then on.
pub(super) struct HeapRegion {
    base: NonNull<u8>,
    capacity: usize,
    /// End of the bytes that mappings may have handed out slices of. Locked during every access that does
    /// not come from a mapping.
    protected: Mutex<usize>,
}

// SAFETY: the region owns the memory behind `base`, and all access to it is ordered by the lock, except for
// reads of protected bytes, which nobody writes.
unsafe impl Send for HeapRegion {}
// SAFETY: as above.
unsafe impl Sync for HeapRegion {}
impl HeapRegion {
    /// A region of `capacity` zeros. Large ones cost memory only where they are written. `OutOfMemory` if
    /// there is none.
    pub(super) fn new(capacity: usize) -> io::Result<Arc<Self>> {
        let layout = Self::layout(capacity).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: the layout's size is not zero.
        let base = NonNull::new(unsafe { alloc::alloc_zeroed(layout) });
        Ok(Arc::new(Self {
            base: base.ok_or(io::ErrorKind::OutOfMemory)?,
            capacity,
            protected: Mutex::new(0),
        }))
    }

    fn layout(capacity: usize) -> Option<Layout> {
        Layout::from_size_align(capacity.max(1), 1).ok()
    }

    /// Size in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// End of the bytes that cannot be written.
    pub(super) fn protected(&self) -> usize {
        *self.protected.lock()
    }

    /// Shows all bytes to `look`; no handle writes meanwhile.
    pub(super) fn with_bytes<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        let _protected = self.protected.lock();
        // SAFETY: the memory is zeroed at first, thus initialised, and alive for `&self`. `write` and `zero`
        // are the only writers and need the lock that is held here.
        look(unsafe { slice::from_raw_parts(self.base.as_ptr(), self.capacity) })
    }

    /// Writes `bytes` at `offset`; `InvalidInput` if that is not inside the region or changes protected bytes.
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let protected = self.protected.lock();
        if self.are_protected(*protected, offset, bytes) {
            return Ok(());
        }
        self.check_writable(*protected, offset, bytes.len())?;
        // SAFETY: the check says that the target lies inside the region and above everything that a mapping
        // may have handed out; `with_bytes`, the other way to a slice, is kept out by the lock. So `bytes`, a
        // live slice, does not overlap it and nobody else accesses it.
        unsafe {
            let target = self.base.as_ptr().add(offset);
            ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        Ok(())
    }

    /// Sets `length` bytes at `offset` to zero; refused as [`Self::write`] is.
    pub(super) fn zero(&self, offset: usize, length: usize) -> io::Result<()> {
        let protected = self.protected.lock();
        self.check_writable(*protected, offset, length)?;
        // SAFETY: as in `write`.
        unsafe { ptr::write_bytes(self.base.as_ptr().add(offset), 0, length) };
        Ok(())
    }

    /// Whether the bytes from `offset` on are `bytes`, all of them protected: so that writing them again changes nothing.
    fn are_protected(&self, protected: usize, offset: usize, bytes: &[u8]) -> bool {
        let end = offset.checked_add(bytes.len());
        if end.is_none_or(|end| end > protected.min(self.capacity)) {
            return false;
        }
        // SAFETY: the range lies inside the region, whose memory is initialised and alive for `&self`, and below what is
        // protected, where nobody writes.
        let there = unsafe { slice::from_raw_parts(self.base.as_ptr().add(offset), bytes.len()) };
        there == bytes
    }

    fn check_writable(&self, protected: usize, offset: usize, length: usize) -> io::Result<()> {
        match offset.checked_add(length) {
            Some(end) if offset >= protected && end <= self.capacity => Ok(()),
            _ => Err(outside("write", protected, offset, self.capacity)),
        }
    }

    /// Nothing below `end` can be written from now on.
    pub(super) fn protect(&self, end: usize) {
        let mut protected = self.protected.lock();
        *protected = end.max(*protected);
    }

    /// Lifts the protection if no mapping holds the region any more.
    pub(super) fn release(region: &mut Arc<Self>) {
        if let Some(alone) = Arc::get_mut(region) {
            *alone.protected.get_mut() = 0;
        }
    }
}

impl Drop for HeapRegion {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.capacity) {
            // SAFETY: allocated in `new` with this layout; mappings hold the region by `Arc`, so none is left.
            unsafe { alloc::dealloc(self.base.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests;
