//! Bringing memory near before it is needed.
#![allow(unsafe_code)]

/// Asks the processor to bring the line of memory in which `place` begins near, where it knows how to.
#[inline]
pub fn prefetch<T>(place: &T) {
    prefetch_address(std::ptr::from_ref(place).cast());
}

/// The same for a place that nobody may borrow, or that may not be there.
#[inline]
pub fn prefetch_address(place: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads and changes nothing; any address is allowed, and SSE is part of x86_64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}
