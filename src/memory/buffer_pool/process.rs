//! The one pool of the process: whoever gives a buffer back has its address only.
#![allow(unsafe_code)]

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::{BufferPool, local};
use crate::error::{Error, ErrorKind, Result};

static POOL: AtomicPtr<BufferPool> = AtomicPtr::new(null_mut());

/// The parent's pool in a forked child, kept here so that leak checkers find it.
static INHERITED: AtomicPtr<BufferPool> = AtomicPtr::new(null_mut());

/// The pool of this process, made at its first use and never dropped.
#[inline]
pub fn process_pool() -> Result<&'static BufferPool> {
    match process_pool_if_any() {
        Some(pool) => Ok(pool),
        None => Ok(enter(BufferPool::new()?).0),
    }
}

/// Gives the pool of this process classes of these sizes; see [`BufferPool::with_classes`]. [`ErrorKind::Busy`] if the
/// pool has been used already: what its addresses mean never changes.
pub fn set_process_classes(sizes: &[usize]) -> Result<()> {
    let busy = || {
        Error::new(
            ErrorKind::Busy,
            "the buffer pool is in use: set its classes before the first buffer",
        )
    };
    let pool = BufferPool::with_classes(sizes)?;
    if process_pool_if_any().is_some() || !enter(pool).1 {
        return Err(busy());
    }
    Ok(())
}

/// Makes `pool` the pool of the process unless there is one; answers the one that counts, and whether it is this.
fn enter(pool: BufferPool) -> (&'static BufferPool, bool) {
    let made = Box::into_raw(Box::new(pool));
    let other = POOL.compare_exchange(null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
    // SAFETY: a pool in `POOL` is never freed; one that did not get there is still this function's alone.
    unsafe {
        match other {
            Ok(_) => (&*made, true),
            Err(faster) => {
                drop(Box::from_raw(made));
                (&*faster, false)
            }
        }
    }
}

/// The pool of this process if it has been used.
#[inline]
pub fn process_pool_if_any() -> Option<&'static BufferPool> {
    // SAFETY: the pointer is null or a pool that is never freed.
    unsafe { POOL.load(Ordering::Acquire).as_ref() }
}

/// To be called in the child after `fork`, from its only thread: another thread of the parent may have been
/// inside the pool, so the child never touches it again and makes its own when it needs one. Buffers of the
/// parent stay readable in the child; releasing one there is refused.
pub fn abandon_in_child() {
    local::abandon_in_child();
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
