//! What is measured: the pool and three allocators, behind calls of one kind.

use std::ffi::c_void;
use std::ptr::null_mut;

use freyja::memory::buffer_pool::BufferPool;

/// Hands out memory and takes it back.
pub trait Contestant {
    /// Its name in tables.
    const NAME: &'static str;

    /// Memory of `length` bytes, with any content.
    fn get(&self, length: usize) -> *mut u8;

    /// Takes memory back.
    ///
    /// # Safety
    /// It came from `get`, once, and nobody uses it any more.
    unsafe fn release(&self, address: *mut u8);

    /// Gives memory that waits for its next use back to the system.
    fn trim(&self);

    /// How many bytes it would give for `length`; `None` if it does not tell.
    fn size_for(&self, length: usize) -> Option<usize>;
}

/// A pool of Freyja's.
pub struct Pool(BufferPool);

impl Pool {
    /// A pool with these classes, or the standard ones.
    pub fn new(classes: Option<&[usize]>) -> Pool {
        let pool = match classes {
            Some(sizes) => BufferPool::with_classes(sizes),
            None => BufferPool::new(),
        };
        Pool(pool.expect("the system has addresses"))
    }

    /// Takes a snapshot of the counts.
    #[inline(never)]
    pub fn statistics(&self) -> u64 {
        self.0.statistics().in_use()
    }
}

impl Contestant for Pool {
    const NAME: &'static str = "Freyja";

    #[inline(never)]
    fn get(&self, length: usize) -> *mut u8 {
        match self.0.get(length) {
            Ok(buffer) => buffer.into_raw().as_ptr(),
            Err(_) => null_mut(),
        }
    }

    #[inline(never)]
    unsafe fn release(&self, address: *mut u8) {
        // SAFETY: as promised to this function.
        let released = unsafe { self.0.release(address) };
        assert!(released.is_ok());
    }

    fn trim(&self) {
        self.0.trim();
    }

    #[inline(never)]
    fn size_for(&self, length: usize) -> Option<usize> {
        self.0.class_size(length)
    }
}

/// The platform's allocator.
pub struct System;

impl Contestant for System {
    const NAME: &'static str = "glibc";

    #[inline(never)]
    fn get(&self, length: usize) -> *mut u8 {
        // SAFETY: any length is allowed.
        unsafe { libc::malloc(length).cast() }
    }

    #[inline(never)]
    unsafe fn release(&self, address: *mut u8) {
        // SAFETY: as promised to this function.
        unsafe { libc::free(address.cast()) };
    }

    fn trim(&self) {
        // SAFETY: touches only what is free.
        unsafe { libc::malloc_trim(0) };
    }

    fn size_for(&self, _length: usize) -> Option<usize> {
        None
    }
}

/// Fresh zeroed memory of the platform's allocator.
#[inline(never)]
pub fn calloc(length: usize) -> *mut u8 {
    // SAFETY: any length is allowed.
    unsafe { libc::calloc(1, length).cast() }
}

/// mimalloc.
pub struct Mimalloc;

impl Contestant for Mimalloc {
    const NAME: &'static str = "mimalloc";

    #[inline(never)]
    fn get(&self, length: usize) -> *mut u8 {
        // SAFETY: any length is allowed.
        unsafe { libmimalloc_sys::mi_malloc(length).cast() }
    }

    #[inline(never)]
    unsafe fn release(&self, address: *mut u8) {
        // SAFETY: as promised to this function.
        unsafe { libmimalloc_sys::mi_free(address.cast()) };
    }

    fn trim(&self) {
        // SAFETY: touches only what is free.
        unsafe { mi_collect(true) };
    }

    #[inline(never)]
    fn size_for(&self, length: usize) -> Option<usize> {
        // SAFETY: only computes.
        Some(unsafe { mi_good_size(length) })
    }
}

unsafe extern "C" {
    fn mi_collect(force: bool);
    fn mi_good_size(size: usize) -> usize;
}

/// jemalloc.
pub struct Jemalloc;

impl Contestant for Jemalloc {
    const NAME: &'static str = "jemalloc";

    #[inline(never)]
    fn get(&self, length: usize) -> *mut u8 {
        // SAFETY: any length is allowed.
        unsafe { tikv_jemalloc_sys::malloc(length).cast() }
    }

    #[inline(never)]
    unsafe fn release(&self, address: *mut u8) {
        // SAFETY: as promised to this function.
        unsafe { tikv_jemalloc_sys::free(address.cast::<c_void>()) };
    }

    fn trim(&self) {
        // 4096 stands for all arenas.
        for command in [c"thread.tcache.flush", c"arena.4096.purge"] {
            let (old, new) = (null_mut(), null_mut());
            // SAFETY: commands that read and write nothing of the caller's.
            let outcome =
                unsafe { tikv_jemalloc_sys::mallctl(command.as_ptr(), old, null_mut(), new, 0) };
            assert_eq!(outcome, 0);
        }
    }

    #[inline(never)]
    fn size_for(&self, length: usize) -> Option<usize> {
        // SAFETY: the length is not 0.
        Some(unsafe { tikv_jemalloc_sys::nallocx(length, 0) })
    }
}
