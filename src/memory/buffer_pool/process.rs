//! The one pool of the process: whoever gives a buffer back has its address only.
#![allow(unsafe_code)]

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::BufferPool;
use crate::error::Result;

static POOL: AtomicPtr<BufferPool> = AtomicPtr::new(null_mut());

/// The parent's pool in a forked child, kept here so that leak checkers find it.
static INHERITED: AtomicPtr<BufferPool> = AtomicPtr::new(null_mut());

/// The pool of this process, made at its first use and never dropped.
pub fn process_pool() -> Result<&'static BufferPool> {
    if let Some(pool) = process_pool_if_any() {
        return Ok(pool);
    }
    let made = Box::into_raw(Box::new(BufferPool::new()?));
    let other = POOL.compare_exchange(null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
    // SAFETY: a pool in `POOL` is never freed; one that did not get there is still this function's alone.
    unsafe {
        match other {
            Ok(_) => Ok(&*made),
            Err(faster) => {
                drop(Box::from_raw(made));
                Ok(&*faster)
            }
        }
    }
}

/// The pool of this process if it has been used.
pub fn process_pool_if_any() -> Option<&'static BufferPool> {
    // SAFETY: the pointer is null or a pool that is never freed.
    unsafe { POOL.load(Ordering::Acquire).as_ref() }
}

/// To be called in the child after `fork`, from its only thread: another thread of the parent may have been
/// inside the pool, so the child never touches it again and makes its own when it needs one. Buffers of the
/// parent stay readable in the child; releasing one there is refused.
pub fn abandon_in_child() {
    INHERITED.store(POOL.swap(null_mut(), Ordering::Relaxed), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_of_a_process_share_one_pool() {
        let here = process_pool().unwrap() as *const BufferPool as usize;
        let there = std::thread::spawn(|| process_pool().unwrap() as *const BufferPool as usize);
        assert_eq!(here, there.join().unwrap());
    }
}
