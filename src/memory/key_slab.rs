//! The key slab: keys back to back, each as {varint length, bytes}, in a stream of bytes over pages.
//!
//! A record may run across pages, so nothing is lost at their ends. Records never change once published;
//! one appender adds to the end while any number of threads read.
#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::budget::HeapCharge;
use super::page_arena::{LARGEST_RUN_BYTES, PAGE_BYTES, PageArena};
use super::prefetch::prefetch;
use crate::error::{Error, ErrorKind, Result};

/// Longest key in bytes.
pub const MAX_KEY_BYTES: usize = 65536;

/// Most bytes a slab can hold: what a 24-bit reference can address, but for the largest, which is free to mean something
/// else.
pub const MAX_SLAB_BYTES: usize = (1 << 24) - 1;

/// The list of pages is made of blocks of 8, 16, 32 … entries, so that it grows without moving under readers.
const FIRST_BLOCK: usize = 8;
const BLOCKS: usize = 10;
const _: () = assert!(FIRST_BLOCK * ((1 << BLOCKS) - 1) >= MAX_SLAB_BYTES / PAGE_BYTES);

/// Some entries of the list of pages.
struct Block {
    entries: Box<[AtomicPtr<u8>]>,
    _charge: HeapCharge,
}

/// The readers' side of a slab. All methods may be called from any thread.
pub struct KeySlab {
    arena: Arc<PageArena>,
    page_shift: u32,
    /// Every byte below is written and will not change.
    published: AtomicU32,
    pages: AtomicU32,
    blocks: [OnceLock<Block>; BLOCKS],
    /// For the slab besides pages and blocks.
    _charge: HeapCharge,
}

/// What a slab held when this was made, for who reads many of its records: finding their pages takes fewer steps.
pub struct KeySlabView<'a> {
    slab: &'a KeySlab,
    /// The published bytes of each page.
    pages: Vec<&'a [u8]>,
}

/// The one writer of a slab.
pub struct KeyAppender {
    slab: Arc<KeySlab>,
    /// End of the prepared record, or of the published ones if none is prepared.
    prepared_end: u32,
    /// The page that was added last, in which most records are written; it dangles while there is none.
    newest: NonNull<u8>,
    /// Which bytes of the slab it holds, or may hold; none while there is no page.
    newest_bytes: Range<u32>,
}

// SAFETY: the page is the slab's, which the appender owns a share of; through this address only the appender writes, where nobody
// else looks yet.
unsafe impl Send for KeyAppender {}
// SAFETY: all that changes the page takes the appender by `&mut`.
unsafe impl Sync for KeyAppender {}

/// Refuses a key that is too long.
///
/// # Errors
/// `TooLarge` if the key is longer than [`MAX_KEY_BYTES`].
#[inline]
pub fn check_key_length(key: &[u8]) -> Result<()> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    let message = format!(
        "a key of {} bytes: at most {MAX_KEY_BYTES} are possible",
        key.len()
    );
    Err(Error::new(ErrorKind::TooLarge, message))
}

/// Bytes that a key of `key_length` bytes, at most [`MAX_KEY_BYTES`], takes in a slab.
#[inline]
pub fn record_bytes(key_length: usize) -> usize {
    key_length + 1 + usize::from(key_length >= 0x80) + usize::from(key_length >= 0x4000)
}

/// The LEB128 encoding of `value`, which is below 2^21, and its length.
fn varint(value: usize) -> ([u8; 3], usize) {
    debug_assert!(value < 1 << 21);
    let low = (value & 0x7f) as u8;
    let middle = (value >> 7 & 0x7f) as u8;
    match value {
        0..0x80 => ([low, 0, 0], 1),
        0x80..0x4000 => ([low | 0x80, middle, 0], 2),
        _ => ([low | 0x80, middle | 0x80, (value >> 14) as u8], 3),
    }
}

impl KeySlab {
    /// An empty slab over pages of `page_bytes`, and its appender.
    ///
    /// # Errors
    /// `Invalid` unless `page_bytes` is a power of two from 4 KiB to 1 MiB.
    pub fn new(arena: Arc<PageArena>, page_bytes: usize) -> Result<(Arc<Self>, KeyAppender)> {
        if !page_bytes.is_power_of_two() || !(PAGE_BYTES..=LARGEST_RUN_BYTES).contains(&page_bytes)
        {
            let message = format!(
                "slab pages of {page_bytes} bytes: give a power of two from {PAGE_BYTES} to {LARGEST_RUN_BYTES}"
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let charge = arena.budget().charge(size_of::<Self>())?;
        let slab = Arc::new(Self {
            _charge: charge,
            arena,
            page_shift: page_bytes.trailing_zeros(),
            published: AtomicU32::new(0),
            pages: AtomicU32::new(0),
            blocks: Default::default(),
        });
        let appender = KeyAppender {
            slab: slab.clone(),
            prepared_end: 0,
            newest: NonNull::dangling(),
            newest_bytes: 0..0,
        };
        Ok((slab, appender))
    }

    /// Bytes of all published records, dead ones too.
    #[inline]
    pub fn published_bytes(&self) -> usize {
        self.published.load(Ordering::Acquire) as usize
    }

    /// Number of pages.
    pub fn page_count(&self) -> usize {
        self.pages.load(Ordering::Relaxed) as usize
    }

    /// Bytes of all pages.
    pub fn allocated_bytes(&self) -> usize {
        self.page_count() << self.page_shift
    }

    /// Whether the record at `reference` holds exactly `key`.
    ///
    /// # Errors
    /// `Invalid` if no record can begin at `reference`.
    #[inline]
    pub fn matches(&self, reference: u32, key: &[u8]) -> Result<bool> {
        match self.short_key(reference) {
            Some(stored) => Ok(stored == key),
            None => self.matches_in_parts(reference, key),
        }
    }

    /// Length in bytes of the key at `reference`.
    ///
    /// # Errors
    /// `Invalid` if no record can begin at `reference`.
    pub fn key_length(&self, reference: u32) -> Result<usize> {
        Ok(self.record(reference)?.1)
    }

    /// The key at `reference`: in place where it lies in one page, else put together in `scratch`.
    ///
    /// # Errors
    /// `Invalid` if no record can begin at `reference`; `Memory` if `scratch` cannot grow.
    #[inline]
    pub fn key<'a>(&'a self, reference: u32, scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        match self.short_key(reference) {
            Some(key) => Ok(key),
            None => self.key_in_parts(reference, scratch),
        }
    }

    /// What is published now.
    ///
    /// # Errors
    /// `Memory`.
    pub fn view(&self) -> Result<KeySlabView<'_>> {
        let mut pages = Vec::new();
        let published = self.published_bytes();
        let reserved = pages.try_reserve_exact(published.div_ceil(self.page_bytes()));
        reserved.map_err(|_| Error::memory("the pages of a slab"))?;
        pages.extend((0..published).step_by(self.page_bytes()).map(|start| {
            let tail = self.tail(start);
            &tail[..tail.len().min(published - start)]
        }));
        Ok(KeySlabView { slab: self, pages })
    }

    /// Appends all published bytes to `bytes`, which should have room for them.
    pub fn copy_to(&self, bytes: &mut Vec<u8>) {
        let end = self.published_bytes();
        let mut start = 0;
        while start < end {
            let tail = self.tail(start);
            let piece = &tail[..tail.len().min(end - start)];
            bytes.extend_from_slice(piece);
            start += piece.len();
        }
    }

    /// Brings the beginning of the record at `reference` near.
    #[inline]
    pub fn prefetch(&self, reference: u32) {
        if let Some(byte) = self.tail(reference as usize).first() {
            prefetch(byte);
        }
    }

    #[inline]
    fn page_bytes(&self) -> usize {
        // The shift is 20 at most; this one is not checked.
        1_usize.wrapping_shl(self.page_shift)
    }

    /// The key at `reference` if it is short, as most are, and lies in one page.
    #[inline]
    fn short_key(&self, reference: u32) -> Option<&[u8]> {
        short_record(self.tail(reference as usize))?.get(1..)
    }

    fn key_in_parts<'a>(&'a self, reference: u32, scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let (start, length) = self.record(reference)?;
        if let Some(key) = self.tail(start).get(..length) {
            return Ok(key);
        }
        scratch.clear();
        let reserved = scratch.try_reserve(length);
        reserved.map_err(|_| Error::memory("a copy of a key"))?;
        while scratch.len() < length {
            let tail = self.tail(start + scratch.len());
            scratch.extend_from_slice(&tail[..tail.len().min(length - scratch.len())]);
        }
        Ok(scratch)
    }

    fn matches_in_parts(&self, reference: u32, key: &[u8]) -> Result<bool> {
        let (mut start, length) = self.record(reference)?;
        if length != key.len() {
            return Ok(false);
        }
        let mut rest = key;
        while !rest.is_empty() {
            let tail = self.tail(start);
            let (head, more) = rest.split_at(rest.len().min(tail.len()));
            if *head != tail[..head.len()] {
                return Ok(false);
            }
            start += head.len();
            rest = more;
        }
        Ok(true)
    }

    /// Where the key of the record at `reference` begins, and its length; both lie below the published end.
    fn record(&self, reference: u32) -> Result<(usize, usize)> {
        let published = self.published_bytes();
        let mut start = reference as usize;
        let mut length = 0;
        for shift in [0, 7, 14] {
            let Some(byte) = self.tail(start).first() else {
                break;
            };
            start += 1;
            length |= usize::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                if length <= published - start {
                    return Ok((start, length));
                }
                break;
            }
        }
        let message = format!("no key begins at byte {reference} of a slab of {published} bytes");
        Err(Error::new(ErrorKind::Invalid, message))
    }

    /// The published bytes from `start` to the end of their page; none beyond the published end.
    #[inline]
    fn tail(&self, start: usize) -> &[u8] {
        let published = self.published_bytes();
        if start >= published {
            return &[];
        }
        let offset = start & (self.page_bytes() - 1);
        let length = (published - start).min(self.page_bytes() - offset);
        let page = self.page_pointer(start.wrapping_shr(self.page_shift));
        // SAFETY: the range is published, so its page is in the list, it was written before the publishing
        // store that the load above acquired, and no one writes there again; it ends inside the page, which
        // the slab owns as long as `self` is borrowed.
        unsafe { std::slice::from_raw_parts(page.add(offset), length) }
    }

    /// Address of a page below the page count.
    #[inline]
    fn page_pointer(&self, page: usize) -> *mut u8 {
        let (block, entry) = Self::block_entry(page);
        let block = self.blocks[block].get();
        block.expect("a page in use has an entry").entries[entry].load(Ordering::Relaxed)
    }

    #[inline]
    fn block_entry(page: usize) -> (usize, usize) {
        let number = page + FIRST_BLOCK;
        let block = (number / FIRST_BLOCK).ilog2() as usize;
        (block, number - (FIRST_BLOCK << block))
    }

    /// Bytes of the slab's own administration.
    pub fn overhead_bytes(&self) -> usize {
        let blocks = self.blocks.iter().filter_map(OnceLock::get);
        size_of::<Self>()
            + blocks
                .map(|block| size_of_val(&*block.entries))
                .sum::<usize>()
    }
}

/// The record that `bytes` begin with if its key is short, as most are, and it ends in them. One byte of it is the length.
#[inline]
fn short_record(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.first() {
        Some(&length) if length < 0x80 => bytes.get(..=usize::from(length)),
        _ => None,
    }
}

impl<'a> KeySlabView<'a> {
    /// [`KeySlab::prefetch`].
    #[inline]
    pub fn prefetch(&self, reference: u32) {
        if let Some(byte) = self.tail(reference).first() {
            prefetch(byte);
        }
    }

    /// The bytes from `reference` to the end of their page; none if they were not published.
    #[inline]
    fn tail(&self, reference: u32) -> &'a [u8] {
        let start = reference as usize;
        let page = self.pages.get(start.wrapping_shr(self.slab.page_shift));
        let tail = page.and_then(|page| page.get(start & (self.slab.page_bytes() - 1)..));
        tail.unwrap_or_default()
    }
}

impl Drop for KeySlab {
    fn drop(&mut self) {
        let bytes = 1 << self.page_shift;
        for page in 0..self.page_count() {
            if let Some(page) = NonNull::new(self.page_pointer(page)) {
                // SAFETY: allocated by `add_page` with the same length, released once, all borrows have ended.
                unsafe { self.arena.release(page, bytes) };
            }
        }
    }
}

impl KeyAppender {
    /// The slab this appends to.
    pub fn slab(&self) -> &Arc<KeySlab> {
        &self.slab
    }

    /// Writes `key` behind the published records, where no reader looks yet, and answers the reference it
    /// will have. Replaces what an earlier call prepared and did not publish.
    ///
    /// # Errors
    /// `TooLarge` if the key is longer than [`MAX_KEY_BYTES`] or the slab is full; `Memory` if no page can be had.
    #[inline(always)]
    pub fn prepare(&mut self, key: &[u8]) -> Result<u32> {
        let start = self.slab.published_bytes();
        if key.len() >= 0x80 {
            return self.prepare_in_parts(start, key);
        }
        let Some(place) = self.place_in_newest(start, 1 + key.len()) else {
            return self.prepare_in_parts(start, key);
        };
        // SAFETY: as in `write`; the record is a byte, the length, and the key.
        unsafe {
            place.write(key.len() as u8);
            ptr::copy_nonoverlapping(key.as_ptr(), place.add(1).as_ptr(), key.len());
        }
        self.prepared_end = (start + 1 + key.len()) as u32;
        Ok(start as u32)
    }

    /// Where the bytes are to be written that begin at `start`, which must not lie before the published end, if they lie in the
    /// newest page.
    #[inline]
    fn place_in_newest(&self, start: usize, length: usize) -> Option<NonNull<u8>> {
        let Range { start: first, end } = self.newest_bytes;
        let offset = start.checked_sub(first as usize)?;
        // SAFETY: the range lies in the page.
        (start + length <= end as usize).then(|| unsafe { self.newest.add(offset) })
    }

    #[inline(never)]
    fn prepare_in_parts(&mut self, start: usize, key: &[u8]) -> Result<u32> {
        self.prepared_end = start as u32;
        check_key_length(key)?;
        let (length, length_bytes) = varint(key.len());
        let end = start + length_bytes + key.len();
        if end > MAX_SLAB_BYTES {
            let message = format!(
                "a slab of {start} bytes has no room for a key of {} bytes",
                key.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        while self.slab.allocated_bytes() < end {
            self.add_page()?;
        }
        self.write(start, &length[..length_bytes]);
        self.write(start + length_bytes, key);
        self.prepared_end = end as u32;
        Ok(start as u32)
    }

    /// Shows the prepared record to readers.
    #[inline]
    pub fn publish(&mut self) {
        self.slab
            .published
            .store(self.prepared_end, Ordering::Release);
    }

    /// [`KeyAppender::prepare`] and [`KeyAppender::publish`] in one.
    ///
    /// # Errors
    /// Those of [`KeyAppender::prepare`].
    pub fn append(&mut self, key: &[u8]) -> Result<u32> {
        let reference = self.prepare(key)?;
        self.publish();
        Ok(reference)
    }

    /// Appends and publishes a copy of the key at `reference` of `source`; answers its reference here.
    ///
    /// # Errors
    /// Those of [`KeySlab::key`] and [`KeyAppender::append`].
    #[inline]
    pub fn append_copy(
        &mut self,
        source: &KeySlabView<'_>,
        reference: u32,
        scratch: &mut Vec<u8>,
    ) -> Result<u32> {
        match short_record(source.tail(reference)) {
            Some(record) => {
                let start = self.slab.published_bytes();
                match self.place_in_newest(start, record.len()) {
                    Some(place) => {
                        let length = record.len();
                        // SAFETY: as in `write`.
                        unsafe {
                            ptr::copy_nonoverlapping(record.as_ptr(), place.as_ptr(), length);
                        }
                        self.prepared_end = (start + length) as u32;
                        self.publish();
                    }
                    None => self.extend(record)?,
                }
                Ok(start as u32)
            }
            None => self.append(source.slab.key(reference, scratch)?),
        }
    }

    /// Appends and publishes `records` as [`KeySlab::copy_to`] gave them. References to them are as they were in that
    /// slab if this one was empty.
    ///
    /// # Errors
    /// `TooLarge` if the slab cannot hold them; `Memory`.
    pub fn extend(&mut self, records: &[u8]) -> Result<()> {
        let start = self.slab.published_bytes();
        if records.len() > MAX_SLAB_BYTES - start {
            let message = format!(
                "a slab of {start} bytes has no room for {} more",
                records.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let end = start + records.len();
        while self.slab.allocated_bytes() < end {
            self.add_page()?;
        }
        self.write(start, records);
        self.prepared_end = end as u32;
        self.publish();
        Ok(())
    }

    fn add_page(&mut self) -> Result<()> {
        let page = self.slab.page_count();
        let (block, entry) = KeySlab::block_entry(page);
        if self.slab.blocks[block].get().is_none() {
            let entries = FIRST_BLOCK << block;
            let bytes = entries * size_of::<AtomicPtr<u8>>();
            let charge = self.slab.arena.budget().charge(bytes)?;
            let mut list = Vec::new();
            let reserved = list.try_reserve_exact(entries);
            reserved.map_err(|_| Error::memory("a list of slab pages"))?;
            list.resize_with(entries, || AtomicPtr::new(ptr::null_mut()));
            self.slab.blocks[block].get_or_init(|| Block {
                entries: list.into_boxed_slice(),
                _charge: charge,
            });
        }
        let pointer = self.slab.arena.allocate(1 << self.slab.page_shift)?;
        let block = self.slab.blocks[block].get();
        let block = block.expect("filled just above");
        block.entries[entry].store(pointer.as_ptr(), Ordering::Relaxed);
        self.slab.pages.store(page as u32 + 1, Ordering::Relaxed);
        let first = page << self.slab.page_shift;
        let end = (first + self.slab.page_bytes()).min(MAX_SLAB_BYTES);
        self.newest = pointer;
        self.newest_bytes = first as u32..end as u32;
        Ok(())
    }

    /// Writes `bytes` at `start`, at or behind the published end and within the pages.
    fn write(&mut self, mut start: usize, mut bytes: &[u8]) {
        let page_bytes = 1 << self.slab.page_shift;
        assert!(
            start >= self.slab.published_bytes()
                && start + bytes.len() <= self.slab.allocated_bytes()
        );
        while !bytes.is_empty() {
            let offset = start & (page_bytes - 1);
            let (head, tail) = bytes.split_at(bytes.len().min(page_bytes - offset));
            let page = self.slab.page_pointer(start >> self.slab.page_shift);
            // SAFETY: the range lies in an allocated page, behind the published end, where no reader looks;
            // there is one appender per slab and it is borrowed mutably, so nobody else writes.
            unsafe { ptr::copy_nonoverlapping(head.as_ptr(), page.add(offset), head.len()) };
            start += head.len();
            bytes = tail;
        }
    }
}

#[cfg(test)]
mod tests;
