//! The store's own threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, yield_now};

use crate::error::{Error, ErrorKind, Result};
use crate::memory::reserve;

/// Starts a thread that runs `body`, and comes back when it does.
///
/// # Errors
/// [`ErrorKind::Memory`] if memory is too short for one.
pub fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    reserve::check_for_thread()?;
    let runs = Arc::new(AtomicBool::new(false));
    let thread = Builder::new().name(name.into()).spawn({
        let runs = runs.clone();
        move || {
            runs.store(true, Ordering::Release);
            body();
        }
    });
    let thread = thread.map_err(|error| {
        let message = format!("a background thread could not be started: {error}");
        Error::new(ErrorKind::Memory, message)
    })?;
    // Until then the caller must not take the memory that was found: the C library ends the process if a thread lacks it.
    while !runs.load(Ordering::Acquire) {
        yield_now();
    }
    Ok(thread)
}
