//! The store's own threads.

use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::yield_now;

use crate::error::{Error, ErrorKind, Result};
use crate::memory::reserve;
use crate::memory::thread::SystemThread;

/// A running thread; dropping it asks it to end, and waits until it has.
pub struct Thread {
    ask_to_end: Box<dyn Fn() + Send + Sync>,
    system: Option<SystemThread>,
}

impl Thread {
    /// Starts a thread that runs `body`, and comes back when it does. `body` holds nothing that a panic could leave half done, and
    /// comes to its end soon after `ask_to_end` was called.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if memory is too short for one.
    pub fn start(
        name: &'static CStr,
        body: impl FnOnce() + Send + 'static,
        ask_to_end: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        reserve::check_for_thread()?;
        let ask_to_end = Box::new(ask_to_end);
        let runs = Arc::new(AtomicBool::new(false));
        let started = SystemThread::start(name, {
            let runs = runs.clone();
            move || {
                runs.store(true, Ordering::Release);
                body();
            }
        });
        let system = started.map_err(|error| {
            let message = format!("a background thread could not be started: {error}");
            Error::new(ErrorKind::Memory, message)
        })?;
        // Until then the caller must not take the memory that was found: the C library ends the process if a thread lacks it.
        while !runs.load(Ordering::Acquire) {
            yield_now();
        }
        Ok(Self {
            ask_to_end,
            system: Some(system),
        })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        (self.ask_to_end)();
        if let Some(system) = self.system.take() {
            system.join();
        }
    }
}
