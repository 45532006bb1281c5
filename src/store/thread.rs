//! The store's own threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, yield_now};

use crate::error::{Error, ErrorKind, Result};
use crate::memory::reserve;

/// A running thread; dropping it asks it to end, and waits until it has.
pub struct Thread {
    ask_to_end: Box<dyn Fn() + Send + Sync>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts a thread that runs `body`, and comes back when it does. `body` holds nothing that a panic could leave half done, and
    /// comes to its end soon after `ask_to_end` was called.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if memory is too short for one.
    pub fn start(
        name: &str,
        body: impl FnOnce() + Send + 'static,
        ask_to_end: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        reserve::check_for_thread()?;
        let ask_to_end = Box::new(ask_to_end);
        let runs = Arc::new(AtomicBool::new(false));
        let spawned = Builder::new().name(name.into()).spawn({
            let runs = runs.clone();
            move || {
                runs.store(true, Ordering::Release);
                body();
            }
        });
        let handle = spawned.map_err(|error| {
            let message = format!("a background thread could not be started: {error}");
            Error::new(ErrorKind::Memory, message)
        })?;
        // Until then the caller must not take the memory that was found: the C library ends the process if a thread lacks it.
        while !runs.load(Ordering::Acquire) {
            yield_now();
        }
        Ok(Self {
            ask_to_end,
            handle: Some(handle),
        })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        (self.ask_to_end)();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}
