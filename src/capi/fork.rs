//! Noticing `fork`: locks, files and background threads belong to the process that opened the store.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::pinned;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::buffer_pool;

/// Times that a process on the way from the first open to this one was forked.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The number of forks so far. A handle made at another number belongs to an ancestor.
pub fn count() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Refuses a handle made when [`count`] was `forks`, if an ancestor of this process made it; `message` says so to the caller.
pub fn check(forks: u32, message: &str) -> Result<()> {
    if forks == count() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Forked, message))
}

/// Sees to it that [`count`] changes in every forked child from now on.
#[cfg(unix)]
pub fn watch() -> Result<()> {
    static WATCHING: Mutex<bool> = Mutex::new(false);
    let mut watching = WATCHING.lock();
    if !*watching {
        // SAFETY: the function stays loaded (the library is linked with `nodelete`) and is safe to call in a
        // forked child: it changes atomics only.
        let outcome = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if outcome != 0 {
            return Err(Error::memory("the fork handler"));
        }
        *watching = true;
    }
    Ok(())
}

/// Systems without `fork` have nothing to watch.
#[cfg(not(unix))]
pub fn watch() -> Result<()> {
    Ok(())
}

#[cfg(unix)]
extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    buffer_pool::abandon_in_child();
    pinned::forget_in_child();
}
