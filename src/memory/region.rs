//! Regions: zeroed memory straight from the operating system, whole units of 2 MiB, aligned to that.
//!
//! On Linux they are anonymous mappings, so that parts can be given back. Elsewhere, and under Miri, they
//! come from the heap and only a whole region goes back.
#![allow(unsafe_code)]

use std::ptr::NonNull;

/// Alignment of a region and unit of its length: the size of a huge page.
pub(super) const REGION_BYTES: usize = 2 << 20;

#[cfg(all(target_os = "linux", not(miri)))]
mod system {
    use super::{NonNull, REGION_BYTES};

    fn map_bytes(bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: a fresh anonymous mapping at an address of the system's choice touches no other memory.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return None;
        }
        NonNull::new(address.cast())
    }

    /// A region of `bytes`, or `None` if the system has no more memory or address space.
    pub(in super::super) fn map(bytes: usize) -> Option<NonNull<u8>> {
        let direct = map_bytes(bytes)?;
        let region = if direct.addr().get().is_multiple_of(REGION_BYTES) {
            direct
        } else {
            // SAFETY: mapped just above, and known to nobody else.
            unsafe { unmap_bytes(direct, bytes) };
            map_aligned(bytes)?
        };
        // Where huge pages are the system's default, the first touch would cost a small store 2 MiB.
        // SAFETY: the whole region was just mapped.
        unsafe { advise_huge(region, bytes, false) };
        Some(region)
    }

    fn map_aligned(bytes: usize) -> Option<NonNull<u8>> {
        let wide = map_bytes(bytes.checked_add(REGION_BYTES)?)?;
        let head = wide.addr().get().wrapping_neg() % REGION_BYTES;
        // SAFETY: `head` < REGION_BYTES, so the aligned region and the tail lie inside the wide mapping,
        // and the two cuts cover exactly what lies outside the region.
        unsafe {
            let region = wide.add(head);
            if head > 0 {
                unmap_bytes(wide, head);
            }
            if head < REGION_BYTES {
                unmap_bytes(region.add(bytes), REGION_BYTES - head);
            }
            Some(region)
        }
    }

    /// # Safety
    /// The range was mapped by this module and nobody uses it any more.
    unsafe fn unmap_bytes(start: NonNull<u8>, bytes: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe { libc::munmap(start.as_ptr().cast(), bytes) == 0 }
    }

    /// Returns a region to the system; `false` if the system refused and it is still mapped.
    ///
    /// # Safety
    /// `region` came from [`map`] with these `bytes` and nobody uses it any more.
    pub(in super::super) unsafe fn unmap(region: NonNull<u8>, bytes: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe { unmap_bytes(region, bytes) }
    }

    /// Gives the memory behind a range back; if `true`, the range reads as zeros from now on.
    ///
    /// # Safety
    /// The range lies in a mapped region, is aligned to system pages, and nobody uses it.
    pub(in super::super) unsafe fn give_back(start: NonNull<u8>, bytes: usize) -> bool {
        // SAFETY: the caller's promise; for private anonymous memory MADV_DONTNEED means zeros at the next touch.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_DONTNEED) == 0 }
    }

    /// Has the system put a huge page behind a region of 2 MiB; answers whether it did. That takes the time of clearing them.
    /// Else the region is as [`map`] made it, but for one page.
    ///
    /// # Safety
    /// `region` came from [`map`] with [`REGION_BYTES`], and nobody uses it yet.
    pub(in super::super) unsafe fn make_huge(region: NonNull<u8>) -> bool {
        // SAFETY: the caller's promise. The write is a fault, which holds up nobody else's faults, as advice to populate would.
        let resident = unsafe {
            advise_huge(region, REGION_BYTES, true);
            region.as_ptr().write_volatile(0);
            is_resident(region.add(REGION_BYTES / 2))
        };
        if !resident {
            // SAFETY: the caller's promise. Nobody is to make the huge page later, and hold up who faults meanwhile.
            unsafe { advise_huge(region, REGION_BYTES, false) };
        }
        resident
    }

    /// # Safety
    /// `page` is the beginning of a system page in a mapped region.
    unsafe fn is_resident(page: NonNull<u8>) -> bool {
        let mut resident = 0;
        // SAFETY: the caller's promise; the answer for one byte of memory is one byte.
        let told = unsafe { libc::mincore(page.as_ptr().cast(), 1, &raw mut resident) };
        told == 0 && resident & 1 == 1
    }

    /// Asks for huge pages, or for none, behind whole units of a region. Advice only: a refusal changes nothing but speed.
    ///
    /// # Safety
    /// The range lies in what [`map`] made and is still mapped.
    pub(in super::super) unsafe fn advise_huge(start: NonNull<u8>, bytes: usize, huge: bool) {
        let advice = if huge {
            libc::MADV_HUGEPAGE
        } else {
            libc::MADV_NOHUGEPAGE
        };
        // SAFETY: the caller's promise; the advice does not change what the memory holds.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, advice) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod system {
    use super::{NonNull, REGION_BYTES};
    use std::alloc::Layout;

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes, REGION_BYTES).ok()
    }

    /// A region of `bytes`, or `None` if the heap has no more memory.
    pub(in super::super) fn map(bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: the layout's size is not zero.
        NonNull::new(unsafe { std::alloc::alloc_zeroed(layout(bytes)?) })
    }

    /// Returns a region to the heap.
    ///
    /// # Safety
    /// `region` came from [`map`] with these `bytes` and nobody uses it any more.
    pub(in super::super) unsafe fn unmap(region: NonNull<u8>, bytes: usize) -> bool {
        if let Some(layout) = layout(bytes) {
            // SAFETY: the caller's promise, and the layout is the one it was allocated with.
            unsafe { std::alloc::dealloc(region.as_ptr(), layout) };
        }
        true
    }

    /// Heap memory cannot be given back in parts: always `false`.
    ///
    /// # Safety
    /// None needed; the signature is that of the other systems.
    pub(in super::super) unsafe fn give_back(_start: NonNull<u8>, _bytes: usize) -> bool {
        false
    }

    /// The heap makes none.
    ///
    /// # Safety
    /// None needed; the signature is that of the other systems.
    pub(in super::super) unsafe fn make_huge(_region: NonNull<u8>) -> bool {
        false
    }

    /// The heap takes no advice.
    ///
    /// # Safety
    /// None needed; the signature is that of the other systems.
    pub(in super::super) unsafe fn advise_huge(_start: NonNull<u8>, _bytes: usize, _huge: bool) {}
}

pub(super) use system::{advise_huge, give_back, make_huge, map, unmap};
