//! A range of addresses from the system, given back when dropped.
//!
//! The pool reserves one large range at once and backs it with memory from its start, step by step. Growing
//! only at one end keeps it at two mappings for the kernel, whatever is given back in between: giving back
//! drops pages, not the right to use them.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use crate::error::{Error, Result};

/// Anonymous memory, or addresses without memory yet, that this value alone owns.
pub struct AddressRange {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: the type only names a range of addresses, which belongs to no thread; reading and writing it goes
// through raw pointers, whose users argue for themselves.
unsafe impl Send for AddressRange {}
// SAFETY: as above; no method of a shared range touches memory that another method touches.
unsafe impl Sync for AddressRange {}

impl AddressRange {
    /// Lowest address, aligned to a page.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Length in bytes.
    pub fn length(&self) -> usize {
        self.length
    }
}

#[cfg(not(miri))]
impl AddressRange {
    /// Reserves `length` bytes of addresses, a multiple of the page size, without memory behind them.
    pub fn reserve(length: usize) -> Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
        let range = match NonNull::new(address.cast()) {
            Some(base) if address != libc::MAP_FAILED => Self { base, length },
            _ => return Err(Error::memory("the buffer pool")),
        };
        // Small buffers are few at a time: a huge page would cost more memory than it saves time.
        #[cfg(target_os = "linux")]
        // SAFETY: the range has just been mapped and is ours; the advice changes no content.
        unsafe {
            libc::madvise(range.base.as_ptr().cast(), length, libc::MADV_NOHUGEPAGE)
        };
        Ok(range)
    }

    /// Makes the bytes `start..end`, both multiples of the page size, usable; they read as zeros.
    pub fn commit(&self, start: usize, end: usize) -> Result<()> {
        assert!(start <= end && end <= self.length);
        // SAFETY: the bytes lie inside this range; allowing access to more of it takes nothing away.
        let outcome = unsafe {
            libc::mprotect(
                self.base.as_ptr().add(start).cast(),
                end - start,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        };
        if outcome == 0 {
            Ok(())
        } else {
            Err(Error::memory("the buffer pool"))
        }
    }

    /// Gives the memory behind `length` bytes from `start` back to the system. They stay usable and
    /// their content is lost.
    ///
    /// # Safety
    /// Nobody relies on the content of these bytes.
    pub unsafe fn discard(&self, start: usize, length: usize) {
        assert!(start + length <= self.length);
        // SAFETY: the caller gives up the content of these bytes, which lie inside this range. A refusal
        // (memory locked by the host) leaves the pages as they are, which is allowed too.
        unsafe {
            libc::madvise(
                self.base.as_ptr().add(start).cast(),
                length,
                libc::MADV_DONTNEED,
            )
        };
    }
}

#[cfg(not(miri))]
impl Drop for AddressRange {
    fn drop(&mut self) {
        // SAFETY: the range came from `mmap` with this length and is unmapped only here.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

/// Miri knows no page protection: under it a range comes from the heap, zeroed and usable from the start.
#[cfg(miri)]
mod heap {
    use super::*;
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    fn layout(length: usize) -> Layout {
        Layout::from_size_align(length, 4096).expect("lengths are far below the address space")
    }

    impl AddressRange {
        pub fn reserve(length: usize) -> Result<Self> {
            // SAFETY: no caller asks for zero bytes.
            match NonNull::new(unsafe { alloc_zeroed(layout(length)) }) {
                Some(base) => Ok(Self { base, length }),
                None => Err(Error::memory("the buffer pool")),
            }
        }

        pub fn commit(&self, start: usize, end: usize) -> Result<()> {
            assert!(start <= end && end <= self.length);
            Ok(())
        }

        /// # Safety
        /// Nobody relies on the content of these bytes.
        pub unsafe fn discard(&self, start: usize, length: usize) {
            assert!(start + length <= self.length);
        }
    }

    impl Drop for AddressRange {
        fn drop(&mut self) {
            // SAFETY: the range came from `alloc_zeroed` with this layout and is freed only here.
            unsafe { dealloc(self.base.as_ptr(), layout(self.length)) };
        }
    }
}
